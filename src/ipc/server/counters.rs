//! Counters of each client.
//!
//! Source: libqb `qb_ipcs_connection_stats_2`; corosync `exec/ipc_glue.c`, `cs_ipcs_conn_context`.

use crate::ids::{ConnId, ServiceId};
use crate::ipc::credentials::Credentials;

/// Counters of one client since it connected, or since [`Server::clear_counters`].
///
/// [`Server::clear_counters`]: super::Server::clear_counters
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests taken from the client.
    pub requests: u64,
    /// Replies accepted for sending.
    pub responses: u64,
    /// Events accepted for sending.
    pub dispatched: u64,
    /// Events that had to wait for room in the client's ring buffer.
    pub send_retries: u64,
    /// Events that have waited and are in the ring buffer now.
    pub sent: u32,
    /// Number of times that flow control stopped the client.
    pub flow_control: u64,
    /// Requests with an impossible id or size.
    pub invalid_request: u64,
    /// Requests refused because the service could not take them then.
    pub overload: u64,
}

/// One client, for the statistics.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The connection's id.
    pub conn: ConnId,
    /// The service that it is connected to.
    pub service: ServiceId,
    /// The client's process and user.
    pub peer: Credentials,
    /// The client's counters.
    pub counters: Counters,
    /// Events that wait for room in the ring buffer.
    pub queued: usize,
    /// The flow control word that the client reads: 0 if it may send.
    pub flow: u32,
}
