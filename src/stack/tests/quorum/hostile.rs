//! Requests of clients that do not keep to the protocol.

use zerocopy::IntoBytes;

use super::voters::{CLIENT, OTHER, quorate, running};
use crate::ids::ServiceId;
use crate::quorum::wire::NE;
use crate::quorum::wire::{quorum as q, votequorum as v};
use crate::service::wire::HeaderBytes;

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
