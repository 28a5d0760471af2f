//! SAM, the simple availability manager: a supervisor process that restarts a process when it fails.
//!
//! A **worker** is the process that does the work; each time it is started is one **instance**. It tells its
//! **supervisor** when its health is to be checked ([`Worker::start`], [`Worker::stop`]). In between, silence, loss
//! of quorum and the end of the process are failures, as far as the [`Policy`] says so. A silent worker is warned by
//! a signal, then killed. Data that it [stores](Worker::store) is available to the next instance.
//!
//! There are two ways to begin:
//!
//! * [`Supervisor`] starts a program, which may be this one with other arguments. It works in any program, with any
//!   number of threads. The started program calls [`Worker::inherited`].
//! * [`register`] forks the calling process, as libsam does. It must be the first call in `main`.
//!
//! Corosync's counterpart: `lib/sam.c`; `sam_overview(3)`. The calls of libsam and their counterparts:
//!
//! | libsam | here |
//! |---|---|
//! | `sam_initialize` | [`Policy`] |
//! | `sam_register` | [`register`], and [`Worker::instance`] |
//! | `sam_start`, `sam_stop` | [`Worker::start`], [`Worker::stop`] |
//! | `sam_hc_send` | [`Worker::heartbeat`] |
//! | `sam_hc_callback_register` | [`Worker::check_health`] |
//! | `sam_data_store`, `_getsize`, `_restore` | [`Worker::store`] (before registration [`Policy::data`]), [`Worker::data`] |
//! | `sam_warn_signal_set` | [`Worker::warn_with`] |
//! | `sam_mark_failed` | [`Worker::mark_failed`], with and without keys in the registry |
//! | `sam_finalize` | [`Worker::finish`] |
//!
//! The keys in the daemon's configuration database, their types and their order are those of libsam. libsam behaves
//! differently in these points:
//!
//! * It ends with status 0 when the worker was killed by a signal; here the status is 128 plus the signal.
//! * It warns only once in a worker's life, and kills at the second silence however long ago the first was.
//! * A worker that was warned because of lost quorum may go on for ever if it gives signs of life or has no interval.
//!   Here it is killed after the grace period.
//! * After the daemon ends it has no keys any more, or it spins; here keys and quorum are restored when the daemon
//!   comes back, and supervision does not wait for it.
//! * It restarts workers that fail at once as fast as it can; here with growing pauses.
//! * Its worker outlives it, and its keys outlive a supervisor that is told to end; here neither happens.
//!
//! | file | what |
//! |---|---|
//! | `policy`, `registry`, `error` | settings; the daemon as two traits, and the keys; errors |
//! | `machine` | the state machine of a supervisor, without IO |
//! | `supervise`, `process`, `line`, `desk` | the loop around it; the worker's process; the socket to it; the daemon's thread |
//! | `register`, `supervisor`, `fork` | the two ways to begin; the `unsafe` code for them |
//! | `worker`, `health` | the worker's API; the thread that gives signs of life |
//! | `daemon` | implements the two traits with the real daemon |
//! | `wire` | byte layout of the messages between worker and supervisor |

mod daemon;
mod desk;
mod error;
mod fork;
mod health;
mod line;
mod machine;
mod policy;
mod process;
mod register;
mod registry;
mod supervise;
mod supervisor;
mod wire;
mod worker;

pub use daemon::Daemon;
pub use error::Error;
pub use policy::{MAX_DATA, Policy, Recovery};
pub use process::Exit;
pub use register::{register, register_at};
pub use registry::{DeskError, Desks, Name, QuorumWatch, Registry, WorkerState};
pub use supervise::Outcome;
pub use supervisor::{Handle, Supervisor};
pub use worker::Worker;
