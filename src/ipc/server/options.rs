//! The limits of a server, and what callers decide about it.

use std::path::PathBuf;
use std::time::Duration;

use crate::ids::ServiceId;
use crate::ipc::Credentials;
use crate::ipc::address::Rendezvous;

/// Descriptors left to the rest of the process. Source: corosync keeps as many.
const RESERVED_FDS: usize = 50;
/// Descriptors of one connection: socket and directory.
const FDS_EACH: usize = 2;
/// No more connections than this, whatever the descriptor limit: each maps six files.
const MOST_CONNECTIONS: usize = 4096;

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// How clients find the services. Default: what libqb on this host uses.
    pub rendezvous: Rendezvous,
    /// Where ring files are made. Default: `/dev/shm`.
    pub directory: PathBuf,
    /// Longest message a client may ask for; more is refused with `EMSGSIZE`. Unit: bytes. Default: 16 MiB.
    pub max_message: u32,
    /// Connections at once; more are refused with `EMFILE`. Default: what `RLIMIT_NOFILE` allows with 50
    /// descriptors left, at most 4096.
    pub max_connections: usize,
    /// Connections of one user other than root; more are refused with `EMFILE`. Default: half of all.
    pub max_per_user: usize,
    /// Time that a client has for its first message; then it is disconnected. Default: 5 s.
    pub handshake: Duration,
    /// Events that wait for a slow client, beyond what is in its ring. At half of this, or at 8 MiB of what it sent
    /// itself, its multicasts are held back; at this and twice its longest message it is disconnected. What other hosts
    /// send cannot be held back so, and at a hundred MB/s a client that the kernel did not schedule for a
    /// moment is not a dead one. Unit: bytes. Default: 256 MiB.
    pub event_backlog: usize,
    /// How long a connection that the server closes waits for the client to read its last events.
    /// Default: 1 s.
    pub linger: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let max_connections = (limit.saturating_sub(RESERVED_FDS) / FDS_EACH).clamp(1, MOST_CONNECTIONS);
        Self {
            rendezvous: Rendezvous::of_this_host(),
            directory: "/dev/shm".into(),
            max_message: 16 << 20,
            max_connections,
            max_per_user: (max_connections / 2).max(1),
            handshake: Duration::from_secs(5),
            event_backlog: 256 << 20,
            linger: Duration::from_secs(1),
        }
    }
}

/// A service and the name that clients find it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The service.
    pub service: ServiceId,
    /// `cpg`, or with several instances on one host `annulus-NAME-cpg`. At most 106 bytes, no `/`.
    pub name: String,
}

/// Whether a service's clients may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// Everything.
    #[default]
    Open,
    /// No CPG multicasts (they fail at once); other requests are accepted and wait.
    Multicast,
    /// Nothing.
    Closed,
}

impl Flow {
    /// The word that clients look at before they send.
    pub(super) fn word(self) -> u32 {
        match self {
            Self::Open => 0,
            Self::Multicast => 2,
            Self::Closed => 1,
        }
    }
}

/// Who may connect.
pub trait Admission {
    /// Decides about a client that wants to use a service.
    ///
    /// # Errors
    /// Why not; the client is told.
    fn admit(&self, service: ServiceId, peer: &Credentials) -> Result<(), Refusal>;
}

/// Why a client may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cluster is not up yet; the client should try again (`EAGAIN`).
    #[error("not ready yet")]
    NotReady,
    /// There is no such service here (`ENOSYS`).
    #[error("no such service")]
    NoService,
    /// Too many connections (`EMFILE`).
    #[error("too many connections")]
    TooMany,
    /// Neither its user nor its group is allowed (`EACCES`).
    #[error("access denied")]
    Denied,
}

impl Refusal {
    /// The errno that the client gets.
    pub(super) fn errno(self) -> i32 {
        match self {
            Self::NotReady => libc::EAGAIN,
            Self::NoService => libc::ENOSYS,
            Self::TooMany => libc::EMFILE,
            Self::Denied => libc::EACCES,
        }
    }
}
