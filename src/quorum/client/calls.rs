//! The calls that the asynchronous and the blocking client have in common.

use zerocopy::IntoBytes;

use super::VoteInfo;
use crate::error::Status;
use crate::ids::{NodeId, RingId};
use crate::quorum::wire::quorum::{self, NumberReplyBytes};
use crate::quorum::wire::votequorum::{
    DeviceMasterWinsRequestBytes, DevicePollRequestBytes, DeviceRequestBytes, DeviceUpdateRequestBytes,
    NumberRequestBytes, SetVotesRequestBytes, TrackStartRequestBytes, request,
};
use crate::quorum::wire::{NAME_LEN, PlainRequestBytes, TRACK_CHANGES, TRACK_CURRENT};
use crate::service::client::{Ask, Error};
use crate::service::wire::HEADER_LEN;
use crate::service::wire::read::split;

/// The version of events that this library reads. Source: `quorum_model_initialize(3)`.
const MODEL: u32 = 1;

pub(super) fn is_quorate() -> Ask<bool> {
    let request = PlainRequestBytes::new(quorum::request::GET_QUORATE.into(), HEADER_LEN);
    Ask::query("tell whether it is quorate", request.as_bytes().to_vec(), |reply| {
        Ok(split::<NumberReplyBytes>(reply, "answer (quorate)")?.0.value.get() != 0)
    })
}

/// Selects the newer version of events. The result says whether there is a quorum provider.
pub(super) fn newer_model() -> Ask<bool> {
    let request = NumberRequestBytes::new(quorum::request::MODEL_GET_TYPE, MODEL);
    Ask::query("tell of quorum", request.as_bytes().to_vec(), |reply| {
        Ok(split::<NumberReplyBytes>(reply, "answer (quorum type)")?.0.value.get() != quorum::TYPE_FREE)
    })
}

/// Asks for one event with the present state.
pub(super) fn state() -> Ask<()> {
    start(TRACK_CURRENT)
}

/// Asks for an event with the present state, and one at each change.
pub(super) fn track() -> Ask<()> {
    start(TRACK_CHANGES)
}

fn start(flags: u32) -> Ask<()> {
    let request = NumberRequestBytes::new(quorum::request::TRACK_START, flags);
    Ask::order("tell of quorum", request.as_bytes().to_vec())
}

/// Asks for the votes of a node; `None`: of the node that is asked.
pub(super) fn votes(node: Option<NodeId>) -> Ask<VoteInfo> {
    let request = NumberRequestBytes::new(request::GET_INFO, node.map_or(0, NodeId::get));
    Ask::query("tell the votes of a node", request.as_bytes().to_vec(), VoteInfo::read).hint(|status| {
        match status {
            Status::NotExist => ". It has never seen that node",
            _ => "",
        }
    })
}

/// Asks for one event with the present state of the votes.
pub(super) fn vote_state() -> Ask<()> {
    let request = TrackStartRequestBytes::new(0, TRACK_CURRENT);
    Ask::order("tell of votes", request.as_bytes().to_vec())
}

/// Asks for an event with the present state of the votes, and one at each change.
pub(super) fn track_votes() -> Ask<()> {
    let request = TrackStartRequestBytes::new(0, TRACK_CHANGES);
    Ask::order("tell of votes", request.as_bytes().to_vec())
}

pub(super) fn set_expected(votes: u32) -> Ask<()> {
    let request = NumberRequestBytes::new(request::SET_EXPECTED, votes);
    Ask::order("set the expected votes", request.as_bytes().to_vec()).hint(|status| match status {
        Status::InvalidParam => {
            ". There are more votes than that now, or fewer than would then be needed: give a number that is at \
             least the votes present and less than twice as many"
        }
        _ => "",
    })
}

pub(super) fn set_votes(node: NodeId, votes: u32) -> Ask<()> {
    let request = SetVotesRequestBytes::new(node.get(), votes);
    Ask::order("set the votes of a node", request.as_bytes().to_vec()).hint(|status| match status {
        Status::NameNotFound => ". It has never seen that node",
        Status::InvalidParam => ". With so many votes quorum would be lost, or two parts could have it",
        _ => "",
    })
}

/// The name of a device as bytes, if the protocol can carry it.
fn device_name(name: &str) -> Result<&[u8], Error> {
    if name.is_empty() || name.len() >= NAME_LEN || name.contains('\0') {
        return Err(Error::Invalid("the name of a quorum device has 1 to 254 bytes, none of them NUL"));
    }
    Ok(name.as_bytes())
}

pub(super) fn register_device(name: &str) -> Result<Ask<()>, Error> {
    let request = DeviceRequestBytes::new(request::QDEVICE_REGISTER, device_name(name)?);
    Ok(about_device("register a quorum device", request.as_bytes()))
}

pub(super) fn unregister_device(name: &str) -> Result<Ask<()>, Error> {
    let request = DeviceRequestBytes::new(request::QDEVICE_UNREGISTER, device_name(name)?);
    Ok(about_device("unregister the quorum device", request.as_bytes()))
}

pub(super) fn rename_device(name: &str, new: &str) -> Result<Ask<()>, Error> {
    let request = DeviceUpdateRequestBytes::new(device_name(name)?, device_name(new)?);
    Ok(about_device("rename the quorum device", request.as_bytes()))
}

pub(super) fn poll_device(name: &str, vote: bool, ring: RingId) -> Result<Ask<()>, Error> {
    let request = DevicePollRequestBytes::new(device_name(name)?, vote, Some(ring));
    Ok(about_device("take the vote of the quorum device", request.as_bytes()))
}

pub(super) fn master_wins(name: &str, allow: bool) -> Result<Ask<()>, Error> {
    let request = DeviceMasterWinsRequestBytes::new(device_name(name)?, allow);
    Ok(about_device("let the quorum device's part win", request.as_bytes()))
}

fn about_device(what: &'static str, request: &[u8]) -> Ask<()> {
    Ask::order(what, request.to_vec()).hint(|status| match status {
        Status::Access => {
            ". The configuration does not allow one: its section quorum.device does not go with the rest"
        }
        Status::NotExist => ". None is registered at this node: register it first",
        Status::Exist => ". One of another name is registered: unregister it first",
        Status::InvalidParam => ". One of another name is registered",
        Status::MessageError => ". The ring is another one by now: vote on the one that was told last",
        _ => "",
    })
}
