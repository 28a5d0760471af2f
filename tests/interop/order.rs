//! Total order and membership as clients of libcpg see them: three senders at once, with every kind of failure.
//!
//! Each story runs over both transports. The same stories also run against Debian's daemons, which shows a check that
//! is too strict or too weak.

use crate::lab::{Kind, Lab, PATIENCE, Peer, Transport};
use crate::sequence::{Event, Process, Sequence, assert_same, by_ring};
use crate::{message_count, ready};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(900);

fn three_hosts(kind: Kind, transport: Transport) -> Lab {
    hosts([kind; 3], transport)
}

fn hosts(kinds: [Kind; 3], transport: Transport) -> Lab {
    let mut lab = Lab::new(3);
    // Long enough for a busy machine: the ring may change only for the reasons given here.
    lab.configure(transport, "token: 3000");
    for (index, kind) in kinds.into_iter().enumerate() {
        lab.start(index + 1, kind);
    }
    lab
}

/// One client per host; each waits for all the others.
fn senders(lab: &Lab, count: u64, more: &[&str]) -> Vec<Peer> {
    (1..=lab.len()).map(|k| sender(lab, k, count, more)).collect()
}

/// The client of host `k`, as [`senders`] starts it.
fn sender(lab: &Lab, k: usize, count: u64, more: &[&str]) -> Peer {
    let (count, members) = (count.to_string(), lab.len().to_string());
    let mut options = vec!["--members", &members, "--count", &count, "--deadline", "900"];
    options.extend(more);
    lab.peer(k, "peer", "order", &options)
}

/// The pause between two messages that spreads `count` of them over eight seconds or more, so that both the failure
/// and the recovery happen during the stream.
fn pace(count: u64) -> String {
    (8_000_000 / count.max(1)).to_string()
}

fn read(peers: &[Peer]) -> Vec<Sequence> {
    peers.iter().map(|peer| Sequence::read(&peer.log)).collect()
}

/// Three senders at once: the sequence is the same on all hosts, with no message lost or duplicated.
fn three_senders(kinds: [Kind; 3], transport: Transport, count: u64) {
    if !ready() {
        return;
    }
    let lab = hosts(kinds, transport);
    let mut peers = senders(&lab, count, &[]);
    for peer in &mut peers {
        peer.succeed(LONG);
    }
    let logs = read(&peers);
    for log in &logs {
        assert_same((&logs[0].name, logs[0].since_view_of(3)), (&log.name, log.since_view_of(3)));
        let fifo = log.check_fifo();
        assert_eq!(fifo.len(), 3, "{}: not three senders", log.name);
        assert!(fifo.values().all(|n| *n == count), "{}: {fifo:?}, not {count} each", log.name);
        let views = log.since_view_of(3).iter().filter(|event| matches!(event, Event::View { .. })).count();
        assert_eq!(views, 1, "{}: the membership changed without a cause", log.name);
    }
    let bytes: usize = logs[0].messages().map(|(_, _, len, _)| len).sum();
    println!("{kinds:?} {}: 3 x {count} messages, {bytes} bytes, identical on all hosts", transport.word());
}

#[test]
fn three_senders_udp() {
    three_senders([Kind::Annulus; 3], Transport::Udp, message_count());
}

#[test]
fn three_senders_udpu() {
    three_senders([Kind::Annulus; 3], Transport::Udpu, message_count());
}

#[test]
fn three_senders_on_corosync() {
    three_senders([Kind::Corosync; 3], Transport::Udp, message_count() / 10);
}

/// One ring of both kinds: Debian's daemon and annulusd accept each other's packets.
#[test]
fn a_mixed_ring_udp() {
    three_senders([Kind::Annulus, Kind::Annulus, Kind::Corosync], Transport::Udp, message_count() / 10);
}

#[test]
fn a_mixed_ring_udpu() {
    three_senders([Kind::Corosync, Kind::Annulus, Kind::Annulus], Transport::Udpu, message_count() / 10);
}

/// A daemon is killed during the stream: the survivors' sequences are the same, with one view without it.
fn killed(kind: Kind, transport: Transport, count: u64) {
    if !ready() {
        return;
    }
    let mut lab = three_hosts(kind, transport);
    // At full speed, unless there are so few messages that all would be sent before the daemon is killed.
    let pause = if count < 10_000 { "1000" } else { "0" };
    // The client on the host whose daemon is killed sends until then.
    let mut peers: Vec<Peer> = (1..=3)
        .map(|k| sender(&lab, k, if k == 3 { u64::MAX } else { count }, &["--pause-us", pause]))
        .collect();
    assert!(wait_for_deliveries(&mut peers[0], count / 4), "nothing was delivered");
    lab.end(3, Signal::KILL);
    let (code, text) = peers[2].finish(PATIENCE);
    assert_eq!(code, Some(3), "the client of the killed daemon must be told: {text}");
    for peer in &mut peers[..2] {
        peer.succeed(LONG);
    }
    let logs = read(&peers[..2]);
    assert_same((&logs[0].name, logs[0].since_view_of(3)), (&logs[1].name, logs[1].since_view_of(3)));
    for log in &logs {
        let fifo = log.check_fifo();
        for (process, delivered) in &fifo {
            assert!(
                process.0 == 3 || *delivered == count,
                "{}: {delivered} of {count} from {process:?}",
                log.name
            );
        }
        check_left_once(log, 3, "NodeDown");
    }
    // What that host's own client saw before is a prefix of what the others saw.
    let dead = Sequence::read(&peers[2].log);
    assert!(dead.end.as_deref().is_some_and(|why| why.contains("cpg_")), "{}: {:?}", dead.name, dead.end);
    let seen: Vec<_> = dead.messages().filter(|m| m.0.0 != 3).collect();
    let others: Vec<_> = logs[0].messages().filter(|m| m.0.0 != 3).take(seen.len()).collect();
    assert_eq!(seen, others, "the killed host's client saw another order");
}

/// Waits until the client has been delivered `wanted` messages.
fn wait_for_deliveries(peer: &mut Peer, wanted: u64) -> bool {
    for _ in 0..60_000 {
        if peer.delivered() >= wanted {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Checks that there is one view that reports, with this reason, that the clients of `node` left, and that each later
/// view is without them.
fn check_left_once(log: &Sequence, node: u32, reason: &str) {
    let after: Vec<_> = log
        .since_view_of(3)
        .iter()
        .filter_map(|event| match event {
            Event::View { members, change } => Some((members, change)),
            _ => None,
        })
        .skip(1)
        .collect();
    assert_eq!(after.len(), 1, "{}: {after:?}, not one view without node {node}", log.name);
    assert!(
        after[0].0.iter().all(|member| member.0 != node) && after[0].0.len() == 2,
        "{}: {after:?}",
        log.name
    );
    assert!(after[0].1.contains(&format!("={reason}")), "{}: {after:?}", log.name);
}

#[test]
fn a_killed_daemon_udp() {
    killed(Kind::Annulus, Transport::Udp, message_count());
}

#[test]
fn a_killed_daemon_udpu() {
    killed(Kind::Annulus, Transport::Udpu, message_count());
}

#[test]
fn a_killed_daemon_on_corosync() {
    killed(Kind::Corosync, Transport::Udp, message_count() / 10);
}

/// A host is cut off and put back while all send. On each ring all its members have one order; the two hosts that
/// stayed together have the same sequence throughout; every sender is delivered all its own messages; once together
/// again, all have one order.
fn cut_and_healed(kind: Kind, transport: Transport, count: u64) {
    if !ready() {
        return;
    }
    let lab = three_hosts(kind, transport);
    // The messages are long enough to contain their number: those sent while apart are rightly missing on the other
    // side.
    let pause = pace(count);
    let mut peers = senders(&lab, count, &["--min", "28", "--finish", "no", "--pause-us", &pause]);
    assert!(wait_for_deliveries(&mut peers[0], count / 3), "nothing was delivered");
    lab.cut(3);
    for (peer, members) in peers.iter_mut().zip([2, 2, 1]) {
        peer.wait_for_members(members, PATIENCE);
    }
    lab.heal(3);
    for peer in &mut peers {
        peer.wait_for("sent ", LONG);
    }
    // A second stream on the healed cluster; when it is complete, all clients have received everything before.
    let mut late: Vec<Peer> = (1..=3)
        .map(|k| lab.peer(k, "late", "order", &["--group", "late", "--members", "3", "--count", "200"]))
        .collect();
    for peer in &mut late {
        peer.succeed(PATIENCE);
    }
    Peer::settle(&mut peers.iter_mut().collect::<Vec<_>>());
    for peer in &mut peers {
        peer.tell("stop");
        peer.succeed(PATIENCE);
    }
    let late = read(&late);
    for log in &late {
        assert_same((&late[0].name, late[0].since_view_of(3)), (&log.name, log.since_view_of(3)));
    }
    let logs = read(&peers);
    check_partition(&logs, count);
}

fn check_partition(logs: &[Sequence], count: u64) {
    assert_same((&logs[0].name, without_last_leave(&logs[0])), (&logs[1].name, without_last_leave(&logs[1])));
    for (index, log) in logs.iter().enumerate() {
        let node = u32::try_from(index + 1).expect("small");
        let own: Vec<_> =
            log.messages().filter(|m| m.0.0 == node).map(|m| m.1.expect("long enough")).collect();
        assert_eq!(own, (0..count).collect::<Vec<_>>(), "{}: its own messages", log.name);
        for sender in log.senders() {
            let numbers: Vec<u64> =
                log.messages().filter(|m| m.0 == sender).map(|m| m.1.expect("number")).collect();
            assert!(
                numbers.is_sorted_by(|a, b| a < b),
                "{}: from {sender:?} out of order or twice",
                log.name
            );
        }
    }
    for other in [1_u32, 2] {
        let got =
            logs[2 - usize::try_from(other).expect("small")].messages().filter(|m| m.0.0 == other).count();
        assert_eq!(
            got as u64, count,
            "a message of host {other} is missing on the host that was never apart from it"
        );
    }
    // On each ring, the messages that both sides delivered are in one order.
    let (stayed, apart) = (by_ring(&logs[0].events), by_ring(&logs[2].events));
    let mut common_rings = 0;
    for (id, events) in &stayed {
        let Some((_, others)) = apart.iter().find(|(other, _)| other == id) else { continue };
        common_rings += 1;
        let left: Vec<&Event> = events.iter().filter(|e| matches!(e, Event::Message { .. })).collect();
        let right: Vec<&Event> = others.iter().filter(|e| matches!(e, Event::Message { .. })).collect();
        let in_left: BTreeSet<String> = left.iter().map(|e| format!("{e:?}")).collect();
        let in_right: BTreeSet<String> = right.iter().map(|e| format!("{e:?}")).collect();
        let left: Vec<_> = left.into_iter().filter(|e| in_right.contains(&format!("{e:?}"))).collect();
        let right: Vec<_> = right.into_iter().filter(|e| in_left.contains(&format!("{e:?}"))).collect();
        assert_eq!(left.len(), right.len(), "ring {id}: a message twice");
        assert!(left == right, "ring {id}: the hosts that were apart later have another order");
    }
    assert!(common_rings >= 2, "before the cut and after the heal the hosts share a ring");
    // Once together again, both have the same messages.
    let (last_stayed, last_apart) = (stayed.last().expect("a ring"), apart.last().expect("a ring"));
    assert_eq!(last_stayed.0, last_apart.0, "the hosts did not end in one ring");
    let messages = |events: &[Event]| -> Vec<Event> {
        events.iter().filter(|e| matches!(e, Event::Message { .. })).cloned().collect()
    };
    let (one, three) = (messages(&last_stayed.1), messages(&last_apart.1));
    assert!(
        readable(&one, &three) == readable(&three, &one),
        "after the heal the sequences differ by more than what was begun before it"
    );
}

/// The messages of `heard` that `other` could read too. When the ring changes, a sender may be in the middle of a
/// message in fragments. A node that was apart then cannot read that sender's frames before the first one that does
/// not begin with a fragment. After the first message that was read, none is missing.
fn readable(heard: &[Event], other: &[Event]) -> Vec<Event> {
    let first = |sender: &Process| {
        other.iter().find_map(|event| match event {
            Event::Message { from, number, .. } if from == sender => *number,
            Event::Message { .. } | Event::View { .. } | Event::Ring { .. } => None,
        })
    };
    let can_be_read = |event: &&Event| match event {
        Event::Message { from, number, .. } => first(from).is_some_and(|first| *number >= Some(first)),
        Event::View { .. } | Event::Ring { .. } => false,
    };
    heard.iter().filter(can_be_read).cloned().collect()
}

/// The events from the first view of all clients on, without the views at the end, when the clients are stopped one
/// by one.
fn without_last_leave(log: &Sequence) -> &[Event] {
    let events = log.since_view_of(3);
    let last = events.iter().rposition(|event| !matches!(event, Event::View { .. })).expect("messages");
    &events[..=last]
}

#[test]
fn a_cut_and_healed_host_udp() {
    cut_and_healed(Kind::Annulus, Transport::Udp, message_count());
}

#[test]
fn a_cut_and_healed_host_udpu() {
    cut_and_healed(Kind::Annulus, Transport::Udpu, message_count());
}

#[test]
fn a_cut_and_healed_host_on_corosync() {
    cut_and_healed(Kind::Corosync, Transport::Udp, message_count() / 2);
}

/// A daemon is killed, then started again, while the others send: they continue with one sequence, and the client
/// that comes back has all messages from the view of its join on.
fn restarted(kind: Kind, transport: Transport, count: u64) {
    if !ready() {
        return;
    }
    let mut lab = three_hosts(kind, transport);
    let pause = pace(count);
    let mut peers = senders(&lab, count, &["--finish", "no", "--pause-us", &pause]);
    assert!(wait_for_deliveries(&mut peers[0], count / 3), "nothing was delivered");
    lab.end(3, Signal::KILL);
    let (code, text) = peers[2].finish(PATIENCE);
    assert_eq!(code, Some(3), "the client of the killed daemon must be told: {text}");
    lab.start(3, kind);
    let number = count.to_string();
    let mut back = lab.peer(
        3,
        "back",
        "order",
        &["--members", "3", "--count", &number, "--finish", "no", "--pause-us", &pause],
    );
    for peer in peers[..2].iter_mut().chain([&mut back]) {
        peer.wait_for("sent ", LONG);
    }
    Peer::settle(&mut peers[..2].iter_mut().chain([&mut back]).collect::<Vec<_>>());
    for peer in std::iter::once(&mut back).chain(&mut peers[..2]) {
        peer.tell("stop");
        peer.succeed(PATIENCE);
    }
    let (one, two, three) =
        (Sequence::read(&peers[0].log), Sequence::read(&peers[1].log), Sequence::read(&back.log));
    assert_same((&one.name, without_last_leave(&one)), (&two.name, without_last_leave(&two)));
    let fifo = one.check_fifo();
    assert_eq!(fifo.len(), 4, "{}: {fifo:?}: two that stayed, one before its end, one after", one.name);
    for (process, delivered) in &fifo {
        let died = process.0 == 3 && !three.senders().contains(process);
        assert!(died || *delivered == count, "{delivered} of {count} from {process:?}");
    }
    let view = three.since_view_of(3);
    let Event::View { members, .. } = &view[0] else { unreachable!("it starts with a view") };
    let start = one
        .events
        .iter()
        .position(|event| matches!(event, Event::View { members: m, .. } if m == members))
        .expect("the others have the view in which it joined");
    let messages = |events: &[Event]| -> Vec<Event> {
        events.iter().filter(|e| matches!(e, Event::Message { .. })).cloned().collect()
    };
    assert_eq!(messages(&one.events[start..]).len(), messages(view).len(), "since the restart");
    assert!(messages(&one.events[start..]) == messages(view), "since the restart the sequences differ");
}

#[test]
fn a_restarted_daemon_udp() {
    restarted(Kind::Annulus, Transport::Udp, message_count());
}

#[test]
fn a_restarted_daemon_udpu() {
    restarted(Kind::Annulus, Transport::Udpu, message_count());
}

#[test]
fn a_restarted_daemon_on_corosync() {
    restarted(Kind::Corosync, Transport::Udp, message_count() / 2);
}

/// libcpg splits messages longer than 1,047,552 bytes; they arrive whole and in order among the others.
#[test]
fn messages_that_libcpg_splits() {
    if !ready() {
        return;
    }
    let lab = three_hosts(Kind::Annulus, Transport::Udpu);
    let mut peers = senders(&lab, 20, &["--min", "900000", "--max", "3500000"]);
    for peer in &mut peers {
        peer.succeed(LONG);
    }
    let logs = read(&peers);
    assert!(logs[0].messages().any(|m| m.2 > 1_047_552), "no message was long enough");
    for log in &logs {
        assert_same((&logs[0].name, logs[0].since_view_of(3)), (&log.name, log.since_view_of(3)));
        assert!(log.check_fifo().values().all(|n| *n == 20), "{}: {:?}", log.name, log.check_fifo());
    }
}
