//! Opaque datagrams to and from the other nodes, over UDP: in batches and non-blocking.
//!
//! Counterpart of Corosync's `exec/totemnet.c`. A transport knows addresses and sockets, but nothing of
//! Totem. A datagram is one UDP payload; over several links it is a message, which may be longer. Failures
//! are counted and logged, and are never fatal: datagrams may be lost here as on any network, and the ring
//! retransmits them.
//!
//! | file | contents | in Corosync |
//! |---|---|---|
//! | `options.rs` | [`Options`]: settings of a transport, and their validation | `totemconfig.c` |
//! | `error.rs` | [`TransportError`]: why a transport cannot be opened | |
//! | `plain.rs` | common part of udp and udpu: one socket address, clear datagrams | |
//! | `udpu.rs` | the unicast ring: one socket, a datagram to each node | `totemudpu.c` |
//! | `udp.rs` | the multicast or broadcast ring: group, token and send socket | `totemudp.c` |
//! | `links/` | several links to each node: the sockets, clock and keys around `knet/` | `totemknet.c` |
//! | `knet/` | decisions about links, without IO; their packets; encryption | libknet |
//! | `looped.rs` | datagrams from this node to itself | |
//! | `socket.rs` | socket options: buffers, priority, code point | |
//! | `addr.rs` | finds the address and interface that a configured address refers to | `totemip.c` |
//! | `peers.rs` | node ↔ address | |
//! | `probes.rs` | whether a process receives on the host of another node | |
//! | `random.rs` | random bytes of the kernel | |
//! | `gate.rs` | decides which received datagrams are handed up | |
//! | `source_port.rs` | the port from which a peer sends | |
//! | `send.rs` | sending in batches; errors counted by destination | |
//! | `fan.rs` | the order in which the messages of a unicast ring leave | |
//! | `run.rs` | consecutive datagrams that are sent as one message | |
//! | `received.rs` | [`Received`]: batches of received datagrams in reused buffers | |
//! | `stats.rs` | [`Stats`] | |
//! | `sys.rs` | the system calls that need pointers: `sendmmsg`, `recvmmsg`, `pthread_atfork` | |

mod addr;
mod error;
mod fan;
mod gate;
pub mod knet;
mod links;
mod looped;
mod options;
mod peers;
mod plain;
mod probes;
mod random;
mod received;
mod run;
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
use std::time::Duration;

use bytes::Bytes;

pub use error::TransportError;
pub use options::{Cast, Kind, Options, Peer};
pub(crate) use random::random;
pub use received::Received;
pub use run::Offload;
pub use source_port::Shows;
pub use stats::{DroppedIn, DroppedOut, Errors, PeerStats, Stats, Traffic};

use crate::ids::{Destination, NodeId};
use crate::time::Instant;
use crate::value::Value;
use knet::LinkView;
use knet::envelope::{Envelope, Suite};
use links::Links;
use plain::Plain;
use probes::Probes;

/// Sends datagrams to the other nodes and receives theirs.
///
/// Must be used in a tokio runtime with IO enabled, and in the network namespace of the thread that opened
/// it.
#[derive(Debug)]
pub struct Transport {
    way: Way,
    probes: Probes,
}

#[derive(Debug)]
enum Way {
    Plain(Box<Plain>),
    Links(Box<Links>),
}

/// Result of [`Transport::check_interface`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceChange {
    /// Unchanged, up or down.
    None,
    /// The local address disappeared, or its interface went down. Sending continues and fails; receiving
    /// waits.
    Gone,
    /// The local address is there again (or was away between two checks); sockets and group membership are
    /// restored.
    Back,
}

impl Transport {
    /// Opens the sockets. Must be called inside a tokio runtime.
    ///
    /// Tries once; [`TransportError::may_pass`] says for which errors another attempt is useful.
    pub fn open(options: &Options) -> Result<Self, TransportError> {
        let way = match &options.kind {
            Kind::Udpu | Kind::Udp(_) => Way::Plain(Box::new(Plain::open(options)?)),
            Kind::Knet(knet) => Way::Links(Box::new(Links::open(options, knet)?)),
        };
        Ok(Self { way, probes: Probes::default() })
    }

    /// Sets the function that recognises datagrams which only this implementation sends from the ring's port.
    /// Until it is called, peers of a unicast ring may send from any port.
    pub fn recognise(&mut self, shows: fn(&[u8]) -> Shows) {
        match &mut self.way {
            Way::Plain(plain) => plain.recognise(shows),
            // A datagram over links identifies its sender itself.
            Way::Links(_) => {}
        }
    }

    /// Sets the nodes that are in a ring with this one. What is known of the ports that they send from is
    /// kept.
    pub fn set_members(&mut self, members: &[NodeId]) {
        match &mut self.way {
            Way::Plain(plain) => plain.set_members(members),
            Way::Links(_) => {}
        }
    }

    /// Whether the sockets could be opened now; returns the same errors as [`Transport::open`]. No socket
    /// stays open. Needs no runtime.
    ///
    /// # Errors
    /// [`TransportError`] if they could not be opened.
    pub fn probe(options: &Options) -> Result<(), TransportError> {
        match &options.kind {
            Kind::Udpu | Kind::Udp(_) => Plain::probe(options),
            Kind::Knet(knet) => Links::probe(options, knet),
        }
    }

    /// Sends all datagrams of `batch`, and empties it. Each node gets its own in the order of the batch. On udpu with
    /// many nodes, a token leaves before the frames ahead of it have been sent to all others.
    ///
    /// [`Destination::All`] means every peer except this node: on udpu one datagram to each, in node-list
    /// order, on udp one to the group. A datagram for this node itself is returned by
    /// [`Transport::poll_recv`] and never reaches the network. No failure is fatal: what could not be sent is
    /// counted in [`Stats`] by reason and peer. If the socket buffer is full, the call blocks the thread for
    /// up to 2 ms in total, and up to 2 ms more for the first datagram that is for a single node (a token);
    /// what does not fit then is dropped.
    pub fn send(&mut self, batch: &mut Vec<(Destination, Bytes)>) {
        match &mut self.way {
            Way::Plain(plain) => plain.send(batch),
            Way::Links(links) => links.send(batch),
        }
    }

    /// Receives what has arrived, at most one batch; ready once there is at least one datagram.
    ///
    /// Datagrams of one sender keep their order. On udp, all data that arrived before a token was read is
    /// handed up before it, so that no token overtakes data. Refused datagrams (sender not in the node list,
    /// own multicast returned, truncated) are counted and do not wake the caller. An error means that the
    /// runtime is shutting down; everything else is counted in [`Stats::recv_errors`].
    pub fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Received) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Plain(plain) => plain.poll_recv(cx, batch),
            Way::Links(links) => links.poll_recv(cx, batch),
        }
    }

    /// Future of [`Transport::poll_recv`]. Dropping it loses no datagram.
    pub async fn recv(&mut self, batch: &mut Received) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_recv(cx, batch)).await
    }

    /// Asks the host of a node whether a process receives there, on all links to it that are up. The answer comes from
    /// [`Transport::refused`], if it is no; otherwise there is none.
    pub fn ask(&mut self, node: NodeId) {
        let routes = match &self.way {
            Way::Plain(plain) => plain.routes(node),
            Way::Links(links) => links.routes(node),
        };
        self.probes.ask(node, &routes);
    }

    /// The nodes whose hosts have said since the last call that no process receives there, once for each time they were
    /// asked.
    pub fn refused(&mut self) -> Vec<NodeId> {
        self.probes.refused()
    }

    /// What the kernel does for several datagrams at a time; on knet, what it does on all links.
    pub fn offload(&self) -> Offload {
        match &self.way {
            Way::Plain(plain) => plain.offload(),
            Way::Links(links) => links.offload(),
        }
    }

    /// The counters since the transport was opened.
    pub fn stats(&self) -> &Stats {
        match &self.way {
            Way::Plain(plain) => plain.stats(),
            Way::Links(links) => links.stats(),
        }
    }

    /// The address at which this node receives datagrams for it alone.
    pub fn local(&self) -> SocketAddr {
        match &self.way {
            Way::Plain(plain) => plain.local(),
            Way::Links(links) => links.local(),
        }
    }

    /// Whether the local address was there at the last check.
    pub fn is_up(&self) -> bool {
        match &self.way {
            Way::Plain(plain) => plain.is_up(),
            Way::Links(links) => links.is_up(),
        }
    }

    /// Checks whether [`Transport::set_peers`] would accept this node list.
    ///
    /// # Errors
    /// [`TransportError::Setting`] names the setting and the reason.
    pub fn check_peers(&self, peers: &[Peer]) -> Result<(), TransportError> {
        match &self.way {
            Way::Plain(plain) => plain.check_peers(peers),
            Way::Links(_) => Ok(()),
        }
    }

    /// Replaces the node list; refused as a whole, with nothing changed, if the list is invalid.
    ///
    /// The list is a set: a node listed twice does not receive twice. Buffer sizes stay as opened.
    pub fn set_peers(&mut self, peers: &[Peer]) -> Result<(), TransportError> {
        match &mut self.way {
            Way::Plain(plain) => plain.set_peers(peers),
            Way::Links(_) => Ok(()),
        }
    }

    /// Sets whether datagrams from addresses outside of the node list are dropped.
    pub fn set_block_unlisted(&mut self, block: bool) {
        match &mut self.way {
            Way::Plain(plain) => plain.set_block_unlisted(block),
            Way::Links(_) => {}
        }
    }

    /// Changes the code point of sent packets; `None` means the system's default, 0.
    pub fn set_dscp(&mut self, dscp: Option<u8>) -> Result<(), TransportError> {
        match &mut self.way {
            Way::Plain(plain) => plain.set_dscp(dscp),
            Way::Links(links) => links.set_dscp(dscp),
        }
    }

    /// Checks whether the local address is still there, and restores sockets and group membership when it is
    /// back.
    ///
    /// Call it every `downcheck` (1 s) and after a token loss; it also updates [`DroppedIn::kernel`]. The
    /// sockets are kept unless the address is on another interface now.
    pub fn check_interface(&mut self) -> InterfaceChange {
        match &mut self.way {
            Way::Plain(plain) => plain.check_interface(),
            Way::Links(links) => links.check_interface(),
        }
    }
    /// Checks whether [`Transport::set_links`] would accept these settings.
    ///
    /// # Errors
    /// The reason why it would refuse them.
    pub fn check_links(&self, knet: &knet::Options) -> Result<(), TransportError> {
        match &self.way {
            Way::Plain(_) => Err(not_knet()),
            Way::Links(links) => links.check(knet),
        }
    }

    /// Changes hosts, links and their settings; refused as a whole, with nothing changed, if that is not
    /// possible. What stays the same keeps its state. Does not change the encryption: see
    /// [`Transport::envelope`].
    ///
    /// # Errors
    /// The reason why the settings are refused.
    pub fn set_links(&mut self, knet: &knet::Options) -> Result<(), TransportError> {
        match &mut self.way {
            Way::Plain(_) => Err(not_knet()),
            Way::Links(links) => links.reconfigure(knet),
        }
    }

    /// Sets the token time-out in force, if that is shorter than the configured one: links are then watched so closely
    /// that silence on one is noticed before the token is lost. Nothing on a transport without links.
    pub fn hurry(&mut self, token: Option<Duration>) {
        if let Way::Links(links) = &mut self.way {
            links.hurry(token);
        }
    }

    /// The state of each link to each other host, and the current time on the clock of these states; `None`
    /// on a transport without links.
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

    /// The cipher and hash with which packets are sealed; `None` on a transport without encryption.
    pub fn suite(&self) -> Option<Suite> {
        match &self.way {
            Way::Plain(_) => None,
            Way::Links(links) => Some(links.suite()),
        }
    }

    /// Changes the encryption of packets by calling `change`; `None` on a transport without encryption.
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

    /// The counters of the links, with the keys of Corosync's statistics map.
    pub fn statistics(&self) -> Vec<(String, Value)> {
        match &self.way {
            Way::Plain(_) => Vec::new(),
            Way::Links(links) => links.statistics(),
        }
    }

    /// Resets the counters of the links to 0.
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
