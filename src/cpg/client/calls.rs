//! The calls that the asynchronous and the blocking client have in common.

use bytes::Bytes;

use super::Error;
use super::wire::{self, UNFRAGMENTED_LIMIT};
use crate::cpg::name::{GroupName, Member};
use crate::cpg::wire::Place;
use crate::error::Status;
use crate::ids::{Guarantee, NodeId};
use crate::service::channel::Outgoing;
use crate::service::client::{self, Ask};

/// Temporary statuses: the ring is changing, or the previous request is still on its way around the ring.
const PASSING: &[Status] = &[Status::TryAgain, Status::Busy];

/// Refuses a message that is longer than the member's limit.
pub(super) fn fits(payload: &Bytes, limit: usize) -> Result<(), Error> {
    let error = Error::TooLong { got: payload.len(), limit, hint: "; see JoinOptions::message_limit" };
    if payload.len() > limit { Err(error) } else { Ok(()) }
}

/// Refuses a message that is longer than one piece or than the member's limit.
pub(super) fn fits_in_one_piece(payload: &Bytes, limit: usize) -> Result<(), Error> {
    let hint = "; multicast() sends longer ones in pieces";
    let error = Error::TooLong { got: payload.len(), limit: UNFRAGMENTED_LIMIT, hint };
    if payload.len() > UNFRAGMENTED_LIMIT.min(limit) { Err(error) } else { Ok(()) }
}

pub(super) fn local_id() -> Ask<NodeId> {
    Ask::query("tell its node id", wire::local_get(), wire::local_node)
}

pub(super) fn membership(group: &GroupName) -> Ask<Vec<Member>> {
    Ask::query("tell the members", wire::membership(group), wire::members)
}

/// Begins an iteration; returns its handle.
pub(super) fn groups() -> Ask<u64> {
    Ask::query("list the groups", wire::iteration_begin(), wire::iteration_handle)
}

/// Asks for the next member of an iteration.
pub(super) fn next(handle: u64) -> Ask<(GroupName, Member)> {
    Ask::query("list the groups", wire::iteration_next(handle), wire::iteration_entry)
}

pub(super) fn join(group: &GroupName, pid: u32, initial_ring: bool) -> Ask<()> {
    Ask::order("join the group", wire::join(group, pid, initial_ring)).while_answered(PASSING)
}

/// Converts the error of a refused join.
pub(super) fn not_joined(group: &GroupName, pid: u32) -> impl FnOnce(client::Error) -> Error {
    let group = group.clone();
    move |error| match error.is_refusal(Status::Exist) {
        true => Error::Exists { group, pid },
        false => error.into(),
    }
}

pub(super) fn leave(group: &GroupName, pid: u32) -> Ask<()> {
    Ask::order("leave the group", wire::leave(group, pid)).while_answered(PASSING)
}

/// A member that has left already counts as having left successfully.
pub(super) fn left(answer: Result<(), client::Error>) -> Result<(), Error> {
    match answer {
        Err(error) if error.is_refusal(Status::NotExist) => Ok(()),
        answer => Ok(answer?),
    }
}

/// A request that multicasts one piece of a message of `total` bytes.
pub(super) fn piece(guarantee: Guarantee, total: usize, place: Place, piece: Bytes) -> Ask<()> {
    let head = wire::partial_mcast(guarantee, total, place, piece.len()).into();
    let request = Outgoing { head, payload: piece };
    Ask::order("send a piece of a message", request).while_answered(PASSING)
}

/// Whether a piece was sent; false if the membership changed since the first piece.
pub(super) fn was_sent(answer: Result<(), client::Error>) -> Result<bool, Error> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if error.is_refusal(Status::Interrupt) => Ok(false),
        Err(error) if error.is_refusal(Status::NotExist) => Err(Error::NotMember),
        Err(error) => Err(error.into()),
    }
}
