//! The limits of a server, its endpoints, and the decision who may connect.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::census::Limit;
use crate::ids::ServiceId;
use crate::ipc::Credentials;
use crate::ipc::address::Rendezvous;
use crate::ipc::files;

/// Descriptors left to the rest of the process beyond those open before clients are served: for the ring's sockets,
/// the store of ring ids, reopening logs and configuration, and creating and removing directories of connections.
const RESERVED_FDS: usize = 50;
/// Most connections, whatever the descriptor limit: each maps six files. A connection needs one descriptor, its
/// socket.
const MOST_CONNECTIONS: usize = 4096;
/// Most clients in the handshake at a time; each needs a descriptor.
const MOST_HANDSHAKES: usize = 128;
/// Most zero-copy buffers of all clients; each is an open file.
const MOST_BUFFERS: usize = 256;
/// Handshakes may use the descriptors for clients divided by this, and so may buffers.
const SHARE: usize = 8;
/// Connections and handshakes divided by this are reserved for root.
const FOR_ROOT: usize = 8;

/// The directory of ring buffer files.
const SHARED_MEMORY: &str = "/dev/shm";

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// How clients find the services. Default: as libqb on this host.
    pub rendezvous: Rendezvous,
    /// The directory of ring buffer files. Default: `/dev/shm`.
    pub directory: PathBuf,
    /// Longest message that a client may ask for, in bytes; more is refused with `EMSGSIZE`. Default: 2 MiB, twice
    /// what Corosync's libraries ask for.
    pub max_message: u32,
    /// Shared memory of all connections, in bytes; more connections are refused with `ENOSPC`. One user other than
    /// root may use half of it. A connection counts with all that its ring buffers can hold. Default: seven eighths
    /// of `/dev/shm`.
    pub max_memory: u64,
    /// Most connections at a time; more are refused with `EMFILE`. An eighth is reserved for root. Default: what
    /// `RLIMIT_NOFILE` allows beside handshakes, buffers, the descriptors open at the start and 50 more, at most
    /// 4096.
    pub max_connections: usize,
    /// Most connections of one user other than root; more are refused with `EMFILE`. Default: half of all.
    pub max_per_user: usize,
    /// Most clients that have connected but not identified themselves; more are disconnected. One user other than
    /// root may have a quarter of them; an eighth is reserved for root. Default: an eighth of the descriptors for
    /// clients, at most 128.
    pub max_handshakes: usize,
    /// Most zero-copy buffers of all connections. Default: an eighth of the descriptors for clients, at most 256.
    pub max_buffers: usize,
    /// Longest time of one turn; see [`Server::next`](super::Server::next). A step that was begun is completed: the
    /// longest, making a connection's shared memory, takes a millisecond or two. Default: 2 ms.
    pub turn: Duration,
    /// Most steps of one turn: descriptors handled, clients accepted, requests, reports;
    /// [`Server::flush`](super::Server::flush) may announce events to as many clients again. Default: 256.
    pub turn_steps: u32,
    /// Time for a client's first message, after which it is disconnected. Default: 5 s.
    pub handshake: Duration,
    /// Events that may wait for a slow client beyond its ring buffer, in bytes. At half of this, or at 2 MiB of its
    /// own messages, its multicasts are held back; at this plus twice its longest message it is disconnected. It is
    /// large because messages of other nodes cannot be held back, and at a hundred MB/s a client that was not
    /// scheduled for a moment must not be taken for dead. Default: 256 MiB.
    pub event_backlog: usize,
    /// Memory that waits for slow readers, of all clients together and including replies, in bytes. A payload that
    /// waits for many clients counts once. At this limit, the client with most of it is disconnected. Default: 512
    /// MiB, or an eighth of the machine's memory if that is less, but at least 64 MiB.
    pub all_backlogs: usize,
    /// How long a connection closed by the server waits for the client to read its last events. Default: 1 s.
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
    /// The limits on connections.
    pub(super) fn connections(&self) -> Limit {
        let all = self.max_connections;
        Limit { all, each: self.max_per_user, for_root: all / FOR_ROOT }
    }

    /// The limits on clients in the handshake.
    pub(super) fn newcomers(&self) -> Limit {
        let all = self.max_handshakes;
        Limit { all, each: (all / 4).max(1), for_root: all / FOR_ROOT }
    }
}

/// The division of a process's descriptors among clients.
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
    // Handshakes count twice, as the same number of refused clients may wait to be closed.
    let connections = free.saturating_sub(2 * handshakes + buffers).clamp(1, MOST_CONNECTIONS);
    Shares { connections, handshakes, buffers }
}

/// Number of open descriptors of this process.
fn open_descriptors() -> usize {
    /// If it cannot be determined: the standard streams, a lock, a log, and those of a runtime.
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
    /// The id of the service.
    pub service: ServiceId,
    /// `cpg`, or with several instances on one host `annulus-NAME-cpg`. At most 106 bytes, no `/`.
    pub name: String,
}

/// Which requests the clients of a service may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// All requests.
    #[default]
    Open,
    /// No CPG multicasts (they fail at once); other requests are accepted and wait.
    Multicast,
    /// No requests.
    Closed,
}

impl Flow {
    /// The flow control word that clients check before they send.
    pub(super) fn word(self) -> u32 {
        match self {
            Self::Open => 0,
            Self::Multicast => 2,
            Self::Closed => 1,
        }
    }
}

/// Decides who may connect.
pub trait Admission {
    /// Decides about a client that wants to use a service.
    ///
    /// # Errors
    /// The reason for a refusal; the client gets its errno.
    fn admit(&self, service: ServiceId, peer: &Credentials) -> Result<(), Refusal>;
}

/// Why a client may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cluster is not ready; the client should try again (`EAGAIN`).
    #[error("not ready yet")]
    NotReady,
    /// There is no such service here (`ENOSYS`).
    #[error("no such service")]
    NoService,
    /// There are too many connections (`EMFILE`).
    #[error("too many connections, of this user or of all")]
    TooMany,
    /// The client's longest message exceeds the limit (`EMSGSIZE`). Unit: bytes.
    #[error("it asks for messages of {asked} bytes, and the limit is {limit}")]
    TooLong {
        /// The length that the client asks for.
        asked: u32,
        /// The limit, [`Options::max_message`].
        limit: u32,
    },
    /// Its shared memory would exceed the limit (`ENOSPC`).
    #[error("too much shared memory, of this user or of all connections")]
    NoMemory,
    /// Neither its user nor its group is admitted (`EACCES`).
    #[error("access denied; a section uidgid of the configuration can allow its user or group")]
    Denied,
}

impl Refusal {
    /// The errno for the client.
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
    fn limits_for_clients_leave_the_reserve() {
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
