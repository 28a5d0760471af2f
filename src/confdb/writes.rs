//! What clients may change in the map of configuration and state, and in which order that is checked.
//!
//! Source: corosync `exec/cmap.c`, `message_handler_req_lib_cmap_set`, `_delete`, `_adjust_int`.

use super::names;
use super::wire::RawValue;
use crate::error::Status;
use crate::service::Database;
use crate::value::Value;

/// What a write that was not refused has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// No key has another value than before, so nobody is notified and the client is answered at once.
    Unchanged,
    /// A key was added, removed or given another value, so the answer follows after the notifications: it is an
    /// [`OwedAnswer`](super::owed::OwedAnswer).
    Changed,
}

pub(super) fn set(key: &str, value: RawValue<'_>, database: &mut Database) -> Result<Written, Status> {
    refuse_read_only(key, database)?;
    let value = value.read()?;
    if database.get(key).is_none() && !names::is_valid(key) {
        return Err(Status::NameTooLong);
    }
    store(key, value, database)
}

/// Removes a key.
pub(super) fn delete(key: &str, database: &mut Database) -> Result<Written, Status> {
    refuse_read_only(key, database)?;
    if database.remove(key) { Ok(Written::Changed) } else { Err(Status::NotExist) }
}

/// Adds to an integer. The sum wraps around at the width of the type.
pub(super) fn adjust(key: &str, step: i32, database: &mut Database) -> Result<Written, Status> {
    refuse_read_only(key, database)?;
    let sum = match database.get(key).ok_or(Status::NotExist)? {
        Value::I8(n) => Value::I8(n.wrapping_add(step as i8)),
        Value::U8(n) => Value::U8(n.wrapping_add(step as u8)),
        Value::I16(n) => Value::I16(n.wrapping_add(step as i16)),
        Value::U16(n) => Value::U16(n.wrapping_add(step as u16)),
        Value::I32(n) => Value::I32(n.wrapping_add(step)),
        Value::U32(n) => Value::U32(n.wrapping_add_signed(step)),
        Value::I64(n) => Value::I64(n.wrapping_add(step.into())),
        Value::U64(n) => Value::U64(n.wrapping_add_signed(step.into())),
        Value::F32(_) | Value::F64(_) | Value::Text(_) | Value::Bytes(_) => return Err(Status::InvalidParam),
    };
    store(key, sum, database)
}

fn refuse_read_only(key: &str, database: &Database) -> Result<(), Status> {
    if names::is_read_only(key, database) { Err(Status::Access) } else { Ok(()) }
}

/// Stores a value, which a full database refuses.
fn store(key: &str, value: Value, database: &mut Database) -> Result<Written, Status> {
    if database.get(key) == Some(&value) {
        return Ok(Written::Unchanged);
    }
    database.set(key, value.clone());
    if database.get(key) == Some(&value) { Ok(Written::Changed) } else { Err(Status::NoMemory) }
}
