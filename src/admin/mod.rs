//! Administration: queries about nodes, and orders of operators.
//!
//! Corosync's counterpart: `exec/cfg.c`.
//!
//! | file | what |
//! |---|---|
//! | `client/` | the library for applications |
//! | `service.rs` | the desk, and the [`Facts`] about the cluster that it is given |
//! | `shutdown.rs` | the vote on a shutdown, pure |
//! | `reload/` | the agreement of all nodes on a reload, and its changes of the database |
//! | `detection.rs` | the agreement on a token time-out that follows from what members measured, pure |
//! | `leaving_out.rs` | the vote on leaving out a member that burdens the ring, pure |
//! | `majority.rs` | whether members have a majority of the configured votes |
//! | `rekey.rs` | the change to another key or cipher, pure |
//! | `rotation.rs` | the distribution of a new key to all nodes, pure |
//! | `key_use.rs`, `reloaded.rs` | what clients are told of keys and of a reload |
//! | `survey.rs` | the query which key each node uses, pure |
//! | `status.rs` | the state of links |
//! | `wire/` | its messages as bytes |

pub mod client;
mod detection;
mod key_use;
mod leaving_out;
mod majority;
mod rekey;
mod reload;
mod reloaded;
mod rotation;
mod service;
mod shutdown;
mod status;
mod survey;
pub(crate) mod wire;

pub use client::{Client, Shutdown, ShutdownRequest, blocking};
pub use key_use::{KeyUse, NodeKey};
pub use reloaded::{NodeOutcome, NodeReload, Reload};
pub(crate) use service::Desk;
pub use service::Facts;
pub use status::{LINKS, LinkStatus, NodeStatus, OwnLink};

pub use crate::service::client::Error;
