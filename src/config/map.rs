//! The configuration as a flat map of names to typed values with their origins. The configuration database is
//! filled from it.
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
        /// The path of the file, as given on the command line.
        path: Arc<PathBuf>,
        /// Line number, from 1.
        line: u32,
    },
    /// The built-in default.
    Default,
    /// Computed from other settings or from this host.
    Derived,
    /// Derived from one setting of a file.
    DerivedFrom {
        /// Name of that setting.
        name: String,
        /// Path of the file with that setting.
        path: Arc<PathBuf>,
        /// Line number of that setting, from 1.
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
    /// The typed value.
    pub value: Value,
    /// The origin of the value.
    pub origin: Origin,
}

/// Typed values by name, in byte order of the names.
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

    /// Returns the item with this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// A number that fits into `u32`; `None` if it is missing, not a number or too large.
    pub fn u32(&self, name: &str) -> Option<u32> {
        self.entry(name)?.value.number()?.try_into().ok()
    }

    /// A text, with bytes that are not UTF-8 replaced; `None` if it is missing or a number.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.entry(name)?.value.as_text()
    }

    /// `yes` or `no`; any other word is treated as not given.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        match self.text(name).as_deref() {
            Some("yes") => Some(true),
            Some("no") => Some(false),
            Some(_) | None => None,
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets an item, replacing an earlier one.
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

    /// Sets an item that the program computed under a valid name.
    pub(super) fn derive(&mut self, name: &str, value: Value) {
        self.entries.insert(name.to_owned(), Entry { value, origin: Origin::Derived });
    }

    /// Replaces a secret text by a word that marks it as secret.
    pub(super) fn hide(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            if let Value::Text(text) = &mut entry.value {
                drop(Secret::new(std::mem::take(text)));
            }
            entry.value = Value::text("(hidden)");
        }
    }

    /// As [`Map::derive`], for a built-in default of the file's format.
    pub(super) fn default_to(&mut self, name: &str, value: Value) {
        self.entries.insert(name.to_owned(), Entry { value, origin: Origin::Default });
    }

    /// As [`Map::derive`], unless the item exists.
    pub(super) fn derive_missing(&mut self, name: &str, value: Value) {
        if !self.entries.contains_key(name) {
            self.derive(name, value);
        }
    }

    /// As [`Map::derive`], for a value derived from the item `source`, whose place it keeps.
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

/// The name as text, if it is valid in the configuration database: 3 to 255 of `A-Z a-z 0-9 . _ - / :`.
fn checked_name(name: &[u8]) -> Option<&str> {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-/:".contains(byte);
    if !(3..=NAME_LIMIT).contains(&name.len()) || !name.iter().all(good) {
        return None;
    }
    str::from_utf8(name).ok()
}
