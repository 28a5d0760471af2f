//! Changing settings while messages are sent, and settings that are refused.

use super::*;

type Change<'a> = &'a dyn Fn(&mut Settings);

fn change(net: &mut Net, host: u32, change: Change<'_>) {
    let now = net.now;
    let engine = net.engine(host);
    let mut settings = engine.settings().clone();
    change(&mut settings);
    engine.reconfigure(now, settings).unwrap();
    net.pump(host);
}

fn change_all(net: &mut Net, how: Change<'_>) {
    (1..=net.engines.len() as u32).for_each(|host| change(net, host, how));
}

#[test]
fn adding_a_link_and_removing_the_first_loses_no_message() {
    let mut net = Net::up(2, 1, LinkMode::Passive);
    let add = |settings: &mut Settings| {
        settings.links[1] = Some(watch(1));
        for host in &mut settings.hosts {
            host.addresses[1] = Some(address(host.id.get(), 1));
        }
    };
    let remove = |settings: &mut Settings| settings.links[0] = None;
    net.stream(MS * 100, MS, 2000);
    change(&mut net, 1, &add);
    net.stream(MS * 1000, MS, 2000);
    change(&mut net, 2, &add);
    net.stream(MS * 3000, MS, 2000);
    assert_eq!(net.told(&Event::LinkUp(path(2, 1))).len(), 1);
    change(&mut net, 1, &remove);
    assert_eq!(net.told(&Event::LinkDown(path(2, 0), Cause::Removed)).len(), 1);
    net.stream(MS * 500, MS, 2000);
    change(&mut net, 2, &remove);
    net.stream(MS * 3000, MS, 2000);
    assert!(net.got[1].iter().map(|got| got.number).eq(1..=7600), "{}", net.got[1].len());
    assert_eq!(net.engine(1).links().len(), 1);
    assert!(!net.events.iter().any(|(.., event)| matches!(event, Event::Host(..))));
}

#[test]
fn adding_and_removing_hosts_does_not_affect_the_others() {
    let mut net = Net::up(3, 1, LinkMode::Passive);
    for host in [1, 2] {
        change(&mut net, host, &|settings| settings.hosts.retain(|host| host.id != id(3)));
    }
    assert_eq!(net.told(&Event::LinkDown(path(3, 0), Cause::Removed)).len(), 2);
    assert_eq!(net.told(&Event::Host(id(3), false)).len(), 2);
    net.sent.clear();
    net.stream(MS * 3000, MS * 10, 100);
    assert!(net.sent.iter().all(|&(from, to, ..)| from == 3 || to.host != id(3)));
    let fallen = net.told(&Event::LinkDown(path(2, 0), Cause::Silence));
    assert!(fallen.iter().all(|&(host, _)| host == 3), "{fallen:?}");
    assert!(!net.engine(1).reaches(id(3)) && net.engine(1).reaches(id(2)));
    assert_eq!(net.engine(1).links()[0].changes, (1, 1));
    for host in [1, 2] {
        change(&mut net, host, &|to| to.hosts = settings(1, 3, 1, LinkMode::Passive).hosts);
    }
    net.run(MS * 4000);
    assert!(net.engine(1).reaches(id(3)) && net.engine(3).reaches(id(1)));
}

#[test]
fn a_link_with_a_changed_address_is_new_and_others_keep_their_state() {
    let mut net = Net::up(3, 2, LinkMode::Passive);
    change(&mut net, 1, &|settings| settings.hosts[1].addresses[0] = Some(address(99, 0)));
    assert_eq!(net.told(&Event::LinkDown(path(2, 0), Cause::Removed)).len(), 1);
    let views = net.engine(1).links();
    let state: Vec<_> = views.iter().map(|view| (view.path, view.connected)).collect();
    assert_eq!(state, [(path(2, 0), false), (path(2, 1), true), (path(3, 0), true), (path(3, 1), true)]);
    assert_eq!(views[0].addresses.1, Some(address(99, 0)));
    assert_eq!(net.events.iter().filter(|(.., event)| matches!(event, Event::LinkDown(..))).count(), 1);
}

#[test]
fn priorities_timers_mode_and_size_change_in_place() {
    let mut net = Net::up(2, 2, LinkMode::Passive);
    let links = |net: &mut Net| {
        net.sent.clear();
        (1..=4).for_each(|number| net.send(1, Destination::All, number, 100));
        net.sent.iter().filter(|sent| sent.2 == PacketKind::Data).map(|sent| sent.1.link).collect::<Vec<_>>()
    };
    assert_eq!(links(&mut net), [0; 4]);
    change_all(&mut net, &|settings| settings.links[1].as_mut().unwrap().priority = 2);
    assert_eq!(links(&mut net), [1; 4]);
    change_all(&mut net, &|settings| settings.mode = LinkMode::RoundRobin);
    assert_eq!(links(&mut net), [1, 0, 1, 0]);
    change_all(&mut net, &|settings| settings.mtu = Some(1000));
    assert_eq!(net.engine(1).fragment_size(), AES.fragment(972));
    change_all(&mut net, &|settings| settings.mtu = None);
    net.run(MS * 10);
    assert_eq!(net.engine(1).fragment_size(), 1397);
    change_all(&mut net, &|settings| {
        settings.links[0].as_mut().unwrap().ping_timeout = MS * 400;
        settings.links[0].as_mut().unwrap().ping_interval = MS * 200;
    });
    net.cut(1, 2, 0);
    net.run(MS * 900);
    assert!(!net.engine(1).links()[0].connected);
    assert!(net.engine(1).links()[1].connected);
    assert_eq!(net.events.iter().filter(|(.., event)| matches!(event, Event::LinkDown(..))).count(), 2);
}

#[test]
fn settings_that_contradict_themselves_are_refused() {
    let good = settings(1, 2, 1, LinkMode::Passive);
    let refused = |how: Change<'_>| {
        let mut bad = good.clone();
        how(&mut bad);
        let engine = Engine::new(good.clone(), AES, 1, Instant::ZERO).unwrap();
        engine.check(&bad).unwrap_err().to_string()
    };
    assert_eq!(refused(&|bad| bad.hosts[1].id = id(1)), "node 1 is in the node list twice");
    assert_eq!(refused(&|bad| bad.hosts.truncate(0)), "this node, 1, is not in the node list");
    assert!(refused(&|bad| bad.hosts[1].id = id(65_536)).contains("65536 is too large"));
    assert!(refused(&|bad| bad.links[0].as_mut().unwrap().ping_interval = Duration::ZERO).contains("link 0"));
    assert!(refused(&|bad| bad.hosts[1].addresses[0] = "fd00::1".parse().ok()).contains("of one family"));
    assert!(refused(&|bad| bad.me = id(2)).contains("restart"));
    assert!(Engine::new(Settings { me: id(7), ..good.clone() }, AES, 1, Instant::ZERO).is_err());
}
