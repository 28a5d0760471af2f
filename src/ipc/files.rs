//! The ring files of one connection, server side: made, handed to the client, removed; and the sweep of
//! what a server that was killed left behind.
//!
//! Everything happens through a descriptor of the directory, which the client gets last: there is no
//! moment in which it could put something else where we are about to change an owner. Afterwards the descriptor is
//! closed: a connection costs no more than its socket. To remove the files, the directory is opened again, and is left
//! alone unless it is the same.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FallocateFlags, Gid, Mode, OFlags, Uid};
use rustix::process::Pid;

use super::credentials::Credentials;
use super::ring::{self, Memory};
use super::shm::Mapping;

/// The three rings, in the order in which they are made.
pub(super) const RINGS: [&str; 3] = ["request", "response", "event"];
/// Longest base name of a ring; libqb keeps names in buffers of this size.
const BASE_NAME: usize = 255;
/// What a header file takes, in whole pages.
const HEADER_ROOM: usize = 16 << 10;
/// How often another random directory name is tried.
const TRIES: usize = 16;

/// A directory in shared memory with the six files of one connection; removed when this is dropped.
#[derive(Debug)]
pub(super) struct RingFiles {
    root: PathBuf,
    name: CString,
    /// Device and number of the directory.
    identity: (u64, u64),
    /// Base names relative to the directory.
    bases: [String; 3],
    /// The same as clients get them.
    pub(super) paths: [String; 3],
}

impl RingFiles {
    /// Makes directory, files and mappings for messages of up to `max` bytes and gives them to `owner`.
    /// `unique` tells apart the connections of one process.
    ///
    /// The error's code is for the client; `ENOSPC` says that shared memory is full.
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
        // From here on dropping it removes what was made.
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
        // The client has the memory for it, so that it costs nothing before there is one who means it: libqb's
        // allocates it at once, and for one who does not, `sigbus.rs` is prepared.
        let mapped = make_file(directory, &format!("{}-data", self.bases[ring]), data, owner, false)?;
        let memory = Memory::new(header, mapped, data);
        let path = &self.paths[ring];
        memory.initialise(format!("{path}-header").as_bytes(), format!("{path}-data").as_bytes());
        Ok(memory)
    }

    /// Removes files and directory; both may be gone already.
    fn remove(&self) -> io::Result<()> {
        let root = open_root(&self.root)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&root, &self.name, flags, Mode::empty())?;
        if identity(&directory)? != self.identity {
            // The client has put another in its place, which is not ours to touch.
            return Ok(());
        }
        for base in &self.bases {
            for part in ["data", "header"] {
                // The client may have removed or renamed them; what it made of its own stays its own.
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

/// What tells a directory from all others while something of it is in use.
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
        // If shared memory is full, it shows here and not as a signal later.
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

/// Bytes that the file system of a directory has left; `None`: it has no bound.
fn room_in(directory: &OwnedFd) -> io::Result<Option<u64>> {
    let found = rustix::fs::fstatvfs(directory)?;
    Ok((found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(found.f_frsize)))
}

/// Bytes of the file system of a directory that connections may have together: an eighth is left to others.
pub(super) fn share_of(root: &Path) -> u64 {
    match rustix::fs::statvfs(root) {
        Ok(found) if found.f_blocks > 0 => found.f_blocks.saturating_mul(found.f_frsize) / 8 * 7,
        Ok(_) | Err(_) => u64::MAX,
    }
}

/// Shared memory of a connection for messages of up to `max` bytes, once all of it is used.
pub(super) fn memory_of(max: usize) -> u64 {
    (RINGS.len() * (ring::data_len(max) + HEADER_ROOM)) as u64
}

/// Makes the file or directory the client's. Without the privilege to give things away, it stays ours.
fn give(file: &OwnedFd, owner: Credentials, mode: u32) -> io::Result<()> {
    match rustix::fs::fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid))) {
        Ok(()) | Err(rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::fchmod(file, Mode::from_raw_mode(mode)) {
        // Given away by a process that may give away but not change what others own.
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

/// Six characters as mkdtemp would choose them; lower case and digits, so never its template.
fn random() -> io::Result<[u8; 6]> {
    let mut bytes = [0_u8; 6];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.map(|byte| b"abcdefghijklmnopqrstuvwxyz012345"[usize::from(byte) % 32]))
}

/// Removes the directories of servers that are gone: `qb-<pid>-*`, the process dead, and in them nothing
/// but ring files of the `services` that are ours now. Returns how many.
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

/// The process id in a connection directory's name.
fn server_of(name: &str) -> Option<Pid> {
    let (pid, rest) = name.strip_prefix("qb-")?.split_once('-')?;
    // The directories of connections have three more parts; other files of libqb have not.
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
    fn files_have_libqbs_names_sizes_and_modes_and_vanish() {
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
    fn only_leftovers_of_dead_servers_are_swept() {
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
