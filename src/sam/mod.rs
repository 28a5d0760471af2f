//! SAM, the simple availability manager: a supervisor beside a process, which starts it again when it fails.
//!
//! A **worker** is the process that does the work, in one **instance** after the other. It tells its **supervisor** when
//! its health is to be looked after ([`Worker::start`], [`Worker::stop`]); in between, silence, the loss of quorum
//! and its end are failures, if the [`Policy`] says so. A worker that is silent is warned by a signal, then killed.
//! What it [stores](Worker::store) the next instance finds again.
//!
//! Two ways to begin:
//!
//! * [`Supervisor`] starts a program, which may be this one with other arguments. It runs in any program, whatever
//!   threads there are. The worker says [`Worker::inherited`].
//! * [`register`] splits the calling process in two, as libsam does. It must be the first thing that `main` does.
//!
//! Corosync's counterpart: `lib/sam.c`; `sam_overview(3)`. Where its calls went:
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
//! The keys in the daemon's configuration database are libsam's, and so are their types and their order. What
//! libsam does otherwise:
//!
//! * It ends with status 0 when the worker was killed by a signal; here it is 128 and the signal.
//! * It warns once in a worker's life, and kills at the second silence even if the first was long ago.
//! * It lets a worker go on for ever that was warned because of quorum and still gives signs of life, or has no
//!   interval. Here it is killed after the grace.
//! * A daemon that ends leaves it without keys for good, or spinning; here keys and quorum come back with the daemon,
//!   and supervision does not wait for it.
//! * It starts workers that fail at once again and again as fast as it can; here with growing pauses.
//! * Its worker outlives it, and its keys outlive a supervisor that is told to end; here neither does.
//!
//! | file | what |
//! |---|---|
//! | `policy`, `registry`, `error` | what is wanted; the daemon as two traits, and the keys; errors |
//! | `machine` | what a supervisor does next, pure |
//! | `supervise`, `process`, `line`, `desk` | the loop around it; worker's process; worker's line; the daemon's thread |
//! | `register`, `supervisor`, `fork` | the two ways to begin; what needs `unsafe` |
//! | `worker`, `health` | the worker's side; the thread that gives signs of life |
//! | `daemon` | the real daemon behind the two traits |
//! | `wire` | bytes between worker and supervisor |

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
