//! The desk of service 3: tells clients whether this partition is quorate, and its members. Another desk, the
//! provider, decides on quorum; without a provider every partition is quorate.
//!
//! Source: corosync `exec/vsf_quorum.c`; `quorum_overview(3)`.

use std::collections::BTreeMap;

use bytes::Bytes;
use zerocopy::{FromBytes, IntoBytes};

use super::wire::quorum::{self as wire, request, response};
use super::wire::{TRACK_CHANGES, TRACK_CHANGES_ONLY, TRACK_CURRENT};
use crate::error::Status;
use crate::ids::{ConnId, NodeId, RingId, ServiceId};
use crate::service::wire::plain_reply;
use crate::service::{
    Delivery, Effects, Notice, Progress, Quorate, Request, Service, SyncView, Synchronised,
};
use crate::view::View;

/// Longest list of node ids in a log line, in bytes.
const LINE: usize = 63;

/// The desk of service 3, quorum.
#[derive(Debug)]
pub struct Desk {
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

/// The version of events that a client reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Model {
    /// One event: quorate, and the members.
    #[default]
    V0,
    /// Two events: quorate and the members; the members, those that joined and those that left.
    V1,
}

impl Desk {
    /// A desk without clients. `provided`: another desk decides on quorum.
    pub const fn new(provided: bool) -> Self {
        Self {
            provided,
            quorate: !provided,
            decided: None,
            ring: None,
            members: Vec::new(),
            settled: Vec::new(),
            joined: Vec::new(),
            left: Vec::new(),
            models: BTreeMap::new(),
            trackers: Vec::new(),
        }
    }

    /// Whether this partition is quorate.
    pub const fn quorate(&self) -> bool {
        self.quorate
    }

    fn kind(&self) -> u32 {
        if self.provided { wire::TYPE_SET } else { wire::TYPE_FREE }
    }

    fn model(&self, conn: ConnId) -> Model {
        self.models.get(&conn).copied().unwrap_or_default()
    }

    /// The quorum event in a client's version.
    fn quorum_event(&self, conn: ConnId) -> Vec<u8> {
        let (ring, view) = match &self.decided {
            Some((ring, view)) => (Some(*ring), &view[..]),
            None => (None, &[][..]),
        };
        match self.model(conn) {
            Model::V0 => wire::notification(self.quorate, ring, view),
            Model::V1 => wire::v1_quorum(self.quorate, ring, view),
        }
    }

    fn track(&mut self, conn: ConnId, flags: u32, effects: &mut dyn Effects) -> Status {
        if flags & (TRACK_CURRENT | TRACK_CHANGES) != 0 {
            if self.model(conn) == Model::V1 {
                let event = wire::v1_nodelist(self.ring, &self.members, &[], &[]);
                effects.event(conn, &event, &Bytes::new());
            }
            effects.event(conn, &self.quorum_event(conn), &Bytes::new());
        }
        if self.trackers.contains(&conn) {
            return Status::Exist;
        }
        if flags & (TRACK_CHANGES | TRACK_CHANGES_ONLY) != 0 {
            self.trackers.insert(0, conn);
        }
        Status::Ok
    }

    /// Handles a decision of the provider.
    fn decide(&mut self, decision: &Quorate, effects: &mut dyn Effects) {
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
            effects.event(*conn, &self.quorum_event(*conn), &Bytes::new());
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
        request::COUNT
    }

    fn needs_flow_control(&self, _request: u16) -> bool {
        false
    }

    fn deliver(&mut self, _delivery: Delivery, _effects: &mut dyn Effects) {}

    fn connected(&mut self, conn: ConnId, _effects: &mut dyn Effects) {
        self.models.insert(conn, Model::V0);
    }

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, effects: &mut dyn Effects) {
        let number = wire::NumberRequestBytes::ref_from_prefix(request.bytes).ok();
        let number = number.map(|(bytes, _)| bytes.value.get());
        let reply = |id, value| wire::NumberReplyBytes::new(id, Status::Ok, value);
        match function {
            request::GET_QUORATE => {
                let reply = reply(response::GET_QUORATE, self.quorate.into());
                effects.reply(conn, reply.as_bytes());
            }
            request::TRACK_START => {
                let status = number.map_or(Status::InvalidParam, |flags| self.track(conn, flags, effects));
                effects.reply(conn, &plain_reply(response::TRACK_START, status));
            }
            request::TRACK_STOP => {
                self.trackers.retain(|tracker| *tracker != conn);
                effects.reply(conn, &plain_reply(response::TRACK_STOP, Status::Ok));
            }
            request::GET_TYPE => {
                effects.reply(conn, reply(response::GET_TYPE, self.kind()).as_bytes());
            }
            request::MODEL_GET_TYPE => {
                let model = match number {
                    Some(0) => Some(Model::V0),
                    Some(1) => Some(Model::V1),
                    Some(_) | None => None,
                };
                let reply = match model {
                    Some(model) => {
                        self.models.insert(conn, model);
                        reply(response::MODEL_GET_TYPE, self.kind())
                    }
                    None => wire::NumberReplyBytes::new(response::MODEL_GET_TYPE, Status::InvalidParam, 0),
                };
                effects.reply(conn, reply.as_bytes());
            }
            _ => effects.reply(conn, &plain_reply(0, Status::InvalidParam)),
        }
    }

    fn disconnected(&mut self, conn: ConnId, _effects: &mut dyn Effects) {
        self.models.remove(&conn);
        self.trackers.retain(|tracker| *tracker != conn);
    }

    fn retry(&mut self, _effects: &mut dyn Effects) {}

    fn noticed(&mut self, notice: &Notice, effects: &mut dyn Effects) {
        match notice {
            Notice::Quorum(decision) if self.provided => self.decide(decision, effects),
            Notice::Quorum(_) | Notice::Changed(_) | Notice::NoRing => {}
        }
    }

    fn view(&mut self, _view: &View, _effects: &mut dyn Effects) {}

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}

impl Synchronised for Desk {
    fn begin(&mut self, view: &SyncView, _effects: &mut dyn Effects) {
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

    fn process(&mut self, _effects: &mut dyn Effects) -> Progress {
        Progress::Done
    }

    fn activate(&mut self, effects: &mut dyn Effects) {
        self.settled.clone_from(&self.members);
        let event = wire::v1_nodelist(self.ring, &self.members, &self.joined, &self.left);
        for conn in &self.trackers {
            if self.model(*conn) == Model::V1 {
                effects.event(*conn, &event, &Bytes::new());
            }
        }
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
