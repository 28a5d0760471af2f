//! Handles exec messages, of other nodes and of this one.

use super::desk::{Desk, Leaving};
use super::telling;
use crate::ids::NodeId;
use crate::quorum::votes::Info;
use crate::quorum::wire::exec::{Exec, Param, Subject, flag};
use crate::service::Context;

impl Desk {
    pub(super) fn heard(&mut self, from: NodeId, exec: Exec<'_>, context: &mut Context<'_>) {
        match exec {
            Exec::NodeInfo { subject: Subject::Device, votes, .. } => {
                if self.votes.nodes.get(from).is_none() {
                    self.stats.refused += 1;
                } else if self.votes.device_info(from, votes) {
                    self.recalculate(false, false, context);
                }
            }
            Exec::NodeInfo { subject: Subject::Node(id), votes, expected_votes, flags } => {
                if id == from {
                    let info = Info { votes, expected: expected_votes, flags };
                    self.heard_of(id, info, context);
                } else {
                    self.stats.impostors += 1;
                    if let Some(held_back) = self.logs.impostor.may_speak(context.now()) {
                        tracing::warn!(%from, %id, held_back, "a node speaks of another's votes; dropped");
                    }
                }
            }
            Exec::Reconfigure { param: Param::ExpectedVotes, value, .. } => {
                self.votes.expect(value);
                telling::expected(&self.trackers, &self.votes, context);
                self.recalculate(true, false, context);
            }
            Exec::Reconfigure { param: Param::NodeVotes, subject, value } => {
                match subject {
                    Subject::Device => self.votes.rules.device_votes = value,
                    Subject::Node(id) => match self.votes.nodes.get_mut(id) {
                        Some(node) => node.votes = value,
                        None => return,
                    },
                }
                self.recalculate(true, false, context);
            }
            Exec::Reconfigure { param: Param::CancelWaitForAll, .. } => {
                if let Some(held_back) = self.logs.reset.may_speak(context.now()) {
                    tracing::info!(
                        held_back = (held_back > 0).then_some(held_back),
                        "wait_for_all_status reset by user on node {from}."
                    );
                }
                self.votes.set_waiting(false);
                self.recalculate(false, false, context);
            }
            Exec::DeviceRegister { register: true, name } => self.device_registered(from, name, context),
            Exec::DeviceRegister { register: false, .. } => {
                if !self.votes.nodes.members().any(|(_, node)| node.has(flag::QDEVICE_REGISTERED)) {
                    self.device.name.clear();
                }
            }
            Exec::DeviceReconfigure { old_name, new_name } => {
                if old_name == self.device.name {
                    self.device.name = new_name.to_vec();
                }
            }
        }
    }

    /// A node has sent its votes.
    fn heard_of(&mut self, id: NodeId, info: Info, context: &mut Context<'_>) {
        let Some(heard) = self.votes.node_info(id, info) else {
            self.stats.refused += 1;
            return;
        };
        if heard.no_last_man {
            self.last_man_at = None;
            tracing::warn!(
                node = %id,
                votes = info.votes,
                "last_man_standing is disabled: it works only where every node has one vote"
            );
        }
        if heard.count {
            self.recalculate(heard.allow_decrease, heard.by_nodes, context);
        }
        self.votes.heard_quorate(info);
        self.publish(context.database());
        if id == self.me && info.flags & flag::LEAVING != 0 && self.leaving == Leaving::Telling {
            self.leaving = Leaving::Told;
        }
    }
}
