//! Application messages ↔ ring frames: several small messages in one frame, a large one in many.
//!
//! Corosync's counterpart: `exec/totempg.c`.
//!
//! | file | what |
//! |---|---|
//! | `pack.rs` | sending: staging, splitting |
//! | `part.rs` | what a new ring makes of frames that wait |
//! | `assemble.rs` | receiving: putting together |
//! | `level.rs` | how full the send queue is, with hysteresis |

pub(crate) mod assemble;
pub mod level;
pub(crate) mod pack;
pub(crate) mod part;
