//! Communication with local clients through shared memory, compatible with libqb in both directions.
//!
//! Corosync's libraries and programs linked with them work with the [`Server`] unchanged, and the [`Connection`]
//! works with a libqb server. Messages are opaque here. Corosync's counterpart: `exec/ipc_glue.c`, and libqb's
//! `lib/ipc*.c`, `lib/ringbuffer*.c`.
//!
//! A client connects to a stream socket named after the service and states the length of its longest message. The
//! kernel reports the client's user. The server makes three ring buffers in files in `/dev/shm`, gives them to that
//! user and answers with their names. From then on requests, responses and events go through the ring buffers, and
//! the socket carries only doorbells: one byte for each request and each event.
//!
//! | file | what |
//! |---|---|
//! | `server/` | [`Server`]: accepts clients, takes requests, sends replies and events |
//! | `client.rs` | [`Connection`]: the client's end |
//! | `wire.rs` | message headers, the two messages of the handshake |
//! | `address.rs` | the address where a service listens |
//! | `credentials.rs` | the process at the other end of a socket |
//! | `holder.rs` | the process that has taken the address of a service |
//! | `files.rs` | the ring buffer files: created, given away, removed, swept |
//! | `ring.rs` | chunks and indices of a ring buffer |
//! | `semaphore.rs` | reimplementation of glibc's semaphore |
//! | `shm.rs` | memory shared with another process, accessed through atomics |
//! | `sigbus.rs` | survives truncation of mapped files |
//! | `backlog.rs` | messages that wait for room |
//! | `block.rs` | consecutive messages, allocated and freed together |
//! | `pool.rs` | the memory of all queues together |
//! | `buffers.rs` | zero-copy buffers of CPG clients |
//! | `error.rs` | errors |
//!
//! No client is trusted: it owns its files, and may write anything to them at any time, truncate or remove them. So
//! sizes, indices and names are kept privately, and data is copied before it is checked. A client that violates the
//! rules is disconnected, and the log says why.

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
