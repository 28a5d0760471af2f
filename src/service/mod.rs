//! What a service of the daemon is, and what it may ask for. The router and the synchronisation
//! barrier call services ("desks") through this; no desk knows the ring, a socket or another desk.
//!
//! Corosync's counterpart: `exec/service.c`, `exec/sync.c`, `exec/ipc_glue.c`, `include/corosync/coroapi.h`.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | what a service is: [`Service`], [`Synchronised`], and what it may ask for: [`Effects`] |
//! | `router.rs` | exec messages and client requests to their desk; counters; runs the synchronisation |
//! | `sync.rs` | the barrier that all nodes pass after each new ring, as a pure state machine |
//! | `patience.rs` | how long the barrier is waited at, and what happens then |
//! | `wire.rs` | message headers and the messages of the synchronisation; `wire/read.rs`: a client's first look at what came |
//! | `channel.rs` | a client's connection to a service, wherever the daemon is |
//! | `client/` | what the client libraries of the desks are made of |

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
    /// Who sent it.
    pub from: NodeId,
    /// Function number within the service.
    pub function: u16,
    /// The whole message, from its 16-byte request header on. Nothing in it has been checked but that
    /// the header is there.
    pub message: Bytes,
    /// Byte order of the numbers in it.
    pub order: Endian,
}

/// A client's request: `bytes` and then `tail`, one message in two parts.
///
/// A private copy: the client can no longer change it. Over IPC the whole message is in `bytes`; a
/// client in this process passes its payload as `tail`, uncopied.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// From the request header on; at least 16 bytes, and `header.size == bytes.len() + tail.len()`.
    pub bytes: &'a [u8],
    /// The rest.
    pub tail: &'a [u8],
}

/// What a desk may ask for while it handles something. Effects take place in the order asked for.
pub trait Effects {
    /// This node.
    fn me(&self) -> NodeId;

    /// The time of what is being handled.
    fn now(&self) -> Instant;

    /// The configuration database. A change is told to all desks ([`Notice::Changed`]) when the desk that made
    /// it returns.
    fn database(&mut self) -> &mut dyn Database;

    /// Statistics whose names begin with `prefix`, ascending: the map that is computed when it is read.
    fn statistics(&self, prefix: &str) -> Vec<(String, Value)>;

    /// Sets statistics back to zero.
    fn clear_statistics(&mut self, which: Statistics);

    /// How the links to the nodes are; `None` where none are watched.
    fn links(&self) -> Option<Links> {
        None
    }

    /// Tells all desks, the announcing one included, in ascending order of their service ids, when the desk
    /// that announces returns.
    fn announce(&mut self, notice: Notice);

    /// Orders something from the program around the node.
    fn order(&mut self, order: Order);

    /// Multicasts an exec message, given in pieces that begin with the 16-byte request header.
    ///
    /// # Errors
    /// [`Full`]: the send queue has no room, or a synchronisation runs (in which only
    /// [`Synchronised::process`] may speak); nothing was queued. [`Service::retry`] is called when it is
    /// worth another try.
    fn multicast(&mut self, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full>;

    /// Answers the request of `conn` that is being handled. Exactly one answer a request (none for a
    /// CPG multicast).
    fn reply(&mut self, conn: ConnId, reply: &[u8]);

    /// Sends an event to a client: `head`, then `payload`. Never lost: what does not fit is queued, and
    /// a client that lets its queue overflow is disconnected.
    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes);

    /// The same, of something that this client itself has multicast. A client that lets much of its own wait
    /// unread is held back from multicasting more; for what others send it is not. Of a message in pieces none counts
    /// before the last one: its sender cannot stop in the middle.
    fn echo(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, piece: Piece) {
        let _ = piece;
        self.event(conn, head, payload);
    }

    /// The user id that a client has; 0, root, where clients have none.
    fn user(&self, conn: ConnId) -> u32 {
        let _ = conn;
        0
    }

    /// Takes over the zero-copy buffer file that a client made, `path` without a NUL. Returns the token that names it.
    ///
    /// # Errors
    /// What to answer: the path, owner or size is not what libcpg makes, or too many are open.
    fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status>;

    /// The request that stands in a zero-copy buffer (40-byte header and payload, private copy).
    ///
    /// # Errors
    /// What to answer: an unknown token, or lengths that do not fit the buffer.
    fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status>;

    /// Gives a zero-copy buffer back; an unknown token does nothing.
    fn buffer_close(&mut self, conn: ConnId, token: u64);
}

/// The configuration database as desks see it.
///
/// Writes are the daemon's own: keys that clients may only read can be written too.
pub trait Database {
    /// The value of a key.
    fn get(&self, name: &str) -> Option<&Value>;

    /// The keys that begin with `prefix`, ascending, with their values.
    fn range<'a>(&'a self, prefix: &'a str) -> Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a>;

    /// The first key that begins with `prefix` and comes after `last`; without `last`, the first of all.
    fn following(&self, prefix: &str, last: Option<&str>) -> Option<(&str, &Value)>;

    /// Sets a key. Nothing happens if it has that type and value already.
    fn set(&mut self, name: &str, value: Value);

    /// Removes a key. Whether it was there.
    fn remove(&mut self, name: &str) -> bool;
}

/// A change of one key in the configuration database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which key.
    pub name: Arc<str>,
    /// What it was; `None`: it was not there.
    pub old: Option<Value>,
    /// What it is; `None`: it was removed.
    pub new: Option<Value>,
}

/// What one desk tells all others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A key of the configuration database changed.
    Changed(Change),
    /// The quorum provider has decided anew; also when nothing changed.
    Quorum(Quorate),
    /// This node has been in no operating ring for longer than a change of membership takes. It ends with the next
    /// synchronisation that is completed.
    NoRing,
}

/// Whether this node's part of the cluster may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorate {
    /// The ring that this is about.
    pub ring: RingId,
    /// Its members, ascending.
    pub members: Vec<NodeId>,
    /// Whether they may act.
    pub quorate: bool,
}

/// What only the program around a node can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Read the configuration again, and say what this node makes of it.
    Reload,
    /// The same, and this node's ring waits for it, within a bound: a node of Corosync's is on the ring. Such nodes read
    /// their files while they are delivered the message, and change their key a few rotations of the token later,
    /// whether or not this node understands the new one.
    ReloadBesideCorosync,
    /// Go over to the configuration that was read last.
    Adopt,
    /// Forget the configuration that was read last, if there is one.
    Discard,
    /// Send with the key, cipher and hash that are prepared, at once: whatever was sent before goes out with the old
    /// ones.
    SwitchKey,
    /// Accept nothing any more that is sealed with the key, cipher and hash from before [`Order::SwitchKey`].
    ForgetKey,
    /// Make a key for all nodes of the cluster.
    MakeKey,
    /// Store this key beside the one in use, which must have this fingerprint, and let in what is sealed with it.
    StoreKey(Key, u64),
    /// The stored key, which is sent with by now, takes the place of the old one on the disk.
    KeepKey,
    /// Remove the stored key, if there is one, and let nothing in that is sealed with it.
    DropKey,
    /// Say what is encrypted with.
    LookAtKey,
    /// Close and open the log files.
    ReopenLogs,
    /// Leave the ring cleanly and end.
    Shutdown,
    /// End at once, without a word to the others: another node says so.
    Die {
        /// Which node.
        by: NodeId,
        /// Why, in its words.
        reason: String,
    },
    /// Keep the highest number of expected votes over restarts.
    KeepVotes(u32),
    /// Form the membership anew.
    Gather,
    /// Log how this node is.
    DumpState,
    /// Use these timers and limits of the ring from now on.
    Reconfigure(Box<Timeouts>),
    /// Watch the links of knet like this from now on.
    Watch(Box<Watching>),
    /// Log like this from now on.
    Logging(Box<Logging>),
}

/// How the links of this node are, where they are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// This node's address on each, by ascending number.
    pub own: Vec<(u8, IpAddr)>,
    /// Those to other nodes, by node and number.
    pub others: Vec<LinkState>,
}

/// A link to another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// To this node.
    pub node: NodeId,
    /// Its number.
    pub link: u8,
    /// Whether it carries messages.
    pub connected: bool,
    /// Bytes of a message that one packet holds on it.
    pub mtu: u32,
    /// The node's address.
    pub to: Option<IpAddr>,
}

/// A group of statistics that can be set back to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistics {
    /// Links of knet.
    Knet,
    /// Connections of clients.
    Ipc,
    /// The ring.
    Totem,
    /// Times at which this process was late.
    Schedmiss,
    /// All of them.
    All,
}

/// The send queue has no room for the message now. Try again in [`Service::retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the send queue is full")]
pub struct Full;

/// Whether a service's clients may send requests, as the edge is to enforce and tell them.
///
/// Source: corosync `exec/ipc_glue.c`, `cs_ipcs_check_for_flow_control`; libqb `qb_ipcs_rate_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// Requests are read and handled.
    Open,
    /// Requests are not read: a synchronisation runs or the send queue is nearly full. A CPG multicast
    /// is refused by the client's own library; other calls wait. libqb's number for it: 2.
    Held,
}

/// What a synchronisation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncView {
    /// The new ring.
    pub ring: RingId,
    /// Its members, ascending.
    pub members: Vec<NodeId>,
    /// Those of them that came along from the last ring.
    pub transitional: Vec<NodeId>,
}

/// Whether a desk has said all it has to say in a synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Done: go to the barrier.
    Done,
    /// Call again after the next token.
    Again,
}

/// One service: its exec messages, its clients' requests, its part in the synchronisation.
pub trait Service {
    /// Which service this is.
    fn id(&self) -> ServiceId;

    /// How many exec functions it has; higher numbers never reach it.
    fn functions(&self) -> u16;

    /// How many library requests it has; other ids never reach it.
    fn requests(&self) -> u16;

    /// Whether a request must wait while a synchronisation runs or the send queue is full.
    fn needs_flow_control(&self, request: u16) -> bool;

    /// Whether a request has an answer. All but a CPG multicast have one, also when they are refused.
    fn answers(&self, request: u16) -> bool {
        let _ = request;
        true
    }

    /// Whether everything this service had to multicast has been, and came back: false while the end
    /// of a client is still to be told. A clean stop waits for it, up to a limit.
    fn settled(&self) -> bool {
        true
    }

    /// This node is about to leave the ring in order: tell the others what they must know. [`Service::settled`]
    /// is false until that has come back.
    fn leaving(&mut self, effects: &mut dyn Effects) {
        let _ = effects;
    }

    /// An exec message arrived, in order. Unusable ones are dropped and counted.
    fn deliver(&mut self, delivery: Delivery, effects: &mut dyn Effects);

    /// A client connected.
    fn connected(&mut self, conn: ConnId, effects: &mut dyn Effects);

    /// A client sent request number `function`, in `0..requests()`.
    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut dyn Effects);

    /// A client is gone. Called once, also for one that was thrown out.
    fn disconnected(&mut self, conn: ConnId, effects: &mut dyn Effects);

    /// A token visit has passed, so there may be room for what could not be multicast before.
    fn retry(&mut self, effects: &mut dyn Effects);

    /// A desk (perhaps this one) has something to tell.
    fn noticed(&mut self, notice: &Notice, effects: &mut dyn Effects) {
        let _ = (notice, effects);
    }

    /// When to call [`Service::expired`], if at all. May be in the past.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed.
    fn expired(&mut self, effects: &mut dyn Effects) {
        let _ = effects;
    }

    /// The ring reported a configuration change.
    fn view(&mut self, view: &View, effects: &mut dyn Effects);

    /// This service's part in the synchronisation, if it takes part.
    fn sync(&mut self) -> Option<&mut dyn Synchronised>;
}

/// The part of a service that exchanges state after each regular view.
///
/// Source: corosync `exec/sync.c`.
pub trait Synchronised {
    /// A new ring was installed; the exchange begins. Nothing can be multicast yet.
    fn begin(&mut self, view: &SyncView, effects: &mut dyn Effects);

    /// Multicast what the others must know. Called after each token until it is [`Progress::Done`].
    fn process(&mut self, effects: &mut dyn Effects) -> Progress;

    /// How long this service may keep all others waiting without a word, on any node, because it waits for
    /// something itself. Who is silent for much longer is at fault.
    fn may_be_silent(&self) -> Duration {
        Duration::ZERO
    }

    /// Everybody has said everything: act on it, tell the clients.
    fn activate(&mut self, effects: &mut dyn Effects);

    /// The ring changed again before the end: forget what was received.
    fn abort(&mut self);
}
