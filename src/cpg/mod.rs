//! Closed process groups: processes join named groups, and all members see joins, leaves, failures and
//! messages of a group in one order.
//!
//! Corosync's counterpart: `exec/cpg.c` and `lib/cpg.c`.
//!
//! | file | what |
//! |---|---|
//! | `name.rs` | names of groups, members, reasons of changes |
//! | `groups.rs` | the process table: which processes of the cluster are in which group |
//! | `desk.rs` | `Desk`: its state, and the events that its clients are sent |
//! | `service.rs` | the desk: exec messages and the events that result from them |
//! | `requests.rs` | requests of clients and their answers |
//! | `sync.rs` | the desk's part in the synchronisation after a new ring |
//! | `exchange.rs` | the state of that synchronisation |
//! | `iterate.rs` | iterations of clients over the groups |
//! | `wire/` | the bytes of all messages |
//! | `client/` | the library for applications |

pub mod client;
mod desk;
mod exchange;
pub mod groups;
pub mod iterate;
pub mod name;
mod requests;
mod service;
mod sync;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod wire;

pub use client::{
    Change, Client, Error, Event, Events, Group, GroupView, JoinOptions, RingView, UNFRAGMENTED_LIMIT,
    Undelivered, blocking,
};
pub(crate) use desk::Desk;
pub use desk::{MEMBERS_MAX, Stats};
pub use name::{GroupName, Member, NameTooLong, Reason};
