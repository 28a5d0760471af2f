//! The library for applications that use closed process groups. It works the same over IPC and inside the
//! process of the node.
//!
//! A **group** is identified by its name, and exists while it has members. A **member** is a process (a node
//! id and a process id) that has joined. Only members send messages to a group and receive them. Messages and
//! changes of the membership reach all members in one order.
//!
//! Corosync's counterpart: `lib/cpg.c`; `cpg_overview(3)`. The counterparts of libcpg's calls:
//!
//! | libcpg | here |
//! |---|---|
//! | `cpg_initialize`, `cpg_model_initialize` | [`Client::connect`]; each [`Group`] has its own connection |
//! | `cpg_join`, `cpg_leave`, `cpg_finalize` | [`Client::join`], [`Group::leave`], dropping the group |
//! | `cpg_mcast_joined`, with loops around `CS_ERR_TRY_AGAIN` | [`Group::multicast`], [`Group::try_multicast`] |
//! | `cpg_dispatch` and the three callbacks | [`Group::events`], or [`blocking::Group::dispatch`] |
//! | `cpg_fd_get` | [`blocking::Group`] is [`AsFd`](std::os::fd::AsFd) |
//! | `cpg_local_get`, `cpg_membership_get`, `cpg_iteration_*` | [`Client::local_id`], [`Client::membership`], [`Client::groups`] |
//! | `cpg_context_get`, `cpg_context_set` | not needed: there are no callbacks |
//! | `cpg_flow_control_state_get`, `cpg_max_atomic_msgsize_get` | `multicast` waits by itself; [`UNFRAGMENTED_LIMIT`] |
//! | `cpg_zcb_*` | not needed: inside the process nothing is copied |
//!
//! | file | what |
//! |---|---|
//! | `group.rs` | [`Group`]: send and leave; [`Events`]: the stream of events |
//! | `event.rs` `error.rs` | events and errors |
//! | `blocking.rs` | the same without an asynchronous runtime, for programs with a main loop |
//! | `inbox.rs` | brings events from the channel to asynchronous readers |
//! | `book.rs` | the state of a member: its phase and its undelivered messages (pure) |
//! | `assemble.rs` | assembles long messages from pieces, within limits (pure) |
//! | `calls.rs` | the calls that both kinds of client have in common |
//! | `wire.rs` | bytes of requests and events |

mod assemble;
pub mod blocking;
mod book;
mod calls;
mod error;
mod event;
mod group;
mod inbox;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::Error;
pub use event::{Change, Event, GroupView, RingView, Undelivered};
pub use group::{Events, Group};
pub use wire::UNFRAGMENTED_LIMIT;

use crate::cpg::name::{GroupName, Member};
use crate::error::Status;
use crate::ids::{NodeId, ServiceId};
use crate::service::channel::{Dial, End, IpcDial};
use crate::service::client::{self, Line, both};

/// Largest number of members that an iteration may return before the daemon is regarded as faulty.
const ITERATION_LIMIT: usize = 1 << 20;

/// A client of the process groups of one daemon, or of one node in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    line: Line,
}

/// How to join a group.
///
/// ```
/// use annulus::cpg::JoinOptions;
///
/// let options = JoinOptions { message_limit: 1 << 20, ..JoinOptions::default() };
/// assert!(options.initial_ring);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinOptions {
    /// The number that distinguishes this member from others on the node. Default: the id of this process.
    ///
    /// One process may be in a group several times if it gives different numbers. It is not checked whether
    /// such a process exists.
    pub pid: Option<u32>,
    /// Whether an [`Event::Ring`] with the current ring follows the first view. Default: true.
    ///
    /// Source: `cpg_model_initialize(3)`, `CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF`.
    pub initial_ring: bool,
    /// Longest message, in bytes, that this member sends or assembles. Default: 64 MiB; at most 4 GiB - 1.
    ///
    /// Messages longer than [`UNFRAGMENTED_LIMIT`] are sent in pieces. Incomplete messages take memory, up to
    /// four times this limit. All members should use the same value.
    pub message_limit: usize,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self { pid: None, initial_ring: true, message_limit: 64 << 20 }
    }
}

impl JoinOptions {
    fn member_pid(&self) -> u32 {
        self.pid.unwrap_or_else(std::process::id)
    }

    /// A copy with limits that the protocol can express.
    fn checked(&self) -> Self {
        let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
        Self { message_limit: self.message_limit.min(most), ..self.clone() }
    }
}

both! {
    Client, blocking::Client { line: ServiceId::CPG }:

    /// The id of the node.
    ///
    /// # Errors
    /// [`Error::Channel`]: no daemon runs, or it refuses this user.
    fn local_id(&self) -> NodeId = self.line, calls::local_id();

    /// The members of a group, by node and process; empty if there is no such group.
    ///
    /// # Errors
    /// The name is too long; [`Error::Channel`]: no daemon runs, or it refuses this user.
    fn membership(&self, name: impl AsRef<[u8]>) -> Vec<Member> =
        self.line, calls::membership(&GroupName::new(name)?);
}

impl Client {
    /// Makes a client of the daemon on this host, which may be annulus' or Corosync's.
    ///
    /// # Errors
    /// [`Error::Channel`]: no daemon runs, or it refuses this user.
    pub async fn connect() -> Result<Self, Error> {
        let client = Self::new(Arc::new(IpcDial::default()));
        client.local_id().await?;
        Ok(client)
    }

    /// Joins a group, with the defaults of [`JoinOptions`].
    ///
    /// The name is any text or bytes, up to 128 bytes; it is used exactly as given (see [`GroupName`]).
    /// Returns when this process is a member: the first of [`Group::events`] is the view with it. If the ring
    /// is changing, this takes until the change is over. Dropping the future leaves the group again if
    /// necessary.
    ///
    /// # Errors
    /// The name is too long; [`Error::Exists`]; or [`Error::Channel`]: no daemon runs, or it refuses this
    /// user.
    pub async fn join(&self, name: impl AsRef<[u8]>) -> Result<Group, Error> {
        self.join_with(name, &JoinOptions::default()).await
    }

    /// Joins a group.
    ///
    /// # Errors
    /// As [`Client::join`].
    pub async fn join_with(&self, name: impl AsRef<[u8]>, options: &JoinOptions) -> Result<Group, Error> {
        let name = GroupName::new(name)?;
        let channel = self.line.open().await?;
        Group::join(channel, name, &options.checked()).await
    }

    /// All groups of the cluster with their members, as this node sees them.
    ///
    /// # Errors
    /// [`Error::Channel`]: no daemon runs, or it refuses this user.
    pub async fn groups(&self) -> Result<BTreeMap<GroupName, Vec<Member>>, Error> {
        // A separate connection: closing it frees the iteration, also when this future is dropped.
        let channel = self.line.open().await?;
        let handle = calls::groups().over(&*channel).await?;
        let mut listing = Listing::default();
        while listing.add(calls::next(handle).over(&*channel).await)? {}
        Ok(listing.by_name())
    }
}

/// The members found so far, in the order in which the daemon listed them.
#[derive(Default)]
struct Listing {
    entries: Vec<(GroupName, Member)>,
}

impl Listing {
    /// Adds the content of an answer; returns whether there is more.
    fn add(&mut self, answer: Result<(GroupName, Member), client::Error>) -> Result<bool, Error> {
        let entry = match answer {
            Err(error) if error.is_refusal(Status::NoSections) => return Ok(false),
            answer => answer?,
        };
        if self.entries.len() >= ITERATION_LIMIT {
            return Err(End::Protocol { what: "answer (iteration without end)" }.into());
        }
        self.entries.push(entry);
        Ok(true)
    }

    /// The members by group, and within a group by node and process.
    fn by_name(self) -> BTreeMap<GroupName, Vec<Member>> {
        let mut groups: BTreeMap<GroupName, Vec<Member>> = BTreeMap::new();
        for (name, member) in self.entries {
            groups.entry(name).or_default().push(member);
        }
        groups.values_mut().for_each(|members| members.sort_unstable());
        groups
    }

    /// The groups in the daemon's order.
    fn in_order(self) -> Vec<(GroupName, Vec<Member>)> {
        let mut groups: Vec<(GroupName, Vec<Member>)> = Vec::new();
        for (name, member) in self.entries {
            match groups.last_mut() {
                Some((last, members)) if *last == name => members.push(member),
                _ => groups.push((name, vec![member])),
            }
        }
        groups
    }
}
