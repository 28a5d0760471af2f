#![allow(
    unsafe_code,
    reason = "system calls for which neither socket2 nor rustix has a safe form that reuses buffers"
)]
//! The few system calls that need raw pointers: sending and receiving in batches, errors and memory of a socket,
//! and the notice of a fork.
//!
//! Every function here is safe to call; the pointers passed to the kernel are valid only during one call.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::SockAddr;

/// Largest number of messages in one `sendmmsg` call.
pub(super) const SEND_BATCH: usize = 64;

/// Largest total number of pieces in the messages of one `sendmmsg` call.
const SEND_PARTS: usize = 256;

/// Largest number of datagrams into which the kernel cuts one message. Source: linux `UDP_MAX_SEGMENTS`
/// before 6.9.
pub(super) const SEGMENTS: usize = 64;

/// Largest number of messages in one `recvmmsg` call.
pub(super) const RECV_BATCH: usize = 64;

/// One message to send: a datagram, or several consecutive ones to one address.
#[derive(Clone, Copy)]
pub(super) struct Departure<'a, P> {
    pub(super) to: &'a SockAddr,
    /// The pieces of the message, at least one and at most [`SEGMENTS`].
    pub(super) parts: P,
    /// Length of each datagram into which the kernel cuts the message, in bytes; the last one may be shorter.
    /// `None` if the message is a single datagram.
    pub(super) segment: Option<u16>,
}

/// One received message: its length, whether it was longer than its slot, and its sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) len: usize,
    pub(super) truncated: bool,
    pub(super) from: Option<SocketAddr>,
    /// Length of each datagram that the kernel combined into the message, all from one sender, in bytes; the
    /// last one may be shorter. `None` if the message is a single datagram. Only `Some` after [`coalesce`]
    /// was called.
    pub(super) segment: Option<u16>,
}

impl Arrival {
    pub(super) const NONE: Self = Self { len: 0, truncated: false, from: None, segment: None };

    /// The length of each datagram in the message, at least 1; the last one may be shorter.
    pub(super) fn each(&self) -> usize {
        self.segment.map_or(self.len, usize::from).max(1)
    }
}

/// Space for one control message of at most [`CONTROL`] bytes, aligned as the kernel requires.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control<const N: usize>([u8; N]);

/// Size of a control message with an int or less: header (16 bytes on 64-bit machines) and payload, aligned.
const CONTROL: usize = 24;

const _: () = {
    // SAFETY: arithmetic only.
    let space = unsafe { libc::CMSG_SPACE(size_of::<libc::c_int>() as libc::c_uint) } as usize;
    assert!(space <= CONTROL, "no room for a control message");
};

/// Sends the first [`SEND_BATCH`] of `departures` with one system call; returns how many the kernel accepted.
///
/// An error concerns the first message, and none was sent; an error of a later message ends the batch before
/// it.
pub(super) fn send_many<'a, P: Iterator<Item = &'a [u8]>>(
    socket: BorrowedFd<'a>,
    departures: impl Iterator<Item = Departure<'a, P>>,
) -> io::Result<usize> {
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; SEND_PARTS];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; SEND_BATCH];
    let mut controls = [const { MaybeUninit::<Control<CONTROL>>::uninit() }; SEND_BATCH];
    let mut free = vectors.as_mut_slice();
    let mut count = 0;
    for ((departure, header), control) in departures.zip(&mut headers).zip(&mut controls) {
        if free.len() < SEGMENTS {
            break;
        }
        let mut used = 0;
        for (part, vector) in departure.parts.take(SEGMENTS).zip(free.iter_mut()) {
            vector.write(libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
            used += 1;
        }
        let (own, rest) = free.split_at_mut(used);
        free = rest;
        let header = header.write(empty_header());
        header.msg_hdr.msg_name = departure.to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = departure.to.len();
        header.msg_hdr.msg_iov = own.as_mut_ptr().cast();
        header.msg_hdr.msg_iovlen = used as _;
        if let Some(segment) = departure.segment {
            let control = control.write(Control([0; CONTROL]));
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            // SAFETY: arithmetic only.
            header.msg_hdr.msg_controllen =
                unsafe { libc::CMSG_SPACE(size_of::<u16>() as libc::c_uint) } as _;
            // SAFETY: control data and its length were set above, to memory that is aligned for a cmsghdr and has
            // room for one (asserted at compile time) with a payload of two bytes, so CMSG_FIRSTHDR is not null and
            // all that is written lies inside. The payload may be unaligned.
            unsafe {
                let first = libc::CMSG_FIRSTHDR(&raw const header.msg_hdr);
                (*first).cmsg_level = libc::SOL_UDP;
                (*first).cmsg_type = libc::UDP_SEGMENT;
                (*first).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) as _;
                libc::CMSG_DATA(first).cast::<u16>().write_unaligned(segment);
            }
        }
        count += 1;
    }
    // SAFETY: the first `count` headers are initialised; each points to initialised vectors of `vectors` of its own,
    // to control data of `controls` or none and, through `departures`, to an address and payloads that are borrowed
    // for longer than the call. The kernel only reads names, control data and payloads of sendmmsg; it writes
    // msg_len into the headers, to which we hold the only reference. `count` is at most SEND_BATCH and fits c_uint.
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

/// Receives into `buffer`, divided into slots of `stride` bytes of which the first `room` may be written.
/// Makes one system call for at most [`RECV_BATCH`] messages, and at most one message for each entry of
/// `arrivals`. Returns the number of messages.
///
/// Fewer messages than requested mean that the socket was empty (or had an error, which the next call
/// returns).
pub(super) fn recv_many(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    stride: usize,
    room: usize,
    arrivals: &mut [Arrival],
) -> io::Result<usize> {
    assert!(0 < room && room <= stride, "slots overlap");
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; RECV_BATCH];
    let mut names = [const { MaybeUninit::<libc::sockaddr_in6>::uninit() }; RECV_BATCH];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; RECV_BATCH];
    let mut controls = [const { MaybeUninit::<Control<CONTROL>>::uninit() }; RECV_BATCH];
    let mut count = 0;
    let slots = buffer.chunks_exact_mut(stride).take(arrivals.len());
    let places = slots.zip(&mut vectors).zip(&mut names).zip(&mut controls).zip(&mut headers);
    for ((((slot, vector), name), control), header) in places {
        *name = MaybeUninit::zeroed();
        *control = MaybeUninit::zeroed();
        let vector = vector.write(libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: room });
        let header = header.write(empty_header());
        header.msg_hdr.msg_name = name.as_mut_ptr().cast();
        header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = CONTROL as _;
        count += 1;
    }
    // SAFETY: the first `count` headers are initialised; each points to one initialised vector, to a name and control
    // data of the sizes given and, through the vector, to `room` bytes of a slot of its own in `buffer`, which is
    // borrowed mutably during the call. No time-out is passed.
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
        // SAFETY: the first `count` names were zeroed, which is a valid sockaddr_in6 (integers only), and the kernel
        // wrote over them at most.
        let name = unsafe { name.assume_init_ref() };
        *arrival = Arrival {
            len: (header.msg_len as usize).min(room),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            from: source(name, header.msg_hdr.msg_namelen as usize),
            segment: segment_size(&header.msg_hdr),
        };
    }
    Ok(received)
}

/// The length of the datagrams that the kernel combined into a received message; `None` if it is a single
/// one.
fn segment_size(header: &libc::msghdr) -> Option<u16> {
    // SAFETY: the kernel wrote control messages of the length that the header says into memory that is still alive
    // and was zeroed before. CMSG_FIRSTHDR is null where there is no room for a header.
    let first = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    if (first.cmsg_level, first.cmsg_type) != (libc::SOL_UDP, libc::UDP_GRO) {
        return None;
    }
    // SAFETY: control messages have room for a header and an int (asserted at compile time), which is what this kind
    // has; it may be unaligned.
    let size = unsafe { libc::CMSG_DATA(first).cast::<libc::c_int>().read_unaligned() };
    u16::try_from(size).ok().filter(|size| *size > 0)
}

/// Allows the kernel to combine datagrams of one sender into one received message; see [`Arrival::segment`].
pub(super) fn coalesce(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_UDP, libc::UDP_GRO, 1)
}

/// Makes the kernel queue errors reported by the network (MTU and other ICMP messages), with the address that
/// they concern; see [`queued_error`].
pub(super) fn queue_errors(socket: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        set_int(socket, libc::SOL_IP, libc::IP_RECVERR, 1)
    } else {
        set_int(socket, libc::SOL_IPV6, libc::IPV6_RECVERR, 1)
    }
}

/// Makes the kernel send datagrams unfragmented, whatever path MTU it assumes.
pub(super) fn probe_mtu(socket: BorrowedFd<'_>, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        set_int(socket, libc::SOL_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
    } else {
        set_int(socket, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
        set_int(socket, libc::SOL_IPV6, libc::IPV6_DONTFRAG, 1)
    }
}

/// Allows binding the socket to an address that no interface has (yet). Works for both IP versions.
pub(super) fn bind_freely(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_int(socket, libc::SOL_IP, libc::IP_FREEBIND, 1)
}

fn set_int(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: `value` is alive during the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An error that the kernel queued at a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueuedError {
    /// The error number.
    pub(super) errno: i32,
    /// The destination of the datagram that the error concerns.
    pub(super) to: Option<SocketAddr>,
    /// The host that reports it, if the network does.
    pub(super) by: Option<IpAddr>,
    /// Whether this host reports the error, and not the network.
    pub(super) local: bool,
    /// With `EMSGSIZE`, the MTU in bytes.
    pub(super) info: u32,
    /// What the reporter quotes of the beginning of the datagram, filled up with zeros.
    pub(super) quoted: [u8; QUOTED],
}

/// The most bytes that are taken of what an error quotes.
pub(super) const QUOTED: usize = 32;

/// Takes the next error from the queue; `None` if it is empty.
pub(super) fn queued_error(socket: BorrowedFd<'_>) -> io::Result<Option<QueuedError>> {
    // Space for the error, the address of its reporter, and other configured control messages.
    let mut control = Control([0u8; 256]);
    let mut name = MaybeUninit::<libc::sockaddr_in6>::zeroed();
    let mut quoted = [0u8; QUOTED];
    let mut vector = libc::iovec { iov_base: quoted.as_mut_ptr().cast(), iov_len: quoted.len() };
    let mut header = empty_header().msg_hdr;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    // SAFETY: name, control data and the one vector are alive during the call and have the lengths given.
    let received = unsafe {
        libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
    };
    if received < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    }
    // SAFETY: it was zeroed, which is a valid sockaddr_in6 (integers only), and the kernel wrote over it at most.
    let to = source(unsafe { name.assume_init_ref() }, header.msg_namelen as usize);
    let mut found = QueuedError { errno: 0, to, by: None, local: false, info: 0, quoted };
    // SAFETY: the kernel wrote control messages of the length that the header says into `control`, which is alive.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    // SAFETY: as above; CMSG_NXTHDR is null after the last one.
    while let Some(message) = unsafe { next.as_ref() } {
        let is_error = matches!(
            (message.cmsg_level, message.cmsg_type),
            (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
        );
        // SAFETY: arithmetic only.
        let needed = unsafe { libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as libc::c_uint) } as usize;
        if is_error && message.cmsg_len >= needed {
            // SAFETY: the message is as long as this struct, which consists of integers; it may be unaligned.
            let error = unsafe { libc::CMSG_DATA(next).cast::<libc::sock_extended_err>().read_unaligned() };
            found.errno = error.ee_errno as i32;
            found.local = error.ee_origin == libc::SO_EE_ORIGIN_LOCAL;
            found.info = error.ee_info;
            // SAFETY: the kernel wrote the message, with its data, into `control`, which is alive.
            found.by = unsafe { reporter(message, next) };
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    Ok(Some(found))
}

/// The address of the host that reports an error: it follows the error in its control message, if there is one.
///
/// # Safety
/// `at` points to `message`, which has data of the length that it says.
unsafe fn reporter(message: &libc::cmsghdr, at: *const libc::cmsghdr) -> Option<IpAddr> {
    const HEAD: usize = size_of::<libc::sock_extended_err>();
    let mut name = MaybeUninit::<libc::sockaddr_in6>::zeroed();
    // SAFETY: arithmetic only.
    let payload = message.cmsg_len.checked_sub(unsafe { libc::CMSG_LEN(0) } as usize)?;
    let len = payload.checked_sub(HEAD)?.min(size_of::<libc::sockaddr_in6>());
    // SAFETY: the message has `payload` bytes of data, of which `len` after the first `HEAD` are copied into `name`, which
    // has room for them. `name` was zeroed, which is a valid sockaddr_in6 (integers only).
    let name = unsafe {
        let data = libc::CMSG_DATA(at).add(HEAD);
        std::ptr::copy_nonoverlapping(data, name.as_mut_ptr().cast::<u8>(), len);
        name.assume_init_ref()
    };
    source(name, len).map(|address| address.ip())
}

/// Number of datagrams that the kernel dropped at this socket since it was opened. Those that it had combined into one
/// message count as one.
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

/// A message header without name, control data or flags.
fn empty_header() -> libc::mmsghdr {
    // SAFETY: integers and pointers only, for which zero is valid; the padding that some libcs have is private,
    // so it cannot be written as a literal.
    unsafe { MaybeUninit::<libc::mmsghdr>::zeroed().assume_init() }
}

/// The sender of a datagram, from the name that the kernel wrote.
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

/// How many forks lie between the process of the first call and this one. Costs one memory access.
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
