//! The multicast ring: data to a group or broadcast address, tokens by unicast (Corosync's totemudp).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use socket2::{InterfaceIndexOrAddress, SockAddr, Socket};
use tokio::io::unix::AsyncFd;

use super::addr::Local;
use super::gate::Gate;
use super::peers::target;
use super::received::{Left, Received};
use super::socket::{self, failed};
use super::udpu::FRUITLESS_CALLS;
use super::{Cast, Options, Stats, TransportError};

/// Purposes, for errors, of the two sockets that only this ring uses.
pub(super) const SEND: &str = "send";
pub(super) const TOKEN: &str = "token";

/// Number of tokens taken from their socket before the multicast socket is emptied. There is one token for a
/// node at a time; more arrive only by retransmission.
const TOKENS: usize = 8;

/// Number of datagrams that may be handed up while a token waits, far more than a ring's window. Beyond it
/// they arrive faster than they are handled, and a token that waited longer would be lost.
const WAIT_LIMIT: usize = 4096;

/// Three sockets: one bound to the group receives what is for all nodes; one bound to (local address, port)
/// receives what is for this node alone; everything is sent from (local address, port - 1).
#[derive(Debug)]
pub(super) struct Udp {
    cast: AsyncFd<Socket>,
    coalesces: bool,
    token: AsyncFd<Socket>,
    send: Socket,
    group: SockAddr,
    source: SocketAddr,
    /// Tokens received; the first `handed` of them are handed up.
    tokens: Received,
    handed: usize,
    /// Datagrams handed up since the oldest waiting token arrived.
    waited: usize,
}

impl Udp {
    pub(super) fn open(
        options: &Options,
        cast: Cast,
        local: &Local,
        stats: &mut Stats,
    ) -> Result<Self, TransportError> {
        let group_ip = match cast {
            Cast::Multicast { group, .. } => group,
            Cast::Broadcast => Ipv4Addr::BROADCAST.into(),
        };
        let group = target(group_ip, options.port, local);
        let token_address = target(local.addr, options.port, local);
        let source = target(local.addr, options.port - 1, local);
        let size = socket::buffer_size(options);

        let send = socket::open(source)?;
        stats.send_buffer = socket::size_send_buffer(&send, size)?;
        stats.dscp = socket::mark(&send, source.is_ipv4(), options.dscp)?;
        match cast {
            Cast::Multicast { ttl, .. } => set_multicast(&send, local, ttl)?,
            Cast::Broadcast => send.set_broadcast(true).map_err(failed("allow broadcast"))?,
        }
        socket::bind(&send, source, SEND)?;

        let token = socket::open(token_address)?;
        socket::size_recv_buffer(&token, size)?;
        socket::bind(&token, token_address, TOKEN)?;

        let recv = socket::open(group)?;
        // Other rings of this host, and other nodes of a test, may share the group. The two sockets above
        // must not be shared: with SO_REUSEADDR a second daemon would receive this ring's tokens instead of
        // an error.
        recv.set_reuse_address(true).map_err(failed("share the group's address"))?;
        stats.recv_buffer = socket::size_recv_buffer(&recv, size)?;
        let coalesces = socket::coalesce(&recv);
        if let Cast::Multicast { group, .. } = cast {
            only_joined(&recv, group)?;
        }
        socket::bind(&recv, group, "multicast")?;
        if let Cast::Multicast { group, .. } = cast {
            join(&recv, group, local)?;
        }

        Ok(Self {
            cast: socket::register(recv)?,
            coalesces,
            token: socket::register(token)?,
            send,
            group: group.into(),
            source,
            tokens: Received::with_slots(TOKENS),
            handed: 0,
            waited: 0,
        })
    }

    pub(super) fn sender(&self) -> &Socket {
        &self.send
    }

    /// Whether the kernel combines received datagrams.
    pub(super) const fn coalesces(&self) -> bool {
        self.coalesces
    }

    /// The destination of datagrams for all nodes.
    pub(super) fn group(&self) -> &SockAddr {
        &self.group
    }

    /// The source address of this node's datagrams.
    pub(super) fn source(&self) -> SocketAddr {
        self.source
    }

    pub(super) fn receivers(&self) -> impl Iterator<Item = &Socket> {
        [self.cast.get_ref(), self.token.get_ref()].into_iter()
    }

    /// Joins the group again after the interface has left it.
    pub(super) fn rejoin(&self, group: IpAddr, local: &Local) -> Result<(), TransportError> {
        // The socket may still count as a member, and joining would fail; if it does not, leaving fails.
        let _ = leave(self.cast.get_ref(), group, local);
        join(self.cast.get_ref(), group, local)
    }

    /// Reads tokens first and hands them up last, so that all data which was there when the token was read
    /// goes before it. In the other order, data and then its token could arrive between the two reads.
    pub(super) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        batch: &mut Received,
        gate: &mut Gate<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..FRUITLESS_CALLS {
            // Both sockets must be polled, so that both wake this task.
            let cast = self.cast.poll_read_ready(cx)?;
            let token = self.token.poll_read_ready(cx)?;
            if self.waiting() == 0 {
                self.tokens.clear();
                (self.handed, self.waited) = (0, 0);
                match (&cast, token) {
                    (Poll::Pending, Poll::Pending) => return Poll::Pending,
                    (Poll::Ready(_), Poll::Pending) => {}
                    (_, Poll::Ready(mut ready)) => {
                        if self.tokens.receive(ready.get_inner(), 0, gate) == Left::Nothing {
                            ready.clear_ready();
                        }
                    }
                }
            }
            let spare = self.tokens.len() - self.handed;
            let before = batch.len();
            let left = batch.receive(self.cast.get_ref(), spare, gate);
            if let (Left::Nothing, Poll::Ready(mut ready)) = (left, cast) {
                ready.clear_ready();
            }
            self.waited += batch.len() - before;
            if left == Left::Nothing || self.waited >= WAIT_LIMIT {
                self.hand_tokens(batch);
            }
            if !batch.is_empty() {
                return Poll::Ready(Ok(()));
            }
            batch.clear();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn waiting(&self) -> usize {
        self.tokens.len() - self.handed
    }

    fn hand_tokens(&mut self, batch: &mut Received) {
        while !batch.is_full()
            && let Some(token) = self.tokens.datagram(self.handed)
        {
            batch.push(token);
            self.handed += 1;
        }
    }
}

fn set_multicast(socket: &Socket, local: &Local, ttl: u8) -> Result<(), TransportError> {
    let set = match local.addr {
        IpAddr::V4(addr) => socket
            .set_multicast_loop_v4(false)
            .and_then(|()| socket.set_multicast_ttl_v4(ttl.into()))
            .and_then(|()| socket.set_multicast_if_v4(&addr)),
        IpAddr::V6(_) => socket
            .set_multicast_loop_v6(false)
            .and_then(|()| socket.set_multicast_hops_v6(ttl.into()))
            .and_then(|()| socket.set_multicast_if_v6(local.index)),
    };
    set.map_err(failed("set up sending to a multicast group"))
}

/// Limits the socket to its group's interface; otherwise the kernel delivers datagrams from every interface
/// on which any socket joined the group.
fn only_joined(socket: &Socket, group: IpAddr) -> Result<(), TransportError> {
    let set = match group {
        IpAddr::V4(_) => socket.set_multicast_all_v4(false),
        IpAddr::V6(_) => socket.set_multicast_all_v6(false),
    };
    set.map_err(failed("restrict multicast to the interface joined"))
}

fn join(socket: &Socket, group: IpAddr, local: &Local) -> Result<(), TransportError> {
    let joined = match group {
        IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(local.index)),
        IpAddr::V6(group) => socket.join_multicast_v6(&group, local.index),
    };
    joined.map_err(|source| TransportError::Join { group, interface: local.interface.clone(), source })
}

fn leave(socket: &Socket, group: IpAddr, local: &Local) -> io::Result<()> {
    match group {
        IpAddr::V4(group) => {
            socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(local.index))
        }
        IpAddr::V6(group) => socket.leave_multicast_v6(&group, local.index),
    }
}
