//! Frames captured from Corosync 3.1.7-1+deb12u2 (little-endian), decoded, and encoded to the same bytes.
//!
//! Only the bytes of `target_nodeid` (offset 9) may differ: Corosync leaves uninitialised bytes there, while this
//! project writes 0 and ignores the field.

use annulus::ids::{Endian, Guarantee, NodeId, RingId, Seq};
use annulus::totem::wire::pack::{Group, Packet, groups, write_head};
use annulus::totem::wire::{
    self, CommitEntry, CommitToken, Encapsulated, Frame, HoldCancel, Join, LittleEndian, Mcast, MergeDetect,
    Missing, Token,
};
use bytes::Bytes;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn id(node: u32) -> NodeId {
    NodeId::new(node).unwrap()
}

fn ring(rep: u32, seq: u64) -> RingId {
    RingId { rep: id(rep), seq }
}

fn parse(capture: &[u8]) -> Frame<'_> {
    let (frame, order) = wire::parse(capture).expect("a real frame");
    assert_eq!(order, Endian::Little);
    frame
}

/// The capture with the uninitialised bytes in `target_nodeid` cleared.
fn without_target(capture: &[u8]) -> Vec<u8> {
    let mut clean = capture.to_vec();
    clean[9..13].fill(0);
    clean
}

const JOIN: &str = "70c00303000100000000000000 01000000 02000000 00000000 0500000000000000 01000000 02000000";

/// Node 1, alone on ring 1.5, has heard node 2.
#[test]
fn a_join_message() {
    let capture = bytes(JOIN);
    let join = Join { from: id(1), leave: false, ring_seq: 5, proc: vec![id(1), id(2)], failed: vec![] };
    assert_eq!(parse(&capture), Frame::Join(join.clone()));
    assert_eq!(&join.encode::<LittleEndian>()[..], capture);
}

/// Node 3 leaves ring 1.d: it is the last in the failed list, and node 0 in the header.
#[test]
fn a_join_message_that_announces_a_leave() {
    let capture = bytes(
        "70c00303000000000000000000 03000000 02000000 01000000 0d00000000000000 01000000 02000000 03000000",
    );
    let leave =
        Join { from: id(3), leave: true, ring_seq: 13, proc: vec![id(1), id(2)], failed: vec![id(3)] };
    assert_eq!(parse(&capture), Frame::Join(leave.clone()));
    assert_eq!(&leave.encode::<LittleEndian>()[..], capture);
}

/// The commit token of ring 1.9 after its first rotation.
#[test]
fn a_commit_token() {
    let capture = bytes(
        "70c00304000200000000000000 02000000 01000000 0900000000000000 00000000 02000000 02000000
         01000000 02000000
         01000000 0500000000000000 08000000 08000000 01000000
         02000000 0100000000000000 00000000 00000000 01000000",
    );
    let entry = |ring, aru| CommitEntry { ring, aru: Seq(aru), high_delivered: Seq(aru), received_all: true };
    let token = CommitToken {
        from: id(2),
        token_seq: 2,
        ring: ring(1, 9),
        filled: 2,
        members: vec![(id(1), Some(entry(ring(1, 5), 8))), (id(2), Some(entry(ring(2, 1), 0)))],
    };
    assert_eq!(parse(&capture), Frame::Commit(token.clone()));
    assert_eq!(&token.encode::<LittleEndian>()[..], capture);
}

/// The first token of ring 1.9, with uninitialised bytes in `target_nodeid`.
#[test]
fn a_first_token() {
    let capture = bytes(
        "70c00300000100000000000002 00000000 00000000 ffffffff 01000000 01000000 0900000000000000
         00000000 00000000 00000000 00000000",
    );
    let token = Token {
        from: id(1),
        seq: Seq(0),
        token_seq: Seq(0),
        aru: Seq(u32::MAX),
        aru_by: Some(id(1)),
        ring: ring(1, 9),
        backlog: 0,
        fcc: 0,
        retransmitting: false,
        missing: vec![],
    };
    assert_eq!(parse(&capture), Frame::Token(token.clone()));
    assert_eq!(&token.encode::<LittleEndian>()[..], without_target(&capture));
}

/// A token after one frame was sent.
#[test]
fn a_token_after_one_frame() {
    let capture = bytes(
        "70c00300000100000000000001 16000000 8e020000 16000000 00000000 01000000 0d00000000000000
         01000000 01000000 00000000 00000000",
    );
    let Frame::Token(token) = parse(&capture) else { panic!("not a token") };
    assert_eq!((token.seq, token.token_seq, token.aru, token.aru_by), (Seq(22), Seq(654), Seq(22), None));
    assert_eq!((token.backlog, token.fcc, token.ring), (1, 1, ring(1, 13)));
    assert_eq!(&token.encode::<LittleEndian>()[..], without_target(&capture));
}

/// A token with requests for two frames.
#[test]
fn a_token_with_requests() {
    let capture = bytes(
        "70c00300000300000000000000 0e000000 23000000 0a000000 03000000 01000000 5000000000000000
         00000000 00000000 00000000 02000000
         01000000 5000000000000000 0b000000 01000000 5000000000000000 0d000000",
    );
    let Frame::Token(token) = parse(&capture) else { panic!("not a token") };
    let missing = [11, 13].map(|seq| Missing { ring: ring(1, 80), seq: Seq(seq) });
    assert_eq!(token.missing, missing);
    assert_eq!((token.aru, token.aru_by), (Seq(10), Some(id(3))));
    assert_eq!(&token.encode::<LittleEndian>()[..], capture);
}

/// A data frame with one message of votequorum.
#[test]
fn a_data_frame() {
    let capture = bytes(
        "70c00301020100000000000000 01000000 16000000 16000000 01000000 0d00000000000000 00000000 00000000
         00000000 00 00 0100 2500 0100 0100 61
         01000500 0a7f0000 20000000 03000000 01000000 03000000 01000000 fc7f0000",
    );
    assert_eq!(capture.len(), 92);
    let Frame::Mcast(mcast) = parse(&capture) else { panic!("not data") };
    let expected = Mcast {
        encapsulated: Encapsulated::Plain,
        from: id(1),
        system_from: id(1),
        seq: Seq(22),
        counter: 22,
        ring: ring(1, 13),
        guarantee: Guarantee::Agreed,
        payload: &capture[45..],
    };
    assert_eq!(mcast, expected);
    assert_eq!(&mcast.encode::<LittleEndian>()[..], capture);

    let packet = Packet::parse(Bytes::copy_from_slice(mcast.payload), Endian::Little).unwrap();
    let pieces: Vec<Bytes> = packet.pieces().collect();
    assert_eq!((packet.fragmented, packet.continuation, pieces.len()), (0, 0, 1));
    let (named, at) = groups(&pieces[0], Endian::Little).unwrap();
    assert_eq!((named.app, named.sync), (true, false));
    assert_eq!(pieces[0][..at], *Group::App.header());
    assert_eq!(pieces[0].len() - at, 32, "service header and body");
}

/// Three messages in one frame, the last of which is the barrier of the synchronisation.
#[test]
fn a_packed_data_frame() {
    let message = "0100010061 0000050000000000 2000000000000000 01000000 01000000 03000000 08000000";
    let second = "0100010061 0000050000000000 2000000000000000 00000000 00000000 00000000 00000000";
    let barrier = "0100040073796e63 0000000000000000 2000000000000000 01000000 0500000000000000 00000000";
    let head = "70c00301020100000000000000 01000000 08000000 07000000 01000000 0500000000000000 00000000
                00000000 00000000 00 00 0300 2500 2500 2800";
    let capture = bytes(&[head, message, second, barrier].concat());
    assert_eq!(capture.len(), 173);
    let Frame::Mcast(mcast) = parse(&capture) else { panic!("not data") };
    assert_eq!(&mcast.encode::<LittleEndian>()[..], capture);
    let packet = Packet::parse(Bytes::copy_from_slice(mcast.payload), Endian::Little).unwrap();
    let pieces: Vec<Bytes> = packet.pieces().collect();
    assert_eq!(pieces, [bytes(message), bytes(second), bytes(barrier)]);
    let named: Vec<bool> = pieces.iter().map(|piece| groups(piece, Endian::Little).unwrap().0.sync).collect();
    assert_eq!(named, [false, false, true]);
    let mut again = Vec::new();
    write_head(&mut again, 0, 0, &[37, 37, 40]);
    assert_eq!(again, mcast.payload[..14], "the packet's head, written");
}

/// The heads of the two packets of a message of 1573 bytes.
#[test]
fn fragments_continue_each_other() {
    let head = |head: &str, length: usize| {
        let mut payload = bytes(head);
        payload.resize(payload.len() + length, 0);
        Packet::parse(payload.into(), Endian::Little).expect("a whole packet")
    };
    let first = head("00000000 01 00 0100 7805", 1400);
    let second = head("00000000 00 01 0100 ad00", 173);
    assert_eq!((first.fragmented, first.continuation), (1, 0));
    assert_eq!((second.fragmented, second.continuation), (0, 1));
}

/// The two small frames. A hold cancel contains only its sender and the ring.
#[test]
fn merge_detect_and_hold_cancel() {
    let merge = bytes("70c003020001000000 7ad77c7b 01000000 01000000 0d00000000000000");
    let probe = MergeDetect { from: id(1), ring: ring(1, 13) };
    assert_eq!(parse(&merge), Frame::MergeDetect(probe));
    assert_eq!(&probe.encode::<LittleEndian>()[..], without_target(&merge));

    let hold = bytes("70c003050002000000 00000000 01000000 0d00000000000000");
    let cancel = HoldCancel { from: id(2), ring: ring(1, 13) };
    assert_eq!(parse(&hold), Frame::HoldCancel(cancel));
    assert_eq!(&cancel.encode::<LittleEndian>()[..], hold);
}

/// Node 1 sends an old frame of node 2 again, wrapped for ring 1.64.
#[test]
fn a_recovery_frame() {
    let mut capture = bytes(
        "70c00301010100000000000000 01000000 04000000 43000000 01000000 6400000000000000 00000000 00000000
         70c00301020200000000000000 02000000 bc000000 b1000000 01000000 6000000000000000 00000000 00000000
         00000000 00 02 0100 e100",
    );
    capture.resize(325, 0x5a);
    let Frame::Mcast(outer) = parse(&capture) else { panic!("not data") };
    assert_eq!((outer.encapsulated, outer.from, outer.seq), (Encapsulated::Recovery, id(1), Seq(4)));
    assert_eq!((outer.ring, outer.counter), (ring(1, 100), 67));
    assert_eq!(&outer.encode::<LittleEndian>()[..], capture);
    let Frame::Mcast(inner) = parse(outer.payload) else { panic!("not data") };
    assert_eq!((inner.encapsulated, inner.from, inner.seq), (Encapsulated::Plain, id(2), Seq(188)));
    assert_eq!(inner.ring, ring(1, 96));
    let packet = Packet::parse(Bytes::copy_from_slice(inner.payload), Endian::Little).expect("exact lengths");
    assert_eq!(packet.continuation, 2);
}
