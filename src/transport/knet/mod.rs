//! The links of kronosnet: several monitored and encrypted paths to each node, and fragmentation of messages.
//!
//! Counterpart of libknet 1.25 as Corosync 3.1 uses it (`exec/totemknet.c`), with the same bytes on the wire.
//!
//! | file | contents |
//! |---|---|
//! | `options.rs` | [`Options`]: the settings, and what sockets and envelope need in addition |
//! | `settings.rs` | [`Settings`]: hosts, links and their timers |
//! | `sizes.rs` | what encryption adds to a packet; from path MTU to fragment size |
//! | `stats.rs` | counters under libknet's names |
//! | `output.rs` | [`Output`]: the actions and events of the engine |
//! | `envelope/` | [`envelope::Envelope`]: encrypts packets, and changes keys at run time |
//! | `engine.rs` | [`Engine`]: makes the decisions; has no clock, socket, randomness or key |
//! | `host.rs` | another host and the links to it |
//! | `link.rs` | whether a link works: pings, pongs, up and down, doubts |
//! | `pmtud.rs` | how large a packet a path carries |
//! | `choice.rs` | which links carry messages |
//! | `limits.rs` | how many control packets are answered |
//! | `outbox.rs` | actions and events that wait for the driver |
//! | `wire.rs` | the layout of the five packets |
//! | `outbound.rs` | turns a message into packets: number, destination, compression, fragments |
//! | `inbound.rs` | turns a host's packets into messages |
//! | `sequence.rs` | message numbers: the sender's counter, the receiver's window against duplicates |
//! | `fragments.rs` `assembly.rs` | cutting a message; assembling it within limits |
//! | `compression.rs` | the supported compressions, and limits of decompression |
//! | `filter.rs` | the destination node of a totem message |
//! | `arrival.rs` | [`Arrival`], [`DropReason`]: the result of a received packet |

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
