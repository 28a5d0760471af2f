//! Talking to local clients through shared memory, compatible with libqb both ways.
//!
//! The libraries of Corosync and programs linked with them work with the [`Server`] unchanged, and the
//! [`Connection`] works with a libqb server. This room carries opaque messages: it does not know what a
//! request means. Corosync's counterpart: `exec/ipc_glue.c`, and libqb's `lib/ipc*.c`,
//! `lib/ringbuffer*.c`.
//!
//! A client connects to a stream socket, named after the service, and says how long its messages may be.
//! The kernel says who it is. The server makes three rings in files in `/dev/shm`, gives them to the
//! client's user and answers with their names. From then on requests, responses and events go through
//! the rings, and the socket carries only doorbells: one byte a request, one byte an event.
//!
//! | file | what |
//! |---|---|
//! | `server/` | [`Server`]: accepts, takes requests, sends replies and events |
//! | `client.rs` | [`Connection`]: the other end |
//! | `wire.rs` | message headers, the two messages of the handshake |
//! | `address.rs` | where a service listens |
//! | `credentials.rs` | who is at the other end |
//! | `holder.rs` | who has an address that a server is to have |
//! | `files.rs` | the ring files: made, handed over, removed, swept |
//! | `ring.rs` | chunks and indices of a ring |
//! | `semaphore.rs` | glibc's semaphore, by hand |
//! | `shm.rs` | memory shared with another process, reached through atomics |
//! | `sigbus.rs` | survives files that are truncated under us |
//! | `backlog.rs` | messages that wait for room |
//! | `block.rs` | some of them, which are allocated and freed together |
//! | `pool.rs` | what waits in all queues together |
//! | `buffers.rs` | zero-copy buffers of CPG clients |
//! | `error.rs` | what goes wrong |
//!
//! Clients are hostile until shown otherwise: a client owns its files and may write anything into them
//! at any time, cut or remove them. Sizes, indices and names are kept privately; what is read is copied
//! first and checked then; a client that breaks the rules is disconnected, and the log says why.

mod address;
mod backlog;
mod block;
mod buffers;
mod client;
mod credentials;
mod error;
mod files;
mod holder;
mod pool;
mod ring;
mod semaphore;
mod server;
mod shm;
mod sigbus;
pub mod wire;

pub use address::Rendezvous;
pub use client::{Connection, FlowLimit};
pub use credentials::Credentials;
pub use error::{ConnectError, IpcError};
pub use holder::Holder;
pub use ring::RingError;
pub use server::{About, Admission, Counters, Endpoint, Flow, Incoming, Options, Refusal, Server, Stats};
