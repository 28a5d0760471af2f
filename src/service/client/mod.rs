//! What the client libraries of all services have in common, asynchronous and blocking alike.
//!
//! | file | what |
//! |---|---|
//! | `error.rs` | [`Error`]: why a call failed, and what to do about it |
//! | `ask.rs` | one call: its request, and how the answer is interpreted |
//! | `both.rs` | calls of the asynchronous and the blocking clients, defined once |
//! | `line.rs` | the connection for calls to a service, opened when needed and reopened after it has ended |
//! | `events.rs` | [`Events`]: a subscription, as a stream |
//! | `blocking.rs` | [`blocking::Events`]: the same with a descriptor, for programs with a main loop |

mod ask;
pub mod blocking;
mod both;
mod error;
mod events;
mod line;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use ask::{Ask, pause};
pub(crate) use both::both;
pub use error::Error;
pub use events::Events;
pub(crate) use events::Source;
pub(crate) use line::Line;
