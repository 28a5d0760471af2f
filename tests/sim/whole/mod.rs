//! Whole nodes: ring, packing, router, synchronisation barrier, groups, votes, database and administration, as the daemon
//! runs them, with model clients in place of IPC.
//!
//! | file | what |
//! |---|---|
//! | `services.rs` | how the services of each node are set up |
//! | `node.rs` | a whole node, and what it asks of the program around it |
//! | `speech.rs` | clients' requests, replies and events as bytes |
//! | `record.rs` | what each client asked and was told |
//! | `clients.rs` | what clients do: join, leave, die, stall, multicast, set keys, ask for a reload |
//! | `driver.rs` | the program around the node: carries out what the stack has decided |
//! | `properties/` | what must hold of all that clients were told |
//! | `detection.rs` | how soon dead members are out, and that others stay |
//! | `leaving_out.rs` | who is left out of the ring for a while, and who is not |
//! | `swarm.rs` | faults drawn from a seed, many seeds |

pub(crate) mod clients;
mod detection;
pub(crate) mod driver;
mod leaving_out;
pub(crate) mod node;
pub(crate) mod properties;
pub(crate) mod record;
pub(crate) mod services;
mod speech;
mod swarm;
