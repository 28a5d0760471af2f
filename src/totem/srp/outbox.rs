//! Frames of this node's own that wait for the token.
//!
//! Corosync's counterpart: `exec/cs_queue.h`, and the message queues of `exec/totemsrp.c`.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::ids::Guarantee;

/// Bytes that one queue may hold, at the size of full frames. Source: corosync `MESSAGE_QUEUE_MAX`.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Which queue a frame waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Queue {
    /// Ordinary traffic; rests while services synchronise.
    Normal,
    /// What is sent between a configuration change and the end of the services' synchronisation.
    Sync,
}

/// A data frame, complete but for the fixed part, for which room is kept in front.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// `mcast::FIXED` bytes of room, then the payload.
    pub(crate) frame: BytesMut,
    /// Whether delivery must wait until all have it.
    pub(crate) guarantee: Guarantee,
}

/// The two queues of frames.
#[derive(Debug)]
pub(crate) struct Outbox {
    normal: VecDeque<Outgoing>,
    sync: VecDeque<Outgoing>,
    capacity: usize,
}

impl Outbox {
    /// Empty queues for frames with payloads of up to `net_mtu` bytes.
    pub(crate) fn new(net_mtu: usize) -> Self {
        Self { normal: VecDeque::new(), sync: VecDeque::new(), capacity: QUEUE_BYTES / net_mtu }
    }

    /// Frames that a queue is built for (Corosync's size of the queue).
    pub(crate) const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Frames for which there is room.
    pub(crate) fn available(&self, queue: Queue) -> usize {
        (self.capacity - 2).saturating_sub(self.len(queue))
    }

    /// Frames that wait.
    pub(crate) fn len(&self, queue: Queue) -> usize {
        match queue {
            Queue::Normal => self.normal.len(),
            Queue::Sync => self.sync.len(),
        }
    }

    /// Puts a frame at the end. The caller has made sure that there is room.
    pub(crate) fn push(&mut self, queue: Queue, outgoing: Outgoing) {
        self.queue(queue).push_back(outgoing);
    }

    /// Takes the first frame.
    pub(crate) fn pop(&mut self, queue: Queue) -> Option<Outgoing> {
        self.queue(queue).pop_front()
    }

    /// The frame at a place, counted from the first.
    pub(crate) fn get(&self, queue: Queue, at: usize) -> Option<&Outgoing> {
        match queue {
            Queue::Normal => self.normal.get(at),
            Queue::Sync => self.sync.get(at),
        }
    }

    /// Puts two frames where there was one. The queue may be longer by one than it should be: there is always
    /// room kept for that.
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
