//! The Totem single-ring protocol. It owns no socket, clock, thread or source of randomness.
//!
//! Corosync's counterpart: `exec/totempg.c` over `exec/totemsrp.c`. Papers: Amir, Moser, Melliar-Smith,
//! Agarwal, Ciarfella, "The Totem Single-Ring Ordering and Membership Protocol"; Moser, Amir,
//! Melliar-Smith, Agarwal, "Extended Virtual Synchrony".
//!
//! | the paper says | where |
//! |---|---|
//! | token, total ordering | `srp/visit.rs` |
//! | agreed and safe delivery | `srp/deliver.rs` |
//! | retransmission request list | `srp/retransmit.rs` |
//! | aru, window | `srp/window.rs`, `srp/visit.rs` |
//! | flow control | `srp/flow.rs` |
//! | membership: join messages, consensus, failed set | `srp/gather.rs` |
//! | commit token | `srp/commit.rs` |
//! | recovery; transitional and regular configuration | `srp/recovery.rs` |
//! | ring id on stable storage | `srp/ring.rs`, reserved ahead of its use |
//! | packing (Corosync's own) | `pg/` |
//! | frames as bytes | `wire/` |
//!
//! Usage: give a [`Totem`] one [`Input`], then take outputs until [`Output::Wait`]; only then give the next
//! input.

pub mod pg;
pub mod srp;
#[cfg(test)]
mod tests;
pub mod wire;

use std::time::Duration;

use bytes::Bytes;

use self::pg::assemble::{Assembler, Table};
use self::pg::level::Level;
use self::pg::pack::Packer;
use self::pg::part::part;
use self::srp::Srp;
use self::srp::io::Action;
use self::srp::members::MemberSet;
use self::srp::outbox::Queue;
use crate::config::timeouts::Timeouts;
use crate::ids::{Destination, Guarantee, NodeId, RingId};
use crate::time::Instant;
use crate::view::{View, ViewKind};

pub use self::pg::assemble::{Dropped, Message};
pub use self::pg::pack::MAX_MESSAGE;
pub use self::srp::gaps::{Waited, Waits};
pub use self::srp::io::{Input, Params, StateName};
pub use self::srp::losses::{Judgement, Tally};
pub use self::srp::stats::Stats;
pub use self::wire::pack::Group;

/// How many ring sequence numbers are reserved on stable storage at a time, ahead of their use.
pub const RESERVE: u64 = srp::RESERVE;

/// The first ring sequence number (2⁶²) that is never accepted from others, used, or reserved on stable
/// storage. A stored number at or above it means that the file is damaged.
pub const RING_SEQ_LIMIT: u64 = srp::RING_SEQ_LIMIT;

/// Bytes of a UDP payload that `netmtu` does not leave for packed messages: two data frame heads, one of a
/// plain frame and one of the recovery frame that may wrap it. Corosync subtracts the same.
const HEADS: usize = 2 * wire::mcast::FIXED;

/// Smallest and largest effective `netmtu`; other values are clamped to this range. A frame of the largest
/// size still fits into a datagram when it is wrapped for recovery.
const NETMTU: std::ops::RangeInclusive<usize> = 256..=wire::MAX_FRAME;

/// An action for the caller, to be carried out in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram. Frames of this node that it must also receive itself are looped back internally.
    Send(Destination, Bytes),
    /// Reserve ring sequence numbers up to this one on stable storage, without blocking, then give
    /// [`Input::Stored`].
    Store(u64),
    /// Ask the host of a node whether a process receives there, then give [`Input::Refused`] if it says no. Without an
    /// answer nothing is known. May be ignored.
    Probe(NodeId),
    /// Deliver a message. Messages come in the total order.
    Deliver(Message),
    /// Report a configuration change. Its position among the delivered messages is its place in the total
    /// order.
    View(View),
    /// The token visited this node and was passed on. Given only if [`Totem::want_token`] was called since
    /// the last time.
    TokenSent,
    /// Nothing to do until this instant or until the next input. The instant may lie in the past: then give
    /// an [`Input::Timeout`] as soon as other pending inputs have been handled.
    Wait(Option<Instant>),
}

/// Why [`Totem::submit`] refused a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The send queue has no room for the message at the moment.
    #[error("the send queue is full")]
    Full,
    /// The message can never be sent: it is empty or longer than [`MAX_MESSAGE`].
    #[error("a message must have 1 to {MAX_MESSAGE} bytes, group header included")]
    Length,
}

/// The Totem ring protocol of one node, with message packing on top.
#[derive(Debug)]
pub struct Totem {
    srp: Srp,
    /// When the last input was given.
    now: Instant,
    packer: Packer,
    assembler: Assembler,
    dropped: Dropped,
    /// Members according to the last regular view that was taken by the caller.
    members: MemberSet,
    /// Nodes that leave with the pending regular view.
    leaving: Vec<NodeId>,
    /// Which reassembly table packets go to; changed by a regular view and by the end of the synchronisation.
    table: Table,
    level: Level,
}

impl Totem {
    /// Creates a node that knows no other node yet. Its first input makes it look for others.
    pub fn new(params: Params, now: Instant) -> Self {
        let net_mtu = params.netmtu.clamp(*NETMTU.start(), *NETMTU.end()) - HEADS;
        Self {
            srp: Srp::new(&params, net_mtu, now),
            now,
            packer: Packer::new(net_mtu),
            assembler: Assembler::default(),
            dropped: Dropped::default(),
            members: MemberSet::default(),
            leaving: Vec::new(),
            table: Table::Sync,
            level: Level::default(),
        }
    }

    /// Restricts the ring to these nodes; by default any node may be on it. Frames that name another node are
    /// refused and counted.
    pub fn admit_only(&mut self, nodes: &[NodeId]) {
        self.srp.admit_only(nodes);
    }

    /// Lifts the restriction of [`Totem::admit_only`]: any node may be on the ring.
    pub fn admit_any(&mut self) {
        self.srp.admit_any();
    }

    /// Handles one input at time `now`, which must never decrease. Never fails: an invalid datagram is
    /// dropped and counted by reason, and an early or repeated [`Input::Timeout`] is harmless.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        self.srp.handle_input(now, input, &mut self.packer);
        self.weigh_queue();
    }

    /// Whether this datagram is the next token of the ring that this node is on, so that messages which are submitted
    /// before it is handed over leave with it.
    pub fn expects(&self, datagram: &[u8]) -> bool {
        self.srp.expects(datagram)
    }

    /// The number of full frames that wait for the token.
    pub fn queued(&self) -> usize {
        self.srp.outbox().len(self.packer.queue())
    }

    /// Takes the next action; [`Output::Wait`] when there is none.
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(message) = self.assembler.next() {
                return Output::Deliver(message);
            }
            let Some(action) = self.srp.poll_action() else {
                return Output::Wait(self.srp.deadline());
            };
            return match action {
                Action::Send(to, frame) => Output::Send(to, frame),
                Action::Store(up_to) => Output::Store(up_to),
                Action::Probe(node) => Output::Probe(node),
                Action::TokenSent => Output::TokenSent,
                Action::View(view) => {
                    self.note_view(&view);
                    Output::View(view)
                }
                Action::Packet { from, payload, order } => {
                    if self.members.contains(from) {
                        self.assembler.packet(self.now, self.table, from, payload, order, &mut self.dropped);
                    } else {
                        self.dropped.stranger += 1;
                    }
                    continue;
                }
            };
        }
    }

    /// Queues a message, given in pieces, for all members including this node. It is ordered and sent when
    /// the token arrives.
    ///
    /// # Errors
    /// [`Refused`] if the message does not fit; nothing was queued then.
    pub fn submit(&mut self, group: Group, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Refused> {
        self.admit(group, pieces.iter().map(|piece| piece.len()).sum(), 0)?;
        self.packer.submit(self.srp.outbox_mut(), guarantee, group.header(), pieces);
        self.weigh_queue();
        Ok(())
    }

    /// As [`Totem::submit`], for a message on which all members of the ring must agree. If it fits into one frame it is
    /// not divided: a node that joins the ring between two frames lacks the beginning of a divided message, and is not
    /// told of the message at all.
    ///
    /// # Errors
    /// As [`Totem::submit`].
    pub fn submit_undivided(
        &mut self,
        group: Group,
        guarantee: Guarantee,
        message: &[u8],
    ) -> Result<(), Refused> {
        // The present frame may be closed before it is full.
        self.admit(group, message.len(), self.packer.frame())?;
        self.packer.submit_undivided(self.srp.outbox_mut(), guarantee, group.header(), message);
        self.weigh_queue();
        Ok(())
    }

    /// Checks that a message of `body` bytes can be sent, and that it and `spare` more bytes fit now.
    fn admit(&mut self, group: Group, body: usize, spare: usize) -> Result<(), Refused> {
        let length = group.header().len() + body;
        if body == 0 || length > MAX_MESSAGE {
            return Err(Refused::Length);
        }
        self.srp.wake();
        if self.packer.fits(self.srp.outbox(), length + spare) { Ok(()) } else { Err(Refused::Full) }
    }

    /// Whether a message of `bytes` bytes (group header not counted) would be accepted now.
    pub fn fits(&self, bytes: usize) -> bool {
        self.packer.fits(self.srp.outbox(), bytes + Group::Sync.header().len())
    }

    /// The fill level of the send queue.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Asks for one [`Output::TokenSent`] at the next visit of the token. If the idle token is being held, it
    /// is released.
    pub fn want_token(&mut self) {
        self.srp.want_token();
    }

    /// Reports that the services' synchronisation after the last regular view is complete, so that ordinary
    /// messages are sent again.
    ///
    /// Source: corosync `totempg_trans_ack`.
    pub fn synced(&mut self) {
        self.srp.synced();
        self.table = Table::Normal;
        part(self.srp.outbox_mut(), Queue::Normal);
        self.packer.switch(self.srp.outbox_mut(), Queue::Normal);
    }

    /// Reports that the services' synchronisation of the old ring was completed by one of its last messages,
    /// delivered between the transitional view and the regular view. Faster members have already sent
    /// ordinary messages at that point, so received packets are taken for ordinary ones from here on.
    /// Messages that this node submits still wait.
    pub const fn synced_in_transit(&mut self) {
        self.table = Table::Normal;
    }

    /// Tells the other members that this node leaves. Carry out the outputs, then stop.
    pub fn leave(&mut self) {
        self.srp.leave();
    }

    /// Makes this node form the membership anew.
    pub fn force_gather(&mut self, now: Instant) {
        self.srp.force_gather(now);
    }

    /// Makes this node form the membership anew without `nodes`, and ignores what they send for `time`. The
    /// ring is formed without them even if other members still receive them. A ring that is already without
    /// them stays as it is.
    pub fn leave_out(&mut self, now: Instant, nodes: &[NodeId], time: Duration) {
        self.srp.leave_out(now, nodes, time);
    }

    /// Makes this node form a ring of its own, and stay on it for `time`, whatever other nodes send. It does not look for
    /// other rings meanwhile.
    pub fn stay_alone(&mut self, now: Instant, time: Duration) {
        self.srp.stay_alone(now, time);
    }

    /// What the counts of lost frames said of the members, if they were judged since the last call.
    pub const fn take_judgement(&mut self) -> Option<Judgement> {
        self.srp.take_judgement()
    }

    /// Changes timers and limits. A timer that is running keeps its old duration.
    pub fn reconfigure(&mut self, timeouts: Timeouts) {
        self.srp.reconfigure(timeouts);
    }

    /// Uses this token time-out instead of the configured one, and the timers that follow from it in proportion, until
    /// nodes gather that are not members of the present ring. `None`: the configured ones.
    pub fn detect_within(&mut self, token: Option<Duration>) {
        self.srp.detect_within(token);
    }

    /// The token time-out in the place of the configured one; see [`Totem::detect_within`].
    pub const fn within(&self) -> Option<Duration> {
        self.srp.within()
    }

    /// How often this node waited for the token since the last call, and how long at worst.
    pub const fn take_waits(&mut self) -> Waits {
        self.srp.take_waits()
    }

    /// How long this node waited for the token lately: the shares of some minutes, the worst of the last hour.
    pub fn waited(&self, now: Instant) -> Waited {
        self.srp.waited(now)
    }

    /// The timers and limits of the configuration.
    pub const fn configured(&self) -> &Timeouts {
        self.srp.configured()
    }

    /// The timers and limits in force.
    pub const fn timeouts(&self) -> &Timeouts {
        self.srp.timeouts()
    }

    /// The counters of the ring protocol.
    pub const fn stats(&self) -> &Stats {
        self.srp.stats()
    }

    /// For each member, ascending, how many frames it sent, how many of them were lost, and how many it lacked.
    pub fn tallies(&self) -> impl Iterator<Item = (NodeId, Tally)> {
        self.srp.tallies()
    }

    /// Resets all counters to zero.
    pub fn clear_stats(&mut self) {
        self.srp.clear_stats();
    }

    /// Number of frames that the send queue would still accept.
    pub fn queue_room(&self) -> usize {
        self.srp.outbox().available(self.packer.queue())
    }

    /// Received packets and messages that were dropped before delivery, by reason.
    pub const fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// The id of the ring that was installed last.
    pub const fn ring(&self) -> RingId {
        self.srp.ring_id()
    }

    /// Members of the ring that was installed last, ascending; empty before the first ring.
    pub fn members(&self) -> &[NodeId] {
        self.srp.members()
    }

    /// A sentence for the operator that says why this node and the nodes it knows are not on one ring: in
    /// which direction datagrams get lost, as far as the received ones show.
    pub fn why_no_ring(&self, now: Instant) -> String {
        self.srp.why_no_ring(now)
    }

    /// Nodes heard of since the last ring was installed, its members included.
    pub fn known(&self) -> &[NodeId] {
        self.srp.known()
    }

    /// The current phase of the protocol.
    pub const fn state(&self) -> StateName {
        self.srp.state()
    }

    /// Switches sending and reassembly at a view: after the transitional view, this node's messages go to the
    /// synchronisation queue; after the regular view, received packets go to the synchronisation table.
    /// Messages of the old ring are delivered between the two views.
    fn note_view(&mut self, view: &View) {
        match view.kind {
            ViewKind::Transitional => {
                self.leaving.clone_from(&view.left);
                self.srp.sync_begins();
                self.packer.switch(self.srp.outbox_mut(), Queue::Sync);
            }
            ViewKind::Regular => {
                // Not earlier: messages of these nodes may have been completed since the transitional view.
                self.assembler.forget(&self.leaving);
                self.table = Table::Sync;
                part(self.srp.outbox_mut(), Queue::Sync);
                self.members = MemberSet::new(view.members.iter().copied());
            }
        }
    }

    fn weigh_queue(&mut self) {
        let outbox = self.srp.outbox();
        self.level = self.level.update(outbox.available(self.packer.queue()), outbox.capacity());
    }
}
