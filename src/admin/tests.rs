//! The desk from the view of its clients and of the ring.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::key_use::{KeyUse, NodeKey};
use super::service::{Desk, Facts};
use super::shutdown::Manner;
use super::wire::request::number;
use super::wire::{Exec, Question, Reply, Request as Ask, reply::NoReply};
use super::wire::{keys, report};
use crate::config::Config;
use crate::config::os::OsHost;
use crate::error::Status;
use crate::ids::{ConnId, Endian, Guarantee, NodeId, RingId};
use crate::service::{Database, Delivery, Effects, Full, Notice, Order, Request, Service, Statistics};
use crate::time::Instant;
use crate::value::Value;
use crate::view::{View, ViewKind};

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);
const C: ConnId = ConnId(3);

fn node(id: u32) -> NodeId {
    NodeId::new(id).unwrap()
}

/// A database that records its changes.
#[derive(Default)]
pub(super) struct Noted {
    entries: BTreeMap<String, Value>,
    pub(super) log: Vec<String>,
}

impl Database for Noted {
    fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(name)
    }
    fn range<'a>(&'a self, prefix: &'a str) -> Box<dyn Iterator<Item = (&'a str, &'a Value)> + 'a> {
        let all = self.entries.iter().filter(move |(name, _)| name.starts_with(prefix));
        Box::new(all.map(|(name, value)| (name.as_str(), value)))
    }
    fn following(&self, prefix: &str, last: Option<&str>) -> Option<(&str, &Value)> {
        let mut all = self.entries.iter().map(|(name, value)| (name.as_str(), value));
        all.find(|(name, _)| name.starts_with(prefix) && last.is_none_or(|last| *name > last))
    }
    fn set(&mut self, name: &str, value: Value) {
        if self.entries.get(name) != Some(&value) {
            self.log.push(format!("{name}={value:?}"));
            self.entries.insert(name.to_owned(), value);
        }
    }
    fn remove(&mut self, name: &str) -> bool {
        let there = self.entries.remove(name).is_some();
        if there {
            self.log.push(format!("-{name}"));
        }
        there
    }
}

/// Records the effects that the desk asks for.
#[derive(Default)]
struct World {
    now: Instant,
    database: Noted,
    full: bool,
    sent: Vec<Vec<u8>>,
    /// The guarantees of all multicast messages.
    guarantees: Vec<Guarantee>,
    replies: Vec<(ConnId, Vec<u8>)>,
    questions: Vec<(ConnId, u32)>,
    orders: Vec<Order>,
}

impl Effects for World {
    fn me(&self) -> NodeId {
        node(1)
    }
    fn now(&self) -> Instant {
        self.now
    }
    fn database(&mut self) -> &mut dyn Database {
        &mut self.database
    }
    fn statistics(&self, _prefix: &str) -> Vec<(String, Value)> {
        Vec::new()
    }
    fn clear_statistics(&mut self, _which: Statistics) {}
    fn announce(&mut self, _notice: Notice) {}
    fn order(&mut self, order: Order) {
        self.orders.push(order);
    }
    fn multicast(&mut self, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full> {
        if self.full {
            return Err(Full);
        }
        self.sent.push(pieces.concat());
        self.guarantees.push(guarantee);
        Ok(())
    }
    fn reply(&mut self, conn: ConnId, reply: &[u8]) {
        self.replies.push((conn, reply.to_vec()));
    }
    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        assert!(payload.is_empty());
        self.questions.push((conn, Question::decode(head).unwrap().flags));
    }
    fn buffer_open(&mut self, _conn: ConnId, _path: &[u8], _size: u64) -> Result<u64, Status> {
        unreachable!()
    }
    fn buffer_read(&mut self, _conn: ConnId, _token: u64) -> Result<Bytes, Status> {
        unreachable!()
    }
    fn buffer_close(&mut self, _conn: ConnId, _token: u64) {}
}

/// The desk of node 1 on a ring with node 2; node 3 is down.
struct Room {
    desk: Desk,
    world: World,
}

impl Room {
    fn new() -> Self {
        Self::with(true)
    }

    fn with(managed: bool) -> Self {
        let addresses = (1..=3).map(|id| (node(id), vec![[10, 0, 0, id as u8].into()]));
        let facts = Facts { addresses: addresses.collect::<BTreeMap<_, _>>(), mtu: 1410, managed };
        let mut room = Self { desk: Desk::new(node(1), facts), world: World::default() };
        let members = vec![node(1), node(2)];
        let ring = RingId { rep: node(1), seq: 4 };
        let view = View { kind: ViewKind::Regular, ring, joined: members.clone(), members, left: Vec::new() };
        room.desk.view(&view, &mut room.world);
        for (id, status) in [(1, "joined"), (2, "joined"), (3, "left")] {
            room.world.database.set(&format!("runtime.members.{id}.status"), Value::text(status));
        }
        room
    }

    fn ask(&mut self, conn: ConnId, ask: Ask<'_>) {
        let bytes = ask.encode();
        let request = Request { bytes: &bytes, tail: &[] };
        self.desk.request(conn, ask.number(), request, &mut self.world);
    }

    /// Sends a request; returns the one answer that comes at once.
    fn call(&mut self, conn: ConnId, ask: Ask<'_>) -> Result<Reply, NoReply> {
        assert!(self.world.replies.is_empty());
        self.ask(conn, ask);
        let (to, bytes) = self.world.replies.pop().expect("an answer at once");
        assert!(to == conn && self.world.replies.is_empty());
        Reply::decode(ask.number(), &bytes)
    }

    fn refused(&mut self, conn: ConnId, ask: Ask<'_>) -> Status {
        match self.call(conn, ask) {
            Err(NoReply::Refused(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    /// The status of the only reply, which must be to `conn`.
    fn verdict(&mut self, conn: ConnId, number: u16) -> Status {
        let (to, bytes) = self.world.replies.pop().expect("an answer");
        assert_eq!(to, conn);
        assert!(self.world.replies.is_empty());
        match Reply::decode(number, &bytes) {
            Ok(_) => Status::Ok,
            Err(NoReply::Refused(status)) => status,
            Err(NoReply::Malformed) => panic!("{bytes:?}"),
        }
    }

    fn deliver(&mut self, from: u32, message: &[u8]) {
        let function = u16::from_le_bytes([message[0], message[1]]);
        let message = Bytes::copy_from_slice(message);
        let delivery = Delivery { from: node(from), function, message, order: Endian::Little };
        self.desk.deliver(delivery, &mut self.world);
    }

    /// Delivers the multicast messages to the desk.
    fn turn(&mut self) {
        for message in std::mem::take(&mut self.world.sent) {
            self.deliver(1, &message);
        }
    }
}

#[test]
fn links_of_udp_are_reported() {
    let mut room = Room::new();
    let mut status = |id| match room.call(A, Ask::NodeStatus { node: id, version: 1 }) {
        Ok(Reply::NodeStatus(status)) => *status,
        other => panic!("{other:?}"),
    };
    let there = status(2);
    assert!(there.reachable && there.links[0].connected && there.links[0].enabled);
    assert_eq!((there.links[0].mtu, there.links[0].from.as_str()), (1410, "10.0.0.2"));
    assert!(there.links[1..].iter().all(|link| *link == Default::default()));
    let away = status(3);
    assert!(!away.reachable && !away.links[0].connected && away.links[0].enabled);
    assert_eq!(status(77), super::NodeStatus { node: 77, ..Default::default() });
    assert_eq!(status(0).node, 0);
    assert_eq!(room.refused(A, Ask::NodeStatus { node: 2, version: 2 }), Status::NotSupported);
    let links = vec![super::OwnLink { name: "0 10.0.0.1".to_owned(), status: "OK".to_owned() }];
    assert_eq!(room.call(A, Ask::RingStatus), Ok(Reply::RingStatus(links)));
    assert_eq!(room.refused(A, Ask::RingReenable), Status::NotSupported);
}

/// A node of Corosync does not answer which key it uses, and cannot accept a key through the ring.
#[test]
fn a_key_is_sent_to_nobody_if_a_node_does_not_answer() {
    let mut room = Room::new();
    room.ask(A, Ask::NewKey);
    room.ask(B, Ask::Keys);
    room.turn();
    assert_eq!(room.world.orders, [Order::LookAtKey]);
    room.desk.key_seen(5, None, "aes256/sha256", &mut room.world);
    room.desk.retry(&mut room.world);
    room.turn();
    assert!(room.world.replies.is_empty());
    room.world.now = room.desk.deadline().unwrap();
    room.desk.expired(&mut room.world);
    assert!(room.world.sent.is_empty());
    assert_eq!(room.world.orders, [Order::LookAtKey], "no key is made");
    let told = std::mem::take(&mut room.world.replies);
    let [(A, refused), (B, known)] = &told[..] else { panic!("{told:?}") };
    let (why, none) = keys::decode(refused).unwrap();
    assert!(why.starts_with("node 2 did not say which key is used there. Corosync's nodes cannot"), "{why}");
    assert!(none.is_empty());
    let uses = KeyUse::Uses { print: 5, next: None, suite: "aes256/sha256".to_owned() };
    let all = [uses, KeyUse::Silent, KeyUse::Away].into_iter().zip(1..);
    let all: Vec<NodeKey> = all.map(|(uses, id)| NodeKey { node: node(id), uses }).collect();
    assert_eq!(keys::decode(known), Some((String::new(), all)));
}

#[test]
fn addresses_and_ids_are_answered() {
    let mut room = Room::new();
    let of = |id: u8| Ok(Reply::NodeAddrs(vec![[10, 0, 0, id].into()]));
    assert_eq!(room.call(A, Ask::NodeAddrs { node: 0 }), of(1));
    assert_eq!(room.call(A, Ask::NodeAddrs { node: 3 }), of(3));
    assert_eq!(room.refused(A, Ask::NodeAddrs { node: 4 }), Status::NotExist);
    assert_eq!(room.call(A, Ask::LocalGet), Ok(Reply::LocalGet(1)));
}

#[test]
fn a_kill_reaches_its_victim_alone() {
    let mut room = Room::new();
    for stranger in [0, 3, 4] {
        assert_eq!(room.refused(A, Ask::Kill { node: stranger, reason: b"" }), Status::NotExist);
    }
    assert_eq!(room.call(A, Ask::Kill { node: 2, reason: b"bad" }), Ok(Reply::Done));
    assert_eq!(room.world.sent, [Exec::Kill { node: 2, reason: b"bad" }.encode(node(1))]);
    room.turn();
    assert!(room.world.orders.is_empty());
    room.deliver(2, &Exec::Kill { node: 1, reason: b"worse\0" }.encode(node(2)));
    assert_eq!(room.world.orders, [Order::Die { by: node(2), reason: "worse".to_owned() }]);
}

/// No message is lost or overtakes another, and the queue has a limit.
#[test]
fn messages_without_room_wait() {
    let mut room = Room::new();
    room.world.full = true;
    let mut taken = 0;
    while room.call(A, Ask::Kill { node: 2, reason: &[taken] }) == Ok(Reply::Done) {
        taken += 1;
    }
    assert_eq!(taken, 64);
    assert_eq!(room.refused(A, Ask::Reload { report: false }), Status::TryAgain);
    assert!(room.world.sent.is_empty() && !room.desk.settled());
    room.world.full = false;
    room.desk.retry(&mut room.world);
    let expected: Vec<_> = (0..taken).map(|n| Exec::Kill { node: 2, reason: &[n] }.encode(node(1))).collect();
    assert!(room.world.sent == expected && room.desk.settled());
}

#[test]
fn a_shutdown_with_nobody_to_ask_is_agreed() {
    let mut room = Room::new();
    assert_eq!(room.call(A, Ask::TrackStart { flags: 0 }), Ok(Reply::Done), "one does not ask oneself");
    assert_eq!(room.call(A, Ask::TryShutdown { flags: 0 }), Ok(Reply::Done));
    assert!(room.world.orders.is_empty(), "not before all know");
    room.turn();
    assert_eq!(room.world.orders, [Order::Shutdown]);
    assert!(room.world.questions.is_empty());
}

#[test]
fn another_nodes_shutdown_has_no_effect() {
    let mut room = Room::new();
    room.deliver(2, &Exec::Shutdown.encode(node(2)));
    assert!(room.world.orders.is_empty());
}

#[test]
fn trackers_are_asked_and_may_object() {
    let mut room = Room::new();
    for tracker in [B, C] {
        assert_eq!(room.call(tracker, Ask::TrackStart { flags: 1 }), Ok(Reply::Done));
    }
    let flags = Manner::Request.flags();
    room.ask(A, Ask::TryShutdown { flags });
    assert!(room.world.replies.is_empty(), "not before they have answered");
    assert_eq!(room.world.questions, [(B, flags), (C, flags)]);
    assert_eq!(room.refused(B, Ask::TryShutdown { flags }), Status::Exist);
    assert_eq!(room.call(B, Ask::ReplyToShutdown { response: 1 }), Ok(Reply::Done));
    room.ask(C, Ask::ReplyToShutdown { response: 0 });
    assert_eq!(room.both(C, number::REPLY_TO_SHUTDOWN), Status::Busy);
}

impl Room {
    /// Expects two answers: one to the client that answered, then one to the initiator.
    fn both(&mut self, speaker: ConnId, number: u16) -> Status {
        assert_eq!(self.world.replies.len(), 2);
        let last = self.world.replies.pop().unwrap();
        assert_eq!(self.verdict(speaker, number), Status::Ok);
        self.world.replies.push(last);
        self.verdict(A, number::TRY_SHUTDOWN)
    }
}

#[test]
fn all_agree() {
    let mut room = Room::new();
    assert_eq!(room.refused(B, Ask::ReplyToShutdown { response: 1 }), Status::Access, "nobody asked");
    room.call(B, Ask::TrackStart { flags: 0 }).unwrap();
    room.ask(A, Ask::TryShutdown { flags: 0 });
    room.call(C, Ask::TrackStart { flags: 0 }).unwrap();
    assert_eq!(room.world.questions, [(B, 0), (C, 0)], "one that comes late is asked too");
    room.call(B, Ask::ReplyToShutdown { response: 1 }).unwrap();
    room.ask(C, Ask::ReplyToShutdown { response: 1 });
    assert_eq!(room.both(C, number::REPLY_TO_SHUTDOWN), Status::Ok);
    room.turn();
    assert_eq!(room.world.orders, [Order::Shutdown]);
}

#[test]
fn disconnecting_is_no_objection() {
    let mut room = Room::new();
    room.call(B, Ask::TrackStart { flags: 0 }).unwrap();
    room.call(C, Ask::TrackStart { flags: 0 }).unwrap();
    room.ask(A, Ask::TryShutdown { flags: 0 });
    room.desk.disconnected(B, &mut room.world);
    room.ask(C, Ask::TrackStop);
    assert_eq!(room.both(C, number::TRACK_STOP), Status::Ok);
    assert_eq!(room.world.sent, [Exec::Shutdown.encode(node(1))]);
}

#[test]
fn no_answer_is_an_objection_unless_answers_do_not_count() {
    for (flags, status, sent) in [(0, Status::Busy, 0), (1, Status::Ok, 1)] {
        let mut room = Room::new();
        room.world.database.set("cfg.shutdown_timeout", Value::U32(1500));
        room.call(B, Ask::TrackStart { flags: 0 }).unwrap();
        room.ask(A, Ask::TryShutdown { flags });
        let at = room.desk.deadline().unwrap();
        assert_eq!(at, Instant::ZERO + Duration::from_millis(1500));
        room.world.now = at;
        room.desk.expired(&mut room.world);
        assert_eq!(room.verdict(A, number::TRY_SHUTDOWN), status);
        assert_eq!(room.world.sent.len(), sent);
        assert_eq!(room.desk.deadline(), None);
    }
}

#[test]
fn a_vote_ends_with_its_initiator() {
    let mut room = Room::new();
    room.call(B, Ask::TrackStart { flags: 0 }).unwrap();
    room.ask(A, Ask::TryShutdown { flags: 0 });
    room.desk.disconnected(A, &mut room.world);
    assert_eq!(room.desk.deadline(), None);
    assert_eq!(room.refused(B, Ask::ReplyToShutdown { response: 1 }), Status::Access);
    assert!(room.world.sent.is_empty() && room.world.replies.is_empty());
    assert_eq!(room.call(A, Ask::TryShutdown { flags: 2 }), Ok(Reply::Done), "at once: nobody is asked");
    assert_eq!(room.world.sent.len(), 1);
}

/// For a desk alone on its ring.
impl Room {
    fn alone() -> Self {
        let mut room = Self::new();
        let members = vec![node(1)];
        let ring = RingId { rep: node(1), seq: 8 };
        let view = View { kind: ViewKind::Regular, ring, joined: Vec::new(), members, left: vec![node(2)] };
        room.desk.view(&view, &mut room.world);
        room
    }

    /// Delivers messages until there are none.
    fn settle(&mut self) {
        self.desk.retry(&mut self.world);
        while !self.world.sent.is_empty() {
            self.turn();
        }
    }
}

fn config(totem: &str) -> Config {
    let text = format!(
        "[totem]\ntransport = \"udpu\"\n{totem}\n[[nodelist.node]]\nnodeid = 1\nring0_addr = \"127.0.0.1\"\n"
    );
    Config::from_toml(text.as_bytes(), Path::new("test.toml"), &OsHost).unwrap()
}

#[test]
fn reloads_are_answered_when_they_are_done() {
    let mut room = Room::alone();
    room.ask(A, Ask::Reload { report: false });
    assert!(room.world.replies.is_empty() && room.world.orders.is_empty());
    room.settle();
    assert_eq!(room.world.orders, [Order::Reload]);
    // Two more requests in the meantime lead to one more reload.
    room.ask(B, Ask::Reload { report: false });
    room.ask(C, Ask::Reload { report: false });
    room.settle();
    assert_eq!(room.world.orders, [Order::Reload]);
    room.desk.judged(Err("file:3: nonsense"), &mut room.world);
    assert!(room.world.replies.is_empty(), "not before all have judged");
    room.settle();
    assert_eq!(room.verdict(A, number::RELOAD), Status::InvalidParam);
    let message = room.world.database.get("config.reload_error_message");
    assert_eq!(message, Some(&Value::text("node 1: file:3: nonsense")));
    assert_eq!(room.world.orders, [Order::Reload, Order::Discard, Order::Reload]);
    room.desk.disconnected(B, &mut room.world);
    room.world.orders.clear();
    let config = config("token = 4000");
    room.desk.judged(Ok(&config), &mut room.world);
    room.settle();
    assert_eq!(room.world.orders, [Order::Adopt]);
    assert!(room.world.database.get("totem.token").is_none(), "not before the node has adapted to it");
    room.desk.adopted(Ok(&config), false, &mut room.world);
    assert_eq!(room.world.database.get("totem.token"), Some(&Value::U32(4000)));
    assert_eq!(room.world.database.get("config.reload_status"), Some(&Value::I32(1)));
    assert_eq!(room.verdict(C, number::RELOAD), Status::Ok);
}

/// Corosync's nodes deliver messages that they call safe as agreed, read their files while the reload message is
/// delivered, and forget the old key one rotation after they announced it.
#[test]
fn a_key_changes_at_once_beside_corosync_and_otherwise_when_all_are_ready() {
    for beside_corosync in [true, false] {
        let mut room = if beside_corosync { Room::new() } else { Room::alone() };
        if beside_corosync {
            room.deliver(2, &Exec::Reload { conn: 1 }.encode(node(2)));
        } else {
            room.ask(A, Ask::Reload { report: false });
            room.settle();
        }
        let read = if beside_corosync { Order::ReloadBesideCorosync } else { Order::Reload };
        assert_eq!(std::mem::take(&mut room.world.orders), [read]);
        let config = config("token = 4000");
        room.desk.judged(Ok(&config), &mut room.world);
        room.settle();
        assert_eq!(std::mem::take(&mut room.world.orders), [Order::Adopt]);
        room.world.guarantees.clear();
        room.desk.adopted(Ok(&config), true, &mut room.world);
        room.settle();
        let guarantee = if beside_corosync { Guarantee::Agreed } else { Guarantee::Safe };
        assert_eq!(room.world.guarantees, [guarantee; 2], "{beside_corosync}");
        assert_eq!(room.world.orders[0], Order::SwitchKey);
    }
}

/// Corosync's nodes refuse another address for a link, so annulus nodes on a ring with them must refuse it
/// too.
#[test]
fn a_changed_link_address_is_refused_in_corosyncs_words() {
    let mut room = Room::alone();
    let knet = |own: &str, other: &str| {
        let text = format!(
            "totem {{\nversion: 2\n}}\nnodelist {{\nnode {{\nnodeid: 1\nname: a\nring0_addr: 127.0.0.1\n\
             ring1_addr: {own}\n}}\nnode {{\nnodeid: 2\nname: b\nring0_addr: 127.0.0.2\nring1_addr: {other}\n}}\n}}\n"
        );
        Config::from_conf(text.as_bytes(), Path::new("test.conf"), &OsHost).unwrap()
    };
    for (name, entry) in knet("127.0.1.1", "127.0.1.2").map.iter() {
        room.world.database.set(name, entry.value.clone());
    }
    let said = |config: &Config| super::reload::readdressed(config, &room.world.database);
    assert_eq!(said(&knet("127.0.1.1", "127.0.1.2")), None);
    for (own, other, from, to) in [
        ("127.0.3.1", "127.0.1.2", "127.0.1.1", "127.0.3.1"),
        ("127.0.1.1", "127.0.3.2", "127.0.1.2", "127.0.3.2"),
    ] {
        let told = said(&knet(own, other)).unwrap();
        let wanted = format!(
            "new config has different address for link 1 (addr changed from {from} to {to}). Internal value was NOT \
             changed.\n  To reconfigure an interface it must be deleted and recreated."
        );
        assert!(told.starts_with(&wanted), "{told}");
    }
    // Other rules apply to udpu.
    assert_eq!(said(&config("")), None);
}

/// A client that asks for a report learns which settings changed and which did not; a C program gets its 24
/// bytes.
#[test]
fn the_reply_reports_the_result_of_a_reload() {
    let mut room = Room::alone();
    room.world.database.set("totem.transport", Value::text("udp"));
    room.world.database.set("totem.version", Value::U32(2));
    room.ask(A, Ask::Reload { report: true });
    room.ask(B, Ask::Reload { report: false });
    room.settle();
    let config = config("token = 4000");
    room.desk.judged(Ok(&config), &mut room.world);
    room.settle();
    room.desk.adopted(Ok(&config), false, &mut room.world);
    let (to, bytes) = room.world.replies.remove(0);
    assert_eq!(to, A);
    let (why, told) = report::decode(&bytes).unwrap();
    assert_eq!(why, "");
    assert!(told.changed.contains(&"totem.token".to_owned()), "{told:?}");
    assert_eq!(told.nodes.len(), 1);
    assert_eq!(told.nodes[0].kept, ["totem.transport (test.toml:2)"]);
    let (to, bytes) = room.world.replies.remove(0);
    assert_eq!((to, bytes.len()), (B, 24));

    room.ask(A, Ask::Reload { report: true });
    room.settle();
    room.desk.judged(Err("file:3: nonsense"), &mut room.world);
    room.settle();
    let (_, bytes) = room.world.replies.remove(0);
    assert_eq!(bytes[16..20], 7_i32.to_ne_bytes());
    assert_eq!(report::decode(&bytes).unwrap().0, "node 1: file:3: nonsense");
}

#[test]
fn a_node_without_a_daemon_refuses_reloads() {
    let mut room = Room::with(false);
    assert_eq!(room.refused(A, Ask::Reload { report: false }), Status::NotSupported);
    assert_eq!(room.refused(A, Ask::ReopenLogFiles), Status::NotSupported);
    room.deliver(2, &Exec::Reload { conn: 1 }.encode(node(2)));
    assert!(room.world.orders.is_empty());
}

/// All clients that asked get the result of the next reopening.
#[test]
fn log_files_are_reopened_before_the_answer() {
    let mut room = Room::new();
    room.ask(A, Ask::ReopenLogFiles);
    room.ask(B, Ask::ReopenLogFiles);
    assert!(room.world.replies.is_empty());
    assert_eq!(room.world.orders, [Order::ReopenLogs, Order::ReopenLogs]);
    room.desk.disconnected(B, &mut room.world);
    room.desk.logs_reopened(Status::NotExist, &mut room.world);
    assert_eq!(room.verdict(A, number::REOPEN_LOG_FILES), Status::NotExist);
    room.desk.logs_reopened(Status::Ok, &mut room.world);
    assert!(room.world.replies.is_empty());
}

#[test]
fn unreadable_messages_change_nothing() {
    let mut room = Room::new();
    for function in 0..number::COUNT {
        let request = Request { bytes: &[0xff; 16], tail: &[] };
        room.desk.request(A, function, request, &mut room.world);
    }
    room.world.replies.clear();
    room.world.sent.clear();
    room.world.orders.clear();
    for function in 0..5_u8 {
        let mut message = vec![0xff; 400];
        message[..2].copy_from_slice(&[function, 0]);
        for length in 16..message.len() {
            if function != 2 && (function != 3 || length < 32) {
                room.deliver(2, &message[..length]);
            }
        }
    }
    assert!(room.world.orders.is_empty());
    assert!(room.desk.malformed() > 0);
}
