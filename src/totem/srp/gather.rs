//! Gather: join messages and consensus.
//!
//! Totem paper, membership. Every node announces with which nodes it would form a ring. When all the nodes
//! that remain announce the same, the one with the lowest id sends the commit token round.

use std::time::Duration;

use super::commit;
use super::crowd;
use super::members::MemberSet;
use super::next::{Cause, Next};
use super::ring::Ring;
use super::silence;
use super::timers::Timer;
use crate::time::Instant;
use crate::totem::wire::{CommitToken, Join, Kind};

/// State of the gather phase.
#[derive(Debug)]
pub(super) struct Gather {
    /// Nodes known to want the same membership as this node.
    consensus: MemberSet,
}

impl Gather {
    /// Starts gathering, or starts it again: the agreement reached so far is discarded.
    pub(super) fn enter(ring: &mut Ring, now: Instant, cause: Cause) -> Self {
        ring.proc.insert(ring.me);
        ring.crowd.knows(now, ring.proc.len());
        let failed = matches!(
            cause,
            Cause::NoCommitToken
                | Cause::CommitTokenLost
                | Cause::RecoveryTokenLost
                | Cause::RecoveryStalled
                // Another member has found that out.
                | Cause::JoinCommit(_)
                | Cause::JoinRecovery(_)
        );
        if failed || ring.hearing.is_some() && !ring.timers.runs(Timer::Silence) {
            silence::lengthen(ring, now);
        }
        if let Some(token) = ring.within {
            if !ring.proc.is_subset(&ring.members) {
                // How long nodes that come need to answer is not known, and a node of Corosync waits for the configured
                // time.
                silence::begin(ring, now);
                ring.within = None;
                ring.detect();
            } else if failed {
                // A ring that could not be formed may need more than was measured.
                ring.within = Some(token * 2).filter(|token| *token < ring.configured.token);
                ring.detect();
            }
        }
        give_up_left_out(ring, now);
        ring.stats.gather_entered += 1;
        if cause == Cause::NoCommitToken {
            ring.stats.continuous_gather = ring.stats.continuous_gather.saturating_add(1);
        }
        tracing::debug!(
            %cause, ring = %ring.current, known = %ring.proc, failed = %ring.failed, "gathering"
        );
        for timer in [
            Timer::Token,
            Timer::TokenWarning,
            Timer::TokenRetransmit,
            Timer::Recovery,
            Timer::Merge,
            Timer::Hold,
            Timer::Heartbeat,
            Timer::Settle,
        ] {
            ring.timers.stop(timer);
        }
        announce(ring, now);
        repeat_later(ring, now);
        ring.timers.start(Timer::Consensus, now, ring.timeouts.consensus);
        Self { consensus: MemberSet::new([ring.me]) }
    }

    /// Handles a join message, which may be this node's own.
    pub(super) fn join(&mut self, ring: &mut Ring, now: Instant, join: &Join) -> Option<Next> {
        match weigh(ring, join) {
            Weight::Same => {
                if !join.leave {
                    self.consensus.insert(join.from);
                }
                self.settle(ring, now)
            }
            Weight::NothingNew => None,
            Weight::New => Some(Next::Gather(cause_of(join))),
        }
    }

    /// Sends the commit token if all nodes agree and this node is the representative.
    pub(super) fn settle(&self, ring: &mut Ring, now: Instant) -> Option<Next> {
        let in_vain = ring.numbers.disk_fails();
        self.form(ring, now, in_vain)
    }

    /// As [`Gather::settle`]; `waited` says that the time to wait for the disk is over.
    fn form(&self, ring: &mut Ring, now: Instant, waited: bool) -> Option<Next> {
        if !self.agreed(ring) {
            return None;
        }
        let mut active = ring.active();
        if ring.failed_to_receive {
            // The others agreed to continue without this node, so it forms a ring alone.
            active = MemberSet::new([ring.me]);
        } else if active.lowest() != Some(ring.me) {
            return None;
        } else if let Some(wait) = ring.awaits_more(now) {
            ring.timers.start(Timer::Settle, now, wait);
            return None;
        }
        let may_form = ring.numbers.may_form() || waited && ring.borrow_numbers();
        if !may_form {
            return None; // `reserved` tries again
        }
        if ring.failed_to_receive {
            ring.failed_to_receive = false;
            ring.proc = active.clone();
            ring.failed = MemberSet::default();
        }
        Some(Next::Commit(commit::blank_token(ring.me, &active, ring.numbers.next())))
    }

    /// Handles a commit token, which is accepted only if it is for exactly the membership that this node
    /// wants.
    pub(super) fn commit_token(ring: &mut Ring, now: Instant, token: CommitToken) -> Option<Next> {
        let members = MemberSet::new(token.members.iter().map(|member| member.0));
        let mine = token.members.get(token.filled).is_some_and(|member| member.0 == ring.me);
        // A ring that this node represents is started only by this node, with a number that it has reserved.
        if !mine
            || token.ring.rep == ring.me
            || members != ring.active()
            || token.ring.seq <= ring.current.seq
        {
            return None;
        }
        if Some(token.ring.rep) != members.lowest() || !ring.heard_ring_seq(now, Kind::Commit, token.ring.seq)
        {
            return None;
        }
        Some(Next::Commit(token))
    }

    /// More ring ids have been reserved: resumes what waited for one.
    pub(super) fn reserved(&self, ring: &mut Ring, now: Instant) -> Option<Next> {
        if std::mem::take(&mut ring.silent) {
            return Some(Next::Gather(Cause::Reserved));
        }
        self.settle(ring, now)
    }

    /// The nodes did not agree within the consensus time-out.
    pub(super) fn consensus_expired(&mut self, ring: &mut Ring, now: Instant) -> Option<Next> {
        ring.stats.consensus_timeouts += 1;
        if self.agreed(ring) {
            if let Some(next) = self.form(ring, now, true) {
                return Some(next);
            }
            // All agree, so the representative failed to send the commit token; it gets one more token
            // time-out.
            if self.lacks_ring_id(ring) && !std::mem::replace(&mut ring.silent, true) {
                tracing::warn!(
                    wanted = ring.numbers.next(),
                    "no ring id is reserved on disk yet; the others go on without this node until one is \
                     (the disk under the state directory is slow or stuck)"
                );
            }
            self.consensus = MemberSet::new([ring.me]);
            ring.timers.start(Timer::Token, now, ring.timeouts.token);
            return None;
        }
        let silent = ring.proc.minus(&self.consensus);
        let others = silent.minus(&MemberSet::new([ring.me]));
        let when = (ring.heard_since(now), now);
        match ring.witness.given_up(&others, when, ring.configured.consensus) {
            Some((true, why)) => tracing::warn!(
                silent = %silent, ring = %ring.current, %why, "giving up nodes that do not hear this node"
            ),
            Some((false, why)) => tracing::info!(
                silent = %silent, ring = %ring.current, %why, "giving up nodes that did not agree in time"
            ),
            None => {}
        }
        ring.failed.merge(&silent);
        Some(Next::Gather(Cause::ConsensusTimeout))
    }

    /// Members of the old ring had the time to answer that held on it.
    pub(super) fn silence_expired(&self, ring: &mut Ring, now: Instant) -> Option<Next> {
        silence::expired(ring, now, self.agreed(ring))
    }

    /// Whether the others wait for this node, which waits for its disk.
    fn lacks_ring_id(&self, ring: &Ring) -> bool {
        ring.active().lowest() == Some(ring.me) && !ring.numbers.may_form()
    }

    fn agreed(&self, ring: &Ring) -> bool {
        let active = ring.active();
        // `active` is empty only if this node gave itself up and knows no other node.
        active.is_subset(&self.consensus) && (!active.is_empty() || ring.failed_to_receive)
    }
}

/// Marks the excluded nodes as failed, even if another node has named them since. A node of the same ring then
/// adopts that, so no node waits for an answer that will be ignored.
fn give_up_left_out(ring: &mut Ring, now: Instant) {
    for node in ring.proc.as_slice() {
        if ring.left_out.has(now, *node) {
            ring.failed.insert(*node);
        }
    }
}

/// Sends the join message, after a random delay if one is configured or many nodes gather. What is learned meanwhile
/// is in it too.
pub(super) fn announce(ring: &mut Ring, now: Instant) {
    if ring.silent {
        return;
    }
    let least = crowd::bundle(ring.timeouts.consensus, ring.nodes()) / 2;
    let spread = ring.timeouts.send_join.max(least);
    if spread.is_zero() {
        ring.send_join();
        return;
    }
    let delay = least + Duration::from_micros(ring.draw(spread.as_micros() as u64));
    ring.timers.start_unless_running(Timer::SendJoin, now, delay);
}

/// Starts the timer at which the join message is repeated.
pub(super) fn repeat_later(ring: &mut Ring, now: Instant) {
    let configured = ring.timeouts.join;
    let mut period = crowd::repeat(configured, ring.timeouts.consensus, ring.nodes());
    if period > configured {
        // Many nodes that gather for the same reason must not repeat at the same moments.
        let half = Duration::from_micros(ring.draw(period.as_micros() as u64 / 2));
        period = period * 3 / 4 + half;
    }
    ring.timers.start(Timer::Join, now, period);
}

/// The effect of a join message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It announces exactly the same sets as this node.
    Same,
    /// It contains nothing new to this node, or comes from a node that was given up.
    NothingNew,
    /// Its new nodes, or nodes given up, were adopted.
    New,
}

/// Compares a join message with this node's sets, and adopts what is new.
pub(super) fn weigh(ring: &mut Ring, join: &Join) -> Weight {
    if join.leave {
        ring.leavers.insert(join.from);
    }
    if join.proc == ring.proc.as_slice() && join.failed == ring.failed.as_slice() {
        return Weight::Same;
    }
    let fewer = join.proc.len() < ring.proc.len();
    if fewer && join.failed.is_empty() && join.proc.iter().all(|node| ring.proc.contains(*node)) {
        return Weight::NothingNew; // as most of them are while many nodes gather
    }
    let proc = MemberSet::new(join.proc.iter().copied());
    let failed = MemberSet::new(join.failed.iter().copied());
    if proc == ring.proc && failed == ring.failed {
        return Weight::Same;
    }
    if (proc.is_subset(&ring.proc) && failed.is_subset(&ring.failed)) || ring.failed.contains(join.from) {
        return Weight::NothingNew;
    }
    let known = (ring.proc.len(), ring.failed.len());
    ring.proc.merge(&proc);
    if failed.contains(ring.me) {
        ring.failed.insert(join.from);
    } else if ring.members.contains(join.from) {
        // Only a node of the same ring knows which nodes are missing from it.
        ring.failed.merge(&failed);
    }
    // A failed list from a node outside of the ring is not believed and changes nothing. If it made this node
    // gather again, every join message would restart the consensus timer, and nodes that contradict each
    // other would never give each other up.
    if known == (ring.proc.len(), ring.failed.len()) { Weight::NothingNew } else { Weight::New }
}

pub(super) const fn cause_of(join: &Join) -> Cause {
    if join.leave { Cause::Leave(join.from) } else { Cause::Join(join.from) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totem::srp::io::Action;
    use crate::totem::srp::sample;

    /// Node 1 of a ring of three, in a cluster of `count` configured nodes, that begins to gather.
    fn gathering(count: u32) -> (Ring, Gather) {
        let mut ring = sample::ring(3);
        ring.listed = Some(MemberSet::new((1..=count).map(sample::node)));
        ring.crowd.installed(3);
        let gather = Gather::enter(&mut ring, Instant::ZERO, Cause::TokenLost);
        (ring, gather)
    }

    /// A join message of a node that knows the nodes 1 to `known`.
    fn join_of(from: u32, known: u32) -> Join {
        Join {
            from: sample::node(from),
            leave: false,
            ring_seq: 1,
            proc: (1..=known).map(sample::node).collect(),
            failed: Vec::new(),
        }
    }

    /// Hears the join messages at `now`, and gathers anew where they say so. Returns what comes next at last.
    fn hear(ring: &mut Ring, gather: &mut Gather, now: Instant, joins: &[Join]) -> Option<Next> {
        let mut last = None;
        for join in joins {
            last = gather.join(ring, now, join);
            if let Some(Next::Gather(cause)) = last {
                *gather = Gather::enter(ring, now, cause);
            }
        }
        last
    }

    fn joins_sent(ring: &mut Ring) -> usize {
        ring.actions.drain(..).filter(|action| matches!(action, Action::Send(..))).count()
    }

    #[test]
    fn in_a_small_cluster_a_join_message_leaves_at_once() {
        let (mut ring, mut gather) = gathering(8);
        assert_eq!(joins_sent(&mut ring), 1);
        hear(&mut ring, &mut gather, Instant::ZERO, &[join_of(4, 4), join_of(5, 5)]);
        assert_eq!(joins_sent(&mut ring), 2, "one for each that says something new");
        assert!(!ring.timers.runs(Timer::SendJoin));
    }

    #[test]
    fn in_a_large_cluster_one_join_message_tells_of_all_that_were_heard_meanwhile() {
        let (mut ring, mut gather) = gathering(64);
        let joins: Vec<Join> = (4..=40).map(|from| join_of(from, from)).collect();
        hear(&mut ring, &mut gather, Instant::ZERO, &joins);
        assert_eq!(joins_sent(&mut ring), 0);
        let due = Instant::ZERO + crowd::bundle(ring.timeouts.consensus, 64);
        assert_eq!(ring.timers.take_due(due), Some(Timer::SendJoin));
        assert_eq!(ring.proc.len(), 40);
    }

    #[test]
    fn the_representative_of_a_large_cluster_waits_for_further_nodes() {
        let (mut ring, mut gather) = gathering(64);
        let now = Instant::from_micros(1000);
        let joins = [join_of(4, 4), join_of(2, 4), join_of(3, 4), join_of(4, 4)];
        assert!(hear(&mut ring, &mut gather, now, &joins).is_none());
        assert!(ring.timers.runs(Timer::Settle));
        let later = now + Duration::from_millis(300);
        assert!(matches!(gather.settle(&mut ring, later), Some(Next::Commit(_))));
    }

    #[test]
    fn a_ring_of_all_configured_nodes_is_formed_at_once() {
        let (mut ring, mut gather) = gathering(12);
        let now = Instant::from_micros(1000);
        let joins: Vec<Join> = (2..=12).chain([2]).map(|from| join_of(from, 12)).collect();
        assert!(matches!(hear(&mut ring, &mut gather, now, &joins), Some(Next::Commit(_))));
    }

    /// The nodes of a ring that lost one are all known, so the others wait for nobody.
    #[test]
    fn the_rest_of_a_large_ring_goes_on_at_once() {
        let (mut ring, mut gather) = gathering(64);
        assert!(matches!(
            hear(&mut ring, &mut gather, Instant::ZERO, &[join_of(2, 3), join_of(3, 3)]),
            Some(Next::Commit(_))
        ));
    }
}
