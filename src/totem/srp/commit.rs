//! Commit: the commit token goes round the new ring twice.
//!
//! Totem paper, membership. In the first round each member writes into it what it has received on its last
//! ring; the second round shows all entries to every member.

use super::members::MemberSet;
use super::next::Next;
use super::ring::Ring;
use super::timers::Timer;
use crate::ids::{NodeId, RingId, Seq};
use crate::time::Instant;
use crate::totem::wire::{CommitEntry, CommitToken, Join, LittleEndian};

/// State of the commit phase.
#[derive(Debug)]
pub(super) struct Commit {
    /// The members that form the ring.
    pub(super) members: MemberSet,
    /// The entry about its last ring that this node wrote.
    mine: CommitEntry,
}

impl Commit {
    /// Fills in this node's entry, which is `token.members[token.filled]`, and passes the token on.
    pub(super) fn enter(ring: &mut Ring, now: Instant, mut token: CommitToken) -> Self {
        let mine = token.filled;
        let entry = CommitEntry {
            ring: ring.installed,
            aru: ring.reception.aru,
            high_delivered: ring.delivered,
            received_all: ring.reception.has_all(),
        };
        // In range: `Gather` found this node at `filled`, or this node is the representative, at 0.
        token.members[mine].1 = Some(entry);
        mark_behind(&mut token, mine, ring.installed);

        token.filled += 1;
        ring.gaps.skip();
        ring.refusals.clear();
        // Not empty, because this node is in it.
        ring.successor = token.members[token.filled % token.members.len()].0;
        ring.current = token.ring;
        ring.numbers.took(token.ring.seq);
        ring.rotation.sent = 0;
        ring.rotation.backlog = 0;
        ring.stats.commit_entered += 1;
        ring.stats.continuous_gather = 0;
        for timer in [Timer::Join, Timer::SendJoin, Timer::Silence, Timer::Consensus, Timer::Settle] {
            ring.timers.stop(timer);
        }
        let members = MemberSet::new(token.members.iter().map(|member| member.0));
        // A node of Corosync could take a repetition from the first round for one from the second.
        ring.turnaround.formed(ring.within.is_some() && members.is_subset(&ring.members));
        tracing::debug!(ring = %token.ring, %members, "committing to a ring");
        pass_on(ring, &mut token);
        ring.await_token(now);
        Self { members, mine: entry }
    }

    /// Handles the commit token in its second round, when all members have filled in their entries.
    pub(super) fn commit_token(&self, ring: &Ring, token: CommitToken) -> Option<Next> {
        let complete = token.ring == ring.current
            && token.filled == token.members.len()
            && token.members.iter().all(|member| member.1.is_some())
            && token.members.iter().map(|member| member.0).eq(self.members.as_slice().iter().copied())
            && token.members.iter().any(|member| member.0 == ring.me && self.is_mine(member.1));
        complete.then_some(Next::Recovery(token))
    }

    /// Whether this join message shows that one of the members will not accept the commit token, because it has learned
    /// of more nodes before the token came to it. What a node knows only grows until a ring is installed, so the
    /// attempt is in vain, and all the members that have accepted the token would wait for it until it counts as lost.
    pub(super) fn is_refused_by(&self, ring: &Ring, join: &Join) -> bool {
        let stale = ring.members.contains(join.from) && join.ring_seq < ring.installed.seq;
        let wants_more =
            || join.proc.iter().any(|node| !ring.proc.contains(*node) && !join.failed.contains(node));
        join.from != ring.me
            && !join.leave
            && !stale
            && self.members.contains(join.from)
            && !join.failed.contains(&ring.me)
            && wants_more()
    }

    /// Whether an entry is the one that this node wrote. Others may have cleared `received_all` in it.
    fn is_mine(&self, entry: Option<CommitEntry>) -> bool {
        entry.is_some_and(|entry| {
            let received_all = entry.received_all;
            (self.mine.received_all || !received_all) && CommitEntry { received_all, ..self.mine } == entry
        })
    }
}

/// The token with which the representative `me` begins: `members` form the ring with number `seq`.
pub(super) fn blank_token(me: NodeId, members: &MemberSet, seq: u64) -> CommitToken {
    CommitToken {
        from: me,
        token_seq: 0,
        ring: RingId { rep: me, seq },
        filled: 0,
        members: members.as_slice().iter().map(|node| (*node, None)).collect(),
    }
}

/// Marks the token as sent by this node and sends it to the next node.
pub(super) fn pass_on(ring: &mut Ring, token: &mut CommitToken) {
    token.from = ring.me;
    token.token_seq = token.token_seq.wrapping_add(1);
    ring.stats.memb_commit_token_tx += 1;
    ring.last_token = Some(token.encode::<LittleEndian>());
    ring.send_token();
}

/// Clears `received_all` of the members of the same old ring that lack frames which another one has.
fn mark_behind(token: &mut CommitToken, last: usize, old_ring: RingId) {
    let of_ring = |entry: &CommitEntry| entry.ring == old_ring;
    let entries = &mut token.members[..=last];
    let highest: Option<Seq> = entries
        .iter()
        .filter_map(|member| member.1)
        .filter(of_ring)
        .map(|entry| entry.aru)
        .reduce(Seq::later);
    let Some(highest) = highest else { return };
    for entry in entries.iter_mut().filter_map(|member| member.1.as_mut()) {
        if of_ring(entry) && entry.aru.is_before(highest) {
            entry.received_all = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totem::srp::sample;
    use crate::totem::wire::{self, Encapsulated, Frame};

    /// A ring of nodes 1 to 3 that is about to form the same ring again.
    fn committing(ring: &mut Ring) -> Commit {
        let token = blank_token(ring.me, &ring.members.clone(), ring.numbers.next());
        Commit::enter(ring, Instant::ZERO, token)
    }

    fn join_of(from: u32, ring_seq: u64, proc: &[u32], failed: &[u32]) -> Join {
        let nodes = |ids: &[u32]| ids.iter().map(|id| sample::node(*id)).collect();
        Join { from: sample::node(from), leave: false, ring_seq, proc: nodes(proc), failed: nodes(failed) }
    }

    /// Otherwise all members that have accepted the token wait for it until it counts as lost: the longer, the more nodes
    /// there are.
    #[test]
    fn a_member_that_has_learned_of_another_node_ends_the_attempt() {
        let mut ring = sample::ring(3);
        let seq = ring.installed.seq;
        let commit = committing(&mut ring);
        assert!(commit.is_refused_by(&ring, &join_of(2, seq, &[1, 2, 3, 4], &[])));
    }

    #[test]
    fn joins_that_a_member_sent_before_it_accepted_the_token_do_not_end_the_attempt() {
        let mut ring = sample::ring(3);
        ring.installed.seq = 9;
        let commit = committing(&mut ring);
        for (join, what) in [
            (join_of(2, 9, &[1, 2, 3], &[]), "the membership that is agreed on"),
            (join_of(2, 9, &[2, 3], &[]), "less than that"),
            (join_of(2, 9, &[1, 2, 3, 4], &[4]), "the other node is given up"),
            (join_of(2, 5, &[1, 2, 3, 4], &[]), "of an earlier ring"),
            (join_of(4, 9, &[1, 2, 3, 4], &[]), "of a node outside of the attempt"),
            (join_of(1, 9, &[1, 2, 3, 4], &[]), "this node's own"),
        ] {
            assert!(!commit.is_refused_by(&ring, &join), "{what}");
        }
    }

    /// Recovery relies on the entries: one that was changed on the way could make the others deliver what
    /// this node lacks, or lack what it has delivered.
    #[test]
    fn a_commit_token_with_a_changed_entry_of_this_node_is_refused() {
        for has_all in [true, false] {
            let mut ring = sample::ring(2);
            let old = ring.current;
            for seq in if has_all { 1..=2 } else { 2..=2 } {
                ring.reception
                    .take(Seq(seq), sample::stored(&sample::mcast(old, Seq(seq), Encapsulated::Plain)));
            }
            let blank = blank_token(ring.me, &ring.members, 5);
            let commit = Commit::enter(&mut ring, Instant::ZERO, blank);
            let sent = ring.last_token.clone().unwrap();
            let (Frame::Commit(mut token), _) = wire::parse(&sent).unwrap() else { panic!("a commit token") };
            let mine = token.members[0].1.unwrap();
            assert_eq!(mine.received_all, has_all);
            token.members[1].1 = Some(mine);
            token.filled = 2;

            let taken = |entry| {
                let mut token = token.clone();
                token.members[0].1 = entry;
                commit.commit_token(&ring, token).is_some()
            };
            assert!(taken(Some(mine)));
            assert!(
                taken(Some(CommitEntry { received_all: false, ..mine })),
                "another may lack what this one has"
            );
            assert_eq!(taken(Some(CommitEntry { received_all: true, ..mine })), has_all);
            assert!(!taken(None));
            let other = RingId { seq: old.seq + 4, ..old };
            for changed in [
                CommitEntry { aru: mine.aru.plus(1), ..mine },
                CommitEntry { aru: mine.aru.minus(1), ..mine },
                CommitEntry { high_delivered: mine.high_delivered.plus(1), ..mine },
                CommitEntry { ring: other, ..mine },
            ] {
                assert!(!taken(Some(changed)), "{changed:?}, not {mine:?}");
            }
        }
    }
}
