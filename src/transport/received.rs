//! A batch of received datagrams, in buffers that are used again and again.

use std::ops::Range;
use std::os::fd::AsFd;
use std::{fmt, io};

use bytes::Bytes;

use super::sys::{self, Arrival, RECV_BATCH};

/// Bytes that a datagram may have: more than UDP can carry in one.
const ROOM: usize = 65_536;

/// Distance between slots. Not [`ROOM`]: starts that are a power of two apart would share cache sets, and the
/// start is all that most datagrams use of a slot.
const STRIDE: usize = ROOM + 33 * 64;

/// Slots that one call tries to fill while little comes; the kernel looks at each one offered.
const FEW: usize = 8;

/// Receive errors in a row after which a socket counts as empty, so that an error that stays cannot spin.
const ERRORS_IN_A_ROW: u32 = 16;

/// Datagrams received by one [`Transport::poll_recv`](super::Transport::poll_recv), in order of arrival.
///
/// Holds up to 64 datagrams of up to 65536 bytes. The memory (4 MiB of addresses) is reserved once and becomes
/// resident only where datagrams were written.
pub struct Received {
    buffer: Box<[u8]>,
    slots: usize,
    /// Slots that hold a datagram or a refused one.
    used: usize,
    /// What is to be handed up.
    taken: Vec<Taken>,
    /// Whether the last call filled more than a few slots.
    busy: bool,
}

/// A datagram to hand up.
#[derive(Clone, Debug)]
enum Taken {
    /// These bytes of the buffer.
    Here(Range<usize>),
    /// It was put together elsewhere.
    Apart(Bytes),
}

/// Judges what arrives, and counts it.
pub(super) trait Judge {
    /// A call is made.
    fn called(&mut self);

    /// It failed.
    fn failed(&mut self, error: &io::Error);

    /// It brought these, which [`Judge::judge`] is asked about next, one after the other; the bytes of all may be
    /// changed in place.
    fn brought(&mut self, _came: Came<'_>) {}

    /// A message came; its bytes may be changed in place. What is to be handed up of it goes to `up`.
    fn judge(&mut self, arrival: &Arrival, bytes: &mut [u8], up: &mut Up<'_>);
}

/// What one call brought.
pub(super) struct Came<'a> {
    arrivals: &'a [Arrival],
    slots: &'a mut [u8],
}

impl<'a> Came<'a> {
    /// Each message and its bytes.
    pub(super) fn each(self) -> impl Iterator<Item = (&'a Arrival, &'a mut [u8])> {
        self.arrivals.iter().zip(self.slots.chunks_mut(STRIDE)).map(|(arrival, slot)| {
            let len = arrival.len.min(ROOM);
            (arrival, &mut slot[..len])
        })
    }
}

/// Where a [`Judge`] puts what is to be handed up.
pub(super) struct Up<'a> {
    taken: &'a mut Vec<Taken>,
    /// Where the bytes being judged are in the buffer.
    base: usize,
}

impl Up<'_> {
    /// This part of the bytes being judged.
    pub(super) fn part(&mut self, part: Range<usize>) {
        self.taken.push(Taken::Here(self.base + part.start..self.base + part.end));
    }

    /// Something that was put together elsewhere.
    pub(super) fn apart(&mut self, datagram: Bytes) {
        self.taken.push(Taken::Apart(datagram));
    }
}

/// What is left in a socket after reading from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// Perhaps something: the slots ran out first.
    Perhaps,
}

impl Received {
    /// An empty batch.
    pub fn new() -> Self {
        Self::with_slots(RECV_BATCH)
    }

    pub(super) fn with_slots(slots: usize) -> Self {
        Self {
            buffer: vec![0; slots * STRIDE].into_boxed_slice(),
            slots,
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

    /// How many datagrams there are.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether there are none.
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

    /// Datagram number `index`, if there are that many.
    pub(super) fn datagram(&self, index: usize) -> Option<&[u8]> {
        self.taken.get(index).map(|taken| self.bytes(taken))
    }

    /// Appends a copy of `datagram`. The batch must not be full, nor the datagram longer than a slot.
    pub(super) fn push(&mut self, datagram: &[u8]) {
        assert!(!self.is_full() && datagram.len() <= ROOM, "no slot for a copied datagram");
        let start = self.used * STRIDE;
        self.buffer[start..][..datagram.len()].copy_from_slice(datagram);
        self.used += 1;
        self.taken.push(Taken::Here(start..start + datagram.len()));
    }

    /// Reads from `socket` until it is empty or all slots but the last `spare` are used. The judge says what is handed
    /// up, and counts errors.
    pub(super) fn receive(&mut self, socket: &impl AsFd, spare: usize, judge: &mut impl Judge) -> Left {
        let slots = self.slots - spare;
        let mut arrivals = [Arrival::NONE; RECV_BATCH];
        let mut errors = 0;
        while self.used < slots {
            let free = slots - self.used;
            let wanted = if self.busy { free } else { free.min(FEW) }.min(RECV_BATCH);
            let buffer = &mut self.buffer[self.used * STRIDE..];
            judge.called();
            let came = match sys::recv_many(socket.as_fd(), buffer, STRIDE, ROOM, &mut arrivals[..wanted]) {
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
            let arrivals = &arrivals[..came];
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
