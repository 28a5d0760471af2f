//! Path MTU discovery: determines how large packets a path carries, with probes, and monitors the size in
//! use.
//!
//! Sizes are those of whole IP packets, in bytes. Differs from libknet where the wire does not require the
//! same behaviour: every path is searched separately and from its first pong on, so that its size is known
//! when it comes up; large fragments are sent only after a probe of their size was answered; a path that
//! stops carrying them is noticed while they are sent, not half a minute later; and after a failed search a
//! path is still used, with the smallest fragments.

use std::time::Duration;

use super::sizes::{HEADER, Sizes};
use crate::time::Instant;

/// Number of lost probes of one size after which the size counts as too large.
const ATTEMPTS: u8 = 3;

/// Size of the largest IP packet; one more is the first size that does not exist.
const LARGEST: usize = 65535;

/// A search in which no probe was answered is repeated after this time, or earlier if the settings require
/// it.
const RETRY: Duration = Duration::from_secs(5);

/// The state of path MTU discovery on one path.
#[derive(Debug)]
pub(super) struct PathMtu {
    sizes: Sizes,
    /// Bytes of the IP and UDP headers.
    overhead: usize,
    /// Size from the settings, which replaces the search.
    fixed: Option<u16>,
    phase: Phase,
    /// Largest size that is known to be carried; `None` means that only the smallest fragments are used.
    proven: Option<usize>,
    /// Size that is shown to operators, even while the link is down.
    shown: usize,
    /// The last search was in vain: no probe was answered.
    doubtful: bool,
    search_at: Instant,
    /// Large packets were sent since the last probe.
    large: bool,
    watched: Instant,
    /// Largest size according to a report of the network, until the search that verifies it ends.
    told: Option<usize>,
    /// Such a report was false; further ones are ignored until this time.
    deaf_until: Instant,
}

#[derive(Debug)]
enum Phase {
    /// The link is silent.
    Off,
    Idle,
    Search(Search),
    /// Probing whether the proven size is still carried.
    Watch(Attempts),
}

#[derive(Debug)]
struct Search {
    /// Largest size that was answered.
    good: Option<usize>,
    /// Smallest size that is known to be too large.
    bad: usize,
    /// Sizes to try before bisecting the interval; the last entry is tried first.
    wishes: Vec<usize>,
    trying: Attempts,
}

#[derive(Clone, Copy, Debug)]
struct Attempts {
    size: usize,
    made: u8,
    /// When the next attempt is due.
    due: Instant,
}

/// The intervals of discovery on a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Time to wait for an answer.
    pub(super) answer: Duration,
    /// Time between probes while large packets are sent.
    pub(super) watch: Duration,
    /// Time between searches.
    pub(super) search: Duration,
}

/// A probe to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// Length of the packet before encryption.
    pub(super) plain: usize,
    /// Length of the resulting IP packet.
    pub(super) size: u16,
}

/// The source of a report that a packet was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    /// This host, about a probe.
    Probe,
    /// This host, about another packet.
    Packet,
    /// The socket's error queue, perhaps because of a forged ICMP message.
    Network,
}

impl PathMtu {
    /// State in which nothing is known. `overhead` is the number of bytes of the IP and UDP headers.
    pub(super) fn new(sizes: Sizes, overhead: usize, fixed: Option<u16>) -> Self {
        Self {
            sizes,
            overhead,
            fixed,
            phase: Phase::Off,
            proven: None,
            shown: if overhead == 28 { 576 } else { 1280 },
            doubtful: false,
            search_at: Instant::ZERO,
            large: false,
            watched: Instant::ZERO,
            told: None,
            deaf_until: Instant::ZERO,
        }
    }

    /// The number of user bytes of a fragment that may be sent now.
    pub(super) fn fragment(&self) -> usize {
        self.user(self.fixed.map(usize::from).or(self.proven).unwrap_or(0))
    }

    /// The number of user bytes of a fragment as shown by tools; before anything is known, libknet's initial
    /// value.
    pub(super) fn shown(&self) -> usize {
        self.user(self.fixed.map_or(self.shown, usize::from))
    }

    /// Whether another link should be preferred, because no probe is answered on this one.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// The link is heard, or has just come up: starts a search unless there was one. A host may answer probes
    /// only after the link has come up on its side too. With a size in the settings there is no search.
    pub(super) fn start(&mut self, now: Instant, up: bool) {
        match self.phase {
            Phase::Off if self.fixed.is_some() => self.phase = Phase::Idle,
            Phase::Off => self.search(now),
            Phase::Idle if up && self.doubtful => self.search(now),
            Phase::Idle | Phase::Search(_) | Phase::Watch(_) => {}
        }
    }

    /// The link is silent: stops probing.
    pub(super) fn stop(&mut self) {
        self.phase = Phase::Off;
        self.proven = None;
        self.doubtful = false;
        self.large = false;
        self.told = None;
    }

    /// Adopts the sizes of another encryption. The size of the IP packets that the path carries is unchanged.
    pub(super) fn set_sizes(&mut self, now: Instant, sizes: Sizes) {
        self.sizes = sizes;
        match self.phase {
            Phase::Off | Phase::Idle => {}
            Phase::Search(_) => self.search(now),
            Phase::Watch(_) => self.phase = Phase::Idle,
        }
    }

    /// Sets the size that replaces the search; `None` means that sizes are searched.
    pub(super) fn set_fixed(&mut self, now: Instant, fixed: Option<u16>) {
        if self.fixed == fixed {
            return;
        }
        self.fixed = fixed;
        self.doubtful = false;
        match (&self.phase, fixed) {
            (Phase::Off, _) => {}
            (Phase::Idle | Phase::Search(_) | Phase::Watch(_), None) => self.search(now),
            (Phase::Idle | Phase::Search(_) | Phase::Watch(_), Some(_)) => self.phase = Phase::Idle,
        }
    }

    /// A data packet with this length before encryption was sent. Returns `true` if an action has become due
    /// by it.
    pub(super) fn sent(&mut self, plain: usize) -> bool {
        let first = !self.large && self.watches() && plain > self.sizes.floor() + HEADER;
        self.large |= first;
        first
    }

    /// The probe that is due; must be called until it returns `None`.
    pub(super) fn poll(&mut self, now: Instant, pace: Pace) -> Option<Probe> {
        loop {
            let attempts = match &mut self.phase {
                Phase::Off => return None,
                Phase::Idle if self.fixed.is_some() => return None,
                Phase::Idle if now >= self.search_at => {
                    self.search(now);
                    continue;
                }
                Phase::Idle => match self.proven {
                    Some(size) if self.large && now >= self.watched + pace.watch => {
                        self.phase = Phase::Watch(Attempts { size, made: 0, due: now });
                        continue;
                    }
                    Some(_) | None => return None,
                },
                Phase::Search(search) => &mut search.trying,
                Phase::Watch(attempts) => attempts,
            };
            if now < attempts.due {
                return None;
            }
            if attempts.made < ATTEMPTS {
                attempts.made += 1;
                attempts.due = now + pace.answer;
                let size = attempts.size;
                // No IP packet is longer than `u16::MAX`.
                return Some(Probe { plain: self.plain(size), size: size as u16 });
            }
            self.unanswered(now, pace);
        }
    }

    /// When [`PathMtu::poll`] next has an action.
    pub(super) fn deadline(&self, pace: Pace) -> Option<Instant> {
        match &self.phase {
            Phase::Off => None,
            Phase::Idle if self.fixed.is_some() => None,
            Phase::Idle if self.large => Some(self.search_at.min(self.watched + pace.watch)),
            Phase::Idle => Some(self.search_at),
            Phase::Search(search) => Some(search.trying.due),
            Phase::Watch(attempts) => Some(attempts.due),
        }
    }

    /// Handles the answer to a probe. It counts only for the size that is being probed, so an unsolicited
    /// answer proves nothing.
    pub(super) fn reply(&mut self, now: Instant, size: u16, pace: Pace) {
        let size = usize::from(size);
        match &mut self.phase {
            Phase::Search(search) if search.trying.size == size && search.trying.made > 0 => {
                search.good = Some(size);
                self.go_on(now, pace);
            }
            Phase::Watch(attempts) if attempts.size == size => {
                self.large = false;
                self.watched = now;
                self.phase = Phase::Idle;
            }
            Phase::Off | Phase::Idle | Phase::Search(_) | Phase::Watch(_) => {}
        }
    }

    /// Handles a packet that was too long; `limit` is the largest size that fits, if known.
    pub(super) fn too_long(&mut self, now: Instant, limit: Option<u16>, teller: Teller, pace: Pace) {
        if self.fixed.is_some() || matches!(self.phase, Phase::Off) {
            return;
        }
        let fits = limit.map(|limit| self.round(usize::from(limit)).max(self.smallest()));
        match (teller, fits) {
            (Teller::Probe, fits) => self.probe_too_long(now, fits, pace),
            (Teller::Packet, Some(fits)) => {
                self.lower(Some(fits));
                self.search_again(now);
            }
            (Teller::Packet, None) => {
                self.lower(None);
                self.search_again(now);
            }
            (Teller::Network, _) if now < self.deaf_until => {}
            (Teller::Network, Some(fits)) => self.claimed(now, fits),
            (Teller::Network, None) => {
                if let (Phase::Idle, Some(size)) = (&self.phase, self.proven) {
                    self.phase = Phase::Watch(Attempts { size, made: 0, due: now });
                }
            }
        }
    }

    /// The probe of the current attempt could not even be sent.
    fn probe_too_long(&mut self, now: Instant, fits: Option<usize>, pace: Pace) {
        match &mut self.phase {
            Phase::Search(search) => {
                let size = search.trying.size;
                match fits {
                    Some(fits) if fits < size => {
                        search.bad = search.bad.min(fits + 1);
                        search.wishes.push(fits);
                    }
                    Some(_) | None => search.bad = search.bad.min(size),
                }
                let bad = search.bad;
                if self.proven.is_some_and(|proven| proven >= bad) {
                    self.lower(fits);
                }
                self.go_on(now, pace);
            }
            Phase::Watch(_) => {
                self.lower(fits);
                self.search(now);
            }
            Phase::Off | Phase::Idle => {}
        }
    }

    /// Handles a report of the network that no packet larger than `fits` passes. It is believed at once,
    /// because messages are lost if it is true, and verified by a search that begins now. Only one report is
    /// accepted for each search, so that many reports cannot keep it from ending.
    fn claimed(&mut self, now: Instant, fits: usize) {
        if self.told.is_some() {
            return;
        }
        let above = self.above(fits);
        match &mut self.phase {
            Phase::Search(search) if fits < search.trying.size => {
                search.wishes.push(above);
                search.trying = Attempts { size: fits, made: 0, due: now };
            }
            Phase::Idle | Phase::Watch(_) => match self.proven {
                // If the proven size is still answered, the report is false.
                Some(proven) if fits < proven => {
                    self.search_for(now, vec![self.smallest(), above, fits, proven]);
                }
                Some(_) | None => return,
            },
            Phase::Off | Phase::Search(_) => return,
        }
        self.told = Some(fits);
        self.lower(Some(fits));
    }

    /// Starts a search from the beginning: it tries the largest size, then the proven one and the next larger
    /// one, then the smallest; after that it bisects the remaining interval.
    fn search(&mut self, now: Instant) {
        let wishes = match self.proven {
            Some(proven) => vec![self.smallest(), self.above(proven), proven, self.round(LARGEST)],
            None => vec![self.smallest(), self.round(LARGEST)],
        };
        self.search_for(now, wishes);
    }

    fn search_again(&mut self, now: Instant) {
        match self.phase {
            Phase::Search(_) => {}
            Phase::Off | Phase::Idle | Phase::Watch(_) => self.search(now),
        }
    }

    fn search_for(&mut self, now: Instant, mut wishes: Vec<usize>) {
        let first = wishes.pop().unwrap_or_else(|| self.smallest());
        let trying = Attempts { size: first, made: 0, due: now };
        self.phase = Phase::Search(Search { good: None, bad: LARGEST + 1, wishes, trying });
    }

    /// The attempts with the current size were not answered.
    fn unanswered(&mut self, now: Instant, pace: Pace) {
        match &mut self.phase {
            Phase::Search(search) => {
                let size = search.trying.size;
                search.bad = search.bad.min(size);
                if self.proven.is_some_and(|proven| proven >= size) {
                    self.lower(None);
                }
                self.go_on(now, pace);
            }
            Phase::Watch(_) => {
                self.lower(None);
                self.search(now);
            }
            Phase::Off | Phase::Idle => {}
        }
    }

    /// The result for the current size is known: tries the next size, or ends the search.
    fn go_on(&mut self, now: Instant, pace: Pace) {
        let smallest = self.smallest();
        let Phase::Search(search) = &mut self.phase else { return };
        let (good, bad) = (search.good, search.bad);
        let low = good.unwrap_or(smallest - 1);
        let mut next = None;
        while next.is_none()
            && let Some(wish) = search.wishes.pop()
        {
            next = Some(wish).filter(|&wish| low < wish && wish < bad);
        }
        // The smallest size was in the list, so if no size was answered, nothing is left to try.
        if next.is_none() && good.is_some() {
            let middle = self.round(low.midpoint(bad));
            let middle = if middle > low { middle } else { self.round(bad - 1) };
            next = Some(middle).filter(|&middle| middle > low);
        }
        match (next, &mut self.phase) {
            (Some(size), Phase::Search(search)) => search.trying = Attempts { size, made: 0, due: now },
            (_, _) => self.end(now, good, pace),
        }
    }

    fn end(&mut self, now: Instant, found: Option<usize>, pace: Pace) {
        self.phase = Phase::Idle;
        self.watched = now;
        self.large = false;
        self.doubtful = found.is_none();
        if let (Some(told), Some(found)) = (self.told.take(), found)
            && found > told
        {
            self.deaf_until = now + pace.search;
        }
        match found {
            Some(found) => {
                self.proven = Some(found);
                self.shown = found;
                self.search_at = now + pace.search;
            }
            None => {
                self.lower(None);
                self.search_at = now + pace.search.min(RETRY);
            }
        }
    }

    /// Limits the size from now on; `None` means the smallest.
    fn lower(&mut self, to: Option<usize>) {
        if self.proven > to {
            self.proven = to;
            self.shown = to.unwrap_or(0);
        }
    }

    fn watches(&self) -> bool {
        self.fixed.is_none() && self.proven.is_some_and(|proven| proven > self.smallest())
    }

    /// The user bytes of a fragment in an IP packet of this size; at least as many as every path carries.
    fn user(&self, size: usize) -> usize {
        self.sizes.fragment(size.saturating_sub(self.overhead)).max(self.sizes.floor())
    }

    /// The longest packet before encryption that fits into `size`, which must come from [`PathMtu::round`].
    fn plain(&self, size: usize) -> usize {
        self.sizes.fragment(size.saturating_sub(self.overhead)) + HEADER
    }

    /// The largest possible size of a packet that does not exceed `size`.
    fn round(&self, size: usize) -> usize {
        self.sizes.datagram(self.plain(size)) + self.overhead
    }

    /// The next larger possible size.
    fn above(&self, size: usize) -> usize {
        self.sizes.datagram(self.plain(size) + self.sizes.block.max(1)) + self.overhead
    }

    /// The size of an IP packet with the smallest fragment.
    fn smallest(&self) -> usize {
        self.sizes.datagram(self.sizes.floor() + HEADER) + self.overhead
    }
}

#[cfg(test)]
mod tests;
