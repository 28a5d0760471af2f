use proptest::prelude::*;

use super::super::outbound::Outbound;
use super::super::settings::{Compression, Settings};
use super::super::sizes::{MESSAGE, ROOM};
use super::super::wire::{self, Body};
use super::*;
use crate::ids::Destination;

fn node(id: u32) -> NodeId {
    NodeId::new(id).unwrap()
}

fn settings(me: u32, compression: Compression) -> Settings {
    Settings { compression, ..Settings::bare(node(me)) }
}

/// A totem header of node 1 without destination, then bytes that depend on their position.
fn message(len: usize) -> Vec<u8> {
    let head = [0x70, 0xc0, 3, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    head.into_iter()
        .chain((0..len.saturating_sub(13)).map(|i| (7 * (i + 13) + (i + 13) / 256) as u8))
        .collect()
}

/// The message with its destination, as it arrives.
fn to_node(message: &[u8], node: u8) -> Vec<u8> {
    let mut message = message.to_vec();
    message[9] = node;
    message
}

struct Cut {
    packets: Vec<Vec<u8>>,
    forced_ping: Option<u16>,
}

struct Sender(Outbound, HandleStats);

impl Sender {
    fn new(compression: Compression) -> Self {
        Self(Outbound::new(&settings(1, compression)), HandleStats::default())
    }

    fn cut(&mut self, to: Destination, message: &[u8], size: usize) -> Cut {
        let mut packets = Vec::new();
        let progress = self.0.cut(to, message, size, &mut packets, &mut self.1);
        Cut { packets, forced_ping: progress.then_some(self.0.last()) }
    }

    fn all(&mut self, message: &[u8]) -> Vec<Vec<u8>> {
        self.cut(Destination::All, message, 1446).packets
    }
}

fn data(packet: &[u8]) -> Data<'_> {
    match wire::parse(&packet[ROOM..]).unwrap().body {
        Body::Data(data) => data,
        other => panic!("{other:?}"),
    }
}

struct Receiver(Inbound, u32, HandleStats);

impl Receiver {
    fn new(me: u32) -> Self {
        Self(Inbound::new(), me, HandleStats::default())
    }

    fn take(&mut self, packet: &[u8]) -> Result<Option<Vec<u8>>, DropReason> {
        let arrival = self.0.data(node(self.1), &data(packet), &mut self.2)?;
        Ok(arrival.map(|arrival| match arrival {
            Arrival::Whole(message) => message.to_vec(),
            Arrival::Assembled(message) => message.to_vec(),
        }))
    }
}

/// The packets of the captured examples: 40 bytes to all nodes, then 3000 bytes to node 2.
#[test]
fn packets_of_a_message_are_those_of_libknet() {
    let mut sender = Sender::new(Compression::None);
    assert_eq!(sender.0.last(), 0);
    let packets = sender.cut(Destination::All, &message(40), 1446).packets;
    let head =
        [1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0x70, 0xc0, 3, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x5b, 0x62];
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].len(), ROOM + 54);
    assert_eq!(packets[0][ROOM..][..29], head);
    assert_eq!(packets[0][ROOM..][52..], [0x0a, 0x11]);

    let packets = sender.cut(Destination::Node(node(2)), &message(3000), 1446).packets;
    let lens: Vec<usize> = packets.iter().map(|packet| packet.len() - ROOM).collect();
    assert_eq!(lens, [1460, 1460, 122]);
    let heads: Vec<&[u8]> = packets.iter().map(|packet| &packet[ROOM + 6..][..12]).collect();
    assert_eq!(heads[0], [0, 2, 0, 0, 0, 3, 1, 0, 0x70, 0xc0, 3, 1]);
    assert_eq!(heads[1], [0, 2, 0, 0, 0, 3, 2, 0, 0x8f, 0x96, 0x9d, 0xa4]);
    assert_eq!(heads[2], [0, 2, 0, 0, 0, 3, 3, 0, 0x1f, 0x26, 0x2d, 0x34]);
    assert_eq!(packets[0][ROOM + 14 + 9..][..6], [2, 0, 0, 0, 0x5b, 0x62]);
    assert_eq!(sender.0.last(), 2);
}

#[test]
fn a_message_in_one_packet_is_not_copied() {
    let mut sender = Sender::new(Compression::None);
    let packets = sender.all(&message(1000));
    let packet = data(&packets[0]);
    let mut receiver = Inbound::new();
    let arrival = receiver.data(node(2), &packet, &mut HandleStats::default()).unwrap().unwrap();
    let Arrival::Whole(found) = arrival else { panic!("{arrival:?}") };
    assert_eq!(found.as_ptr(), packet.payload.as_ptr());
    assert_eq!(found, message(1000));
}

#[test]
fn a_message_arrives_once() {
    let mut sender = Sender::new(Compression::None);
    let mut receiver = Receiver::new(2);
    let (short, long) = (sender.all(&message(500)), sender.all(&message(4000)));
    assert_eq!(receiver.take(&short[0]), Ok(Some(message(500))));
    assert_eq!(receiver.take(&short[0]), Err(DropReason::Duplicate));
    assert_eq!(receiver.take(&long[2]), Ok(None));
    assert_eq!(receiver.take(&long[0]), Ok(None));
    assert_eq!(receiver.take(&long[0]), Err(DropReason::Duplicate));
    assert_eq!(receiver.take(&long[1]), Ok(Some(message(4000))));
    for packet in &long {
        assert_eq!(receiver.take(packet), Err(DropReason::Duplicate));
    }
}

#[test]
fn a_message_for_another_node_or_channel_is_dropped() {
    for compression in [Compression::None, Compression::Zlib] {
        let mut sender = Sender::new(compression);
        let mut receiver = Receiver::new(2);
        for (to, expected) in [(2, Ok(Some(to_node(&message(200), 2)))), (3, Err(DropReason::NotForUs))] {
            let cut = sender.cut(Destination::Node(node(to)), &message(200), 1446);
            assert_eq!(receiver.take(&cut.packets[0]), expected);
        }
        let mut packets = sender.all(&message(200));
        packets[0][ROOM + 13] = 1;
        assert_eq!(receiver.take(&packets[0]), Err(DropReason::NotForUs));
        packets[0][ROOM + 13] = 0;
        assert_eq!(receiver.take(&packets[0]), Ok(Some(message(200))));
    }
}

#[test]
fn a_message_too_short_for_its_header_is_malformed() {
    let mut sender = Sender::new(Compression::None);
    let packets = sender.all(&message(13));
    let mut receiver = Receiver::new(2);
    assert_eq!(receiver.take(&packets[0][..packets[0].len() - 1]), Err(DropReason::Malformed));
    let packets = sender.all(&message(13));
    assert_eq!(receiver.take(&packets[0]), Ok(Some(message(13))));
}

#[test]
fn an_unsupported_compression_is_refused_before_anything_is_stored() {
    let mut sender = Sender::new(Compression::None);
    let mut receiver = Receiver::new(2);
    for model in [4, 5, 6, 8, 255] {
        let mut packets = sender.all(&message(4000));
        for packet in &mut packets {
            packet[ROOM + 8] = model;
            assert_eq!(receiver.take(packet), Err(DropReason::Compression));
        }
    }
    assert_eq!(receiver.0.assemblies.memory(), 0);
}

#[test]
fn a_compressed_message_may_come_in_fragments() {
    let noise: Vec<u8> = (0..3000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let long = [message(2000), noise, message(2000)].concat();
    for compression in [Compression::Zlib, Compression::Lz4, Compression::Lz4Hc, Compression::Zstd] {
        let mut sender = Sender::new(compression);
        let mut receiver = Receiver::new(2);
        let packets = sender.cut(Destination::Node(node(2)), &long, 482).packets;
        assert!((2..14).contains(&packets.len()));
        let (last, others) = packets.split_last().unwrap();
        for packet in others {
            assert_eq!(receiver.take(packet), Ok(None));
        }
        assert_eq!(receiver.take(last), Ok(Some(to_node(&long, 2))));
        assert_eq!(receiver.2.rx_compressed_packets, 1);
    }
}

#[test]
fn a_restarted_host_is_accepted_after_its_ping_with_0() {
    let mut receiver = Receiver::new(2);
    let mut before = Sender::new(Compression::None);
    let long = before.all(&message(4000));
    for _ in 0..100 {
        assert!(receiver.take(&before.all(&message(100))[0]).is_ok());
    }
    receiver.0.ping(before.0.last(), true);
    receiver.take(&before.all(&message(4000))[1]).unwrap();

    let mut after = Sender::new(Compression::None);
    receiver.0.ping(after.0.last(), true);
    assert_eq!(receiver.0.assemblies.memory(), 0);
    let anew = after.all(&message(4000));
    assert_eq!(anew[0][ROOM..][..14], long[0][ROOM..][..14]);
    for (packet, expected) in anew.iter().zip([Ok(None), Ok(None), Ok(Some(message(4000)))]) {
        assert_eq!(receiver.take(packet), expected);
    }
}

#[test]
fn all_state_is_reset_when_the_last_link_goes_down() {
    let mut receiver = Receiver::new(2);
    let mut sender = Sender::new(Compression::None);
    let (short, long) = (sender.all(&message(100)), sender.all(&message(4000)));
    assert!(receiver.take(&short[0]).is_ok());
    assert!(receiver.take(&long[0]).is_ok());
    receiver.0.wipe();
    assert_eq!(receiver.0.assemblies.memory(), 0);
    assert_eq!(receiver.take(&short[0]), Ok(Some(message(100))));
}

#[test]
fn a_ping_is_due_before_every_8191st_message() {
    let mut sender = Sender::new(Compression::None);
    for count in 1..=8192_u16 {
        let cut = sender.cut(Destination::All, &message(13), 1446);
        assert_eq!(cut.forced_ping, (count == 8191).then_some(8191));
    }
}

/// More fragments than the wire format can number would mean a message lost at every receiver.
#[test]
fn a_message_has_no_more_fragments_than_the_wire_can_number() {
    let mut sender = Sender::new(Compression::None);
    for size in [0, 1, 100, 258, 259, 260] {
        let mut receiver = Receiver::new(2);
        let packets = sender.cut(Destination::All, &message(MESSAGE), size).packets;
        assert!(packets.len() <= 254, "{size}");
        let (last, others) = packets.split_last().unwrap();
        for packet in others {
            assert_eq!(receiver.take(packet), Ok(None));
        }
        assert_eq!(receiver.take(last), Ok(Some(message(MESSAGE))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Messages over a network that loses, duplicates and reorders packets: each is delivered unchanged and
    /// at most once, and each that lost no packet is delivered.
    #[test]
    fn messages_are_delivered_unchanged_at_most_once(
        lens in proptest::collection::vec((13..9000_usize, 300..2000_usize), 1..20),
        compression in prop::sample::select(
            vec![Compression::None, Compression::Zlib, Compression::Lz4, Compression::Zstd]),
        seed in any::<u64>(),
    ) {
        let mut random = seed | 1;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        let mut sender = Sender::new(compression);
        let mut wire: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut lost = vec![false; lens.len()];
        let messages: Vec<Vec<u8>> =
            lens.iter().enumerate().map(|(n, (len, _))| [&message(*len)[..], &[n as u8]].concat()).collect();
        for (number, (_, size)) in lens.iter().enumerate() {
            for packet in sender.cut(Destination::All, &messages[number], *size).packets {
                match next(20) {
                    0 => lost[number] = true,
                    1 | 2 => wire.extend([(number, packet.clone()), (number, packet)]),
                    _ => wire.push((number, packet)),
                }
            }
        }
        for at in (1..wire.len()).rev() {
            wire.swap(at, next(at + 1));
        }
        let mut receiver = Receiver::new(2);
        let mut came = vec![0; lens.len()];
        for (number, packet) in &wire {
            if let Ok(Some(found)) = receiver.take(packet) {
                prop_assert_eq!(&found, &messages[*number]);
                came[*number] += 1;
            }
        }
        for number in 0..lens.len() {
            prop_assert_eq!(came[number], usize::from(!lost[number]));
        }
    }
}
