//! What the client libraries of all desks are made of, asynchronous and blocking alike.
//!
//! | file | what |
//! |---|---|
//! | `error.rs` | [`Error`]: why a call failed, and what to do about it |
//! | `ask.rs` | a question to a service: its request, and what its answer means |
//! | `line.rs` | the way to one service: a connection for questions, opened when needed and again when it ended |
//! | `events.rs` | [`Events`]: what a service tells unasked, as a stream |
//! | `blocking.rs` | [`blocking::Events`]: the same with a descriptor, for programs with a main loop |

mod ask;
pub mod blocking;
mod error;
mod events;
mod line;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use ask::{Ask, pause};
pub use error::Error;
pub use events::Events;
pub(crate) use events::Source;
pub(crate) use line::Line;
