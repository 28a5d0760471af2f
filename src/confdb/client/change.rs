//! What happened to a key.

use crate::confdb::wire::{Notify, lib, track};
use crate::service::wire::read::{Malformed, kind};
use crate::value::Value;

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which key.
    pub key: String,
    /// What happened.
    pub kind: ChangeKind,
    /// What it was. `None`: it was not there, or it is a counter whose old value nobody kept.
    pub old: Option<Value>,
    /// What it is; `None`: it was removed.
    pub new: Option<Value>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It was not there before.
    Added,
    /// It has another value or type.
    Modified,
    /// It is gone.
    Removed,
}

/// Reads a notification.
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
    // Of a statistic that comes or goes, Corosync tells the same value twice.
    let (old, new) = match kind {
        ChangeKind::Added => (None, new),
        ChangeKind::Modified => (old, new),
        ChangeKind::Removed => (old, None),
    };
    Ok(Some(Change { key, kind, old, new }))
}
