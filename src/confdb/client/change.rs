//! Changes of keys, as clients receive them.

use crate::confdb::wire::{Notify, lib, track};
use crate::service::wire::read::{Malformed, kind};
use crate::value::Value;

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The name of the key.
    pub key: String,
    /// The kind of change.
    pub kind: ChangeKind,
    /// The old value. `None`: the key did not exist, or it is a counter, whose old value is not known.
    pub old: Option<Value>,
    /// The new value; `None`: the key was removed.
    pub new: Option<Value>,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// The key was added.
    Added,
    /// The key has another value or type.
    Modified,
    /// The key was removed.
    Removed,
}

/// Reads a notification; `None`: the event is of another kind.
pub(super) fn read(event: &[u8]) -> Result<Option<Change>, Malformed> {
    kind(event)?;
    let Notify { inst: _, key, event, new, old } =
        lib::notify(event).ok_or(Malformed("event (change of a key)"))?;
    let kind = match event {
        track::ADD => ChangeKind::Added,
        track::MODIFY => ChangeKind::Modified,
        track::DELETE => ChangeKind::Removed,
        _ => return Err(Malformed("event (kind of change)")),
    };
    // For a statistic that appears or disappears, Corosync sends the same value as old and new.
    let (old, new) = match kind {
        ChangeKind::Added => (None, new),
        ChangeKind::Modified => (old, new),
        ChangeKind::Removed => (old, None),
    };
    Ok(Some(Change { key, kind, old, new }))
}
