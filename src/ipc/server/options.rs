//! The limits of a server, and what callers decide about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::census::Limit;
use crate::ids::ServiceId;
use crate::ipc::Credentials;
use crate::ipc::address::Rendezvous;
use crate::ipc::files;

/// Descriptors left to the rest of the process, beyond what it has open before it serves clients: sockets of the ring,
/// the store of ring ids, logs that are opened again, a configuration that is read again, directories of connections
/// that are made or removed.
const RESERVED_FDS: usize = 50;
/// No more connections than this, whatever the descriptor limit: each maps six files. A connection has one descriptor,
/// its socket.
const MOST_CONNECTIONS: usize = 4096;
/// Clients that may be on the way in at once; each has a descriptor.
const MOST_HANDSHAKES: usize = 128;
/// Zero-copy buffers of all clients; each is an open file.
const MOST_BUFFERS: usize = 256;
/// Of the descriptors for clients, the part that handshakes may have, and the part for buffers.
const SHARE: usize = 8;
/// Of connections and of handshakes, the part that only root may have.
const FOR_ROOT: usize = 8;

/// Where ring files are made.
const SHARED_MEMORY: &str = "/dev/shm";

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// How clients find the services. Default: what libqb on this host uses.
    pub rendezvous: Rendezvous,
    /// Where ring files are made. Default: `/dev/shm`.
    pub directory: PathBuf,
    /// Longest message a client may ask for; more is refused with `EMSGSIZE`. Unit: bytes. Default: 2 MiB, twice what
    /// Corosync's libraries ask for.
    pub max_message: u32,
    /// Shared memory of all connections; more are refused with `ENOSPC`. Half of it may be of one user other than root.
    /// A connection counts with all that its rings can hold. Unit: bytes. Default: seven eighths of `/dev/shm`.
    pub max_memory: u64,
    /// Connections at once; more are refused with `EMFILE`. An eighth of them only root may have. Default: what
    /// `RLIMIT_NOFILE` allows beside handshakes and buffers, with what the process has open and 50 descriptors left, at
    /// most 4096.
    pub max_connections: usize,
    /// Connections of one user other than root; more are refused with `EMFILE`. Default: half of all.
    pub max_per_user: usize,
    /// Clients that have connected and not said yet who they are; more are disconnected. A quarter of them may be of one
    /// user other than root, and an eighth only of root. Default: an eighth of the descriptors for clients, at most 128.
    pub max_handshakes: usize,
    /// Zero-copy buffers of all connections. Default: an eighth of the descriptors for clients, at most 256.
    pub max_buffers: usize,
    /// Time that one turn may take; see [`Server::next`](super::Server::next). What was begun is finished first: the
    /// longest single step, a connection's shared memory, is a millisecond or two. Default: 2 ms.
    pub turn: Duration,
    /// Steps that one turn may take: descriptors that rang, clients accepted, requests, reports; and once more as many
    /// clients whose events are announced. Default: 256.
    pub turn_steps: u32,
    /// Time that a client has for its first message; then it is disconnected. Default: 5 s.
    pub handshake: Duration,
    /// Events that wait for a slow client, beyond what is in its ring. At half of this, or at 2 MiB of what it sent
    /// itself, its multicasts are held back; at this and twice its longest message it is disconnected. What other hosts
    /// send cannot be held back so, and at a hundred MB/s a client that the kernel did not schedule for a
    /// moment is not a dead one. Unit: bytes. Default: 256 MiB.
    pub event_backlog: usize,
    /// What waits for slow readers, of all clients together; replies count too. A payload that waits for many clients
    /// counts once. When it is reached, whoever lets most wait is disconnected. Unit: bytes. Default: 512 MiB, or an
    /// eighth of the machine's memory where that is less, but at least 64 MiB.
    pub all_backlogs: usize,
    /// How long a connection that the server closes waits for the client to read its last events.
    /// Default: 1 s.
    pub linger: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let Shares { connections: max_connections, handshakes, buffers } = shares(limit, open_descriptors());
        Self {
            rendezvous: Rendezvous::of_this_host(),
            directory: SHARED_MEMORY.into(),
            max_message: 2 << 20,
            max_memory: files::share_of(Path::new(SHARED_MEMORY)),
            max_connections,
            max_per_user: (max_connections / 2).max(1),
            max_handshakes: handshakes,
            max_buffers: buffers,
            turn: Duration::from_millis(2),
            turn_steps: 256,
            handshake: Duration::from_secs(5),
            event_backlog: 256 << 20,
            all_backlogs: all_backlogs(),
            linger: Duration::from_secs(1),
        }
    }
}

impl Options {
    /// How many connections there may be.
    pub(super) fn connections(&self) -> Limit {
        let all = self.max_connections;
        Limit { all, each: self.max_per_user, for_root: all / FOR_ROOT }
    }

    /// How many clients there may be on the way in.
    pub(super) fn newcomers(&self) -> Limit {
        let all = self.max_handshakes;
        Limit { all, each: (all / 4).max(1), for_root: all / FOR_ROOT }
    }
}

/// What clients may have of the descriptors of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shares {
    connections: usize,
    handshakes: usize,
    buffers: usize,
}

/// Divides `limit` descriptors of which `open` are in use already.
fn shares(limit: usize, open: usize) -> Shares {
    let free = limit.saturating_sub(open).saturating_sub(RESERVED_FDS);
    let handshakes = (free / SHARE).clamp(1, MOST_HANDSHAKES);
    let buffers = (free / SHARE).min(MOST_BUFFERS);
    // As many as may be on the way in may be on their way out.
    let connections = free.saturating_sub(2 * handshakes + buffers).clamp(1, MOST_CONNECTIONS);
    Shares { connections, handshakes, buffers }
}

/// Descriptors that this process has open.
fn open_descriptors() -> usize {
    /// Where that cannot be seen: the standard streams, a lock, a log, and what a runtime needs.
    const GUESS: usize = 16;
    std::fs::read_dir("/proc/self/fd").map_or(GUESS, Iterator::count)
}

/// The default of [`Options::all_backlogs`] on this machine.
fn all_backlogs() -> usize {
    let machine = rustix::system::sysinfo();
    let memory = machine.totalram.saturating_mul(machine.mem_unit.into());
    usize::try_from(memory / 8).unwrap_or(usize::MAX).clamp(64 << 20, 512 << 20)
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
    #[error("too many connections, of this user or of all")]
    TooMany,
    /// It wants to send longer messages than is allowed (`EMSGSIZE`). Unit: bytes.
    #[error("it asks for messages of {asked} bytes, and the limit is {limit}")]
    TooLong {
        /// What it wants.
        asked: u32,
        /// [`Options::max_message`].
        limit: u32,
    },
    /// Too much shared memory (`ENOSPC`).
    #[error("too much shared memory, of this user or of all connections")]
    NoMemory,
    /// Neither its user nor its group is allowed (`EACCES`).
    #[error("access denied; a section uidgid of the configuration can allow its user or group")]
    Denied,
}

impl Refusal {
    /// The errno that the client gets.
    pub(super) fn errno(self) -> i32 {
        match self {
            Self::NotReady => libc::EAGAIN,
            Self::NoService => libc::ENOSYS,
            Self::TooMany => libc::EMFILE,
            Self::TooLong { .. } => libc::EMSGSIZE,
            Self::NoMemory => libc::ENOSPC,
            Self::Denied => libc::EACCES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_may_have_together_leaves_the_reserve() {
        for limit in [0, 60, 100, 256, 1024, 4096, 20_000, usize::MAX] {
            for open in [0, 12, 40] {
                let Shares { connections, handshakes, buffers } = shares(limit, open);
                assert!(connections >= 1 && handshakes >= 1);
                let all = connections + 2 * handshakes + buffers + open + RESERVED_FDS;
                assert!(all <= limit || limit < open + RESERVED_FDS + 3, "{limit} {open}: {all}");
            }
        }
        assert_eq!(shares(1024, 14), Shares { connections: 600, handshakes: 120, buffers: 120 });
        assert_eq!(shares(20_000, 14), Shares { connections: 4096, handshakes: 128, buffers: 256 });
    }
}
