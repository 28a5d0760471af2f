//! Who is at the other end of a socket, as the kernel says; and how much it has not read yet.
#![allow(
    unsafe_code,
    reason = "recvmsg with credentials, SO_PEERCRED and SIOCOUTQ have no safe wrapper \
                                that stands a process id of 0"
)]

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Process and owner at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Process id; 0 if it is not visible in this PID namespace.
    pub pid: u32,
    /// Real user id.
    pub uid: u32,
    /// Real group id. Supplementary groups are never looked at.
    pub gid: u32,
}

impl Credentials {
    fn of(raw: libc::ucred) -> Self {
        Self { pid: raw.pid.try_into().unwrap_or(0), uid: raw.uid, gid: raw.gid }
    }
}

/// Receives without blocking into `buf`, with the sender's credentials if the kernel attached them
/// (`SO_PASSCRED`). 0 bytes: the other end is closed.
pub(super) fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<(usize, Option<Credentials>)> {
    #[repr(C)]
    union Control {
        header: libc::cmsghdr,
        room: [u8; 64],
    }
    let mut control = Control { room: [0; 64] };
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
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        let got = libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags);
        let Ok(got) = usize::try_from(got) else {
            return Err(io::Error::last_os_error());
        };
        let mut credentials = None;
        let mut next = libc::CMSG_FIRSTHDR(&raw const message);
        while !next.is_null() {
            let header = &*next;
            if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_CREDENTIALS {
                if header.cmsg_len as usize >= libc::CMSG_LEN(size_of::<libc::ucred>() as u32) as usize {
                    let raw = libc::CMSG_DATA(next).cast::<libc::ucred>().read_unaligned();
                    credentials = Some(Credentials::of(raw));
                }
            } else if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
                // Nobody has reason to send descriptors; those that arrived are ours to close.
                let data = libc::CMSG_DATA(next);
                let bytes = header.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for i in 0..bytes / size_of::<libc::c_int>() {
                    libc::close(data.cast::<libc::c_int>().add(i).read_unaligned());
                }
            }
            next = libc::CMSG_NXTHDR(&raw const message, next);
        }
        Ok((got, credentials))
    }
}

/// Who called `connect` (effective ids then), known before anything was received.
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

/// Whether the other end of a unix stream has read everything sent to it.
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
    fn the_kernel_names_the_sender() {
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
