//! What lies under the desks of a node, and what a desk may do while it handles an input.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::database::Database;
use super::edge::{Edge, Links, Statistics};
use super::notice::Notice;
use super::order::Order;
use super::outbox::Outbox;
use super::output::{Output, Recipient, Turned};
use super::ring_statistics;
use super::traffic::{self, Traffic};
use crate::error::Status;
use crate::ids::{ConnId, Guarantee, NodeId, RingId};
use crate::time::Instant;
use crate::totem::{Group, Judgement, Refused, Totem, Waits};
use crate::value::Value;

/// The send queue has no room for the message. Try again in [`Service::retry`](super::Service::retry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the send queue is full")]
pub(crate) struct Full;

/// What lies under the desks: the ring, the database, and the queues of notices and outputs.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The id of this node.
    pub(crate) me: NodeId,
    /// The time of the input that is being handled.
    pub(crate) now: Instant,
    pub(crate) totem: Totem,
    pub(crate) database: Database,
    /// Notices that the desks have not been told yet.
    notices: VecDeque<Notice>,
    /// What this input has caused and was not taken yet.
    pub(crate) outbox: Outbox,
    /// How often each exec function was sent and received.
    pub(crate) traffic: Traffic,
    /// Who is to be excluded from the ring; at most one for each message that this input has delivered.
    exclude: Vec<Exclude>,
}

/// Who is excluded from the ring, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exclude {
    /// A node: [`Totem::leave_out`].
    Node(NodeId, Duration),
    /// This node: [`Totem::stay_alone`].
    Myself(Duration),
}

impl Ground {
    /// A node's ring and database.
    pub(crate) fn new(me: NodeId, now: Instant, totem: Totem, database: Database, traffic: Traffic) -> Self {
        Self {
            me,
            now,
            totem,
            database,
            notices: VecDeque::new(),
            outbox: Outbox::default(),
            traffic,
            exclude: Vec::new(),
        }
    }

    /// The context in which the router works while it handles an input.
    pub(crate) fn context<'a>(&'a mut self, edge: &'a mut dyn Edge) -> Context<'a> {
        Context { ground: self, edge, acting: None, refused: false }
    }

    /// Excludes those from the ring that a desk has named. Returns whether there were any.
    pub(crate) fn exclude(&mut self) -> bool {
        let exclude = std::mem::take(&mut self.exclude);
        for who in &exclude {
            match *who {
                Exclude::Node(node, time) => self.totem.leave_out(self.now, &[node], time),
                Exclude::Myself(time) => self.totem.stay_alone(self.now, time),
            }
        }
        !exclude.is_empty()
    }

    /// Queues a notice for all desks.
    pub(crate) fn announce(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }
}

/// What a desk may do while it handles an input. Effects take place in the order of the calls.
pub(crate) struct Context<'a> {
    ground: &'a mut Ground,
    edge: &'a mut dyn Edge,
    /// The place of the desk that acts, if it may multicast now.
    acting: Option<usize>,
    /// Whether a multicast of the desk that acts was refused.
    refused: bool,
}

impl Context<'_> {
    /// The time of the input that is being handled.
    pub(crate) const fn now(&self) -> Instant {
        self.ground.now
    }

    /// The configuration database. All desks are told of a change ([`Notice::Changed`]) when the desk that made it
    /// returns.
    pub(crate) fn database(&mut self) -> &mut Database {
        self.ground.database.at(self.ground.now);
        &mut self.ground.database
    }

    /// The statistics whose names begin with `prefix`, ascending; their values are computed by this call.
    pub(crate) fn statistics(&self, prefix: &str) -> Vec<(String, Value)> {
        if prefix.starts_with(traffic::PREFIX) {
            return self.ground.traffic.statistics(prefix);
        }
        let mut all = self.edge.statistics(prefix);
        if prefix.starts_with(ring_statistics::OWN) {
            let own = ring_statistics::own(&self.ground.totem, self.ground.now);
            all.extend(own.filter(|(name, _)| name.starts_with(prefix)));
        }
        let ring = ring_statistics::of_ring(&self.ground.totem, self.ground.now);
        all.extend(ring.into_iter().filter(|(name, _)| name.starts_with(prefix)));
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Resets a group of statistics to zero.
    pub(crate) fn clear_statistics(&mut self, which: Statistics) {
        if matches!(which, Statistics::Totem | Statistics::All) {
            self.ground.totem.clear_stats();
        }
        self.edge.clear_statistics(which);
    }

    /// The state of the links to other nodes; `None` where links are not watched (transports udp and udpu).
    pub(crate) fn links(&self) -> Option<Links> {
        self.edge.links()
    }

    /// How often an operating ring has ended because the token was lost.
    pub(crate) const fn tokens_lost(&self) -> u64 {
        self.ground.totem.stats().operational_token_lost
    }

    /// How long this node waited for the token since the last call; see [`Totem::take_waits`].
    pub(crate) const fn take_waits(&mut self) -> Waits {
        self.ground.totem.take_waits()
    }

    /// What the counts of lost frames said; see [`Totem::take_judgement`].
    pub(crate) const fn take_judgement(&mut self) -> Option<Judgement> {
        self.ground.totem.take_judgement()
    }

    /// Excludes members or this node from the ring for a while, as soon as this input is handled.
    pub(crate) fn exclude(&mut self, exclude: Exclude) {
        self.ground.exclude.push(exclude);
    }

    /// Puts a token time-out in the place of the configured one; see [`Totem::detect_within`].
    pub(crate) fn detect_within(&mut self, token: Option<Duration>) {
        self.ground.totem.detect_within(token);
    }

    /// Sends a notice to all desks, the calling one included, in ascending order of their service ids, after
    /// the calling desk has returned.
    pub(crate) fn announce(&mut self, notice: Notice) {
        self.ground.announce(notice);
    }

    /// Gives an order to the program around the node.
    pub(crate) fn order(&mut self, order: Order) {
        self.ground.outbox.put(Output::Order(order));
    }

    /// Multicasts an exec message of this function, given in pieces that begin with the 16-byte request header.
    ///
    /// # Errors
    /// [`Full`]: the send queue has no room, or a synchronisation runs (in which only
    /// [`Synchronised::process`](super::Synchronised::process) may multicast); nothing was queued.
    /// [`Service::retry`](super::Service::retry) is called when another attempt may succeed.
    pub(crate) fn multicast(
        &mut self,
        function: u16,
        guarantee: Guarantee,
        pieces: &[&[u8]],
    ) -> Result<(), Full> {
        self.send(function, |totem| totem.submit(Group::App, guarantee, pieces))
    }

    /// Multicasts an exec message of the service itself, on which all nodes must agree, such as that a process joins.
    /// Unlike the parts of a client's message it is not divided over frames, so that a node which joins the ring
    /// meanwhile receives it as well.
    ///
    /// # Errors
    /// As [`Context::multicast`].
    pub(crate) fn multicast_undivided(
        &mut self,
        function: u16,
        guarantee: Guarantee,
        message: &[u8],
    ) -> Result<(), Full> {
        self.send(function, |totem| totem.submit_undivided(Group::App, guarantee, message))
    }

    fn send(
        &mut self,
        function: u16,
        submit: impl FnOnce(&mut Totem) -> Result<(), Refused>,
    ) -> Result<(), Full> {
        let Some(place) = self.acting else {
            self.refused = true;
            return Err(Full);
        };
        let sent = submit(&mut self.ground.totem).map_err(full);
        match sent {
            Ok(()) => self.ground.traffic.sent(place, function),
            Err(Full) => self.refused = true,
        }
        sent
    }

    /// Answers the request of `conn` that is being handled. Each request must be answered exactly once (a CPG
    /// multicast: not at all).
    pub(crate) fn reply(&mut self, conn: ConnId, reply: Vec<u8>) {
        self.ground.outbox.put(Output::Reply { conn, bytes: reply.into() });
    }

    /// Sends an event to clients: `head`, then `payload`; see [`Output::Event`].
    pub(crate) fn event(
        &mut self,
        to: impl IntoIterator<Item = impl Into<Recipient>>,
        head: &[u8],
        payload: Bytes,
    ) {
        self.ground.outbox.event(to, head, payload);
    }

    /// The user id of a client; see [`Edge::user`].
    pub(crate) fn user(&self, conn: ConnId) -> u32 {
        self.edge.user(conn)
    }

    /// Maps a zero-copy buffer; see [`Edge::buffer_open`].
    ///
    /// # Errors
    /// The status to answer.
    pub(crate) fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status> {
        self.edge.buffer_open(conn, path, size)
    }

    /// Reads a zero-copy buffer; see [`Edge::buffer_read`].
    ///
    /// # Errors
    /// The status to answer.
    pub(crate) fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status> {
        self.edge.buffer_read(conn, token)
    }

    /// Unmaps a zero-copy buffer; see [`Edge::buffer_close`].
    pub(crate) fn buffer_close(&mut self, conn: ConnId, token: u64) {
        self.edge.buffer_close(conn, token);
    }
}

/// For the router.
impl Context<'_> {
    /// The desk at this place acts from now on; `open`: it may multicast.
    pub(super) fn enter(&mut self, place: usize, open: bool) {
        self.acting = open.then_some(place);
        self.refused = false;
    }

    /// The desk has acted. Returns whether a multicast of it was refused.
    pub(super) fn exit(&mut self) -> bool {
        self.acting = None;
        std::mem::take(&mut self.refused)
    }

    /// Counts a message that came from the ring.
    pub(super) fn received(&mut self, place: usize, function: u16) {
        self.ground.traffic.received(place, function);
    }

    /// Multicasts a message of the synchronisation (Totem group `sync`).
    ///
    /// # Errors
    /// [`Full`]: nothing was queued.
    pub(super) fn multicast_sync(&mut self, message: &[u8]) -> Result<(), Full> {
        self.ground.totem.submit(Group::Sync, Guarantee::Agreed, &[message]).map_err(full)
    }

    /// Asks for one [`Router::token_sent`](super::router::Router::token_sent) after the next token that this node
    /// passes on.
    pub(super) fn want_token(&mut self) {
        self.ground.totem.want_token();
    }

    /// The synchronisation of this ring is complete.
    pub(super) fn synced(&mut self, ring: RingId) {
        self.ground.totem.synced();
        self.ground.outbox.put(Output::Synced(ring));
    }

    /// The old ring's synchronisation was completed by one of the old ring's last messages, between the
    /// transitional and the regular view of the next ring. The old ring's remaining messages are handled as
    /// usual, but this node's own messages still wait for the next synchronisation.
    pub(super) fn synced_in_transit(&mut self) {
        self.ground.totem.synced_in_transit();
    }

    /// Takes the earliest notice that desks have not been told yet.
    pub(super) fn take_notice(&mut self) -> Option<Notice> {
        self.ground.database.take_change().map(Notice::Changed).or_else(|| self.ground.notices.pop_front())
    }

    /// Whether the send queue has room for an exec message of this length now.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.ground.totem.fits(bytes)
    }

    /// A request of `conn` was refused before it reached its desk.
    pub(super) fn turn_away(&mut self, conn: ConnId, why: Turned) {
        self.ground.outbox.put(Output::Refused(conn, why));
    }
}

/// What a desk is told about a message that the ring did not take.
fn full(refused: Refused) -> Full {
    if refused == Refused::Length {
        // Desks check lengths themselves, so this is a mistake of ours: log it, and keep the ring.
        tracing::error!("a service made a message of impossible length");
    }
    Full
}
