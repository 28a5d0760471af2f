//! The single-ring protocol: membership and total order.
//!
//! Corosync's counterpart: `exec/totemsrp.c`. Paper: Amir, Moser, Melliar-Smith, Agarwal, Ciarfella,
//! "The Totem Single-Ring Ordering and Membership Protocol".
//!
//! | file | what |
//! |---|---|
//! | `state.rs` | the four phases |
//! | `ring.rs` | state that outlives a phase |
//! | `number.rs` | ring sequence numbers: which are believed, which are reserved |
//! | `visit.rs` | a visit of the token: take it, order and send frames, pass it on (paper: total ordering) |
//! | `operational.rs` | on a ring: data frames, foreign messages, join messages |
//! | `gather.rs` | join messages and consensus (paper: membership) |
//! | `hearing.rs`, `silence.rs` | members of the old ring that are silent while new nodes are gathered with |
//! | `crowd.rs` | many nodes that gather at the same time: how a node spares the others |
//! | `commit.rs` | the commit token |
//! | `recovery.rs` | old-ring messages, transitional then regular view (paper: recovery) |
//! | `deliver.rs` | agreed and safe delivery |
//! | `retransmit.rs` | asking for and answering gaps |
//! | `plausible.rs` | checks and repairs of implausible tokens |
//! | `flow.rs` | window, backlog, flow control count (paper: flow control) |
//! | `hold.rs` | state kept between token visits; holding the idle token |
//! | `window.rs` | received frames by number |
//! | `outbox.rs` | this node's frames that wait for the token |
//! | `members.rs` | sets of nodes, representative |
//! | `excess.rs` | the part of the token's flow control count that no frame explains |
//! | `next.rs` | which phase comes next, and why |
//! | `io.rs` | inputs and actions of the protocol |
//! | `left_out.rs` | nodes that are excluded from the ring for a while |
//! | `timers.rs` | timers |
//! | `pause.rs` | a pause of this process, which is not silence of the others |
//! | `turnaround.rs` | how long a rotation takes, and when the token is late |
//! | `gaps.rs`, `spread.rs` | how long this node waited for the token |
//! | `refusals.rs` | members whose hosts say that their processes have ended |
//! | `losses.rs` | whose frames get lost, and who lacks them |
//! | `witness.rs` | which nodes are heard, and which of them hear this node |
//! | `stats.rs` | counters |
//! | `sample.rs` | test fixtures: a node on a ring, frames |

mod commit;
mod crowd;
mod deliver;
mod excess;
mod flow;
pub(crate) mod gaps;
mod gather;
mod hearing;
mod hold;
pub(crate) mod io;
mod left_out;
pub(crate) mod losses;
pub mod members;
mod next;
mod number;
mod operational;
pub(crate) mod outbox;
mod pause;
mod plausible;
mod recovery;
mod refusals;
mod retransmit;
mod ring;
#[cfg(test)]
mod sample;
mod silence;
mod spread;
mod state;
pub mod stats;
pub mod timers;
mod turnaround;
mod visit;
pub mod window;
mod witness;

use std::time::Duration;

use bytes::Bytes;

use self::commit::Commit;
use self::gaps::{Waited, Waits};
use self::gather::Gather;
use self::io::{Action, Feed, Input, Params, StateName};
use self::losses::{Judgement, Tally};
use self::members::MemberSet;
use self::next::{Cause, Next};
pub(crate) use self::number::{RESERVE, RING_SEQ_LIMIT};
use self::pause::Pause;
use self::recovery::Recovery;
use self::ring::Ring;
use self::state::State;
use self::stats::Stats;
use self::timers::Timer;
use self::visit::End;
use self::window::Stored;
use super::wire::{
    self, CommitToken, Encapsulated, Frame, HoldCancel, Join, LittleEndian, Mcast, MergeDetect, Token,
};
use crate::config::timeouts::Timeouts;
use crate::ids::{Endian, NodeId, RingId};
use crate::time::Instant;

/// The single-ring protocol; it owns no socket, clock, thread or source of randomness.
#[derive(Debug)]
pub(crate) struct Srp {
    ring: Ring,
    state: State,
    started: bool,
    pause: Pause,
}

impl Srp {
    pub(crate) fn new(params: &Params, net_mtu: usize, now: Instant) -> Self {
        Self {
            ring: Ring::new(params, net_mtu, now),
            state: State::Operational,
            started: false,
            pause: Pause::new(now),
        }
    }

    /// Implements [`Totem::admit_only`](super::Totem::admit_only).
    pub(crate) fn admit_only(&mut self, nodes: &[NodeId]) {
        let me = self.ring.me;
        self.ring.listed = Some(MemberSet::new(nodes.iter().copied().chain([me])));
    }

    /// Implements [`Totem::admit_any`](super::Totem::admit_any).
    pub(crate) fn admit_any(&mut self) {
        self.ring.listed = None;
    }

    /// Handles one input at `now`. Never fails: an invalid datagram is dropped and counted by reason.
    pub(crate) fn handle_input(&mut self, now: Instant, input: Input<'_>, feed: &mut dyn Feed) {
        match input {
            Input::Paused(time) if self.started => self.pause.ended(&mut self.ring, now, time),
            _ if self.started => self.pause.runs(&mut self.ring, now),
            _ => {}
        }
        if !self.started {
            self.started = true;
            self.pause = Pause::new(now);
            self.pause.runs(&mut self.ring, now);
            self.gather(now, Cause::Start);
        }
        // Looped-back own frames that were sent before this input come first, so that a flood of other
        // datagrams cannot delay them.
        self.hear_own(now, feed);
        match input {
            Input::Datagram(datagram) => self.receive(now, datagram, None, feed),
            Input::Timeout | Input::Paused(_) => {}
            Input::Stored(up_to) => {
                self.ring.numbers.stored(up_to);
                if let State::Gather(gather) = &mut self.state {
                    let next = gather.reserved(&mut self.ring, now);
                    self.go(now, next);
                }
            }
            Input::NotStored => {
                self.ring.numbers.disk_failed();
                if let State::Gather(gather) = &mut self.state {
                    let next = gather.settle(&mut self.ring, now);
                    self.go(now, next);
                }
            }
            Input::Interface => {
                self.ring.witness.forget();
                self.gather(now, Cause::Interface);
            }
            Input::Refused(node) => self.ring.refusals.refused(now, node),
        }
        // After any other input a datagram may still wait that makes the timer pointless.
        if matches!(input, Input::Timeout) {
            while let Some(timer) = self.ring.timers.take_due(now) {
                self.expire(now, timer);
            }
        }
        while let Some(node) = self.ring.refusals.take_ended(now, self.ring.timeouts.token) {
            self.process_ended(now, node);
        }
        self.ring.check();
        self.state.check(&self.ring.timers);
    }

    /// Takes the next action for the caller.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.ring.actions.pop_front()
    }

    /// When the next input is due if no datagram arrives.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.ring.loopback.is_empty() { self.ring.timers.next() } else { Some(Instant::ZERO) }
    }

    /// The layer above has something to send: releases the token if it is held on an idle ring.
    pub(crate) fn wake(&mut self) {
        if self.ring.rotation.held && matches!(self.state, State::Operational | State::Recovery(_)) {
            self.ring.rotation.held = false;
            self.ring.gaps.skip();
            self.ring.stats.token_hold_cancel_tx += 1;
            let cancel = HoldCancel { from: self.ring.me, ring: self.ring.current };
            self.ring.multicast_and_hear(cancel.encode::<LittleEndian>());
        }
    }

    /// Asks for [`Action::TokenSent`] at the next visit of the token.
    pub(crate) fn want_token(&mut self) {
        self.ring.token_wanted = true;
        self.wake();
    }

    /// The transitional view was delivered: until [`Srp::synced`], frames are taken from the synchronisation
    /// queue.
    ///
    /// This must not happen earlier, when the ring is installed: the end of the previous synchronisation may
    /// still be undelivered before the view.
    pub(crate) const fn sync_begins(&mut self) {
        self.ring.waiting_for_sync = true;
    }

    /// The services' synchronisation is complete: ordinary frames are sent again.
    pub(crate) const fn synced(&mut self) {
        self.ring.waiting_for_sync = false;
    }

    /// Tells the other nodes that this node leaves.
    pub(crate) fn leave(&mut self) {
        self.ring.send_leave();
    }

    /// Starts gathering because the caller asked for it.
    pub(crate) fn force_gather(&mut self, now: Instant) {
        self.ring.witness.forget();
        self.gather(now, Cause::Forced);
    }

    /// Implements [`Totem::leave_out`](super::Totem::leave_out).
    pub(crate) fn leave_out(&mut self, now: Instant, nodes: &[NodeId], time: Duration) {
        self.ring.left_out.set(now, nodes, now + time);
        let gone = nodes.iter().all(|node| !self.ring.proc.contains(*node));
        if nodes.is_empty() || !gone {
            self.gather(now, if gone { Cause::Unsynchronised } else { Cause::LeftOut });
        }
    }

    /// Implements [`Totem::stay_alone`](super::Totem::stay_alone).
    pub(crate) fn stay_alone(&mut self, now: Instant, time: Duration) {
        let others: Vec<NodeId> =
            self.ring.proc.as_slice().iter().copied().filter(|node| *node != self.ring.me).collect();
        self.ring.left_out.set_alone(now + time);
        if !others.is_empty() {
            self.leave_out(now, &others, time);
        }
    }

    /// Implements [`Totem::take_judgement`](super::Totem::take_judgement).
    pub(crate) const fn take_judgement(&mut self) -> Option<Judgement> {
        self.ring.losses.take()
    }

    pub(crate) fn reconfigure(&mut self, timeouts: Timeouts) {
        self.ring.configured = timeouts;
        self.ring.detect();
    }

    /// Implements [`Totem::detect_within`](super::Totem::detect_within).
    pub(crate) fn detect_within(&mut self, token: Option<Duration>) {
        let before = self.ring.timeouts.clone();
        self.ring.within = token;
        if token.is_some() && matches!(self.state, State::Operational) {
            self.ring.ours.clone_from(&self.ring.members);
            self.ring.try_out_successor();
        }
        self.ring.detect();
        if matches!(self.state, State::Operational) {
            // The token that is waited for is among those that need more time.
            let Ring { timeouts, timers, .. } = &mut self.ring;
            let more = timeouts.token.saturating_sub(before.token);
            timers.lengthen(Timer::Token, more);
            timers.lengthen(Timer::TokenWarning, more * timeouts.token_warning / 100);
            let heartbeats = timeouts.heartbeat().zip(before.heartbeat());
            let more = heartbeats.map_or(more, |(now, before)| now.saturating_sub(before));
            timers.lengthen(Timer::Heartbeat, more);
        }
    }

    pub(crate) const fn configured(&self) -> &Timeouts {
        &self.ring.configured
    }

    pub(crate) const fn within(&self) -> Option<Duration> {
        self.ring.within
    }

    /// Implements [`Totem::take_waits`](super::Totem::take_waits).
    pub(crate) const fn take_waits(&mut self) -> Waits {
        self.ring.gaps.take()
    }

    /// Implements [`Totem::waited`](super::Totem::waited).
    pub(crate) fn waited(&self, now: Instant) -> Waited {
        self.ring.gaps.lately(now)
    }

    /// The timers and limits in force.
    pub(crate) const fn timeouts(&self) -> &Timeouts {
        &self.ring.timeouts
    }

    /// Whether this datagram is the next token of the ring that this node is on.
    pub(crate) fn expects(&self, datagram: &[u8]) -> bool {
        let ring = &self.ring;
        wire::kind(datagram) == Some(wire::Kind::Token)
            && matches!(self.state, State::Operational)
            && matches!(wire::parse(datagram), Ok((Frame::Token(token), _))
                if token.ring == ring.current && ring.rotation.token_seq.is_before(token.token_seq))
    }

    pub(crate) const fn outbox_mut(&mut self) -> &mut outbox::Outbox {
        &mut self.ring.outbox
    }

    pub(crate) const fn outbox(&self) -> &outbox::Outbox {
        &self.ring.outbox
    }

    pub(crate) fn clear_stats(&mut self) {
        let visits = std::mem::take(&mut self.ring.stats.visits);
        self.ring.stats = Stats { visits, ..Stats::default() };
        self.ring.losses.clear();
    }

    /// The counters of the ring protocol.
    pub(crate) const fn stats(&self) -> &Stats {
        &self.ring.stats
    }

    /// Implements [`Totem::tallies`](super::Totem::tallies).
    pub(crate) fn tallies(&self) -> impl Iterator<Item = (NodeId, Tally)> {
        self.ring.losses.tallies()
    }

    pub(crate) const fn state(&self) -> StateName {
        self.state.name()
    }

    pub(crate) const fn ring_id(&self) -> RingId {
        self.ring.installed
    }

    pub(crate) fn members(&self) -> &[NodeId] {
        self.ring.members.as_slice()
    }

    /// A sentence for the operator that says why this node and the nodes it knows are not on one ring.
    pub(crate) fn why_no_ring(&self, now: Instant) -> String {
        let others = self.ring.proc.minus(&MemberSet::new([self.ring.me]));
        self.ring.witness.why(&others, self.ring.heard_since(now))
    }

    pub(crate) fn known(&self) -> &[NodeId] {
        self.ring.proc.as_slice()
    }

    /// Enters the phase that the current phase decided on.
    fn go(&mut self, now: Instant, next: Option<Next>) {
        let ring = &mut self.ring;
        let state = match next {
            None => return,
            Some(Next::Gather(cause)) => State::Gather(Gather::enter(ring, now, cause)),
            Some(Next::Commit(token)) => State::Commit(Commit::enter(ring, now, token)),
            Some(Next::Recovery(token)) => State::Recovery(Box::new(Recovery::enter(ring, now, token))),
        };
        if let State::Recovery(given_up) = std::mem::replace(&mut self.state, state) {
            given_up.give_up(&mut self.ring);
        }
    }

    fn gather(&mut self, now: Instant, cause: Cause) {
        self.go(now, Some(Next::Gather(cause)));
    }

    /// Handles the own frames that are looped back now; frames that this causes wait for the next call.
    fn hear_own(&mut self, now: Instant, feed: &mut dyn Feed) {
        for _ in 0..self.ring.loopback.len() {
            let Some(frame) = self.ring.loopback.pop_front() else { return };
            self.receive(now, &frame, Some(&frame), feed);
        }
    }

    /// Returns the kind of a frame that would introduce a node outside of the configured list, `None` for
    /// other frames. Join messages pass node ids on from node to node, so one forged join message could fill
    /// every node's lists with nodes that never answer.
    fn stranger(&self, frame: &Frame<'_>) -> Option<wire::Kind> {
        let ring = &self.ring;
        match frame {
            Frame::Join(join) => {
                let listed = ring.lists(join.from)
                    && join.proc.iter().chain(&join.failed).all(|node| ring.lists(*node));
                (!listed).then_some(wire::Kind::Join)
            }
            Frame::Mcast(mcast) => (!ring.lists(mcast.system_from)).then_some(wire::Kind::Mcast),
            Frame::MergeDetect(probe) => (!ring.lists(probe.from)).then_some(wire::Kind::MergeDetect),
            // These are accepted only on a ring, or for one, whose members are known already.
            Frame::Token(_) | Frame::Commit(_) | Frame::HoldCancel(_) => None,
        }
    }

    /// Handles a datagram; `own` is given if it is one of this node's looped-back frames.
    fn receive(&mut self, now: Instant, datagram: &[u8], own: Option<&Bytes>, feed: &mut dyn Feed) {
        let (frame, order) = match wire::parse(datagram) {
            Ok(parsed) => parsed,
            Err(error) => return self.ring.stats.refuse(error),
        };
        // A frame from the network that names this node as its sender is forged, and it would be believed, because a node
        // trusts its own messages.
        let speaker = speaker(&frame).filter(|_| own.is_none());
        if speaker == Some(self.ring.me) {
            self.ring.stats.rx_msg_dropped += 1;
            return;
        }
        if let Some(kind) = self.stranger(&frame) {
            return self.ring.stats.refuse(wire::WireError::Value(kind, "node id: it is not configured"));
        }
        let kind = match &frame {
            Frame::Token(_) => wire::Kind::Token,
            Frame::Mcast(_) => wire::Kind::Mcast,
            Frame::MergeDetect(_) => wire::Kind::MergeDetect,
            Frame::Join(_) => wire::Kind::Join,
            Frame::Commit(_) => wire::Kind::Commit,
            Frame::HoldCancel(_) => wire::Kind::HoldCancel,
        };
        if self.ring.left_out.mutes(now, &frame, self.ring.me) {
            return self
                .ring
                .stats
                .refuse(wire::WireError::Value(kind, "node id: it is left out for a while"));
        }
        self.ring.stats.received(kind);
        if let Some(speaker) = speaker {
            // A join message may come from a process that has started in the place of one that has ended.
            let stayed = !matches!(&frame, Frame::Join(_) | Frame::Commit(_));
            self.ring.refusals.heard(speaker, stayed);
        }
        match frame {
            Frame::Mcast(mcast) => {
                let bytes = || own.cloned().unwrap_or_else(|| Bytes::copy_from_slice(datagram));
                self.mcast(now, &mcast, order, bytes);
            }
            Frame::Token(token) => self.token(now, token, feed),
            Frame::Join(join) => self.join(now, &join),
            Frame::Commit(token) => self.commit_token(now, token),
            Frame::MergeDetect(probe) => self.merge_detect(now, &probe),
            Frame::HoldCancel(cancel) => self.hold_cancel(now, cancel),
        }
    }

    fn mcast(&mut self, now: Instant, mcast: &Mcast<'_>, order: Endian, bytes: impl FnOnce() -> Bytes) {
        let stored = || Stored::new(mcast, bytes(), order);
        let ring = &self.ring;
        let late = ring.members.contains(mcast.system_from) && mcast.ring.seq < ring.installed.seq;
        let foreign = mcast.ring != ring.current && mcast.ring != ring.installed && !late;
        if foreign && self.meets_in_vain(now, mcast.system_from) {
            return;
        }
        let ring = &mut self.ring;
        let next = match &mut self.state {
            State::Operational => operational::mcast(ring, mcast, stored),
            State::Gather(_) if mcast.ring == ring.current => {
                // It still counts among what this node brings into the next ring, and is delivered when that
                // is installed.
                let plain = mcast.encapsulated == Encapsulated::Plain;
                if plain && ring.current == ring.installed && !ring.is_known(mcast) {
                    ring.reception.take_from_network(ring.rotation.passed, mcast.seq, stored());
                }
                None
            }
            State::Gather(_) if !ring.proc.contains(mcast.system_from) => {
                let late = ring.members.contains(mcast.system_from) && mcast.ring.seq < ring.installed.seq;
                (!late && ring.proc.insert(mcast.system_from))
                    .then_some(Next::Gather(Cause::ForeignMessage(mcast.system_from)))
            }
            State::Recovery(recovery)
                if mcast.ring == ring.current && mcast.encapsulated == Encapsulated::Recovery =>
            {
                recovery.receive(ring, mcast.seq, stored());
                None
            }
            State::Gather(_) | State::Commit(_) | State::Recovery(_) => {
                if mcast.ring != ring.current {
                    ring.stats.rx_msg_dropped += 1;
                }
                None
            }
        };
        self.go(now, next);
    }

    fn token(&mut self, now: Instant, token: Token, feed: &mut dyn Feed) {
        let ring = &mut self.ring;
        match &mut self.state {
            State::Operational => {
                let Some(visit) = visit::take(ring, None, now, token, feed) else { return };
                if let Some(end) = visit.end {
                    return self.end_ring(now, end);
                }
                visit::pass_on(ring, visit, now, true);
                if let Some((finding, held_back)) = ring.losses.judge(now) {
                    tracing::warn!(ring = %ring.current, held_back, "frames get lost: {finding}");
                }
            }
            State::Recovery(recovery) => {
                let Some(mut visit) = visit::take(ring, Some(recovery), now, token, feed) else { return };
                if let Some(end) = visit.end {
                    return self.end_ring(now, end);
                }
                let complete = recovery.is_complete(visit.token_mut());
                if recovery.is_ending(visit.token_mut()) {
                    visit.hasten(ring);
                }
                if recovery.gets_on(visit.token_mut()) {
                    ring.timers.start(Timer::Recovery, now, ring.timeouts.recovery());
                }
                if complete
                    && let State::Recovery(recovery) = std::mem::replace(&mut self.state, State::Operational)
                {
                    ring.left_out.installed(now, &ring.failed, ring.timeouts.join);
                    recovery.install(ring);
                }
                visit::pass_on(&mut self.ring, visit, now, complete);
            }
            State::Gather(_) | State::Commit(_) => {}
        }
    }

    fn join(&mut self, now: Instant, join: &Join) {
        let own = join.from == self.ring.me;
        if self.pause.catching_up && !own {
            if matches!(self.state, State::Operational) && pause::proves_the_end(&self.ring, join) {
                self.gather(now, Cause::JoinOperational(join.from));
            }
            return;
        }
        let ring = &mut self.ring;
        if !own {
            ring.witness.join(now, ring.me, join);
        }
        let counts = match &self.state {
            State::Operational => {
                operational::join_counts(ring, join) && !ring.left_out.in_vain(now, join.from)
            }
            State::Gather(_) => true,
            State::Commit(commit) => {
                may_change_its_mind(ring, &commit.members, join) || commit.is_refused_by(ring, join)
            }
            State::Recovery(recovery) => may_change_its_mind(ring, &recovery.members, join),
        };
        // A message that has no other effect must not raise the ring sequence number either.
        if !counts || !ring.heard_ring_seq(now, wire::Kind::Join, join.ring_seq) {
            return;
        }
        let next = match &mut self.state {
            State::Operational => Some(Next::Gather(operational::join(ring, join))),
            State::Gather(gather) => gather.join(ring, now, join),
            State::Commit(_) => Some(changes_its_mind(ring, join, Cause::JoinCommit(join.from))),
            State::Recovery(_) => Some(changes_its_mind(ring, join, Cause::JoinRecovery(join.from))),
        };
        self.go(now, next);
    }

    fn commit_token(&mut self, now: Instant, token: CommitToken) {
        let ring = &mut self.ring;
        if matches!(self.state, State::Commit(_) | State::Recovery(_)) && token.ring == ring.current {
            // It may be one that the sender repeats because it misses it.
            ring.show_life(token.from);
        }
        let next = match &mut self.state {
            State::Operational => None,
            State::Gather(_) => Gather::commit_token(ring, now, token),
            State::Commit(commit) => commit.commit_token(ring, token),
            State::Recovery(recovery) => {
                if let Some(retransmitting) = recovery.commit_token(ring, &token) {
                    visit::first_token(ring, retransmitting, now);
                }
                None
            }
        };
        self.go(now, next);
    }

    /// Notes that a node of another ring was heard. Returns whether to ignore it instead of gathering,
    /// because that node does not hear this one, or ended rings in vain.
    fn meets_in_vain(&mut self, now: Instant, node: NodeId) -> bool {
        self.ring.witness.foreign(now, node);
        let rests = matches!(self.state, State::Operational) && self.ring.left_out.in_vain(now, node);
        let in_vain = rests || self.ring.witness.lets_alone(node, now);
        self.ring.stats.rx_msg_dropped += u64::from(in_vain);
        in_vain
    }

    fn merge_detect(&mut self, now: Instant, probe: &MergeDetect) {
        let ring = &self.ring;
        if ring.members.contains(probe.from) && probe.ring.seq < ring.installed.seq {
            return; // a member's late sign of life, of an earlier ring
        }
        if probe.ring != self.ring.current && self.meets_in_vain(now, probe.from) {
            return;
        }
        let ring = &mut self.ring;
        let next = match &self.state {
            State::Operational => operational::merge_detect(ring, probe),
            State::Gather(_) if probe.ring != ring.current => {
                ring.proc.insert(probe.from).then_some(Next::Gather(Cause::MergeDetect(probe.from)))
            }
            State::Gather(_) | State::Commit(_) | State::Recovery(_) => None,
        };
        self.go(now, next);
    }

    fn hold_cancel(&mut self, now: Instant, cancel: HoldCancel) {
        let ring = &mut self.ring;
        if cancel.ring != ring.current {
            return;
        }
        if ring.rotation.held {
            ring.gaps.skip();
        }
        ring.rotation.cancel();
        if ring.is_representative() && !matches!(self.state, State::Gather(_)) {
            if ring.timers.runs(Timer::Hold) {
                ring.timers.stop(Timer::Hold);
                ring.release_token(now);
            } else {
                ring.repeat_for_others(now);
            }
        }
    }

    /// Leaves the ring at a token visit that showed that this node cannot stay on it.
    fn end_ring(&mut self, now: Instant, end: End) {
        let ring = &mut self.ring;
        let cause = match end {
            End::CannotReceive => return self.give_up_receiving(now),
            End::NobodyHas => Cause::NobodyHas,
            End::NeverSent => Cause::NeverSent,
        };
        ring.stats.forged += 1;
        tracing::warn!(
            ring = %ring.current, received = %ring.reception.aru, delivered = %ring.delivered,
            "{cause}; a new ring will be formed (datagrams that no member sent reach this node: see who else \
             can send to its network, or use an encrypted transport)"
        );
        self.gather(now, cause);
    }

    fn give_up_receiving(&mut self, now: Instant) {
        tracing::error!(
            ring = %self.ring.installed, missing_after = %self.ring.reception.aru,
            "this node does not receive what the others send, and leaves the ring; look for dropped \
             multicast or full socket buffers on it"
        );
        self.ring.failed_to_receive = true;
        self.ring.failed.insert(self.ring.me);
        self.gather(now, Cause::CannotReceive);
    }

    fn expire(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Alive => {
                self.pause.caught_up(&mut self.ring, now);
            }
            Timer::Token | Timer::Heartbeat => self.token_lost(now),
            Timer::TokenWarning => self.token_is_late(),
            Timer::TokenRetransmit => match self.state {
                State::Gather(_) => {}
                State::Operational | State::Commit(_) | State::Recovery(_) => {
                    self.ring.repeat_token();
                    self.ring.turnaround.sent_again(now);
                    self.ring.repeat_if_late(now);
                }
            },
            Timer::Recovery => self.recovery_stalled(now),
            Timer::Hold => self.ring.release_token(now),
            Timer::SendJoin => self.ring.send_join(),
            Timer::Join => {
                gather::announce(&mut self.ring, now);
                gather::repeat_later(&mut self.ring, now);
            }
            Timer::Settle => {
                if let State::Gather(gather) = &mut self.state {
                    let next = gather.settle(&mut self.ring, now);
                    self.go(now, next);
                }
            }
            Timer::Silence => {
                if let State::Gather(gather) = &self.state {
                    let next = gather.silence_expired(&mut self.ring, now);
                    self.go(now, next);
                }
            }
            Timer::Consensus => {
                if let State::Gather(gather) = &mut self.state {
                    let next = gather.consensus_expired(&mut self.ring, now);
                    self.go(now, next);
                }
            }
            Timer::Merge => {
                let alone = self.ring.left_out.alone(now);
                if matches!(self.state, State::Operational) && self.ring.is_representative() && !alone {
                    self.ring.stats.memb_merge_detect_tx += 1;
                    let probe = MergeDetect { from: self.ring.me, ring: self.ring.current };
                    self.ring.multicast(probe.encode::<LittleEndian>());
                }
            }
        }
    }

    /// The token circulates, but the recovery makes no progress: gives it up and gathers anew.
    ///
    /// The old frames received so far are kept, so the next recovery has less to do. If that one stalls as
    /// well, the ring is formed without the node that lacks frames the others have; if that is this node, or
    /// no node is named, this node continues alone. This ends, because nodes separated in this way come from
    /// different rings when they meet again and have no common frames to recover.
    fn recovery_stalled(&mut self, now: Instant) {
        let State::Recovery(recovery) = &self.state else { return };
        let behind = recovery.behind();
        let ring = &mut self.ring;
        ring.stats.recovery_stalled += 1;
        ring.stalls += 1;
        let alone = behind.is_none_or(|node| node == ring.me);
        let then = match (ring.stalls, alone) {
            (0 | 1, _) => "all gather anew",
            (_, false) => "the others go on without that node",
            (_, true) => "this node goes on alone",
        };
        tracing::warn!(
            ring = %ring.current, members = %recovery.members,
            behind = %MemberSet::new(behind), ms = ring.timeouts.recovery().as_millis() as u64,
            "the token turns, but the exchange of the old ring's messages has not got on for as long; {then} (look for \
             lost multicast or fragments, firewalls and MTU, on the node that is behind)"
        );
        match behind {
            Some(node) if ring.stalls > 1 && node != ring.me => {
                ring.failed.insert(node);
            }
            Some(_) | None if ring.stalls > 1 => {
                ring.failed_to_receive = true;
                ring.failed.insert(ring.me);
            }
            Some(_) | None => {}
        }
        self.gather(now, Cause::RecoveryStalled);
    }

    /// The host of a node says that its process has ended: the others form a ring without it, unless it was given up before.
    fn process_ended(&mut self, now: Instant, node: NodeId) {
        let ring = &mut self.ring;
        if ring.active().contains(node) {
            tracing::warn!(
                %node, ring = %ring.current,
                "no process receives on the host of this node, which says so: its daemon has ended, and the others go on"
            );
            ring.failed.insert(node);
            self.gather(now, Cause::Ended(node));
        }
    }

    /// Logs from which node the token is overdue. Not while a ring is being formed: that failure has a
    /// message of its own.
    fn token_is_late(&self) {
        let ring = &self.ring;
        let percent = ring.timeouts.token_warning;
        match &self.state {
            State::Operational => tracing::warn!(
                ring = %ring.current, percent, from = %ring.members.before(ring.me),
                "no token for this share of the token time-out"
            ),
            State::Gather(_) | State::Commit(_) | State::Recovery(_) => tracing::debug!(
                ring = %ring.current, percent, state = %self.state.name(),
                "no token for this share of the token time-out, of a ring that is being formed"
            ),
        }
    }

    fn token_lost(&mut self, now: Instant) {
        let stats = &mut self.ring.stats;
        let cause = match &mut self.state {
            State::Operational => {
                stats.operational_token_lost += 1;
                tracing::warn!(
                    ring = %self.ring.installed, members = %self.ring.members, next = %self.ring.successor,
                    "the token was lost; a new membership will be formed"
                );
                Cause::TokenLost
            }
            State::Gather(gather) => {
                stats.gather_token_lost += 1;
                let next = gather.consensus_expired(&mut self.ring, now);
                self.go(now, next);
                Cause::NoCommitToken
            }
            State::Commit(_) => {
                stats.commit_token_lost += 1;
                Cause::CommitTokenLost
            }
            State::Recovery(_) => {
                stats.recovery_token_lost += 1;
                Cause::RecoveryTokenLost
            }
        };
        self.gather(now, cause);
    }
}

/// The node that sent the frame; `None` for data frames, which other nodes send again.
const fn speaker(frame: &Frame<'_>) -> Option<NodeId> {
    match frame {
        Frame::Mcast(_) => None,
        Frame::Token(token) => Some(token.from),
        Frame::Join(join) => Some(join.from),
        Frame::Commit(token) => Some(token.from),
        Frame::MergeDetect(probe) => Some(probe.from),
        Frame::HoldCancel(cancel) => Some(cancel.from),
    }
}

/// Whether a join message ends the attempt to form a ring: it does if it comes from one of the attempt's
/// members and is not older than the attempt.
fn may_change_its_mind(ring: &Ring, members: &MemberSet, join: &Join) -> bool {
    join.from != ring.me && members.contains(join.from) && join.ring_seq >= ring.current.seq
}

/// Ends the attempt to form a ring because of a join message.
fn changes_its_mind(ring: &mut Ring, join: &Join, cause: Cause) -> Next {
    gather::weigh(ring, join);
    Next::Gather(cause)
}
