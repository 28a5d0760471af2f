//! The database's desk in a whole node: its clients, its trackers, and what it tells and orders.
//!
//! | file | what |
//! |---|---|
//! | `bench.rs` | a node with clients of its database |
//! | `answers.rs` | the answers to clients |
//! | `stories.rs` | behaviour over time: trackers, checks of statistics, members, versions |
//! | `reactions.rs` | changes of keys that have an effect on the node |
//! | `bounds.rs` | the limits of the work that clients can cause |
//! | `hostile.rs` | requests and messages that no library sends |
//! | `random.rs` | random histories, compared with a naive model |

mod answers;
mod bench;
mod bounds;
mod hostile;
mod random;
mod reactions;
mod stories;
