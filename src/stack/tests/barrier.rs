//! Stacks on one network with a member without services, which passes the token on and never takes part in a
//! synchronisation.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::world::{Outcome, World};
use crate::config::map::{Map, Origin};
use crate::config::timeouts::{Given, Timeouts};
use crate::ids::{Destination, Guarantee, NodeId, RingId, Seq};
use crate::quiet::written;
use crate::service;
use crate::service::database::BYTES_LIMIT;
use crate::stack::{Setup, Stack};
use crate::time::Instant;
use crate::totem::{Group, Input, Output, Params, RESERVE, Totem};
use crate::value::Value;

enum Node {
    Whole(Box<Stack>, Box<World>, Box<Outcome>),
    Silent(Box<Totem>),
}

struct Net {
    nodes: Vec<Node>,
    due: Vec<Instant>,
    wire: VecDeque<(usize, Bytes)>,
    now: Instant,
}

fn id(index: usize) -> NodeId {
    NodeId::new(index as u32 + 1).unwrap()
}

impl Net {
    /// Three nodes; `silent` is the index of the one without services; 3 or more: all have services.
    fn new(silent: usize) -> Self {
        Self::with(silent, &Map::default())
    }

    /// As `new`, with this configuration.
    fn with(silent: usize, map: &Map) -> Self {
        let given = Given { token: Some(1000), token_coefficient: Some(0), ..Given::default() };
        let node = |index| {
            let timeouts = Timeouts::derive(&given, 3);
            let (me, origin) = (id(index), Seq(0));
            let params = Params { me, timeouts, netmtu: 1500, ring_seq: 1, stored: RESERVE, life: 1, origin };
            if index == silent {
                return Node::Silent(Box::new(Totem::new(params, Instant::ZERO)));
            }
            let setup = Setup { map: map.clone(), ..Setup::default() };
            let stack = Stack::new(params, setup, Instant::ZERO).unwrap();
            Node::Whole(Box::new(stack), Box::default(), Box::default())
        };
        let nodes = (0..3).map(node).collect();
        Self { nodes, due: vec![Instant::ZERO; 3], wire: VecDeque::new(), now: Instant::ZERO }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for index in 0..self.nodes.len() {
                if self.due[index] <= self.now {
                    self.give(index, Input::Timeout);
                }
            }
            for _ in 0..self.wire.len() {
                let Some((to, frame)) = self.wire.pop_front() else { break };
                self.give(to, Input::Datagram(&frame));
            }
            let soon = self.now + Duration::from_micros(100);
            let next = self.due.iter().copied().min().unwrap();
            self.now = if self.wire.is_empty() { next.max(soon).min(end) } else { soon };
        }
    }

    fn give(&mut self, index: usize, input: Input<'_>) {
        let (mut sent, mut stored) = (Vec::new(), Vec::new());
        match &mut self.nodes[index] {
            Node::Whole(stack, world, outcome) => {
                stack.handle_input(self.now, input);
                while let Some(output) = stack.poll_output(&mut **world) {
                    match output {
                        service::Output::Send(to, frame) => sent.push((to, frame)),
                        service::Output::Store(up_to) => stored.push(up_to),
                        service::Output::Probe(_) => {}
                        other => outcome.note(other),
                    }
                }
                self.due[index] = stack.deadline().unwrap();
            }
            Node::Silent(totem) => {
                totem.handle_input(self.now, input);
                self.due[index] = loop {
                    match totem.poll_output() {
                        Output::Send(to, frame) => sent.push((to, frame)),
                        Output::Store(up_to) => stored.push(up_to),
                        Output::Deliver(_) | Output::View(_) | Output::TokenSent | Output::Probe(_) => {}
                        Output::Wait(until) => break until.unwrap(),
                    }
                };
            }
        }
        for (to, frame) in sent {
            match to {
                Destination::All => {
                    let others = (0..3).filter(|other| *other != index);
                    self.wire.extend(others.map(|other| (other, frame.clone())));
                }
                Destination::Node(node) => self.wire.push_back((node.get() as usize - 1, frame)),
            }
        }
        for up_to in stored {
            self.give(index, Input::Stored(up_to));
        }
    }

    /// Number of nodes with services whose services are open to clients.
    fn serving(&self) -> usize {
        let whole = self.nodes.iter().filter(|node| match node {
            Node::Whole(stack, _, outcome) => {
                outcome.synced == Some(stack.totem().ring()) && !stack.router().syncing()
            }
            Node::Silent(_) => false,
        });
        whole.count()
    }

    /// Runs for `time`; returns the share of its seconds at whose end exactly two nodes serve clients.
    fn share_served(&mut self, time: Duration) -> f64 {
        let served = (0..time.as_secs()).filter(|_| {
            self.run(Duration::from_secs(1));
            self.serving() == 2
        });
        served.count() as f64 / time.as_secs() as f64
    }
}

/// Corosync's nodes would wait without end. Here the ring is formed again, then without the silent member, whichever
/// it is. It may come back, later each time.
#[test]
fn a_member_that_is_silent_at_the_barrier_does_not_block_the_others() {
    for silent in 0..3 {
        let mut net = Net::new(silent);
        net.run(Duration::from_secs(25));
        assert_eq!(net.serving(), 0, "they wait for it");
        net.run(Duration::from_secs(45));
        assert_eq!(net.serving(), 2, "node {} is given up", silent + 1);
        net.run(Duration::from_secs(50));
        assert_eq!(net.serving(), 2, "it stays away for a while");
        net.run(Duration::from_secs(600));
        let share = net.share_served(Duration::from_secs(1200));
        assert!(share > 0.9, "{share}");
        let vain = |node: &Node| match node {
            Node::Whole(stack, ..) => stack.router().stats().syncs_in_vain,
            Node::Silent(_) => 0,
        };
        assert!(net.nodes.iter().map(vain).sum::<u64>() > 2, "it came back, and was given up again");
    }
}

/// The log of a node whose clients wait names the silent member, before and when it is left out.
#[test]
fn a_member_that_is_silent_at_the_barrier_is_named_in_the_log() {
    let mut net = Net::new(1);
    let waiting = written::text_during(|| net.run(Duration::from_secs(25)));
    let line = waiting.lines().find(|line| line.contains("services are not synchronised"));
    assert!(line.is_some_and(|line| line.contains("awaited=2 ")), "{waiting}");
    let given_up = written::text_during(|| net.run(Duration::from_secs(45)));
    let line = given_up.lines().find(|line| line.contains("were not synchronised in time"));
    assert!(line.is_some_and(|line| line.contains("awaited=2 ")), "{given_up}");
}

/// Members that all take part are not disturbed.
#[test]
fn members_that_speak_serve_at_once_and_stay() {
    let mut net = Net::new(3);
    net.run(Duration::from_secs(5));
    assert_eq!(net.serving(), 3);
    let rings = |net: &Net| -> Vec<RingId> {
        net.nodes
            .iter()
            .map(|node| match node {
                Node::Whole(stack, ..) => stack.totem().ring(),
                Node::Silent(totem) => totem.ring(),
            })
            .collect()
    };
    let before = rings(&net);
    net.run(Duration::from_secs(300));
    assert_eq!(rings(&net), before);
    assert_eq!(net.serving(), 3);
}

/// A foreign node sends messages that no service can read, or that have no meaning, as fast as the ring takes them:
/// the others log a few lines, which say how many similar ones were held back.
#[test]
fn a_flood_of_unusable_messages_does_not_fill_the_log() {
    let mut map = Map::default();
    map.set(b"quorum.provider", Value::text("corosync_votequorum"), Origin::Derived).unwrap();
    map.set(b"quorum.expected_votes", Value::U32(3), Origin::Derived).unwrap();
    let mut net = Net::with(2, &map);
    net.run(Duration::from_secs(3));
    let (mut sent, mut number) = (0, 0_u32);
    let (lines, held_back) = written::during(|| {
        for _ in 0..1500 {
            let Node::Silent(totem) = &mut net.nodes[2] else { unreachable!("it was made so") };
            totem.synced();
            for _ in 0..10 {
                number += 1;
                let (service, function) = ([0, 1, 2, 5][number as usize % 4], number / 4 % 5);
                let length = [16, 20, 60, 400][number as usize / 20 % 4];
                let mut message = vec![if number % 3 == 0 { 0 } else { 7 }; length];
                message[..4].copy_from_slice(&(service << 16 | function).to_le_bytes());
                let group = if number % 11 == 0 { Group::Sync } else { Group::App };
                sent += u64::from(totem.submit(group, Guarantee::Agreed, &[&message]).is_ok());
            }
            net.run(Duration::from_millis(10));
        }
    });
    assert!(sent > 10_000, "{sent}");
    assert!(lines < 100, "{lines} lines");
    assert!(held_back > sent / 10, "of {sent}, {held_back} were held back");
}

/// The database gets the time from its stack: that it is full is logged again after a while.
#[test]
fn a_full_database_is_logged_again_after_a_while() {
    let mut net = Net::new(3);
    net.run(Duration::from_secs(5));
    let (lines, held_back) = written::during(|| {
        for _ in 0..60 {
            net.run(Duration::from_secs(1));
            let Node::Whole(stack, world, _) = &mut net.nodes[0] else { unreachable!("all are") };
            stack.write(&mut **world, |database| database.set("key", Value::Bytes(vec![0; BYTES_LIMIT])));
        }
    });
    assert!((2..10).contains(&lines), "{lines} lines");
    assert!(held_back > 20, "{held_back} held back");
}
