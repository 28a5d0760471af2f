//! Replies as bytes, and back.

use super::*;

fn status() -> NodeStatus {
    let mut status = NodeStatus { node: 2, reachable: true, ..NodeStatus::default() };
    let (from, to) = ("10.0.0.1".to_owned(), "10.0.0.2".to_owned());
    let link = LinkStatus { enabled: true, connected: true, mtu: 1410, from, to, ..LinkStatus::default() };
    status.links[1] = link;
    status
}

/// docs/protocol/services.md, "Node status": offsets of the fields.
#[test]
fn node_status_has_the_offsets_of_c() {
    let bytes = Reply::NodeStatus(Box::new(status())).encode(number::NODE_STATUS);
    assert_eq!(bytes.len(), 4200);
    assert_eq!(bytes[..4], 16_i32.to_ne_bytes());
    assert_eq!(bytes[8..12], 4200_i32.to_ne_bytes());
    assert_eq!(bytes[16..20], 1_i32.to_ne_bytes());
    assert_eq!(bytes[24..28], 1_u32.to_ne_bytes());
    assert_eq!(bytes[28..32], 2_u32.to_ne_bytes());
    assert_eq!(bytes[32..38], [1, 0, 0, 0, 0, 0]);
    let link = &bytes[40 + 520..];
    assert_eq!(link[..3], [1, 1, 0]);
    assert_eq!(link[4..8], 1410_u32.to_ne_bytes());
    assert_eq!(&link[8..17], b"10.0.0.1\0");
    assert_eq!(&link[264..273], b"10.0.0.2\0");
    assert!(bytes[40 + 2 * 520..].iter().all(|byte| *byte == 0));
    assert_eq!(Reply::decode(number::NODE_STATUS, &bytes), Ok(Reply::NodeStatus(Box::new(status()))));
}

#[test]
fn ring_status_has_the_offsets_of_c() {
    let links = vec![OwnLink { name: "0 10.0.0.1".to_owned(), status: "OK".to_owned() }];
    let bytes = Reply::RingStatus(links.clone()).encode(number::RING_STATUS);
    assert_eq!(bytes.len(), 10272);
    assert_eq!(bytes[24..28], 1_u32.to_ne_bytes());
    assert_eq!(&bytes[32..43], b"0 10.0.0.1\0");
    assert_eq!(&bytes[2080..2083], b"OK\0");
    assert_eq!(Reply::decode(number::RING_STATUS, &bytes), Ok(Reply::RingStatus(links)));
}

#[test]
fn addresses_come_back_in_both_families() {
    for addresses in [["10.0.0.1", "10.0.1.1"], ["fd00::1", "fd00::2"]] {
        let addresses = addresses.map(|address| address.parse().unwrap()).to_vec();
        let bytes = Reply::NodeAddrs(addresses.clone()).encode(number::NODE_ADDRS);
        assert_eq!(bytes.len(), 64);
        assert_eq!(Reply::decode(number::NODE_ADDRS, &bytes), Ok(Reply::NodeAddrs(addresses)));
        for length in 0..bytes.len() {
            let cut = Reply::decode(number::NODE_ADDRS, &bytes[..length]);
            assert_eq!(cut, Err(NoReply::Malformed), "{length}");
        }
    }
}

#[test]
fn refusals_have_the_expected_length() {
    let lengths = [10272, 24, 24, 24, 24, 32, 32, 24, 24, 32, 24, 24];
    let ids = [0, 1, 8, 9, 13, 11, 12, 14, 15, 16, 2, 3];
    for (number, (length, id)) in lengths.into_iter().zip(ids).enumerate() {
        let number = number as u16;
        let bytes = refusal(number, Status::TryAgain);
        assert_eq!(bytes.len(), length);
        assert_eq!(bytes[..4], i32::to_ne_bytes(id));
        assert_eq!(Reply::decode(number, &bytes), Err(NoReply::Refused(Status::TryAgain)));
    }
}

/// The daemon answers a request that it could not route with id 0.
#[test]
fn replies_with_id_0_are_understood() {
    let overload = crate::service::wire::plain_reply(0, Status::TryAgain);
    assert_eq!(Reply::decode(number::RELOAD, &overload), Err(NoReply::Refused(Status::TryAgain)));
    let done = refusal(number::RELOAD, Status::Ok);
    assert_eq!(Reply::decode(number::RELOAD, &done), Ok(Reply::Done));
    assert_eq!(Reply::decode(number::KILL_NODE, &done), Err(NoReply::Malformed));
}

#[test]
fn hostile_counts_are_refused() {
    let mut bytes = Reply::NodeAddrs(vec!["10.0.0.1".parse().unwrap()]).encode(number::NODE_ADDRS);
    bytes[28..32].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(Reply::decode(number::NODE_ADDRS, &bytes), Err(NoReply::Malformed));
    let mut bytes = Reply::RingStatus(Vec::new()).encode(number::RING_STATUS);
    bytes[24..28].copy_from_slice(&17_u32.to_ne_bytes());
    assert_eq!(Reply::decode(number::RING_STATUS, &bytes), Err(NoReply::Malformed));
}

#[test]
fn questions_are_decoded_as_encoded() {
    let bytes = Question { flags: 1 }.encode();
    assert_eq!(bytes.len(), 32);
    assert_eq!(bytes[..4], 10_i32.to_ne_bytes());
    assert_eq!(bytes[16..20], 1_i32.to_ne_bytes());
    assert_eq!(Question::decode(&bytes), Some(Question { flags: 1 }));
    assert_eq!(Question::decode(&bytes[..31]), None);
    assert_eq!(Question::decode(&refusal(number::NODE_ADDRS, Status::Ok)), None);
}
