//! The links of kronosnet: several paths to each node, watched, encrypted, and fragments that fit them.
//!
//! Answers to libknet 1.25 as Corosync 3.1 uses it (`exec/totemknet.c`); the same bytes on the wire.
//!
//! | file | what it is for |
//! |---|---|
//! | `options.rs` | [`Options`]: settings, and what the sockets and the envelope need besides |
//! | `settings.rs` | [`Settings`]: hosts, links and their timers |
//! | `sizes.rs` | what encryption adds to a packet; from path MTU to fragment size |
//! | `stats.rs` | counters under libknet's names |
//! | `output.rs` | [`Output`]: what the engine asks for and tells |
//! | `envelope/` | [`envelope::Envelope`]: encrypts packets, and changes keys while running |
//! | `engine.rs` | [`Engine`]: decides; has no clock, socket, randomness or key |
//! | `host.rs` | another host and the links to it |
//! | `link.rs` | whether a link works: pings, pongs, up and down, doubts |
//! | `pmtud.rs` | how large a packet a path carries |
//! | `choice.rs` | which links carry messages |
//! | `limits.rs` | how many control packets are answered |
//! | `outbox.rs` | what waits to be sent and told |
//! | `wire.rs` | the five packets, byte by byte |
//! | `outbound.rs` | a message becomes packets: number, destination, compression, fragments |
//! | `inbound.rs` | a host's packets become messages again |
//! | `sequence.rs` | message numbers: the sender's counter, the receiver's window against duplicates |
//! | `fragments.rs` `assembly.rs` | cutting a message; putting it together, within bounds |
//! | `compression.rs` | which compressions are understood, and how far they may expand |
//! | `filter.rs` | the node that a totem message is meant for |
//! | `arrival.rs` | [`Arrival`], [`DropReason`]: what comes of a packet |

mod arrival;
mod assembly;
mod choice;
mod compression;
mod engine;
pub mod envelope;
mod filter;
mod fragments;
mod host;
mod inbound;
mod limits;
mod link;
mod options;
mod outbound;
mod outbox;
mod output;
mod pmtud;
mod sequence;
mod settings;
mod sizes;
mod stats;
mod wire;

pub use arrival::{Arrival, DropReason};
pub use engine::Engine;
pub use options::{Crypto, Options};
pub use output::{Burst, Cause, Event, Fault, LinkView, Output, PacketKind, Path};
pub use settings::{Compression, Host, LINKS, LinkMode, LinkSettings, Refused, Settings};
pub use sizes::Sizes;
pub use stats::{Drops, Flow, HandleStats, KindStats, LinkStats, Times};
