//! Groups on a mixed ring: members join and leave with the same lists and reasons, and messages of every size and
//! kind arrive in one order, on each host of either kind as on a ring of Corosync alone.

mod cast;

use super::tell;
use crate::both::Side;
use crate::have;
use crate::lab::{Settings, Transport};
use crate::ready;
use cast::{Cast, host_of, messages};
use rustix::process::Signal;

const ALL: [usize; 3] = [1, 2, 3];

fn begin(side: &mut Side, state: &str, hosts: &[usize]) {
    side.state(state);
    side.begin(&Settings::new(Transport::Udpu, "token: 2000", side.lab.len()), hosts);
    side.settle(hosts);
}

/// Asks everything that clients can ask about groups.
fn ask(cast: &mut Cast, names: &[&str]) {
    for name in names {
        for line in
            ["members 0 g", "members 0 h", "members 0 none", "groups 0", "list 0", "list 0 g", "list 0 none"]
        {
            cast.act(name, line);
        }
    }
}

/// Joining, leaving, and every way in which a client can end.
fn lifetimes(side: &mut Side) {
    begin(side, "lifetimes", &ALL);
    let mut cast = Cast::default();
    cast.enter(side, "1a", "");
    cast.act("1a", "join 0 g");
    cast.views(&["1a"], "g", 1);
    cast.join(side, "2a", "g");
    cast.views(&["1a", "2a"], "g", 2);
    cast.join(side, "3a", "g");
    cast.views(&["1a", "2a", "3a"], "g", 3);
    cast.join(side, "2b", "g");
    cast.views(&["1a", "2a", "2b", "3a"], "g", 4);
    // One process joins a second group; another has a connection but joins none.
    cast.act("2b", "init 1 initial");
    cast.act("2b", "join 1 h");
    cast.views(&["2b"], "h", 1);
    cast.join(side, "3b", "h");
    cast.views(&["2b", "3b"], "h", 2);
    cast.join(side, "1b", "h");
    cast.views(&["2b", "3b", "1b"], "h", 3);
    ask(&mut cast, &["1a", "2b", "3a"]);
    cast.act("2a", "join 0 g");
    cast.act("2a", "join 0 h");
    cast.act("2a", "init 1");
    cast.act("2a", "join 1 g");

    cast.act("1a", "leave 0 g");
    cast.views(&["1a", "2a", "2b", "3a"], "g", 3);
    cast.act("1a", "leave 0 g");
    cast.act("1a", "final 0");
    cast.act("1a", "init 0 initial");
    cast.act("1a", "join 0 g");
    cast.views(&["1a", "2a", "2b", "3a"], "g", 4);
    cast.tell("2a", "exit");
    cast.views(&["1a", "2b", "3a"], "g", 3);
    cast.get_mut("3a").signal(Signal::KILL);
    cast.views(&["1a", "2b"], "g", 2);
    cast.act("2b", "final 0");
    cast.views(&["1a"], "g", 1);
    cast.join(side, "3c", "g");
    cast.views(&["1a", "3c"], "g", 2);
    cast.join(side, "3d", "g");
    cast.views(&["1a", "3c", "3d"], "g", 3);
    cast.join(side, "2c", "g");
    cast.views(&["1a", "2c", "3c", "3d"], "g", 4);

    // The daemon of each host is killed and started again, then told to end.
    for (k, signal, gone, new) in [
        (3, Signal::KILL, "3d", "3e"),
        (1, Signal::KILL, "1a", "1e"),
        (2, Signal::KILL, "2c", "2e"),
        (3, Signal::TERM, "3e", "3f"),
        (1, Signal::TERM, "1e", "1f"),
        (2, Signal::TERM, "2e", "2f"),
    ] {
        let rest: Vec<usize> = ALL.into_iter().filter(|other| *other != k).collect();
        side.lab.end(k, signal);
        side.settle(&rest);
        cast.get(gone).wait_for("its end", crate::both::PATIENCE, |text| text.contains("the daemon is gone"));
        side.start(k);
        side.settle(&ALL);
        cast.join(side, new, "g");
        let members = ["1a", "1e", "1f", "2c", "2e", "2f", "3d", "3e", "3f"];
        let now: Vec<&str> = members.into_iter().filter(|name| cast.serves(name)).collect();
        // At first, host 3 has two clients.
        let count = now.len() + usize::from(cast.serves("3c"));
        cast.views(&now, "g", count);
        cast.act(new, "init 1 initial");
        ask(&mut cast, &[new]);
    }
    cast.note(side);
}

/// Messages of every size, by every call, from every host: one after the other, then all at the same time.
fn sizes(side: &mut Side) {
    begin(side, "sizes", &ALL);
    let mut cast = Cast::default();
    let names = ["1a", "2a", "3a"];
    for (index, name) in names.into_iter().enumerate() {
        cast.join(side, name, "g");
        cast.views(&names[..=index], "g", index + 1);
    }
    cast.act("1a", "limit 0");
    let mut sent = 0;
    let lengths =
        [0, 1, 7, 100, 1400, 1500, 9000, 65_536, 1_000_000, 1_047_552, 1_047_553, 1_048_576, 3_500_000];
    for name in names {
        for length in lengths {
            let how = if length % 2 == 0 { "" } else { " safe" };
            cast.act(name, &format!("send 0 {sent} {length}{how}"));
            sent += 1;
            cast.heard(&names, sent);
        }
        for length in [1, 100, 65_536, 1_000_000, 1_047_552] {
            let how = if length % 2 == 0 { "" } else { " safe" };
            cast.act(name, &format!("zcb 0 {sent} {length}{how}"));
            sent += 1;
            cast.heard(&names, sent);
        }
    }
    // This client is not a member.
    cast.enter(side, "2b", "");
    cast.act("2b", "send 0 1 2000000");
    cast.act("2b", "zcb 0 1 100");
    cast.note(side);

    side.state("sizes, all at once");
    let before = sent;
    for (index, name) in names.into_iter().enumerate() {
        cast.tell(name, &format!("burst 0 {} 400 700", 1000 + 10_000 * index));
        cast.tell(name, &format!("burst 0 {} 6 1200000", 2000 + 10_000 * index));
        cast.tell(name, &format!("zcb 0 {} 1000000", 3000 + 10_000 * index));
        cast.tell(name, &format!("burst 0 {} 100 20000", 4000 + 10_000 * index));
        sent += 507;
    }
    cast.heard(&names, sent);
    let told: Vec<String> = names.iter().map(|name| cast.told(name)).collect();
    let orders: Vec<Vec<&str>> = told.iter().map(|text| messages(text)[before..].to_vec()).collect();
    for order in &orders {
        assert_eq!(order.len(), 3 * 507);
        assert!(order == &orders[0], "another order on another host");
        assert!(!order.iter().any(|line| line.contains("BROKEN")), "a message that arrived broken");
    }
    for name in names {
        let mut own: Vec<&str> =
            orders[0].iter().copied().filter(|line| line.contains(&format!(" of {name},"))).collect();
        own.dedup();
        side.keep(&format!("what {name} sent"), own.join("\n"));
    }
}

/// Two parts of the ring go on alone, then merge.
fn parts(side: &mut Side) {
    for lone in [3, 1, 2] {
        begin(side, &format!("host {lone} apart"), &ALL);
        let rest: Vec<usize> = ALL.into_iter().filter(|k| *k != lone).collect();
        let mut cast = Cast::default();
        let mut names = Vec::new();
        for name in ["1a", "2a", "3a"] {
            cast.join(side, name, "g");
            names.push(name);
            cast.views(&names, "g", names.len());
        }
        for name in ["1b", "2b", "3b"] {
            cast.join(side, name, "h");
        }
        cast.views(&["1b", "2b", "3b"], "h", 3);
        side.lab.cut(lone);
        side.settle(&rest);
        side.settle(&[lone]);
        let of = |k: usize, letter: char| -> &'static str {
            ["1a", "2a", "3a", "1b", "2b", "3b", "1c", "2c", "3c", "1d", "2d", "3d"]
                .into_iter()
                .find(|name| *name == format!("{k}{letter}"))
                .expect("a name")
        };
        cast.views(&[of(lone, 'a')], "g", 1);
        cast.views(&[of(rest[0], 'a'), of(rest[1], 'a')], "g", 2);
        // Clients in each part send, join and leave.
        cast.act(of(lone, 'a'), "send 0 1 1000");
        cast.heard(&[of(lone, 'a')], 1);
        cast.act(of(rest[0], 'a'), "send 0 2 1000");
        cast.act(of(rest[1], 'a'), "send 0 3 1500000");
        cast.heard(&[of(rest[0], 'a'), of(rest[1], 'a')], 2);
        cast.join(side, of(lone, 'c'), "g");
        cast.views(&[of(lone, 'a'), of(lone, 'c')], "g", 2);
        cast.join(side, of(rest[0], 'c'), "g");
        cast.views(&[of(rest[0], 'a'), of(rest[1], 'a')], "g", 3);
        cast.join(side, of(rest[1], 'c'), "h");
        cast.join(side, of(lone, 'd'), "own");
        cast.tell(of(rest[1], 'b'), "exit");
        cast.views(&[of(rest[0], 'b'), of(rest[1], 'c')], "h", 2);
        cast.act(of(lone, 'b'), "leave 0 h");
        cast.views(&[of(lone, 'b')], "h", 0);
        // On Corosync, a process that has left still counts as belonging to its group until it ends.
        cast.act(of(lone, 'b'), "final 0");
        ask(&mut cast, &[of(lone, 'a'), of(rest[0], 'a')]);
        side.lab.heal(lone);
        side.settle(&ALL);
        let in_g = ["1a", "2a", "3a", of(lone, 'c'), of(rest[0], 'c')];
        cast.views(&in_g, "g", 5);
        cast.views(&[of(rest[0], 'b'), of(rest[1], 'c')], "h", 2);
        ask(&mut cast, &["1a", "2a", "3a"]);
        for (index, sender) in ["1a", "2a", "3a"].into_iter().enumerate() {
            cast.act(sender, "send 0 9 5000");
            for name in in_g {
                let before = match (name.ends_with('a'), host_of(name) == lone) {
                    (true, true) => 1,
                    (true, false) => 2,
                    (false, _) => 0,
                };
                cast.heard(&[name], before + index + 1);
            }
        }
        cast.note(side);
    }
}

/// Clients on all hosts join, send and leave at the same time: from its join on, each is told the same events in the
/// same order.
fn at_once(side: &mut Side) {
    begin(side, "at once", &ALL);
    let mut cast = Cast::default();
    let letters = ["1a", "2a", "3a", "1b", "2b", "3b", "1c", "2c", "3c", "1d", "2d", "3d", "1e", "2e", "3e"];
    for name in letters {
        cast.enter(side, name, "");
    }
    for name in letters {
        cast.tell(name, "join 0 g");
        cast.tell(name, &format!("burst 0 {}00 20 300", host_of(name)));
    }
    let (stay, go) = letters.split_at(9);
    cast.views(&letters, "g", letters.len());
    for (name, way) in go.iter().zip(["leave 0 g", "final 0", "exit", "leave 0 g", "exit", "final 0"]) {
        cast.tell(name, way);
    }
    cast.views(stay, "g", stay.len());
    for name in stay {
        cast.act(name, "send 0 7 1100000");
    }
    for name in stay {
        cast.get(name).wait_for("the last of each", crate::both::PATIENCE, |_| {
            cast.told(name).lines().filter(|line| line.ends_with("1100000 bytes")).count() == stay.len()
        });
    }
    let told: Vec<String> = stay.iter().map(|name| cast.told(name)).collect();
    let longest = told.iter().max_by_key(|text| text.len()).expect("some");
    for (name, text) in stay.iter().zip(&told) {
        assert!(longest.ends_with(text.as_str()), "{name} was told\n{text}\nanother\n{longest}");
    }
    side.keep("those that stayed", format!("{} messages in all\n", letters.len() * 20 + stay.len()));
    ask(&mut cast, stay);
    let asked: Vec<String> = stay.iter().map(|name| cast.answered(name)).collect();
    side.keep("what they were answered", asked.concat());
}

#[test]
fn members_join_and_leave_with_the_same_views() {
    if ready() && have(&[("/usr/bin/gcc", "gcc")]) {
        let more = ["ACC/udp", "CAA/udpu", "CAC/udp", "AAC/udp", "CCA/udpu"];
        tell(3, &["ACA/udpu"], &more, lifetimes);
    }
}

#[test]
fn messages_of_every_size_arrive_in_the_same_order() {
    if ready() && have(&[("/usr/bin/gcc", "gcc")]) {
        let more = ["ACC/udpu", "CAA/udp", "CAC/udpu", "AAC/udpu", "CCA/udp"];
        tell(3, &["ACA/udp"], &more, sizes);
    }
}

#[test]
fn clients_that_act_at_the_same_time_see_one_order() {
    if ready() && have(&[("/usr/bin/gcc", "gcc")]) {
        let more = ["ACC/udp", "CAA/udpu", "CAC/udp", "ACA/udpu", "AAC/udp", "CCA/udpu"];
        tell(3, &["CAC/udpu"], &more, at_once);
    }
}

#[test]
fn groups_of_a_cut_ring_merge() {
    if ready() && have(&[("/usr/bin/gcc", "gcc")]) {
        let more = ["ACC/udpu", "CAA/udp", "CAC/udpu", "ACA/udp", "AAC/udpu", "CCA/udp"];
        tell(3, &["CAC/udp"], &more, parts);
    }
}
