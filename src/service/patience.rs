//! How long silent members are waited for at the barrier, and what follows.
//!
//! A synchronisation ends when every member has passed the barrier. A member that passes the token on but sends
//! nothing, because its program is faulty or incompatible, would keep the services of all others blocked without end.
//! So silence has a limit, after which the ring is formed again. A member that is silent for a second time in a row
//! is left out of the ring for a while, longer each time. Only silence counts, not the duration of a synchronisation:
//! a member that sends a large state is waited for while it sends, up to a limit of its own, and a member whose
//! service itself waits for something (a quorum device) for as long as that service may take.
//!
//! All members see the same messages in the same order, so they reach the same conclusion at about the same time. The
//! conclusion of one member is enough to form a ring without the silent one, since members of a ring adopt each
//! other's failed lists; but a member that still accepts the silent one would bring it back. So a member that has
//! reached the conclusion waits a little before it acts, until all have reached it, and the conclusion outlives the
//! ring.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::NodeId;
use crate::time::Instant;

/// Silence of the awaited members, in addition to what a service may take, after which the ring is formed
/// again.
const LIMIT: Duration = Duration::from_secs(30);
/// Silence after which a line is logged; the next line follows after twice the time, and so on.
const WORTH_A_LINE: Duration = Duration::from_secs(10);
/// Limit for a synchronisation whose members keep sending without coming to an end.
const TALK_LIMIT: Duration = Duration::from_secs(900);
/// Time between the conclusion and acting on it: longer than the difference between the checks of two nodes.
const CONCLUDED: Duration = Duration::from_secs(2);
/// Interval between two checks of the time.
const LOOK: Duration = Duration::from_secs(1);
/// Longest time that one check counts, because this process may not have run in between.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// How long a member is left out after it was silent for the second time in a row; doubled each time after that.
const LEFT_OUT: Duration = Duration::from_secs(60);
/// The longest time that a member is left out.
const LEFT_OUT_MAX: Duration = Duration::from_secs(3600);
/// Largest number of members whose silence is remembered; no ring has more members.
const REMEMBERED: usize = 384;

/// A demand to form the ring again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormAnew {
    /// The members to leave out.
    pub without: Vec<NodeId>,
    /// How long to leave them out.
    pub time: Duration,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing to report.
    Nothing,
    /// The silence is to be logged.
    Line,
    /// The silence has lasted too long.
    Enough(FormAnew),
}

/// Measures the silence of the awaited members.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// When the time was last checked; `None` while nothing is awaited.
    looked: Option<Instant>,
    /// Whether a synchronisation runs.
    running: bool,
    silence: Duration,
    /// Duration of the synchronisation so far.
    taken: Duration,
    /// The silence after which the next line is logged.
    next_line: Duration,
    /// The conclusion reached, and the time left until it is acted on.
    concluded: Option<(FormAnew, Duration)>,
    /// For each member, how many synchronisations in a row ended because it was silent.
    in_vain: BTreeMap<NodeId, u32>,
}

impl Patience {
    /// A synchronisation begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.looked = Some(now);
        self.running = true;
        self.silence = Duration::ZERO;
        self.taken = Duration::ZERO;
        self.next_line = WORTH_A_LINE;
        // The ring was formed again, as concluded. Members that are to be left out of it still are.
        self.concluded.take_if(|(anew, _)| anew.without.is_empty());
    }

    /// A message of an awaited member was received.
    pub(super) fn heard(&mut self) {
        self.silence = Duration::ZERO;
    }

    /// The synchronisation of these members is complete.
    pub(super) fn complete(&mut self, members: &[NodeId]) {
        self.running = false;
        self.looked.take_if(|_| self.concluded.is_none());
        self.in_vain.retain(|node, _| !members.contains(node));
    }

    /// The time of the next check, if any.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.looked.map(|looked| looked + LOOK)
    }

    /// How long no awaited member has been heard.
    pub(super) const fn silence(&self) -> Duration {
        self.silence
    }

    /// Checks the time. `on_ring`: whether the token rotates; `entitled`: how long the current service may be silent;
    /// `awaited`: the awaited members other than `me`.
    pub(super) fn look(
        &mut self,
        now: Instant,
        on_ring: bool,
        entitled: Duration,
        awaited: &[NodeId],
    ) -> Found {
        let Some(looked) = self.looked.filter(|looked| *looked + LOOK <= now) else { return Found::Nothing };
        self.looked = Some(now);
        let passed = now.since(looked).min(LOOK_MAX);
        if let Some((anew, wait)) = self.concluded.take() {
            if on_ring && wait > passed {
                self.concluded = Some((anew, wait - passed));
                return Found::Nothing;
            }
            self.looked.take_if(|_| !self.running);
            return Found::Enough(anew);
        }
        if !on_ring {
            // Another ring is being formed; its members will be awaited from its start.
            self.silence = Duration::ZERO;
            return Found::Nothing;
        }
        self.silence += passed;
        self.taken += passed;
        if self.silence >= LIMIT + entitled || self.taken >= TALK_LIMIT + entitled {
            self.silence = Duration::ZERO;
            self.taken = Duration::ZERO;
            self.concluded = Some((self.enough(awaited), CONCLUDED));
            return Found::Nothing;
        }
        if self.silence < self.next_line {
            return Found::Nothing;
        }
        self.next_line *= 2;
        Found::Line
    }

    fn enough(&mut self, awaited: &[NodeId]) -> FormAnew {
        if self.in_vain.len() + awaited.len() > REMEMBERED {
            self.in_vain.clear();
        }
        let mut anew = FormAnew { without: Vec::new(), time: Duration::ZERO };
        for node in awaited {
            let times = self.in_vain.entry(*node).or_default();
            *times += 1;
            if *times > 1 {
                let doubled = 1u32.checked_shl(*times - 2).unwrap_or(u32::MAX);
                anew.time = anew.time.max(LEFT_OUT.saturating_mul(doubled).min(LEFT_OUT_MAX));
                anew.without.push(*node);
            }
        }
        anew
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::node;

    /// Checks once a second for this number of seconds; returns what was found, with the second.
    fn watch(
        patience: &mut Patience,
        from: u64,
        seconds: u64,
        entitled: u64,
        on_ring: bool,
    ) -> Vec<(u64, Found)> {
        let looks = (from + 1..=from + seconds).map(|second| {
            let now = Instant::from_micros(second * 1_000_000);
            (second - from, patience.look(now, on_ring, Duration::from_secs(entitled), &[node(3)]))
        });
        looks.filter(|(_, found)| *found != Found::Nothing).collect()
    }

    fn enough(without: &[NodeId], seconds: u64) -> Found {
        Found::Enough(FormAnew { without: without.to_vec(), time: Duration::from_secs(seconds) })
    }

    #[test]
    fn silence_is_logged_then_reforms_the_ring_then_excludes_the_member() {
        let mut patience = Patience::default();
        assert_eq!(patience.deadline(), None);
        let mut from = 0;
        for (time, seconds) in [0, 60, 120, 240].into_iter().enumerate() {
            patience.begin(Instant::from_micros(from * 1_000_000));
            let silent = [node(3)];
            let without = if time == 0 { &[][..] } else { &silent };
            let found = watch(&mut patience, from, 32, 0, true);
            assert_eq!(found, [(10, Found::Line), (20, Found::Line), (32, enough(without, seconds))]);
            from += 1000;
        }
        for _ in 0..40 {
            patience.begin(Instant::from_micros(from * 1_000_000));
            watch(&mut patience, from, 32, 0, true);
            from += 1000;
        }
        patience.begin(Instant::from_micros(from * 1_000_000));
        let found = watch(&mut patience, from, 32, 0, true);
        assert_eq!(found.last(), Some(&(32, enough(&[node(3)], 3600))), "no longer than that");
        // After it has taken part once, its silence is forgotten.
        patience.complete(&[node(1), node(3)]);
        assert_eq!(patience.deadline(), None);
        patience.begin(Instant::from_micros((from + 1000) * 1_000_000));
        let found = watch(&mut patience, from + 1000, 32, 0, true);
        assert_eq!(found.last(), Some(&(32, enough(&[], 0))));
    }

    #[test]
    fn members_that_send_or_may_be_silent_are_awaited() {
        let mut patience = Patience::default();
        patience.begin(Instant::ZERO);
        for part in 0..90 {
            assert_eq!(watch(&mut patience, part * 9, 9, 0, true), [], "it talks every nine seconds");
            patience.heard();
        }
        let found = watch(&mut patience, 810, 62, 30, true);
        assert_eq!(found.last(), Some(&(62, enough(&[], 0))), "a quorum device has 30 s of its own");
        assert_eq!(watch(&mut patience, 872, 500, 0, false), [], "another ring is being formed");
    }

    #[test]
    fn members_that_send_without_end_are_awaited_up_to_a_limit() {
        let mut patience = Patience::default();
        patience.begin(Instant::ZERO);
        for second in 0..2000 {
            let found = watch(&mut patience, second, 1, 0, true);
            patience.heard();
            if !found.is_empty() {
                assert_eq!((second + 1, found), (902, vec![(1, enough(&[], 0))]));
                return;
            }
        }
        panic!("it is waited for without end");
    }

    /// Another node acted first: when this node checks, the ring without the silent member exists already.
    #[test]
    fn the_conclusion_outlives_the_ring() {
        let mut patience = Patience::default();
        let mut from = 0;
        for without in [&[][..], &[node(3)]] {
            patience.begin(Instant::from_micros(from * 1_000_000));
            watch(&mut patience, from, 31, 0, true);
            patience.begin(Instant::from_micros((from + 31) * 1_000_000));
            patience.complete(&[node(1), node(2)]);
            let found = watch(&mut patience, from + 31, 5, 0, true);
            let expected = without.first().map(|_| (1, enough(without, 60)));
            assert_eq!(found, Vec::from_iter(expected));
            assert_eq!(patience.deadline(), None, "nothing goes on");
            from += 100;
        }
    }

    #[test]
    fn a_pause_of_this_process_does_not_count_as_silence() {
        let mut patience = Patience::default();
        patience.begin(Instant::ZERO);
        let later = Instant::from_micros(3_600_000_000);
        assert_eq!(patience.look(later, true, Duration::ZERO, &[node(3)]), Found::Nothing);
    }
}
