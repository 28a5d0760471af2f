//! Sockets with the options that a ring needs: non-blocking, buffers for a burst, priority, code point.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use rustix::net::sockopt as rustix_opt;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Options, TransportError, sys};

/// Priority of all sent packets, the highest that needs no privilege; Corosync's (`SO_PRIORITY` 6) is the
/// same.
const PRIORITY: u32 = 6;

/// Bytes by which a frame may exceed `netmtu`: IP and UDP headers, and the wrapper of a frame retransmitted
/// in recovery.
const FRAME_EXTRA: usize = 48 + 45;

/// What the kernel adds to each queued packet: its descriptor and shared info, rounded up.
const DESCRIPTOR: usize = 512;

/// Smallest memory block into which network drivers receive; many use a page for each packet.
const PAGE: usize = 4096;

/// Range of the buffer sizes requested, as the kernel accounts them (twice the number given to `setsockopt`).
const BUFFER: std::ops::RangeInclusive<usize> = 4 << 20..=64 << 20;

/// Memory that the kernel accounts for one queued frame of `netmtu` bytes: data in a power-of-two block, and
/// its descriptor.
const fn truesize(netmtu: usize) -> usize {
    let data = netmtu + FRAME_EXTRA;
    (if data <= PAGE { PAGE } else { data.next_power_of_two() }) + DESCRIPTOR
}

/// The size of a socket buffer, in bytes as the kernel accounts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BufferSize {
    /// With a smaller buffer frames are lost under load, so a warning is logged.
    needed: usize,
    /// The size that is requested.
    wanted: usize,
}

/// Buffer size that libknet requests; a larger one is requested only if the window needs it. Source: libknet,
/// `KNET_RING_RCVBUFF`: 8 MiB, which the kernel accounts twice.
const LINK_BUFFER: usize = 16 << 20;

/// The socket buffer of a link.
pub(super) fn link_buffer_size(options: &Options, others: usize) -> BufferSize {
    let window = (options.window as usize)
        .saturating_mul(others.max(1))
        .saturating_mul(truesize(options.netmtu))
        .min(*BUFFER.end());
    BufferSize { needed: LINK_BUFFER, wanted: window.max(LINK_BUFFER) }
}

impl BufferSize {
    /// Returns an error if less than needed was granted.
    pub(super) fn demand(self, given: usize, sysctl: &'static str) -> Result<(), TransportError> {
        if given >= self.needed {
            return Ok(());
        }
        Err(TransportError::Buffer { given: given / 2, needed: self.needed / 2, sysctl })
    }
}

/// The socket buffer that holds a full window from (or to) every other node.
///
/// Needed is `window × others × truesize`; requested is the same but at least 4 MiB; both are at most 64 MiB.
/// This much can be in transit if this node does not run for one rotation while retransmissions overlap with
/// new frames. Every frame lost by an overflow costs a retransmission round, which is what makes a loaded
/// ring collapse. The memory is used only while datagrams are queued.
pub(super) fn buffer_size(options: &Options) -> BufferSize {
    let others = options.peers.iter().filter(|peer| peer.id != options.me).count().max(1);
    let window = (options.window as usize).saturating_mul(others).saturating_mul(truesize(options.netmtu));
    let needed = window.min(*BUFFER.end());
    BufferSize { needed, wanted: needed.max(*BUFFER.start()) }
}

/// Opens a non-blocking UDP socket of the address family of `like`.
pub(super) fn open(like: SocketAddr) -> Result<Socket, TransportError> {
    let domain = if like.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket =
        Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(failed("open a UDP socket"))?;
    socket.set_nonblocking(true).map_err(failed("make a socket non-blocking"))?;
    if like.is_ipv6() {
        socket.set_only_v6(true).map_err(failed("keep IPv4 out of an IPv6 socket"))?;
    }
    Ok(socket)
}

/// Lets the kernel combine received datagrams of one sender; see [`sys::coalesce`]. Returns whether it does.
pub(super) fn coalesce(socket: &Socket) -> bool {
    let coalesced = sys::coalesce(socket.as_fd());
    if let Err(error) = &coalesced {
        tracing::debug!(%error, "the kernel does not put datagrams together");
    }
    coalesced.is_ok()
}

/// Binds a socket; a port in use has an error of its own.
pub(super) fn bind(
    socket: &Socket,
    address: SocketAddr,
    purpose: &'static str,
) -> Result<(), TransportError> {
    socket.bind(&SockAddr::from(address)).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => TransportError::InUse { address, purpose },
        _ => TransportError::Bind { address, purpose, source },
    })
}

/// Registers the socket with the runtime, which signals when it can be read.
#[allow(
    deprecated,
    reason = "newer tokio asks for an unsafe form because of types that do not own their descriptor; Socket owns it"
)]
pub(super) fn register(socket: Socket) -> Result<AsyncFd<Socket>, TransportError> {
    AsyncFd::with_interest(socket, Interest::READABLE).map_err(failed("register a socket with the runtime"))
}

/// Sets code point and priority of what the socket sends; returns the code point that the kernel reports.
///
/// The priority is set last, because the kernel derives another priority from the code point.
pub(super) fn mark(socket: &Socket, ipv4: bool, dscp: Option<u8>) -> Result<Option<u8>, TransportError> {
    let mut applied = None;
    if let Some(dscp) = dscp {
        let field = u32::from(dscp) << 2;
        let set = if ipv4 { socket.set_tos_v4(field) } else { socket.set_tclass_v6(field) };
        set.map_err(failed("set ip_dscp"))?;
        let read = if ipv4 { socket.tos_v4() } else { socket.tclass_v6() };
        let read = (read.map_err(failed("read ip_dscp back"))? >> 2 & 63) as u8;
        if read != dscp {
            tracing::warn!(
                wanted = dscp,
                applied = read,
                "the kernel sends with another ip_dscp than configured"
            );
        }
        applied = Some(read);
    }
    if let Err(error) = socket.set_priority(PRIORITY) {
        // Without the priority, only the order in the local queue is affected.
        tracing::warn!(%error, priority = PRIORITY, "the priority of the ring's datagrams could not be set");
    }
    Ok(applied)
}

/// Requests a receive buffer; returns the size that the kernel granted, in bytes as it accounts them.
pub(super) fn size_recv_buffer(socket: &Socket, size: BufferSize) -> Result<usize, TransportError> {
    let asked = size.wanted / 2;
    if rustix_opt::set_socket_recv_buffer_size_force(socket.as_fd(), asked).is_err() {
        // Without CAP_NET_ADMIN the kernel silently limits the size to net.core.rmem_max.
        socket.set_recv_buffer_size(asked).map_err(failed("size the receive buffer"))?;
    }
    let given = socket.recv_buffer_size().map_err(failed("read the receive buffer's size"))?;
    warn_if_small(given, size, "net.core.rmem_max", "receive");
    Ok(given)
}

/// Requests a send buffer; returns the size that the kernel granted, in bytes as it accounts them.
pub(super) fn size_send_buffer(socket: &Socket, size: BufferSize) -> Result<usize, TransportError> {
    let asked = size.wanted / 2;
    if rustix_opt::set_socket_send_buffer_size_force(socket.as_fd(), asked).is_err() {
        socket.set_send_buffer_size(asked).map_err(failed("size the send buffer"))?;
    }
    let given = socket.send_buffer_size().map_err(failed("read the send buffer's size"))?;
    warn_if_small(given, size, "net.core.wmem_max", "send");
    Ok(given)
}

fn warn_if_small(
    given: usize,
    BufferSize { needed, wanted }: BufferSize,
    sysctl: &'static str,
    which: &'static str,
) {
    if given < needed {
        tracing::warn!(
            given,
            needed,
            "the {which} buffer is too small for a full window from every node, under load frames will be lost and \
             sent again; set sysctl {sysctl}={} or more",
            wanted / 2
        );
    }
}

/// Maps an error of the kernel to a [`TransportError`] that names the failed action.
pub(super) fn failed(action: &'static str) -> impl Fn(io::Error) -> TransportError {
    move |source| TransportError::Socket { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::transport::{Kind, Peer};

    fn options(nodes: u32, netmtu: usize, window: u32) -> Options {
        let id = |n| NodeId::new(n).unwrap();
        let peers =
            (1..=nodes).map(|n| Peer { id: id(n), addr: [10, 0, (n >> 8) as u8, n as u8].into() }).collect();
        Options { netmtu, window, ..Options::new(Kind::Udpu, id(1), [10, 0, 0, 1].into(), peers) }
    }

    #[test]
    fn buffers_hold_a_window_from_every_other_node() {
        assert_eq!(truesize(1500), 4096 + 512);
        assert_eq!(truesize(9000), 16384 + 512);
        let size = |nodes, netmtu, window| {
            let BufferSize { needed, wanted } = buffer_size(&options(nodes, netmtu, window));
            (needed, wanted)
        };
        let exactly = |bytes| (bytes, bytes);
        assert_eq!(size(3, 1500, 50), (50 * 2 * (4096 + 512), 4 << 20));
        assert_eq!(size(65, 1500, 50), exactly(50 * 64 * (4096 + 512)));
        assert_eq!(size(3, 9000, 300), exactly(300 * 2 * (16384 + 512)));
        assert_eq!(size(384, 1500, 50), exactly(64 << 20));
        assert_eq!(size(384, 65535, 16384), exactly(64 << 20));
    }
}
