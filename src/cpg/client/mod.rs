//! The library that an application uses for closed process groups, the same over IPC and inside the
//! process of the node.
//!
//! A **group** is known by its name, and exists while somebody is in it. A **member** is a process (a node
//! id and a process id) that has joined. Only members send to a group and hear from it. Messages and changes
//! of the membership come to all members in one order.
//!
//! Corosync's counterpart: `lib/cpg.c`; `cpg_overview(3)`. Where the calls of libcpg went:
//!
//! | libcpg | here |
//! |---|---|
//! | `cpg_initialize`, `cpg_model_initialize` | [`Client::connect`]; each [`Group`] has its own connection |
//! | `cpg_join`, `cpg_leave`, `cpg_finalize` | [`Client::join`], [`Group::leave`], dropping the group |
//! | `cpg_mcast_joined`, with loops around `CS_ERR_TRY_AGAIN` | [`Group::multicast`], [`Group::try_multicast`] |
//! | `cpg_dispatch` and the three callbacks | [`Group::events`], or [`blocking::Group::dispatch`] |
//! | `cpg_fd_get` | [`blocking::Group`] is [`AsFd`](std::os::fd::AsFd) |
//! | `cpg_local_get`, `cpg_membership_get`, `cpg_iteration_*` | [`Client::local_id`], [`Client::membership`], [`Client::groups`] |
//! | `cpg_context_get`, `cpg_context_set` | your own variables: nothing is called back |
//! | `cpg_flow_control_state_get`, `cpg_max_atomic_msgsize_get` | `multicast` waits by itself; [`UNFRAGMENTED_LIMIT`] |
//! | `cpg_zcb_*` | inside the process nothing is copied anyway |
//!
//! | file | what |
//! |---|---|
//! | `group.rs` | [`Group`]: send, leave; [`Events`]: the stream of what happens |
//! | `event.rs` `error.rs` | what comes out of both |
//! | `blocking.rs` | the same without an asynchronous runtime, for managers with a main loop |
//! | `inbox.rs` | from the channel to whoever waits |
//! | `book.rs` | what a member knows: its phase, its messages that are out (pure) |
//! | `assemble.rs` | long messages from pieces, bounded (pure) |
//! | `calls.rs` | the questions that both kinds of client ask |
//! | `wire.rs` | the bytes, both ways |

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
use crate::service::client::{self, Line};

/// Members that an iteration may give before it is taken for a broken one.
const ITERATION_LIMIT: usize = 1 << 20;

/// The way to the groups of one daemon, or of one node in this process. Cheap to clone.
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
    /// The number that tells this member from others on the node. Default: the id of this process.
    ///
    /// One process may be in a group several times if it gives different ones. Nothing checks that such a
    /// process exists.
    pub pid: Option<u32>,
    /// Whether the ring as it is comes as an [`Event::Ring`] after the first view. Default: yes.
    ///
    /// Source: `cpg_model_initialize(3)`, `CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF`.
    pub initial_ring: bool,
    /// Longest message, in bytes, that this member sends or assembles. Default: 64 MiB; at most 4 GiB - 1.
    ///
    /// Messages longer than [`UNFRAGMENTED_LIMIT`] are sent in pieces. While pieces are missing they take
    /// memory: up to four times this limit. Should be the same at all members.
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

    /// With limits that the protocol can express.
    fn checked(&self) -> Self {
        let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
        Self { message_limit: self.message_limit.min(most), ..self.clone() }
    }
}

impl Client {
    /// The way to the daemon on this host, annulus' own or Corosync's.
    ///
    /// # Errors
    /// [`Error::Channel`]: no daemon, or it refuses this user.
    pub async fn connect() -> Result<Self, Error> {
        let client = Self::new(Arc::new(IpcDial::default()));
        client.local_id().await?;
        Ok(client)
    }

    /// A client whose connections are opened by `dial`. Nothing is opened yet.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self { line: Line::new(dial, ServiceId::CPG) }
    }

    /// Joins a group, with the defaults of [`JoinOptions`].
    ///
    /// The name is any text or bytes, up to 128; it is used exactly as given (see [`GroupName`]). Returns
    /// when this process is a member: the view with it is the first of [`Group::events`]. That may take
    /// until a change of the ring in progress is over. Dropping the future leaves again, if need be.
    ///
    /// # Errors
    /// The name is too long; [`Error::Exists`]; or [`Error::Channel`]: no daemon, or it refuses this user.
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

    /// The id of the node.
    ///
    /// # Errors
    /// [`Error::Channel`]: no daemon, or it refuses this user.
    pub async fn local_id(&self) -> Result<NodeId, Error> {
        Ok(self.line.ask(calls::local_id()).await?)
    }

    /// Who is in a group, by node and process; nobody if there is no such group.
    ///
    /// # Errors
    /// The name is too long; [`Error::Channel`]: no daemon, or it refuses this user.
    pub async fn membership(&self, name: impl AsRef<[u8]>) -> Result<Vec<Member>, Error> {
        Ok(self.line.ask(calls::membership(&GroupName::new(name)?)).await?)
    }

    /// All groups of the cluster and who is in them, as this node sees it.
    ///
    /// # Errors
    /// [`Error::Channel`]: no daemon, or it refuses this user.
    pub async fn groups(&self) -> Result<BTreeMap<GroupName, Vec<Member>>, Error> {
        // A connection of its own: its end frees the iteration, also when this future is dropped.
        let channel = self.line.open().await?;
        let handle = calls::groups().over(&*channel).await?;
        let mut listing = Listing::default();
        while listing.add(calls::next(handle).over(&*channel).await)? {}
        Ok(listing.by_name())
    }
}

/// The members of groups found so far, in the order in which the daemon gave them.
#[derive(Default)]
struct Listing {
    entries: Vec<(GroupName, Member)>,
}

impl Listing {
    /// Adds what an answer holds; whether there is more.
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

    /// By group, and within by node and process.
    fn by_name(self) -> BTreeMap<GroupName, Vec<Member>> {
        let mut groups: BTreeMap<GroupName, Vec<Member>> = BTreeMap::new();
        for (name, member) in self.entries {
            groups.entry(name).or_default().push(member);
        }
        groups.values_mut().for_each(|members| members.sort_unstable());
        groups
    }

    /// As the daemon gave them.
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
