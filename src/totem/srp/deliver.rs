//! Delivery of messages: agreed and safe delivery, and what may be delivered when the ring changes.
//!
//! Agreed: everything before the message is here. Safe: in addition, every member of the ring has it. This is
//! known when the token's aru was past it in two consecutive visits, because in the rotation between them
//! each member could have lowered the aru. A safe message that is not yet known to be safe holds up the
//! messages after it.

use super::io::Action;
use super::members::MemberSet;
use super::ring::Ring;
use super::window::WINDOW;
use crate::ids::{Guarantee, Seq};
use crate::totem::wire::Encapsulated;

impl Ring {
    /// Delivers the messages that are in order and, where required, known to be safe.
    pub(super) fn deliver(&mut self) {
        while self.delivered != self.reception.high_seen {
            let seq = self.delivered.plus(1);
            let Some(stored) = self.reception.window.frame(seq) else { return };
            if stored.guarantee == Guarantee::Safe && self.safe_to.is_before(seq) {
                return;
            }
            self.hand_up(seq);
        }
    }

    /// Delivers the rest of an old ring in its transitional configuration: everything that is in order, and
    /// after the first gap only what `members`, the transitional members, originated. Messages of others
    /// after a gap may depend on what is lost.
    pub(super) fn deliver_transitional(&mut self, members: &MemberSet) {
        let mut gap = false;
        for _ in 0..WINDOW {
            if self.delivered == self.reception.high_seen {
                return;
            }
            let seq = self.delivered.plus(1);
            match self.reception.window.frame(seq) {
                None => gap = true,
                Some(stored) if gap && !members.contains(stored.system_from) => {}
                Some(_) => {
                    self.hand_up(seq);
                    continue;
                }
            }
            self.delivered = seq;
        }
    }

    fn hand_up(&mut self, seq: Seq) {
        self.delivered = seq;
        let Some(stored) = self.reception.window.frame(seq) else { return };
        if stored.encapsulated == Encapsulated::Plain {
            self.actions.push_back(Action::Packet {
                from: stored.from,
                payload: stored.payload(),
                order: stored.order,
            });
        }
    }
}
