//! What it costs to handle datagrams: nodes that share processors wait for each other, so a storm of datagrams delays
//! all else.

use std::collections::BTreeMap;
use std::time::Duration;

use annulus::time::Instant;

/// Inputs that may wait for one node; further datagrams are lost, as in a full socket buffer.
const WAITING: usize = 1024;

/// The processors that the nodes run on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Processors {
    /// Each node has one to itself.
    Each,
    /// All nodes share so many.
    Shared(usize),
}

/// Hands the processors to the inputs of all nodes, in the order in which these come.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    processors: Processors,
    /// Time that a processor needs for one input.
    cost: Duration,
    /// When each processor is free again.
    free: BTreeMap<u32, Instant>,
    waiting: BTreeMap<u32, usize>,
    /// Datagrams that were lost because too many waited.
    pub(crate) lost: u64,
}

impl Schedule {
    pub(crate) fn new(processors: Processors, cost: Duration) -> Self {
        Self { processors, cost, free: BTreeMap::new(), waiting: BTreeMap::new(), lost: 0 }
    }

    /// Queues an input of `node` that comes now. Returns when it is handled; `None` if it is lost.
    pub(crate) fn queue(&mut self, now: Instant, node: u32, may_be_lost: bool) -> Option<Instant> {
        let waiting = self.waiting.entry(node).or_default();
        if may_be_lost && *waiting >= WAITING {
            self.lost += 1;
            return None;
        }
        *waiting += 1;
        let processor = match self.processors {
            Processors::Each => node,
            Processors::Shared(count) => {
                let free = |processor: &u32| self.free.get(processor).copied().unwrap_or_default();
                (0..count as u32).min_by_key(free).expect("there is a processor")
            }
        };
        let free = self.free.entry(processor).or_default();
        *free = (*free).max(now) + self.cost;
        Some(*free)
    }

    /// An input of `node` is handled now.
    pub(crate) fn handled(&mut self, node: u32) {
        if let Some(waiting) = self.waiting.get_mut(&node) {
            *waiting -= 1;
        }
    }
}
