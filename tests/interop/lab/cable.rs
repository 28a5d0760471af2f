#![allow(unsafe_code, reason = "packet sockets with the header of virtio have no safe interface")]
//! One end of a cable, read and written frame by frame.
//!
//! Each frame is preceded by the header that virtio_net(4) uses, with which a large datagram that the kernel has not
//! cut into frames yet, and a checksum that it has not computed yet, pass through unchanged.

use std::ffi::{CString, c_int};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Length of the header before each frame.
pub(super) const HEADER: usize = 10;
/// Size of the largest frame with its header: a datagram of 64 KiB and the headers of the layers below.
pub(super) const LARGEST: usize = HEADER + 14 + (64 << 10);
/// Bytes of frames that wait to be read.
const BUFFER: c_int = 16 << 20;

/// A socket that reads all frames that arrive at one network interface, and sends frames from it.
#[derive(Debug)]
pub(super) struct Cable(OwnedFd);

impl Cable {
    /// Opens the interface of this name in the network namespace of the calling thread.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let name = CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the name ends with a zero byte.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        // Without a protocol it receives nothing before it is bound.
        // SAFETY: the call takes no pointers.
        let fd = check(unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
        })?;
        // SAFETY: the descriptor is new and owned by nobody else.
        let cable = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        cable.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        cable.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        cable.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER)?;
        cable.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, BUFFER)?;
        // SAFETY: all fields are numbers, for which zero is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as c_int;
        // SAFETY: the address is valid for reads of the length given with it.
        check(unsafe {
            libc::bind(fd, (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t)
        })?;
        Ok(cable)
    }

    fn set(&self, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
        // SAFETY: the value is valid for reads of the length given with it.
        let result = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                level,
                option,
                (&raw const value).cast(),
                size_of::<c_int>() as libc::socklen_t,
            )
        };
        check(result).map(drop)
    }

    /// Reads a frame with its header. `None`: none is there.
    pub(super) fn read<'a>(&self, buf: &'a mut [u8; LARGEST]) -> Option<&'a [u8]> {
        rustix::io::read(&self.0, &mut buf[..]).ok().map(|len| &buf[..len])
    }

    /// Sends a frame with its header. Returns whether the kernel took it.
    pub(super) fn write(&self, frame: &[u8]) -> bool {
        rustix::io::write(&self.0, frame).is_ok()
    }
}

impl AsFd for Cable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
