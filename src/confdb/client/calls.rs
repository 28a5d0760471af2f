//! The calls that the asynchronous and the blocking client have in common.

use super::Error;
use crate::confdb::names::{self, NAME_LEAST};
use crate::confdb::wire::{MAP_STATS, lib, track, value_from, value_len};
use crate::error::Status;
use crate::service::client::{self, Ask};
use crate::service::wire::read::Malformed;
use crate::value::{VALUE_LIMIT, Value};

/// A name or prefix of a key that the protocol can carry.
pub(super) struct Key<'a>(&'a str);

impl<'a> Key<'a> {
    pub(super) fn new(name: &'a str) -> Result<Self, Error> {
        match names::is_valid(name) {
            true => Ok(Self(name)),
            false => Err(Error::BadKey { key: name.to_owned() }),
        }
    }

    pub(super) fn prefix(name: &'a str) -> Result<Self, Error> {
        // Checked as if it were the beginning of a name: one or two characters are too short for a name but
        // not for a prefix.
        match name.is_empty() || names::is_valid(&format!("{name:.<NAME_LEAST$}")) {
            true => Ok(Self(name)),
            false => Err(Error::BadKey { key: name.to_owned() }),
        }
    }
}

/// The first call on each connection to the statistics: it selects their map.
pub(super) fn choose_statistics() -> Ask<()> {
    Ask::order("show the statistics", lib::set_current_map(MAP_STATS))
}

pub(super) fn get(key: &Key<'_>) -> Ask<Value> {
    // Room for any value, and for the NUL that the daemon adds to the longest text.
    Ask::query("tell the value of a key", lib::get(key.0, VALUE_LIMIT as u64 + 1), |reply| {
        let bad = Malformed("answer (value)");
        let (kind, length, bytes) = lib::get_reply(reply).ok_or(bad)?;
        if bytes.len() as u64 != length {
            return Err(bad);
        }
        value_from(kind, bytes).ok_or(bad)
    })
}

pub(super) fn set(key: &Key<'_>, value: &Value) -> Result<Ask<()>, Error> {
    let bad = |why| Err(Error::BadValue { key: key.0.to_owned(), why });
    if value_len(value) > VALUE_LIMIT {
        return bad("it is longer than 16384 bytes, of a text with its closing NUL");
    }
    if matches!(value, Value::Text(text) if text.contains(&0)) {
        return bad("a text cannot hold a NUL; store it as bytes");
    }
    Ok(Ask::order("set a key", lib::set(key.0, value)))
}

pub(super) fn remove(key: &Key<'_>) -> Ask<()> {
    Ask::order("remove a key", lib::delete(key.0))
}

pub(super) fn adjust(key: &Key<'_>, by: i32) -> Ask<()> {
    Ask::order("add to a key", lib::adjust_int(key.0, by))
}

/// Begins an iteration; returns its handle.
pub(super) fn list(prefix: &Key<'_>) -> Ask<u64> {
    Ask::query("list keys", lib::iter_init(prefix.0), |reply| {
        lib::handle_reply(reply).ok_or(Malformed("answer (handle of an iteration)"))
    })
}

/// Asks for the next key of an iteration.
pub(super) fn next(handle: u64) -> Ask<String> {
    Ask::query("list keys", lib::iter_next(handle), |reply| {
        lib::next_reply(reply).map(|(key, ..)| key).ok_or(Malformed("answer (iteration)"))
    })
}

/// Adds a tracker.
pub(super) fn track(key: &Key<'_>, prefix: bool) -> Ask<()> {
    let kinds = track::ADD | track::MODIFY | track::DELETE | if prefix { track::PREFIX } else { 0 };
    Ask::order("watch keys", lib::track_add(key.0, kinds, 0))
}

/// Converts the status for a missing key to `None`.
pub(super) fn or_none<T>(answer: Result<T, client::Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_refusal(Status::NotExist) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the removed key existed.
pub(super) fn was_there(key: &str) -> impl FnOnce(Result<(), client::Error>) -> Result<bool, Error> {
    let about = about(key);
    move |removed| match about(removed) {
        Ok(()) => Ok(true),
        Err(Error::NoKey { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Converts an error of a call about this key.
pub(super) fn about(key: &str) -> impl FnOnce(Result<(), client::Error>) -> Result<(), Error> {
    let key = key.to_owned();
    move |answer| {
        answer.map_err(|error| match error {
            client::Error::Refused { status: Status::Access, .. } => Error::ReadOnly { key },
            client::Error::Refused { status: Status::NotExist, .. } => Error::NoKey { key },
            client::Error::Refused { status: Status::InvalidParam, what: "add to a key", .. } => {
                Error::NotInteger { key }
            }
            other => other.into(),
        })
    }
}
