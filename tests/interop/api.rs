//! This crate's own clients on both daemons: quorum, database, statistics and administration, asynchronous and
//! blocking. The results must be the same on both.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use annulus::admin::Shutdown;
use annulus::client::{Client, Events, blocking};
use annulus::confdb::{self, ChangeKind};
use annulus::error::Status;
use annulus::ids::{NodeId, RingId};
use annulus::quorum::{self, DeviceInfo, NodeState, QuorumChange, VoteEvent};
use annulus::value::Value;

use crate::lab::{Kind, Lab, PATIENCE, Transport};
use crate::ready;

/// Set for the part of a test that runs inside a host.
const INSIDE: &str = "ANNULUS_INTEROP_INSIDE";

#[test]
fn clients_have_one_api_on_corosync() {
    clients_have_one_api(Kind::Corosync);
}

#[test]
fn clients_have_one_api_on_annulusd() {
    clients_have_one_api(Kind::Annulus);
}

/// Three hosts; the clients run in the first one, which is cut off and comes back.
fn clients_have_one_api(kind: Kind) {
    if !ready() {
        return;
    }
    let mut lab = Lab::new(3);
    lab.configure(Transport::Udpu, "token: 3000");
    lab.start_all(kind);
    lab.wait_for_one_ring();
    let this = std::env::current_exe().expect("the path of this test");
    let mut command: Command = lab.command(1, this);
    let mut inside = command
        .args(["--exact", "api::inside_a_host", "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nsenter starts");
    let mut heard = BufReader::new(inside.stdout.take().expect("piped"));
    let mut told = inside.stdin.take().expect("piped");
    let wait = |word: &str, heard: &mut BufReader<ChildStdout>| {
        let mut output = String::new();
        loop {
            let start = output.len();
            let more = heard.read_line(&mut output).expect("its output");
            assert!(more > 0, "{kind:?}: no {word:?} from inside, but:\n{output}\n{}", lab.log_tail(1));
            if output[start..].trim_end().ends_with(&format!("api: {word}")) {
                return;
            }
        }
    };
    let tell = |told: &mut ChildStdin| told.write_all(b"done\n").expect("it listens");
    wait("cut", &mut heard);
    lab.cut(1);
    tell(&mut told);
    wait("heal", &mut heard);
    lab.heal(1);
    tell(&mut told);
    wait("end", &mut heard);
    assert!(inside.wait().expect("its end").success(), "{}", lab.log_tail(1));
    for k in 1..=3 {
        lab.assert_alive(k);
    }
}

/// The part of the test that runs inside the first host.
#[test]
#[ignore = "runs inside a host of clients_have_one_api, which starts it"]
fn inside_a_host() {
    assert!(std::env::var_os(INSIDE).is_some(), "to be started by clients_have_one_api");
    blocking_clients();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let client = Client::connect().await.expect("the daemon");
        database(&client).await;
        administration(&client).await;
        quorum(&client).await;
    });
    say("end");
}

/// Tells the part outside the host which action is wanted.
fn say(word: &str) {
    println!("\napi: {word}");
}

/// Has the part outside the host carry out an action, and waits until it is done.
fn have(word: &str) {
    say(word);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the test outside");
    assert_eq!(line, "done\n");
}

fn node(id: u32) -> NodeId {
    NodeId::new(id).expect("not 0")
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited for {what} in vain"))
}

async fn quorum(client: &Client) {
    let all = [1, 2, 3].map(node);
    let quorum = client.quorum();
    let info = quorum.info().await.unwrap();
    assert_eq!((info.quorate, info.provider, &info.members[..]), (true, true, &all[..]));
    let votes = info.votes.expect("votequorum");
    assert_eq!((votes.node, votes.state, votes.votes, votes.quorate), (node(1), NodeState::Member, 1, true));
    assert_eq!((votes.expected_votes, votes.highest_expected, votes.total_votes, votes.quorum), (3, 3, 3, 2));
    let flags = [votes.two_node, votes.wait_for_all, votes.last_man_standing, votes.auto_tie_breaker];
    assert_eq!((flags, votes.allow_downscale), ([false; 4], false));
    assert_eq!(votes.device, DeviceInfo::default());
    let nodes = quorum.nodes().await.unwrap();
    assert_eq!(nodes.iter().map(|info| (info.node, info.votes)).collect::<Vec<_>>(), all.map(|id| (id, 1)));
    let unknown = quorum.node(node(9)).await.unwrap_err();
    assert!(unknown.is_refusal(Status::NotExist), "{unknown}");

    let refused = quorum.set_expected_votes(1).await.unwrap_err();
    assert!(refused.is_refusal(Status::InvalidParam), "{refused}");
    let mut events = quorum.vote_events().await.unwrap();
    let told = in_time("the ring", events.next()).await.unwrap().unwrap();
    assert_eq!(told, VoteEvent::Ring { ring: info.ring, members: all.to_vec() });
    let states = all.map(|id| (id, NodeState::Member)).to_vec();
    let told = in_time("quorum", events.next()).await.unwrap().unwrap();
    assert_eq!(told, VoteEvent::Quorum { quorate: true, nodes: states, device: false });
    quorum.set_votes(node(2), 2).await.unwrap();
    in_time("the votes of node 2", async {
        while quorum.node(node(2)).await.unwrap().votes != 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    in_time("expected votes", async {
        while events.next().await.unwrap().unwrap() != VoteEvent::ExpectedVotes(4) {}
    })
    .await;
    quorum.set_votes(node(2), 1).await.unwrap();
    let unknown = quorum.set_votes(node(9), 1).await.unwrap_err();
    assert!(unknown.is_refusal(Status::NameNotFound), "{unknown}");

    device(quorum).await;

    let mut changes = quorum.changes().await.unwrap();
    let now = in_time("the first change", changes.next()).await.unwrap().unwrap();
    assert_eq!((now.quorate, &now.members[..], &now.joined[..]), (true, &all[..], &all[..]));
    have("cut");
    let lost = until(&mut changes, |change| !change.quorate && change.members == [node(1)]).await;
    assert_eq!((lost.joined, lost.left), (vec![], all[1..].to_vec()));
    assert!(!quorum.is_quorate().await.unwrap());
    have("heal");
    let regained = until(&mut changes, |change| change.quorate && change.members == all).await;
    assert!(regained.joined.contains(&node(2)) || regained.joined.contains(&node(3)), "{regained:?}");
}

/// Calls for a quorum device without votes, as the configuration has no device.
async fn device(quorum: &quorum::Client) {
    let mut device = quorum.register_device("one").await.unwrap();
    quorum.register_device("one").await.unwrap();
    let refused = quorum.register_device("two").await.unwrap_err();
    assert!(refused.is_refusal(Status::Exist), "{refused}");
    let old = RingId { rep: node(1), seq: 0 };
    let refused = device.poll(true, old).await.unwrap_err();
    assert!(refused.is_refusal(Status::MessageError), "{refused}");
    device.master_wins(true).await.unwrap();
    device.poll(true, quorum.info().await.unwrap().ring).await.unwrap();
    until_device(quorum, |info| info.registered && info.alive && info.casts_vote && info.master_wins).await;
    device.rename("two").await.unwrap();
    until_device(quorum, |info| info.name == "two").await;
    device.unregister().await.unwrap();
    until_device(quorum, |info| *info == DeviceInfo::default()).await;
}

/// Waits until the device's state has gone around the ring and `is_it` accepts it.
async fn until_device(quorum: &quorum::Client, is_it: impl Fn(&DeviceInfo) -> bool) {
    in_time("the quorum device", async {
        while !is_it(&quorum.node(node(1)).await.unwrap().device) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn until(changes: &mut Events<QuorumChange>, is_it: impl Fn(&QuorumChange) -> bool) -> QuorumChange {
    in_time("a change of quorum", async {
        loop {
            let change = changes.next().await.unwrap().unwrap();
            if is_it(&change) {
                return change;
            }
        }
    })
    .await
}

/// One value of each type, and the longest values.
fn values() -> Vec<Value> {
    vec![
        Value::I8(-1),
        3u8.into(),
        Value::I16(-3),
        4u16.into(),
        Value::I32(-5),
        7u32.into(),
        Value::I64(-9),
        9u64.into(),
        1.5f32.into(),
        2.5f64.into(),
        "text".into(),
        "".into(),
        vec![0u8, 1, 2].into(),
        vec![0u8; 0].into(),
        vec![7u8; 16384].into(),
        "x".repeat(16383).into(),
    ]
}

async fn database(client: &Client) {
    let confdb = client.confdb();
    assert_eq!(confdb.get::<u32>("nodelist.node.2.nodeid").await.unwrap(), Some(3));
    assert_eq!(confdb.get::<String>("totem.transport").await.unwrap().as_deref(), Some("udpu"));
    assert_eq!(confdb.get_value("no.such.key").await.unwrap(), None);
    let refused = confdb.set("totem.transport", "udp").await.unwrap_err();
    assert!(matches!(refused, confdb::Error::ReadOnly { .. }), "{refused}");

    let mut all = confdb.watch("test.").await.unwrap();
    let mut one = confdb.watch_key("test.n").await.unwrap();
    let mut last = None;
    for value in values() {
        confdb.set("test.n", value.clone()).await.unwrap();
        assert_eq!(confdb.get_value("test.n").await.unwrap().as_ref(), Some(&value));
        let change = in_time("a change", all.next()).await.unwrap().unwrap();
        assert_eq!((change.key.as_str(), &change.old, change.new.as_ref()), ("test.n", &last, Some(&value)));
        assert_eq!(in_time("a change", one.next()).await.unwrap().unwrap(), change);
        last = Some(value);
    }
    let refused = confdb.increment("test.n").await.unwrap_err();
    assert!(matches!(refused, confdb::Error::NotInteger { .. }), "{refused}");
    let refused = confdb.increment("test.m").await.unwrap_err();
    assert!(matches!(refused, confdb::Error::NoKey { .. }), "{refused}");
    confdb.set("test.m", 255u8).await.unwrap();
    confdb.increment("test.m").await.unwrap();
    assert_eq!(confdb.get::<u8>("test.m").await.unwrap(), Some(0));
    confdb.decrement("test.m").await.unwrap();
    let entries = confdb.list("test.").await.unwrap().all().await.unwrap();
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((keys, &entries[0].value), (vec!["test.m", "test.n"], &Value::U8(255)));
    assert!(confdb.remove("test.m").await.unwrap());
    assert!(!confdb.remove("test.m").await.unwrap());
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(in_time("a change", all.next()).await.unwrap().unwrap().kind);
    }
    assert_eq!(kinds, [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Modified, ChangeKind::Removed]);
    assert_eq!(confdb.get_value("test.m").await.unwrap(), None);
    confdb.remove("test.n").await.unwrap();
    assert!(confdb.list("test.").await.unwrap().next().await.is_none());

    let statistics = client.statistics();
    assert!(statistics.get::<u64>("stats.ipcs.global.active").await.unwrap().unwrap() > 0);
    assert!(!statistics.list("stats.srp.").await.unwrap().all().await.unwrap().is_empty());
    let refused = statistics.set("stats.ipcs.global.active", 0u64).await.unwrap_err();
    assert_eq!(refused.status(), Status::Access, "{refused}");
}

async fn administration(client: &Client) {
    let cfg = client.cfg();
    assert_eq!(cfg.local_id().await.unwrap(), node(1));
    assert_eq!(cfg.addresses(node(2)).await.unwrap(), ["10.77.0.2".parse::<std::net::IpAddr>().unwrap()]);
    assert!(cfg.addresses(node(9)).await.unwrap_err().is_refusal(Status::NotExist));
    let status = cfg.status(node(3)).await.unwrap();
    assert_eq!((status.node, status.reachable, status.links[0].connected), (3, true, true));
    assert!(!status.links[1].enabled);
    assert!(!cfg.status(node(9)).await.unwrap().reachable);
    let links = cfg.own_links().await.unwrap();
    assert!(links.len() == 1 && links[0].name.contains("10.77.0.1"), "{links:?}");
    cfg.reopen_logs().await.unwrap();
    cfg.reload().await.unwrap();
    assert!(cfg.kill(node(9), "nobody").await.unwrap_err().is_refusal(Status::NotExist));

    let mut requests = cfg.shutdown_requests().await.unwrap();
    let asking = tokio::spawn({
        let cfg = cfg.clone();
        async move { cfg.shutdown(Shutdown::IfAllAgree).await }
    });
    let request = in_time("the question", requests.next()).await.unwrap().unwrap();
    assert_eq!(request.how(), Shutdown::IfAllAgree);
    assert!(cfg.shutdown(Shutdown::IfAllAgree).await.unwrap_err().is_refusal(Status::Exist));
    request.refuse().await.unwrap();
    assert!(in_time("the decision", asking).await.unwrap().unwrap_err().is_refusal(Status::Busy));
}

fn blocking_clients() {
    let client = blocking::Client::connect().expect("the daemon");
    let info = client.quorum().info().unwrap();
    assert_eq!((info.quorate, info.members), (true, [1, 2, 3].map(node).to_vec()));
    assert!(client.quorum().is_quorate().unwrap());
    assert_eq!(client.quorum().nodes().unwrap().len(), 3);
    let mut changes = client.quorum().changes().unwrap();
    let now = changes.next(Some(PATIENCE)).unwrap().expect("how it is now");
    assert_eq!((now.quorate, now.joined.len()), (true, 3));
    let confdb = client.confdb();
    let mut watched = confdb.watch("blocking.").unwrap();
    confdb.set("blocking.key", "value").unwrap();
    assert_eq!(confdb.get::<String>("blocking.key").unwrap().as_deref(), Some("value"));
    assert_eq!(confdb.list("blocking.").unwrap().count(), 1);
    assert!(confdb.remove("blocking.key").unwrap());
    let mut told = Vec::new();
    while told.len() < 2 {
        let change = watched.next(Some(PATIENCE)).unwrap().expect("a change");
        told.push((change.kind, change.old, change.new));
    }
    let value = Value::text("value");
    assert_eq!(told[0], (ChangeKind::Added, None, Some(value.clone())));
    assert_eq!(told[1], (ChangeKind::Removed, Some(value), None));
    assert_eq!(client.cfg().local_id().unwrap(), node(1));
    assert!(client.cfg().status(node(2)).unwrap().reachable);
    assert!(client.statistics().list("stats.").unwrap().count() > 10);
}
