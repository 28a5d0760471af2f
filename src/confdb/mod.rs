//! The configuration and statistics database: typed values under dotted names, in memory.
//!
//! Corosync's counterpart: `exec/icmap.c`, `exec/cmap.c`; `cmap_overview(3)`, `cmap_keys(7)`.
//!
//! | file | what |
//! |---|---|
//! | `client/` | the library that an application uses |
//! | `store.rs` | the keys and values; every change is noted |
//! | `wire.rs` | requests, replies, notifications and the exec message as bytes |

pub mod client;
mod store;
#[allow(dead_code, reason = "the desk is being built")]
pub(crate) mod wire;

pub use client::{Change, ChangeKind, Client, Entries, Entry, Error, FromValue, Map, blocking};
pub use store::{KEY_LIMIT, Store};
