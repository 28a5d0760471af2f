//! Tests of the ring protocol over a network that loses nothing. Everything else is in `tests/sim`.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::wire::join::Join;
use super::{Group, Input, Output, Params, RESERVE, StateName, Totem};
use crate::config::timeouts::{Given, Timeouts};
use crate::ids::{Destination, Guarantee, NodeId, Seq};
use crate::time::Instant;
use crate::view::ViewKind;

struct Net {
    nodes: Vec<Node>,
    now: Instant,
    wire: VecDeque<(usize, Bytes)>,
}

struct Node {
    totem: Totem,
    log: Vec<String>,
    /// Nodes whose synchronisation message of the current ring arrived.
    heard: Vec<NodeId>,
}

fn id(index: usize) -> NodeId {
    NodeId::new(index as u32 + 1).unwrap()
}

impl Net {
    fn new(count: usize, origin: Seq) -> Self {
        let nodes = (0..count)
            .map(|index| {
                let params = Params {
                    me: id(index),
                    timeouts: Timeouts::derive(&Given::default(), count),
                    netmtu: 1500,
                    ring_seq: 1,
                    stored: RESERVE,
                    life: 1,
                    origin,
                };
                Node { totem: Totem::new(params, Instant::ZERO), log: Vec::new(), heard: Vec::new() }
            })
            .collect();
        Self { nodes, now: Instant::ZERO, wire: VecDeque::new() }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut next = vec![self.now; self.nodes.len()];
        while self.now < end {
            for (index, due) in next.iter_mut().enumerate() {
                if *due <= self.now {
                    self.nodes[index].totem.handle_input(self.now, Input::Timeout);
                    *due = self.drain(index);
                }
            }
            while let Some((to, frame)) = self.wire.pop_front() {
                self.nodes[to].totem.handle_input(self.now, Input::Datagram(&frame));
                next[to] = self.drain(to);
            }
            let soon = self.now + Duration::from_micros(50);
            self.now = next.iter().copied().min().unwrap().max(soon);
        }
    }

    fn drain(&mut self, index: usize) -> Instant {
        loop {
            let count = self.nodes.len();
            let node = &mut self.nodes[index];
            match node.totem.poll_output() {
                Output::Wait(until) => return until.unwrap_or(Instant::from_micros(u64::MAX)),
                Output::Send(Destination::All, frame) => {
                    self.wire.extend((0..count).filter(|to| *to != index).map(|to| (to, frame.clone())));
                }
                Output::Send(Destination::Node(to), frame) => {
                    self.wire.push_back((to.get() as usize - 1, frame));
                }
                Output::Store(up_to) => node.totem.handle_input(self.now, Input::Stored(up_to)),
                Output::TokenSent | Output::Probe(_) => {}
                Output::View(view) => {
                    node.log.push(format!("{:?} {} {:?}", view.kind, view.ring, view.members.len()));
                    if view.kind == ViewKind::Regular {
                        node.heard.clear();
                        node.totem.submit(Group::Sync, Guarantee::Agreed, &[b"here"]).unwrap();
                    }
                }
                Output::Deliver(message) if message.group == Group::Sync => {
                    node.heard.push(message.from);
                    if node.heard.len() == node.totem.members().len() {
                        node.totem.synced();
                    }
                }
                Output::Deliver(message) => {
                    let sum: u64 = message.body.iter().map(|byte| u64::from(*byte)).sum();
                    node.log.push(format!("{} {} {sum}", message.from, message.body.len()));
                }
            }
        }
    }
}

/// Totem, membership: nodes that hear each other form one ring. Total order: all deliver the same messages of
/// all sizes in the same order, even when the sequence numbers wrap around.
#[test]
fn three_nodes_order_messages_of_all_sizes() {
    for origin in [Seq(0), Seq(u32::MAX - 700)] {
        let mut net = Net::new(3, origin);
        net.run(Duration::from_secs(2));
        for node in &net.nodes {
            assert_eq!(node.totem.state(), StateName::Operational);
            assert_eq!(node.totem.members().len(), 3);
        }
        for round in 0..20_usize {
            for index in 0..3 {
                let size = [1, 100, 1390, 1402, 5000, 70_000][(round + index) % 6];
                let body = vec![(round * 3 + index) as u8; size];
                let guarantee = if round % 4 == 0 { Guarantee::Safe } else { Guarantee::Agreed };
                net.nodes[index]
                    .totem
                    .submit(Group::App, guarantee, &[&body[..size / 2], &body[size / 2..]])
                    .unwrap();
            }
            net.run(Duration::from_micros(300));
        }
        net.run(Duration::from_secs(2));
        let messages = |node: &Node| -> Vec<String> {
            node.log.iter().filter(|line| !line.starts_with(['R', 'T'])).cloned().collect()
        };
        let first = messages(&net.nodes[0]);
        assert_eq!(first.len(), 60);
        for node in &net.nodes[1..] {
            assert_eq!(messages(node), first);
        }
    }
}

/// A node that is alone forms a ring with itself and delivers its own messages.
#[test]
fn a_lone_node_orders_its_own_messages() {
    let mut net = Net::new(1, Seq(0));
    net.run(Duration::from_millis(500));
    net.nodes[0].totem.submit(Group::App, Guarantee::Safe, &[b"hello"]).unwrap();
    net.run(Duration::from_millis(2000));
    assert_eq!(
        net.nodes[0].log,
        ["Transitional 1.5 0", "Regular 1.5 1", "1 5 532"],
        "state {:?}",
        net.nodes[0].totem.state()
    );
}

/// A forged join message cannot make every node wait for nodes that do not exist: if a node list is
/// configured, frames that name another node are refused and counted.
#[test]
fn a_join_that_names_an_unconfigured_node_is_refused() {
    let mut net = Net::new(3, Seq(0));
    let listed: Vec<NodeId> = (0..3).map(id).collect();
    for node in &mut net.nodes {
        node.totem.admit_only(&listed);
    }
    net.run(Duration::from_secs(5));
    let ring = net.nodes[0].totem.ring();
    for strangers in [vec![id(0), id(1), NodeId::new(4711).unwrap()], vec![NodeId::new(9).unwrap()]] {
        let join =
            Join { from: id(1), leave: false, ring_seq: ring.seq, proc: strangers, failed: Vec::new() };
        let frame = join.encode::<zerocopy::LittleEndian>();
        net.nodes[0].totem.handle_input(net.now, Input::Datagram(&frame));
    }
    net.run(Duration::from_secs(1));
    assert_eq!(net.nodes[0].totem.stats().refused.value, 2);
    assert_eq!(net.nodes[0].totem.ring(), ring, "the ring did not change");
    // The same message about configured nodes only is believed.
    let join = Join { from: id(1), leave: false, ring_seq: ring.seq, proc: listed, failed: Vec::new() };
    net.nodes[0].totem.handle_input(net.now, Input::Datagram(&join.encode::<zerocopy::LittleEndian>()));
    net.run(Duration::from_secs(5));
    assert_ne!(net.nodes[0].totem.ring(), ring, "a new ring was formed");
    assert_eq!(net.nodes[0].totem.members().len(), 3);
}
