//! Quorum and votequorum on whole nodes.
//!
//! | file | what |
//! |---|---|
//! | `voters.rs` | clusters that count votes, their clients, and the state of their votes |
//! | `tracking.rs` | what clients are told of a change, and of a node in no ring |
//! | `changes.rs` | votes and settings that change at run time |
//! | `device.rs` | the quorum device |
//! | `hostile.rs` | requests of any length and content |
//! | `search.rs` | clusters in the searches for two quorate partitions |
//! | `partitions.rs` | the search with rules that are safe by themselves |
//! | `first_cut.rs` | the search for two quorate partitions at the first cut, with all rules |

mod changes;
mod device;
mod first_cut;
mod hostile;
mod partitions;
mod search;
mod tracking;
mod voters;
