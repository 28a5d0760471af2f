//! The calls that the asynchronous and the blocking client have in common.

use std::net::IpAddr;

use super::Shutdown;
use crate::admin::key_use::NodeKey;
use crate::admin::reloaded::Reload;
use crate::admin::status::{NodeStatus, OwnLink};
use crate::admin::wire::request::number;
use crate::admin::wire::{Question, REASON_LIMIT, Reply, Request};
use crate::admin::wire::{keys, report};
use crate::error::Status;
use crate::ids::NodeId;
use crate::service::client::{Ask, Error};
use crate::service::wire::read::{Malformed, kind};

/// The version of a node's status that this library reads.
const STATUS_VERSION: u32 = 1;

fn read(number: u16, reply: &[u8], what: &'static str) -> Result<Reply, Malformed> {
    Reply::decode(number, reply).map_err(|_| Malformed(what))
}

pub(super) fn local_id() -> Ask<NodeId> {
    Ask::query("tell its node id", Request::LocalGet.encode(), |reply| {
        let what = "answer (local node id)";
        match read(number::LOCAL_GET, reply, what)? {
            Reply::LocalGet(id) => NodeId::new(id).ok_or(Malformed(what)),
            _ => Err(Malformed(what)),
        }
    })
}

pub(super) fn addresses(node: NodeId) -> Ask<Vec<IpAddr>> {
    let request = Request::NodeAddrs { node: node.get() };
    let ask = Ask::query("tell the addresses of a node", request.encode(), |reply| {
        let what = "answer (addresses of a node)";
        match read(number::NODE_ADDRS, reply, what)? {
            Reply::NodeAddrs(addresses) => Ok(addresses),
            _ => Err(Malformed(what)),
        }
    });
    ask.hints(&[(Status::NotExist, ". Its configuration has no such node")])
}

pub(super) fn status(node: NodeId) -> Ask<NodeStatus> {
    let request = Request::NodeStatus { node: node.get(), version: STATUS_VERSION };
    let ask = Ask::query("tell the status of a node", request.encode(), |reply| {
        let what = "answer (status of a node)";
        match read(number::NODE_STATUS, reply, what)? {
            Reply::NodeStatus(status) => Ok(*status),
            _ => Err(Malformed(what)),
        }
    });
    ask.hints(&[(Status::FailedOperation, ". Its configuration has no such node")])
}

pub(super) fn own_links() -> Ask<Vec<OwnLink>> {
    Ask::query("tell the status of its links", Request::RingStatus.encode(), |reply| {
        let what = "answer (status of links)";
        match read(number::RING_STATUS, reply, what)? {
            Reply::RingStatus(links) => Ok(links),
            _ => Err(Malformed(what)),
        }
    })
}

pub(super) fn kill(node: NodeId, reason: &str) -> Result<Ask<()>, Error> {
    if reason.len() > REASON_LIMIT {
        return Err(Error::Invalid("the reason to end a node has at most 256 bytes"));
    }
    let request = Request::Kill { node: node.get(), reason: reason.as_bytes() };
    Ok(Ask::order("end a node", request.encode()).hints(&[(Status::NotExist, ". It is not on the ring")]))
}

pub(super) fn shutdown(how: Shutdown) -> Ask<()> {
    let request = Request::TryShutdown { flags: how as u32 };
    Ask::order("shut down", request.encode()).hints(&[
        (Status::Busy, ". A program on this node does not agree, or did not answer in time: stop it first"),
        (Status::Exist, ". Programs on this node are being asked already: wait for their answers"),
    ])
}

pub(super) fn track() -> Ask<()> {
    Ask::order("ask before it shuts down", Request::TrackStart { flags: 0 }.encode())
}

/// The kind of shutdown in a question; `None`: the event is of another kind.
pub(super) fn question(event: &[u8]) -> Result<Option<Shutdown>, Malformed> {
    kind(event)?;
    let bad = Malformed("event (question before a shutdown)");
    let question = Question::decode(event).ok_or(bad)?;
    Shutdown::from_code(question.flags).map(Some).ok_or(bad)
}

pub(super) fn answer(yes: bool) -> Ask<()> {
    let request = Request::ReplyToShutdown { response: yes.into() };
    Ask::order("take the answer", request.encode())
        .hints(&[(Status::Access, ". Nobody waits for it any more: it is decided")])
}

pub(super) fn reload() -> Ask<Reload> {
    let request = Request::Reload { report: true }.encode();
    let ask = Ask::query("reload the configuration", request, |reply| {
        // Corosync's daemon reports only that the reload is done.
        Ok(report::decode(reply).map(|(_, report)| report).unwrap_or_default())
    });
    let ask = ask.once().why(|reply| report::decode(reply).map(|(why, _)| why).filter(|why| !why.is_empty()));
    ask.hints(&[(
        Status::InvalidParam,
        ". The file is wrong, and the old configuration stays: the log says where",
    )])
}

pub(super) fn keys() -> Ask<Vec<NodeKey>> {
    let ask = Ask::query("say which key each node uses", Request::Keys.encode(), |reply| {
        keys::decode(reply).map(|(_, keys)| keys).ok_or(Malformed("answer (keys)"))
    });
    ask.hints(&[(Status::NotSupported, ". Only annulusd can; Corosync cannot")])
}

pub(super) fn new_key() -> Ask<Vec<NodeKey>> {
    let request = Request::NewKey.encode();
    let ask = Ask::query("make a new key for all nodes", request, |reply| {
        keys::decode(reply).map(|(_, keys)| keys).ok_or(Malformed("answer (new key)"))
    });
    let ask = ask.once().why(|reply| keys::decode(reply).map(|(why, _)| why).filter(|why| !why.is_empty()));
    ask.hints(&[(Status::NotSupported, ". Only annulusd can, with a configuration file; Corosync cannot")])
}

const OLD_LOG: &str =
    ". The old file goes on, and has a line that says which file could not be opened and why";

pub(super) fn reopen_logs() -> Ask<()> {
    Ask::order("open its log files again", Request::ReopenLogFiles.encode()).hints(&[
        (Status::NotExist, ". A folder of a log file is not there: make it. The old file goes on"),
        (Status::Access, OLD_LOG),
        (Status::NoSpace, OLD_LOG),
        (Status::Library, OLD_LOG),
    ])
}
