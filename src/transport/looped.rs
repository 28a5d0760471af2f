//! Datagrams from this node to itself, which never reach the network.

use std::collections::VecDeque;
use std::task::{Context, Waker};

use bytes::Bytes;

use super::received::Received;
use super::stats::Stats;

/// Number of datagrams that may wait until they are taken; the ring of a single node has one token.
const LIMIT: usize = 1024;

/// Queue of the datagrams from this node to itself.
#[derive(Debug, Default)]
pub(super) struct Looped {
    waiting: VecDeque<Bytes>,
    waker: Option<Waker>,
}

impl Looped {
    /// Queues a datagram and wakes the task that waits for one.
    pub(super) fn push(&mut self, datagram: Bytes, stats: &mut Stats) {
        if self.waiting.len() == LIMIT || datagram.len() > usize::from(u16::MAX) {
            stats.dropped_out.loop_full += 1;
            return;
        }
        stats.looped.add(datagram.len());
        self.waiting.push_back(datagram);
        self.wake();
    }

    /// Moves as many waiting datagrams into a batch as it can hold.
    pub(super) fn take(&mut self, batch: &mut Received, stats: &mut Stats) {
        while !batch.is_full()
            && let Some(datagram) = self.waiting.pop_front()
        {
            stats.received.add(datagram.len());
            batch.push(&datagram);
        }
    }

    /// Registers the task to wake when a datagram arrives.
    pub(super) fn wait(&mut self, cx: &Context<'_>) {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Wakes the waiting task: a datagram has arrived, or sockets were replaced.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
