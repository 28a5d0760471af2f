//! Ring sequence numbers: the highest one known, how far a received datagram may raise it, and which ones are
//! reserved on stable storage.
//!
//! A ring's number must be above those of all its members' last rings, so each node adopts higher numbers
//! that it hears. Anybody who can send a datagram can name any number, and an adopted number cannot be taken
//! back. So forged numbers must never use up the available range. The rules:
//!
//! * A number below [`FREE`] is believed at once, however far it is above this node's own. Real clusters stay
//!   far below that, so nodes whose ring id files were lost or differ widely can form a ring at once.
//! * Above that, the known number rises by no more than a credit that grows with time, at the same rate on
//!   every node, and that only a higher number heard uses up. A number beyond the credit raises the known
//!   number as far as the credit reaches, and its frame is dropped; its sender repeats it. A node starts
//!   without credit. So no node is driven farther than the others can follow, even if it restarts while it is
//!   flooded with forged numbers, and a node that was absent during the flood catches up within the time that
//!   the flood lasted.
//! * Below [`RING_SEQ_LIMIT`] there is always room: a rise by more than a few rings may reach at most half of
//!   it. The upper half is for rings that are really formed, which use four numbers each.
//!
//! A node whose disk does not reserve numbers in time must neither keep the others waiting nor use a number
//! that it may use again after a restart. It continues with numbers far above all that it knows ([`FAR`]);
//! after a restart it begins at the stored number and does not reach them.
//!
//! So an endless stream of forged numbers needs longer than any cluster lives (70 years) to use up half of
//! the range, and when it stops, the next ring is formed as if the numbers had been genuine.

use std::time::Duration;

use crate::time::Instant;

/// How many ring sequence numbers are reserved on stable storage at a time, ahead of their use. A ring uses
/// four, so the disk is written once in about a thousand membership changes.
pub(crate) const RESERVE: u64 = 4096;

/// Ring sequence numbers from here on are neither believed nor used nor reserved.
pub(crate) const RING_SEQ_LIMIT: u64 = 1 << 62;

/// Ring sequence numbers up to this one are believed from any sender.
///
/// A cluster that forms a ring each second reaches 2³⁰ in eight years. A node without a state directory begins
/// at its clock in ms, about 2⁴¹ today.
const FREE: u64 = 1 << 48;

/// A rise by more than this may not reach half of [`RING_SEQ_LIMIT`].
const STEP: u64 = RESERVE;

/// By how much a new ring's number exceeds the highest one that its representative knows.
///
/// Source: corosync `exec/totemsrp.c`, `memb_state_commit_token_create`.
const NEXT: u64 = 4;

/// Minimum distance above all known numbers of the numbers that a node uses without having reserved them. A
/// node that restarts from its stored number would have to form 250,000 rings without hearing of a higher
/// number, or to restart 250 times, to reach them.
pub(super) const FAR: u64 = 1 << 20;

/// Maximum random distance that is added to [`FAR`]. It differs from one process life to the next
/// ([`Params::life`](super::io::Params::life)), so that two lives whose disks both failed do not use the same
/// numbers either.
pub(super) const SPREAD: u64 = 1 << 28;

/// Credit that a node gains per microsecond, about 10⁹ a second. Real rings need a few numbers per second;
/// nodes whose disks fail need [`FAR`] and up to [`SPREAD`] at once, which the others soon have as credit.
const RATE: u64 = 1 << 10;

/// A node's credit is limited to what it gains in this time.
const SAVED: Duration = Duration::from_secs(3600);

/// The largest credit that a node can have.
const MOST: u64 = RATE * SAVED.as_secs() * 1_000_000;

/// Minimum time between two log lines about numbers that are not believed.
const SILENCE: Duration = Duration::from_secs(60);

/// What a node knows of ring sequence numbers.
#[derive(Debug)]
pub(super) struct RingNumbers {
    /// The highest number that is believed.
    highest: u64,
    /// Numbers up to this one are reserved on stable storage.
    stored: u64,
    /// The reservation of numbers up to this one has been requested.
    store_asked: u64,
    /// Numbers up to this one may be used although they are not reserved, because they are so far above the
    /// stored ones that a restarted node does not reach them.
    borrowed: u64,
    /// Stable storage failed, or did not answer in time, and has not caught up since.
    disk_fails: bool,
    credit: u64,
    /// Time up to which `credit` has been computed.
    credited: Instant,
    /// When a number that is not believed was last logged.
    logged: Option<Instant>,
}

impl RingNumbers {
    /// Initial state of a node that starts with number `first` and has reserved numbers up to `stored`.
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

    /// This node takes part in forming the ring with this number, which it has chosen itself or believed.
    pub(super) const fn took(&mut self, seq: u64) {
        if seq > self.highest {
            self.highest = seq;
        }
    }

    /// The number that the next ring has if this node forms it.
    pub(super) const fn next(&self) -> u64 {
        self.highest + NEXT
    }

    /// Whether this node may form a ring with the next number: only if it cannot use that number again after
    /// a crash and restart.
    pub(super) const fn may_form(&self) -> bool {
        (self.next() <= self.stored || self.next() <= self.borrowed) && self.next() < RING_SEQ_LIMIT
    }

    /// Numbers up to this one have been reserved on stable storage.
    pub(super) const fn stored(&mut self, up_to: u64) {
        if up_to > self.stored {
            self.stored = up_to;
        }
        if self.next() <= self.stored {
            self.disk_fails = false;
        }
    }

    /// Stable storage failed to reserve numbers.
    pub(super) const fn disk_failed(&mut self) {
        self.disk_fails = true;
    }

    /// Whether stable storage is known to fail, so that there is no point in waiting for it.
    pub(super) const fn disk_fails(&self) -> bool {
        self.disk_fails
    }

    /// Continues with numbers that are not reserved, `far` above the highest one: [`FAR`] and up to
    /// [`SPREAD`] more, which differs from one process life to the next. Returns whether there is room for
    /// that below [`RING_SEQ_LIMIT`].
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

    /// The number up to which to reserve now; `None` if enough is reserved ahead of what new rings would use.
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

    /// Handles a number heard from another node. Returns whether it is believed.
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

    /// Whatever is stored, and however often the disk fails, no process life uses a number of an earlier one.
    #[test]
    fn unreserved_numbers_are_never_used_twice() {
        for stored in [0, 1, RESERVE, FREE, RING_SEQ_LIMIT / 4] {
            let mut used = std::collections::HashSet::new();
            for life in 0..100 {
                // Each start reserves numbers, or fails; in this test nothing is written to disk afterwards.
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
    fn numbers_of_real_clusters_are_believed_at_once() {
        for seq in [5, 1 << 30, 1 << 41, FREE] {
            let mut numbers = started();
            assert!(numbers.heard(at(1), seq));
            assert_eq!((numbers.highest(), numbers.next()), (seq, seq + 4));
        }
    }

    #[test]
    fn numbers_that_no_cluster_can_have_are_ignored() {
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
    fn a_node_started_during_a_flood_keeps_a_number_others_can_follow() {
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
    fn near_the_limit_rings_rise_by_single_steps_only() {
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
