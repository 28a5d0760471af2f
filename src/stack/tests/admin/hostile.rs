//! Requests and messages that cannot be read.

use super::*;
use crate::admin::wire::request::number;
use crate::ids::Endian;

/// The requests that a header alone makes up.
const HEADER_ALONE: [u16; 6] = [
    number::RING_STATUS,
    number::RING_REENABLE,
    number::LOCAL_GET,
    number::RELOAD,
    number::REOPEN_LOG_FILES,
    number::TRACK_STOP,
];

#[test]
fn unreadable_requests_change_nothing() {
    let mut admin = Admin::pair();
    for function in 0..number::COUNT {
        let mut request = [0xff; 16];
        request[..4].copy_from_slice(&i32::from(function).to_ne_bytes());
        request[8..12].copy_from_slice(&16_i32.to_ne_bytes());
        let reply = admin.cluster.request(1, A, &request);
        if !HEADER_ALONE.contains(&function) {
            assert_eq!(reply.as_deref().map(status), Some(Status::InvalidParam), "request {function}");
        }
    }
    admin.cluster.settle();
    assert_eq!(admin.orders(), [Order::ReopenLogs, Order::Reload], "as asked for in readable requests");
    assert!(admin.questions().is_empty());
}

#[test]
fn unreadable_messages_change_nothing() {
    let mut admin = Admin::pair();
    for order in [Endian::Little, Endian::Big] {
        let before = admin.desk().malformed();
        for function in 0..5_u8 {
            let mut message = vec![0xff; 400];
            message[..4].copy_from_slice(&match order {
                Endian::Little => [function, 0, 1, 0],
                Endian::Big => [0, 1, 0, function],
            });
            for length in 16..message.len() {
                if function != 2 && (function != 3 || length < 32) {
                    admin.cluster.deliver(1, 2, &message[..length], order);
                }
            }
        }
        assert!(admin.orders().is_empty());
        assert!(admin.desk().malformed() > before);
    }
    assert!(admin.sent().is_empty() && admin.orders().is_empty() && !admin.is_answered());
}
