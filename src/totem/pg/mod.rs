//! Application messages ↔ ring frames: several small messages share one frame, a large one is cut into
//! several.
//!
//! Corosync's counterpart: `exec/totempg.c`.
//!
//! | file | contents |
//! |---|---|
//! | `pack.rs` | sending: packing and fragmenting messages |
//! | `part.rs` | splitting of queued frames on a new ring |
//! | `assemble.rs` | receiving: unpacking and reassembling messages |
//! | `level.rs` | fill level of the send queue, with hysteresis |

pub(crate) mod assemble;
pub mod level;
pub(crate) mod pack;
pub(crate) mod part;
