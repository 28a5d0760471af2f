//! Quorum, database and administration of embedded nodes.

use std::collections::BTreeSet;

use annulus::admin::Shutdown;
use annulus::client::Events;
use annulus::confdb::{self, ChangeKind};
use annulus::config::quorum::Quorum;
use annulus::error::Status;
use annulus::ids::NodeId;
use annulus::quorum::{NodeState, QuorumChange};
use annulus::value::Value;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cluster::{Cluster, PATIENCE};

/// A token time-out, in ms, that a busy machine rarely exceeds and a test can wait for.
const TOKEN: u32 = 2500;

fn nodes(ids: &[u32]) -> Vec<NodeId> {
    ids.iter().map(|id| NodeId::new(*id).unwrap()).collect()
}

/// Reads the changes of quorum that one node reports, and checks that they are consistent.
struct Watcher {
    changes: Events<QuorumChange>,
    members: BTreeSet<NodeId>,
}

impl Watcher {
    async fn new(c: &Cluster, id: u32) -> Self {
        Self { changes: c.node(id).quorum().changes().await.unwrap(), members: BTreeSet::new() }
    }

    /// Reads until this state is reported, whatever precedes it.
    async fn until(&mut self, quorate: bool, members: &[u32]) {
        let members = nodes(members);
        let reached = async {
            loop {
                let change = self.changes.next().await.unwrap().unwrap();
                for gone in &change.left {
                    assert!(self.members.remove(gone), "{gone} was there: {change:?}");
                }
                for new in &change.joined {
                    assert!(self.members.insert(*new), "{new} was not there: {change:?}");
                }
                assert!(self.members.iter().eq(&change.members), "{change:?}");
                if (change.quorate, &change.members) == (quorate, &members) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("a change of quorum");
    }
}

/// votequorum(5): in a cluster that is cut, only the part with more than half of the votes is quorate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_takes_quorum_from_the_smaller_part() {
    let c = Cluster::with_token(3, TOKEN).await;
    let (mut one, mut three) = (Watcher::new(&c, 1).await, Watcher::new(&c, 3).await);
    one.until(true, &[1, 2, 3]).await;
    three.until(true, &[1, 2, 3]).await;
    c.cut(&[1, 2], &[3]).await;
    one.until(true, &[1, 2]).await;
    three.until(false, &[3]).await;

    let info = c.node(3).quorum().info().await.unwrap();
    assert_eq!((info.quorate, info.provider, info.members), (false, true, nodes(&[3])));
    let votes = info.votes.unwrap();
    assert_eq!((votes.total_votes, votes.expected_votes, votes.quorum), (1, 3, 2));
    assert!(!c.node(3).quorum().is_quorate().await.unwrap());
    let known = c.node(1).quorum().nodes().await.unwrap();
    let states: Vec<_> = known.iter().map(|info| (info.node.get(), info.state)).collect();
    assert_eq!(states, [(1, NodeState::Member), (2, NodeState::Member), (3, NodeState::Dead)]);
    let unknown = c.node(1).quorum().node(NodeId::new(9).unwrap()).await.unwrap_err();
    assert!(unknown.is_refusal(Status::NotExist), "{unknown}");
    let refused = c.node(1).quorum().set_expected_votes(1).await.unwrap_err();
    assert!(refused.is_refusal(Status::InvalidParam), "{refused}");

    c.heal().await;
    one.until(true, &[1, 2, 3]).await;
    three.until(true, &[1, 2, 3]).await;
}

/// votequorum(5), two_node: each of two nodes is quorate alone. Then one node with two votes is quorate, the other is
/// not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quorum_settings_of_the_builder_take_effect() {
    let pair = Quorum { two_node: Some(true), wait_for_all: Some(false), ..Quorum::default() };
    let c = Cluster::with(2, TOKEN, |builder| builder.quorum(pair.clone())).await;
    let (mut one, mut two) = (Watcher::new(&c, 1).await, Watcher::new(&c, 2).await);
    one.until(true, &[1, 2]).await;
    two.until(true, &[1, 2]).await;
    assert!(c.node(1).quorum().info().await.unwrap().votes.unwrap().two_node);
    c.cut(&[1], &[2]).await;
    one.until(true, &[1]).await;
    two.until(true, &[2]).await;
    drop(c);

    let c = Cluster::with(2, TOKEN, |builder| builder.votes([(1, 2)])).await;
    let (mut one, mut two) = (Watcher::new(&c, 1).await, Watcher::new(&c, 2).await);
    one.until(true, &[1, 2]).await;
    two.until(true, &[1, 2]).await;
    c.cut(&[1], &[2]).await;
    one.until(true, &[1]).await;
    two.until(false, &[2]).await;
    let votes = c.node(1).quorum().info().await.unwrap().votes.unwrap();
    assert_eq!((votes.votes, votes.total_votes, votes.expected_votes, votes.quorum), (2, 2, 3, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_set_watched_and_listed() {
    let c = Cluster::start(2).await;
    let confdb = c.node(1).confdb();
    let next = async |changes: &mut Events<confdb::Change>| {
        let change = tokio::time::timeout(PATIENCE, changes.next()).await.expect("a change in time");
        let change = change.unwrap().unwrap();
        (change.key, change.kind, change.old, change.new)
    };
    let (a, b) = (|| "test.a".to_owned(), || "test.b".to_owned());
    let mut all = confdb.watch("test.").await.unwrap();
    let mut one = confdb.watch_key("test.a").await.unwrap();
    confdb.set("test.b", vec![0, 1]).await.unwrap();
    confdb.set("test.a", 255u8).await.unwrap();
    confdb.increment("test.a").await.unwrap();
    confdb.set("test.a", "text").await.unwrap();
    let entries = confdb.list("test.").await.unwrap().all().await.unwrap();
    let entries: Vec<_> = entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
    assert_eq!(entries, [(a(), Value::text("text")), (b(), Value::Bytes(vec![0, 1]))]);
    assert!(confdb.remove("test.a").await.unwrap());
    assert!(!confdb.remove("test.a").await.unwrap());
    assert_eq!(next(&mut all).await, (b(), ChangeKind::Added, None, Some(Value::Bytes(vec![0, 1]))));
    let (full, wrapped, text) = (Value::U8(255), Value::U8(0), Value::text("text"));
    for (kind, old, new) in [
        (ChangeKind::Added, None, Some(full.clone())),
        (ChangeKind::Modified, Some(full), Some(wrapped.clone())),
        (ChangeKind::Modified, Some(wrapped), Some(text.clone())),
        (ChangeKind::Removed, Some(text), None),
    ] {
        let expected = (a(), kind, old, new);
        assert_eq!(next(&mut all).await, expected);
        assert_eq!(next(&mut one).await, expected);
    }

    assert_eq!(confdb.get::<Vec<u8>>("test.b").await.unwrap(), Some(vec![0, 1]));
    assert!(matches!(confdb.get::<u8>("test.b").await, Err(confdb::Error::WrongType { .. })));
    assert!(matches!(confdb.increment("test.b").await, Err(confdb::Error::NotInteger { .. })));
    assert!(matches!(confdb.increment("test.a").await, Err(confdb::Error::NoKey { .. })));
    assert!(matches!(confdb.set("nodelist.node.0.nodeid", 7u32).await, Err(confdb::Error::ReadOnly { .. })));
    assert_eq!(c.node(2).confdb().get_value("test.b").await.unwrap(), None, "each node has its own");
    assert_eq!(confdb.get::<String>("runtime.members.2.status").await.unwrap().as_deref(), Some("joined"));

    let statistics = c.node(1).statistics().list("stats.srp.").await.unwrap().all().await.unwrap();
    assert!(!statistics.is_empty());
    let refused = c.node(1).statistics().set("stats.srp.no_such", 1u64).await.unwrap_err();
    assert_eq!(refused.status(), Status::Access, "{refused}");
}

/// The blocking API needs no runtime on its thread, and offers a descriptor for a main loop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_main_loop_can_watch_a_node() {
    let c = Cluster::start(2).await;
    let client = c.node(1).blocking();
    let thread = std::thread::spawn(move || {
        let mut quorum = client.quorum().changes().unwrap();
        let mut keys = client.confdb().watch("test.").unwrap();
        client.confdb().set("test.key", 1u32).unwrap();
        let (mut members, mut told) = (0, Vec::new());
        while members != 2 || told.len() < 2 {
            let mut descriptors = [PollFd::new(&quorum, PollFlags::IN), PollFd::new(&keys, PollFlags::IN)];
            let patience = Timespec::try_from(PATIENCE).unwrap();
            assert!(poll(&mut descriptors, Some(&patience)).unwrap() > 0, "nothing came");
            quorum.dispatch(|change| members = change.members.len()).unwrap();
            let before = told.len();
            keys.dispatch(|change| told.push((change.old, change.new))).unwrap();
            if (before, told.len()) == (0, 1) {
                client.confdb().increment("test.key").unwrap();
            }
        }
        (told, client.quorum().info().unwrap(), client.confdb().list("test.").unwrap().count())
    });
    let (told, info, count) = tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert_eq!(told, [(None, Some(Value::U32(1))), (Some(Value::U32(1)), Some(Value::U32(2)))]);
    assert_eq!((info.quorate, info.members, count), (true, nodes(&[1, 2]), 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_report_their_addresses_and_ask_clients_before_a_shutdown() {
    let c = Cluster::start(2).await;
    let cfg = c.node(1).cfg();
    let [one, two, nine] = [1, 2, 9].map(|id| NodeId::new(id).unwrap());
    assert_eq!(cfg.local_id().await.unwrap(), one);
    assert_eq!(cfg.addresses(two).await.unwrap().len(), 1);
    let status = cfg.status(two).await.unwrap();
    assert_eq!((status.node, status.reachable, status.links[0].connected), (2, true, true));
    assert!(!cfg.status(nine).await.unwrap().reachable);
    assert_eq!(cfg.own_links().await.unwrap().len(), 1);
    assert!(cfg.kill(nine, "nobody").await.unwrap_err().is_refusal(Status::NotExist));
    let unknown = cfg.addresses(nine).await.unwrap_err();
    assert!(unknown.is_refusal(Status::NotExist), "{unknown}");

    let mut requests = cfg.shutdown_requests().await.unwrap();
    let asking = tokio::spawn({
        let cfg = cfg.clone();
        async move { cfg.shutdown(Shutdown::IfAllAgree).await }
    });
    let request = tokio::time::timeout(PATIENCE, requests.next()).await.expect("the question");
    let request = request.unwrap().unwrap();
    assert_eq!(request.how(), Shutdown::IfAllAgree);
    let busy = cfg.shutdown(Shutdown::IfAllAgree).await.unwrap_err();
    assert!(busy.is_refusal(Status::Exist) || busy.is_refusal(Status::Busy), "{busy}");
    // On a very slow machine an answer may come too late and be refused; the decision is the same.
    let _ = request.refuse().await;
    assert!(asking.await.unwrap().unwrap_err().is_refusal(Status::Busy));
    assert_eq!(cfg.local_id().await.unwrap(), one, "it still runs");
}
