//! Handles the requests of votequorum's clients.

use super::answer::Answer;
use super::desk::Desk;
use super::telling::{self, Tracker};
use crate::error::Status;
use crate::ids::{ConnId, NodeId};
use crate::quorum::wire::Track;
use crate::quorum::wire::exec::{Exec, Param, Subject, flag};
use crate::quorum::wire::votequorum::{DeviceInfo, Info, Reply, Request};
use crate::service::Context;

impl Desk {
    /// Handles a request and answers it, unless the answer follows later.
    pub(super) fn asked(&mut self, conn: ConnId, function: u16, bytes: &[u8], context: &mut Context<'_>) {
        let answer = match Request::decode(function, bytes) {
            Ok(request) => self.answer(conn, request, context),
            Err(refusal) => Answer::Now(refusal),
        };
        match answer {
            Answer::Now(reply) => context.reply(conn, reply.encode()),
            Answer::Later => {}
        }
    }

    fn answer(&mut self, conn: ConnId, request: Request<'_>, context: &mut Context<'_>) -> Answer {
        match request {
            Request::GetInfo { node } => Answer::Now(Reply::Info(self.info(node))),
            Request::SetExpected { votes } => self.set_expected(votes, context).into(),
            Request::SetVotes { subject, votes } => self.set_votes(subject, votes, context).into(),
            Request::TrackStart { context: number, track } => self.track(conn, number, track, context).into(),
            Request::TrackStop => self.track_stop(conn).into(),
            Request::DeviceRegister { name } => self.device_register(conn, name, context),
            Request::DeviceUnregister { name } => self.device_unregister(name, context).into(),
            Request::DeviceUpdate { old_name, new_name } => {
                self.device_update(old_name, new_name, context).into()
            }
            Request::DevicePoll { name, cast_vote, ring } => {
                self.device_poll(name, cast_vote, ring, context).into()
            }
            Request::DeviceMasterWins { name, allow } => self.device_master_wins(name, allow, context).into(),
        }
    }

    fn info(&self, node: Option<NodeId>) -> Result<Info, Status> {
        let id = node.unwrap_or(self.me);
        let node = self.votes.nodes.get(id).ok_or(Status::NotExist)?;
        let rules = &self.votes.rules;
        let expected = self.votes.nodes.members().map(|(_, node)| node.expected);
        let here = self.votes.nodes.members().filter(|(id, _)| !self.ringless || *id == self.me);
        let mut total = here.fold(0u32, |sum, (_, node)| sum.saturating_add(node.votes));
        if node.has(flag::QDEVICE_CAST_VOTE) {
            total = total.saturating_add(rules.device_votes);
        }
        Ok(Info {
            node: id,
            state: node.state,
            votes: node.votes,
            expected_votes: node.expected,
            highest_expected: expected.max().unwrap_or(0),
            total_votes: total,
            quorum: self.votes.quorum(),
            quorate: self.quorate(),
            two_node: rules.two_node,
            wait_for_all: rules.wait_for_all,
            last_man_standing: rules.last_man_standing,
            auto_tie_breaker: rules.tie_breaker.is_some(),
            allow_downscale: rules.allow_downscale,
            device: DeviceInfo {
                name: self.device.name.clone(),
                votes: rules.device_votes,
                registered: node.has(flag::QDEVICE_REGISTERED),
                alive: node.has(flag::QDEVICE_ALIVE),
                casts_vote: node.has(flag::QDEVICE_CAST_VOTE),
                master_wins: node.has(flag::QDEVICE_MASTER_WINS),
            },
        })
    }

    fn set_expected(&mut self, expected: u32, context: &mut Context<'_>) -> Result<(), Status> {
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
        self.send(context);
        Ok(())
    }

    fn set_votes(&mut self, subject: Subject, votes: u32, context: &mut Context<'_>) -> Result<(), Status> {
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
        self.send(context);
        Ok(())
    }

    fn track_stop(&mut self, conn: ConnId) -> Result<(), Status> {
        let before = self.trackers.len();
        self.trackers.retain(|tracker| tracker.conn != conn);
        if self.trackers.len() < before { Ok(()) } else { Err(Status::NotExist) }
    }

    fn track(
        &mut self,
        conn: ConnId,
        number: u64,
        track: Track,
        context: &mut Context<'_>,
    ) -> Result<(), Status> {
        let tracker = Tracker { conn, number };
        if track.now {
            telling::nodelist(&[tracker], self.ring, &self.votes, context);
            telling::quorum(&[tracker], &self.votes, self.quorate(), context);
        }
        if self.trackers.iter().any(|tracker| tracker.conn == conn) {
            return Err(Status::Exist);
        }
        if track.changes {
            self.trackers.insert(0, tracker);
        }
        Ok(())
    }
}
