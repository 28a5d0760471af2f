//! The configuration database without an asynchronous runtime, for simple programs and for programs with a main loop
//! of their own, such as resource managers. Each call fails as the one of the same name in
//! [`confdb::Client`](super::Client).
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let confdb = annulus::client::blocking::Client::connect()?.confdb().clone();
//! println!("token: {:?} ms", confdb.get::<u32>("totem.token")?);
//! for entry in confdb.list("runtime.members.")? {
//!     let entry = entry?;
//!     println!("{} = {}", entry.key, entry.value);
//! }
//! let mut changes = confdb.watch("runtime.members.")?;
//! loop {
//!     // … poll(2) with `changes.as_fd()` among others …
//!     changes.dispatch(|change| println!("{}: {:?}", change.key, change.new))?;
//! }
//! # }
//! ```

use std::sync::Arc;

use super::calls::{self, Key};
use super::entries::Cursor;
use super::{Change, Entry, Error, FromValue, Map, change, line, typed};
use crate::service::channel::{Channel, Dial};
use crate::service::client::blocking::Events;
use crate::service::client::{Line, Source};

/// A blocking client of one database of one daemon, or of one node in this process, with the calls of
/// [`confdb::Client`](super::Client). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) line: Line,
}

impl Client {
    /// A client whose connections are opened by `dial`. Opens no connection yet.
    pub fn new(dial: Arc<dyn Dial>, map: Map) -> Self {
        Self { line: line(dial, map) }
    }

    /// The value of a key as `T`; see [`super::Client::get`].
    pub fn get<T: FromValue>(&self, key: &str) -> Result<Option<T>, Error> {
        self.get_value(key)?.map(|value| typed::read(key, &value)).transpose()
    }

    /// The keys that begin with a prefix; see [`super::Client::list`].
    pub fn list(&self, prefix: &str) -> Result<Entries, Error> {
        let begin = calls::list(&Key::prefix(prefix)?);
        let channel = self.line.open_blocking()?;
        let handle = begin.over_blocking(&*channel)?;
        Ok(Entries { cursor: Some(Cursor::new(channel, handle)) })
    }

    /// Changes of the keys that begin with a prefix; see [`super::Client::watch`].
    pub fn watch(&self, prefix: &str) -> Result<Events<Change>, Error> {
        self.track(&Key::prefix(prefix)?, true)
    }

    /// Changes of one key; see [`super::Client::watch_key`].
    pub fn watch_key(&self, key: &str) -> Result<Events<Change>, Error> {
        self.track(&Key::new(key)?, false)
    }

    fn track(&self, key: &Key<'_>, prefix: bool) -> Result<Events<Change>, Error> {
        let channel = self.line.open_blocking()?;
        calls::track(key, prefix).over_blocking(&*channel)?;
        Ok(Events::new(Source::new(channel, change::read)))
    }
}

/// An iterator over keys and their values, ascending by key. An error is the last item.
pub struct Entries {
    /// `None` after the last item.
    cursor: Option<Cursor>,
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = next(self.cursor.as_mut()?).transpose();
        if !matches!(entry, Some(Ok(_))) {
            self.cursor = None;
        }
        entry
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("over", &self.cursor.is_none()).finish()
    }
}

fn next(cursor: &mut Cursor) -> Result<Option<Entry>, Error> {
    loop {
        let channel: Arc<dyn Channel> = Arc::clone(&cursor.channel);
        let Some(key) = cursor.key(calls::next(cursor.handle).over_blocking(&*channel))? else {
            return Ok(None);
        };
        let value = calls::get(&Key::new(&key)?).over_blocking(&*channel);
        if let Some(value) = calls::or_none(value)? {
            return Ok(Some(Entry { key, value }));
        }
    }
}
