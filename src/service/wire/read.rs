//! What all answers and events of a daemon have in common. Nothing in them is trusted: a length or count that
//! does not fit is an error, never a panic.

use zerocopy::byteorder::{NativeEndian, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::error::Status;
use crate::ids::NodeId;
use crate::service::wire::ReplyHeaderBytes;

/// What was malformed, as in "the daemon sent a malformed ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The status in an answer.
pub(crate) fn status(reply: &[u8]) -> Result<Status, Malformed> {
    let (header, _) = split::<ReplyHeaderBytes>(reply, "answer")?;
    Ok(Status::from_code(header.error.get()))
}

/// The kind of an event. One whose header tells another length than it has is malformed.
pub(crate) fn kind(event: &[u8]) -> Result<i32, Malformed> {
    let (header, _) = split::<ReplyHeaderBytes>(event, "event")?;
    if usize::try_from(header.size.get()) != Ok(event.len()) {
        return Err(Malformed("event (size)"));
    }
    Ok(header.id.get())
}

/// The fixed part of an answer or event, and the rest.
pub(crate) fn split<'a, T>(bytes: &'a [u8], what: &'static str) -> Result<(&'a T, &'a [u8]), Malformed>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    T::ref_from_prefix(bytes).map_err(|_| Malformed(what))
}

/// So many entries of a list, and the rest.
pub(crate) fn list<'a, T>(
    bytes: &'a [u8],
    count: u32,
    what: &'static str,
) -> Result<(&'a [T], &'a [u8]), Malformed>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    let count = usize::try_from(count).map_err(|_| Malformed(what))?;
    <[T]>::ref_from_prefix_with_elems(bytes, count).map_err(|_| Malformed(what))
}

/// So many node ids, and the rest. Nobody has the id 0.
pub(crate) fn nodes<'a>(
    bytes: &'a [u8],
    count: u32,
    what: &'static str,
) -> Result<(Vec<NodeId>, &'a [u8]), Malformed> {
    let (ids, rest) = list::<U32<NativeEndian>>(bytes, count, what)?;
    let ids = ids.iter().map(|id| NodeId::new(id.get()).ok_or(Malformed(what))).collect::<Result<_, _>>()?;
    Ok((ids, rest))
}
