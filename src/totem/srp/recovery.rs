//! Recovery: members exchange the messages of their old rings on the new one, then install the new ring.
//!
//! Totem paper, recovery. Members that come from the same old ring retransmit the frames that not all of them
//! have, wrapped in frames of the new ring. When the token has shown twice that all members have all of them,
//! the old ring's messages are delivered and the views are reported, in the order that extended virtual
//! synchrony requires.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;

use super::commit;
use super::io::Action;
use super::members::MemberSet;
use super::ring::Ring;
use super::timers::Timer;
use super::window::{Reception, Stored};
use crate::ids::{Endian, Guarantee, NodeId, RingId, Seq};
use crate::time::Instant;
use crate::totem::wire::{self, CommitToken, Encapsulated, Frame, LittleEndian, Mcast, Token};
use crate::view::{View, ViewKind};

/// State of the recovery phase. Giving it up leaves the installed ring as it was, plus the old frames
/// received.
#[derive(Debug)]
pub(super) struct Recovery {
    /// Members of the new ring.
    pub(super) members: MemberSet,
    /// Members that come from the same old ring as this node.
    transitional: MemberSet,
    /// The highest number that any of these has delivered on the old ring: what is safe for one of them is
    /// safe for all.
    handed_up: Seq,
    /// Frames received on the new ring.
    pub(super) reception: Reception,
    /// Old frames that this node has to retransmit, ascending.
    queue: VecDeque<(Seq, Bytes)>,
    /// Numbers of old frames that another node has retransmitted already.
    heard: HashSet<u32>,
    /// This node set the token's "retransmitting" flag.
    raised_flag: bool,
    /// Consecutive token visits with the flag clear.
    clear_visits: u32,
    /// The token's seq when it was established that no member has more to retransmit.
    install_seq: Seq,
    /// Consecutive token visits which showed that all members have everything up to `install_seq`.
    complete_visits: u32,
    /// The representative has sent the first token of the ring.
    originated: bool,
    /// Progress at the last visit of the token.
    reached: Reached,
}

/// Progress of a recovery according to a token.
#[derive(Clone, Copy, Debug)]
struct Reached {
    /// The highest number assigned to a frame.
    seq: Seq,
    /// Every member has received everything up to this number.
    aru: Seq,
    /// The member that has not received more than `aru`.
    behind: Option<NodeId>,
}

impl Recovery {
    /// Enters recovery when the commit token has come round with all entries filled in.
    pub(super) fn enter(ring: &mut Ring, now: Instant, mut token: CommitToken) -> Self {
        commit::pass_on(ring, &mut token);
        ring.stats.recovery_entered += 1;
        ring.rotation = super::hold::Rotation::new(ring.origin);

        let old_ring = ring.installed;
        let came_along = token.members.iter().filter_map(|(node, entry)| {
            entry.filter(|entry| entry.ring == old_ring && ring.members.contains(*node)).map(|e| (*node, e))
        });
        let transitional = MemberSet::new(came_along.clone().map(|(node, _)| node));
        let handed_up = came_along.clone().map(|(_, entry)| entry.high_delivered);
        let handed_up = handed_up.fold(ring.delivered, Seq::later);
        let queue = if came_along.clone().all(|(_, entry)| entry.received_all) {
            VecDeque::new()
        } else {
            old_frames(&ring.reception, came_along.map(|(_, entry)| entry.aru))
        };
        tracing::debug!(
            ring = %ring.current, old_ring = %old_ring, came_along = %transitional, frames = queue.len(),
            "recovering messages of the old ring"
        );
        ring.await_token(now);
        ring.timers.start(Timer::Recovery, now, ring.timeouts.recovery());
        Self {
            members: MemberSet::new(token.members.iter().map(|member| member.0)),
            transitional,
            handed_up,
            reception: Reception::new(ring.origin),
            queue,
            heard: HashSet::new(),
            raised_flag: false,
            clear_visits: 0,
            install_seq: ring.origin,
            complete_visits: 0,
            originated: false,
            reached: Reached { seq: ring.origin, aru: ring.origin, behind: None },
        }
    }

    /// Handles the commit token when it returns for the third time: the representative replaces it by the
    /// first token, once. Returns whether that token has the "retransmitting" flag set; `None` if there is
    /// nothing to do.
    pub(super) fn commit_token(&mut self, ring: &Ring, token: &CommitToken) -> Option<bool> {
        // The parser refuses a token without members.
        let rounds = token.token_seq as usize / token.members.len();
        if !ring.is_representative() || self.originated || token.ring != ring.current || rounds < 2 {
            return None;
        }
        self.originated = true;
        self.raised_flag = !self.queue.is_empty();
        Some(self.raised_flag)
    }

    /// Stores a frame of the new ring.
    pub(super) fn receive(&mut self, ring: &Ring, seq: Seq, stored: Stored) {
        let old =
            inner(&stored).filter(|(mcast, _)| mcast.ring == ring.installed).map(|(mcast, _)| mcast.seq);
        if self.reception.take_from_network(ring.rotation.passed, seq, stored)
            && let Some(old) = old
        {
            self.heard.insert(old.0);
        }
    }

    /// Releases the new ring's frames up to `seq`, which every member has received, to make room for more.
    /// The old frames in them are first moved to the old ring's window.
    pub(super) fn release(&mut self, ring: &mut Ring, seq: Seq) {
        self.file_old_frames(ring, seq);
        self.reception.release(seq);
    }

    /// Records the progress shown by a token. Returns whether there is more than at the last visit.
    ///
    /// Both numbers only rise, and each member assigns no more numbers than it has frames to retransmit, so
    /// this is eventually `false`.
    pub(super) fn gets_on(&mut self, token: &Token) -> bool {
        let Reached { seq, aru, .. } = self.reached;
        self.reached = Reached { seq: seq.later(token.seq), aru: aru.later(token.aru), behind: token.aru_by };
        (self.reached.seq, self.reached.aru) != (seq, aru)
    }

    /// The member that lacks frames which the others have, according to the last token.
    pub(super) const fn behind(&self) -> Option<NodeId> {
        self.reached.behind
    }

    /// The number of old frames that this node still has to send.
    pub(super) fn backlog(&mut self) -> usize {
        while self.queue.front().is_some_and(|(seq, _)| self.heard.contains(&seq.0)) {
            self.queue.pop_front();
        }
        self.queue.len()
    }

    /// The next old frame, wrapped; frames that another node has retransmitted meanwhile are skipped.
    pub(super) fn next_frame(&mut self, me: NodeId, ring: RingId, seq: Seq, counter: u32) -> Option<Stored> {
        self.backlog();
        let (_, old) = self.queue.pop_front()?;
        Some(wrap(me, ring, seq, counter, &old))
    }

    /// Counts a visit of `token` towards the end of the recovery. Returns whether to install the ring now.
    /// All members count alike, so that none sends messages of its own while another one still recovers.
    pub(super) fn is_complete(&mut self, token: &mut Token) -> bool {
        if self.backlog() > 0 {
            if !token.retransmitting {
                token.retransmitting = true;
                self.raised_flag = true;
            }
        } else if token.retransmitting && self.raised_flag {
            token.retransmitting = false;
            self.raised_flag = false;
        }
        self.clear_visits = if token.retransmitting { 0 } else { self.clear_visits.saturating_add(1) };
        if self.clear_visits == 2 {
            self.install_seq = token.seq;
        }
        let all_have_it = self.clear_visits >= 3 && !token.aru.is_before(self.install_seq);
        self.complete_visits = if all_have_it { self.complete_visits + 1 } else { 0 };
        self.complete_visits == 2
    }

    /// Whether nothing is left to exchange, according to `token` as it is passed on: the recovery ends after some more
    /// rotations, for which an idle token must not be held.
    pub(super) fn is_ending(&self, token: &Token) -> bool {
        self.clear_visits > 0 && token.aru == token.seq
    }

    /// Installs the new ring: delivers the rest of the old ring's messages and reports the views.
    pub(super) fn install(self, ring: &mut Ring) {
        self.file_old_frames(ring, self.reception.aru);
        // All members of the transitional configuration deliver the same messages in the old regular
        // configuration.
        ring.safe_to = ring.safe_to.later(self.handed_up);
        ring.deliver();

        let left = ring.members.minus(&self.transitional);
        let joined = self.members.minus(&self.transitional);
        log_views(ring, &self.members, &left, &joined);
        let view = |kind, members: &MemberSet, joined: &MemberSet, left: &MemberSet| {
            Action::View(View {
                kind,
                ring: ring.current,
                members: members.as_slice().to_vec(),
                joined: joined.as_slice().to_vec(),
                left: left.as_slice().to_vec(),
            })
        };
        let none = MemberSet::default();
        let transitional = view(ViewKind::Transitional, &self.transitional, &none, &left);
        let regular = view(ViewKind::Regular, &self.members, &joined, &none);
        ring.actions.push_back(transitional);
        ring.deliver_transitional(&self.transitional);
        ring.actions.push_back(regular);

        ring.installed = ring.current;
        ring.reception = self.reception;
        // According to the token all members have this much. This node never counts past a gap, nor before
        // what it has released, whatever a forged token said. Frames that only some have are kept for the
        // others.
        ring.delivered = ring.reception.aru.earlier(self.install_seq).later(ring.reception.last_released);
        ring.reception.release(ring.delivered);
        ring.safe_to = ring.origin;
        ring.rotation.aru = ring.origin;
        ring.proc = self.members.clone();
        ring.crowd.installed(ring.proc.len());
        ring.failed = MemberSet::default();
        ring.leavers = MemberSet::default();
        ring.members = self.members;
        ring.stats.operational_entered += 1;
        ring.stalls = 0;
        ring.silent = false;
        ring.hearing = None;
        ring.ours = ring.ours.both(&self.transitional);
        ring.refusals.installed(&self.transitional);
        ring.timers.stop(Timer::Recovery);
        ring.losses.installed(&ring.members);
    }

    /// Gives up installing the new ring at this node.
    ///
    /// The old ring's frames received so far are kept. This node may have confirmed them, whereupon others
    /// installed the new ring and delivered as safe the messages that they could rely on this node to deliver
    /// too (EVS, 7.1). Corosync discards them.
    pub(super) fn give_up(&self, ring: &mut Ring) {
        self.file_old_frames(ring, self.reception.aru);
    }

    /// Moves old frames that others retransmitted, in the new ring's frames up to `end`, into the old ring's
    /// window, unless they were released already.
    fn file_old_frames(&self, ring: &mut Ring, end: Seq) {
        let mut seq = self.reception.last_released;
        while seq.is_before(end) {
            seq = seq.plus(1);
            let Some(stored) = self.reception.window.frame(seq) else { continue };
            if let Some((mcast, old)) = inner(stored)
                && mcast.ring == ring.installed
            {
                ring.reception.take(mcast.seq, old);
            }
        }
    }
}

/// Wraps an old ring's frame for the new ring.
fn wrap(me: NodeId, ring: RingId, seq: Seq, counter: u32, old: &Bytes) -> Stored {
    let mcast = Mcast {
        encapsulated: Encapsulated::Recovery,
        from: me,
        system_from: me,
        seq,
        counter,
        ring,
        guarantee: Guarantee::Agreed,
        payload: old,
    };
    Stored::new(&mcast, mcast.encode::<LittleEndian>().freeze(), Endian::Little)
}

/// The old ring's plain frame inside of a recovery frame; `None` if there is none.
fn inner(stored: &Stored) -> Option<(Mcast<'_>, Stored)> {
    if stored.encapsulated != Encapsulated::Recovery {
        return None;
    }
    // A stored frame was parsed as a data frame, so it has a fixed part, and so has the frame inside.
    let (frame, order) = wire::parse(&stored.frame[wire::mcast::FIXED..]).ok()?;
    let Frame::Mcast(mcast) = frame else { return None };
    let plain = mcast.encapsulated == Encapsulated::Plain;
    plain.then(|| (mcast, Stored::new(&mcast, stored.payload(), order)))
}

/// The frames that at least one member lacks, given the `arus` that the members report.
///
/// All members had the released frames, whatever a member's entry says; so an aru far in the past cannot hide
/// a frame that is still held.
fn old_frames(reception: &Reception, arus: impl Iterator<Item = Seq>) -> VecDeque<(Seq, Bytes)> {
    let high = reception.high_seen;
    let low = arus.map(|aru| aru.later(reception.last_released)).fold(high, Seq::earlier);
    (1..=high.since(low))
        .map(|distance| low.plus(distance))
        .filter_map(|seq| reception.window.frame(seq).map(|stored| (seq, stored.frame.clone())))
        .collect()
}

fn log_views(ring: &Ring, members: &MemberSet, left: &MemberSet, joined: &MemberSet) {
    let leaving = MemberSet::new(left.as_slice().iter().copied().filter(|node| ring.leavers.contains(*node)));
    tracing::info!(
        ring = %ring.current, %members, %joined, left = %leaving, failed = %left.minus(&leaving),
        "a new membership was formed"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totem::srp::sample;
    use crate::totem::srp::window::WINDOW;
    use crate::totem::wire::CommitEntry;

    /// A recovery of three nodes that all come from the same ring; nodes 2 and 3 report `arus` as received up
    /// to there.
    fn entered(ring: &mut Ring, arus: [Seq; 2]) -> Recovery {
        let old = ring.installed;
        ring.current = RingId { seq: old.seq + 4, ..old };
        ring.numbers.took(ring.current.seq);
        let entry =
            |aru, received_all| Some(CommitEntry { ring: old, aru, high_delivered: aru, received_all });
        let token = CommitToken {
            from: sample::node(3),
            token_seq: 3,
            ring: ring.current,
            filled: 3,
            members: vec![
                (sample::node(1), entry(ring.reception.aru, true)),
                (sample::node(2), entry(arus[0], false)),
                (sample::node(3), entry(arus[1], false)),
            ],
        };
        Recovery::enter(ring, Instant::ZERO, token)
    }

    /// Stores the next `count` frames of the old ring or of the one that is being formed.
    fn fill(reception: &mut Reception, ring: RingId, count: u32, encapsulated: Encapsulated) {
        for _ in 0..count {
            let seq = reception.high_seen.plus(1);
            assert!(reception.take(seq, sample::stored(&sample::mcast(ring, seq, encapsulated))));
        }
    }

    #[test]
    fn no_aru_in_a_commit_entry_hides_an_old_frame_that_is_held() {
        let far = Seq(1 << 31);
        for (arus, first) in [
            ([Seq(20_010), Seq(20_003)], 20_004),
            ([Seq(20_010), Seq(19_000)], 20_001),
            // So far back that the numbers of a whole window end before the held frames.
            ([Seq(20_010), Seq(3)], 20_001),
            ([Seq(20_010), far.plus(20_011)], 20_001),
            // The first aru lies before the second, and the second after the held frames, in modular order.
            ([far.plus(20_011), far.plus(5).minus(1 << 30)], 20_001),
        ] {
            let mut ring = sample::ring(3);
            ring.reception = Reception::new(Seq(20_000));
            ring.delivered = Seq(20_000);
            ring.reception.release(Seq(20_000));
            let old = ring.installed;
            fill(&mut ring.reception, old, 10, Encapsulated::Plain);
            let queue = entered(&mut ring, arus).queue;
            let seqs: Vec<u32> = queue.iter().map(|(seq, _)| seq.0).collect();
            assert_eq!(seqs, (first..=20_010).collect::<Vec<_>>(), "{arus:?}");
        }
    }

    /// Includes a frame at the far end of the window.
    #[test]
    fn all_frames_of_a_full_window_are_retransmitted() {
        let mut ring = sample::ring(3);
        ring.reception.release(Seq(0));
        let old = ring.installed;
        fill(&mut ring.reception, old, WINDOW, Encapsulated::Plain);
        assert_eq!(entered(&mut ring, [Seq(0), Seq(0)]).queue.len(), WINDOW as usize);
    }

    /// A member that has less than this node requests these frames on the new ring, where they must still be
    /// held.
    #[test]
    fn frames_after_install_seq_are_not_released_by_the_installation() {
        let mut ring = sample::ring(3);
        let mut recovery = entered(&mut ring, [Seq(0), Seq(0)]);
        fill(&mut recovery.reception, ring.current, 5, Encapsulated::Recovery);
        recovery.install_seq = Seq(3);
        recovery.install(&mut ring);
        assert_eq!(ring.delivered, Seq(3));
        assert!(
            ring.reception.window.frame(Seq(4)).is_some() && ring.reception.window.frame(Seq(5)).is_some()
        );
        ring.check();
    }

    /// The token's seq rose and all had received that, so it was released: no earlier frame may be waited
    /// for.
    #[test]
    fn an_installed_ring_continues_after_the_released_frames() {
        let mut ring = sample::ring(3);
        let mut recovery = entered(&mut ring, [Seq(0), Seq(0)]);
        fill(&mut recovery.reception, ring.current, 5, Encapsulated::Recovery);
        recovery.install_seq = Seq(3);
        recovery.release(&mut ring, Seq(4));
        recovery.install(&mut ring);
        assert_eq!(ring.delivered, Seq(4));
        ring.deliver();
        assert_eq!(ring.delivered, Seq(5));
        ring.check();
    }

    /// An aru half the number range away is neither before what this node has, nor before `install_seq`.
    #[test]
    fn no_token_makes_a_node_count_frames_it_lacks_as_delivered() {
        let mut ring = sample::ring(3);
        let mut recovery = entered(&mut ring, [Seq(0), Seq(0)]);
        fill(&mut recovery.reception, ring.current, 5, Encapsulated::Recovery);
        let aru = Seq((1 << 31) + 100);
        assert!(!recovery.reception.aru.is_before(aru), "a visit leaves it as it is");
        let complete = (0..4).map(|visit| {
            let token = sample::token(ring.current, visit, Seq(200));
            recovery.is_complete(&mut Token { aru, ..token })
        });
        assert_eq!(complete.collect::<Vec<_>>(), [false, false, false, true]);
        recovery.install(&mut ring);
        assert_eq!(ring.delivered, Seq(5));
        ring.check();
    }
}
