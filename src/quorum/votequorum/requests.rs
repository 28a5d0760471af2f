//! Handles the requests of votequorum's clients.

use zerocopy::{FromBytes, IntoBytes, U32};

use super::{Desk, Tracker};
use crate::error::Status;
use crate::ids::{ConnId, NodeId};
use crate::quorum::wire::exec::{Exec, Param, Subject, flag};
use crate::quorum::wire::votequorum::{self as wire, info, request, response};
use crate::quorum::wire::{TRACK_CHANGES, TRACK_CHANGES_ONLY, TRACK_CURRENT, name, name_bytes};
use crate::service::wire::plain_reply;
use crate::service::{Effects, Request};

/// Flags of a node, each with the flag that clients see.
const DEVICE_FLAGS: [(u32, u32); 4] = [
    (flag::QDEVICE_REGISTERED, info::QDEVICE_REGISTERED),
    (flag::QDEVICE_ALIVE, info::QDEVICE_ALIVE),
    (flag::QDEVICE_CAST_VOTE, info::QDEVICE_CAST_VOTE),
    (flag::QDEVICE_MASTER_WINS, info::QDEVICE_MASTER_WINS),
];

impl Desk {
    pub(super) fn asked(
        &mut self,
        conn: ConnId,
        function: u16,
        request: Request<'_>,
        effects: &mut dyn Effects,
    ) {
        if function == request::GET_INFO {
            let reply = match wire::NumberRequestBytes::ref_from_prefix(request.bytes) {
                Ok((bytes, _)) => self.info(bytes.value.get()),
                Err(_) => wire::InfoReplyBytes::empty(Status::InvalidParam),
            };
            effects.reply(conn, reply.as_bytes());
            return;
        }
        if let Some(status) = self.status(conn, function, request.bytes, effects) {
            effects.reply(conn, &plain_reply(response::STATUS, status));
        }
    }

    /// The status to answer; `None`: the answer follows later.
    fn status(
        &mut self,
        conn: ConnId,
        function: u16,
        bytes: &[u8],
        effects: &mut dyn Effects,
    ) -> Option<Status> {
        let done = |result: Result<(), Status>| Some(result.err().unwrap_or(Status::Ok));
        match function {
            request::SET_EXPECTED => match wire::NumberRequestBytes::ref_from_prefix(bytes) {
                Ok((bytes, _)) => done(self.set_expected(bytes.value.get(), effects)),
                Err(_) => Some(Status::InvalidParam),
            },
            request::SET_VOTES => match wire::SetVotesRequestBytes::ref_from_prefix(bytes) {
                Ok((bytes, _)) => {
                    done(self.set_votes(Subject::new(bytes.node.get()), bytes.votes.get(), effects))
                }
                Err(_) => Some(Status::InvalidParam),
            },
            request::TRACK_START => match wire::TrackStartRequestBytes::ref_from_prefix(bytes) {
                Ok((bytes, _)) => done(self.track(conn, bytes.context.get(), bytes.flags.get(), effects)),
                Err(_) => Some(Status::InvalidParam),
            },
            request::TRACK_STOP => {
                let before = self.trackers.len();
                self.trackers.retain(|tracker| tracker.conn != conn);
                Some(if self.trackers.len() < before { Status::Ok } else { Status::NotExist })
            }
            request::QDEVICE_REGISTER => match wire::DeviceRequestBytes::ref_from_prefix(bytes) {
                Ok((bytes, _)) => self.device_register(conn, name(&bytes.name), effects),
                Err(_) => Some(Status::InvalidParam),
            },
            request::QDEVICE_UNREGISTER => match wire::DeviceRequestBytes::ref_from_prefix(bytes) {
                Ok((bytes, _)) => done(self.device_unregister(name(&bytes.name), effects)),
                Err(_) => Some(Status::InvalidParam),
            },
            request::QDEVICE_UPDATE => match wire::DeviceUpdateRequestBytes::ref_from_prefix(bytes) {
                Ok((bytes, _)) => {
                    done(self.device_update(name(&bytes.old_name), name(&bytes.new_name), effects))
                }
                Err(_) => Some(Status::InvalidParam),
            },
            request::QDEVICE_POLL => match wire::DevicePollRequestBytes::ref_from_prefix(bytes) {
                Ok((bytes, _)) => {
                    let cast_vote = bytes.cast_vote.get() != 0;
                    done(self.device_poll(name(&bytes.name), cast_vote, bytes.ring.ring(), effects))
                }
                Err(_) => Some(Status::InvalidParam),
            },
            request::QDEVICE_MASTER_WINS => {
                match wire::DeviceMasterWinsRequestBytes::ref_from_prefix(bytes) {
                    Ok((bytes, _)) => {
                        done(self.device_master_wins(name(&bytes.name), bytes.allow.get() != 0, effects))
                    }
                    Err(_) => Some(Status::InvalidParam),
                }
            }
            _ => Some(Status::InvalidParam),
        }
    }

    fn info(&self, node: u32) -> wire::InfoReplyBytes {
        let id = NodeId::new(node).unwrap_or(self.me);
        let Some(node) = self.votes.nodes.get(id) else {
            return wire::InfoReplyBytes::empty(Status::NotExist);
        };
        let rules = &self.votes.rules;
        let members = || self.votes.nodes.members().map(|(_, node)| node);
        let here = self.votes.nodes.members().filter(|(id, _)| !self.ringless || *id == self.me);
        let mut total = here.fold(0u32, |sum, (_, node)| sum.saturating_add(node.votes));
        if node.has(flag::QDEVICE_CAST_VOTE) {
            total = total.saturating_add(rules.device_votes);
        }
        let settings = [
            (rules.two_node, info::TWO_NODE),
            (self.quorate(), info::QUORATE),
            (rules.wait_for_all, info::WAIT_FOR_ALL),
            (rules.last_man_standing, info::LAST_MAN_STANDING),
            (rules.tie_breaker.is_some(), info::AUTO_TIE_BREAKER),
            (rules.allow_downscale, info::ALLOW_DOWNSCALE),
        ];
        let settings = settings.into_iter().filter(|(on, _)| *on).map(|(_, bit)| bit);
        let device = DEVICE_FLAGS.into_iter().filter(|(flag, _)| node.has(*flag)).map(|(_, bit)| bit);
        wire::InfoReplyBytes {
            node: U32::new(id.get()),
            state: U32::new(node.state.code()),
            votes: U32::new(node.votes),
            expected_votes: U32::new(node.expected),
            highest_expected: U32::new(members().map(|node| node.expected).max().unwrap_or(0)),
            total_votes: U32::new(total),
            quorum: U32::new(self.votes.quorum()),
            flags: U32::new(settings.chain(device).fold(0, |all, bit| all | bit)),
            device_votes: U32::new(rules.device_votes),
            device_name: name_bytes(&self.device.name),
            ..wire::InfoReplyBytes::empty(Status::Ok)
        }
    }

    fn set_expected(&mut self, expected: u32, effects: &mut dyn Effects) -> Result<(), Status> {
        let then = self.votes.threshold(true, expected, false);
        if expected < then.votes || self.votes.quorate() && then.quorum > then.votes {
            return Err(Status::InvalidParam);
        }
        let param = Param::ExpectedVotes;
        let letter = Exec::Reconfigure { subject: Subject::Node(self.me), param, value: expected };
        if !self.outbox.post(&letter) {
            return Err(Status::NoResources);
        }
        self.votes.nodes.expect(expected);
        self.send(effects);
        Ok(())
    }

    fn set_votes(&mut self, subject: Subject, votes: u32, effects: &mut dyn Effects) -> Result<(), Status> {
        let place = match subject {
            Subject::Device => &mut self.votes.rules.device_votes,
            Subject::Node(id) => &mut self.votes.nodes.get_mut(id).ok_or(Status::NameNotFound)?.votes,
        };
        let before = std::mem::replace(place, votes);
        let then = self.votes.threshold(true, 0, self.votes.rules.allow_downscale);
        let impossible = then.quorum < then.votes / 2 || then.quorum > then.votes;
        let refused = if impossible {
            Some(Status::InvalidParam)
        } else {
            let letter = Exec::Reconfigure { subject, param: Param::NodeVotes, value: votes };
            (!self.outbox.post(&letter)).then_some(Status::NoResources)
        };
        if let Some(status) = refused {
            match subject {
                Subject::Device => self.votes.rules.device_votes = before,
                Subject::Node(id) => {
                    if let Some(node) = self.votes.nodes.get_mut(id) {
                        node.votes = before;
                    }
                }
            }
            return Err(status);
        }
        self.send(effects);
        Ok(())
    }

    fn track(
        &mut self,
        conn: ConnId,
        context: u64,
        flags: u32,
        effects: &mut dyn Effects,
    ) -> Result<(), Status> {
        let tracker = Tracker { conn, context };
        if flags & (TRACK_CURRENT | TRACK_CHANGES) != 0 {
            self.tell_nodelist(&[tracker], effects);
            self.tell_quorum(&[tracker], self.quorate(), effects);
        }
        if self.trackers.iter().any(|tracker| tracker.conn == conn) {
            return Err(Status::Exist);
        }
        if flags & (TRACK_CHANGES | TRACK_CHANGES_ONLY) != 0 {
            self.trackers.insert(0, tracker);
        }
        Ok(())
    }
}
