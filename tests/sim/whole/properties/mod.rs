//! What must hold of all that clients were told: extended virtual synchrony where it counts, at the client.
//!
//! | file | what |
//! |---|---|
//! | `alone.rs` | of each client's events by themselves |
//! | `together.rs` | of clients whose nodes moved together from ring to ring |
//! | `end.rs` | at the end, when all faults are over |
//! | `votes.rs` | which parts of the cluster may act |
//! | `broken.rs` | records that each break one property: the checks' own tests |

mod alone;
mod broken;
mod end;
mod together;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use annulus::ids::{NodeId, RingId};
use annulus::view::ViewKind;

use super::record::Record;
use crate::cluster::Cluster;
use crate::trace::{Event, Process, Trace};

/// Which processes were in which rings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moves {
    /// For a ring and the one after it: the processes that moved from that to this.
    together: BTreeMap<(RingId, RingId), BTreeSet<Process>>,
    /// The rings of each process, in the order in which it was in them.
    rings: BTreeMap<Process, Vec<RingId>>,
}

impl Moves {
    /// Whether a process was in all rings in which its node may have multicast a part of a message that `sender` accepted
    /// on ring `first` and that was complete on ring `last`.
    fn saw_whole(&self, who: Process, sender: Process, first: RingId, last: RingId) -> bool {
        let [own, path] = [who, sender].map(|who| self.rings.get(&who).map_or(&[][..], |rings| &rings[..]));
        let begin = path.iter().position(|ring| *ring == first);
        let end = path.iter().position(|ring| *ring == last);
        match (begin, end) {
            (Some(begin), Some(end)) if begin <= end => {
                own.windows(end - begin + 1).any(|part| part == &path[begin..=end])
            }
            _ => false,
        }
    }
}

/// Which processes moved together from ring to ring.
pub(crate) fn moves(trace: &Trace) -> Moves {
    let mut moves = Moves::default();
    for (who, events) in &trace.lives {
        let rings: Vec<RingId> = events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::View(view) if view.kind == ViewKind::Regular => Some(view.ring),
                _ => None,
            })
            .collect();
        for pair in rings.windows(2) {
            moves.together.entry((pair[0], pair[1])).or_default().insert(*who);
        }
        moves.rings.insert(*who, rings);
    }
    moves
}

/// What was compared, so that a run shows that its checks had something to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Messages that clients heard.
    pub(crate) messages: usize,
    /// Pairs of clients that were compared.
    pub(crate) pairs: usize,
    /// Reloads that were answered.
    pub(crate) reloads: usize,
    /// Parts of the cluster that were told that they may act.
    pub(crate) quorate: usize,
}

impl Seen {
    pub(crate) const NOTHING: Self = Self { messages: 0, pairs: 0, reloads: 0, quorate: 0 };

    /// Adds what another run compared.
    pub(crate) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.pairs += other.pairs;
        self.reloads += other.reloads;
        self.quorate += other.quorate;
    }
}

/// Checks what holds wherever the run was stopped.
pub(crate) fn anywhere(record: &Record, moves: &Moves) -> Result<Seen, String> {
    for (who, conn, participant) in record.participants() {
        alone::check(who, participant).map_err(|why| format!("{conn:?} of {who:?}: {why}"))?;
    }
    let messages = alone::nothing_missed(record)?;
    let pairs = together::check(record, moves)?;
    together::all_or_none(record)?;
    let quorate = votes::check(record)?;
    Ok(Seen { messages, pairs, reloads: record.reloads as usize, quorate })
}

impl Cluster {
    /// Settles, waits until every client has what is due to it, and checks every property.
    pub(crate) fn finish_whole(&mut self) -> Seen {
        self.rest();
        self.settle();
        let limit = self.patience() * 10;
        self.run_clients_to_rest(limit);
        let timeouts = self.setup.timeouts();
        self.run(timeouts.hold * 4 + timeouts.token_retransmit * 4);
        self.run_clients_to_rest(self.patience());
        self.check(crate::checkers::End::Quiet);
        self.check_clients()
    }

    fn run_clients_to_rest(&mut self, limit: Duration) {
        let end = self.now + limit;
        while !(self.one_ring() && end::reached(self)) {
            if self.now >= end {
                let what = end::missing(self).unwrap_or_else(|| "there is not one ring".to_owned());
                panic!("seed {}: after {limit:?}, {what}\n{}", self.setup.seed, self.report());
            }
            self.run(Duration::from_millis(10));
        }
    }

    /// Checks what holds of clients at any moment.
    pub(crate) fn check_clients(&self) -> Seen {
        match anywhere(&self.record, &moves(&self.trace)) {
            Ok(seen) => seen,
            Err(why) => panic!("seed {}: {why}\n{}", self.setup.seed, self.report()),
        }
    }
}

/// The nodes of a list as their numbers, for comparison with the processes that clients name.
fn numbers(nodes: &[NodeId]) -> BTreeSet<u32> {
    nodes.iter().map(|node| node.get()).collect()
}
