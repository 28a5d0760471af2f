//! Test fixtures for the modules of `srp`: a node on a ring, and frames for it.

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

/// Node 1, the representative of an installed ring of nodes 1 to `count`, on which nothing was sent yet.
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

/// A data frame from node 2.
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

/// The frame as a window stores it.
pub(super) fn stored(mcast: &Mcast<'_>) -> Stored {
    Stored::new(mcast, mcast.encode::<LittleEndian>().freeze(), Endian::Little)
}

/// A token which says that all members have received everything up to `seq`.
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
