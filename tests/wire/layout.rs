//! Every kind of frame in both byte orders: encoding and parsing give the same values, and the sizes are Corosync's.

use annulus::ids::{Endian, Guarantee, NodeId, RingId, Seq};
use annulus::totem::wire::{
    self, CommitEntry, CommitToken, Encapsulated, Frame, HoldCancel, Join, LittleEndian, Mcast, MergeDetect,
    Missing, Token, WireError,
};
use proptest::prelude::*;
use zerocopy::byteorder::BE;

fn node() -> impl Strategy<Value = NodeId> {
    (1..=u32::MAX).prop_map(|id| NodeId::new(id).expect("not 0"))
}

fn ring() -> impl Strategy<Value = RingId> {
    (node(), any::<u64>()).prop_map(|(rep, seq)| RingId { rep, seq })
}

fn seq() -> impl Strategy<Value = Seq> {
    any::<u32>().prop_map(Seq)
}

fn nodes(most: usize) -> impl Strategy<Value = Vec<NodeId>> {
    proptest::collection::btree_set(node(), 0..most).prop_map(|set| set.into_iter().collect())
}

fn token() -> impl Strategy<Value = Token> {
    let missing = (ring(), seq()).prop_map(|(ring, seq)| Missing { ring, seq });
    (
        (node(), seq(), seq(), seq(), proptest::option::of(node()), ring()),
        (any::<u32>(), any::<u32>(), any::<bool>(), proptest::collection::vec(missing, 0..=30)),
    )
        .prop_map(
            |((from, seq, token_seq, aru, aru_by, ring), (backlog, fcc, retransmitting, missing))| Token {
                from,
                seq,
                token_seq,
                aru,
                aru_by,
                ring,
                backlog,
                fcc,
                retransmitting,
                missing,
            },
        )
}

fn commit() -> impl Strategy<Value = CommitToken> {
    let entry =
        (ring(), seq(), seq(), any::<bool>()).prop_map(|(ring, aru, high_delivered, received_all)| {
            CommitEntry { ring, aru, high_delivered, received_all }
        });
    let members = proptest::collection::btree_map(node(), proptest::option::of(entry), 1..40);
    (node(), any::<u32>(), ring(), members).prop_map(|(from, token_seq, ring, members)| CommitToken {
        from,
        token_seq,
        ring,
        filled: members.len() / 2,
        members: members.into_iter().collect(),
    })
}

proptest! {
    #[test]
    fn tokens_are_parsed_as_encoded(token in token()) {
        let size = 57 + 16 * token.missing.len();
        for (bytes, order) in [(token.encode::<LittleEndian>(), Endian::Little), (token.encode::<BE>(), Endian::Big)] {
            prop_assert_eq!(bytes.len(), size);
            prop_assert_eq!(wire::parse(&bytes), Ok((Frame::Token(token.clone()), order)));
        }
    }

    #[test]
    fn commit_tokens_are_parsed_as_encoded(token in commit()) {
        let size = 41 + 28 * token.members.len();
        for (bytes, order) in [(token.encode::<LittleEndian>(), Endian::Little), (token.encode::<BE>(), Endian::Big)] {
            prop_assert_eq!(bytes.len(), size);
            prop_assert_eq!(wire::parse(&bytes), Ok((Frame::Commit(token.clone()), order)));
        }
    }

    #[test]
    fn join_messages_are_parsed_as_encoded(from in node(), leave: bool, ring_seq: u64, proc in nodes(60), failed in nodes(60)) {
        let size = 33 + 4 * (proc.len() + failed.len());
        let join = Join { from, leave, ring_seq, proc, failed };
        for (bytes, order) in [(join.encode::<LittleEndian>(), Endian::Little), (join.encode::<BE>(), Endian::Big)] {
            prop_assert_eq!(bytes.len(), size);
            prop_assert_eq!(wire::parse(&bytes), Ok((Frame::Join(join.clone()), order)));
        }
    }

    #[test]
    fn data_frames_and_small_frames_are_parsed_as_encoded(
        from in node(), system_from in node(), seq in seq(), counter: u32, ring in ring(), safe: bool,
        recovery: bool, payload in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mcast = Mcast {
            encapsulated: if recovery { Encapsulated::Recovery } else { Encapsulated::Plain },
            from,
            system_from,
            seq,
            counter,
            ring,
            guarantee: if safe { Guarantee::Safe } else { Guarantee::Agreed },
            payload: &payload,
        };
        let (little, big) = (mcast.encode::<LittleEndian>(), mcast.encode::<BE>());
        prop_assert_eq!(little.len(), 45 + payload.len());
        prop_assert_eq!(wire::parse(&little), Ok((Frame::Mcast(mcast), Endian::Little)));
        prop_assert_eq!(wire::parse(&big), Ok((Frame::Mcast(mcast), Endian::Big)));
        let (probe, cancel) = (MergeDetect { from, ring }, HoldCancel { from, ring });
        let small = (probe.encode::<BE>(), cancel.encode::<BE>());
        prop_assert_eq!((small.0.len(), small.1.len()), (29, 25));
        prop_assert_eq!(wire::parse(&small.0), Ok((Frame::MergeDetect(probe), Endian::Big)));
        prop_assert_eq!(wire::parse(&small.1), Ok((Frame::HoldCancel(cancel), Endian::Big)));
    }

    /// No truncated frame is accepted, except a data frame whose payload alone is cut.
    #[test]
    fn truncated_frames_are_refused(token in token(), commit in commit(), at in 0.0..1.0f64) {
        for bytes in [token.encode::<LittleEndian>(), commit.encode::<BE>()] {
            let cut = (bytes.len() as f64 * at) as usize;
            let short = matches!(wire::parse(&bytes[..cut]), Err(WireError::Short { .. }));
            prop_assert!(short, "{} of {} bytes are taken for a frame", cut, bytes.len());
        }
    }
}
