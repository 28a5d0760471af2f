//! Output that waits for the driver, and memory that the driver returns for reuse.

use std::collections::VecDeque;

use super::output::{Burst, Event, Output, PacketKind, Path};
use super::sizes::{ROOM, Sizes};
use super::stats::LinkStats;

/// Number of used bursts that are kept for reuse.
const SPARE: usize = 256;

#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    spare: Vec<Burst>,
    /// What encryption adds to each packet; needed for the statistics.
    pub(super) sizes: Sizes,
}

impl Outbox {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self { queue: VecDeque::new(), spare: Vec::new(), sizes }
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    /// Queues a control packet for one path.
    pub(super) fn control(&mut self, kind: PacketKind, path: Path, packet: Vec<u8>, stats: &mut LinkStats) {
        stats.sent(kind, 1, self.sizes.datagram(packet.len() - ROOM));
        let mut burst = self.empty(kind);
        burst.packets.push(packet);
        burst.to.push(path);
        self.send(burst);
    }

    /// An empty burst, which reuses memory if possible.
    pub(super) fn empty(&mut self, kind: PacketKind) -> Burst {
        let mut burst =
            self.spare.pop().unwrap_or_else(|| Burst { packets: Vec::new(), to: Vec::new(), kind });
        burst.kind = kind;
        burst
    }

    pub(super) fn send(&mut self, burst: Burst) {
        self.queue.push_back(Output::Send(burst));
    }

    /// Keeps a burst's memory for reuse.
    pub(super) fn recycle(&mut self, mut burst: Burst) {
        if self.spare.len() < SPARE {
            burst.packets.clear();
            burst.to.clear();
            self.spare.push(burst);
        }
    }
}
