//! The desk of service 3: tells clients whether this partition is quorate, and its members. Another desk, the
//! provider, decides on quorum; without a provider every partition is quorate.
//!
//! Source: corosync `exec/vsf_quorum.c`; `quorum_overview(3)`.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::wire::Track;
use super::wire::quorum::{self as wire, Event, Kind, Model, Reply};
use crate::error::Status;
use crate::ids::{ConnId, NodeId, RingId, ServiceId};
use crate::service::{
    Context, Delivery, Notice, Progress, Quorate, Request, Service, SyncView, Synchronised,
};
use crate::view::View;

/// Longest list of node ids in a log line, in bytes.
const LINE: usize = 63;

/// The desk of service 3, quorum.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Whether another desk (the provider) decides on quorum.
    provided: bool,
    quorate: bool,
    /// Ring and members of the last decision.
    decided: Option<(RingId, Vec<NodeId>)>,
    ring: Option<RingId>,
    members: Vec<NodeId>,
    /// Members of the last ring whose synchronisation this desk has completed.
    settled: Vec<NodeId>,
    joined: Vec<NodeId>,
    left: Vec<NodeId>,
    /// The version of events of each client.
    models: BTreeMap<ConnId, Model>,
    /// Clients that are notified of changes, newest first.
    trackers: Vec<ConnId>,
}

impl Desk {
    /// A desk without clients. `provided`: another desk decides on quorum.
    pub(crate) fn new(provided: bool) -> Self {
        Self { provided, quorate: !provided, ..Self::default() }
    }

    /// Whether this partition is quorate.
    #[cfg(test)]
    pub(crate) const fn quorate(&self) -> bool {
        self.quorate
    }

    const fn kind(&self) -> Kind {
        if self.provided { Kind::Set } else { Kind::Free }
    }

    fn model(&self, conn: ConnId) -> Model {
        self.models.get(&conn).copied().unwrap_or_default()
    }

    /// Tells a client, in its version of the event, whether this partition is quorate.
    fn tell_quorum(&self, conn: ConnId, context: &mut Context<'_>) {
        let quorate = self.quorate;
        let (ring, members) = match &self.decided {
            Some((ring, members)) => (Some(*ring), &members[..]),
            None => (None, &[][..]),
        };
        let event = match self.model(conn) {
            Model::V0 => Event::Notification { quorate, ring, members },
            Model::V1 => Event::Quorum { quorate, ring, members },
        };
        context.event([conn], &event.encode(), Bytes::new());
    }

    fn track(&mut self, conn: ConnId, track: Track, context: &mut Context<'_>) -> Status {
        if track.now {
            if self.model(conn) == Model::V1 {
                let event =
                    Event::Nodelist { ring: self.ring, members: &self.members, joined: &[], left: &[] };
                context.event([conn], &event.encode(), Bytes::new());
            }
            self.tell_quorum(conn, context);
        }
        if self.trackers.contains(&conn) {
            return Status::Exist;
        }
        if track.changes {
            self.trackers.insert(0, conn);
        }
        Status::Ok
    }

    /// Handles a request.
    fn answer(&mut self, conn: ConnId, request: wire::Request, context: &mut Context<'_>) -> Reply {
        match request {
            wire::Request::GetQuorate => Reply::GetQuorate(self.quorate),
            wire::Request::TrackStart(track) => Reply::TrackStart(self.track(conn, track, context)),
            wire::Request::TrackStop => {
                self.trackers.retain(|tracker| *tracker != conn);
                Reply::TrackStop
            }
            wire::Request::GetType => Reply::GetType(self.kind()),
            wire::Request::ModelGetType(model) => {
                self.models.insert(conn, model);
                Reply::ModelGetType(Ok(self.kind()))
            }
        }
    }

    /// Handles a decision of the provider.
    fn decide(&mut self, decision: &Quorate, context: &mut Context<'_>) {
        if decision.quorate != self.quorate {
            if decision.quorate {
                tracing::info!("This node is within the primary component and will provide service.");
            } else {
                tracing::info!(
                    "This node is within the non-primary component and will NOT provide any services."
                );
            }
        }
        self.quorate = decision.quorate;
        self.decided = Some((decision.ring, decision.members.clone()));
        log_nodes("Members", &decision.members);
        for conn in &self.trackers {
            self.tell_quorum(*conn, context);
        }
    }
}

/// Logs a list of nodes, on several lines if it is long.
fn log_nodes(what: &str, nodes: &[NodeId]) {
    for line in lines(what, nodes) {
        tracing::info!("{line}");
    }
}

fn lines(what: &str, nodes: &[NodeId]) -> Vec<String> {
    let head = format!("{what}[{}]:", nodes.len());
    let mut lines = vec![String::new()];
    for node in nodes {
        let word = format!(" {node}");
        let last = lines.last_mut().expect("there is always one");
        if last.len() + word.len() > LINE {
            last.push_str(" \\");
            lines.push(word);
        } else {
            last.push_str(&word);
        }
    }
    lines.into_iter().map(|line| format!("{head}{line}")).collect()
}

impl Service for Desk {
    fn id(&self) -> ServiceId {
        ServiceId::QUORUM
    }

    fn functions(&self) -> u16 {
        0
    }

    fn requests(&self) -> u16 {
        wire::request::COUNT
    }

    fn needs_flow_control(&self, _request: u16) -> bool {
        false
    }

    fn deliver(&mut self, _delivery: Delivery, _context: &mut Context<'_>) {}

    fn connected(&mut self, conn: ConnId, _context: &mut Context<'_>) {
        self.models.insert(conn, Model::V0);
    }

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, context: &mut Context<'_>) {
        let reply = match wire::Request::decode(function, request.bytes) {
            Ok(request) => self.answer(conn, request, context),
            Err(refusal) => refusal,
        };
        context.reply(conn, reply.encode());
    }

    fn disconnected(&mut self, conn: ConnId, _context: &mut Context<'_>) {
        self.models.remove(&conn);
        self.trackers.retain(|tracker| *tracker != conn);
    }

    fn retry(&mut self, _context: &mut Context<'_>) {}

    fn noticed(&mut self, notice: &Notice, context: &mut Context<'_>) {
        match notice {
            Notice::Quorum(decision) if self.provided => self.decide(decision, context),
            Notice::Quorum(_) | Notice::Changed(_) | Notice::NoRing => {}
        }
    }

    fn view(&mut self, _view: &View, _context: &mut Context<'_>) {}

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}

impl Synchronised for Desk {
    fn begin(&mut self, view: &SyncView, _context: &mut Context<'_>) {
        let within = |list: &[NodeId], node: &NodeId| list.contains(node);
        self.left = self
            .settled
            .iter()
            .filter(|node| !within(&view.transitional, node) || !within(&view.members, node))
            .copied()
            .collect();
        self.joined = view
            .members
            .iter()
            .filter(|node| !within(&self.settled, node) || within(&self.left, node))
            .copied()
            .collect();
        self.ring = Some(view.ring);
        self.members.clone_from(&view.members);
        log_nodes("Sync members", &self.members);
        if !self.joined.is_empty() {
            log_nodes("Sync joined", &self.joined);
        }
        if !self.left.is_empty() {
            log_nodes("Sync left", &self.left);
        }
    }

    fn process(&mut self, _context: &mut Context<'_>) -> Progress {
        Progress::Done
    }

    fn activate(&mut self, context: &mut Context<'_>) {
        self.settled.clone_from(&self.members);
        let Self { ring, members, joined, left, .. } = &*self;
        let event = Event::Nodelist { ring: *ring, members, joined, left };
        let to = self.trackers.iter().copied().filter(|conn| self.model(*conn) == Model::V1);
        context.event(to, &event.encode(), Bytes::new());
    }

    fn abort(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/protocol/services.md, "Behaviour of quorum": a list of more than 63 bytes is continued on a
    /// further line with the same beginning.
    #[test]
    fn long_lists_are_split_over_several_lines() {
        let nodes: Vec<NodeId> = (1..=40).map(|id| NodeId::new(id).unwrap()).collect();
        assert_eq!(lines("Members", &nodes[..3]), ["Members[3]: 1 2 3"]);
        let long = lines("Sync left", &nodes);
        assert_eq!(long.len(), 2);
        assert!(long[0].starts_with("Sync left[40]: 1 2 ") && long[0].ends_with(" \\"));
        assert!(long[1].starts_with("Sync left[40]: ") && long[1].ends_with(" 40"));
        assert_eq!(lines("Members", &[]), ["Members[0]:"]);
    }
}
