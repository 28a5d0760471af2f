//! The process at the other end of a socket, as the kernel reports it, and how much that has not read yet.
#![allow(
    unsafe_code,
    reason = "recvmsg with credentials, SO_PEERCRED and SIOCOUTQ have no safe wrapper \
                                that stands a process id of 0"
)]

use std::io::{self, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags};

/// The process at the other end of a connection, and its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Process id; 0 if it is not visible in this PID namespace.
    pub pid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id. Supplementary groups are not considered.
    pub gid: u32,
}

impl Credentials {
    fn of(raw: libc::ucred) -> Self {
        Self { pid: raw.pid.try_into().unwrap_or(0), uid: raw.uid, gid: raw.gid }
    }
}

/// Receives into `buf` without blocking, with the sender's credentials if the kernel has attached them
/// (`SO_PASSCRED`). 0 bytes: the other end is closed.
///
/// # Errors
/// `InvalidData`: the sender attached descriptors, which no client needs to do. They are not received, because
/// closing them may take as long as the sender likes.
pub(super) fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, Option<Credentials>)> {
    let looked = receive_with(socket, buf, libc::MSG_PEEK)?;
    if looked.cut {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors were sent"));
    }
    // No more bytes than were peeked at, as later ones may carry descriptors.
    let Heard { bytes, credentials, .. } = receive_with(socket, &mut buf[..looked.bytes], 0)?;
    Ok((bytes, credentials))
}

/// The result of [`receive_with`].
struct Heard {
    bytes: usize,
    credentials: Option<Credentials>,
    /// Whether there were control messages other than credentials, that is, descriptors.
    cut: bool,
}

/// Room for credentials and nothing else: the kernel keeps descriptors that have no room and says so.
// SAFETY: computes a number.
const ROOM: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;

fn receive_with(socket: BorrowedFd<'_>, buf: &mut [u8], flags: libc::c_int) -> io::Result<Heard> {
    #[repr(C)]
    union Control {
        header: libc::cmsghdr,
        room: [u8; ROOM],
    }
    let mut control = Control { room: [0; ROOM] };
    let mut part = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: msghdr is plain data, for which zeros are valid; its pointers are set to live buffers of the
    // lengths given. Control messages are walked with the macros made for it, inside what the kernel says
    // it wrote, and a credentials message is read only if its length is that of a ucred.
    unsafe {
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
        let flags = flags | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let got = libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags);
        let Ok(bytes) = usize::try_from(got) else {
            return Err(io::Error::last_os_error());
        };
        let mut credentials = None;
        let mut cut = message.msg_flags & libc::MSG_CTRUNC != 0;
        let mut next = libc::CMSG_FIRSTHDR(&raw const message);
        while !next.is_null() {
            let header = &*next;
            let len = header.cmsg_len as usize;
            match (header.cmsg_level, header.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS)
                    if len >= libc::CMSG_LEN(size_of::<libc::ucred>() as u32) as usize =>
                {
                    let raw = libc::CMSG_DATA(next).cast::<libc::ucred>().read_unaligned();
                    credentials = Some(Credentials::of(raw));
                }
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    // The kernel attached no credentials, which left room for these. They now belong to this process.
                    cut = true;
                    let data = libc::CMSG_DATA(next).cast::<libc::c_int>();
                    for i in 0..(len - libc::CMSG_LEN(0) as usize) / size_of::<libc::c_int>() {
                        libc::close(data.add(i).read_unaligned());
                    }
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(&raw const message, next);
        }
        Ok(Heard { bytes, credentials, cut })
    }
}

/// What is at the head of a socket's receive queue.
pub(super) enum Arrived {
    /// This many bytes, which were removed; 0: the other end is closed.
    Bytes(usize),
    /// Nothing, or the socket has an error.
    Nothing,
    /// Bytes with descriptors, which were not removed.
    Descriptors,
}

/// Removes doorbell bytes from a socket. The socket must not receive credentials.
pub(super) fn discard(socket: BorrowedFd<'_>) -> Arrived {
    let mut bytes = [0; 1024];
    let mut none = RecvAncillaryBuffer::default();
    let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
    let looked = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut none, flags);
    match looked {
        Ok(looked) if looked.flags.contains(ReturnFlags::CTRUNC) => Arrived::Descriptors,
        // No more bytes than were peeked at.
        Ok(looked) => match rustix::net::recv(socket, &mut bytes[..looked.bytes], RecvFlags::DONTWAIT) {
            Ok((got, _)) => Arrived::Bytes(got),
            Err(_) => Arrived::Nothing,
        },
        Err(_) => Arrived::Nothing,
    }
}

/// The process that called `connect` (with its effective ids at that time), known before anything is received. On a
/// connecting socket: the process that called `listen`.
pub(super) fn connected_by(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut raw = MaybeUninit::<libc::ucred>::zeroed();
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the buffer is a ucred and `len` its size; zeros are a valid ucred.
    unsafe {
        let result = libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            raw.as_mut_ptr().cast(),
            &raw mut len,
        );
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Credentials::of(raw.assume_init()))
    }
}

/// Whether the other end of a unix stream socket has read everything sent to it.
pub(super) fn all_read(socket: BorrowedFd<'_>) -> bool {
    let mut bytes: libc::c_int = 0;
    // SAFETY: TIOCOUTQ (the same number as SIOCOUTQ) writes one int.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    result == 0 && bytes == 0
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_kernel_reports_the_sender() {
        let (mut a, b) = UnixStream::pair().unwrap();
        rustix::net::sockopt::set_socket_passcred(&b, true).unwrap();
        a.write_all(b"hello").unwrap();
        assert!(!all_read(a.as_fd()));
        let mut buf = [0; 16];
        let (got, who) = receive(b.as_fd(), &mut buf).unwrap();
        assert_eq!(&buf[..got], b"hello");
        let me = Credentials {
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        };
        assert_eq!(who, Some(me));
        assert_eq!(connected_by(b.as_fd()).unwrap().pid, me.pid);
        assert!(all_read(a.as_fd()));
        assert_eq!(receive(b.as_fd(), &mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(a);
        assert_eq!(receive(b.as_fd(), &mut buf).unwrap().0, 0);
    }
}
