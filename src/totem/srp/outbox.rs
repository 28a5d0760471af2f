//! This node's own frames that wait for the token.
//!
//! Corosync's counterpart: `exec/cs_queue.h`, and the message queues of `exec/totemsrp.c`.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::ids::Guarantee;

/// Bytes that one queue may hold, at the size of full frames. Source: corosync `MESSAGE_QUEUE_MAX`.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// The queue in which a frame waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Queue {
    /// Ordinary traffic; not sent while services synchronise.
    Normal,
    /// Messages of the services' synchronisation, between a configuration change and its end.
    Sync,
}

/// A data frame that is complete except for its fixed part, for which space is reserved in front.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// `mcast::FIXED` reserved bytes, then the payload.
    pub(crate) frame: BytesMut,
    /// Whether delivery must wait until all members have it.
    pub(crate) guarantee: Guarantee,
}

/// The two queues of outgoing frames.
#[derive(Debug)]
pub(crate) struct Outbox {
    normal: VecDeque<Outgoing>,
    sync: VecDeque<Outgoing>,
    capacity: usize,
}

impl Outbox {
    /// Creates empty queues for frames with payloads of up to `net_mtu` bytes.
    pub(crate) fn new(net_mtu: usize) -> Self {
        Self { normal: VecDeque::new(), sync: VecDeque::new(), capacity: QUEUE_BYTES / net_mtu }
    }

    /// The nominal size of a queue in frames, as Corosync computes it.
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// The number of frames that a queue still accepts.
    pub(crate) fn available(&self, queue: Queue) -> usize {
        (self.capacity - 2).saturating_sub(self.len(queue))
    }

    /// The number of frames that wait in a queue.
    pub(crate) fn len(&self, queue: Queue) -> usize {
        match queue {
            Queue::Normal => self.normal.len(),
            Queue::Sync => self.sync.len(),
        }
    }

    /// Appends a frame. The caller has checked that there is room.
    pub(crate) fn push(&mut self, queue: Queue, outgoing: Outgoing) {
        self.queue(queue).push_back(outgoing);
    }

    /// Takes the first frame of a queue.
    pub(crate) fn pop(&mut self, queue: Queue) -> Option<Outgoing> {
        self.queue(queue).pop_front()
    }

    /// The frame at position `at`; the first one has position 0.
    pub(crate) fn get(&self, queue: Queue, at: usize) -> Option<&Outgoing> {
        match queue {
            Queue::Normal => self.normal.get(at),
            Queue::Sync => self.sync.get(at),
        }
    }

    /// Replaces one frame by two. The queue may then be one frame longer than normally allowed; room is
    /// reserved for that.
    pub(crate) fn replace(&mut self, queue: Queue, at: usize, [first, second]: [Outgoing; 2]) {
        let queue = self.queue(queue);
        if let Some(place) = queue.get_mut(at) {
            *place = first;
            queue.insert(at + 1, second);
        }
    }

    fn queue(&mut self, queue: Queue) -> &mut VecDeque<Outgoing> {
        match queue {
            Queue::Normal => &mut self.normal,
            Queue::Sync => &mut self.sync,
        }
    }
}
