//! The desks of several nodes, step by step: the events of clients, and quorum devices.

use std::time::Duration;

use zerocopy::{FromBytes, IntoBytes};

use super::arithmetic::id;
use super::cluster::{Cluster, Node};
use super::keys::Keys;
use super::readings::database;
use crate::error::Status;
use crate::ids::{ConnId, RingId, ServiceId};
use crate::quiet::written;
use crate::quorum::wire::exec::flag;
use crate::quorum::wire::quorum as q;
use crate::quorum::wire::votequorum::{self as v, request};
use crate::quorum::wire::{NE, PlainRequestBytes, TRACK_CHANGES, TRACK_CURRENT};
use crate::service::wire::{HeaderBytes, ReplyHeaderBytes};
use crate::service::{Database, Service};
use crate::time::Instant;
use crate::value::Value;

const CLIENT: ConnId = ConnId(7);
const OTHER: ConnId = ConnId(8);
const DEVICE: &[(&str, &str)] = &[("device.model", "net")];

/// A cluster whose nodes have all started and are connected.
fn cluster(votes: &'static [u32], keys: &'static [(&'static str, &'static str)]) -> Cluster {
    let mut cluster = Cluster::new(votes.len() as u32, None, move |node| -> Keys {
        let mut store = database(votes, keys);
        store.set("nodelist.local_node_pos", Value::U32(node - 1));
        store
    });
    for node in 1..=votes.len() as u32 {
        cluster.start(node);
    }
    cluster.settle();
    cluster
}

/// Id, status and the rest of the one answer to a request.
fn ask(node: &mut Node, conn: ConnId, request: &[u8]) -> Option<(i32, i32, Vec<u8>)> {
    node.below.replies.clear();
    node.request(conn, request);
    answer(node)
}

fn answer(node: &mut Node) -> Option<(i32, i32, Vec<u8>)> {
    assert!(node.below.replies.len() <= 1, "one answer a request");
    let (_, reply) = node.below.replies.pop()?;
    let (header, _) = ReplyHeaderBytes::<NE>::ref_from_prefix(&reply).unwrap();
    assert_eq!(header.size.get() as usize, reply.len());
    Some((header.id.get(), header.error.get(), reply))
}

fn status(node: &mut Node, conn: ConnId, request: &[u8]) -> i32 {
    ask(node, conn, request).expect("answered at once").1
}

fn info(node: &mut Node, about: u32) -> v::InfoReplyBytes {
    let request = v::NumberRequestBytes::new(request::GET_INFO, about);
    let (id, error, reply) = ask(node, CLIENT, request.as_bytes()).unwrap();
    assert_eq!((id, error), (v::response::GET_INFO, Status::Ok.code()));
    v::InfoReplyBytes::read_from_bytes(&reply).unwrap()
}

/// The ids of a client's events.
fn events(node: &mut Node, conn: ConnId) -> Vec<i32> {
    let events = std::mem::take(&mut node.below.events);
    let id = |event: &[u8]| ReplyHeaderBytes::<NE>::ref_from_prefix(event).unwrap().0.id.get();
    events.iter().filter(|(to, _)| *to == conn).map(|(_, event)| id(event)).collect()
}

/// docs/protocol/services.md, "What each service does in a synchronisation": the events of a membership
/// change, in order.
#[test]
fn trackers_are_notified_of_a_change_in_corosyncs_order() {
    let mut cluster = cluster(&[1, 1, 1], &[]);
    let (v0, v1, votes) = (ConnId(1), ConnId(2), ConnId(3));
    let node = cluster.node(1);
    for conn in [v0, v1] {
        node.connect(ServiceId::QUORUM, conn);
    }
    node.connect(ServiceId::VOTEQUORUM, votes);
    let model = q::NumberRequestBytes::new(q::request::MODEL_GET_TYPE, 1);
    assert_eq!(status(node, v1, model.as_bytes()), Status::Ok.code());
    let model = q::NumberRequestBytes::new(q::request::MODEL_GET_TYPE, 2);
    assert_eq!(status(node, v1, model.as_bytes()), Status::InvalidParam.code());
    let track = q::NumberRequestBytes::new(q::request::TRACK_START, TRACK_CHANGES);
    for conn in [v0, v1] {
        assert_eq!(status(node, conn, track.as_bytes()), Status::Ok.code());
        assert_eq!(status(node, conn, track.as_bytes()), Status::Exist.code());
    }
    let track = v::TrackStartRequestBytes::new(99, TRACK_CHANGES | TRACK_CURRENT);
    assert_eq!(status(node, votes, track.as_bytes()), Status::Ok.code());
    let first = std::mem::take(&mut node.below.events);
    let order: Vec<(u64, i32)> = first.iter().map(|(to, event)| (to.0, i32::from(event[0]))).collect();
    assert_eq!(order, [(1, 3), (1, 3), (2, 7), (2, 6), (2, 7), (2, 6), (3, 5), (3, 3)]);

    cluster.kill(3);
    cluster.settle();
    let node = cluster.node(1);
    let events = std::mem::take(&mut node.below.events);
    let order: Vec<(u64, i32)> = events.iter().map(|(to, event)| (to.0, i32::from(event[0]))).collect();
    // Node list, node list of votequorum, quorum in both versions (newest tracker first), quorum of
    // votequorum.
    assert_eq!(order, [(2, 7), (3, 5), (2, 6), (1, 3), (3, 3)]);
    let (list, nodes) = q::V1NodelistBytes::ref_from_prefix(&events[0].1).unwrap();
    assert_eq!((list.members.get(), list.joined.get(), list.left.get()), (2, 0, 1));
    assert_eq!(nodes[8..12], 3u32.to_ne_bytes());
    let (quorum, nodes) = v::QuorumBytes::ref_from_prefix(&events[4].1).unwrap();
    assert_eq!((quorum.quorate.get(), quorum.context.get(), quorum.count.get()), (1, 99, 3));
    let nodes = <[v::NodeStateBytes]>::ref_from_bytes(nodes).unwrap();
    assert_eq!(nodes.iter().map(|node| node.state.get()).collect::<Vec<_>>(), [1, 1, 2], "the dead too");

    cluster.kill(2);
    cluster.settle();
    let node = cluster.node(1);
    let asked = ask(node, v0, PlainRequestBytes::new(q::request::GET_QUORATE.into(), 16).as_bytes());
    assert_eq!(asked.unwrap().2[24..28], 0u32.to_ne_bytes());
    let stop = HeaderBytes::<NE>::new(request::TRACK_STOP.into(), 16);
    assert_eq!(status(node, votes, stop.as_bytes()), Status::Ok.code());
    assert_eq!(status(node, votes, stop.as_bytes()), Status::NotExist.code());
    node.disconnect(v0);
    node.disconnect(v1);
    node.below.events.clear();
    cluster.start(2);
    cluster.settle();
    assert!(cluster.node(1).below.events.is_empty(), "nobody listens");
}

/// A node in no operating ring does not keep the state of its last ring: clients of all three kinds are told that it
/// is not quorate, and alone. The vote does not change; the next ring is reported as usual.
#[test]
fn a_node_without_a_ring_is_not_quorate_until_the_next_one() {
    let mut cluster = cluster(&[1, 1, 1, 1], &[("last_man_standing", "1"), ("wait_for_all", "1")]);
    cluster.kill(4);
    cluster.settle();
    let node = cluster.node(1);
    let (v0, v1, votes) = (ConnId(1), ConnId(2), ConnId(3));
    node.connect(ServiceId::QUORUM, v0);
    node.connect(ServiceId::QUORUM, v1);
    node.connect(ServiceId::VOTEQUORUM, votes);
    node.connect(ServiceId::VOTEQUORUM, CLIENT);
    let model = q::NumberRequestBytes::new(q::request::MODEL_GET_TYPE, 1);
    assert_eq!(status(node, v1, model.as_bytes()), Status::Ok.code());
    let track = q::NumberRequestBytes::new(q::request::TRACK_START, TRACK_CHANGES);
    for conn in [v0, v1] {
        assert_eq!(status(node, conn, track.as_bytes()), Status::Ok.code());
    }
    let track = v::TrackStartRequestBytes::new(5, TRACK_CHANGES);
    assert_eq!(status(node, votes, track.as_bytes()), Status::Ok.code());
    node.below.events.clear();
    assert_eq!(node.quorate(), Some(true));

    node.lose_ring();
    assert_eq!(node.quorate(), Some(false));
    let told = std::mem::take(&mut node.below.events);
    let order: Vec<(u64, i32)> = told.iter().map(|(to, event)| (to.0, i32::from(event[0]))).collect();
    assert_eq!(order, [(2, 6), (1, 3), (3, 3)], "no new node list: there is no new ring");
    let (event, members) = q::V1QuorumBytes::ref_from_prefix(&told[0].1).unwrap();
    assert_eq!((event.quorate.get(), event.count.get(), &members[..4]), (0, 1, &1u32.to_ne_bytes()[..]));
    let (event, _) = v::QuorumBytes::ref_from_prefix(&told[2].1).unwrap();
    assert_eq!((event.quorate.get(), event.context.get()), (0, 5));
    let asked = ask(node, v0, PlainRequestBytes::new(q::request::GET_QUORATE.into(), 16).as_bytes());
    assert_eq!(asked.unwrap().2[24..28], 0u32.to_ne_bytes());
    let seen = info(node, 0);
    assert_eq!(seen.flags.get() & v::info::QUORATE, 0);
    assert_eq!((seen.total_votes.get(), seen.expected_votes.get(), seen.quorum.get()), (1, 4, 3));
    node.below.events.clear();
    node.lose_ring();
    assert!(node.below.events.is_empty(), "told once");

    // last_man_standing_window passes: the remaining nodes are not known, so the expected votes are not
    // lowered.
    cluster.wait(Duration::from_secs(11));
    cluster.settle();
    let node = cluster.node(1);
    assert_eq!((node.votequorum.votes().nodes.us().expected, node.quorate()), (4, Some(false)));

    // The votes were not lost, so the next ring does not wait for all nodes.
    cluster.kill(3);
    cluster.start(3);
    cluster.settle();
    for n in 1..=3 {
        assert_eq!(cluster.node(n).quorate(), Some(true), "node {n}");
    }
    let told = events(cluster.node(1), v1);
    assert_eq!(told.last(), Some(&q::response::V1_QUORUM));
}

/// corosync-quorumtool -e and -v: all nodes adopt the change; a change that would lose quorum is refused.
#[test]
fn votes_are_changed_while_running() {
    let mut cluster = cluster(&[1, 1, 1], &[]);
    let node = cluster.node(2);
    node.connect(ServiceId::VOTEQUORUM, CLIENT);
    let expected = |votes| v::NumberRequestBytes::new(request::SET_EXPECTED, votes);
    for (votes, outcome) in [(2, Status::InvalidParam), (6, Status::InvalidParam), (5, Status::Ok)] {
        assert_eq!(status(node, CLIENT, expected(votes).as_bytes()), outcome.code(), "{votes}");
    }
    cluster.settle();
    for n in 1..=3 {
        let votes = cluster.node(n).votequorum.votes();
        assert_eq!((votes.quorum(), votes.quorate(), votes.ev_barrier()), (3, true, 5));
        assert_eq!(cluster.node(n).key("runtime.votequorum.ev_barrier"), Some(Value::U32(5)));
    }
    let node = cluster.node(2);
    let votes = |node, votes| v::SetVotesRequestBytes::new(node, votes);
    assert_eq!(status(node, CLIENT, votes(9, 1).as_bytes()), Status::NameNotFound.code());
    assert_eq!(status(node, CLIENT, votes(3, 0).as_bytes()), Status::InvalidParam.code());
    assert_eq!(status(node, CLIENT, votes(3, 4).as_bytes()), Status::Ok.code());
    cluster.settle();
    for n in 1..=3 {
        let votes = cluster.node(n).votequorum.votes();
        assert_eq!((votes.quorum(), votes.nodes.get(id(3)).unwrap().votes), (4, 4));
    }
    let reply = info(cluster.node(2), 3);
    assert_eq!((reply.votes.get(), reply.total_votes.get(), reply.quorum.get()), (4, 6, 4));
    let unknown = v::NumberRequestBytes::new(request::GET_INFO, 77);
    assert_eq!(ask(cluster.node(2), CLIENT, unknown.as_bytes()).unwrap().1, Status::NotExist.code());
}

fn register(cluster: &mut Cluster, node: u32, conn: ConnId) -> Option<i32> {
    let found = cluster.node(node);
    found.connect(ServiceId::VOTEQUORUM, conn);
    let request = v::DeviceRequestBytes::new(request::QDEVICE_REGISTER, b"Qdevice");
    assert!(ask(found, conn, request.as_bytes()).is_none(), "answered when it has been around the ring");
    cluster.settle();
    answer(cluster.node(node)).map(|(_, error, _)| error)
}

fn poll(node: &mut Node, cast: bool, ring: RingId) -> i32 {
    let poll = v::DevicePollRequestBytes::new(b"Qdevice", cast, Some(ring));
    status(node, CLIENT, poll.as_bytes())
}

/// A device keeps one of two halves quorate; the synchronisation waits for its vote.
#[test]
fn a_device_decides_between_two_halves() {
    let mut cluster = cluster(&[1, 1], DEVICE);
    assert_eq!(register(&mut cluster, 1, CLIENT), Some(Status::Ok.code()));
    let ring = cluster.ring(1);
    let stale = RingId { seq: ring.seq - 4, ..ring };
    assert_eq!(poll(cluster.node(1), true, stale), Status::MessageError.code());
    assert_eq!(poll(cluster.node(1), true, ring), Status::Ok.code());
    cluster.settle();
    let votes = cluster.node(1).votequorum.votes();
    assert_eq!((votes.quorum(), votes.quorate()), (2, true));
    assert!(cluster.node(2).votequorum.votes().nodes.get(id(1)).unwrap().has(flag::QDEVICE_CAST_VOTE));
    let track = v::TrackStartRequestBytes::new(1, TRACK_CHANGES);
    assert_eq!(status(cluster.node(1), CLIENT, track.as_bytes()), Status::Ok.code());
    cluster.node(1).below.events.clear();

    cluster.part(&[0, 1]);
    cluster.steps(200);
    assert_eq!(cluster.node(1).quorate(), None, "node 1 waits for its device");
    assert_eq!(cluster.node(2).quorate(), Some(false), "node 2 has none, and goes on without quorum");
    let seen = events(cluster.node(1), CLIENT);
    assert_eq!(seen, [v::response::NODELIST], "the device is told of the new ring");
    let ring = cluster.ring(1);
    assert_eq!(poll(cluster.node(1), true, ring), Status::Ok.code());
    cluster.settle();
    assert_eq!(cluster.node(1).quorate(), Some(true));

    // The device withdraws its vote, then stops polling: node 1 is no longer quorate.
    assert_eq!(poll(cluster.node(1), false, ring), Status::Ok.code());
    cluster.settle();
    assert_eq!(cluster.node(1).quorate(), Some(false));
    assert_eq!(poll(cluster.node(1), true, ring), Status::Ok.code());
    cluster.settle();
    cluster.wait(Duration::from_secs(9));
    cluster.settle();
    assert_eq!(cluster.node(1).quorate(), Some(true), "10 s are allowed");
    cluster.wait(Duration::from_secs(2));
    cluster.settle();
    assert_eq!(cluster.node(1).quorate(), Some(false));
}

/// A device that is silent during a synchronisation delays it until its time-out, and no longer.
#[test]
fn a_silent_device_delays_a_synchronisation_only_until_its_timeout() {
    let mut cluster = cluster(&[1, 1, 1], DEVICE);
    register(&mut cluster, 1, CLIENT);
    let ring = cluster.ring(1);
    assert_eq!(poll(cluster.node(1), true, ring), Status::Ok.code());
    cluster.settle();
    cluster.kill(3);
    cluster.steps(300);
    assert_eq!((cluster.node(1).quorate(), cluster.node(2).quorate()), (None, None), "all wait");
    cluster.wait(Duration::from_secs(29));
    cluster.steps(300);
    assert_eq!(cluster.node(2).quorate(), None);
    cluster.wait(Duration::from_secs(2));
    cluster.settle();
    let flags = cluster.node(1).votequorum.votes().nodes.us().flags;
    assert_eq!(flags & (flag::QDEVICE_ALIVE | flag::QDEVICE_CAST_VOTE), 0);
    assert_eq!((cluster.node(1).quorate(), cluster.node(2).quorate()), (Some(false), Some(false)));
}

/// Registration: one device at a time, one name for the cluster, and no registration remains of a client that
/// disconnects early.
#[test]
fn devices_register_under_one_name() {
    let mut cluster = cluster(&[1, 1], DEVICE);
    let by_name = |request, name: &[u8]| v::DeviceRequestBytes::new(request, name).as_bytes().to_vec();
    let node = cluster.node(2);
    node.connect(ServiceId::VOTEQUORUM, OTHER);
    let other = by_name(request::QDEVICE_REGISTER, b"Other");
    assert!(ask(node, OTHER, &other).is_none());
    node.disconnect(OTHER);
    cluster.settle();
    assert!(answer(cluster.node(2)).is_none(), "nobody is there to be answered");
    assert!(!cluster.node(2).votequorum.votes().nodes.us().has(flag::QDEVICE_REGISTERED));

    let node = cluster.node(1);
    node.connect(ServiceId::VOTEQUORUM, CLIENT);
    let unregister = by_name(request::QDEVICE_UNREGISTER, b"Other");
    assert_eq!(status(node, CLIENT, &unregister), Status::NotExist.code());
    assert!(ask(node, CLIENT, &other).is_none());
    assert_eq!(status(node, CLIENT, &other), Status::TryAgain.code(), "one is on its way");
    cluster.settle();
    let node = cluster.node(1);
    assert_eq!(answer(node).unwrap().1, Status::Ok.code());
    assert_eq!(status(node, CLIENT, &other), Status::Ok.code());
    let register = by_name(request::QDEVICE_REGISTER, b"Qdevice");
    assert_eq!(status(node, CLIENT, &register), Status::Exist.code());
    let wins = v::DeviceMasterWinsRequestBytes::new(b"Qdevice", true);
    assert_eq!(status(node, CLIENT, wins.as_bytes()), Status::InvalidParam.code());
    let wins = v::DeviceMasterWinsRequestBytes::new(b"Other", true);
    assert_eq!(status(node, CLIENT, wins.as_bytes()), Status::Ok.code());
    assert_eq!(node.key("runtime.votequorum.qdevice_master_wins"), Some(Value::U8(1)));
    assert_eq!(status(node, CLIENT, &unregister), Status::Ok.code());
    cluster.settle();
    assert_eq!(info(cluster.node(1), 0).device_name[..6], [0; 6]);
}

/// Changes of the database during a reload are read at its end, and all nodes are told.
#[test]
fn a_reload_is_read_at_its_end() {
    let mut cluster = cluster(&[1, 1, 1], &[]);
    for n in 1..=3 {
        let node = cluster.node(n);
        node.set("config.totemconfig_reload_in_progress", Value::U8(1));
        node.set("quorum.expected_votes", Value::U32(5));
    }
    cluster.settle();
    assert_eq!(cluster.node(1).votequorum.votes().quorum(), 2, "not yet");
    for n in 1..=3 {
        cluster.node(n).set("config.totemconfig_reload_in_progress", Value::U8(0));
    }
    cluster.settle();
    for n in 1..=3 {
        assert_eq!(cluster.node(n).votequorum.votes().quorum(), 3);
    }
}

/// Unusable settings, which clients may set as often as they like, cause only a few log lines.
#[test]
fn a_flood_of_settings_that_cannot_be_used_does_not_fill_the_log() {
    // An odd number of votes has no half: see `Wrong::OddLastMan`.
    let mut cluster = cluster(&[1, 1], &[("auto_tie_breaker", "1"), ("last_man_standing", "1")]);
    let (lines, held_back) = written::during(|| {
        for second in 0..60_u64 {
            let node = cluster.node(1);
            node.below.now = Instant::from_micros(second * 1_000_000);
            for votes in [2, 4] {
                node.set("nodelist.node.0.quorum_votes", Value::U32(votes));
            }
        }
    });
    assert_eq!(cluster.node(1).votequorum.votes().quorum(), 2, "nothing of it was taken");
    assert!((2..10).contains(&lines), "{lines} lines");
    assert!(held_back > 50, "{held_back} held back");
}

/// `corosync-cmapctl -s quorum.cancel_wait_for_all u8 1`.
#[test]
fn waiting_for_all_can_be_cancelled() {
    let mut cluster = cluster(&[1, 1, 1], &[("wait_for_all", "1")]);
    for node in 1..=3 {
        cluster.kill(node);
    }
    cluster.start(1);
    cluster.start(2);
    cluster.settle();
    assert_eq!(cluster.node(1).quorate(), Some(false));
    assert_eq!(cluster.node(1).key("runtime.votequorum.wait_for_all_status"), Some(Value::U8(1)));
    cluster.node(1).set("quorum.cancel_wait_for_all", Value::U8(1));
    cluster.settle();
    for n in [1, 2] {
        assert_eq!(cluster.node(n).quorate(), Some(true));
        assert_eq!(cluster.node(n).key("runtime.votequorum.wait_for_all_status"), Some(Value::U8(0)));
    }
    assert_eq!(cluster.node(1).key("quorum.cancel_wait_for_all"), Some(Value::U8(0)));
}

/// A node that leaves cleanly announces it if that changes the expected votes. Observed with four Corosync
/// nodes.
#[test]
fn a_clean_leave_is_announced() {
    let mut cluster = cluster(&[1, 1, 1, 1], &[("allow_downscale", "1"), ("expected_votes", "2")]);
    for (leaver, expected, quorate) in [(4, 3, true), (3, 2, false)] {
        cluster.leave(leaver);
        cluster.settle();
        for n in [1, 2] {
            let votes = cluster.node(n).votequorum.votes();
            assert_eq!((votes.nodes.us().expected, votes.quorum(), votes.quorate()), (expected, 3, quorate));
        }
    }
    assert_eq!(cluster.node(1).votequorum.votes().ev_tracking_barrier(), 4);
    assert!(cluster.node(1).votequorum.settled());
}

/// Requests of any length and content get one answer, and do no harm.
#[test]
fn malformed_requests_are_answered() {
    let mut cluster = cluster(&[1, 1], DEVICE);
    let node = cluster.node(1);
    node.connect(ServiceId::VOTEQUORUM, CLIENT);
    node.connect(ServiceId::QUORUM, OTHER);
    for (conn, count) in [(CLIENT, request::COUNT), (OTHER, q::request::COUNT)] {
        for function in 0..=count {
            for length in 16..700 {
                let mut bytes = vec![0xff; length];
                bytes[..16].copy_from_slice(HeaderBytes::<NE>::new(function.into(), length).as_bytes());
                let answered = ask(node, conn, &bytes).is_some();
                assert!(answered || function == request::QDEVICE_REGISTER, "{function} {length}");
            }
        }
    }
    cluster.settle();
    assert_eq!(cluster.node(2).quorate(), Some(true));
}
