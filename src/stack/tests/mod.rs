//! Whole nodes on a network in virtual time.
//!
//! | file | what |
//! |---|---|
//! | `cluster.rs` | the nodes, their network and their time |
//! | `world.rs` | the world around a node, and what its clients were told |
//! | `admin/` | administration |
//! | `confdb/` | the database: its clients, their trackers, versions of the configuration |
//! | `quorum/` | quorum and votequorum: clients, devices, searches for two quorate partitions |
//! | `barrier.rs` | members that are silent in the synchronisation, floods of messages without meaning |
//! | `cpg/` | process groups: answers, events, changes of the ring, hostile input |

mod admin;
mod barrier;
mod cluster;
mod confdb;
mod cpg;
mod quorum;
mod world;
