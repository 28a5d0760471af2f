//! Several nodes agree on reloads: their messages are put into one order and delivered to all, as by the
//! ring.

use std::collections::{BTreeMap, VecDeque};

use super::agreement::{ASK_PATIENCE, Act, Agreement, CALL_PATIENCE, Judged, VERDICT_PATIENCE};
use crate::admin::reloaded::NodeOutcome;
use crate::admin::wire::{RoundId, Talk};
use crate::config::fingerprint::Fingerprint;
use crate::ids::{ConnId, node};
use crate::time::Instant;
use crate::view::View;

const CLIENT: ConnId = ConnId(7);

/// The content of a node's file.
#[derive(Clone, Debug)]
enum File {
    Good(Judged),
    Bad(&'static str),
    /// Reading it never ends.
    Stuck,
}

/// A file that lists these nodes and has these settings.
fn file(nodes: &[u32], settings: &[(u64, &str)]) -> File {
    let nodes = nodes.iter().map(|id| (node(*id), u64::from(*id))).collect();
    let settings = settings.iter().map(|(hash, name)| (*hash, (*name).to_owned())).collect();
    File::Good(Judged { fingerprint: Fingerprint { nodes, settings }, kept: Vec::new() })
}

struct Member {
    agreement: Agreement,
    file: File,
    /// The results, one a line.
    log: Vec<String>,
    /// Whether reading has begun and has not ended.
    reading: bool,
}

/// The nodes of a ring and the messages between them.
struct Table {
    members: BTreeMap<u32, Member>,
    /// The nodes that are on the ring.
    ring: Vec<u32>,
    seq: u64,
    now: Instant,
    order: VecDeque<(u32, Order)>,
}

enum Order {
    Talk(Talk),
    Plain(ConnId),
}

impl Table {
    /// These nodes on a ring, all with the same valid file.
    fn new(ids: &[u32]) -> Self {
        let member = |id: &u32| {
            let agreement = Agreement::new(node(*id), true);
            (*id, Member { agreement, file: file(ids, &[]), log: Vec::new(), reading: false })
        };
        let members = ids.iter().map(member).collect();
        let mut table =
            Self { members, ring: Vec::new(), seq: 0, now: Instant::ZERO, order: VecDeque::new() };
        table.view(ids);
        table
    }

    /// Forms a ring of these nodes.
    fn view(&mut self, ids: &[u32]) {
        self.seq += 4;
        let view = View::regular(self.seq, ids);
        self.ring = ids.to_vec();
        for id in ids {
            self.at(*id, |agreement, now| agreement.view(&view, now));
        }
    }

    fn member(&mut self, id: u32) -> &mut Member {
        self.members.get_mut(&id).unwrap()
    }

    /// Lets a node act, and carries out the actions that follow; files are read in [`Table::read`].
    fn at(&mut self, id: u32, what: impl FnOnce(&mut Agreement, Instant)) {
        let now = self.now;
        let member = self.members.get_mut(&id).unwrap();
        what(&mut member.agreement, now);
        for act in member.agreement.acts() {
            match act {
                Act::Say(talk) => self.order.push_back((id, Order::Talk(talk))),
                Act::SayPlain(conn) => self.order.push_back((id, Order::Plain(conn))),
                Act::Read => {
                    assert!(!member.reading, "one at a time");
                    member.reading = true;
                }
                Act::Adopt { waiting, nodes } => {
                    let did = |outcome| nodes.iter().any(|node| node.outcome == outcome);
                    let told = if did(NodeOutcome::Told) { " alone" } else { "" };
                    let without = if did(NodeOutcome::NoFile) { " but by those without a file" } else { "" };
                    member.log.push(format!("applied{told} for {}{without}", waiting.len()));
                }
                Act::Drop => {}
                Act::Refuse { waiting, status, why } => {
                    member.log.push(format!("{status:?} for {}: {why}", waiting.len()));
                }
                Act::GiveUp(waiting) => member.log.push(format!("gave up for {}", waiting.len())),
            }
        }
    }

    fn ask(&mut self, id: u32) {
        self.at(id, |agreement, now| agreement.ask(CLIENT, now));
    }

    /// Asks a node for a reload, and runs.
    fn reload(&mut self, id: u32) {
        self.ask(id);
        self.run();
    }

    /// As `reload`, while a node's file cannot be read.
    fn reload_while_stuck(&mut self, id: u32, stuck: u32) {
        self.member(stuck).file = File::Stuck;
        self.reload(id);
    }

    /// Gives a node another file, and runs.
    fn go_on(&mut self, id: u32, file: File) {
        self.member(id).file = file;
        self.run();
    }

    /// Delivers the next message to all; returns false if there is none.
    fn deliver(&mut self) -> bool {
        let Some((from, message)) = self.order.pop_front() else { return false };
        // The messages of a node that has left are lost.
        if self.ring.contains(&from) {
            for id in self.ring.clone() {
                self.at(id, |agreement, now| match &message {
                    Order::Talk(talk) => agreement.heard(node(from), talk.clone(), now),
                    Order::Plain(conn) => agreement.plain((from == id).then_some(*conn)),
                });
            }
        }
        true
    }

    /// Completes a node's reading, if it is reading.
    fn read(&mut self, id: u32) -> bool {
        let member = self.member(id);
        let outcome = match &member.file {
            File::Good(judged) => Ok(judged.clone()),
            File::Bad(why) => Err((*why).to_owned()),
            File::Stuck => return false,
        };
        if !std::mem::take(&mut member.reading) {
            return false;
        }
        self.at(id, |agreement, _| agreement.judged(outcome));
        true
    }

    /// Runs until nothing more happens without time passing.
    fn run(&mut self) {
        loop {
            let mut busy = self.deliver();
            for id in self.ring.clone() {
                busy |= self.read(id);
            }
            if !busy {
                return;
            }
        }
    }

    /// Advances the clock to the next deadline, and runs.
    fn pass(&mut self) {
        let due = self.ring.iter().filter_map(|id| self.members[id].agreement.deadline()).min();
        self.now = due.expect("somebody waits for something");
        for id in self.ring.clone() {
            if self.members[&id].agreement.deadline().is_some_and(|at| at <= self.now) {
                self.at(id, Agreement::expired);
            }
        }
        self.run();
    }

    fn logs(&self, ids: &[u32]) -> Vec<Vec<&str>> {
        let log = |id: &u32| self.members[id].log.iter().map(String::as_str).collect();
        ids.iter().map(log).collect()
    }

    /// Checks that each of these nodes has this one line.
    fn all_say(&self, ids: &[u32], line: &str) {
        for (id, log) in ids.iter().zip(self.logs(ids)) {
            assert_eq!(log.len(), 1, "node {id}: {log:?}");
            // At the node that was asked, a client waits.
            let plain = log[0].replace(" for 1", " for 0");
            assert_eq!(plain, line, "node {id}");
        }
    }
}

#[test]
fn all_apply_what_all_accept() {
    let mut table = Table::new(&[1, 2, 3]);
    table.reload(2);
    table.all_say(&[1, 2, 3], "applied for 0");
    assert_eq!(table.logs(&[2])[0], ["applied for 1"], "and the client hears of it");
    // The second time no call is necessary.
    table.ask(3);
    assert!(matches!(table.order[0], (3, Order::Talk(Talk::Propose(_)))));
    table.run();
    assert_eq!(table.logs(&[1])[0].len(), 2);
}

#[test]
fn one_bad_file_anywhere_refuses_everywhere() {
    for (asked, bad) in [(1, 1), (1, 3), (3, 1)] {
        let mut table = Table::new(&[1, 2, 3]);
        table.member(bad).file = File::Bad("corosync.conf:9: nonsense");
        table.reload(asked);
        table.all_say(&[1, 2, 3], &format!("InvalidParam for 0: node {bad}: corosync.conf:9: nonsense"));
        // A corrected file is accepted.
        table.member(bad).file = file(&[1, 2, 3], &[]);
        table.reload(asked);
        assert!(table.logs(&[1, 2, 3]).iter().all(|log| log[1].starts_with("applied for")));
    }
}

#[test]
fn all_reasons_are_reported_with_their_nodes() {
    let mut table = Table::new(&[1, 2, 3]);
    for (id, why) in [(1, "my id changed"), (2, "node 1 has another id"), (3, "node 1 has another id")] {
        table.member(id).file = File::Bad(why);
    }
    table.reload(1);
    table.all_say(&[1, 2, 3], "InvalidParam for 0: node 1: my id changed\nnodes 2 3: node 1 has another id");
}

#[test]
fn files_that_differ_are_refused_and_the_difference_named() {
    let mut table = Table::new(&[1, 2, 3]);
    table.member(1).file = file(&[1, 2, 3], &[(10, "totem.token (corosync.conf:4)"), (11, "totem.join")]);
    table.member(3).file = file(&[1, 2, 3], &[(20, "totem.token (corosync.conf:4)"), (11, "totem.join")]);
    table.member(2).file = file(&[1, 2, 3], &[(10, "totem.token (corosync.conf:5)"), (11, "totem.join")]);
    table.reload(1);
    let logs = table.logs(&[1, 2, 3]);
    let reason = |line| {
        format!("InvalidParam for 0: the files of nodes 1 and 3 differ: totem.token (corosync.conf:{line})")
    };
    assert_eq!(logs[0][0], reason(4).replace("for 0", "for 1"));
    assert_eq!(logs[1][0], reason(5));
    assert_eq!(logs[2][0], reason(4));

    // Different node lists are refused as well.
    let mut table = Table::new(&[1, 2]);
    table.member(2).file = file(&[1, 2, 3], &[]);
    table.reload(1);
    table.all_say(&[1, 2], "InvalidParam for 0: the files of nodes 1 and 2 differ: node 3 of the node list");
}

/// The file of such a member is not compared, but its objection counts: its file may say that it is no longer
/// a node.
#[test]
fn a_member_that_the_list_leaves_out_may_object() {
    let mut table = Table::new(&[1, 2, 3]);
    for id in [1, 2] {
        table.member(id).file = file(&[1, 2], &[]);
    }
    table.reload(1);
    table.all_say(&[1, 2, 3], "applied for 0");

    let mut table = Table::new(&[1, 2, 3]);
    for id in [1, 2] {
        table.member(id).file = file(&[1, 2], &[]);
    }
    table.member(3).file = File::Bad("no local address");
    table.reload(1);
    table.all_say(&[1, 2, 3], "InvalidParam for 0: node 3: no local address");
}

#[test]
fn a_silent_member_leads_to_a_refusal_at_the_same_place_everywhere() {
    let mut table = Table::new(&[1, 2, 3]);
    table.reload_while_stuck(1, 2);
    assert!(table.logs(&[1, 2, 3]).iter().all(Vec::is_empty), "all wait");
    table.pass();
    assert_eq!(table.now, Instant::ZERO + VERDICT_PATIENCE);
    table.all_say(
        &[1, 2, 3],
        "Timeout for 0: node 2: no verdict in time; look whether its disk and its name service answer, and ask again",
    );
    // The next reload is refused in the same way instead of waiting without end; when the file can be read,
    // it succeeds.
    table.reload(3);
    table.pass();
    assert_eq!(table.logs(&[1, 2, 3]).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
    table.go_on(2, file(&[1, 2, 3], &[]));
    table.reload(3);
    assert!(table.logs(&[1, 2, 3]).iter().all(|log| log[2].starts_with("applied for")));
}

/// The verdict comes after the time-out message: no node counts it.
#[test]
fn a_late_verdict_is_late_everywhere() {
    let mut table = Table::new(&[1, 2]);
    table.reload_while_stuck(1, 2);
    table.now = Instant::ZERO + VERDICT_PATIENCE;
    table.at(1, Agreement::expired);
    table.member(2).file = file(&[1, 2], &[]);
    assert!(table.read(2));
    table.run();
    let logs = table.logs(&[1, 2]);
    assert!(logs.iter().all(|log| log.len() == 1 && log[0].starts_with("Timeout for")), "{logs:?}");
}

#[test]
fn a_member_that_leaves_is_not_awaited() {
    for bad in [false, true] {
        let mut table = Table::new(&[1, 2, 3]);
        table.member(2).file = File::Stuck;
        if bad {
            table.member(3).file = File::Bad("no");
        }
        table.reload(1);
        table.view(&[1, 3]);
        table.run();
        let expected = if bad { "InvalidParam for 0: node 3: no" } else { "applied for 0" };
        table.all_say(&[1, 3], expected);
    }
}

/// The node that proposed it may leave, together with its client.
#[test]
fn a_round_goes_on_without_its_proposer() {
    let mut table = Table::new(&[1, 2, 3]);
    table.reload_while_stuck(1, 2);
    table.view(&[2, 3]);
    table.go_on(2, file(&[1, 2, 3], &[]));
    table.all_say(&[2, 3], "applied for 0");
}

#[test]
fn a_member_that_joins_is_asked_too() {
    let mut table = Table::new(&[1, 2, 3]);
    table.view(&[1, 2]);
    table.reload_while_stuck(1, 2);
    table.member(3).file = File::Bad("no");
    table.view(&[1, 2, 3]);
    table.run();
    table.go_on(2, file(&[1, 2, 3], &[]));
    table.all_say(&[1, 2, 3], "InvalidParam for 0: node 3: no");
}

/// Two partitions, each with a running reload, merge.
#[test]
fn partitions_that_merge_begin_again() {
    let mut table = Table::new(&[1, 2, 3, 4]);
    table.view(&[1, 2]);
    table.reload_while_stuck(1, 2);
    table.view(&[3, 4]);
    table.reload_while_stuck(3, 4);
    table.view(&[1, 2, 3, 4]);
    for id in [2, 4] {
        table.member(id).file = file(&[1, 2, 3, 4], &[]);
    }
    table.run();
    for (id, log) in [1, 2, 3, 4].iter().zip(table.logs(&[1, 2, 3, 4])) {
        assert!(!log.is_empty() && log.iter().all(|line| line.starts_with("applied for")), "{id}: {log:?}");
    }
    for id in [1, 3] {
        let answers = table.members[&id].log.iter().filter(|line| line.ends_with("for 1")).count();
        assert_eq!(answers, 1, "each client is answered once");
    }
}

/// Requests during a round lead to one further round, at every node.
#[test]
fn proposals_during_a_round_are_one_further_round() {
    let mut table = Table::new(&[1, 2, 3]);
    table.reload(1);
    table.member(3).file = File::Stuck;
    for id in [1, 2, 3] {
        table.reload(id);
    }
    table.go_on(3, file(&[1, 2, 3], &[]));
    let rounds: Vec<usize> = table.logs(&[1, 2, 3]).iter().map(Vec::len).collect();
    assert_eq!(rounds, [3, 3, 3]);
    for id in [1, 2, 3] {
        let answered = table.members[&id].log.iter().filter(|line| line.ends_with("for 1")).count();
        assert_eq!(answered, if id == 1 { 2 } else { 1 });
    }
}

/// A member that knows only Corosync's message does not answer the call: each node decides for itself.
#[test]
fn with_corosync_on_the_ring_each_node_decides_for_itself() {
    let mut table = Table::new(&[1, 2, 9]);
    table.member(2).file = File::Bad("corosync.conf:3: no");
    table.ring = vec![1, 2]; // 9 is a member that never answers
    table.reload(1);
    assert_eq!(table.logs(&[1, 2]), [[""; 0]; 2]);
    table.pass();
    assert_eq!(table.now, Instant::ZERO + CALL_PATIENCE);
    assert_eq!(table.logs(&[1, 2]), [["applied alone for 1"], ["InvalidParam for 0: corosync.conf:3: no"]]);
    // The answer is not awaited again on this ring.
    table.reload(1);
    assert_eq!(table.logs(&[1])[0].len(), 2);
    // Corosync's own reload message is for every node.
    table.member(2).file = file(&[1, 2, 9], &[]);
    for id in [1, 2] {
        table.at(id, |agreement, _| agreement.plain(None));
    }
    table.run();
    let logs = table.logs(&[1, 2]);
    assert!(logs.iter().all(|log| log.last() == Some(&"applied alone for 0")), "{logs:?}");
}

/// A program that is itself a node has no file: it cannot object, and gets the result.
#[test]
fn a_node_without_a_file_follows() {
    let mut table = Table::new(&[1, 2]);
    table.member(2).agreement = Agreement::new(node(2), false);
    table.view(&[1, 2]);
    table.reload(1);
    assert_eq!(table.logs(&[1, 2]), [vec!["applied for 1 but by those without a file"], vec![]]);
    table.member(1).file = File::Bad("no");
    table.reload(1);
    assert_eq!(table.logs(&[2])[0], ["InvalidParam for 0: node 1: no"]);
    assert!(!table.members[&2].reading);
}

/// A proposal that is delivered on another ring than it was made for is repeated.
#[test]
fn a_proposal_for_an_old_ring_is_repeated() {
    let mut table = Table::new(&[1, 2]);
    table.ask(1);
    while !matches!(table.order.front(), Some((_, Order::Talk(Talk::Propose(_))))) {
        assert!(table.deliver());
    }
    table.view(&[1, 2]);
    table.run();
    table.all_say(&[1, 2], "applied for 0");
}

#[test]
fn a_client_does_not_wait_for_ever() {
    let mut table = Table::new(&[1, 2]);
    table.ask(1);
    table.order.clear(); // the ring delivers nothing
    table.pass();
    assert_eq!(table.now, Instant::ZERO + ASK_PATIENCE);
    assert_eq!(table.logs(&[1])[0], ["gave up for 1"]);
    assert_eq!(table.members[&1].agreement.deadline(), None);
}

#[test]
fn a_client_that_is_gone_is_not_answered() {
    let mut table = Table::new(&[1, 2]);
    table.ask(1);
    table.at(1, |agreement, _| agreement.forget(CLIENT));
    table.run();
    assert_eq!(table.logs(&[1])[0], [""; 0], "nobody wants it any more");
    table.reload_while_stuck(1, 2);
    table.at(1, |agreement, _| agreement.forget(CLIENT));
    table.go_on(2, file(&[1, 2], &[]));
    assert_eq!(table.logs(&[1])[0], ["applied for 0"], "what all agreed on is done");
}

#[test]
fn waiting_clients_are_limited() {
    let mut agreement = Agreement::new(node(1), true);
    let mut taken = 0;
    while !agreement.is_full() {
        agreement.ask(ConnId(taken), Instant::ZERO);
        taken += 1;
    }
    assert_eq!(taken, 1024);
}

/// Messages of a member that sends wrong data, or of a node that is not a member.
#[test]
fn messages_of_strangers_and_wrong_rounds_decide_nothing() {
    let mut table = Table::new(&[1, 2, 3]);
    table.reload_while_stuck(1, 3);
    let foreign = RoundId { node: 1, ring: 99, count: 0 };
    let running = RoundId { node: 1, ring: table.seq, count: 0 };
    for id in [1, 2, 3] {
        table.at(id, |agreement, now| {
            agreement.heard(node(77), Talk::Expire(running), now);
            agreement.heard(node(2), Talk::Expire(foreign), now);
            agreement.heard(node(2), Talk::Propose(foreign), now);
            agreement.heard(node(77), Talk::Here, now);
        });
    }
    table.run();
    assert!(table.logs(&[1, 2, 3]).iter().all(Vec::is_empty));
    table.go_on(3, file(&[1, 2, 3], &[]));
    table.all_say(&[1, 2, 3], "applied for 0");
}
