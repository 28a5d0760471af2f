//! The configuration and statistics database: typed values under dotted names, in memory.
//!
//! Corosync's counterpart: `exec/icmap.c`, `exec/cmap.c`; `cmap_overview(3)`, `cmap_keys(7)`.
//!
//! | file | what |
//! |---|---|
//! | `client/` | the library for applications |
//! | `shelf.rs`, `events.rs` | the two maps; what can happen to a key |
//! | `desk.rs`, `connection.rs` | `Desk`: its state; what it knows of a client |
//! | `service.rs`, `requests.rs` | what the desk does for the router; requests of clients |
//! | `writes.rs`, `owed.rs` | changes by clients; the answer to them, which follows after the notifications |
//! | `names.rs` | valid names of keys, and the keys that are read-only for clients |
//! | `tracking.rs`, `trackers.rs` | how clients add and remove trackers; all trackers, found by key |
//! | `iterate.rs` | iterations of clients |
//! | `pending.rs`, `telling.rs` | notifications to be sent; sending them, a limited number at a time |
//! | `statistics.rs` | the map of statistics, computed when it is read, and its trackers |
//! | `published.rs`, `members.rs` | keys that the daemon publishes; the members of the ring |
//! | `react.rs`, `settings.rs` | changes of keys that have an effect on the node; what was read last |
//! | `sync.rs`, `version.rs` | the comparison of configuration versions after each new ring |
//! | `wire/` | requests, replies, notifications and the exec message as bytes |

pub mod client;

mod connection;
mod desk;
mod events;
mod iterate;
mod members;
mod names;
mod owed;
mod pending;
mod published;
mod react;
mod requests;
mod service;
mod settings;
mod shelf;
mod statistics;
mod sync;
mod telling;
mod trackers;
mod tracking;
mod version;
pub(crate) mod wire;
mod writes;

pub use client::{Change, ChangeKind, Client, Entries, Entry, Error, FromValue, Map, blocking};
pub(crate) use desk::Desk;
#[cfg(test)]
pub(crate) use iterate::CHUNK;
pub use iterate::ITERATIONS_LIMIT;
pub use names::{NAME_LEAST, NAME_LIMIT};
#[cfg(test)]
pub(crate) use pending::AT_A_TIME;
pub(crate) use published::totem;
pub use trackers::{TRACKERS_LIMIT, USER_TRACKERS_LIMIT};
pub use tracking::CONNECTION_TRACKERS_LIMIT;
