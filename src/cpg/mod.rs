//! Closed process groups: processes join named groups, and all members see joins, leaves, failures and
//! messages of a group in one order.
//!
//! Corosync's counterpart: `exec/cpg.c` and `lib/cpg.c`.
//!
//! | file | what |
//! |---|---|
//! | `name.rs` | names of groups and members, reasons |
//! | `groups.rs` | the process table: who is in which group, everywhere |
//! | `service.rs` | the desk: exec messages, events |
//! | `requests.rs` | what clients ask, and the answers |
//! | `sync.rs` | the desk's part in the synchronisation after a new ring |
//! | `exchange.rs` | what the desks of a new ring have told each other |
//! | `iterate.rs` | a client's walk through the groups |
//! | `wire.rs` | all messages |
//! | `client/` | the library that an application uses |

pub mod client;
mod exchange;
pub mod groups;
pub mod iterate;
pub mod name;
mod requests;
mod service;
mod sync;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

pub use client::{
    Change, Client, Error, Event, Events, Group, GroupView, JoinOptions, RingView, UNFRAGMENTED_LIMIT,
    Undelivered, blocking,
};
pub use name::{GroupName, Member, NameTooLong, Reason};
pub use service::{Desk, MEMBERS_MAX, Stats};
