//! The process table: which processes of the cluster are in which group. Pure data. Every node of a ring has
//! the same table, because every node applies the same changes in the same order.
//!
//! Source: corosync `exec/cpg.c`, `process_info_list_head`; clients see the order of the table.

use std::collections::BTreeMap;

use super::name::{GroupName, Member};
use crate::ids::{ConnId, NodeId};

/// Largest number of processes of one node in groups. A node sends all its processes in one message of at
/// most 1 MiB, which has room for 7281.
///
/// A join beyond the limit is refused with `CS_ERR_NO_RESOURCES`; one from another node is ignored, by all
/// nodes alike.
pub const PROCESSES_PER_NODE: usize = 7 * 1024;

/// One process in one group. (A process with two connections can be in two groups.)
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// The node and process id.
    pub member: Member,
    /// The name of the group.
    pub group: GroupName,
}

/// A group with at least one member in the cluster or one listener here.
#[derive(Debug, Default)]
struct Group {
    /// Ascending by node, then process id.
    members: Vec<Member>,
    /// Those who receive the group's events, newest first.
    listeners: Vec<Listener>,
}

/// A connection of this node that receives a group's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The connection to which events are sent.
    pub conn: ConnId,
    /// The process that is the group's member by this connection.
    pub pid: u32,
}

/// The process table, indexed by group.
#[derive(Debug, Default)]
pub struct Groups {
    /// Ascending by node, then process id; the groups of one process are in the order in which it joined
    /// them.
    processes: Vec<Process>,
    groups: BTreeMap<GroupName, Group>,
}

impl Groups {
    /// Adds a process. Returns false if it is in the table already, or its node has reached
    /// [`PROCESSES_PER_NODE`].
    pub fn insert(&mut self, process: Process) -> bool {
        let node = process.member.node;
        let group = self.groups.entry(process.group.clone()).or_default();
        let Err(place) = group.members.binary_search(&process.member) else {
            return false;
        };
        if self.of_node(node).len() >= PROCESSES_PER_NODE {
            self.forget_if_empty(process.group.as_bytes());
            return false;
        }
        if let Some(group) = self.groups.get_mut(process.group.as_bytes()) {
            group.members.insert(place, process.member);
        }
        let place = self.processes.partition_point(|other| other.member <= process.member);
        self.processes.insert(place, process);
        true
    }

    /// Removes a process. Returns false if it is not in the table.
    pub fn remove(&mut self, group: &[u8], member: Member) -> bool {
        let Some(entry) = self.groups.get_mut(group) else {
            return false;
        };
        let Ok(place) = entry.members.binary_search(&member) else {
            return false;
        };
        entry.members.remove(place);
        self.forget_if_empty(group);
        let first = self.processes.partition_point(|other| other.member < member);
        let same = self.processes[first..].iter().take_while(|other| other.member == member);
        let place = first + same.take_while(|other| other.group.as_bytes() != group).count();
        let removed = self.processes.remove(place);
        // Only the methods of this type change both, always together, so no message can make them differ.
        assert!(removed.member == member && removed.group.as_bytes() == group, "index and table agree");
        true
    }

    /// Removes all processes for which `gone` returns true, and returns them in the table's order.
    pub fn remove_if(&mut self, mut gone: impl FnMut(&Process) -> bool) -> Vec<Process> {
        let removed: Vec<Process> = self.processes.extract_if(.., |process| gone(process)).collect();
        for process in &removed {
            if let Some(group) = self.groups.get_mut(process.group.as_bytes())
                && let Ok(place) = group.members.binary_search(&process.member)
            {
                group.members.remove(place);
            }
            self.forget_if_empty(process.group.as_bytes());
        }
        removed
    }

    /// Whether a process is in a group.
    pub fn contains(&self, group: &[u8], member: Member) -> bool {
        self.members(group).binary_search(&member).is_ok()
    }

    /// A group's members, ascending; empty if there are none.
    pub fn members(&self, group: &[u8]) -> &[Member] {
        self.groups.get(group).map_or(&[], |group| &group.members)
    }

    /// All processes, in the table's order.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// The processes of one node, in the table's order.
    pub fn of_node(&self, node: NodeId) -> &[Process] {
        let first = self.processes.partition_point(|process| process.member.node < node);
        let rest = &self.processes[first..];
        &rest[..rest.partition_point(|process| process.member.node == node)]
    }

    /// Those who receive a group's events, and whether a process of `node` is in the group.
    pub fn listeners(&self, group: &[u8], node: NodeId) -> (&[Listener], bool) {
        let Some(group) = self.groups.get(group) else {
            return (&[], false);
        };
        let at = group.members.partition_point(|member| member.node < node);
        (&group.listeners, group.members.get(at).is_some_and(|member| member.node == node))
    }

    /// Subscribes a connection to a group's events.
    pub fn listen(&mut self, group: &GroupName, listener: Listener) {
        let listeners = &mut self.groups.entry(group.clone()).or_default().listeners;
        if !listeners.contains(&listener) {
            listeners.insert(0, listener);
        }
    }

    /// Ends the subscription of a connection to a group's events.
    pub fn unlisten(&mut self, group: &[u8], conn: ConnId) {
        if let Some(entry) = self.groups.get_mut(group) {
            entry.listeners.retain(|listener| listener.conn != conn);
            self.forget_if_empty(group);
        }
    }

    fn forget_if_empty(&mut self, group: &[u8]) {
        if self.groups.get(group).is_some_and(|group| group.members.is_empty() && group.listeners.is_empty())
        {
            self.groups.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(node: u32, pid: u32, group: &str) -> Process {
        let member = Member { node: NodeId::new(node).unwrap(), pid };
        Process { member, group: GroupName::new(group).unwrap() }
    }

    #[test]
    fn the_table_is_ordered_by_node_and_process_then_by_arrival() {
        let mut groups = Groups::default();
        let arrival = [process(2, 9, "b"), process(1, 7, "z"), process(2, 9, "a"), process(2, 3, "b")];
        for process in arrival.clone() {
            assert!(groups.insert(process));
        }
        assert!(!groups.insert(process(2, 9, "a")), "a second time");
        let order = [1, 3, 0, 2].map(|i: usize| arrival[i].clone());
        assert_eq!(groups.processes(), order);
        assert_eq!(groups.of_node(order[1].member.node), &order[1..]);
        assert_eq!(groups.members(b"b"), [order[1].member, order[2].member]);
        assert!(groups.remove(b"b", order[2].member));
        assert!(!groups.remove(b"b", order[2].member));
        assert_eq!(groups.processes(), [order[0].clone(), order[1].clone(), order[3].clone()]);
        assert_eq!(
            groups.remove_if(|process| process.member.node.get() == 2),
            &order.clone()[1..][..1].iter().chain(&order[3..]).cloned().collect::<Vec<_>>()[..]
        );
        assert_eq!(groups.members(b"a"), []);
        assert_eq!(groups.groups.len(), 1);
    }

    #[test]
    fn one_node_cannot_fill_the_table() {
        let mut groups = Groups::default();
        for pid in 0..PROCESSES_PER_NODE as u32 {
            assert!(groups.insert(process(1, pid, "g")));
        }
        assert!(!groups.insert(process(1, u32::MAX, "g")));
        assert!(!groups.insert(process(1, u32::MAX, "new")));
        assert_eq!(groups.groups.len(), 1);
        assert!(groups.insert(process(2, 1, "g")), "another node still can");
    }

    #[test]
    fn listeners_keep_a_group_alive() {
        let mut groups = Groups::default();
        let one = process(1, 1, "g");
        groups.insert(one.clone());
        let [four, five] = [4, 5].map(|n| Listener { conn: ConnId(n), pid: n as u32 });
        groups.listen(&one.group, four);
        groups.listen(&one.group, five);
        groups.listen(&one.group, five);
        assert_eq!(groups.listeners(b"g", one.member.node), (&[five, four][..], true));
        groups.remove(b"g", one.member);
        assert_eq!(groups.listeners(b"g", one.member.node), (&[five, four][..], false));
        groups.unlisten(b"g", ConnId(4));
        groups.unlisten(b"g", ConnId(5));
        assert!(groups.groups.is_empty());
    }
}
