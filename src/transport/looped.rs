//! Datagrams for this node itself, which never touch the network.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::Bytes;

use super::received::Received;
use super::stats::Stats;

/// Datagrams that may wait until they are taken; one ring of one node has one token.
const LIMIT: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Looped {
    waiting: VecDeque<Bytes>,
    waker: Option<Waker>,
}

impl Looped {
    /// Keeps a datagram until it is taken, and wakes who waits for one.
    pub(super) fn push(&mut self, datagram: Bytes, stats: &mut Stats) {
        if self.waiting.len() == LIMIT || datagram.len() > usize::from(u16::MAX) {
            stats.dropped_out.loop_full += 1;
            return;
        }
        stats.looped.add(datagram.len());
        self.waiting.push_back(datagram);
        self.wake();
    }

    /// Moves what waits into a batch, as much as it holds.
    pub(super) fn take(&mut self, batch: &mut Received, stats: &mut Stats) {
        while !batch.is_full()
            && let Some(datagram) = self.waiting.pop_front()
        {
            stats.received.add(datagram.len());
            batch.push(&datagram);
        }
    }

    /// Whom to wake when something comes.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Wakes who waits: something came, or sockets were exchanged.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
