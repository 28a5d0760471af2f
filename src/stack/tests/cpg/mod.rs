//! Process groups on whole nodes: what clients are answered and told, on one ring and over changes of it.
//!
//! | file | what |
//! |---|---|
//! | `bench.rs` | nodes with members of a group |
//! | `speech.rs` | requests, replies and events as bytes |
//! | `captures.rs` | the bytes that Corosync's nodes send and read |
//! | `answers.rs` | the answer to each request in each state of its connection |
//! | `multicasts.rs` | messages of members: when they are sent, their lengths, fragments |
//! | `stories.rs` | joins, leaves, crashes and messages on one ring |
//! | `rings.rs` | partitions, merges, and what happens while a ring synchronises |
//! | `barriers.rs` | the barriers of services that a node does not have itself |
//! | `hostile.rs` | arbitrary bytes from other nodes and from clients |
//!
//! The promises that groups keep in random histories are checked at the clients of whole nodes in
//! `tests/sim/whole/properties`.

mod answers;
mod barriers;
mod bench;
mod captures;
mod hostile;
mod multicasts;
mod rings;
mod speech;
mod stories;
