//! Ring sequence numbers: the highest one known, how far a datagram may raise it, and what is reserved on
//! stable storage.
//!
//! A ring's number must be above those of all its members' last rings, so each node takes over higher numbers
//! that it hears. Anybody who can send a datagram can name any number, and numbers cannot be taken back: what
//! is believed must never use up those that are left. The rules:
//!
//! * A number below [`FREE`] is believed at once, however far above the own it is. Real clusters stay far
//!   below: so nodes whose ring id files are lost or years apart meet at once.
//! * Above that, what is known rises by no more than a credit that grows with time, the same for every node,
//!   and that only a higher number heard spends. A number beyond the credit is believed as far as the credit
//!   reaches, and its frame is dropped; its sender repeats it. A node that starts has none: so none is driven
//!   farther than the others can follow, whatever restarts under a flood, and after it one that was not there
//!   follows in the time for which the flood lasted, at most.
//! * Below [`RING_SEQ_LIMIT`] there is always room: a rise of more than a few rings ends at half of it, and
//!   what lies above is for rings that are really formed, four numbers each.
//!
//! A node whose disk does not reserve numbers in time must not keep the others waiting, and must not use a number
//! that its next life may come to. It goes on with numbers far above all that it knows ([`FAR`]): a next life
//! begins at what is stored, and counts from there.
//!
//! So an endless stream of forged numbers takes longer than any cluster lives to use up half of what there is
//! (70 years), and when it stops, the next ring is formed as if the numbers had been real.

use std::time::Duration;

use crate::time::Instant;

/// Ring sequence numbers that are reserved on stable storage at a time, ahead of their use. A ring uses
/// about four, so the disk is asked once in a thousand membership changes.
pub(crate) const RESERVE: u64 = 4096;

/// Ring sequence numbers from here on are neither believed nor used nor reserved.
pub(crate) const RING_SEQ_LIMIT: u64 = 1 << 62;

/// Ring sequence numbers below this one are believed from anybody.
///
/// A cluster that forms a ring each second reaches 2³⁰ in eight years. A node without a state directory
/// begins at its clock in ms, 2⁴¹ in our time.
const FREE: u64 = 1 << 48;

/// A rise by more than this is a leap, which must end below half of [`RING_SEQ_LIMIT`].
const STEP: u64 = RESERVE;

/// What a new ring's number is above the highest that its representative knows.
///
/// Source: corosync `exec/totemsrp.c`, `memb_state_commit_token_create`.
const NEXT: u64 = 4;

/// How far above all known numbers those are, at least, that a node uses without having reserved them. A node that
/// restarts with what is stored would have to form 250,000 rings without hearing of a higher number to come to
/// them, or to restart 250 times.
pub(super) const FAR: u64 = 1 << 20;

/// How much farther they may be. Each life draws another number below this
/// ([`Params::life`](super::io::Params::life)), so that two lives whose disks both failed do not meet either.
pub(super) const SPREAD: u64 = 1 << 28;

/// Credit that a node gains in a microsecond: 10⁹ a second. Real rings need a few, and nodes whose disks fail
/// [`FAR`] and up to [`SPREAD`] at once, which the others have soon.
const RATE: u64 = 1 << 10;

/// A node's credit is at most what it gains in this time.
const SAVED: Duration = Duration::from_secs(3600);

/// The most credit that a node has.
const MOST: u64 = RATE * SAVED.as_secs() * 1_000_000;

/// Time between two log lines about numbers that are not believed.
const SILENCE: Duration = Duration::from_secs(60);

/// What a node knows of ring sequence numbers.
#[derive(Debug)]
pub(super) struct RingNumbers {
    /// The highest that is believed.
    highest: u64,
    /// Reserved on stable storage up to here.
    stored: u64,
    /// Asked to be reserved up to here.
    store_asked: u64,
    /// Not reserved, but too far above what is stored for a next life to come to: up to here.
    borrowed: u64,
    /// Stable storage failed, or did not answer in time, and has not caught up since.
    disk_fails: bool,
    credit: u64,
    /// Up to when `credit` was reckoned.
    credited: Instant,
    /// When a number that is not believed was logged last.
    logged: Option<Instant>,
}

impl RingNumbers {
    /// A node that starts with `first`, and has reserved up to `stored`.
    pub(super) const fn new(first: u64, stored: u64, now: Instant) -> Self {
        Self {
            highest: first,
            stored,
            store_asked: stored,
            borrowed: 0,
            disk_fails: false,
            credit: 0,
            credited: now,
            logged: None,
        }
    }

    /// The highest number that is believed.
    pub(super) const fn highest(&self) -> u64 {
        self.highest
    }

    /// This node is on the way to a ring of this number, which it has formed or believed.
    pub(super) const fn took(&mut self, seq: u64) {
        if seq > self.highest {
            self.highest = seq;
        }
    }

    /// The number of the next ring, if this node forms it.
    pub(super) const fn next(&self) -> u64 {
        self.highest + NEXT
    }

    /// Whether this node may form a ring of the next number: a restart after a crash would begin above it, or
    /// not come to it.
    pub(super) const fn may_form(&self) -> bool {
        (self.next() <= self.stored || self.next() <= self.borrowed) && self.next() < RING_SEQ_LIMIT
    }

    /// Numbers up to this one are on stable storage.
    pub(super) const fn stored(&mut self, up_to: u64) {
        if up_to > self.stored {
            self.stored = up_to;
        }
        if self.next() <= self.stored {
            self.disk_fails = false;
        }
    }

    /// Stable storage refuses to reserve numbers.
    pub(super) const fn disk_failed(&mut self) {
        self.disk_fails = true;
    }

    /// Whether waiting for stable storage is in vain, as far as is known.
    pub(super) const fn disk_fails(&self) -> bool {
        self.disk_fails
    }

    /// Goes on with numbers that are not reserved, `far` above the highest: [`FAR`], and up to [`SPREAD`]
    /// more, which differs from life to life. Whether there is room for that.
    pub(super) const fn borrow(&mut self, far: u64) -> bool {
        let base = self.highest.saturating_add(far);
        if base >= RING_SEQ_LIMIT / 2 - RESERVE {
            return false;
        }
        self.highest = base;
        self.borrowed = base + RESERVE;
        self.disk_fails = true;
        true
    }

    /// How far to reserve now, if more is to be reserved: this is kept ahead of what new rings would use.
    pub(super) const fn reservation_due(&mut self) -> Option<u64> {
        if self.highest.saturating_add(RESERVE / 2) <= self.store_asked {
            return None;
        }
        let up_to = self.highest.saturating_add(RESERVE);
        let up_to = if up_to < RING_SEQ_LIMIT { up_to } else { RING_SEQ_LIMIT - 1 };
        if up_to <= self.store_asked {
            return None;
        }
        self.store_asked = up_to;
        Some(up_to)
    }

    /// A number was heard. Returns whether it is believed.
    pub(super) fn heard(&mut self, now: Instant, seq: u64) -> bool {
        if seq <= self.highest {
            return true;
        }
        let leap = seq - self.highest > STEP;
        if seq >= RING_SEQ_LIMIT || leap && seq >= RING_SEQ_LIMIT / 2 {
            self.log(now, seq, "no cluster has formed so many rings");
            return false;
        }
        self.reckon(now);
        let base = if self.highest > FREE { self.highest } else { FREE };
        let reach = base.saturating_add(self.credit);
        let believed = seq.min(reach);
        self.credit -= believed.saturating_sub(base);
        self.highest = believed;
        if believed < seq {
            self.log(now, seq, "it is approached slowly");
        }
        believed == seq
    }

    fn reckon(&mut self, now: Instant) {
        let gained = (now.since(self.credited).as_micros() as u64).saturating_mul(RATE);
        self.credit = self.credit.saturating_add(gained).min(MOST);
        self.credited = now;
    }

    fn log(&mut self, now: Instant, seq: u64, why: &str) {
        if self.logged.is_some_and(|last| now.since(last) < SILENCE) {
            return;
        }
        self.logged = Some(now);
        tracing::warn!(
            heard = format_args!("{seq:x}"),
            known = format_args!("{:x}", self.highest),
            "a ring number was heard that is too high to be believed ({why}); if it was forged, look for who \
             sends to this network; if a node of the cluster has it, stop this node, and give its ring id file \
             that number"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn started() -> RingNumbers {
        RingNumbers::new(1, RESERVE, at(0))
    }

    /// Whatever is on disk, and however often the disk fails, no life uses a number of an earlier one.
    #[test]
    fn numbers_that_were_not_reserved_are_not_used_again() {
        for stored in [0, 1, RESERVE, FREE, RING_SEQ_LIMIT / 4] {
            let mut used = std::collections::HashSet::new();
            for life in 0..100 {
                // The start reserves, or there is no start; then nothing is written any more.
                let first = stored + life * RESERVE + 1;
                let mut numbers = RingNumbers::new(first, first - 1 + RESERVE, at(0));
                for ring in 0..1500 {
                    if !numbers.may_form() {
                        assert!(
                            numbers.borrow(FAR + (first ^ ring).wrapping_mul(0x9e37_79b9_7f4a_7c15) % SPREAD)
                        );
                    }
                    let seq = numbers.next();
                    assert!(used.insert(seq), "{seq:x} in life {life} from {stored:x}");
                    numbers.took(seq);
                }
                assert!(numbers.disk_fails());
                numbers.stored(numbers.next());
                assert!(!numbers.disk_fails(), "it has caught up");
            }
        }
        assert!(
            !RingNumbers::new(RING_SEQ_LIMIT / 2 - FAR, 0, at(0)).borrow(FAR),
            "others would call it a leap"
        );
    }

    #[test]
    fn what_a_real_cluster_has_is_believed_at_once() {
        for seq in [5, 1 << 30, 1 << 41, FREE] {
            let mut numbers = started();
            assert!(numbers.heard(at(1), seq));
            assert_eq!((numbers.highest(), numbers.next()), (seq, seq + 4));
        }
    }

    #[test]
    fn what_nobody_can_have_changes_nothing() {
        for seq in [u64::MAX, RING_SEQ_LIMIT, RING_SEQ_LIMIT - 1, RING_SEQ_LIMIT / 2] {
            let mut numbers = started();
            assert!(!numbers.heard(at(1), seq), "{seq:x}");
            assert_eq!(numbers.highest(), 1);
        }
    }

    #[test]
    fn a_flood_of_rising_numbers_raises_no_more_than_time_allows() {
        let mut numbers = started();
        for step in 0..100_000 {
            let leap = numbers.highest() + (1 << (step % 60));
            numbers.heard(at(step / 1000), leap);
        }
        let most = FREE + RATE * 100 * 1_000_000;
        assert!(numbers.highest() <= most, "{:x}", numbers.highest());
        assert!(numbers.next() < RING_SEQ_LIMIT);
    }

    #[test]
    fn a_node_that_starts_under_a_flood_is_not_driven_away_from_the_others() {
        let (mut running, mut restarted) = (started(), RingNumbers::new(5000, 9000, at(100)));
        for second in 100..200 {
            restarted.heard(at(second), RING_SEQ_LIMIT / 2 - 1);
        }
        assert!(running.heard(at(200), restarted.highest()), "one that was not flooded");
        running.heard(at(200), RING_SEQ_LIMIT / 2 - 1);
        let mut fresh = RingNumbers::new(1, RESERVE, at(200));
        assert!(!fresh.heard(at(200), running.highest()));
        assert!(fresh.heard(at(400), running.highest()), "it takes no longer than the flood");
    }

    #[test]
    fn near_the_limit_rings_are_formed_one_after_the_other() {
        let half = RING_SEQ_LIMIT / 2;
        let mut numbers = RingNumbers::new(half - 1, half + RESERVE, at(0));
        for _ in 0..500 {
            assert!(numbers.may_form());
            assert!(numbers.heard(at(1), numbers.next()), "accepted here, refused by the next");
        }
        assert!(!numbers.heard(at(1), numbers.highest() + STEP + 1), "a leap");
        let mut last = RingNumbers::new(RING_SEQ_LIMIT - 1, 0, at(0));
        assert_eq!(last.reservation_due(), Some(RING_SEQ_LIMIT - 1));
        assert_eq!(last.reservation_due(), None);
        last.stored(u64::MAX);
        assert!(!last.may_form());
    }
}
