//! For the tests of this room: a node in the middle of its life, and frames for it.

use super::members::MemberSet;
use super::ring::Ring;
use super::window::Stored;
use crate::config::timeouts::{Given, Timeouts};
use crate::ids::{Endian, Guarantee, NodeId, RingId, Seq};
use crate::time::Instant;
use crate::totem::srp::io::Params;
use crate::totem::wire::{Encapsulated, LittleEndian, Mcast, Token};

pub(super) fn node(id: u32) -> NodeId {
    NodeId::new(id).unwrap()
}

/// Node 1 of `count`, on a ring with all of them that it represents and on which nothing was sent yet.
pub(super) fn ring(count: u32) -> Ring {
    let params = Params {
        me: node(1),
        timeouts: Timeouts::derive(&Given::default(), count as usize),
        netmtu: 1500,
        ring_seq: 1,
        stored: 4096,
        life: 1,
        origin: Seq(0),
    };
    let mut ring = Ring::new(&params, 1400, Instant::ZERO);
    ring.members = MemberSet::new((1..=count).map(node));
    ring.proc = ring.members.clone();
    ring
}

/// A data frame of node 2.
pub(super) fn mcast(ring: RingId, seq: Seq, encapsulated: Encapsulated) -> Mcast<'static> {
    Mcast {
        encapsulated,
        from: node(2),
        system_from: node(2),
        seq,
        counter: 0,
        ring,
        guarantee: Guarantee::Agreed,
        payload: b"payload",
    }
}

/// The same as it is held.
pub(super) fn stored(mcast: &Mcast<'_>) -> Stored {
    Stored::new(mcast, mcast.encode::<LittleEndian>().freeze(), Endian::Little)
}

/// A token that says that all have received all up to `seq`.
pub(super) fn token(ring: RingId, token_seq: u32, seq: Seq) -> Token {
    Token {
        from: node(2),
        seq,
        token_seq: Seq(token_seq),
        aru: seq,
        aru_by: None,
        ring,
        backlog: 0,
        fcc: 0,
        retransmitting: false,
        missing: Vec::new(),
    }
}
