//! The unicast ring: one socket, one datagram to each node (Corosync's totemudpu).

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use socket2::Socket;
use tokio::io::unix::AsyncFd;

use super::addr::Local;
use super::gate::Gate;
use super::peers::target;
use super::received::{Left, Received};
use super::socket;
use super::{Options, Stats, TransportError};

/// The purpose of the socket, for errors.
pub(super) const PURPOSE: &str = "ring";

/// Consecutive batches without any datagram to hand up (a flood from unknown senders) after which other tasks
/// get their turn.
pub(super) const FRUITLESS_CALLS: u32 = 4;

/// Bound to (local address, port). It receives and sends everything, so tokens have the same source port as
/// Corosync's, and cannot overtake frames sent before them.
#[derive(Debug)]
pub(super) struct Udpu {
    socket: AsyncFd<Socket>,
    coalesces: bool,
}

impl Udpu {
    pub(super) fn open(options: &Options, local: &Local, stats: &mut Stats) -> Result<Self, TransportError> {
        let address: SocketAddr = target(local.addr, options.port, local);
        let socket = socket::open(address)?;
        let size = socket::buffer_size(options);
        stats.recv_buffer = socket::size_recv_buffer(&socket, size)?;
        stats.send_buffer = socket::size_send_buffer(&socket, size)?;
        stats.dscp = socket::mark(&socket, address.is_ipv4(), options.dscp)?;
        let coalesces = socket::coalesce(&socket);
        // No SO_REUSEADDR: a second daemon on this port must fail here, not share the datagrams.
        socket::bind(&socket, address, PURPOSE)?;
        let socket = socket::register(socket)?;
        Ok(Self { socket, coalesces })
    }

    pub(super) fn sender(&self) -> &Socket {
        self.socket.get_ref()
    }

    /// Whether the kernel combines received datagrams.
    pub(super) const fn coalesces(&self) -> bool {
        self.coalesces
    }

    pub(super) fn receivers(&self) -> impl Iterator<Item = &Socket> {
        std::iter::once(self.socket.get_ref())
    }

    pub(super) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Received,
        gate: &mut Gate<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..FRUITLESS_CALLS {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            if batch.receive(ready.get_inner(), 0, gate) == Left::Nothing {
                ready.clear_ready();
            }
            if !batch.is_empty() {
                return Poll::Ready(Ok(()));
            }
            batch.clear();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
