//! Links that are interrupted in one or both directions, flap, lose packets or become narrower.

use super::*;

#[test]
fn passive_changes_the_link_within_the_time_out_when_it_is_cut() {
    // The cut happens at various times between two pings, on new and old links.
    for after in [0, 100, 300, 500, 740, 12_000] {
        let mut net = Net::up(2, 2, LinkMode::Passive);
        net.run(MS * after);
        assert!(net.stream(MS * 100, MS, 1000) < MS * 3);
        net.cut(1, 2, 0);
        let silence = net.stream(MS * 6000, MS, 1000);
        assert!(silence <= TIMEOUT * 2, "{silence:?}");
        assert!(silence <= TIMEOUT, "the doubt about a ping decides sooner: {silence:?}");
        assert_eq!(net.told(&Event::LinkDown(path(2, 0), Cause::Silence)).len(), 1);
        assert!(net.told(&Event::Host(id(2), false)).is_empty());
        net.heal();
        assert!(net.stream(MS * 4000, MS, 1000) < MS * 3, "nothing is lost when it heals");
        net.sent.clear();
        net.stream(MS * 10, MS, 1000);
        assert!(net.sent.iter().filter(|sent| sent.2 == PacketKind::Data).all(|sent| sent.1.link == 0));
        net.cut(1, 2, 1);
        assert!(net.stream(MS * 6000, MS, 1000) < MS * 3, "the other link carried nothing");
    }
}

#[test]
fn active_loses_nothing_when_a_link_is_cut() {
    let mut net = Net::up(2, 2, LinkMode::Active);
    for link in [0, 1] {
        net.cut(1, 2, link);
        assert!(net.stream(MS * 4000, MS, 3000) < MS * 3);
        net.heal();
        assert!(net.stream(MS * 6000, MS, 3000) < MS * 3);
    }
    let numbers: Vec<_> = net.got[1].iter().map(|got| got.number).collect();
    assert!(numbers.iter().copied().eq(1..=20_000), "each once and in order: {}", numbers.len());
}

#[test]
fn both_ends_notice_a_one_way_cut() {
    for (from, to) in [(1, 2), (2, 1)] {
        let mut net = Net::up(2, 2, LinkMode::Passive);
        net.cuts.insert((from, to, 0));
        let silence = net.stream(MS * 5000, MS, 1000);
        assert!(silence <= TIMEOUT * 2, "{silence:?}");
        assert_eq!(net.told(&Event::LinkDown(path(2, 0), Cause::Silence)).len(), 1);
        assert_eq!(net.told(&Event::LinkDown(path(1, 0), Cause::Silence)).len(), 1);
        let mut alone = Net::up(2, 1, LinkMode::Passive);
        alone.cuts.insert((from, to, 0));
        alone.run(MS * 5000);
        assert!(!alone.engine(1).reaches(id(2)) && !alone.engine(2).reaches(id(1)));
    }
}

#[test]
fn the_link_with_the_highest_priority_is_used_again_when_it_returns() {
    let mut net = Net::with(2, |me| {
        let mut settings = settings(me, 2, 2, LinkMode::Passive);
        settings.links[1].as_mut().unwrap().priority = 5;
        settings
    });
    net.settle();
    let link = |net: &mut Net| {
        net.sent.clear();
        net.send(1, Destination::All, 1, 100);
        net.sent.iter().find(|sent| sent.2 == PacketKind::Data).unwrap().1.link
    };
    assert_eq!(link(&mut net), 1);
    net.cut(1, 2, 1);
    net.run(MS * 4000);
    assert_eq!(link(&mut net), 0);
    net.heal();
    net.run(MS * 4000);
    assert_eq!(link(&mut net), 1);
}

#[test]
fn a_path_that_silently_becomes_narrower_stops_messages_only_briefly() {
    let mut net = Net::up(2, 1, LinkMode::Passive);
    net.stream(MS * 2000, MS * 2, 5000);
    net.mtu[0].1 = 1400;
    let silence = net.stream(MS * 15_000, MS * 2, 5000);
    assert!(silence < TIMEOUT * 2, "{silence:?}");
    assert_eq!(net.engine(1).fragment_size(), AES.fragment(1372));
    assert!(net.told(&Event::LinkDown(path(2, 0), Cause::Silence)).is_empty());
    net.mtu[0] = (1300, 1300);
    let silence = net.stream(MS * 15_000, MS * 2, 5000);
    assert!(silence < MS * 5, "the interface says so itself: {silence:?}");
    net.mtu[0] = (9000, 9000);
    net.stream(MS * 35_000, MS * 10, 5000);
    assert_eq!(net.engine(1).fragment_size(), 8885);
}

#[test]
fn the_narrowest_link_that_is_up_decides_the_fragment_size() {
    let mut net = Net::new(3, 2, LinkMode::Passive);
    net.mtu[0] = (9000, 9000);
    net.settle();
    assert_eq!(net.engine(1).fragment_size(), 1397);
    net.cut(1, 2, 1);
    net.cut(1, 3, 1);
    net.run(MS * 4000);
    assert_eq!(net.engine(1).fragment_size(), 8885);
    assert_eq!(net.engine(2).fragment_size(), 1397, "it still has link 1 to host 3");
}

#[test]
fn a_link_that_carries_nothing_large_is_used_if_there_is_no_other() {
    let mut net = Net::new(2, 2, LinkMode::Passive);
    net.mtu[0].1 = 300;
    net.settle();
    net.run(MS * 3000);
    assert!(net.engine(1).links()[0].connected);
    net.sent.clear();
    net.stream(MS * 10, MS, 1000);
    assert!(net.sent.iter().filter(|sent| sent.2 == PacketKind::Data).all(|sent| sent.1.link == 1));
    net.cut(1, 2, 1);
    net.run(MS * 4000);
    assert!(net.engine(1).reaches(id(2)));
    net.send(1, Destination::All, 7, 40);
    net.run(MS);
    assert_eq!(net.got[1].last().map(|got| got.number), Some(7), "small messages pass");
}

#[test]
fn a_link_that_keeps_going_down_stays_unused_for_longer() {
    let mut net = Net::up(2, 2, LinkMode::Passive);
    for _ in 0..60 {
        net.cut(1, 2, 0);
        net.run(MS * 2500);
        net.heal();
        net.run(MS * 2500);
    }
    let falls = net.told(&Event::LinkDown(path(2, 0), Cause::Silence)).len();
    assert!(falls < 12, "in five minutes: {falls}");
    net.run(MS * 20_000);
    assert!(net.engine(1).links()[0].connected, "it comes back once it is steady");
}

#[test]
fn an_interface_that_vanishes_and_returns_costs_no_time() {
    let mut net = Net::up(2, 2, LinkMode::Passive);
    let now = net.now;
    net.engine(1).set_interface(now, 0, false);
    net.pump(1);
    assert_eq!(net.told(&Event::LinkDown(path(2, 0), Cause::Interface)).len(), 1);
    net.sent.clear();
    net.stream(MS * 5000, MS * 10, 100);
    assert!(
        net.sent.iter().all(|&(from, path, kind, _)| from != 1 || path.link == 1 || kind == PacketKind::Pong)
    );
    let now = net.now;
    net.engine(1).set_interface(now, 0, true);
    net.run(MS * 2000);
    assert!(net.engine(1).links()[0].connected);
}

#[test]
fn links_that_lose_packets_stay_up() {
    let mut net = Net::up(3, 2, LinkMode::Passive);
    net.loss = 50;
    net.run(MS * 120_000);
    let falls = net.events.iter().filter(|(.., event)| matches!(event, Event::LinkDown(..))).count();
    assert!(falls <= 4, "twelve ends, two minutes, one packet of twenty lost: {falls}");
}

#[test]
fn links_recover_from_any_fault() {
    for seed in 1..=60 {
        let mut net = Net::new(
            3,
            1 + (seed % 3) as u8,
            [LinkMode::Passive, LinkMode::Active, LinkMode::RoundRobin][(seed / 3 % 3) as usize],
        );
        net.seed = seed;
        net.loss = net.random(100);
        for number in 0..80 {
            let (one, other) = (1 + net.random(3) as u32, 1 + net.random(3) as u32);
            let link = net.random(3) as u8;
            match net.random(8) {
                0 => net.cut(one, other, link),
                1 => _ = net.cuts.insert((one, other, link)),
                2 => net.heal(),
                3 => {
                    net.mtu[usize::from(link)] =
                        ([1500, 9000, 1300][net.random(3) as usize], 600 + net.random(9000) as usize);
                }
                4 => {
                    let (now, up) = (net.now, net.random(2) == 0);
                    net.engine(one).set_interface(now, link, up);
                }
                _ => {
                    let len = 17 + net.random(20_000) as usize;
                    net.send(one, Destination::All, number, len);
                }
            }
            let time = net.random(2000) as u32;
            net.run(MS * time);
        }
        net.heal();
        net.loss = 0;
        net.mtu = [(1500, 1500); LINKS];
        for host in 1..=3 {
            for link in 0..3 {
                let now = net.now;
                net.engine(host).set_interface(now, link, true);
            }
        }
        net.run(MS * 65_000);
        for engine in &net.engines {
            assert!(engine.links().iter().all(|link| link.connected), "seed {seed}");
            assert_eq!(engine.fragment_size(), 1397, "seed {seed}");
        }
        for got in &mut net.got {
            got.clear();
        }
        net.send(1, Destination::All, 1000, 30_000);
        net.run(MS * 10);
        assert_eq!((net.got[1].len(), net.got[2].len()), (1, 1), "seed {seed}");
        let seconds = net.now.as_micros() / 1_000_000;
        assert!(net.wakes < seconds * 200, "seed {seed}: {} wakes in {seconds} s", net.wakes);
    }
}

#[test]
fn a_suspended_host_takes_no_link_down() {
    let mut net = Net::up(2, 2, LinkMode::Passive);
    // The driver does not call the engine, and received packets wait in its sockets.
    let asleep = MS * 6000;
    net.now = net.now + asleep;
    let now = net.now;
    for host in 1..=2 {
        net.engine(host).handle_timeout(now);
        net.pump(host);
    }
    net.run(MS * 5000);
    assert!(net.events.is_empty(), "{:?}", net.events);
}
