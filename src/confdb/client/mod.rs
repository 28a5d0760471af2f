//! The library for applications that use the configuration database and the statistics. It works the same over IPC
//! and inside the process of the node.
//!
//! A **key** has a dotted name such as `totem.token` (3 to 255 characters of `A-Z a-z 0-9 . _ - / :`) and one typed
//! [`Value`]. Each node has a database of its own: a key that is set at one node is not seen at others.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use annulus::client::Client;
//!
//! let confdb = Client::connect().await?.confdb().clone();
//! println!("token: {:?} ms", confdb.get::<u32>("totem.token").await?);
//! confdb.set("my.app.limit", 5u32).await?;
//!
//! let mut nodes = confdb.list("nodelist.node.").await?;
//! while let Some(entry) = nodes.next().await {
//!     let entry = entry?;
//!     println!("{} = {}", entry.key, entry.value);
//! }
//!
//! let mut changes = confdb.watch("my.app.").await?;
//! while let Some(change) = changes.next().await {
//!     let change = change?;
//!     println!("{}: {:?} -> {:?}", change.key, change.old, change.new);
//! }
//! # Ok(()) }
//! ```
//!
//! Corosync's counterpart: `lib/cmap.c`; `cmap_overview(3)`. The counterparts of libcmap's calls:
//!
//! | libcmap | here |
//! |---|---|
//! | `cmap_initialize`, `cmap_initialize_map` | [`Client::new`] with a [`Map`] |
//! | `cmap_get` and its sixteen typed variants | [`Client::get`], [`Client::get_value`] |
//! | `cmap_set` and its typed variants | [`Client::set`] |
//! | `cmap_delete`, `cmap_inc`, `cmap_dec`, `cmap_adjust_int` | [`Client::remove`], [`Client::increment`], [`Client::decrement`], [`Client::adjust`] |
//! | `cmap_iter_init`, `cmap_iter_next`, `cmap_iter_finalize` | [`Client::list`] |
//! | `cmap_track_add`, `cmap_track_delete`, `cmap_dispatch` | [`Client::watch`], [`Client::watch_key`]; dropping the stream |
//! | `cmap_fd_get` | [`blocking::Client::watch`] returns a value that is [`AsFd`](std::os::fd::AsFd) |
//!
//! | file | what |
//! |---|---|
//! | `typed.rs` | [`FromValue`]: conversion of values to types of Rust |
//! | `change.rs` | changes of keys, as clients receive them |
//! | `entries.rs` | iterations over keys |
//! | `calls.rs` | the calls that both kinds of client have in common |
//! | `error.rs` | [`Error`] |
//! | `blocking.rs` | the same without an asynchronous runtime |

pub mod blocking;
mod calls;
mod change;
mod entries;
mod error;
#[cfg(test)]
mod tests;
mod typed;

use std::sync::Arc;

pub use change::{Change, ChangeKind};
pub use entries::{Entries, Entry};
pub use error::Error;
pub use typed::FromValue;

use crate::ids::ServiceId;
use crate::service::channel::Dial;
use crate::service::client::{Events, Line, Source, both};
use crate::value::Value;
use calls::Key;

/// The two databases of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Map {
    /// Configuration and state: `totem.`, `nodelist.`, `quorum.`, `runtime.` and keys that clients add.
    #[default]
    Configuration,
    /// Counters, computed when they are read: `stats.`. Read-only except for `stats.clear.`.
    Statistics,
}

/// A client of one database of one daemon, or of one node in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    line: Line,
}

both! {
    Client, blocking::Client:

    /// The value of a key; `None` if the key does not exist.
    ///
    /// # Errors
    /// [`Error::BadKey`]; [`Error::Service`]: no daemon runs, or it refuses this user.
    fn get_value(&self, key: &str) -> Option<Value> = self.line, calls::get(&Key::new(key)?) => calls::or_none;

    /// Sets a key, whatever type it had before. `u32` makes a key of type `u32` and so on, text one of type
    /// `str`, `Vec<u8>` one of type `bin`.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::BadKey`], [`Error::BadValue`]; [`Error::Service`]: no daemon runs, or it refuses
    /// this user.
    fn set(&self, key: &str, value: impl Into<Value>) -> () =
        self.line, calls::set(&Key::new(key)?, &value.into())? => calls::about(key);

    /// Removes a key. Returns whether it existed.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], [`Error::BadKey`]; [`Error::Service`]: no daemon runs, or it refuses this user.
    fn remove(&self, key: &str) -> bool =
        self.line, calls::remove(&Key::new(key)?) => calls::was_there(key);

    /// Adds 1 to a key that holds an integer; the largest value wraps to the smallest.
    ///
    /// # Errors
    /// As [`Client::adjust`].
    fn increment(&self, key: &str) -> () =
        self.line, calls::adjust(&Key::new(key)?, 1) => calls::about(key);

    /// Subtracts 1 from a key that holds an integer; the smallest value wraps to the largest.
    ///
    /// # Errors
    /// As [`Client::adjust`].
    fn decrement(&self, key: &str) -> () =
        self.line, calls::adjust(&Key::new(key)?, -1) => calls::about(key);

    /// Adds to a key that holds an integer, atomically: concurrent additions are not lost. The type is kept; the sum
    /// wraps around.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::NotInteger`], [`Error::ReadOnly`], [`Error::BadKey`]; [`Error::Service`]: no daemon
    /// runs, or it refuses this user.
    fn adjust(&self, key: &str, by: i32) -> () =
        self.line, calls::adjust(&Key::new(key)?, by) => calls::about(key);
}

impl Client {
    /// A client whose connections are opened by `dial`. Opens no connection yet.
    pub fn new(dial: Arc<dyn Dial>, map: Map) -> Self {
        Self { line: line(dial, map) }
    }

    /// The value of a key as `T`; `None` if the key does not exist. [`FromValue`] lists the conversions.
    ///
    /// # Errors
    /// [`Error::WrongType`]: the value cannot be converted; otherwise as [`Client::get_value`].
    pub async fn get<T: FromValue>(&self, key: &str) -> Result<Option<T>, Error> {
        self.get_value(key).await?.map(|value| typed::read(key, &value)).transpose()
    }

    /// Iterates over the keys that begin with `prefix`, ascending (`""`: all). Keys that are added or removed
    /// in the meantime may or may not be included.
    ///
    /// # Errors
    /// [`Error::BadKey`]; [`Error::Service`]: no daemon runs, or it refuses this user.
    pub async fn list(&self, prefix: &str) -> Result<Entries, Error> {
        let begin = calls::list(&Key::prefix(prefix)?);
        // A separate connection: closing it frees the iteration.
        let channel = self.line.open().await?;
        let handle = begin.over(&*channel).await?;
        Ok(Entries::new(channel, handle))
    }

    /// The changes from now on of the keys that begin with `prefix` (`""`: all). Every change is reported; for
    /// statistics only counters that appear or disappear are, see [`Map::Statistics`].
    ///
    /// # Errors
    /// [`Error::BadKey`]; [`Error::Service`]: no daemon runs, or it refuses this user.
    pub async fn watch(&self, prefix: &str) -> Result<Events<Change>, Error> {
        self.track(&Key::prefix(prefix)?, true).await
    }

    /// The changes of this key from now on. The key need not exist yet. A key of [`Map::Statistics`] is
    /// checked every 1.5 s.
    ///
    /// # Errors
    /// As [`Client::watch`].
    pub async fn watch_key(&self, key: &str) -> Result<Events<Change>, Error> {
        self.track(&Key::new(key)?, false).await
    }

    async fn track(&self, key: &Key<'_>, prefix: bool) -> Result<Events<Change>, Error> {
        let channel = self.line.open().await?;
        calls::track(key, prefix).over(&*channel).await?;
        Ok(Events::new(Source::new(channel, change::read)))
    }
}

fn line(dial: Arc<dyn Dial>, map: Map) -> Line {
    let line = Line::new(dial, ServiceId::CMAP);
    match map {
        Map::Configuration => line,
        Map::Statistics => line.greeting(calls::choose_statistics),
    }
}
