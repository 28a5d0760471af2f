//! Requests of clients, and messages of nodes, that do not keep to the protocol.

use zerocopy::IntoBytes;

use super::voters::{CLIENT, OTHER, quorate, running, votes};
use crate::ids::ServiceId;
use crate::quorum::wire::NE;
use crate::quorum::wire::exec::{Exec, Subject};
use crate::quorum::wire::{quorum as q, votequorum as v};
use crate::service::wire::HeaderBytes;
use crate::stack::tests::cluster::{Cluster, id};

/// Requests of any length and content get one answer, and do no harm.
#[test]
fn malformed_requests_are_answered() {
    let mut cluster = running(&[1, 1], &[("device.model", "net")]);
    cluster.connect(1, ServiceId::VOTEQUORUM, CLIENT);
    cluster.connect(1, ServiceId::QUORUM, OTHER);
    for (conn, count) in [(CLIENT, v::request::COUNT), (OTHER, q::request::COUNT)] {
        for function in 0..=count {
            for length in 16..700 {
                let mut bytes = vec![0xff; length];
                bytes[..16].copy_from_slice(HeaderBytes::<NE>::new(function.into(), length).as_bytes());
                let answered = cluster.request(1, conn, &bytes).is_some();
                assert!(answered || function == v::request::QDEVICE_REGISTER, "{function} {length}");
                cluster.take_told(1);
            }
        }
    }
    cluster.settle();
    assert_eq!(quorate(&cluster, 2), Some(true));
}

/// Messages that are too short, and those in which a node speaks of another one, are counted and change nothing.
#[test]
fn unusable_messages_of_nodes_are_counted_and_change_nothing() {
    let mut cluster = running(&[1, 1], &[]);
    let about =
        |node| Exec::NodeInfo { subject: Subject::Node(id(node)), votes: 9, expected_votes: 9, flags: 0 };
    let stats = |cluster: &Cluster| {
        *cluster.nodes[&1].stack.desks.votequorum.as_ref().expect("there is a provider").stats()
    };
    let before = stats(&cluster);
    let whole = about(2).encode();
    for length in 16..whole.len() {
        assert!(cluster.say(2, &whole[..length]));
    }
    assert!(cluster.say(2, &about(1).encode()));
    cluster.settle();
    let after = stats(&cluster);
    assert_eq!(after.malformed - before.malformed, (whole.len() - 16) as u64);
    assert_eq!((after.impostors - before.impostors, after.refused), (1, before.refused));
    assert_eq!((votes(&cluster, 1).quorum(), quorate(&cluster, 1)), (2, Some(true)));
}
