//! The interface between services and the rest of a node. The router and the synchronisation call the code of
//! each service (its "desk") through this interface; no desk knows the ring, a socket or another desk.
//!
//! Corosync's counterpart: `exec/service.c`, `exec/sync.c`, `exec/ipc_glue.c`, `include/corosync/coroapi.h`.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the interface of a service: [`Service`], [`Synchronised`]; what a service may do: [`Effects`]
//! |
//! | `router.rs` | passes exec messages and client requests to their desk, counts them, runs the
//! synchronisation |
//! | `sync.rs` | the barrier that all nodes pass after each new ring, as a pure state machine |
//! | `patience.rs` | how long silent members are waited for at the barrier, and what follows |
//! | `wire.rs` | message headers and the messages of the synchronisation; `wire/read.rs`: parsing of answers and
//! events in clients |
//! | `channel.rs` | a client's connection to a service, over IPC or inside the process |
//! | `client/` | what the client libraries of the services have in common |

use core::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::config::key::Key;
use crate::config::logging::Logging;
use crate::config::timeouts::Timeouts;
use crate::config::totem::Watching;
use crate::error::Status;
use crate::ids::{ConnId, Endian, Guarantee, NodeId, Piece, RingId, ServiceId};
use crate::time::Instant;
use crate::value::Value;
use crate::view::View;

pub mod channel;
pub mod client;
mod patience;
pub mod router;
mod sync;
pub mod wire;

/// An exec message as it came from the ring: header included, in its sender's byte order.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The sending node.
    pub from: NodeId,
    /// Function number within the service.
    pub function: u16,
    /// The whole message, from its 16-byte request header on. Only the presence of the header has been
    /// checked.
    pub message: Bytes,
    /// Byte order of the sender, and so of the numbers in the message.
    pub order: Endian,
}

/// A client's request: `bytes` followed by `tail`, one message in two parts.
///
/// It is a private copy that the client can no longer change. Over IPC the whole message is in `bytes`; a
/// client inside this process passes its payload in `tail`, without a copy.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// From the request header on; at least 16 bytes, and `header.size == bytes.len() + tail.len()`.
    pub bytes: &'a [u8],
    /// The rest of the message; empty over IPC.
    pub tail: &'a [u8],
}

/// What a desk may do while it handles an input. Effects take place in the order of the calls.
pub trait Effects {
    /// The id of this node.
    fn me(&self) -> NodeId;

    /// The time of the input that is being handled.
    fn now(&self) -> Instant;

    /// The configuration database. All desks are told of a change ([`Notice::Changed`]) when the desk that made it
    /// returns.
    fn database(&mut self) -> &mut dyn Database;

    /// The statistics whose names begin with `prefix`, ascending; their values are computed by this call.
    fn statistics(&self, prefix: &str) -> Vec<(String, Value)>;

    /// Resets a group of statistics to zero.
    fn clear_statistics(&mut self, which: Statistics);

    /// The state of the links to other nodes; `None` where links are not watched (transports udp and udpu).
    fn links(&self) -> Option<Links> {
        None
    }

    /// Sends a notice to all desks, the calling one included, in ascending order of their service ids, after
    /// the calling desk has returned.
    fn announce(&mut self, notice: Notice);

    /// Gives an order to the program around the node.
    fn order(&mut self, order: Order);

    /// Multicasts an exec message, given in pieces that begin with the 16-byte request header.
    ///
    /// # Errors
    /// [`Full`]: the send queue has no room, or a synchronisation runs (in which only
    /// [`Synchronised::process`] may multicast); nothing was queued. [`Service::retry`] is called when
    /// another attempt may succeed.
    fn multicast(&mut self, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full>;

    /// Multicasts an exec message of the service itself, on which all nodes must agree, such as that a process joins.
    /// Unlike the parts of a client's message it is not divided over frames, so that a node which joins the ring
    /// meanwhile receives it as well.
    ///
    /// # Errors
    /// As [`Effects::multicast`].
    fn multicast_undivided(&mut self, guarantee: Guarantee, message: &[u8]) -> Result<(), Full> {
        self.multicast(guarantee, &[message])
    }

    /// Answers the request of `conn` that is being handled. Each request must be answered exactly once (a CPG
    /// multicast: not at all).
    fn reply(&mut self, conn: ConnId, reply: &[u8]);

    /// Sends an event to a client: `head`, then `payload`. It is never dropped: what does not fit is queued,
    /// and a client whose queue overflows is disconnected.
    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes);

    /// As [`Effects::event`], for a message that this client itself has multicast. A client that leaves much
    /// of its own messages unread is kept from multicasting more; messages of others do not count for that.
    /// The pieces of a fragmented message count only when the last one has come, because the sender cannot
    /// stop in the middle.
    fn echo(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, piece: Piece) {
        let _ = piece;
        self.event(conn, head, payload);
    }

    /// The user id of a client; 0 (root) where clients have none.
    fn user(&self, conn: ConnId) -> u32 {
        let _ = conn;
        0
    }

    /// Maps the zero-copy buffer file that a client created, `path` without a NUL. Returns the token that identifies
    /// it.
    ///
    /// # Errors
    /// The status to answer: the path, owner or size is not what libcpg creates, or too many buffers are
    /// open.
    fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status>;

    /// Reads the request in a zero-copy buffer (40-byte header and payload) as a private copy.
    ///
    /// # Errors
    /// The status to answer: the token is unknown, or the lengths do not fit the buffer.
    fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status>;

    /// Unmaps a zero-copy buffer; an unknown token has no effect.
    fn buffer_close(&mut self, conn: ConnId, token: u64);
}

/// The configuration database as desks see it.
///
/// Writes through it may also change keys that are read-only to clients.
pub trait Database {
    /// The value of a key.
    fn get(&self, name: &str) -> Option<&Value>;

    /// The keys that begin with `prefix` and their values, in ascending order.
    fn range<'a>(&'a self, prefix: &'a str) -> Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a>;

    /// The first key that begins with `prefix` and comes after `last`; without `last`, the first with the
    /// prefix.
    fn following(&self, prefix: &str, last: Option<&str>) -> Option<(&str, &Value)>;

    /// Sets a key. No effect if the key already has that type and value.
    fn set(&mut self, name: &str, value: Value);

    /// Removes a key. Returns whether it existed.
    fn remove(&mut self, name: &str) -> bool;
}

/// A change of one key in the configuration database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The name of the key.
    pub name: Arc<str>,
    /// The value before; `None`: the key did not exist.
    pub old: Option<Value>,
    /// The value after; `None`: the key was removed.
    pub new: Option<Value>,
}

/// A message from one desk to all desks of the same node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A key of the configuration database changed.
    Changed(Change),
    /// The quorum provider has decided again, possibly with the same result.
    Quorum(Quorate),
    /// This node has been in no operating ring for longer than a change of membership takes. This state ends with the
    /// next completed synchronisation.
    NoRing,
}

/// The decision of the quorum provider: whether this node's partition is quorate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorate {
    /// The ring that the decision is about.
    pub ring: RingId,
    /// The members of that ring, ascending.
    pub members: Vec<NodeId>,
    /// Whether they are quorate.
    pub quorate: bool,
}

/// An order that only the program around a node can carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Read the configuration again and report whether this node can use it.
    Reload,
    /// As [`Order::Reload`], but this node's ring waits for the read, within a bound, because a node of Corosync is
    /// on the ring. Such nodes read their files when the message is delivered to them and change their key a few
    /// rotations of the token later, whether or not this node understands the new key.
    ReloadBesideCorosync,
    /// Apply the configuration that was read last.
    Adopt,
    /// Discard the configuration that was read last, if there is one.
    Discard,
    /// Encrypt with the prepared key, cipher and hash from now on. What was sent before this order still uses the old
    /// ones.
    SwitchKey,
    /// Refuse packets that are sealed with the key, cipher and hash from before [`Order::SwitchKey`].
    ForgetKey,
    /// Generate a new key for all nodes of the cluster.
    MakeKey,
    /// Store this key beside the current one, which must have this fingerprint, and accept packets that are sealed
    /// with it.
    StoreKey(Key, u64),
    /// Replace the key file on disk with the stored key, which is used for sending already.
    KeepKey,
    /// Remove the stored key, if there is one, and refuse packets that are sealed with it.
    DropKey,
    /// Report the key, cipher and hash in use.
    LookAtKey,
    /// Close and reopen the log files.
    ReopenLogs,
    /// Leave the ring cleanly and end the program.
    Shutdown,
    /// End the program at once, without leaving the ring: another node asks for it.
    Die {
        /// The node that asks for it.
        by: NodeId,
        /// Its reason, as text.
        reason: String,
    },
    /// Store the highest number of expected votes, so that it survives restarts.
    KeepVotes(u32),
    /// Form the membership again (enter the phase gather).
    Gather,
    /// Write the state of the node to the log.
    DumpState,
    /// Use these timers and limits of the ring from now on.
    Reconfigure(Box<Timeouts>),
    /// Use these settings for watching knet's links from now on.
    Watch(Box<Watching>),
    /// Use these log settings from now on.
    Logging(Box<Logging>),
}

/// The state of this node's links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// This node's address on each link, by ascending link number.
    pub own: Vec<(u8, IpAddr)>,
    /// The links to other nodes, by node and link number.
    pub others: Vec<LinkState>,
}

/// The state of one link to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The other node.
    pub node: NodeId,
    /// The link number.
    pub link: u8,
    /// Whether the link is up.
    pub connected: bool,
    /// Number of bytes of a message that one packet on this link holds.
    pub mtu: u32,
    /// The other node's address on this link.
    pub to: Option<IpAddr>,
}

/// A group of statistics that can be reset to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistics {
    /// Statistics of knet's links.
    Knet,
    /// Statistics of clients' connections.
    Ipc,
    /// Statistics of the ring.
    Totem,
    /// Statistics of the times at which this process was scheduled too late.
    Schedmiss,
    /// All groups.
    All,
}

/// The send queue has no room for the message. Try again in [`Service::retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the send queue is full")]
pub struct Full;

/// Whether requests of a service's clients are read. The IPC server enforces it and shows it to clients.
///
/// Source: corosync `exec/ipc_glue.c`, `cs_ipcs_check_for_flow_control`; libqb `qb_ipcs_rate_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Requests are read and handled.
    Open,
    /// Requests are not read: a synchronisation runs or the send queue is nearly full. The client's own
    /// library then refuses a CPG multicast; other calls wait. libqb's number for this state: 2.
    Held,
}

/// The membership that a synchronisation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncView {
    /// The new ring.
    pub ring: RingId,
    /// The members of the new ring, ascending.
    pub members: Vec<NodeId>,
    /// Those members that come from the same old ring as this node.
    pub transitional: Vec<NodeId>,
}

/// Whether a desk has multicast everything that it has to in a synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything has been sent: go to the barrier.
    Done,
    /// Call again after the next token.
    Again,
}

/// The desk of one service: its exec messages, its clients' requests, its part in the synchronisation.
pub trait Service {
    /// The id of the service.
    fn id(&self) -> ServiceId;

    /// Number of its exec functions; messages with higher function numbers never reach it.
    fn functions(&self) -> u16;

    /// Number of its library requests; requests with higher ids never reach it.
    fn requests(&self) -> u16;

    /// Whether a request must wait while a synchronisation runs or the send queue is full.
    fn needs_flow_control(&self, request: u16) -> bool;

    /// Whether a request has an answer. Every request but a CPG multicast has one, also when it is refused.
    fn answers(&self, request: u16) -> bool {
        let _ = request;
        true
    }

    /// Whether everything that this service had to multicast has been sent and received back. It is false,
    /// for example, while the end of a client has not been announced yet. A clean stop waits for this, up to
    /// a limit.
    fn settled(&self) -> bool {
        true
    }

    /// This node is about to leave the ring cleanly: multicast what the other nodes must know. [`Service::settled`]
    /// is false until those messages have come back.
    fn leaving(&mut self, effects: &mut dyn Effects) {
        let _ = effects;
    }

    /// Handles an exec message; they arrive in agreed order. Messages that cannot be used are dropped and
    /// counted.
    fn deliver(&mut self, delivery: Delivery, effects: &mut dyn Effects);

    /// A client connected.
    fn connected(&mut self, conn: ConnId, effects: &mut dyn Effects);

    /// A client sent request number `function`, in `0..requests()`.
    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut dyn Effects);

    /// A client has disconnected or was disconnected. Called once for each client.
    fn disconnected(&mut self, conn: ConnId, effects: &mut dyn Effects);

    /// The token has visited this node, so there may be room for messages that were refused with [`Full`].
    fn retry(&mut self, effects: &mut dyn Effects);

    /// Handles a notice of a desk, which may be this one.
    fn noticed(&mut self, notice: &Notice, effects: &mut dyn Effects) {
        let _ = (notice, effects);
    }

    /// The time at which to call [`Service::expired`], if any; it may be in the past.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed.
    fn expired(&mut self, effects: &mut dyn Effects) {
        let _ = effects;
    }

    /// The ring reported a configuration change.
    fn view(&mut self, view: &View, effects: &mut dyn Effects);

    /// This service's part in the synchronisation; `None` if it takes no part.
    fn sync(&mut self) -> Option<&mut dyn Synchronised>;
}

/// The part of a service that exchanges state after each regular view.
///
/// Source: corosync `exec/sync.c`.
pub trait Synchronised {
    /// A new ring was installed; the exchange begins. Nothing can be multicast yet.
    fn begin(&mut self, view: &SyncView, effects: &mut dyn Effects);

    /// Multicasts what the other nodes must know. Called after each token until it returns
    /// [`Progress::Done`].
    fn process(&mut self, effects: &mut dyn Effects) -> Progress;

    /// How long this service, on any node, may delay the synchronisation without sending anything, because it
    /// waits for something itself. A member that is silent for much longer is regarded as faulty.
    fn may_be_silent(&self) -> Duration {
        Duration::ZERO
    }

    /// All nodes have sent everything: apply it and notify the clients.
    fn activate(&mut self, effects: &mut dyn Effects);

    /// The ring changed again before the end: discard what was received.
    fn abort(&mut self);
}
