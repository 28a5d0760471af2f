//! The calls that the asynchronous and the blocking client have in common.

use super::VoteInfo;
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::quorum::wire::exec::Subject;
use crate::quorum::wire::quorum::{self, Kind, Model, NumberReplyBytes};
use crate::quorum::wire::votequorum::Request;
use crate::quorum::wire::{NAME_LEN, Track};
use crate::service::client::{Ask, Error};
use crate::service::wire::read::split;

/// One event with the present state.
const STATE: Track = Track { now: true, changes: false };
/// An event with the present state, and one at each change.
const STATE_AND_CHANGES: Track = Track { now: true, changes: true };

pub(super) fn is_quorate() -> Ask<bool> {
    Ask::query("tell whether it is quorate", quorum::Request::GetQuorate.encode(), |reply| {
        Ok(split::<NumberReplyBytes>(reply, "answer (quorate)")?.0.value.get() != 0)
    })
}

/// Selects the newer version of events. The result says whether there is a quorum provider.
pub(super) fn newer_model() -> Ask<bool> {
    Ask::query("tell of quorum", quorum::Request::ModelGetType(Model::V1).encode(), |reply| {
        Ok(split::<NumberReplyBytes>(reply, "answer (quorum type)")?.0.value.get() != Kind::Free as u32)
    })
}

/// Asks for one event with the present state.
pub(super) fn state() -> Ask<()> {
    start(STATE)
}

/// Asks for an event with the present state, and one at each change.
pub(super) fn track() -> Ask<()> {
    start(STATE_AND_CHANGES)
}

fn start(track: Track) -> Ask<()> {
    Ask::order("tell of quorum", quorum::Request::TrackStart(track).encode())
}

/// Asks for the votes of a node; `None`: of the node that is asked.
pub(super) fn votes(node: Option<NodeId>) -> Ask<VoteInfo> {
    let request = Request::GetInfo { node };
    Ask::query("tell the votes of a node", request.encode(), VoteInfo::read)
        .hints(&[(Status::NotExist, ". It has never seen that node")])
}

/// Asks for one event with the present state of the votes.
pub(super) fn vote_state() -> Ask<()> {
    let request = Request::TrackStart { context: 0, track: STATE };
    Ask::order("tell of votes", request.encode())
}

/// Asks for an event with the present state of the votes, and one at each change.
pub(super) fn track_votes() -> Ask<()> {
    let request = Request::TrackStart { context: 0, track: STATE_AND_CHANGES };
    Ask::order("tell of votes", request.encode())
}

pub(super) fn set_expected(votes: u32) -> Ask<()> {
    let request = Request::SetExpected { votes };
    Ask::order("set the expected votes", request.encode()).hints(&[(
        Status::InvalidParam,
        ". There are more votes than that now, or fewer than would then be needed: give a number that is at \
             least the votes present and less than twice as many",
    )])
}

pub(super) fn set_votes(node: NodeId, votes: u32) -> Ask<()> {
    let request = Request::SetVotes { subject: Subject::Node(node), votes };
    Ask::order("set the votes of a node", request.encode()).hints(&[
        (Status::NameNotFound, ". It has never seen that node"),
        (Status::InvalidParam, ". With so many votes quorum would be lost, or two parts could have it"),
    ])
}

/// The name of a device as bytes, if the protocol can carry it.
fn device_name(name: &str) -> Result<&[u8], Error> {
    if name.is_empty() || name.len() >= NAME_LEN || name.contains('\0') {
        return Err(Error::Invalid("the name of a quorum device has 1 to 254 bytes, none of them NUL"));
    }
    Ok(name.as_bytes())
}

pub(super) fn register_device(name: &str) -> Result<Ask<()>, Error> {
    let request = Request::DeviceRegister { name: device_name(name)? };
    Ok(about_device("register a quorum device", &request))
}

pub(super) fn unregister_device(name: &str) -> Result<Ask<()>, Error> {
    let request = Request::DeviceUnregister { name: device_name(name)? };
    Ok(about_device("unregister the quorum device", &request))
}

pub(super) fn rename_device(name: &str, new: &str) -> Result<Ask<()>, Error> {
    let request = Request::DeviceUpdate { old_name: device_name(name)?, new_name: device_name(new)? };
    Ok(about_device("rename the quorum device", &request))
}

pub(super) fn poll_device(name: &str, vote: bool, ring: RingId) -> Result<Ask<()>, Error> {
    let request = Request::DevicePoll { name: device_name(name)?, cast_vote: vote, ring: Some(ring) };
    Ok(about_device("take the vote of the quorum device", &request))
}

pub(super) fn master_wins(name: &str, allow: bool) -> Result<Ask<()>, Error> {
    let request = Request::DeviceMasterWins { name: device_name(name)?, allow };
    Ok(about_device("let the quorum device's part win", &request))
}

fn about_device(what: &'static str, request: &Request<'_>) -> Ask<()> {
    Ask::order(what, request.encode()).hints(&[
        (
            Status::Access,
            ". The configuration does not allow one: its section quorum.device does not go with the rest",
        ),
        (Status::NotExist, ". None is registered at this node: register it first"),
        (Status::Exist, ". One of another name is registered: unregister it first"),
        (Status::InvalidParam, ". One of another name is registered"),
        (Status::MessageError, ". The ring is another one by now: vote on the one that was told last"),
    ])
}
