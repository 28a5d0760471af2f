//! The configuration and statistics database: typed values under dotted names, in memory.
//!
//! Corosync's counterpart: `exec/icmap.c`, `exec/cmap.c`; `cmap_overview(3)`, `cmap_keys(7)`.
//!
//! | file | what |
//! |---|---|
//! | `store.rs` | the keys and values; every change is noted |

mod store;

pub use store::{KEY_LIMIT, Store};
