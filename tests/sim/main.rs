//! Stories about a whole cluster in one thread: virtual time, a network that misbehaves on request and
//! checkers that know extended virtual synchrony. The same seed gives the same run, to the byte.
//!
//! | file | what |
//! |---|---|
//! | `cluster.rs` | nodes, disks, virtual time: the loop that turns the core's outputs into inputs |
//! | `network.rs` | links: loss, duplication, reordering, delay, cuts, mutation |
//! | `fabric.rs` | several links at once, and the knet engines between them and the rings |
//! | `core.rs` | what runs on a node: the ring alone, or the whole node |
//! | `whole/` | whole nodes: their clients, what these were told, and the properties of that |
//! | `application.rs` | what stands above the ring on each node: messages and the synchronisation |
//! | `processors.rs` | what it costs to handle datagrams, on processors that nodes share |
//! | `outsider.rs` | forged frames that may be believed |
//! | `sniffer.rs` | on which ring each message was multicast |
//! | `trace.rs` | what happened, as the checkers read it |
//! | `checkers/` | the properties, and broken traces that they must catch |
//! | `membership.rs` `ordering.rs` `recovery.rs` `stall.rs` `partition.rs` `pauses.rs` `paper.rs` | stories |
//! | `hostile.rs` `forged.rs` `scale.rs` `size.rs` | stories |
//! | `losses.rs` | stories: members that lose frames are known |
//! | `links.rs` | stories on knet, and a swarm of its own |
//! | `swarm.rs` | faults drawn from a seed, many seeds |

mod application;
mod checkers;
mod cluster;
mod core;
mod fabric;
mod network;
mod outsider;
mod processors;
mod random;
mod sniffer;
mod trace;
mod whole;

mod forged;
mod hostile;
mod links;
mod losses;
mod membership;
mod oneway;
mod ordering;
mod paper;
mod partition;
mod pauses;
mod recovery;
mod scale;
mod size;
mod stall;
mod swarm;
