//! How large a packet a path carries: searched with probes, used once proven, watched while it is used.
//!
//! Sizes are of whole IP packets in bytes. Differs from libknet where nobody must match: every path is searched on its
//! own and from its first pong on, so that its size is known when it comes up; large fragments are sent only after a
//! probe of their size was answered; a path that stops to carry them is noticed while they are sent, not half a minute
//! later; and a search that fails leaves a path in use with the smallest fragments.

use std::time::Duration;

use super::sizes::{HEADER, Sizes};
use crate::time::Instant;

/// Probes of one size that may be lost before it counts as too large.
const ATTEMPTS: u8 = 3;

/// Largest IP packet, and the first size that there is none of.
const LARGEST: usize = 65535;

/// A search in which nothing was answered is repeated after this, or earlier if the settings say so.
const RETRY: Duration = Duration::from_secs(5);

/// What one path carries.
#[derive(Debug)]
pub(super) struct PathMtu {
    sizes: Sizes,
    /// Bytes of IP and UDP header.
    overhead: usize,
    /// Size to go by without any search.
    fixed: Option<u16>,
    phase: Phase,
    /// Largest size that is known to be carried; no more than the smallest is trusted without it.
    proven: Option<usize>,
    /// What is shown to operators, also while the link is down.
    shown: usize,
    /// The last search was in vain.
    doubtful: bool,
    search_at: Instant,
    /// Large packets were sent that no probe has followed.
    large: bool,
    watched: Instant,
    /// Size that the network claims to be the largest, until the search for it ends.
    told: Option<usize>,
    /// Such claims were false; no more are heard until then.
    deaf_until: Instant,
}

#[derive(Debug)]
enum Phase {
    /// The link is silent.
    Off,
    Idle,
    Search(Search),
    /// Whether the proven size is still carried.
    Watch(Attempts),
}

#[derive(Debug)]
struct Search {
    /// Largest size answered.
    good: Option<usize>,
    /// Smallest size known to be too large.
    bad: usize,
    /// To be tried before halving the interval, the last one first.
    wishes: Vec<usize>,
    trying: Attempts,
}

#[derive(Clone, Copy, Debug)]
struct Attempts {
    size: usize,
    made: u8,
    /// When the next one is due.
    due: Instant,
}

/// How fast things go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Time for an answer.
    pub(super) answer: Duration,
    /// Time between probes that follow large packets.
    pub(super) watch: Duration,
    /// Time between searches.
    pub(super) search: Duration,
}

/// A packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// Length before encryption.
    pub(super) plain: usize,
    /// Length of the IP packet.
    pub(super) size: u16,
}

/// Who says that a packet was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    /// This host, of a probe.
    Probe,
    /// This host, of another packet.
    Packet,
    /// The socket's error queue; perhaps a forged message of ICMP.
    Network,
}

impl PathMtu {
    /// Nothing is known. `overhead`: bytes of IP and UDP header.
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

    /// User bytes of a fragment that may be sent now.
    pub(super) fn fragment(&self) -> usize {
        self.user(self.fixed.map(usize::from).or(self.proven).unwrap_or(0))
    }

    /// User bytes of a fragment as tools are shown; before anything is known, what libknet begins with.
    pub(super) fn shown(&self) -> usize {
        self.user(self.fixed.map_or(self.shown, usize::from))
    }

    /// Whether another link is to be preferred, because no probe at all is answered on this one.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// The link is heard, or has just come up: searches, unless that has been done already. A host may answer probes
    /// only once the link is up for it too. With a size in the settings there is nothing to search.
    pub(super) fn start(&mut self, now: Instant, up: bool) {
        match self.phase {
            Phase::Off if self.fixed.is_some() => self.phase = Phase::Idle,
            Phase::Off => self.search(now),
            Phase::Idle if up && self.doubtful => self.search(now),
            Phase::Idle | Phase::Search(_) | Phase::Watch(_) => {}
        }
    }

    /// The link is silent.
    pub(super) fn stop(&mut self) {
        self.phase = Phase::Off;
        self.proven = None;
        self.doubtful = false;
        self.large = false;
        self.told = None;
    }

    /// Encryption changed. What IP packets the path carries did not.
    pub(super) fn set_sizes(&mut self, now: Instant, sizes: Sizes) {
        self.sizes = sizes;
        match self.phase {
            Phase::Off | Phase::Idle => {}
            Phase::Search(_) => self.search(now),
            Phase::Watch(_) => self.phase = Phase::Idle,
        }
    }

    /// Another size to go by, or none.
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

    /// A data packet of this length before encryption was sent; `true` if that made something due.
    pub(super) fn sent(&mut self, plain: usize) -> bool {
        let first = !self.large && self.watches() && plain > self.sizes.floor() + HEADER;
        self.large |= first;
        first
    }

    /// The probe that is due; to be asked until there is none.
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
                // No IP packet is longer than that.
                return Some(Probe { plain: self.plain(size), size: size as u16 });
            }
            self.unanswered(now, pace);
        }
    }

    /// When [`PathMtu::poll`] has something to do.
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

    /// A probe was answered. Only the one that is being tried counts, so an answer that was never asked for proves
    /// nothing.
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

    /// A packet was too long; `limit` is the size that would do, if it is known.
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

    /// What was just tried could not even be sent.
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

    /// The network says that no more than this passes: believed at once, since messages are lost if it is true, and
    /// found out by the search that begins now. One claim a search, so that many cannot keep it from ending.
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
                // If what was proven is still answered, the claim is false.
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

    /// Searches from the beginning: the largest there is, then what is proven and whether no more passes, and last the
    /// smallest, before the interval that is left is halved.
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

    /// Nothing answered what is being tried.
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

    /// What was tried is decided: the next size, or the end of the search.
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
        // The smallest was among the wishes, so without any answer there is nothing left to try.
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

    /// No more than this is sent from now on; `None`: the smallest.
    fn lower(&mut self, to: Option<usize>) {
        if self.proven > to {
            self.proven = to;
            self.shown = to.unwrap_or(0);
        }
    }

    fn watches(&self) -> bool {
        self.fixed.is_none() && self.proven.is_some_and(|proven| proven > self.smallest())
    }

    /// User bytes of a fragment in an IP packet of this size; never less than what every path carries.
    fn user(&self, size: usize) -> usize {
        self.sizes.fragment(size.saturating_sub(self.overhead)).max(self.sizes.floor())
    }

    /// The longest packet before encryption that fits, at a size that [`PathMtu::round`] gave.
    fn plain(&self, size: usize) -> usize {
        self.sizes.fragment(size.saturating_sub(self.overhead)) + HEADER
    }

    /// The next smaller size that a packet can have, or this one.
    fn round(&self, size: usize) -> usize {
        self.sizes.datagram(self.plain(size)) + self.overhead
    }

    /// The next larger one.
    fn above(&self, size: usize) -> usize {
        self.sizes.datagram(self.plain(size) + self.sizes.block.max(1)) + self.overhead
    }

    /// The size of the smallest fragments.
    fn smallest(&self) -> usize {
        self.sizes.datagram(self.sizes.floor() + HEADER) + self.overhead
    }
}

#[cfg(test)]
mod tests;
