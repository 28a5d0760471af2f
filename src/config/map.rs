//! What the configuration says, flat: one named, typed value each, with where it comes from. The
//! configuration database is filled from this.
//!
//! Corosync's counterpart: the keys that `exec/coroparse.c` writes into icmap.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::Refusal;
use crate::secret::Secret;
pub use crate::value::Value;

/// Items that one configuration may have; a longer one is refused.
///
/// Corosync has no such bound; 384 nodes with eight links and every option need less than 5000.
pub const ITEM_LIMIT: usize = 65_536;

/// Longest name of an item, in bytes. Source: corosync `include/corosync/icmap.h`.
pub const NAME_LIMIT: usize = 255;

/// Longest text value, in bytes, its closing NUL counted.
pub const TEXT_LIMIT: usize = crate::value::VALUE_LIMIT;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file.
    File {
        /// As it was named on the command line.
        path: Arc<PathBuf>,
        /// From 1.
        line: u32,
    },
    /// Nobody said anything: the built-in value.
    Default,
    /// Computed from other settings or from this host.
    Derived,
    /// Made from one setting of a file.
    DerivedFrom {
        /// That setting's name.
        name: String,
        /// The file that the setting stands in.
        path: Arc<PathBuf>,
        /// Its line, from 1.
        line: u32,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
            Self::Derived => f.write_str("derived"),
            Self::DerivedFrom { name, path, line } => {
                write!(f, "derived from {name} at {}:{line}", path.display())
            }
        }
    }
}

/// One item of the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is set.
    pub value: Value,
    /// By whom.
    pub origin: Origin,
}

/// Names to typed values, in byte order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    entries: BTreeMap<String, Entry>,
}

impl Map {
    /// All items, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The items whose names begin with `prefix`, ascending.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.entries
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, entry)| (name.as_str(), entry))
    }

    /// One item.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// A number that fits `u32`; `None` if it is not there, not a number or too large.
    pub fn u32(&self, name: &str) -> Option<u32> {
        self.entry(name)?.value.number()?.try_into().ok()
    }

    /// A text, with bytes that are not UTF-8 replaced; `None` if it is not there or a number.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.entry(name)?.value.as_text()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets an item, replacing what was there.
    ///
    /// # Errors
    /// [`Refusal`]: the name or the value cannot be stored, or the map is full.
    pub fn set(&mut self, name: &[u8], value: Value, origin: Origin) -> Result<(), Refusal> {
        let name = checked_name(name).ok_or(Refusal::NameTooLong)?;
        if let Value::Text(text) = &value
            && text.len() >= TEXT_LIMIT
        {
            return Err(Refusal::InvalidParam);
        }
        if self.entries.len() >= ITEM_LIMIT && !self.entries.contains_key(name) {
            return Err(Refusal::NoMemory);
        }
        self.entries.insert(name.to_owned(), Entry { value, origin });
        Ok(())
    }

    /// Sets an item whose name is known to be good and which the program computed.
    pub(super) fn derive(&mut self, name: &str, value: Value) {
        self.entries.insert(name.to_owned(), Entry { value, origin: Origin::Derived });
    }

    /// Overwrites a secret text with a word that says that it is one.
    pub(super) fn hide(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            if let Value::Text(text) = &mut entry.value {
                drop(Secret::new(std::mem::take(text)));
            }
            entry.value = Value::text("(hidden)");
        }
    }

    /// As [`Map::derive`], for a built-in value that the file's format has.
    pub(super) fn default_to(&mut self, name: &str, value: Value) {
        self.entries.insert(name.to_owned(), Entry { value, origin: Origin::Default });
    }

    /// As [`Map::derive`], unless the item is there already.
    pub(super) fn derive_missing(&mut self, name: &str, value: Value) {
        if !self.entries.contains_key(name) {
            self.derive(name, value);
        }
    }

    /// As [`Map::derive`], for what is made from the item `source`, whose place in the file it keeps.
    pub(super) fn derive_from(&mut self, name: &str, value: Value, source: &str) {
        let origin = match self.entries.get(source).map(|entry| &entry.origin) {
            Some(Origin::File { path, line }) => {
                Origin::DerivedFrom { name: source.to_owned(), path: Arc::clone(path), line: *line }
            }
            Some(origin @ Origin::DerivedFrom { .. }) => origin.clone(),
            Some(Origin::Default | Origin::Derived) | None => Origin::Derived,
        };
        self.entries.insert(name.to_owned(), Entry { value, origin });
    }
}

/// The name, if the configuration database could hold it: 3 to 255 of `A-Z a-z 0-9 . _ - / :`.
fn checked_name(name: &[u8]) -> Option<&str> {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(byte);
    if !(3..=NAME_LIMIT).contains(&name.len()) || !name.iter().all(good) {
        return None;
    }
    str::from_utf8(name).ok()
}
