//! Opaque datagrams to and from the other nodes: batched, non-blocking, over UDP.
//!
//! Answers to Corosync's `exec/totemnet.c`. A transport knows addresses and sockets; it has never heard of Totem.
//! A datagram is one UDP payload, as it is; over several links it is a message, which may be longer. What fails is counted and logged, never fatal: datagrams may be lost
//! here as on any network, and the ring repairs that.
//!
//! | file | what it is for | in Corosync |
//! |---|---|---|
//! | `options.rs` | [`Options`]: what a transport is opened with, and what is refused | `totemconfig.c` |
//! | `error.rs` | [`TransportError`]: why it cannot be opened | |
//! | `plain.rs` | what udp and udpu have in common: one socket address, clear datagrams | |
//! | `udpu.rs` | the unicast ring: one socket, a datagram to each node | `totemudpu.c` |
//! | `udp.rs` | the multicast or broadcast ring: group, token and send socket | `totemudp.c` |
//! | `links/` | several links to each node: the sockets, clock and keys around `knet/` | `totemknet.c` |
//! | `knet/` | what is decided about links, pure; their packets; encryption | libknet |
//! | `looped.rs` | datagrams for this node itself | |
//! | `socket.rs` | options of a socket: buffers, priority, code point | |
//! | `addr.rs` | which address of which interface is meant | `totemip.c` |
//! | `peers.rs` | node ↔ address | |
//! | `gate.rs` | which received datagrams are handed up | |
//! | `source_port.rs` | from which port a peer sends | |
//! | `send.rs` | batches out, errors counted by destination | |
//! | `received.rs` | [`Received`]: batches in, reused buffers | |
//! | `stats.rs` | [`Stats`] | |
//! | `sys.rs` | the system calls that need pointers: `sendmmsg`, `recvmmsg`, `getifaddrs` | |

mod addr;
mod error;
mod gate;
pub mod knet;
mod links;
mod looped;
mod options;
mod peers;
mod plain;
mod random;
mod received;
mod send;
mod socket;
mod source_port;
mod stats;
mod sys;
mod udp;
mod udpu;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use bytes::Bytes;

pub use error::TransportError;
pub use options::{Cast, Kind, Options, Peer};
pub(crate) use random::random;
pub use received::Received;
pub use source_port::Shows;
pub use stats::{DroppedIn, DroppedOut, Errors, PeerStats, Stats, Traffic};

use crate::ids::{Destination, NodeId};
use crate::time::Instant;
use crate::value::Value;
use knet::LinkView;
use knet::envelope::{Envelope, Suite};
use links::Links;
use plain::Plain;

/// Datagrams to and from the other nodes.
///
/// Lives in a tokio runtime with IO enabled, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Transport {
    way: Way,
}

#[derive(Debug)]
enum Way {
    Plain(Box<Plain>),
    Links(Box<Links>),
}

/// What [`Transport::check_interface`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceChange {
    /// As before, up or down.
    None,
    /// The local address vanished, or its interface went down. Sending goes on and fails, receiving waits.
    Gone,
    /// The local address is there again (or was away between two checks), sockets and group are in order.
    Back,
}

impl Transport {
    /// Opens the sockets. Must be called inside a tokio runtime.
    ///
    /// Tries once; see [`TransportError::may_pass`] for what is worth another try.
    pub fn open(options: &Options) -> Result<Self, TransportError> {
        let way = match &options.kind {
            Kind::Udpu | Kind::Udp(_) => Way::Plain(Box::new(Plain::open(options)?)),
            Kind::Knet(knet) => Way::Links(Box::new(Links::open(options, knet)?)),
        };
        Ok(Self { way })
    }

    /// Says how a datagram is recognised that only this implementation sends from the ring's port. Until it is called,
    /// peers of a unicast ring may send from any port.
    pub fn recognise(&mut self, shows: fn(&[u8]) -> Shows) {
        match &mut self.way {
            Way::Plain(plain) => plain.recognise(shows),
            // A datagram over links says who it is from by itself.
            Way::Links(_) => {}
        }
    }

    /// Says which nodes are in a ring with this one. What is known of the port that they send from is kept.
    pub fn set_members(&mut self, members: &[NodeId]) {
        match &mut self.way {
            Way::Plain(plain) => plain.set_members(members),
            Way::Links(_) => {}
        }
    }

    /// Whether the sockets could be opened now, in the words of [`Transport::open`]. Nothing stays open; needs no
    /// runtime.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn probe(options: &Options) -> Result<(), TransportError> {
        match &options.kind {
            Kind::Udpu | Kind::Udp(_) => Plain::probe(options),
            Kind::Knet(knet) => Links::probe(options, knet),
        }
    }

    /// Sends every datagram of `batch`, in order, and empties it.
    ///
    /// [`Destination::All`] is every peer but this node: one datagram each in node-list order on udpu, one to the
    /// group on udp. A datagram for this node itself comes back from [`Transport::poll_recv`] without touching the
    /// network. Nothing here is fatal: what could not be sent is counted in [`Stats`] by reason and peer. A full
    /// socket buffer is waited for, blocking the thread, 2 ms in all and 2 ms more for the first datagram that is for
    /// a single node (a token); what does not fit then is dropped.
    pub fn send(&mut self, batch: &mut Vec<(Destination, Bytes)>) {
        match &mut self.way {
            Way::Plain(plain) => plain.send(batch),
            Way::Links(links) => links.send(batch),
        }
    }

    /// Receives what is there, at most a batch; ready once there is at least one datagram.
    ///
    /// Datagrams of one sender keep their order. On udp all data that had arrived before a token was taken is handed
    /// up before it, so no token overtakes data. What is refused (sender not in the node list, own multicast come
    /// back, truncated) is counted and never wakes the caller for nothing. An error means that the runtime is
    /// shutting down; everything else is counted in [`Stats::recv_errors`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Received) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Plain(plain) => plain.poll_recv(cx, batch),
            Way::Links(links) => links.poll_recv(cx, batch),
        }
    }

    /// [`Transport::poll_recv`] as a future. Dropping it loses nothing.
    pub async fn recv(&mut self, batch: &mut Received) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_recv(cx, batch)).await
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        match &self.way {
            Way::Plain(plain) => plain.stats(),
            Way::Links(links) => links.stats(),
        }
    }

    /// Where this node receives what is for it alone.
    pub fn local(&self) -> SocketAddr {
        match &self.way {
            Way::Plain(plain) => plain.local(),
            Way::Links(links) => links.local(),
        }
    }

    /// Whether the local address was there at the last look.
    pub fn is_up(&self) -> bool {
        match &self.way {
            Way::Plain(plain) => plain.is_up(),
            Way::Links(links) => links.is_up(),
        }
    }

    /// Whether this would be a node list for [`Transport::set_peers`].
    ///
    /// # Errors
    /// [`TransportError::Setting`] names the setting and the reason.
    pub fn check_peers(&self, peers: &[Peer]) -> Result<(), TransportError> {
        match &self.way {
            Way::Plain(plain) => plain.check_peers(peers),
            Way::Links(_) => Ok(()),
        }
    }

    /// Takes a new node list; refused as a whole, with nothing changed, if it is not one.
    ///
    /// The list is a set: naming a node again does not make it receive twice. Buffer sizes stay as opened.
    pub fn set_peers(&mut self, peers: &[Peer]) -> Result<(), TransportError> {
        match &mut self.way {
            Way::Plain(plain) => plain.set_peers(peers),
            Way::Links(_) => Ok(()),
        }
    }

    /// Whether datagrams from addresses outside of the node list are dropped from now on.
    pub fn set_block_unlisted(&mut self, block: bool) {
        match &mut self.way {
            Way::Plain(plain) => plain.set_block_unlisted(block),
            Way::Links(_) => {}
        }
    }

    /// Sends with another code point from now on; `None` means the system's default, 0.
    pub fn set_dscp(&mut self, dscp: Option<u8>) -> Result<(), TransportError> {
        match &mut self.way {
            Way::Plain(plain) => plain.set_dscp(dscp),
            Way::Links(links) => links.set_dscp(dscp),
        }
    }

    /// Looks whether the local address is still there, and puts sockets and group in order when it came back.
    ///
    /// Call it every `downcheck` (1 s) and after a token loss; it also brings
    /// [`DroppedIn::kernel`] up to date. The sockets are kept unless the interface became another one.
    pub fn check_interface(&mut self) -> InterfaceChange {
        match &mut self.way {
            Way::Plain(plain) => plain.check_interface(),
            Way::Links(links) => links.check_interface(),
        }
    }
    /// Whether this could be gone over to with [`Transport::set_links`].
    ///
    /// # Errors
    /// Why not.
    pub fn check_links(&self, knet: &knet::Options) -> Result<(), TransportError> {
        match &self.way {
            Way::Plain(_) => Err(not_knet()),
            Way::Links(links) => links.check(knet),
        }
    }

    /// Goes over to other hosts, links and settings of them; refused as a whole, with nothing changed, if it cannot be
    /// done. What stays as it was goes on as before. How packets are encrypted does not change by this: see
    /// [`Transport::envelope`].
    ///
    /// # Errors
    /// Why not.
    pub fn set_links(&mut self, knet: &knet::Options) -> Result<(), TransportError> {
        match &mut self.way {
            Way::Plain(_) => Err(not_knet()),
            Way::Links(links) => links.reconfigure(knet),
        }
    }

    /// How each link to each other host is, and what time it is on their clock; `None` on a transport without links.
    pub fn links(&self) -> Option<(Instant, Vec<LinkView>)> {
        match &self.way {
            Way::Plain(_) => None,
            Way::Links(links) => Some(links.links()),
        }
    }

    /// The numbers of this node's links and its addresses on them.
    pub fn own_links(&self) -> Vec<(u8, IpAddr)> {
        match &self.way {
            Way::Plain(_) => Vec::new(),
            Way::Links(links) => links.own(),
        }
    }

    /// How packets are encrypted; `None` on a transport that cannot.
    pub fn suite(&self) -> Option<Suite> {
        match &self.way {
            Way::Plain(_) => None,
            Way::Links(links) => Some(links.suite()),
        }
    }

    /// Changes how packets are encrypted; `None` on a transport that cannot.
    pub fn envelope<T>(&mut self, change: impl FnOnce(&mut Envelope) -> T) -> Option<T> {
        match &mut self.way {
            Way::Plain(_) => None,
            Way::Links(links) => {
                let done = change(links.envelope());
                links.sealed_anew();
                Some(done)
            }
        }
    }

    /// What is counted of links under the names of Corosync's statistics map.
    pub fn statistics(&self) -> Vec<(String, Value)> {
        match &self.way {
            Way::Plain(_) => Vec::new(),
            Way::Links(links) => links.statistics(),
        }
    }

    /// What is counted of links is 0 from now on.
    pub fn clear_statistics(&mut self) {
        match &mut self.way {
            Way::Plain(_) => {}
            Way::Links(links) => links.clear_statistics(),
        }
    }
}

fn not_knet() -> TransportError {
    TransportError::Setting {
        setting: "transport",
        node: None,
        why: "it cannot be changed at run-time; restart the node".to_owned(),
    }
}
