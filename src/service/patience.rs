//! How long the barrier is waited at, and what happens then.
//!
//! A synchronisation ends when every member has spoken. One that passes the token on and says nothing, because its
//! program is at fault or speaks otherwise, would keep the services of all others closed for ever. So silence has a
//! bound, at which the ring is formed anew; a member that was silent a second time in a row is left out of it for a
//! while, each time for longer. What counts is silence, not the time that a synchronisation takes: a member that
//! tells a large state is waited for as long as it talks, within reason, and one whose service waits for something itself (a quorum
//! device) for as long as that service says.
//!
//! All members see the same messages in the same order, so they come to the same conclusion at about the same time.
//! That of one is enough to form a ring without the silent member, as the members of a ring believe each other whom
//! to give up; but whoever goes on hearing it would bring it back. So the first one to conclude waits a little with
//! acting on it, until all have, and what a node has concluded outlives the ring.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::NodeId;
use crate::time::Instant;

/// Silence of the members that are waited for, besides what a service is entitled to, after which the ring is
/// formed anew.
const LIMIT: Duration = Duration::from_secs(30);
/// Silence that is worth a line in the log; another follows at twice the time, and so on.
const WORTH_A_LINE: Duration = Duration::from_secs(10);
/// How long a synchronisation may take whose members talk all the time, and do not come to an end.
const TALK_LIMIT: Duration = Duration::from_secs(900);
/// What lies between concluding and acting: more than two looks of different nodes are apart.
const CONCLUDED: Duration = Duration::from_secs(2);
/// How often the time is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What one look counts at most: this process may not have run meanwhile.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// How long a member is left out that was silent for the second time in a row; twice as long with each time more.
const LEFT_OUT: Duration = Duration::from_secs(60);
/// The longest time that a member is left out.
const LEFT_OUT_MAX: Duration = Duration::from_secs(3600);
/// Members that are remembered to have been silent; nobody has more.
const REMEMBERED: usize = 384;

/// The ring is to be formed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormAnew {
    /// Without these members.
    pub without: Vec<NodeId>,
    /// For so long.
    pub time: Duration,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing worth a word.
    Nothing,
    /// The silence is worth a line in the log.
    Line,
    /// It lasted too long.
    Enough(FormAnew),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// When the time was looked at last; `None` while there is nothing to look for.
    looked: Option<Instant>,
    /// A synchronisation goes on.
    running: bool,
    silence: Duration,
    /// How long the synchronisation takes.
    taken: Duration,
    /// The silence at which the next line is due.
    next_line: Duration,
    /// What was concluded, and in how long it is acted on.
    concluded: Option<(FormAnew, Duration)>,
    /// How many synchronisations in a row ended because this member was silent.
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
        // The ring was formed anew, as was concluded; who is to be left out of it still is.
        self.concluded.take_if(|(anew, _)| anew.without.is_empty());
    }

    /// Somebody who is waited for was heard.
    pub(super) fn heard(&mut self) {
        self.silence = Duration::ZERO;
    }

    /// The synchronisation of these members is over.
    pub(super) fn complete(&mut self, members: &[NodeId]) {
        self.running = false;
        self.looked.take_if(|_| self.concluded.is_none());
        self.in_vain.retain(|node, _| !members.contains(node));
    }

    /// When to look next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.looked.map(|looked| looked + LOOK)
    }

    /// How long nobody who is waited for was heard.
    pub(super) const fn silence(&self) -> Duration {
        self.silence
    }

    /// Looks at the time. `on_ring`: whether the token turns; `entitled`: how long the service whose turn it is may
    /// be silent; `awaited`: who is waited for, `me` apart.
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
            // Another ring is on its way, whose members will be waited for.
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

    fn node(id: u32) -> NodeId {
        NodeId::new(id).unwrap()
    }

    /// Looks every second for so many seconds; what was found, with the second.
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
    fn silence_is_told_then_ends_the_ring_then_the_silent_member_is_left_out() {
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
        // Once it has taken part, all is forgotten.
        patience.complete(&[node(1), node(3)]);
        assert_eq!(patience.deadline(), None);
        patience.begin(Instant::from_micros((from + 1000) * 1_000_000));
        let found = watch(&mut patience, from + 1000, 32, 0, true);
        assert_eq!(found.last(), Some(&(32, enough(&[], 0))));
    }

    #[test]
    fn who_talks_or_is_entitled_to_silence_is_waited_for() {
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
    fn who_talks_without_end_is_not_waited_for_without_end() {
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

    /// Another node was quicker: the ring is there without the silent member when this node looks.
    #[test]
    fn what_was_concluded_outlives_the_ring() {
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
    fn a_process_that_did_not_run_blames_nobody() {
        let mut patience = Patience::default();
        patience.begin(Instant::ZERO);
        let later = Instant::from_micros(3_600_000_000);
        assert_eq!(patience.look(later, true, Duration::ZERO, &[node(3)]), Found::Nothing);
    }
}
