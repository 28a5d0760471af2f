//! A batch of received datagrams in reused buffers.

use std::ops::Range;
use std::os::fd::AsFd;
use std::{fmt, io};

use bytes::Bytes;

use super::sys::{self, Arrival, RECV_BATCH};

/// Bytes reserved for a datagram: more than UDP can carry in one.
const ROOM: usize = 65_536;

/// Distance between slots. Not [`ROOM`], because slots that start at multiples of a power of two would share
/// cache sets, and most datagrams use only the start of a slot.
const STRIDE: usize = ROOM + 33 * 64;

/// Slots offered to a system call while few datagrams arrive, because the kernel checks each slot.
const FEW: usize = 4;

/// Consecutive receive errors after which a socket counts as empty, so that a lasting error cannot cause an
/// endless loop.
const ERRORS_IN_A_ROW: u32 = 16;

/// Datagrams received by one [`Transport::poll_recv`](super::Transport::poll_recv), in order of arrival.
///
/// Holds up to 64 datagrams of up to 65536 bytes. The address space (4 MiB) is reserved once and becomes
/// resident only where datagrams were written.
pub struct Received {
    buffer: Box<[u8]>,
    slots: usize,
    /// Number of slots that hold a datagram, refused ones included.
    used: usize,
    /// What is known of the messages of the last system call, one for each slot.
    arrivals: Box<[Arrival]>,
    /// The datagrams to hand up.
    taken: Vec<Taken>,
    /// Whether the last system call filled more than a few slots.
    busy: bool,
}

/// A datagram to hand up.
#[derive(Clone, Debug)]
enum Taken {
    /// The datagram is in this range of the buffer.
    Here(Range<usize>),
    /// The datagram was assembled elsewhere.
    Apart(Bytes),
}

/// Judges the datagrams that arrive, and counts them.
pub(super) trait Judge {
    /// A system call is about to be made.
    fn called(&mut self);

    /// The system call failed.
    fn failed(&mut self, error: &io::Error);

    /// The system call returned these messages. [`Judge::judge`] is then called for each of them in order.
    /// Their bytes may be changed in place.
    fn brought(&mut self, _came: Came<'_>) {}

    /// Judges one message, whose bytes may be changed in place. What is to be handed up is added to `up`.
    fn judge(&mut self, arrival: &Arrival, bytes: &mut [u8], up: &mut Up<'_>);
}

/// The messages that one system call returned.
pub(super) struct Came<'a> {
    arrivals: &'a [Arrival],
    slots: &'a mut [u8],
}

impl<'a> Came<'a> {
    /// Iterates over the messages and their bytes.
    pub(super) fn each(self) -> impl Iterator<Item = (&'a Arrival, &'a mut [u8])> {
        self.arrivals.iter().zip(self.slots.chunks_mut(STRIDE)).map(|(arrival, slot)| {
            let len = arrival.len.min(ROOM);
            (arrival, &mut slot[..len])
        })
    }
}

/// Collects what a [`Judge`] wants to hand up.
pub(super) struct Up<'a> {
    taken: &'a mut Vec<Taken>,
    /// Offset in the buffer of the bytes being judged.
    base: usize,
}

impl Up<'_> {
    /// Hands up a part of the bytes being judged.
    pub(super) fn part(&mut self, part: Range<usize>) {
        self.taken.push(Taken::Here(self.base + part.start..self.base + part.end));
    }

    /// Hands up a datagram that was assembled elsewhere.
    pub(super) fn apart(&mut self, datagram: Bytes) {
        self.taken.push(Taken::Apart(datagram));
    }
}

/// What is left in a socket after reading from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The socket is empty.
    Nothing,
    /// There may be more: the slots were used up first.
    Perhaps,
}

impl Received {
    /// Creates an empty batch.
    pub fn new() -> Self {
        Self::with_slots(RECV_BATCH)
    }

    /// A batch without room, which costs nothing.
    pub(crate) fn none() -> Self {
        Self::with_slots(0)
    }

    pub(super) fn with_slots(slots: usize) -> Self {
        Self {
            buffer: vec![0; slots * STRIDE].into_boxed_slice(),
            slots,
            arrivals: vec![Arrival::NONE; slots.min(RECV_BATCH)].into_boxed_slice(),
            used: 0,
            taken: Vec::with_capacity(slots),
            busy: false,
        }
    }

    /// The datagrams, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.taken.iter().map(|taken| self.bytes(taken))
    }

    fn bytes<'a>(&'a self, taken: &'a Taken) -> &'a [u8] {
        match taken {
            Taken::Here(place) => &self.buffer[place.clone()],
            Taken::Apart(datagram) => datagram,
        }
    }

    /// The number of datagrams.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether the batch is empty.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.used = 0;
        self.taken.clear();
    }

    pub(super) fn is_full(&self) -> bool {
        self.used == self.slots
    }

    /// The datagram with number `index`, counted from 0; `None` if there are fewer.
    pub(super) fn datagram(&self, index: usize) -> Option<&[u8]> {
        self.taken.get(index).map(|taken| self.bytes(taken))
    }

    /// Appends a copy of `datagram`. The batch must not be full, and the datagram must fit into a slot.
    pub(super) fn push(&mut self, datagram: &[u8]) {
        assert!(!self.is_full() && datagram.len() <= ROOM, "no slot for a copied datagram");
        let start = self.used * STRIDE;
        self.buffer[start..][..datagram.len()].copy_from_slice(datagram);
        self.used += 1;
        self.taken.push(Taken::Here(start..start + datagram.len()));
    }

    /// Reads from `socket` until it is empty or all but the last `spare` slots are used. The judge decides
    /// what is handed up, and counts errors.
    pub(super) fn receive(&mut self, socket: &impl AsFd, spare: usize, judge: &mut impl Judge) -> Left {
        let slots = self.slots - spare;
        let mut errors = 0;
        while self.used < slots {
            let free = slots - self.used;
            let wanted = if self.busy { free } else { free.min(FEW) }.min(self.arrivals.len());
            let buffer = &mut self.buffer[self.used * STRIDE..];
            judge.called();
            let arrivals = &mut self.arrivals[..wanted];
            let came = match sys::recv_many(socket.as_fd(), buffer, STRIDE, ROOM, arrivals) {
                Ok(came) => came,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Left::Nothing,
                Err(error) => {
                    judge.failed(&error);
                    errors += 1;
                    if errors == ERRORS_IN_A_ROW {
                        return Left::Nothing;
                    }
                    continue;
                }
            };
            errors = 0;
            let arrivals = &self.arrivals[..came];
            judge.brought(Came { arrivals, slots: &mut *buffer });
            for (offset, (arrival, bytes)) in (Came { arrivals, slots: buffer }).each().enumerate() {
                let base = (self.used + offset) * STRIDE;
                judge.judge(arrival, bytes, &mut Up { taken: &mut self.taken, base });
            }
            self.used += came;
            self.busy = came >= FEW;
            if came < wanted {
                return Left::Nothing;
            }
        }
        Left::Perhaps
    }
}

impl Default for Received {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("taken", &self.taken)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
