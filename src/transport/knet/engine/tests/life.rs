//! How links come up and carry messages.

use super::*;

#[test]
fn links_come_up_after_three_pongs_with_a_known_path_mtu() {
    let mut net = Net::new(2, 1, LinkMode::Passive);
    net.run(MS * 1490);
    assert!(!net.engine(1).reaches(id(2)));
    net.run(MS * 20);
    assert!(net.engine(1).reaches(id(2)) && net.engine(2).reaches(id(1)));
    assert_eq!(net.engine(1).fragment_size(), 1397);
    let up = net.told(&Event::LinkUp(path(2, 0)));
    assert_eq!(up, [(1, Instant::from_micros(1_500_200))]);
    assert_eq!(net.told(&Event::Host(id(2), true)).len(), 1);
    let view = net.engine(1).links().remove(0);
    assert_eq!((view.path, view.connected, view.mtu, view.cause), (path(2, 0), true, 1397, None));
    assert_eq!(view.addresses, (Some(address(1, 0)), Some(address(2, 0))));
    assert_eq!(view.latency, Some((200, 200, 200, 3)));
    assert_eq!(view.changes, (1, 1));
}

#[test]
fn messages_of_any_size_arrive_once_at_their_destinations() {
    let mut net = Net::up(3, 2, LinkMode::Passive);
    let sizes = [17, 500, 1397, 1398, 9000, 65_536];
    for (number, len) in (1..).zip(sizes) {
        net.send(1, Destination::All, number, len);
    }
    net.send(1, Destination::Node(id(3)), 99, 3000);
    net.run(MS * 5);
    let lens = |net: &Net, host: usize| net.got[host].iter().map(|got| got.len).collect::<Vec<_>>();
    assert_eq!(lens(&net, 1), sizes);
    assert_eq!(lens(&net, 2), [&sizes[..], &[3000]].concat());
    assert!(lens(&net, 0).is_empty());
    assert!(net.sent.iter().filter(|sent| sent.2 == PacketKind::Data).all(|sent| sent.1.link == 0));
}

#[test]
fn a_message_to_an_unreachable_host_is_not_sent() {
    let mut net = Net::up(3, 1, LinkMode::Passive);
    net.cut(1, 3, 0);
    net.run(MS * 4000);
    assert!(!net.engine(1).reaches(id(3)) && net.engine(1).reaches(id(2)) && net.engine(2).reaches(id(3)));
    net.sent.clear();
    net.send(1, Destination::Node(id(3)), 1, 100);
    net.send(1, Destination::Node(id(9)), 1, 100);
    net.send(1, Destination::All, 2, 100);
    let sent: Vec<_> = net.sent.iter().map(|sent| (sent.1, sent.2)).collect();
    assert_eq!(sent, [(path(2, 0), PacketKind::Data)]);
}

#[test]
fn a_ping_on_every_link_precedes_every_8191st_message() {
    let mut net = Net::up(2, 2, LinkMode::Passive);
    let mut forced = Vec::new();
    for number in 1..=16_390 {
        net.sent.clear();
        net.send(1, Destination::All, number, 20);
        let kinds: Vec<_> = net.sent.iter().map(|sent| (sent.2, sent.1.link)).collect();
        if kinds.len() > 1 {
            assert_eq!(kinds, [(PacketKind::Ping, 0), (PacketKind::Ping, 1), (PacketKind::Data, 0)]);
            forced.push(number);
        }
    }
    assert_eq!(forced, [8191, 16_382]);
}

#[test]
fn encryption_may_change_while_messages_flow() {
    let mut net = Net::up(2, 1, LinkMode::Passive);
    for host in 1..=2 {
        let now = net.now;
        net.engine(host).set_sizes(now, Sizes::CLEAR);
    }
    net.sizes = Sizes::CLEAR;
    assert_eq!(net.engine(1).fragment_size(), 1446);
    net.send(1, Destination::All, 1, 5000);
    net.run(MS * 100);
    assert_eq!(net.got[1].len(), 1);
    assert!(net.told(&Event::Fragments { from: 1397, to: 1446 }).len() == 2, "{:?}", net.events);
}

#[test]
fn counters_are_those_of_libknet() {
    let mut net = Net::up(2, 1, LinkMode::Passive);
    net.send(1, Destination::All, 1, 3000);
    net.send(1, Destination::Node(id(2)), 2, 40);
    net.run(MS * 10);
    let now = net.now;
    net.engine(1).not_sent(now, path(2, 0), PacketKind::Data, Fault::Other(1));
    net.engine(1).retried(path(2, 0), PacketKind::Data);
    let figure = |net: &mut Net, host: u32, node: u32, name: &str| {
        let all = net.engine(host).link_stats();
        let (_, rows) = all.iter().find(|(path, _)| path.host == id(node)).unwrap();
        rows.iter().find(|(found, _)| *found == name).unwrap().1.clone()
    };
    // Three fragments of 1411, 1411 and 220 bytes, and a packet of 54; sealed, they are 1472, 1472, 272 and
    // 112 bytes long.
    assert_eq!(figure(&mut net, 1, 2, "tx_data_packets"), Value::U64(4));
    assert_eq!(figure(&mut net, 1, 2, "tx_data_bytes"), Value::U64(1472 * 2 + 272 + 112));
    assert_eq!(figure(&mut net, 2, 1, "rx_data_packets"), Value::U64(4));
    assert_eq!(figure(&mut net, 2, 1, "rx_data_bytes"), Value::U64(1411 * 2 + 220 + 54));
    // Pings at 0, 750 and 1500 ms.
    assert_eq!(figure(&mut net, 1, 2, "tx_ping_bytes"), Value::U64(3 * 80));
    assert_eq!(figure(&mut net, 1, 2, "rx_pong_bytes"), Value::U64(3 * 26));
    // Probes of 65532 and 1500 bytes, and one that followed large fragments; received are the answers to the
    // two that were sent, and the other host's probe.
    assert_eq!(figure(&mut net, 1, 2, "tx_pmtu_packets"), Value::U64(3));
    assert_eq!(figure(&mut net, 1, 2, "rx_pmtu_packets"), Value::U64(3));
    assert_eq!(figure(&mut net, 1, 2, "tx_pmtu_errors"), Value::U32(0));
    assert_eq!(figure(&mut net, 1, 2, "tx_data_errors"), Value::U32(1));
    assert_eq!(figure(&mut net, 1, 2, "rx_total_retries"), Value::U64(1));
    assert_eq!(figure(&mut net, 1, 2, "mtu"), Value::U32(1397));
    assert_eq!(figure(&mut net, 1, 2, "latency_ave"), Value::U32(200));
    // A message from this node to itself.
    net.engine(1).count_looped(3000);
    assert_eq!(figure(&mut net, 1, 1, "tx_data_packets"), Value::U64(1));
    assert_eq!(figure(&mut net, 1, 1, "tx_data_bytes"), Value::U64(3000));
    assert_eq!(figure(&mut net, 1, 1, "mtu"), Value::U32(65535));
    assert_eq!(figure(&mut net, 1, 1, "connected"), Value::U8(1));
    net.engine(1).clear_stats();
    assert_eq!(figure(&mut net, 1, 2, "tx_total_packets"), Value::U64(0));
    assert_eq!(figure(&mut net, 1, 2, "down_count"), Value::U32(0));
    assert_eq!(figure(&mut net, 1, 2, "latency_min"), Value::U32(0));
    assert_eq!(figure(&mut net, 1, 2, "connected"), Value::U8(1));
}

#[test]
fn round_robin_takes_the_links_in_turn_and_active_takes_all() {
    let by_link = |mode| {
        let mut net = Net::up(2, 3, mode);
        (1..=9).for_each(|number| net.send(1, Destination::All, number, 100));
        net.run(MS * 10);
        assert_eq!(net.got[1].len(), 9, "{mode:?}: each once");
        let data = net.sent.iter().filter(|sent| sent.2 == PacketKind::Data);
        let mut counts = [0; 3];
        data.for_each(|sent| counts[usize::from(sent.1.link)] += 1);
        counts
    };
    assert_eq!(by_link(LinkMode::Passive), [9, 0, 0]);
    assert_eq!(by_link(LinkMode::RoundRobin), [3, 3, 3]);
    assert_eq!(by_link(LinkMode::Active), [9, 9, 9]);
}
