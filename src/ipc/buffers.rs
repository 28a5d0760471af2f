//! Zero-copy buffers: files in shared memory into which a CPG client writes a multicast request.
//!
//! The client makes the file and sends its name; the server answers with a token, which the client later sends in
//! place of the message. Here the token is only a number, and the file is read rather than mapped, so that a client
//! can neither point the server elsewhere nor change data after it was checked. Source: corosync `lib/cpg.c`,
//! `exec/cpg.c` (zero-copy alloc, execute, free; removed after 3.1.10).

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use rustix::fs::{FileType, Mode, OFlags};

use crate::error::Status;

/// Path prefix of the files that libcpg makes; six random characters follow.
const PREFIX: &[u8] = b"/dev/shm/corosync_zerocopy-";
const RANDOM: usize = 6;
/// Bytes before the payload: length, token, and the header of the request.
const OVERHEAD: u64 = 56;
/// Offset at which the server writes the token.
const TOKEN_AT: u64 = 8;
/// Offset of the embedded multicast request.
const REQUEST_AT: u64 = 16;
/// Length of that request before its payload, in bytes.
const REQUEST: usize = 40;
/// Id of the embedded request: a CPG multicast.
const MULTICAST: i32 = 2;
/// Longest payload in bytes, as for any CPG message.
const LONGEST: usize = 1 << 20;
/// Largest buffer, in bytes.
const LARGEST: u64 = 64 << 20;
/// Most buffers of one connection; each is an open file.
const LIMIT: usize = 32;

/// The zero-copy buffers of one connection.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    open: HashMap<u64, Buffer>,
    last: u64,
}

/// A buffer that was refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: Status,
    /// The client's file, if it was opened; its name is removed. As with [`Buffers::close`], the caller closes it.
    pub(super) file: Option<OwnedFd>,
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self { status, file: None }
    }
}

#[derive(Debug)]
struct Buffer {
    file: OwnedFd,
    len: u64,
}

impl Buffers {
    /// Takes over the file `path` (without NUL) of `len` bytes, made by a client of user `uid`. Returns its token.
    ///
    /// The file's name is removed; from then on the file is read through its descriptor.
    ///
    /// # Errors
    /// [`Status::InvalidParam`]: the path or size is none of libcpg's. [`Status::Access`]: not a plain file of that
    /// user. [`Status::NotExist`]: no such file. [`Status::NoResources`]: too many buffers.
    pub(super) fn open(&mut self, path: &[u8], len: u64, uid: u32) -> Result<u64, Refused> {
        let path = checked(path).ok_or(Status::InvalidParam)?;
        if !(OVERHEAD..=LARGEST).contains(&len) {
            return Err(Status::InvalidParam.into());
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| match error {
            rustix::io::Errno::NOENT => Status::NotExist,
            rustix::io::Errno::MFILE | rustix::io::Errno::NFILE => Status::NoResources,
            _ => Status::Access,
        })?;
        let stat = rustix::fs::fstat(&file).map_err(|_| Status::Library)?;
        let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
        if !plain || stat.st_uid != uid {
            return Err(Status::Access.into());
        }
        // The file is known to be the client's own. Even if it is refused, nobody else would remove it.
        let _ = rustix::fs::unlink(&path);
        let refused = |status, file| Err(Refused { status, file: Some(file) });
        if u64::try_from(stat.st_size).unwrap_or(0) < len {
            return refused(Status::InvalidParam, file);
        }
        if self.open.len() >= LIMIT {
            return refused(Status::NoResources, file);
        }
        self.last += 1;
        let token = self.last;
        if rustix::io::pwrite(&file, &token.to_ne_bytes(), TOKEN_AT) != Ok(8) {
            return refused(Status::Library, file);
        }
        self.open.insert(token, Buffer { file, len });
        Ok(token)
    }

    /// A private copy of the request in a buffer: 40-byte header and payload, with consistent sizes.
    ///
    /// # Errors
    /// [`Status::BadHandle`]: unknown token. [`Status::InvalidParam`]: no multicast request, longer than the buffer,
    /// or the file was truncated. [`Status::TooBig`]: longer than any message may be.
    pub(super) fn read(&self, token: u64) -> Result<Bytes, Status> {
        let buffer = self.open.get(&token).ok_or(Status::BadHandle)?;
        let mut header = [0; REQUEST];
        read_exact(&buffer.file, &mut header, REQUEST_AT)?;
        let number = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        let payload = u32::from_ne_bytes(number(32)) as usize;
        if i32::from_ne_bytes(number(0)) != MULTICAST || payload as u64 > buffer.len - OVERHEAD {
            return Err(Status::InvalidParam);
        }
        if payload > LONGEST {
            return Err(Status::TooBig);
        }
        let mut request = vec![0; REQUEST + payload];
        read_exact(&buffer.file, &mut request[REQUEST..], OVERHEAD)?;
        let size = i32::try_from(request.len()).map_err(|_| Status::TooBig)?;
        header[8..12].copy_from_slice(&size.to_ne_bytes());
        request[..REQUEST].copy_from_slice(&header);
        Ok(request.into())
    }

    /// Number of buffers.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Gives up a buffer and returns its file; `None` for an unknown token.
    ///
    /// The caller closes the file, which may take long: it may be of any size, and closing it frees its memory.
    pub(super) fn close(&mut self, token: u64) -> Option<OwnedFd> {
        self.open.remove(&token).map(|buffer| buffer.file)
    }
}

fn read_exact(file: &OwnedFd, mut out: &mut [u8], mut at: u64) -> Result<(), Status> {
    while !out.is_empty() {
        match rustix::io::pread(file, &mut *out, at) {
            Ok(0) => return Err(Status::InvalidParam),
            Ok(got) => {
                out = &mut out[got..];
                at += got as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Err(Status::Library),
        }
    }
    Ok(())
}

/// The path in a request, if libcpg makes such paths.
fn checked(path: &[u8]) -> Option<CString> {
    let random = path.strip_prefix(PREFIX)?;
    if random.len() != RANDOM || !random.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    CString::new(path).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use super::*;

    fn status_of(outcome: Result<u64, Refused>) -> Status {
        outcome.unwrap_err().status
    }

    fn make(name: &str, len: u64) -> (Vec<u8>, fs::File) {
        let path = [PREFIX, name.as_bytes()].concat();
        let text = str::from_utf8(&path).unwrap();
        let _ = fs::remove_file(text);
        let file = fs::File::options().read(true).write(true).create_new(true).open(text).unwrap();
        file.set_len(len).unwrap();
        (path, file)
    }

    fn request(msglen: u32) -> [u8; REQUEST] {
        let mut request = [0; REQUEST];
        request[..4].copy_from_slice(&2_i32.to_ne_bytes());
        request[32..36].copy_from_slice(&msglen.to_ne_bytes());
        request
    }

    #[test]
    fn a_buffer_is_opened_read_and_closed() {
        let uid = rustix::process::getuid().as_raw();
        let mut buffers = Buffers::default();
        let (path, file) = make("annuls", 10_056);
        let token = buffers.open(&path, 10_056, uid).unwrap();
        let mut written = [0; 8];
        file.read_exact_at(&mut written, 8).unwrap();
        assert_eq!(u64::from_ne_bytes(written), token);
        assert!(!fs::exists(str::from_utf8(&path[..PREFIX.len() + 6]).unwrap()).unwrap());

        file.write_all_at(&request(5), 16).unwrap();
        file.write_all_at(b"hello", 56).unwrap();
        let read = buffers.read(token).unwrap();
        assert_eq!(read[8..12], 45_i32.to_ne_bytes());
        assert_eq!(read[40..], *b"hello");

        file.write_all_at(&request(10_001), 16).unwrap();
        assert_eq!(buffers.read(token), Err(Status::InvalidParam));
        file.write_all_at(&request(10_000), 16).unwrap();
        file.set_len(300).unwrap();
        assert_eq!(buffers.read(token), Err(Status::InvalidParam));
        assert_eq!(buffers.len(), 1);
        assert!(buffers.close(token).is_some() && buffers.close(token).is_none());
        assert_eq!(buffers.len(), 0);
        assert_eq!(buffers.read(token), Err(Status::BadHandle));
    }

    #[test]
    fn foreign_files_are_refused_and_kept() {
        let uid = rustix::process::getuid().as_raw();
        let mut buffers = Buffers::default();
        for path in [
            &b"/etc/passwd"[..],
            b"/dev/shm/corosync_zerocopy-../../x",
            b"/dev/shm/corosync_zerocopy-abc/ef",
            b"/dev/shm/corosync_zerocopy-abcde",
            b"/dev/shm/corosync_zerocopy-abcdefg",
            b"/dev/shm/corosync_zerocopy-abcdef\0",
            b"/dev/shm/corosync_zerocopy-abcd\0f",
            b"",
        ] {
            assert_eq!(status_of(buffers.open(path, 4096, uid)), Status::InvalidParam);
        }
        let (path, _file) = make("annul2", 4096);
        let name = str::from_utf8(&path[..PREFIX.len() + 6]).unwrap().to_owned();
        assert_eq!(status_of(buffers.open(&path, 4096, uid + 1)), Status::Access);
        assert!(fs::exists(&name).unwrap());
        assert_eq!(status_of(buffers.open(&path, 55, uid)), Status::InvalidParam);
        assert_eq!(status_of(buffers.open(&path, 4097, uid)), Status::InvalidParam);
        assert!(!fs::exists(&name).unwrap());
        std::os::unix::fs::symlink("/etc/passwd", &name).unwrap();
        assert_eq!(status_of(buffers.open(&path, 4096, uid)), Status::Access);
        fs::remove_file(&name).unwrap();
    }
}
