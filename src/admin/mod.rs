//! Administration: what tools ask about the nodes, and what operators order.
//!
//! Corosync's counterpart: `exec/cfg.c`.
//!
//! | file | what |
//! |---|---|
//! | `client/` | the library that an application uses |
//! | `service.rs` | the desk, and the [`Facts`] it answers from |
//! | `shutdown.rs` | the vote on a shutdown, pure |
//! | `reload/` | how all nodes agree on a reload, and what it does to the database |
//! | `rekey.rs` | the change to another key or cipher, pure |
//! | `rotation.rs` | a new key for all nodes, pure |
//! | `survey.rs` | which key each node uses, pure |
//! | `status.rs` | how links are |
//! | `wire/` | its messages |

pub mod client;
mod rekey;
mod reload;
mod rotation;
mod service;
mod shutdown;
mod status;
mod survey;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use client::{Client, Shutdown, ShutdownRequest, blocking};
pub use reload::{NodeOutcome, NodeReload, Reload};
pub use service::{Desk, Facts};
pub use status::{LINKS, LinkStatus, NodeStatus, OwnLink};
pub use survey::{KeyUse, NodeKey};

pub use crate::service::client::Error;
