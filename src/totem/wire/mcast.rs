//! The data frame: one multicast datagram of the ring.

use bytes::{BufMut, BytesMut};
use zerocopy::byteorder::{ByteOrder, I32, LE, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{HeaderBytes, Kind, MAX_FRAME, RingIdBytes, WireError, node, ring, split};
use crate::ids::{Guarantee, NodeId, RingId, Seq};

/// Fixed part of a data frame on the wire, in its sender's byte order `O`.
///
/// Source: corosync `exec/totemsrp.c`, `struct mcast` (packed).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct McastBytes<O: ByteOrder> {
    header: HeaderBytes<O>,
    system_from: U32<O>,
    seq: U32<O>,
    this_seqno: I32<O>,
    ring: RingIdBytes<O>,
    node_id: U32<O>,
    guarantee: U32<O>,
}
const _: () = assert!(size_of::<McastBytes<LE>>() == FIXED && align_of::<McastBytes<LE>>() == 1);

/// Bytes of a data frame before its payload.
pub const FIXED: usize = 45;
/// Value of the guarantee field for a message that no node may deliver before all have it. Corosync's nodes
/// write 1 into messages that they call safe, but deliver them as agreed; some rekey as soon as they have
/// sent one. So 1 is treated as agreed here as well, and Corosync ignores the value written here.
const SAFE: u32 = 2;

/// The kind of payload of a data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encapsulated {
    /// A packet of messages.
    Plain,
    /// A whole data frame of an old ring, retransmitted for members that lack it.
    Recovery,
}

/// A parsed data frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mcast<'a> {
    /// Plain or recovery frame.
    pub encapsulated: Encapsulated,
    /// Node that is reported as the sender of its messages (`header.nodeid`).
    pub from: NodeId,
    /// Node that originated it, used for membership decisions (`system_from`).
    pub system_from: NodeId,
    /// Sequence number of the frame on `ring`.
    pub seq: Seq,
    /// Running number of the sender's frames; informational only.
    pub counter: u32,
    /// The ring to which `seq` belongs.
    pub ring: RingId,
    /// Whether delivery must wait until all members have the frame.
    pub guarantee: Guarantee,
    /// Plain: packed messages. Recovery: the old frame, header included.
    pub payload: &'a [u8],
}

impl<'a> Mcast<'a> {
    pub(super) fn parse<O: ByteOrder + 'a>(datagram: &'a [u8]) -> Result<Self, WireError> {
        const KIND: Kind = Kind::Mcast;
        if datagram.len() > MAX_FRAME {
            return Err(WireError::Long { kind: KIND, most: MAX_FRAME, got: datagram.len() });
        }
        let (fixed, payload) = split::<McastBytes<O>>(KIND, datagram)?;
        Ok(Self {
            encapsulated: match fixed.header.encapsulated {
                1 => Encapsulated::Recovery,
                2 => Encapsulated::Plain,
                _ => return Err(WireError::Value(KIND, "encapsulation")),
            },
            from: node(KIND, fixed.header.nodeid.get())?,
            system_from: node(KIND, fixed.system_from.get())?,
            seq: Seq(fixed.seq.get()),
            counter: fixed.this_seqno.get().cast_unsigned(),
            ring: ring(KIND, fixed.ring)?,
            guarantee: if fixed.guarantee.get() == SAFE { Guarantee::Safe } else { Guarantee::Agreed },
            payload,
        })
    }

    /// Writes the fixed part over the first [`FIXED`] bytes of `frame`, which already contains the payload
    /// behind them.
    ///
    /// # Panics
    /// If `frame` is shorter than the fixed part.
    pub fn write_fixed<O: ByteOrder>(&self, frame: &mut [u8]) {
        let fixed = McastBytes::<O> {
            header: HeaderBytes::new(
                Kind::Mcast,
                match self.encapsulated {
                    Encapsulated::Recovery => 1,
                    Encapsulated::Plain => 2,
                },
                self.from.get(),
            ),
            system_from: U32::new(self.system_from.get()),
            seq: U32::new(self.seq.0),
            this_seqno: I32::new(self.counter.cast_signed()),
            ring: RingIdBytes::new(self.ring),
            node_id: U32::ZERO,
            guarantee: U32::new(match self.guarantee {
                Guarantee::Agreed => 0,
                Guarantee::Safe => SAFE,
            }),
        };
        frame[..FIXED].copy_from_slice(fixed.as_bytes());
    }

    /// Encodes the frame, payload included.
    pub fn encode<O: ByteOrder>(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(FIXED + self.payload.len());
        out.put_bytes(0, FIXED);
        out.put_slice(self.payload);
        self.write_fixed::<O>(&mut out);
        out
    }
}
