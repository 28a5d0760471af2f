//! Parsing that is common to all answers and events of a daemon. The daemon is not trusted: a length or count
//! that does not fit is an error, never a panic.

use zerocopy::{FromBytes, Immutable, KnownLayout, NativeEndian, U32, Unaligned};

use crate::error::Status;
use crate::ids::NodeId;
use crate::service::wire::ReplyHeaderBytes;

/// The part that was malformed, as the end of the sentence "the daemon sent a malformed ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Reads the status of an answer.
pub(crate) fn status(reply: &[u8]) -> Result<Status, Malformed> {
    let (header, _) = split::<ReplyHeaderBytes>(reply, "answer")?;
    Ok(Status::from_code(header.error.get()))
}

/// Reads the kind of an event. An event whose header gives another length than it has is malformed.
pub(crate) fn kind(event: &[u8]) -> Result<i32, Malformed> {
    let (header, _) = split::<ReplyHeaderBytes>(event, "event")?;
    if usize::try_from(header.size.get()) != Ok(event.len()) {
        return Err(Malformed("event (size)"));
    }
    Ok(header.id.get())
}

/// Splits an answer or event into its fixed part and the rest.
pub(crate) fn split<'a, T>(bytes: &'a [u8], what: &'static str) -> Result<(&'a T, &'a [u8]), Malformed>
where
    T: FromBytes + KnownLayout + Immutable + Unaligned,
{
    T::ref_from_prefix(bytes).map_err(|_| Malformed(what))
}

/// Splits off the first `count` entries of a list; returns them and the rest.
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

/// Splits off node ids; returns them and the rest. The id 0 is malformed.
pub(crate) fn nodes<'a>(
    bytes: &'a [u8],
    count: u32,
    what: &'static str,
) -> Result<(Vec<NodeId>, &'a [u8]), Malformed> {
    let (ids, rest) = list::<U32<NativeEndian>>(bytes, count, what)?;
    let ids = ids.iter().map(|id| NodeId::new(id.get()).ok_or(Malformed(what))).collect::<Result<_, _>>()?;
    Ok((ids, rest))
}
