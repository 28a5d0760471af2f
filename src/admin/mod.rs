//! Administration: what tools ask about the nodes themselves.
//!
//! Corosync's counterpart: `exec/cfg.c`. Of it, `corosync-cpgtool` needs the addresses of nodes and the
//! local node's id; the rest of the service has its numbers reserved and answers that it is not
//! supported.
//!
//! | file | what |
//! |---|---|
//! | `client/` | the library that an application uses |
//! | `service.rs` | the desk, and the [`Facts`] it answers from |
//! | `status.rs` | how links are |
//! | `wire/` | its messages |

pub mod client;
mod service;
mod status;
pub(crate) mod wire;

pub use client::{Client, Shutdown, ShutdownRequest, blocking};
pub use service::{Desk, Facts};
pub use status::{LINKS, LinkStatus, NodeStatus, OwnLink};

pub use crate::service::client::Error;
