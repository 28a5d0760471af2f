//! Members of the old ring that are silent while this node gathers with nodes that are new to it.
//!
//! How long a new node needs to answer is not known, so the configured times hold for it. The members of the old ring
//! have proved that they answer sooner. If some of them are cut off, and the others waited for a new node as long as
//! the configured times allow, they would think for seconds that they belong to the majority, while the other side has
//! long formed a ring that does. So after the time in which members answer, those that were heard form a ring without
//! the silent members and without the new nodes, which are taken in right after it.
//!
//! Members that have had the commit token send no join messages any more. So once all members were heard, or this node
//! has agreed with all, further silence means nothing until the configured time has passed.

use std::time::Duration;

use super::crowd;
use super::hearing::Hearing;
use super::members::MemberSet;
use super::next::{Cause, Next};
use super::ring::Ring;
use super::timers::Timer;
use crate::time::Instant;

/// How many join messages a member misses at least before it counts as silent: in small and in large clusters, in which
/// some pair of nodes loses several in succession.
const JOINS: [u32; 2] = [5, 10];

/// New nodes are about to be gathered with. From now on the members have the time that held for them on their ring.
pub(super) fn begin(ring: &mut Ring, now: Instant) {
    listen(ring, now, ring.timeouts.consensus.max(least(ring)));
}

/// The time in which so many nodes send as many join messages as they may miss.
fn least(ring: &Ring) -> Duration {
    let repeat = crowd::repeat(ring.configured.join, ring.configured.consensus, ring.nodes());
    (repeat + ring.configured.send_join) * JOINS[usize::from(ring.nodes() > crowd::FEW)]
}

/// A ring could not be formed: the members get more time, in steps up to the configured one.
pub(super) fn lengthen(ring: &mut Ring, now: Instant) {
    if let Some(hearing) = ring.hearing {
        listen(ring, now, (hearing.wait * 2).min(ring.configured.consensus));
    }
}

fn listen(ring: &mut Ring, now: Instant, wait: Duration) {
    ring.hearing = Some(Hearing { since: now, wait });
    ring.timers.start(Timer::Silence, now, wait);
}

/// The time is over. `agreed`: this node waits for the commit token. Returns the cause to gather if members were silent.
pub(super) fn expired(ring: &mut Ring, now: Instant, agreed: bool) -> Option<Next> {
    let Hearing { since, wait } = ring.hearing?;
    let long = ring.configured.consensus;
    if agreed {
        listen(ring, now, long);
        return None;
    }
    let least = least(ring);
    if wait < least {
        // More nodes have become known.
        listen(ring, now, least);
        return None;
    }
    let me = MemberSet::new([ring.me]);
    let others = ring.active().minus(&me);
    let new = others.minus(&ring.members);
    let silent = ring.witness.unanswered(&others.minus(&new), since);
    if silent.is_empty() {
        listen(ring, now, long);
        return None;
    }
    lengthen(ring, now);
    if let Some((_, why)) = ring.witness.given_up(&silent, (since, now), long) {
        tracing::info!(
            silent = %silent, later = %new, ring = %ring.current, %why,
            "giving up members that were silent; the others form a ring before new nodes are taken in"
        );
    }
    ring.failed.merge(&silent);
    ring.failed.merge(&new);
    Some(Next::Gather(Cause::Silent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::timeouts::{Given, Timeouts};
    use crate::totem::srp::gather::Gather;
    use crate::totem::srp::sample::{self, node};
    use crate::totem::wire::Join;

    const TOKEN: Duration = Duration::from_millis(300);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1000 * ms)
    }

    fn join(from: u32, proc: &[u32]) -> Join {
        let proc = proc.iter().map(|id| node(*id)).collect();
        Join { from: node(from), leave: false, ring_seq: 1, proc, failed: Vec::new() }
    }

    /// Node 1 of a ring of five with a token time-out of 300 ms, which has just met the new node 6.
    fn meeting() -> (Ring, Gather) {
        let mut ring = sample::ring(5);
        ring.configured = Timeouts::derive(&Given::default(), 5);
        ring.within = Some(TOKEN);
        ring.detect();
        ring.proc.insert(node(6));
        let gather = Gather::enter(&mut ring, at(0), Cause::MergeDetect(node(6)));
        (ring, gather)
    }

    fn hear(ring: &mut Ring, gather: &mut Gather, now: Instant, join: &Join) {
        ring.witness.join(now, ring.me, join);
        if let Some(Next::Gather(cause)) = gather.join(ring, now, join) {
            *gather = Gather::enter(ring, now, cause);
        }
    }

    #[test]
    fn silent_members_are_given_up_in_the_time_of_their_ring_and_a_new_node_waits() {
        let (mut ring, mut gather) = meeting();
        assert_eq!(ring.timeouts, ring.configured, "for the new node");
        hear(&mut ring, &mut gather, at(100), &join(2, &[1, 2, 3, 4, 5, 6]));
        hear(&mut ring, &mut gather, at(200), &join(6, &[1, 2, 6]));
        let due = at(0) + ring.configured.within(TOKEN).consensus;
        assert_eq!(ring.timers.take_due(due), Some(Timer::Join));
        assert_eq!(ring.timers.take_due(due), Some(Timer::Silence));
        assert!(matches!(expired(&mut ring, due, false), Some(Next::Gather(Cause::Silent))));
        assert_eq!(ring.active(), MemberSet::new([1, 2].map(node)));
    }

    #[test]
    fn members_that_answer_wait_for_the_new_node() {
        let (mut ring, mut gather) = meeting();
        for member in 2..=5 {
            hear(&mut ring, &mut gather, at(100), &join(member, &[1, 2, 3, 4, 5, 6]));
        }
        assert!(expired(&mut ring, at(400), false).is_none());
        assert_eq!(ring.active().len(), 6);
        assert!(ring.timers.runs(Timer::Silence), "one that dies now is given up later");
    }

    #[test]
    fn a_member_that_does_not_hear_this_node_is_silent() {
        let (mut ring, mut gather) = meeting();
        for member in 2..=4 {
            hear(&mut ring, &mut gather, at(100), &join(member, &[1, 2, 3, 4, 5, 6]));
        }
        hear(&mut ring, &mut gather, at(100), &join(5, &[5, 6]));
        assert!(matches!(expired(&mut ring, at(400), false), Some(Next::Gather(Cause::Silent))));
        assert_eq!(ring.active(), MemberSet::new([1, 2, 3, 4].map(node)));
    }

    /// Those that have had the commit token send no join messages. If it is lost then, it is sent again.
    #[test]
    fn whoever_has_agreed_with_all_gives_up_nobody() {
        let (mut ring, _) = meeting();
        assert!(expired(&mut ring, at(400), true).is_none());
        assert!(ring.failed.is_empty() && ring.timers.runs(Timer::Silence));
    }

    #[test]
    fn when_more_nodes_become_known_members_have_the_time_in_which_those_repeat_their_joins() {
        let (mut ring, _) = meeting();
        ring.proc = MemberSet::new((1..=40).map(node));
        assert!(expired(&mut ring, at(400), false).is_none());
        assert!(ring.hearing.unwrap().wait >= Duration::from_secs(2));
    }

    #[test]
    fn without_a_measured_time_out_nobody_is_given_up_early() {
        let mut ring = sample::ring(3);
        ring.proc.insert(node(6));
        Gather::enter(&mut ring, at(0), Cause::MergeDetect(node(6)));
        assert!(!ring.timers.runs(Timer::Silence));
        assert!(expired(&mut ring, at(400), false).is_none());
    }

    #[test]
    fn attempts_that_fail_give_the_members_twice_the_time_up_to_the_configured_one() {
        let (mut ring, _) = meeting();
        let mut waits = Vec::new();
        for _ in 0..6 {
            waits.push(ring.hearing.unwrap().wait);
            lengthen(&mut ring, at(0));
        }
        let first = ring.configured.within(TOKEN).consensus;
        assert_eq!(waits, [1, 2, 4, 8, 16, 32].map(|times| (first * times).min(ring.configured.consensus)));
    }
}
