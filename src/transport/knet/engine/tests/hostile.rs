//! Forged, replayed, mutated and excessive packets and reports.

use super::super::super::link::stamp;
use super::*;

fn ping(from: u32, link: u8, stamp: [u8; 16]) -> Vec<u8> {
    wire::ping(id(from), &wire::Ping { link, stamp, seq: 0, timed: true }).split_off(Burst::ROOM)
}

fn pong(from: u32, link: u8, stamp: [u8; 16]) -> Vec<u8> {
    wire::pong(id(from), &ping(from, link, stamp)).split_off(Burst::ROOM)
}

/// Passes a packet to host 1.
fn give(net: &mut Net, link: u8, from: IpAddr, packet: &[u8]) -> Result<(), DropReason> {
    let now = net.now;
    net.engine(1).receive(now, link, from, packet).map(|_| ())
}

#[test]
fn a_control_packet_is_answered_only_if_source_link_and_address_fit() {
    let mut net = Net::up(2, 2, LinkMode::Passive);
    let refused = [
        (0, address(3, 0), ping(2, 0, [1; 16])),
        (0, address(2, 1), ping(2, 0, [1; 16])),
        (1, address(2, 1), ping(2, 0, [1; 16])),
        (0, address(2, 0), ping(2, 1, [1; 16])),
        (0, address(2, 0), ping(2, 5, [1; 16])),
        (5, address(2, 0), ping(2, 5, [1; 16])),
        (0, address(2, 0), ping(9, 0, [1; 16])),
        (0, address(1, 0), ping(1, 0, [1; 16])),
    ];
    for (link, from, packet) in &refused {
        assert_eq!(
            give(&mut net, *link, *from, packet),
            Err(DropReason::Foreign),
            "{link} {from} {packet:?}"
        );
    }
    assert_eq!(net.engine(1).poll_output(), None);
    assert_eq!(net.engine(1).drops().of(DropReason::Foreign), refused.len() as u64);
    assert_eq!(give(&mut net, 0, address(2, 0), &ping(2, 0, [1; 16])), Ok(()));
    let Some(Output::Send(burst)) = net.engine(1).poll_output() else { panic!("no pong") };
    assert_eq!((burst.kind, &burst.to[..]), (PacketKind::Pong, &[path(2, 0)][..]));
    assert_eq!(burst.packets[0][Burst::ROOM..], pong(1, 0, [1; 16]));
}

#[test]
fn without_access_lists_any_address_may_ask_but_the_configured_one_gets_the_answer() {
    let mut net =
        Net::with(2, |me| Settings { block_unlisted: false, ..settings(me, 2, 1, LinkMode::Passive) });
    net.settle();
    assert_eq!(give(&mut net, 0, address(77, 0), &ping(2, 0, [1; 16])), Ok(()));
    let Some(Output::Send(burst)) = net.engine(1).poll_output() else { panic!("no pong") };
    assert_eq!(burst.to, [path(2, 0)]);
}

#[test]
fn data_is_accepted_only_from_an_address_that_answered_pings() {
    let mut net = Net::up(3, 2, LinkMode::Passive);
    let now = net.now;
    net.engine(2).send(now, Destination::All, &message(Destination::All, 1, 100));
    let Some(Output::Send(burst)) = net.engine(2).poll_output() else { panic!("nothing was sent") };
    let packet = burst.packets[0][Burst::ROOM..].to_vec();
    assert_eq!(give(&mut net, 0, address(3, 0), &packet), Err(DropReason::Foreign));
    net.cut(1, 2, 0);
    net.cut(1, 2, 1);
    net.run(MS * 5000);
    assert_eq!(give(&mut net, 0, address(2, 0), &packet), Err(DropReason::Unreachable));
    net.heal();
    net.run(MS * 800);
    assert!(!net.engine(1).reaches(id(2)), "one pong is not enough to send to it");
    assert_eq!(give(&mut net, 0, address(2, 0), &packet), Ok(()), "but to listen");
}

#[test]
fn forged_and_recorded_pongs_bring_no_link_up_and_keep_none_up() {
    let mut net = Net::new(2, 1, LinkMode::Passive);
    net.cut(1, 2, 0);
    net.run(MS * 100);
    for count in 0..100_u64 {
        let now = net.now;
        let earlier_life = stamp(1 + count, path(2, 0), now);
        for stamp in [[count as u8; 16], earlier_life, stamp(78, path(2, 1), now)] {
            assert_eq!(give(&mut net, 0, address(2, 0), &pong(2, 0, stamp)), Ok(()));
        }
        net.run(MS * 10);
    }
    assert!(net.events.is_empty(), "{:?}", net.events);
    net.heal();
    net.settle();
    let recorded: Vec<_> = (0..5)
        .map(|_| {
            net.run(MS * 750);
            stamp(78, path(2, 0), net.now)
        })
        .collect();
    net.cut(1, 2, 0);
    for _ in 0..300 {
        net.run(MS * 10);
        for &stamp in &recorded {
            assert_eq!(give(&mut net, 0, address(2, 0), &pong(2, 0, stamp)), Ok(()));
        }
    }
    assert_eq!(net.told(&Event::LinkDown(path(2, 0), Cause::Silence)).len(), 1);
}

#[test]
fn a_flood_of_control_packets_is_answered_at_a_limited_rate() {
    let mut net = Net::up(2, 1, LinkMode::Passive);
    let probe = wire::probe(id(2), &wire::Probe { link: 0, size: 1500 }, 1400).split_off(Burst::ROOM);
    for count in 0..3000_u32 {
        for _ in 0..20 {
            _ = give(&mut net, 0, address(2, 0), &ping(2, 0, [0; 16]));
            _ = give(&mut net, 0, address(2, 0), &probe);
        }
        net.run(MS);
        assert!(count < 2900 || net.engine(1).drops().of(DropReason::Flood) > 50_000);
    }
    let answers = net.sent.iter().filter(|sent| sent.0 == 1 && sent.2 == PacketKind::Pong).count();
    assert!((1500..2100).contains(&answers), "three seconds: {answers}");
    assert!(net.events.is_empty(), "{:?}", net.events);
}

#[test]
fn endless_icmp_reports_neither_take_down_nor_narrow_a_link() {
    for mode in [LinkMode::Passive, LinkMode::Active, LinkMode::RoundRobin] {
        let mut net = Net::up(2, 2, mode);
        for count in 0..5000 {
            let now = net.now;
            for link in 0..2 {
                net.engine(1).reported(now, path(2, link), Fault::Unreachable);
                net.engine(1).reported(now, path(2, link), Fault::TooLong(Some(68 + count % 1000)));
                net.engine(1).reported(now, path(2, link), Fault::TooLong(None));
            }
            if count % 10 == 0 {
                net.send(1, Destination::All, u32::from(count), 4000);
            }
            net.run(MS);
        }
        assert_eq!(net.got[1].len(), 500);
        assert_eq!(net.engine(1).fragment_size(), 1397);
        assert!(!net.events.iter().any(|(.., event)| matches!(event, Event::LinkDown(..) | Event::Host(..))));
        let control = net.sent.iter().filter(|sent| sent.0 == 1 && sent.2 != PacketKind::Data).count();
        assert!(control < 300, "{control}");
    }
}

#[test]
fn icmp_reports_reveal_early_that_a_host_is_gone() {
    let mut net = Net::up(2, 2, LinkMode::Passive);
    net.cut(1, 2, 0);
    let now = net.now;
    net.engine(1).reported(now, path(2, 0), Fault::Unreachable);
    let silence = net.stream(MS * 1000, MS, 100);
    assert!(silence < MS * 3, "the other link is preferred at once: {silence:?}");
    assert_eq!(net.told(&Event::LinkDown(path(2, 0), Cause::Unreachable)).len(), 1);
}

#[test]
fn false_answers_to_probes_make_no_fragment_larger() {
    let mut net = Net::new(2, 1, LinkMode::Passive);
    net.mtu[0].1 = 1400;
    for count in 0..20_000_u32 {
        for size in [65_532, 9000, 1501, 1500 - (count % 90) as u16] {
            let lie = wire::probe(id(2), &wire::Probe { link: 0, size }, 9).split_off(Burst::ROOM);
            let reply = wire::probe_reply(id(2), &lie).split_off(Burst::ROOM);
            // Only sizes that are not being probed: whoever can answer that probe has the key, or sees clear
            // packets.
            if size > 1500 {
                assert_eq!(give(&mut net, 0, address(2, 0), &reply), Ok(()));
            }
        }
        net.run(MS);
    }
    assert_eq!(net.engine(1).fragment_size(), AES.fragment(1372));
}

#[test]
fn a_host_that_answers_no_probe_is_still_used() {
    let mut net = Net::new(2, 1, LinkMode::Passive);
    for _ in 0..12_000 {
        // From host 1 to host 2, only pings, pongs and data arrive.
        net.flying.retain(|_, flying| flying.packet[1] != 0x83);
        net.run(MS * 10);
        net.flying.retain(|_, flying| flying.packet[1] != 0x83);
    }
    assert!(net.engine(1).reaches(id(2)));
    net.send(1, Destination::All, 1, 10_000);
    net.run(MS * 10);
    assert_eq!(net.got[1].len(), 1);
}

#[test]
fn mutated_packets_neither_panic_nor_change_a_link() {
    let mut net = Net::up(2, 2, LinkMode::Passive);
    let now = net.now;
    let mut originals = vec![ping(2, 0, [3; 16]), pong(2, 0, stamp(78, path(2, 0), now))];
    let probe = wire::probe(id(2), &wire::Probe { link: 0, size: 1500 }, 60).split_off(Burst::ROOM);
    originals.push(wire::probe_reply(id(2), &probe).split_off(Burst::ROOM));
    originals.push(probe);
    net.engine(2).send(now, Destination::All, &message(Destination::All, 1, 3000));
    while let Some(output) = net.engine(2).poll_output() {
        if let Output::Send(burst) = output {
            originals.extend(burst.packets.iter().map(|packet| packet[Burst::ROOM..].to_vec()));
        }
    }
    for count in 0..200_000 {
        let mut packet = originals[count % originals.len()].clone();
        let reach = packet.len().min(30);
        for _ in 0..=net.random(4) {
            let at = net.random(reach as u64) as usize;
            packet[at] = net.random(256) as u8;
        }
        if net.random(4) == 0 {
            let len = net.random(packet.len() as u64) as usize;
            packet.truncate(len);
        }
        let link = net.random(9) as u8;
        _ = give(&mut net, link, address(2, link.min(1)), &packet);
        while net.engine(1).poll_output().is_some() {}
        if count % 100 == 0 {
            net.run(MS);
        }
    }
    assert!(net.engine(1).links().iter().all(|link| link.connected && link.changes == (1, 1)));
}
