//! Assembles long messages from their pieces, within limits that no sender can exceed.

use std::collections::HashMap;

use bytes::Bytes;

use super::event::Undelivered;
use crate::cpg::name::Member;
use crate::cpg::wire::Place;

/// Largest number of senders whose long messages are assembled at the same time.
pub(super) const SENDERS: usize = 1024;

/// Largest number of bytes allocated because of the length that a sender announces; the rest is allocated as
/// the pieces arrive.
const TRUST: usize = 1 << 20;

/// The incomplete messages, by sender.
#[derive(Debug)]
pub(super) struct Assembler {
    partial: HashMap<Member, Partial>,
    /// Sum of the announced lengths of all incomplete messages.
    claimed: usize,
    message_limit: usize,
}

#[derive(Debug)]
struct Partial {
    total: usize,
    body: Vec<u8>,
}

impl Assembler {
    /// An assembler for messages of up to `message_limit` bytes each, and of four times as many in total.
    pub(super) fn new(message_limit: usize) -> Self {
        Self { partial: HashMap::new(), claimed: 0, message_limit }
    }

    /// Adds a piece of a message that is to be `total` bytes long. Returns the message if this was its last
    /// piece; `None` while pieces are missing, and for pieces of a message whose first piece was not seen or
    /// was refused. A first piece discards an incomplete message of the same sender.
    pub(super) fn accept(
        &mut self,
        from: Member,
        place: Place,
        total: u32,
        piece: &Bytes,
    ) -> Result<Option<Bytes>, Undelivered> {
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        if place == Place::First {
            self.forget(from);
            self.begin(from, total)?;
        }
        let Some(partial) = self.partial.get_mut(&from) else { return Ok(None) };
        if partial.total != total || piece.len() > total - partial.body.len() {
            self.forget(from);
            return Err(Undelivered::Broken);
        }
        partial.body.extend_from_slice(piece);
        if place != Place::Last {
            return Ok(None);
        }
        let whole = self.forget(from).filter(|body| body.len() == total);
        whole.map(|body| Some(body.into())).ok_or(Undelivered::Broken)
    }

    /// Discards the incomplete message of a sender that has left the group.
    pub(super) fn forget(&mut self, from: Member) -> Option<Vec<u8>> {
        let partial = self.partial.remove(&from)?;
        self.claimed -= partial.total;
        Some(partial.body)
    }

    fn begin(&mut self, from: Member, total: usize) -> Result<(), Undelivered> {
        if total > self.message_limit {
            return Err(Undelivered::TooLong { limit: self.message_limit });
        }
        let limit = self.message_limit.saturating_mul(4);
        if self.partial.len() >= SENDERS || self.claimed + total > limit {
            return Err(Undelivered::NoRoom { limit, senders: SENDERS });
        }
        self.claimed += total;
        self.partial.insert(from, Partial { total, body: Vec::with_capacity(total.min(TRUST)) });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    fn member(pid: u32) -> Member {
        Member { node: NodeId::new(1).unwrap(), pid }
    }

    fn bytes(n: usize) -> Bytes {
        vec![n as u8; n].into()
    }

    #[test]
    fn pieces_of_two_senders_are_kept_apart() {
        let mut a = Assembler::new(100);
        assert_eq!(a.accept(member(1), Place::First, 5, &bytes(2)), Ok(None));
        assert_eq!(a.accept(member(2), Place::First, 4, &bytes(3)), Ok(None));
        assert_eq!(a.accept(member(1), Place::Continued, 5, &bytes(2)), Ok(None));
        let whole = Bytes::from_static(&[3, 3, 3, 1]);
        assert_eq!(a.accept(member(2), Place::Last, 4, &bytes(1)), Ok(Some(whole)));
        let whole = Bytes::from_static(&[2, 2, 2, 2, 1]);
        assert_eq!(a.accept(member(1), Place::Last, 5, &bytes(1)), Ok(Some(whole)));
        assert_eq!((a.claimed, a.partial.len()), (0, 0));
    }

    #[test]
    fn a_new_first_piece_discards_the_incomplete_message() {
        let mut a = Assembler::new(100);
        a.accept(member(1), Place::First, 50, &bytes(9)).unwrap();
        a.accept(member(1), Place::First, 3, &bytes(1)).unwrap();
        let whole = Bytes::from_static(&[1, 2, 2]);
        assert_eq!(a.accept(member(1), Place::Last, 3, &bytes(2)), Ok(Some(whole)));
    }

    #[test]
    fn pieces_without_a_first_piece_are_ignored() {
        let mut a = Assembler::new(100);
        assert_eq!(a.accept(member(1), Place::Continued, 5, &bytes(2)), Ok(None));
        assert_eq!(a.accept(member(1), Place::Last, 5, &bytes(3)), Ok(None));
    }

    #[test]
    fn pieces_that_do_not_add_up_are_refused() {
        let mut a = Assembler::new(100);
        a.accept(member(1), Place::First, 5, &bytes(2)).unwrap();
        assert_eq!(a.accept(member(1), Place::Last, 5, &bytes(2)), Err(Undelivered::Broken), "too few");
        a.accept(member(1), Place::First, 5, &bytes(2)).unwrap();
        assert_eq!(a.accept(member(1), Place::Continued, 5, &bytes(4)), Err(Undelivered::Broken), "too many");
        a.accept(member(1), Place::First, 5, &bytes(2)).unwrap();
        assert_eq!(a.accept(member(1), Place::Continued, 6, &bytes(1)), Err(Undelivered::Broken), "another");
        assert_eq!(a.accept(member(1), Place::First, 2, &bytes(3)), Err(Undelivered::Broken));
        assert_eq!((a.claimed, a.partial.len()), (0, 0));
    }

    #[test]
    fn announced_lengths_are_bounded() {
        let mut a = Assembler::new(100);
        let long = Err(Undelivered::TooLong { limit: 100 });
        assert_eq!(a.accept(member(1), Place::First, u32::MAX, &bytes(1)), long);
        assert_eq!(a.accept(member(1), Place::Last, u32::MAX, &bytes(1)), Ok(None), "told once");
        for pid in 0..4 {
            a.accept(member(pid), Place::First, 100, &bytes(1)).unwrap();
        }
        let full = Undelivered::NoRoom { limit: 400, senders: SENDERS };
        assert_eq!(a.accept(member(9), Place::First, 1, &bytes(1)), Err(full));
        a.forget(member(0));
        assert_eq!(a.accept(member(9), Place::First, 1, &bytes(1)), Ok(None));
    }

    #[test]
    fn senders_are_bounded() {
        let mut a = Assembler::new(10_000);
        for pid in 0..SENDERS as u32 {
            a.accept(member(pid), Place::First, 2, &bytes(1)).unwrap();
        }
        assert!(a.accept(member(u32::MAX), Place::First, 2, &bytes(1)).is_err());
    }
}
