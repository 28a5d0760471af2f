//! The Totem single-ring protocol, without socket, clock, thread or randomness.
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
//! Give a [`Totem`] one [`Input`], then take outputs until [`Output::Wait`]; only then give the next.

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
pub use self::srp::io::{Input, Params, StateName};
pub use self::srp::stats::Stats;
pub use self::wire::pack::Group;

/// Ring sequence numbers that are reserved on stable storage at a time, ahead of their use.
pub const RESERVE: u64 = srp::RESERVE;

/// Ring sequence numbers from here on are neither believed from others, nor used, nor reserved on stable
/// storage (2⁶²): a stored one is damage. A number that was reserved is always below it.
pub const RING_SEQ_LIMIT: u64 = srp::RING_SEQ_LIMIT;

/// Bytes of a UDP payload that `netmtu` leaves for packed messages: Corosync takes the room of two data
/// frame heads off, one for a plain frame, one for the recovery frame around it.
const HEADS: usize = 2 * wire::mcast::FIXED;

/// Smallest `netmtu` that is worked with, and the largest: a frame of it, wrapped for recovery, still
/// fits into a datagram.
const NETMTU: std::ops::RangeInclusive<usize> = 256..=wire::MAX_FRAME;

/// Something to do outside, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a datagram. Own frames that this node must hear itself come back inside.
    Send(Destination, Bytes),
    /// Reserve ring sequence numbers up to this one on stable storage, without waiting for it, then say
    /// [`Input::Stored`].
    Store(u64),
    /// A message, in the total order.
    Deliver(Message),
    /// A configuration change. The one and only place in the order of messages where it happened.
    View(View),
    /// The token was here and went on. Once for each [`Totem::want_token`] that was not yet answered.
    TokenSent,
    /// Nothing more until this instant or the next input. It may be in the past: give an
    /// [`Input::Timeout`] as soon as other inputs had their turn.
    Wait(Option<Instant>),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The send queue has no room now.
    #[error("the send queue is full")]
    Full,
    /// It could never be sent: longer than [`MAX_MESSAGE`], or empty.
    #[error("a message must have 1 to {MAX_MESSAGE} bytes, group header included")]
    Length,
}

/// The ring, with packing above it.
#[derive(Debug)]
pub struct Totem {
    srp: Srp,
    /// When the last input came.
    now: Instant,
    packer: Packer,
    assembler: Assembler,
    dropped: Dropped,
    /// Members, as far as views were taken.
    members: MemberSet,
    /// Who leaves with the regular view that is due.
    leaving: Vec<NodeId>,
    /// Which packets are being reassembled; a view or the end of the synchronisation changes it.
    table: Table,
    level: Level,
}

impl Totem {
    /// A node that knows nobody yet. Its first input makes it look for others.
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

    /// Only these nodes may be on a ring; at first, any may. What names another is refused and counted.
    pub fn admit_only(&mut self, nodes: &[NodeId]) {
        self.srp.admit_only(nodes);
    }

    /// Any node may be on a ring, as at first.
    pub fn admit_any(&mut self) {
        self.srp.admit_any();
    }

    /// Takes one input at `now`, which never goes back. Never fails: a bad datagram is counted by reason
    /// and dropped, an early or repeated [`Input::Timeout`] is harmless.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        self.srp.handle_input(now, input, &mut self.packer);
        self.weigh_queue();
    }

    /// Takes the next thing to do.
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

    /// Queues a message, given in pieces, for everybody including this node. It is ordered when the
    /// token comes.
    ///
    /// # Errors
    /// [`Refused`]; nothing was queued then.
    pub fn submit(&mut self, group: Group, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Refused> {
        let header = group.header();
        let body: usize = pieces.iter().map(|piece| piece.len()).sum();
        if body == 0 || header.len() + body > MAX_MESSAGE {
            return Err(Refused::Length);
        }
        self.srp.wake();
        if !self.packer.fits(self.srp.outbox(), header.len() + body) {
            return Err(Refused::Full);
        }
        self.packer.submit(self.srp.outbox_mut(), guarantee, header, pieces);
        self.weigh_queue();
        Ok(())
    }

    /// Whether a message of `bytes` (group header apart) would be taken now.
    pub fn fits(&self, bytes: usize) -> bool {
        self.packer.fits(self.srp.outbox(), bytes + Group::Sync.header().len())
    }

    /// How full the send queue is.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Asks for one [`Output::TokenSent`] at the next visit of the token; an idle token is let go.
    pub fn want_token(&mut self) {
        self.srp.want_token();
    }

    /// The services' synchronisation after the last regular view is complete: ordinary traffic goes on.
    ///
    /// Source: corosync `totempg_trans_ack`.
    pub fn synced(&mut self) {
        self.srp.synced();
        self.table = Table::Normal;
        part(self.srp.outbox_mut(), Queue::Normal);
        self.packer.switch(self.srp.outbox_mut(), Queue::Normal);
    }

    /// The services' synchronisation of the old ring was completed by one of its last messages, between
    /// the transitional view and the regular one: members that were faster have gone on to ordinary
    /// traffic there, so packets are now taken for that. What this node submits still waits.
    pub const fn synced_in_transit(&mut self) {
        self.table = Table::Normal;
    }

    /// Tells the others that this node leaves. Carry out the outputs, then stop.
    pub fn leave(&mut self) {
        self.srp.leave();
    }

    /// Forms the membership anew.
    pub fn force_gather(&mut self, now: Instant) {
        self.srp.force_gather(now);
    }

    /// Forms the membership anew, without `nodes`; what they send is not heard for `time`. If other members go on
    /// hearing them, the ring is still formed without. A ring that is without them already stays.
    pub fn leave_out(&mut self, now: Instant, nodes: &[NodeId], time: Duration) {
        self.srp.leave_out(now, nodes, time);
    }

    /// Changes timers and limits. A running timer goes on as it was started.
    pub fn reconfigure(&mut self, timeouts: Timeouts) {
        self.srp.reconfigure(timeouts);
    }

    /// Counters.
    pub const fn stats(&self) -> &Stats {
        self.srp.stats()
    }

    /// Sets the counters back to zero.
    pub fn clear_stats(&mut self) {
        self.srp.clear_stats();
    }

    /// Frames that the send queue would still take, and frames kept free for a request that is being
    /// handled: none, as requests are handled at once.
    pub fn queue_room(&self) -> (usize, usize) {
        (self.srp.outbox().available(self.packer.queue()), 0)
    }

    /// Packets and messages that were dropped on their way up, by reason.
    pub const fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// The ring that was installed last.
    pub const fn ring(&self) -> RingId {
        self.srp.ring_id()
    }

    /// Members of the ring that was installed last, ascending; none before the first.
    pub fn members(&self) -> &[NodeId] {
        self.srp.members()
    }

    /// What keeps this node and those it knows from being one ring, in a sentence for the operator: which way datagrams
    /// get lost, as far as what was heard tells.
    pub fn why_no_ring(&self, now: Instant) -> String {
        self.srp.why_no_ring(now)
    }

    /// Nodes that were heard of since the last ring was installed, its members included.
    pub fn known(&self) -> &[NodeId] {
        self.srp.known()
    }

    /// The phase of the protocol.
    pub const fn state(&self) -> StateName {
        self.srp.state()
    }

    /// What a view changes for sending and for reassembly: from the transitional view on, this node's
    /// messages go to the synchronisation's queue; from the regular view on, packets are taken for the
    /// synchronisation's. What the old ring still had to deliver lies between the two.
    fn note_view(&mut self, view: &View) {
        match view.kind {
            ViewKind::Transitional => {
                self.leaving.clone_from(&view.left);
                self.srp.sync_begins();
                self.packer.switch(self.srp.outbox_mut(), Queue::Sync);
            }
            ViewKind::Regular => {
                // Only now: what they sent may have been completed since the transitional view.
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
