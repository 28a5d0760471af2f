//! When a client is answered.

use crate::error::Status;
use crate::quorum::wire::votequorum::Reply;

#[derive(Debug)]
pub(super) enum Answer {
    /// It is answered at once.
    Now(Reply),
    /// It is answered when all nodes have received the message that it caused.
    Later,
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self::Now(Reply::Status(status))
    }
}

impl From<Result<(), Status>> for Answer {
    fn from(outcome: Result<(), Status>) -> Self {
        outcome.err().unwrap_or(Status::Ok).into()
    }
}
