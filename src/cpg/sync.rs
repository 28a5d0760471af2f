//! The desk's part in the synchronisation after a new ring: the lists that it sends, and the conclusions from
//! the lists of all nodes: which processes left with their nodes, which joined, and which are ghosts (in the
//! table, but in no node's list).
//!
//! Source: corosync `exec/cpg.c`, `cpg_sync_*`.

use std::collections::HashSet;

use bytes::Bytes;

use super::desk::Desk;
use super::exchange::Step;
use super::groups::{Groups, Process};
use super::name::{GroupName, Member, Reason};
use super::wire::{Event, ServiceExec};
use crate::ids::{Guarantee, NodeId};
use crate::service::{Context, Full, Progress, SyncView, Synchronised};

impl Synchronised for Desk {
    fn begin(&mut self, view: &SyncView, _context: &mut Context<'_>) {
        self.exchange.begin(view);
    }

    fn process(&mut self, context: &mut Context<'_>) -> Progress {
        if self.exchange.step == Step::DownList {
            let old = self.exchange.settled().map_or(0, |(_, members)| members.len());
            let list = ServiceExec::DownList { old_members: old, left: &self.exchange.left() };
            let sent = context.multicast_undivided(list.function(), Guarantee::Agreed, &list.encode());
            if let Err(Full) = sent {
                return Progress::Again;
            }
            self.exchange.step = Step::JoinList;
        }
        if self.exchange.step == Step::JoinList {
            let local = self.groups.of_node(self.me);
            if !local.is_empty() {
                let list = ServiceExec::JoinList(local);
                let sent = context.multicast_undivided(list.function(), Guarantee::Agreed, &list.encode());
                if let Err(Full) = sent {
                    return Progress::Again;
                }
            }
            self.exchange.step = Step::Wait;
        }
        Progress::Done
    }

    fn activate(&mut self, context: &mut Context<'_>) {
        let left = self.exchange.left();
        let Some(ring) = self.exchange.ring else { return };
        let members = self.exchange.members.clone();
        self.exchange.came_along.clone_from(&members);
        self.exchange.settled = Some((ring, members.clone()));
        self.exchange.step = Step::Settled;
        self.exchange.departed.clear();
        let received = std::mem::take(&mut self.exchange.received);

        let me = self.me;
        let gone = self.groups.remove_if(|process| {
            let node = process.member.node;
            node != me && (left.contains(&node) || members.binary_search(&node).is_err())
        });
        for (group, members) in by_group(gone) {
            self.notify(&group, &[], &members, Reason::NodeDown, context);
        }

        let mut come = Vec::new();
        for process in received.iter().rev() {
            let node = process.member.node;
            let other = node != me && members.binary_search(&node).is_ok();
            if other && self.groups.insert(process.clone()) {
                come.push(process.clone());
            }
        }
        for (group, members) in by_group(come) {
            self.notify(&group, &members, &[], Reason::NodeUp, context);
        }

        for ghost in ghosts(&self.groups, me, &received) {
            self.notify(&ghost.group, &[], &[ghost.member], Reason::ProcDown, context);
            self.groups.remove(ghost.group.as_bytes(), ghost.member);
        }

        let event = Event::TotemConfchg { ring, members: &members };
        context.event(self.connections.keys().copied(), &event.encode(), Bytes::new());
    }

    fn abort(&mut self) {
        self.exchange.received.clear();
        self.exchange.departed.clear();
    }
}

/// Sorts processes by group, keeping their order within each group. Groups are in ascending order as C
/// strings.
fn by_group(mut processes: Vec<Process>) -> Vec<(GroupName, Vec<Member>)> {
    fn c_string(name: &GroupName) -> &[u8] {
        let bytes = name.as_bytes();
        bytes.iter().position(|byte| *byte == 0).map_or(bytes, |end| &bytes[..end])
    }
    processes.sort_by(|a, b| (c_string(&a.group), &a.group).cmp(&(c_string(&b.group), &b.group)));
    let groups = processes.chunk_by(|a, b| a.group == b.group);
    groups.map(|list| (list[0].group.clone(), list.iter().map(|process| process.member).collect())).collect()
}

/// Processes of other nodes that are in no join list.
fn ghosts(groups: &Groups, me: NodeId, listed: &[Process]) -> Vec<Process> {
    let listed: HashSet<&Process> = listed.iter().collect();
    let unknown = |process: &&Process| process.member.node != me && !listed.contains(process);
    groups.processes().iter().filter(unknown).cloned().collect()
}
