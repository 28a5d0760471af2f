use proptest::prelude::*;

use super::*;

/// Bytes from hexadecimal digits; spaces and bars are only for readability.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn node(id: u32) -> NodeId {
    NodeId::new(id).unwrap()
}

/// A packet without the unused bytes in front.
fn plain(packet: &[u8]) -> &[u8] {
    assert!(packet[..ROOM].iter().all(|byte| *byte == 0));
    &packet[ROOM..]
}

const PING_1: &str = "01 81 0001 00 00 | 00 | 430a000000000000 dda37a1800000000 | 0000 | 01";

#[test]
fn a_ping_is_encoded_as_by_libknet() {
    let bytes = hex(PING_1);
    let stamp = hex("430a000000000000 dda37a1800000000").try_into().unwrap();
    let ping = Ping { link: 0, stamp, seq: 0, timed: true };
    assert_eq!(parse(&bytes), Some(Packet { source: node(1), body: Body::Ping(ping) }));
    assert_eq!(plain(&super::ping(node(1), &ping)), bytes);
}

#[test]
fn an_untimed_ping_is_encoded_as_by_libknet() {
    let bytes = hex("01810001 0000 00 830d000000000000 26f0a82200000000 1fff 00");
    let stamp = hex("830d000000000000 26f0a82200000000").try_into().unwrap();
    let ping = Ping { link: 0, stamp, seq: 8191, timed: false };
    assert_eq!(parse(&bytes), Some(Packet { source: node(1), body: Body::Ping(ping) }));
    assert_eq!(plain(&super::ping(node(1), &ping)), bytes);
}

#[test]
fn a_pong_is_the_ping_with_another_type_and_source() {
    let expected = hex("01 82 0002 00 00 | 00 | 430a000000000000 dda37a1800000000 | 0000 | 01");
    assert_eq!(plain(&pong(node(2), &hex(PING_1))), expected);
    // Unused bytes are returned as well, but not the bytes after the ping.
    let ping = hex("01 81 0001 aa bb | 07 | 000102030405060708090a0b0c0d0e0f | ffff | 02 | 99");
    let expected = hex("01 82 0003 aa bb | 07 | 000102030405060708090a0b0c0d0e0f | ffff | 02");
    assert_eq!(plain(&pong(node(3), &ping)), expected);
}

#[test]
fn a_probe_and_its_reply_are_encoded_as_by_libknet() {
    let probe = Probe { link: 0, size: 65535 };
    let bytes = super::probe(node(1), &probe, 65507);
    assert_eq!(plain(&bytes)[..9], hex("01 83 0001 00 00 | 00 | ffff"));
    assert_eq!(plain(&bytes).len(), 65507);
    assert!(plain(&bytes)[9..].iter().all(|byte| *byte == 0));
    assert_eq!(plain(&probe_reply(node(2), plain(&bytes))), hex("01 84 0002 00 00 | 00 | ffff"));
    assert_eq!(parse(plain(&bytes)), Some(Packet { source: node(1), body: Body::Probe(probe) }));
}

/// Captured from Corosync on an interface with an MTU of 1500.
#[test]
fn the_size_in_a_probe_has_its_authors_byte_order() {
    let mut bytes = hex("01 83 0001 0000 00 dc05");
    bytes.resize(1423, 0);
    let probe = Probe { link: 0, size: 1500 };
    assert_eq!(parse(&bytes).unwrap().body, Body::Probe(probe));
    assert_eq!(plain(&super::probe(node(1), &probe, 1423)), bytes);
    // Whatever the size is, the reply contains it unchanged.
    let reply = hex("01840002 0000 00 fcff");
    assert_eq!(parse(&reply).unwrap().body, Body::ProbeReply(Probe { link: 0, size: 65532 }));
}

#[test]
fn a_message_in_one_packet_is_encoded_as_by_libknet() {
    let bytes = hex("01 00 0001 00 00 | 0001 00 00 01 01 00 00 | 70c0030100 01000000 00000000
        5b626970777e858c939aa1a8afb6bdc4cbd2d9e0e7eef5fc030a11");
    let data =
        Data { seq: 1, compress: 0, broadcast: true, channel: 0, piece: Piece::Whole, payload: &bytes[14..] };
    assert_eq!(bytes.len(), 54);
    assert_eq!(parse(&bytes), Some(Packet { source: node(1), body: Body::Data(data) }));
    assert_eq!(plain(&super::data(node(1), &data)), bytes);
}

#[test]
fn a_fragment_is_encoded_as_by_libknet() {
    let bytes = hex("01 00 0001 0000 | 0002 00 00 00 03 02 00 | 8f969da4abb2b9c0");
    let data = Data {
        seq: 2,
        compress: 0,
        broadcast: false,
        channel: 0,
        piece: Piece::Fragment { number: 2, of: 3 },
        payload: &bytes[14..],
    };
    assert_eq!(parse(&bytes), Some(Packet { source: node(1), body: Body::Data(data) }));
    assert_eq!(plain(&super::data(node(1), &data)), bytes);
}

#[test]
fn packets_have_room_for_the_encryption_overhead() {
    let stamp = [0; 16];
    let ping = ping(node(1), &Ping { link: 0, stamp, seq: 0, timed: true });
    assert!(ping.capacity() >= ROOM + 26 + TAIL);
    let reply = pong(node(1), &ping[ROOM..]);
    assert!(reply.capacity() >= ROOM + 26 + TAIL);
    let data =
        Data { seq: 1, compress: 0, broadcast: false, channel: 0, piece: Piece::Whole, payload: &[1; 999] };
    assert!(super::data(node(1), &data).capacity() >= ROOM + 14 + 999 + TAIL);
}

#[test]
fn packets_that_are_too_short_are_refused_at_every_length() {
    let stamp = [7; 16];
    let ping = ping(node(1), &Ping { link: 3, stamp, seq: 4, timed: true });
    let ping = plain(&ping);
    let pong = pong(node(2), ping);
    let probe = probe(node(1), &Probe { link: 1, size: 1500 }, 9);
    let reply = probe_reply(node(2), plain(&probe));
    for (packet, least) in [(ping, 26), (plain(&pong), 26), (plain(&probe), 9), (plain(&reply), 9)] {
        for len in 0..least {
            assert_eq!(parse(&packet[..len]), None, "{len} of {least}");
        }
        let longer = [packet, &[1, 2, 3]].concat();
        assert_eq!(parse(&longer), parse(packet));
        assert!(parse(packet).is_some());
    }
    let data = hex("01 00 0001 00 00 | 0001 00 00 01 01 00 00 | 70");
    assert!(parse(&data).is_some());
    for len in 0..data.len() {
        assert_eq!(parse(&data[..len]), None);
    }
}

#[test]
fn packets_that_contradict_themselves_are_refused() {
    let good = hex("01 00 0001 00 00 | 0001 00 00 01 01 00 00 | 70c0");
    let wrong = |at: usize, bytes: &[u8]| {
        let mut packet = good.clone();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(parse(&packet), None, "{bytes:?} at {at}");
    };
    wrong(0, &[0]); // version
    wrong(0, &[2]);
    wrong(1, &[1]); // type
    wrong(1, &[0x80]);
    wrong(1, &[0x85]);
    wrong(1, &[0xff]);
    wrong(2, &[0, 0]); // source
    wrong(6, &[0, 0]); // number
    wrong(11, &[0, 0]); // fragments: none
    wrong(11, &[0, 1]);
    wrong(11, &[1, 1]); // the only fragment, numbered
    wrong(11, &[2, 0]); // one of two fragments, without a number
    wrong(11, &[2, 3]); // past the last fragment
    wrong(11, &[254, 255]);
    wrong(11, &[255, 1]); // too many fragments
    wrong(13, &[32]); // channel
    wrong(13, &[0x80]);
    wrong(13, &[0xff]);
    for (at, bytes) in
        [(11, &[254, 254][..]), (11, &[2, 1]), (13, &[31]), (4, &[1, 1]), (9, &[1]), (10, &[9])]
    {
        let mut packet = good.clone();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        assert!(parse(&packet).is_some(), "{bytes:?} at {at}");
    }
    for link in [8, 0x80, 0xff] {
        let mut ping = hex(PING_1);
        ping[6] = link;
        assert_eq!(parse(&ping), None);
        assert_eq!(parse(&hex(&format!("01 83 0001 00 00 | {link:02x} | dc05"))), None);
    }
}

proptest! {
    /// Whatever bytes are parsed, the result encodes to the same packet again.
    #[test]
    fn parsing_any_bytes_fails_or_round_trips(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..64),
        kind in proptest::sample::select(vec![0_u8, 0x81, 0x82, 0x83, 0x84]),
        (seq, of, number) in (any::<u16>(), 0..4_u8, 0..4_u8),
    ) {
        if let Some(head) = bytes.first_chunk_mut::<14>() {
            [head[0], head[1], head[2]] = [1, kind, 0];
            if kind == 0 {
                head[6..8].copy_from_slice(&seq.to_be_bytes());
                [head[11], head[12], head[13]] = [of, number, head[13] % 64];
            } else {
                head[6] %= 16;
            }
        }
        let Some(Packet { source, body }) = parse(&bytes) else { return Ok(()) };
        let (len, made) = match body {
            Body::Data(data) => (bytes.len(), super::data(source, &data)),
            Body::Ping(ping) => (26, super::ping(source, &ping)),
            Body::Pong(_) => (26, pong(source, &bytes)),
            Body::Probe(probe) => (9, super::probe(source, &probe, 9)),
            Body::ProbeReply(_) => (9, probe_reply(source, &bytes)),
        };
        prop_assert_eq!(plain(&made).len(), len);
        prop_assert_eq!(parse(plain(&made)), parse(&bytes));
    }
}
