//! The state of a node that outlives a phase of the protocol.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::crowd::Crowd;
use super::gaps::Gaps;
use super::hearing::Hearing;
use super::hold::Rotation;
use super::io::{Action, Params};
use super::left_out::LeftOut;
use super::losses::Losses;
use super::members::MemberSet;
use super::number::{FAR, RingNumbers, SPREAD};
use super::outbox::{Outbox, Queue};
use super::refusals::Refusals;
use super::stats::Stats;
use super::timers::{Timer, TimerTable};
use super::turnaround::Turnaround;
use super::window::Reception;
use super::witness::Witness;
use crate::config::timeouts::Timeouts;
use crate::ids::{Destination, NodeId, RingId, Seq};
use crate::time::Instant;
use crate::totem::wire::{Join, Kind, LittleEndian, MergeDetect, WireError};

/// The node and its ring, independent of the current phase.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(super) me: NodeId,
    /// The timers and limits in force.
    pub(super) timeouts: Timeouts,
    /// Those of the configuration.
    pub(super) configured: Timeouts,
    /// The token time-out in the place of the configured one.
    pub(super) within: Option<Duration>,
    pub(super) origin: Seq,

    /// The ring that was installed last (before the first: this node's own start-up id). `reception` belongs
    /// to it.
    pub(super) installed: RingId,
    /// The ring of the last commit token: equal to `installed`, or a ring that is being formed or was given
    /// up.
    pub(super) current: RingId,
    /// Members of the installed ring; empty before the first.
    pub(super) members: MemberSet,
    /// The nodes that may be on a ring; `None`: any node.
    pub(super) listed: Option<MemberSet>,
    /// What is known of ring sequence numbers.
    pub(super) numbers: RingNumbers,

    /// Nodes to form a ring with, as collected from join messages.
    pub(super) proc: MemberSet,
    /// Nodes of `proc` that were given up.
    pub(super) failed: MemberSet,
    /// In which time the members of the installed ring are to be heard, while this node gathers with new nodes.
    pub(super) hearing: Option<Hearing>,
    /// When new nodes were heard since the installed ring.
    pub(super) crowd: Crowd,
    /// Nodes that announced that they are leaving.
    pub(super) leavers: MemberSet,
    /// This node gave itself up, because it cannot receive.
    pub(super) failed_to_receive: bool,
    /// This node should form a ring but has no reserved ring id. It sends no join messages, so that the
    /// others form a ring without it.
    pub(super) silent: bool,
    /// Which nodes are heard, and which of them hear this node.
    pub(super) witness: Witness,

    /// Members of the installed ring that are known to be nodes of this implementation.
    pub(super) ours: MemberSet,
    /// Which nodes were asked whether their processes are there.
    pub(super) refusals: Refusals,
    /// Nodes whose messages are ignored for a while.
    pub(super) left_out: LeftOut,
    /// Number of consecutive recoveries that made no progress.
    pub(super) stalls: u32,

    /// Frames received on the installed ring.
    pub(super) reception: Reception,
    /// Messages up to this number were delivered.
    pub(super) delivered: Seq,
    /// Every member of the installed ring is known to have everything up to this number.
    pub(super) safe_to: Seq,

    /// Whether services are synchronising: from the transitional view until they report the end.
    pub(super) waiting_for_sync: bool,
    pub(super) outbox: Outbox,
    /// Value for the next frame's running number.
    pub(super) frame_counter: u32,

    /// State left by the last visit of the token.
    pub(super) rotation: Rotation,
    /// How long the token takes to come back.
    pub(super) turnaround: Turnaround,
    /// How long this node waited for the token.
    pub(super) gaps: Gaps,
    /// Whose frames get lost, and who lacks them.
    pub(super) losses: Losses,
    /// The next node on the ring, to which the token is passed.
    pub(super) successor: NodeId,
    /// The last token sent or held, for retransmission.
    pub(super) last_token: Option<Bytes>,
    /// The layer above asked to be told of the next token visit.
    pub(super) token_wanted: bool,

    pub(super) timers: TimerTable,
    pub(super) stats: Stats,
    pub(super) actions: VecDeque<Action>,
    /// Own frames that are looped back to this node.
    pub(super) loopback: VecDeque<Bytes>,
    jitter: u64,
}

impl Ring {
    pub(super) fn new(params: &Params, net_mtu: usize, now: Instant) -> Self {
        let start = RingId { rep: params.me, seq: params.ring_seq };
        Self {
            me: params.me,
            configured: params.timeouts.clone(),
            timeouts: params.timeouts.clone(),
            within: None,
            origin: params.origin,
            installed: start,
            current: start,
            members: MemberSet::default(),
            listed: None,
            numbers: RingNumbers::new(params.ring_seq, params.stored, now),
            proc: MemberSet::default(),
            failed: MemberSet::default(),
            hearing: None,
            crowd: Crowd::default(),
            leavers: MemberSet::default(),
            failed_to_receive: false,
            silent: false,
            witness: Witness::default(),
            ours: MemberSet::default(),
            refusals: Refusals::default(),
            left_out: LeftOut::default(),
            stalls: 0,
            reception: Reception::new(params.origin),
            delivered: params.origin,
            safe_to: params.origin,
            waiting_for_sync: true,
            outbox: Outbox::new(net_mtu),
            frame_counter: 0,
            rotation: Rotation::new(params.origin),
            turnaround: Turnaround::default(),
            gaps: Gaps::default(),
            losses: Losses::default(),
            successor: params.me,
            last_token: None,
            token_wanted: false,
            timers: TimerTable::default(),
            stats: Stats::default(),
            actions: VecDeque::new(),
            loopback: VecDeque::new(),
            jitter: u64::from(params.me.get()) ^ params.ring_seq.rotate_left(32) ^ params.life,
        }
    }

    /// Asserts the invariants of the installed ring that hold between any two inputs. Enabled in release
    /// builds, because Totem survives a node that stops, but not one that delivers out of order.
    ///
    /// No datagram can violate them: members come from a commit token that was accepted because it names this
    /// node; the numbers of received frames change only in `Reception`, which counts what is in its window;
    /// `delivered` advances from one frame in the window to the next; and a ring's number is believed before
    /// the ring is accepted.
    pub(super) fn check(&self) {
        assert!(self.members.is_empty() || self.members.contains(self.me), "not a member of its own ring");
        assert!(!self.reception.aru.is_before(self.delivered), "delivered past what was received");
        assert!(!self.reception.high_seen.is_before(self.reception.aru), "received past the highest seen");
        assert!(self.numbers.highest() >= self.current.seq, "on a ring that it has not heard of");
    }

    /// The time before which received messages do not count as evidence that a node is heard: one token
    /// time-out plus one consensus time-out ago.
    pub(super) fn heard_since(&self, now: Instant) -> Instant {
        let window = self.timeouts.token + self.timeouts.consensus;
        Instant::from_micros(now.as_micros().saturating_sub(window.as_micros() as u64))
    }

    /// The nodes that a ring would now be formed of.
    pub(super) fn active(&self) -> MemberSet {
        self.proc.minus(&self.failed)
    }

    /// How many nodes may gather at the same time.
    pub(super) fn nodes(&self) -> usize {
        self.listed.as_ref().map_or(0, MemberSet::len).max(self.proc.len())
    }

    /// How long to wait for further nodes before a ring is formed; `None` if that is over, or all nodes of the
    /// configured list are known.
    pub(super) fn awaits_more(&self, now: Instant) -> Option<Duration> {
        let complete = self.listed.as_ref().is_some_and(|listed| listed.is_subset(&self.proc));
        let until = self.crowd.until(self.timeouts.consensus, self.nodes());
        until.filter(|until| *until > now && !complete).map(|until| until.since(now))
    }

    pub(super) fn is_representative(&self) -> bool {
        self.current.rep == self.me
    }

    /// The queue from which frames are sent now.
    pub(super) const fn queue(&self) -> Queue {
        if self.waiting_for_sync { Queue::Sync } else { Queue::Normal }
    }

    /// Multicasts to all nodes including this one, whose copy is looped back after the current input.
    pub(super) fn multicast_and_hear(&mut self, frame: Bytes) {
        self.loopback.push_back(frame.clone());
        self.multicast(frame);
    }

    /// Multicasts to the other nodes.
    pub(super) fn multicast(&mut self, frame: Bytes) {
        self.actions.push_back(Action::Send(Destination::All, frame));
    }

    /// Sends the last token to the next node on the ring, which may be this one.
    pub(super) fn send_token(&mut self) {
        let Some(token) = self.last_token.clone() else { return };
        if self.successor == self.me {
            self.loopback.push_back(token);
        } else {
            self.actions.push_back(Action::Send(Destination::Node(self.successor), token));
        }
    }

    /// Sends the token that this node, the representative, has held. Nobody else holds it, so from now on it is known
    /// when it is late.
    pub(super) fn release_token(&mut self, now: Instant) {
        self.send_token();
        self.turnaround.passed(now, true);
        self.repeat_if_late(now);
    }

    /// Others miss the token that this node has passed on, of which it may have been the last holder: sends it again,
    /// unless it has just done so.
    pub(super) fn repeat_for_others(&mut self, now: Instant) {
        if self.turnaround.came_again(now) {
            self.repeat_token();
        }
    }

    /// Sends the token again to the next node, which may have ended.
    pub(super) fn repeat_token(&mut self) {
        // First, as its host answers few datagrams in a second.
        self.ask(self.successor);
        self.send_token();
    }

    /// Asks the host of another node whether its process is there, if the token time-out follows from measurement and the
    /// node is known to be one of this implementation.
    fn ask(&mut self, node: NodeId) {
        if self.within.is_some() && self.is_ours(node) {
            self.refusals.ask(node);
            self.actions.push_back(Action::Probe(node));
        }
    }

    /// Asks the host of the next node while all is well, once on each ring, to know whether to believe it.
    pub(super) fn try_out_successor(&mut self) {
        let node = self.successor;
        if self.is_ours(node) && self.refusals.try_out(node) {
            self.actions.push_back(Action::Probe(node));
        }
    }

    /// Tells the node that sent the token again that this node is there.
    pub(super) fn show_life(&mut self, to: NodeId) {
        if self.is_ours(to) {
            self.stats.memb_merge_detect_tx += 1;
            let sign = MergeDetect { from: self.me, ring: self.current };
            self.actions.push_back(Action::Send(Destination::Node(to), sign.encode::<LittleEndian>()));
        }
    }

    /// Whether another node is known to be one of this implementation: only such members agree on a token time-out.
    fn is_ours(&self, node: NodeId) -> bool {
        node != self.me && self.ours.contains(node)
    }

    /// Starts the timer after which the token is sent again.
    pub(super) fn repeat_if_late(&mut self, now: Instant) {
        let late = self.turnaround.late_after(self.timeouts.token_retransmit);
        self.timers.start(Timer::TokenRetransmit, now, late);
    }

    /// Puts the timers in force that follow from the configuration and the token time-out in its place.
    pub(super) fn detect(&mut self) {
        let timeouts = match self.within {
            Some(token) => self.configured.within(token),
            None => self.configured.clone(),
        };
        if timeouts.hold > self.timeouts.hold {
            // The others may wait for a shorter time than the token would be held now.
            self.rotation.busy();
        }
        self.timeouts = timeouts;
    }

    /// Starts the timers for the token: loss, warning, retransmission.
    pub(super) fn await_token(&mut self, now: Instant) {
        let timeouts = &self.timeouts;
        self.timers.start(Timer::Token, now, timeouts.token);
        match timeouts.token_warning {
            0 => self.timers.stop(Timer::TokenWarning),
            percent => self.timers.start(Timer::TokenWarning, now, timeouts.token * percent / 100),
        }
        self.repeat_if_late(now);
    }

    /// Handles a ring sequence number heard in a frame of this kind. Returns whether it is believed; if it is
    /// not, the frame counts as refused.
    ///
    /// Also keeps the reservation on stable storage ahead of what a new ring would use.
    pub(super) fn heard_ring_seq(&mut self, now: Instant, kind: Kind, seq: u64) -> bool {
        let believed = self.numbers.heard(now, seq);
        self.reserve_ahead();
        if !believed {
            self.stats.refuse(WireError::Value(kind, "ring sequence number"));
        }
        believed
    }

    fn reserve_ahead(&mut self) {
        if let Some(up_to) = self.numbers.reservation_due() {
            self.actions.push_back(Action::Store(up_to));
        }
    }

    /// Continues with unreserved ring sequence numbers. Returns whether that is possible.
    pub(super) fn borrow_numbers(&mut self) -> bool {
        let far = FAR + self.draw(SPREAD);
        if !self.numbers.borrow(far) {
            return false;
        }
        tracing::warn!(
            from = format_args!("{:x}", self.numbers.next()),
            "no ring id could be reserved on disk in time; this node goes on with numbers so high that it does not \
             come to them again after a restart (look for a full, read-only, slow or broken disk under the state \
             directory)"
        );
        self.reserve_ahead();
        true
    }

    /// Whether `node` may be on a ring. A node removed from the configured list may be until the next ring,
    /// because the members must name it to each other to agree on removing it.
    pub(super) fn lists(&self, node: NodeId) -> bool {
        self.listed.as_ref().is_none_or(|listed| {
            listed.contains(node) || self.members.contains(node) || self.proc.contains(node)
        })
    }

    /// Sends the join message that says with which nodes this node would form a ring.
    pub(super) fn send_join(&mut self) {
        let join = Join {
            from: self.me,
            leave: false,
            ring_seq: self.current.seq,
            proc: self.proc.as_slice().to_vec(),
            failed: self.failed.as_slice().to_vec(),
        };
        self.stats.memb_join_tx += 1;
        self.multicast_and_hear(join.encode::<LittleEndian>());
    }

    /// Sends the leave message, on which the others form a ring without this node at once.
    pub(super) fn send_leave(&mut self) {
        let me = MemberSet::new([self.me]);
        let mut failed = self.failed.minus(&me).as_slice().to_vec();
        failed.push(self.me); // the last entry marks the leaving node
        let join = Join {
            from: self.me,
            leave: true,
            ring_seq: self.current.seq,
            proc: self.proc.minus(&me).as_slice().to_vec(),
            failed,
        };
        self.stats.memb_join_tx += 1;
        self.multicast(join.encode::<LittleEndian>());
    }

    /// A pseudo-random number below `limit` that differs between nodes, process lives and calls, but is the
    /// same in every run with the same inputs.
    pub(super) const fn draw(&mut self, limit: u64) -> u64 {
        // One step of splitmix64.
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.jitter;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        if limit == 0 { 0 } else { x % limit }
    }
}
