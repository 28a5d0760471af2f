//! The ring buffer files of one connection, on the server's side: created, given to the client, removed. Also removes
//! what a killed server has left.
//!
//! Files are made through a descriptor of their directory, which is given to the client last, so that the client
//! cannot replace a file whose owner is about to be changed. The descriptor is then closed: a connection needs only
//! the descriptor of its socket. To remove the files, the directory is opened again, and left alone unless it is the
//! same one.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FallocateFlags, Gid, Mode, OFlags, Uid};
use rustix::process::Pid;

use super::credentials::Credentials;
use super::ring::{self, Memory};
use super::shm::Mapping;

/// The three ring buffers of a connection, in the order in which they are made.
pub(super) const RINGS: [&str; 3] = ["request", "response", "event"];
/// Longest base name of a ring buffer, in bytes; libqb keeps names in buffers of this size.
const BASE_NAME: usize = 255;
/// Size of a header file in whole pages, in bytes.
const HEADER_ROOM: usize = 16 << 10;
/// Number of random directory names that are tried.
const TRIES: usize = 16;

/// The directory with the six files of one connection in shared memory; removed on drop.
#[derive(Debug)]
pub(super) struct RingFiles {
    root: PathBuf,
    name: CString,
    /// Device and inode of the directory.
    identity: (u64, u64),
    /// Base names of the ring buffers, relative to the directory.
    bases: [String; 3],
    /// The same names with the directory, as clients get them.
    pub(super) paths: [String; 3],
}

impl RingFiles {
    /// Makes directory, files and mappings for messages of up to `max` bytes, and gives them to `owner`. `unique`
    /// differs for each connection of this process.
    ///
    /// The errno of an error is sent to the client; `ENOSPC`: shared memory is full.
    pub(super) fn create(
        root: &Path,
        service: &str,
        owner: Credentials,
        unique: u64,
        max: usize,
    ) -> io::Result<(Self, [Memory; 3])> {
        let root_fd = open_root(root)?;
        if room_in(&root_fd)?.is_some_and(|room| room < memory_of(max)) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let (name, directory) = make_directory(&root_fd, owner.pid, unique)?;
        let identity = identity(&directory)?;
        let bases = RINGS.map(|ring| format!("qb-{ring}-{service}"));
        let place = root.join(name.to_str().map_err(|_| io::ErrorKind::InvalidData)?);
        let paths = bases.clone().map(|base| place.join(base).to_string_lossy().into_owned());
        // From here on, dropping this removes what was made.
        let files = Self { root: root.to_owned(), name, identity, bases, paths };
        if files.paths.iter().any(|path| path.len() >= BASE_NAME) {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        let memories = [
            files.make_ring(&directory, 0, ring::REQUEST_HEADER, owner, max)?,
            files.make_ring(&directory, 1, ring::HEADER, owner, max)?,
            files.make_ring(&directory, 2, ring::HEADER, owner, max)?,
        ];
        give(&directory, owner, 0o770)?;
        Ok((files, memories))
    }

    fn make_ring(
        &self,
        directory: &OwnedFd,
        ring: usize,
        header: usize,
        owner: Credentials,
        max: usize,
    ) -> io::Result<Memory> {
        let data = ring::data_len(max);
        let header = make_file(directory, &format!("{}-header", self.bases[ring]), header, owner, true)?;
        // Not allocated here, so that a client that only connects costs no memory. libqb's clients allocate it at
        // once; for a client that does not, `sigbus.rs` handles the signal.
        let mapped = make_file(directory, &format!("{}-data", self.bases[ring]), data, owner, false)?;
        let memory = Memory::new(header, mapped, data);
        let path = &self.paths[ring];
        memory.initialise(format!("{path}-header").as_bytes(), format!("{path}-data").as_bytes());
        Ok(memory)
    }

    /// Removes files and directory; either may be gone already.
    fn remove(&self) -> io::Result<()> {
        let root = open_root(&self.root)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&root, &self.name, flags, Mode::empty())?;
        if identity(&directory)? != self.identity {
            // The client has put another directory in its place, which must not be touched.
            return Ok(());
        }
        for base in &self.bases {
            for part in ["data", "header"] {
                // The client may have removed or renamed the files; files of its own are kept.
                let _ = rustix::fs::unlinkat(&directory, format!("{base}-{part}"), AtFlags::empty());
            }
        }
        Ok(rustix::fs::unlinkat(&root, &self.name, AtFlags::REMOVEDIR)?)
    }
}

impl Drop for RingFiles {
    fn drop(&mut self) {
        if let Err(error) = self.remove()
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(directory = ?self.name, %error, "cannot remove a connection's directory");
        }
    }
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(root, flags, Mode::empty())?)
}

/// Identifies a directory among all others as long as it exists.
fn identity(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

fn make_file(
    directory: &OwnedFd,
    name: &str,
    len: usize,
    owner: Credentials,
    allocated: bool,
) -> io::Result<Mapping> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
    let made = if allocated {
        // If shared memory is full, this fails, instead of a signal later.
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len as u64)
    } else {
        Err(rustix::io::Errno::OPNOTSUPP)
    };
    match made {
        Err(rustix::io::Errno::OPNOTSUPP) => rustix::fs::ftruncate(&file, len as u64)?,
        result => result?,
    }
    let mapping = Mapping::new(file.as_fd(), len, true)?;
    give(&file, owner, 0o600)?;
    Ok(mapping)
}

/// Free bytes in the file system of a directory; `None`: it has no limit.
fn room_in(directory: &OwnedFd) -> io::Result<Option<u64>> {
    let found = rustix::fs::fstatvfs(directory)?;
    Ok((found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(found.f_frsize)))
}

/// The bytes in the file system of a directory that all connections may use: all but an eighth.
pub(super) fn share_of(root: &Path) -> u64 {
    match rustix::fs::statvfs(root) {
        Ok(found) if found.f_blocks > 0 => found.f_blocks.saturating_mul(found.f_frsize) / 8 * 7,
        Ok(_) | Err(_) => u64::MAX,
    }
}

/// The shared memory of one connection for messages of up to `max` bytes, if all of it is used.
pub(super) fn memory_of(max: usize) -> u64 {
    (RINGS.len() * (ring::data_len(max) + HEADER_ROOM)) as u64
}

/// Makes the client the owner of a file or directory. Without the privilege, this process stays the owner.
fn give(file: &OwnedFd, owner: Credentials, mode: u32) -> io::Result<()> {
    match rustix::fs::fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid))) {
        Ok(()) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::fchmod(file, Mode::from_raw_mode(mode)) {
        // This process may change owners, but not the mode of files of others.
        Err(rustix::io::Errno::PERM) => Ok(()),
        result => Ok(result?),
    }
}

fn make_directory(root: &OwnedFd, client: u32, unique: u64) -> io::Result<(CString, OwnedFd)> {
    for _ in 0..TRIES {
        let random: String = random()?.into_iter().map(char::from).collect();
        let name = CString::new(format!("qb-{}-{client}-{unique}-{random}", std::process::id()))?;
        match rustix::fs::mkdirat(root, &name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => continue,
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(root, &name, flags, Mode::empty()) {
            Ok(directory) => return Ok((name, directory)),
            Err(error) => {
                let _ = rustix::fs::unlinkat(root, &name, AtFlags::REMOVEDIR);
                return Err(error.into());
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Six random characters like those of mkdtemp; lower case and digits, so never its template XXXXXX.
fn random() -> io::Result<[u8; 6]> {
    let mut bytes = [0_u8; 6];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.map(|byte| b"abcdefghijklmnopqrstuvwxyz012345"[usize::from(byte) % 32]))
}

/// Removes the directories `qb-<pid>-*` of servers whose process is dead, if they contain only ring buffer files of
/// `services`. Returns their number.
pub(super) fn sweep(root: &Path, services: &[&str]) -> usize {
    let Ok(entries) = std::fs::read_dir(root) else { return 0 };
    let mut removed = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(server_of).is_some_and(is_dead) && remove_leftover(&entry.path(), services)
        {
            removed += 1;
        }
    }
    removed
}

/// The process id in the name of a connection's directory.
fn server_of(name: &str) -> Option<Pid> {
    let (pid, rest) = name.strip_prefix("qb-")?.split_once('-')?;
    // Directories of connections have three more parts; other files of libqb do not.
    if rest.splitn(3, '-').count() != 3 {
        return None;
    }
    Pid::from_raw(pid.parse().ok()?)
}

fn is_dead(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

fn remove_leftover(path: &PathBuf, services: &[&str]) -> bool {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::open(path, flags, Mode::empty()) else { return false };
    let Ok(entries) = rustix::fs::Dir::read_from(&directory) else { return false };
    let mut ours = Vec::new();
    for entry in entries {
        let Ok(entry) = entry else { return false };
        let Ok(name) = entry.file_name().to_str() else { return false };
        match name {
            "." | ".." => {}
            name if is_ring_file(name, services) => ours.push(name.to_owned()),
            _ => return false,
        }
    }
    for name in &ours {
        let _ = rustix::fs::unlinkat(&directory, name.as_str(), AtFlags::empty());
    }
    rustix::fs::rmdir(path).is_ok()
}

fn is_ring_file(name: &str, services: &[&str]) -> bool {
    let base = name.strip_suffix("-header").or_else(|| name.strip_suffix("-data"));
    base.and_then(|base| base.strip_prefix("qb-"))
        .and_then(|base| base.split_once('-'))
        .is_some_and(|(ring, service)| RINGS.contains(&ring) && services.contains(&service))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn me() -> Credentials {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Credentials { pid: std::process::id(), uid, gid }
    }

    #[test]
    fn files_have_libqbs_names_sizes_and_modes_and_are_removed() {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let (files, memories) = RingFiles::create(root.path(), "cpg", me(), 7, 1 << 20).unwrap();
        let directory = std::fs::read_dir(root.path()).unwrap().next().unwrap().unwrap().path();
        assert_eq!(directory.metadata().unwrap().mode() & 0o777, 0o770);
        for (ring, header) in [("request", 8252), ("response", 8248), ("event", 8248)] {
            let sizes = [("header", header), ("data", 1_052_672)];
            for (part, size) in sizes {
                let found = directory.join(format!("qb-{ring}-cpg-{part}")).metadata().unwrap();
                assert!(
                    found.blocks() * 512 <= 64 << 10,
                    "{} bytes before there is any use",
                    found.blocks() * 512
                );
                assert_eq!((found.len(), found.mode() & 0o777), (size, 0o600));
            }
        }
        drop((files, memories));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_files_of_dead_servers_are_swept() {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let make = |name: String, file: &str| {
            let path = root.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join(file), "").unwrap();
            path
        };
        let swept = make(format!("qb-{dead}-1-7-abcdef"), "qb-event-cpg-header");
        let alive = make(format!("qb-{}-1-7-abcdef", std::process::id()), "qb-event-cpg-header");
        let others = make(format!("qb-{dead}-1-8-abcdef"), "qb-event-pacemaker-header");
        let foreign = make(format!("qb-{dead}-1-9-abcdef"), "precious");
        let unlike = make(format!("qb-{dead}-blackbox"), "qb-event-cpg-header");
        assert_eq!(sweep(root.path(), &["cpg"]), 1);
        assert!(!swept.exists());
        assert!([alive, others, foreign, unlike].iter().all(|path| path.exists()));
    }
}
