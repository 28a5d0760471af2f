#![allow(
    unsafe_code,
    reason = "system calls for which neither socket2 nor rustix has a safe form that reuses buffers"
)]
//! The few system calls that need raw pointers: batched send and receive, socket memory, interface list.
//!
//! Every function here is safe to call; the pointers given to the kernel live only within one call.

use std::ffi::CStr;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::SockAddr;

/// Datagrams that one `sendmmsg` carries at most.
pub(super) const SEND_BATCH: usize = 64;

/// Datagrams that one `recvmmsg` takes at most.
pub(super) const RECV_BATCH: usize = 64;

/// One datagram to send.
#[derive(Clone, Copy)]
pub(super) struct Departure<'a> {
    pub(super) to: &'a SockAddr,
    pub(super) payload: &'a [u8],
}

/// One datagram received: how long, whether it was longer than its slot, and who sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) len: usize,
    pub(super) truncated: bool,
    pub(super) from: Option<SocketAddr>,
}

impl Arrival {
    pub(super) const NONE: Self = Self { len: 0, truncated: false, from: None };
}

/// Sends the first [`SEND_BATCH`] of `departures` with one call; returns how many the kernel took.
///
/// An error concerns the first datagram and none was sent; an error of a later one ends the batch before it.
pub(super) fn send_many<'a>(
    socket: BorrowedFd<'a>,
    departures: impl Iterator<Item = Departure<'a>>,
) -> io::Result<usize> {
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; SEND_BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; SEND_BATCH];
    let mut count = 0;
    for ((departure, vector), header) in departures.zip(&mut vectors).zip(&mut headers) {
        let vector = vector.write(libc::iovec {
            iov_base: departure.payload.as_ptr().cast_mut().cast(),
            iov_len: departure.payload.len(),
        });
        let header = header.write(empty_header());
        header.msg_hdr.msg_name = departure.to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = departure.to.len();
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the first `count` headers are initialised; each points to one initialised vector of `vectors`
    // and, through `departures`, to an address and a payload that are borrowed for longer than the
    // call. The kernel only reads names and payloads of sendmmsg; it writes msg_len into the headers, to which
    // we hold the only reference. `count` is at most SEND_BATCH and fits c_uint.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

/// Receives into `buffer`, cut into slots of `stride` bytes of which the first `room` may be written; one call, at
/// most [`RECV_BATCH`] datagrams and at most one for each entry of `arrivals`. Returns how many came.
///
/// Fewer than asked for means that the socket was empty (or met an error, which the next call reports).
pub(super) fn recv_many(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    stride: usize,
    room: usize,
    arrivals: &mut [Arrival],
) -> io::Result<usize> {
    assert!(0 < room && room <= stride, "slots overlap");
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; RECV_BATCH];
    let mut names = [const { MaybeUninit::<libc::sockaddr_in6>::zeroed() }; RECV_BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; RECV_BATCH];
    let mut count = 0;
    let slots = buffer.chunks_exact_mut(stride).take(arrivals.len());
    for (((slot, vector), name), header) in slots.zip(&mut vectors).zip(&mut names).zip(&mut headers) {
        let vector = vector.write(libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: room });
        let header = header.write(empty_header());
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the first `count` headers are initialised; each points to one initialised vector, to a name of
    // the size given and, through the vector, to `room` bytes of a slot of its own in `buffer`, which is borrowed
    // mutably during the call. No time-out is passed.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            std::ptr::null_mut(),
        )
    };
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    let received = (received as usize).min(count);
    for ((arrival, header), name) in arrivals.iter_mut().zip(&headers).zip(&names).take(received) {
        // SAFETY: `received` is at most `count`, and the first `count` headers were initialised above.
        let header = unsafe { header.assume_init_ref() };
        // SAFETY: names were zeroed, which is a valid sockaddr_in6 (integers only), and the kernel wrote over
        // them at most.
        let name = unsafe { name.assume_init_ref() };
        *arrival = Arrival {
            len: (header.msg_len as usize).min(room),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            from: source(name, header.msg_hdr.msg_namelen as usize),
        };
    }
    Ok(received)
}

/// Datagrams that the kernel threw away at this socket since it was opened.
///
/// Source: `SO_MEMINFO`, `SK_MEMINFO_DROPS` (linux/sock_diag.h).
pub(super) fn kernel_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = [0u32; 16];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: `info` and `len` are valid for writes during the call and `len` says how large `info` is.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info[libc::SK_MEMINFO_DROPS as usize]) }
}

/// An address of an interface, as the kernel lists it.
pub(super) struct RawInterface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) flags: u32,
    pub(super) addr: IpAddr,
    pub(super) mask: IpAddr,
}

/// The addresses of all interfaces in this thread's network namespace.
pub(super) fn interfaces() -> io::Result<Vec<RawInterface>> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `first` is valid for a write; on success it is the list's head, freed below.
    if unsafe { libc::getifaddrs(&raw mut first) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut list = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: `next` is an element of the list, which is alive until freeifaddrs.
        let entry = unsafe { &*next };
        next = entry.ifa_next;
        // SAFETY: the address pointers of an element are null or point to a sockaddr of their family.
        let (Some(addr), Some(mask)) =
            (unsafe { address(entry.ifa_addr) }, unsafe { address(entry.ifa_netmask) })
        else {
            continue;
        };
        // SAFETY: ifa_name is a NUL-terminated string that lives as long as the list.
        let label = unsafe { CStr::from_ptr(entry.ifa_name) }.to_string_lossy();
        // An address with a label is listed under it ("eth0:1"); the interface is what stands before the colon.
        let name = label.split(':').next().unwrap_or(&label).to_owned();
        let index = interface_index(&name);
        list.push(RawInterface { name, index, flags: entry.ifa_flags, addr, mask });
    }
    // SAFETY: `first` came from getifaddrs, is freed once, and nothing borrowed from it is alive.
    unsafe { libc::freeifaddrs(first) };
    Ok(list)
}

/// The number of a named interface; 0 if it vanished meanwhile.
fn interface_index(name: &str) -> u32 {
    let Ok(name) = std::ffi::CString::new(name) else { return 0 };
    // SAFETY: `name` is a NUL-terminated string, alive during the call.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// A header without name, control data or flags.
fn empty_header() -> libc::mmsghdr {
    // SAFETY: integers and pointers only, for which zero is valid; the padding that some libcs have is private,
    // so it cannot be written as a literal.
    unsafe { MaybeUninit::<libc::mmsghdr>::zeroed().assume_init() }
}

/// Who sent a datagram, from the name that the kernel wrote.
fn source(name: &libc::sockaddr_in6, len: usize) -> Option<SocketAddr> {
    match i32::from(name.sin6_family) {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: a sockaddr_in is smaller than the sockaddr_in6 behind the reference, has no stricter
            // alignment, and holds integers only.
            let name = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// The IP address behind a socket address.
///
/// # Safety
///
/// `name` is null or points to a socket address as long as its family says.
unsafe fn address(name: *const libc::sockaddr) -> Option<IpAddr> {
    if name.is_null() {
        return None;
    }
    // SAFETY: not null, so it points to a sockaddr, whose family can always be read.
    match i32::from(unsafe { (*name).sa_family }) {
        libc::AF_INET => {
            // SAFETY: the family says that a sockaddr_in is there; read unaligned, so nothing else is needed.
            let name = unsafe { name.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that a sockaddr_in6 is there; read unaligned, so nothing else is needed.
            let name = unsafe { name.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(name.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// How often this process is the child of a fork, since this was asked for the first time. Costs a look at memory.
pub(super) fn forks() -> u32 {
    static ASKED: Once = Once::new();
    static FORKS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn in_the_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    ASKED.call_once(|| {
        // SAFETY: the handler only changes an atomic, which is allowed between fork and exec; it lives for ever.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) };
        assert!(failed == 0, "a handler for forks finds no memory");
    });
    FORKS.load(Ordering::Relaxed)
}
