//! The numbers of events, and of the kinds of trackers that clients ask for.

use crate::confdb::events::{Event, Events, Interest, Scope};

pub(crate) const DELETE: i32 = 1;
pub(crate) const MODIFY: i32 = 2;
pub(crate) const ADD: i32 = 4;
/// Bit of a tracker that is about all keys with a prefix; never the number of an event.
pub(crate) const PREFIX: i32 = 8;

/// The number of an event, which is also its bit in the kind of a tracker.
pub(super) const fn number(event: Event) -> i32 {
    match event {
        Event::Add => ADD,
        Event::Delete => DELETE,
        Event::Modify => MODIFY,
    }
}

/// Decodes the kind of a tracker. `None`: it has a bit without a meaning.
pub(super) fn interest(kind: i32) -> Option<Interest> {
    if kind & !(ADD | DELETE | MODIFY | PREFIX) != 0 {
        return None;
    }
    let events: Events = Event::ALL.into_iter().filter(|event| kind & number(*event) != 0).collect();
    let scope = if kind & PREFIX == 0 { Scope::Key } else { Scope::Prefix };
    Some(Interest { events, scope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_four_bits_has_a_meaning_and_no_other() {
        for kind in 0..16 {
            let Interest { events, scope } = interest(kind).unwrap();
            assert_eq!(events.contain(Event::Delete), kind & 1 != 0);
            assert_eq!(events.contain(Event::Modify), kind & 2 != 0);
            assert_eq!(events.contain(Event::Add), kind & 4 != 0);
            assert_eq!(scope == Scope::Prefix, kind & 8 != 0);
        }
        for kind in [16, 31, i32::MIN, -1, i32::MAX] {
            assert_eq!(interest(kind), None, "{kind}");
        }
    }
}
