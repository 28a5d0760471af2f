//! Many nodes that gather at the same time: how a node spares the others.
//!
//! Each join message goes to all nodes, and each of them may answer with one of its own. When n nodes start at once,
//! they learn of each other one by one, so without a limit up to n³ datagrams are under way, and every ring of those
//! that happen to agree is given up when the next node is heard. So, with the number of nodes,
//!
//! * a join message waits a little, and tells all that was learned meanwhile;
//! * join messages that say nothing new are repeated less often;
//! * the representative waits, after a new node was heard, for a moment in which no other one is.
//!
//! The times are 0 for clusters of [`FEW`] nodes. All of them end by themselves: nodes that are named by forged join
//! messages can delay a ring by no more than [`Crowd::until`] says.

use std::time::Duration;

use crate::time::Instant;

/// Clusters of up to so many nodes gather without delay.
pub(super) const FEW: usize = 8;

/// Longest delay of a join message for each node above [`FEW`]; the shortest is half of it.
const BUNDLE: Duration = Duration::from_micros(750);

/// How long the representative waits after the last new node, for each node above [`FEW`].
const QUIET: Duration = Duration::from_millis(3);

/// The longest wait for new nodes, in waits after a single one.
const WAITS: u32 = 8;

/// The least number of join messages in the consensus time-out.
const REPEATS: u32 = 10;

/// The part of the consensus time-out that the representative may wait for new nodes in all.
const PART: u32 = 4;

/// How many of the nodes are there beyond those of a small cluster.
fn beyond(nodes: usize) -> u32 {
    u32::try_from(nodes.saturating_sub(FEW)).unwrap_or(u32::MAX)
}

/// The longest delay of a join message in a cluster of so many nodes.
pub(super) fn bundle(consensus: Duration, nodes: usize) -> Duration {
    BUNDLE.saturating_mul(beyond(nodes)).min(consensus / REPEATS)
}

/// The time after which a join message is repeated; `configured` in small clusters.
pub(super) fn repeat(configured: Duration, consensus: Duration, nodes: usize) -> Duration {
    let stretched = configured + configured.saturating_mul(beyond(nodes)) / FEW as u32;
    stretched.min(consensus / REPEATS).max(configured)
}

/// When new nodes were heard since the last ring.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Crowd {
    /// Number of nodes known.
    known: usize,
    /// When the first and the last of the others were heard of.
    heard: Option<(Instant, Instant)>,
}

impl Crowd {
    /// A ring of so many nodes was installed.
    pub(super) const fn installed(&mut self, nodes: usize) {
        *self = Self { known: nodes, heard: None };
    }

    /// So many nodes are known now.
    pub(super) fn knows(&mut self, now: Instant, nodes: usize) {
        if nodes > self.known {
            self.known = nodes;
            let first = self.heard.map_or(now, |(first, _)| first);
            self.heard = Some((first, now));
        }
    }

    /// Until when to wait for further nodes, in a cluster of so many, before a ring is formed.
    pub(super) fn until(&self, consensus: Duration, nodes: usize) -> Option<Instant> {
        let quiet = QUIET.saturating_mul(beyond(nodes));
        let (first, last) = self.heard?;
        Some((last + quiet).min(first + (quiet * WAITS).min(consensus / PART)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSENSUS: Duration = Duration::from_secs(10);
    const JOIN: Duration = Duration::from_millis(50);

    #[test]
    fn small_clusters_gather_without_delay() {
        for nodes in 1..=FEW {
            assert_eq!(bundle(CONSENSUS, nodes), Duration::ZERO);
            assert_eq!(repeat(JOIN, CONSENSUS, nodes), JOIN);
            let mut crowd = Crowd::default();
            crowd.knows(Instant::from_micros(7), nodes);
            assert_eq!(crowd.until(CONSENSUS, nodes), Some(Instant::from_micros(7)));
        }
    }

    #[test]
    fn delays_grow_with_the_number_of_nodes_and_stay_within_the_consensus_time_out() {
        let millis =
            |nodes| [bundle(CONSENSUS, nodes), repeat(JOIN, CONSENSUS, nodes)].map(|time| time.as_millis());
        assert_eq!([9, 16, 64, 384].map(millis), [[0, 56], [6, 100], [42, 400], [282, 1000]]);
        for nodes in [9, 64, 384] {
            let short = Duration::from_millis(60);
            assert!(bundle(short, nodes) <= short / 10);
            assert_eq!(repeat(JOIN, short, nodes), JOIN, "never more often than configured");
        }
    }

    #[test]
    fn the_wait_for_new_nodes_ends_though_ever_more_come() {
        let mut crowd = Crowd::default();
        let mut waits = 0;
        let end = (1..=384).find_map(|nodes| {
            let now = Instant::ZERO + Duration::from_millis(100) * nodes;
            crowd.knows(now, nodes as usize);
            waits += 1;
            crowd.until(CONSENSUS, 384).filter(|until| *until <= now)
        });
        assert_eq!((end, waits), (Some(Instant::from_micros(2_600_000)), 26));
    }

    #[test]
    fn a_node_that_was_known_before_is_not_waited_for() {
        let mut crowd = Crowd::default();
        crowd.knows(Instant::ZERO, 64);
        crowd.installed(64);
        crowd.knows(Instant::from_micros(5), 64);
        assert_eq!(crowd.until(CONSENSUS, 64), None);
    }
}
