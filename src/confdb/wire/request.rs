//! The requests of clients.

use std::borrow::Cow;

use zerocopy::{FromBytes, TryFromBytes};

use super::layout::{
    AdjustRequestBytes, GetRequestBytes, HandleRequestBytes, KeyRequestBytes, MapRequestBytes,
    SetRequestBytes, TrackRequestBytes,
};
use super::track;
use super::value::{value_from, value_len};
use crate::confdb::events::Interest;
use crate::confdb::shelf::Shelf;
use crate::error::Status;
use crate::service::wire::layout::head;
use crate::value::{VALUE_LIMIT, Value};

/// Number of kinds of requests.
pub(crate) const COUNT: u16 = Function::ChooseMap as u16 + 1;

/// The map of configuration and state, which a new connection uses.
const MAP_ICMAP: i32 = 0;
/// The map of statistics.
pub(crate) const MAP_STATS: i32 = 1;

/// What a request asks for, with its number. It decides which reply the client expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes)]
#[repr(u16)]
pub(crate) enum Function {
    Set = 0,
    Delete = 1,
    Get = 2,
    Adjust = 3,
    Iterate = 4,
    Next = 5,
    EndIteration = 6,
    Track = 7,
    Untrack = 8,
    ChooseMap = 9,
}

impl Function {
    /// The function with this request number; `None`: there is none.
    pub(crate) fn of(number: u16) -> Option<Self> {
        Self::try_read_from_bytes(&number.to_ne_bytes()).ok()
    }

    /// The id of the reply.
    pub(crate) const fn reply(self) -> i32 {
        match self {
            Self::ChooseMap => 10, // 9 is the notification
            other => other as i32,
        }
    }
}

/// A request of a client. Names are as the client sent them: at most 256 bytes, and not necessarily valid for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// Set a key to a value of any type.
    Set {
        key: Cow<'a, str>,
        value: RawValue<'a>,
    },
    /// Remove a key.
    Delete {
        key: Cow<'a, str>,
    },
    /// Tell the value of a key.
    Get {
        key: Cow<'a, str>,
        /// Room that the client has for the value, in bytes; 0 asks for type and length only.
        room: u64,
    },
    /// Add to an integer.
    Adjust {
        key: Cow<'a, str>,
        step: i32,
    },
    /// Begin an iteration over the keys that begin with `prefix`.
    Iterate {
        prefix: Cow<'a, str>,
    },
    /// Tell the next key of an iteration.
    Next {
        handle: u64,
    },
    EndIteration {
        handle: u64,
    },
    /// Notify this client of changes.
    Track {
        /// The key, or the prefix of the keys.
        key: Cow<'a, str>,
        /// `None`: the kind of the tracker has a bit without a meaning.
        interest: Option<Interest>,
        /// The client's own number for the tracker; it is repeated in each notification.
        inst: u64,
    },
    /// Notify this client no more.
    Untrack {
        handle: u64,
    },
    /// Choose the map that this connection uses.
    ChooseMap {
        /// `None`: there is no map of that number.
        shelf: Option<Shelf>,
    },
}

impl<'a> Request<'a> {
    /// Decodes a request. `None`: it is too short for its function.
    pub(crate) fn decode(function: Function, bytes: &'a [u8]) -> Option<Self> {
        let handle = || Some(head::<HandleRequestBytes>(bytes)?.handle.get());
        Some(match function {
            Function::Set => {
                let (head, bytes) = SetRequestBytes::ref_from_prefix(bytes).ok()?;
                let value = RawValue { kind: head.kind, len: head.len.get(), bytes };
                Self::Set { key: head.key.name(), value }
            }
            Function::Delete => Self::Delete { key: head::<KeyRequestBytes>(bytes)?.key.name() },
            Function::Get => {
                let head = head::<GetRequestBytes>(bytes)?;
                Self::Get { key: head.key.name(), room: head.len.get() }
            }
            Function::Adjust => {
                let head = head::<AdjustRequestBytes>(bytes)?;
                Self::Adjust { key: head.key.name(), step: head.step.get() }
            }
            Function::Iterate => Self::Iterate { prefix: head::<KeyRequestBytes>(bytes)?.key.prefix() },
            Function::Next => Self::Next { handle: handle()? },
            Function::EndIteration => Self::EndIteration { handle: handle()? },
            Function::Track => {
                let head = head::<TrackRequestBytes>(bytes)?;
                let interest = track::interest(head.kind.get());
                Self::Track { key: head.key.prefix(), interest, inst: head.inst.get() }
            }
            Function::Untrack => Self::Untrack { handle: handle()? },
            Function::ChooseMap => {
                let shelf = match head::<MapRequestBytes>(bytes)?.map.get() {
                    MAP_ICMAP => Some(Shelf::Config),
                    MAP_STATS => Some(Shelf::Statistics),
                    _ => None,
                };
                Self::ChooseMap { shelf }
            }
        })
    }
}

/// The value of a request as the client sent it. Whether it is one is checked only by [`RawValue::read`], because the
/// client is first told that the key is read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawValue<'a> {
    kind: u8,
    /// Length that the client gives; `bytes` may be shorter or longer.
    len: u64,
    bytes: &'a [u8],
}

impl RawValue<'_> {
    /// The value.
    ///
    /// # Errors
    /// INVALID_PARAM: an unknown type, more bytes than a value may have or than the client sent, a length that does
    /// not fit the type, or a text that continues after a NUL.
    pub(crate) fn read(&self) -> Result<Value, Status> {
        let length = usize::try_from(self.len).ok().filter(|length| *length <= VALUE_LIMIT);
        length
            .and_then(|length| self.bytes.get(..length))
            .and_then(|bytes| value_from(self.kind, bytes))
            // A text that lacks its NUL is stored with one more byte than was sent.
            .filter(|value| value_len(value) <= VALUE_LIMIT)
            .ok_or(Status::InvalidParam)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lib;
    use super::*;
    use crate::confdb::events::{Event, Events, Scope};

    #[test]
    fn requests_are_decoded_as_a_client_encodes_them() {
        let value = RawValue { kind: 6, len: 4, bytes: &5_u32.to_ne_bytes() };
        let events = Events::from_iter([Event::Add, Event::Modify]);
        let interest = Some(Interest { events, scope: Scope::Prefix });
        let kind = track::ADD | track::MODIFY | track::PREFIX;
        let all = [
            (lib::set("a.key", &Value::U32(5)), Request::Set { key: "a.key".into(), value }),
            (lib::delete("a.key"), Request::Delete { key: "a.key".into() }),
            (lib::get("a.key", 9), Request::Get { key: "a.key".into(), room: 9 }),
            (lib::adjust_int("a.key", -2), Request::Adjust { key: "a.key".into(), step: -2 }),
            (lib::iter_init("a."), Request::Iterate { prefix: "a.".into() }),
            (lib::iter_next(3), Request::Next { handle: 3 }),
            (lib::iter_finalize(4), Request::EndIteration { handle: 4 }),
            (lib::track_add("a.", kind, 5), Request::Track { key: "a.".into(), interest, inst: 5 }),
            (lib::track_delete(6), Request::Untrack { handle: 6 }),
            (lib::set_current_map(1), Request::ChooseMap { shelf: Some(Shelf::Statistics) }),
        ];
        assert_eq!(all.len(), usize::from(COUNT));
        for (number, (bytes, request)) in all.iter().enumerate() {
            let function = Function::of(number as u16).unwrap();
            let fixed = if function == Function::Set { bytes.len() - 4 } else { bytes.len() };
            assert_eq!(Request::decode(function, bytes).as_ref(), Some(request));
            for length in 0..fixed {
                assert_eq!(Request::decode(function, &bytes[..length]), None, "{function:?} of {length}");
            }
        }
        assert_eq!(Function::of(COUNT), None);
    }

    #[test]
    fn a_value_is_read_up_to_its_length_and_no_further() {
        let read = |kind, len, bytes| RawValue { kind, len, bytes }.read();
        assert_eq!(read(11, 3, b"abcdef"), Ok(Value::text("abc")));
        assert_eq!(read(2, 1, &[7]), Ok(Value::U8(7)));
        let (most, more) = ([1; VALUE_LIMIT], [1; VALUE_LIMIT + 1]);
        assert_eq!(read(12, most.len() as u64, &more), Ok(Value::Bytes(most.to_vec())));
        assert_eq!(read(11, most.len() as u64 - 1, &more), Ok(Value::text(&most[1..])));
        for (kind, len, bytes) in [
            (2, 2, &[7][..]),
            (2, 0, &[7]),
            (0, 1, &[7]),
            (13, 1, &[7]),
            (12, u64::MAX, &[7]),
            (12, more.len() as u64, &more),
            (11, most.len() as u64, &most),
        ] {
            assert_eq!(read(kind, len, bytes), Err(Status::InvalidParam), "{kind} {len}");
        }
    }
}
