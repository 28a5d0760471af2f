//! The links of kronosnet: several paths to each node, watched, encrypted, and fragments that fit them.
//!
//! Answers to libknet 1.25 as Corosync 3.1 uses it (`exec/totemknet.c`); the same bytes on the wire.
//!
//! | file | what it is for |
//! |---|---|
//! | `settings.rs` | [`Settings`]: hosts, links and their timers |
//! | `sizes.rs` | what encryption adds to a packet; from path MTU to fragment size |
//! | `engine.rs` | [`Engine`]: decides; has no clock, socket, randomness or key |

mod engine;
mod settings;
mod sizes;

pub use engine::{Arrival, Burst, Cause, DropReason, Engine, Event, Fault, LinkView, Output, Path, Refused};
pub use settings::{Compression, Host, LINKS, LinkMode, LinkSettings, Settings};
pub use sizes::Sizes;
