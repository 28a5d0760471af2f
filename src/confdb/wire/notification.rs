//! The event that tells the owner of a tracker of a change.

use bytes::Bytes;
use zerocopy::{FromZeros, IntoBytes, U64};

use super::layout::{NameBytes, NotifyBytes};
use super::reply::NOTIFY;
use super::track;
use super::value::{type_code, value_bytes, value_len};
use crate::confdb::events::Event;
use crate::error::Status;
use crate::service::wire::ReplyHeaderBytes;
use crate::service::wire::layout::PaddedI32;
use crate::value::Value;

/// A notification, encoded once for all its receivers: only the number of the tracker differs between them.
pub(crate) struct Notification {
    head: NotifyBytes,
    /// The new value followed by the old one; shared by all receivers.
    payload: Bytes,
}

impl Notification {
    /// Encodes the notification of what has happened to `key`. `None`: there is no such value, or it is not told.
    pub(crate) fn new(key: &str, event: Event, new: Option<&Value>, old: Option<&Value>) -> Self {
        let mut head = NotifyBytes::new_zeroed();
        let (new_len, old_len) = (new.map_or(0, value_len), old.map_or(0, value_len));
        let size = size_of_val(&head) + new_len + old_len;
        head.header = ReplyHeaderBytes::new(NOTIFY, size, Status::Ok);
        head.key = NameBytes::new(key);
        head.event = PaddedI32::new(track::number(event));
        head.new_kind = new.map_or(0, type_code);
        head.old_kind = old.map_or(0, type_code);
        head.new_len = U64::new(new_len as u64);
        head.old_len = U64::new(old_len as u64);
        Self { head, payload: payload(new, old) }
    }

    /// Number of bytes of the two values.
    pub(crate) const fn values_len(&self) -> usize {
        self.payload.len()
    }

    /// Head and payload of the event for the tracker to which its client has given the number `inst`.
    pub(crate) fn to(&mut self, inst: u64) -> (&[u8], &Bytes) {
        self.head.inst = U64::new(inst);
        (self.head.as_bytes(), &self.payload)
    }
}

fn payload(new: Option<&Value>, old: Option<&Value>) -> Bytes {
    let bytes = |value: Option<&Value>| value.map(value_bytes).unwrap_or_default().into_owned();
    match (new, old) {
        (None, None) => Bytes::new(),
        _ => [bytes(new), bytes(old)].concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lib;
    use super::*;

    #[test]
    fn receivers_share_all_but_their_number() {
        let (new, old) = (Value::text("new"), Value::U8(9));
        let mut notification = Notification::new("a.key", Event::Modify, Some(&new), Some(&old));
        assert_eq!(notification.values_len(), 5);
        let mut payloads = Vec::new();
        for inst in [7, u64::MAX] {
            let (head, payload) = notification.to(inst);
            payloads.push(payload.as_ptr());
            let read = lib::notify(&[head, payload].concat()).unwrap();
            assert_eq!((read.inst, &*read.key, read.event), (inst, "a.key", track::MODIFY));
            assert_eq!((read.new, read.old), (Some(new.clone()), Some(old.clone())));
        }
        assert_eq!(payloads[0], payloads[1], "the payload is not copied");
    }

    #[test]
    fn a_notification_without_values_has_no_payload() {
        let mut notification = Notification::new("key", Event::Delete, None, None);
        let (head, payload) = notification.to(1);
        assert_eq!((head.len(), payload.len()), (336, 0));
    }
}
