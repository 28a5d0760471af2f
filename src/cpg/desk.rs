//! The state of the desk of CPG, and the events that its clients are sent.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::exchange::Exchange;
use super::groups::{Groups, Listener, Process};
use super::iterate::Iterations;
use super::name::{GroupName, Member, Reason};
use super::wire::{Event, ServiceExec};
use crate::ids::{ConnId, Guarantee, NodeId, Piece};
use crate::quiet::Quiet;
use crate::service::{Context, Full, Recipient};

/// Largest number of entries in each list of a membership event, and in a membership reply, for which
/// applications have room. For a larger group the first members are named; longer lists of joined or left
/// members are split over several events.
///
/// Source: corosync `cpg.h`, `CPG_MEMBERS_MAX`.
pub const MEMBERS_MAX: usize = 128;

/// The counters of the desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Exec messages that are too short or have invalid lengths; dropped.
    pub malformed: u64,
    /// Messages to a group from a node that has no process in it; dropped.
    pub unknown_sender: u64,
    /// Joins from a node outside of the ring, or beyond its limit of processes; ignored.
    pub refused_joins: u64,
    /// Leaves of processes that are not in the group; ignored.
    pub unknown_leaves: u64,
    /// Entries of join lists beyond a node's limit of processes; ignored.
    pub long_join_lists: u64,
    /// Multicast requests (which have no answer) that were dropped: the connection is in no group, or the
    /// lengths in the request are invalid.
    pub dropped_requests: u64,
    /// Membership events that did not name all members.
    pub capped_events: u64,
    /// Messages delivered to clients, counted once per client.
    pub delivered: u64,
}

/// The limits of the log lines that other nodes and local clients can cause without limit.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) malformed: Quiet,
    pub(super) unknown_sender: Quiet,
    pub(super) dropped_request: Quiet,
}

/// The desk of service 2, closed process groups.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(super) me: NodeId,
    pub(super) groups: Groups,
    pub(super) connections: BTreeMap<ConnId, Connection>,
    pub(super) exchange: Exchange,
    /// The connections that are in a group, joining or leaving.
    pub(super) seats: HashMap<Seat, ConnId>,
    /// The connections that receive the totem configuration after the next membership change.
    pub(super) owed_totem_conf: Vec<ConnId>,
    /// Closed connections whose leave message has not been delivered yet, in the order of closing.
    pub(super) leaving: Vec<Leaving>,
    pub(super) stats: Stats,
    pub(super) logs: Logs,
}

/// The state of a client.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) state: State,
    /// The client announced that it will close its connection; it gets no more events.
    pub(super) finalized: bool,
    /// Number of membership events sent to the client.
    pub(super) transitions: u64,
    /// The value of `transitions` at the first fragment of the message that the client is sending.
    pub(super) transitions_at_first: u64,
    pub(super) iterations: Iterations,
}

/// A local process in a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seat {
    pub(super) pid: u32,
    pub(super) group: GroupName,
}

/// The state of a connection; it can be in one group at a time.
#[derive(Debug, Default)]
pub(super) enum State {
    /// In no group.
    #[default]
    Out,
    /// The join message is on its way around the ring.
    Joining(Seat),
    /// A member of the group.
    In(Seat),
    /// The leave message is on its way; the connection still gets messages.
    Leaving(Seat),
}

#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) seat: Seat,
    pub(super) sent: bool,
}

impl Desk {
    /// The desk of this node, without clients.
    pub(crate) fn new(me: NodeId) -> Self {
        Self {
            me,
            groups: Groups::default(),
            connections: BTreeMap::new(),
            exchange: Exchange::default(),
            seats: HashMap::new(),
            owed_totem_conf: Vec::new(),
            leaving: Vec::new(),
            stats: Stats::default(),
            logs: Logs::default(),
        }
    }

    /// The process table.
    pub(crate) const fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The counters.
    pub(crate) const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Tells the local members of a group which members joined and left. The process table may still contain
    /// those that left.
    pub(super) fn notify(
        &mut self,
        group: &GroupName,
        joined: &[Member],
        left: &[Member],
        reason: Reason,
        context: &mut Context<'_>,
    ) {
        for member in joined {
            if member.node == self.me {
                self.admit(group, member.pid);
            }
        }
        let (listeners, _) = self.groups.listeners(group.as_bytes(), self.me);
        if !listeners.is_empty() {
            let all = self.groups.members(group.as_bytes()).iter().filter(|member| !left.contains(member));
            let mut members: Vec<Member> = all.copied().take(MEMBERS_MAX + 1).collect();
            if members.len() > MEMBERS_MAX {
                members.truncate(MEMBERS_MAX);
                self.stats.capped_events += 1;
            }
            let events = joined.len().max(left.len()).div_ceil(MEMBERS_MAX);
            for n in 0..events {
                let part = |list: &[Member]| -> Vec<Member> {
                    list.iter().skip(n * MEMBERS_MAX).take(MEMBERS_MAX).copied().collect()
                };
                let (left, joined) = (&part(left), &part(joined));
                let event = Event::Confchg { group, members: &members, left, joined, reason };
                let to = listeners.iter().map(|listener| listener.conn);
                context.event(to.clone(), &event.encode(), Bytes::new());
                for conn in to {
                    if let Some(connection) = self.connections.get_mut(&conn) {
                        connection.transitions += 1;
                    }
                }
            }
        }
        if !self.owed_totem_conf.is_empty()
            && let Some((ring, members)) = self.exchange.settled()
        {
            let event = Event::TotemConfchg { ring, members };
            context.event(self.owed_totem_conf.drain(..), &event.encode(), Bytes::new());
        }
    }

    /// The join message of a local process was delivered: its connection is a member now.
    fn admit(&mut self, group: &GroupName, pid: u32) {
        let seat = Seat { pid, group: group.clone() };
        let Some(conn) = self.seats.get(&seat) else { return };
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if matches!(connection.state, State::Joining(_)) {
            connection.state = State::In(seat);
            if !connection.finalized {
                self.groups.listen(group, Listener { conn: *conn, pid });
            }
        }
    }

    pub(super) fn process_joined(&mut self, member: Member, group: &[u8], context: &mut Context<'_>) {
        let Ok(group) = GroupName::new(group) else { return };
        if self.groups.contains(group.as_bytes(), member) {
            return;
        }
        if !self.exchange.has(member.node) || !self.groups.insert(Process { member, group: group.clone() }) {
            self.stats.refused_joins += 1;
            return;
        }
        self.notify(&group, &[member], &[], Reason::Join, context);
    }

    pub(super) fn process_left(
        &mut self,
        member: Member,
        group: &[u8],
        reason: Reason,
        context: &mut Context<'_>,
    ) {
        let Ok(group) = GroupName::new(group) else { return };
        let seat = Seat { pid: member.pid, group };
        let mut leaver = None;
        if member.node == self.me {
            if let Some(at) = self.leaving.iter().position(|leaving| leaving.sent && leaving.seat == seat) {
                self.leaving.remove(at);
            }
            leaver = self.seats.get(&seat).copied().filter(|conn| {
                let state = self.connections.get(conn).map(|connection| &connection.state);
                matches!(state, Some(State::Leaving(_)))
            });
        }
        let process = Process { member, group: seat.group.clone() };
        if !self.groups.contains(process.group.as_bytes(), member) && leaver.is_none() {
            self.stats.unknown_leaves += 1;
            return;
        }
        self.exchange.depart(&process);
        self.notify(&process.group, &[], &[member], reason, context);
        self.groups.remove(process.group.as_bytes(), member);
        if let Some(conn) = leaver {
            // The client has received the event of its own leave and may join again.
            self.groups.unlisten(process.group.as_bytes(), conn);
            self.seats.remove(&seat);
            self.owed_totem_conf.retain(|other| *other != conn);
            if let Some(connection) = self.connections.get_mut(&conn) {
                connection.state = State::Out;
            }
        }
    }

    /// Delivers a message or a fragment of one to the local members of its group.
    pub(super) fn hand_out(
        &mut self,
        sender: Member,
        group: &[u8],
        (event, payload): (Event<'_>, Bytes),
        piece: Piece,
        context: &mut Context<'_>,
    ) {
        let (listeners, sender_is_member) = self.groups.listeners(group, sender.node);
        if listeners.is_empty() {
            return;
        }
        if !sender_is_member {
            self.stats.unknown_sender += 1;
            if let Some(held_back) = self.logs.unknown_sender.may_speak(context.now()) {
                tracing::warn!(
                    from = %sender.node,
                    held_back,
                    "message to a group from a node that has no process in it, not delivered"
                );
            }
            return;
        }
        let ours = sender.node == self.me;
        let to = listeners.iter().map(|listener| Recipient {
            conn: listener.conn,
            own: (ours && listener.pid == sender.pid).then_some(piece),
        });
        context.event(to, &event.encode(), payload);
        self.stats.delivered += listeners.len() as u64;
    }

    /// Multicasts the leave messages of closed connections as far as there is room; the others are sent in
    /// the next retry.
    pub(super) fn send_leaves(&mut self, context: &mut Context<'_>) {
        for leaving in self.leaving.iter_mut().filter(|leaving| !leaving.sent) {
            let Seat { pid, group } = &leaving.seat;
            let leave = ServiceExec::Leave { group, pid: *pid, reason: Reason::ProcDown };
            match context.multicast_undivided(leave.function(), Guarantee::Agreed, &leave.encode()) {
                Ok(()) => leaving.sent = true,
                Err(Full) => break,
            }
        }
    }
}

impl Connection {
    /// The process in whose name the connection may multicast, if any.
    pub(super) fn sender(&self) -> Option<&Seat> {
        match &self.state {
            State::Joining(seat) | State::In(seat) => Some(seat),
            State::Out | State::Leaving(_) => None,
        }
    }
}
