//! One running node of a ring: the driver that joins transport, stack and clients, and the
//! [`Handle`](command::Handle) through which code in this process talks to it. A [`Node`] contains both, for an
//! application that is itself a member of the cluster.
//!
//! Corosync's counterpart: `exec/main.c` (the loop, the stored ring id).
//!
//! | file | what |
//! |---|---|
//! | `embedded.rs`, `builder.rs` | [`Node`]: a node inside an application; its settings |
//! | `thread.rs` | the thread in which such a node runs |
//! | `links.rs` | from a configuration to the transport's options for knet |
//! | `knet.rs` | [`Knet`]: the same for a program without a configuration |
//! | `plan.rs` | the parts of a node, decided before anything is opened |
//! | `inspect.rs` | checks of a configuration before a start |
//! | `error.rs`, `blame.rs` | [`NodeError`]; the settings that caused it |
//! | `driver.rs` | the loop: the one task that owns everything and gives the stack its time |
//! | `errands.rs` | tasks that the node leaves to the program around it |
//! | `edge.rs` | the surroundings of the stack: sockets, clients, store, listeners |
//! | `clients.rs`, `doorbell.rs`, `admission.rs` | clients over IPC: when to read from which; who may connect |
//! | `command.rs` | commands to the driver; connections to services from code in this process |
//! | `locals.rs` | the driver's side of those connections |
//! | `local.rs` | those connections as [`Channel`](crate::service::channel::Channel)s, for the client libraries |
//! | `queue.rs` | bounded queue from the driver to a listener: async, or by descriptor |
//! | `statistics.rs` | statistics of clients and of a late loop, for the database |
//! | `file.rs` | a number in a small file: read, replaced or overwritten |
//! | `keeper.rs` | stores a number on a disk that may be full, slow or broken |
//! | `kept_votes.rs` | the highest expected votes seen, kept over restarts |
//! | `keys.rs` | the key in use and the next one |
//! | `store.rs` | the ring ids used, kept over restarts |
//! | `alarm.rs` | wakes the driver at a time |
//! | `absence.rs` | times at which this process did not run |
//! | `watch.rs`, `uplinks.rs` | when the node is checked, and its interface; when that has changed |
//! | `pace.rs` | when the token waits for clients that fill its frames |
//! | `share.rs`, `stalls.rs` | the time that is left to the ring; how long the loop did not look at its sockets |
//! | `source_port.rs` | which datagrams show that a peer sends from the ring's port |

mod absence;
pub mod admission;
mod alarm;
pub mod blame;
mod builder;
pub mod clients;
pub mod command;
mod doorbell;
mod driver;
mod edge;
mod embedded;
pub mod errands;
mod error;
mod file;
pub mod inspect;
mod keeper;
mod kept_votes;
mod keys;
mod knet;
mod links;
pub mod local;
mod locals;
mod pace;
mod plan;
pub mod queue;
mod share;
mod source_port;
mod stalls;
mod statistics;
pub mod store;
pub(crate) mod thread;
mod uplinks;
mod watch;

pub use self::builder::Builder;
pub use self::embedded::Node;
pub use self::error::NodeError;
pub use self::knet::Knet;
