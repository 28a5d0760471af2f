//! What is counted of each client.
//!
//! Source: libqb `qb_ipcs_connection_stats_2`; corosync `exec/ipc_glue.c`, `cs_ipcs_conn_context`.

use crate::ids::{ConnId, ServiceId};
use crate::ipc::credentials::Credentials;

/// Counters of one client since it came, or since [`Server::clear_counters`].
///
/// [`Server::clear_counters`]: super::Server::clear_counters
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests handed out.
    pub requests: u64,
    /// Replies taken.
    pub responses: u64,
    /// Events taken.
    pub dispatched: u64,
    /// Events that found no room in the client's ring, and had to wait.
    pub send_retries: u64,
    /// Events that had waited, and are in its ring now.
    pub sent: u32,
    /// Times that it was told to wait.
    pub flow_control: u64,
    /// Requests with an impossible id or size.
    pub invalid_request: u64,
    /// Requests refused because the service could not take them.
    pub overload: u64,
}

/// One client, as statistics see it.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub conn: ConnId,
    /// What it is connected to.
    pub service: ServiceId,
    /// Who it is.
    pub peer: Credentials,
    /// What was counted.
    pub counters: Counters,
    /// Events that wait for room in its ring.
    pub queued: usize,
    /// The word that tells it whether it may send: 0 if it may.
    pub flow: u32,
}
