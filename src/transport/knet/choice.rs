//! Chooses the links to a host that carry its messages.

use std::cmp::Reverse;

use super::settings::{LINKS, LinkMode};

/// The properties of a link that matter for the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether the link is up.
    pub(super) up: bool,
    /// Whether the answer to its last ping is overdue.
    pub(super) doubted: bool,
    /// Whether pings pass, but no probe as large as the smallest fragment was answered.
    pub(super) doubtful: bool,
    pub(super) priority: u8,
}

/// The chosen links, and the next one in round-robin mode.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice {
    links: [u8; LINKS],
    len: usize,
    turn: usize,
}

impl Choice {
    /// Chooses among these links, given in ascending order of their numbers.
    ///
    /// A doubted or doubtful link is used only if there is no better one, except in active mode, which uses
    /// all links.
    pub(super) fn decide(&mut self, mode: LinkMode, links: impl Iterator<Item = (u8, Standing)> + Clone) {
        let usable = links.filter(|(_, standing)| standing.up);
        let best = |&(number, s): &(u8, Standing)| (!s.doubted, !s.doubtful, s.priority, Reverse(number));
        self.len = 0;
        match mode {
            LinkMode::Passive => {
                usable.max_by_key(best).into_iter().for_each(|(number, _)| self.push(number));
            }
            LinkMode::Active => usable.for_each(|(number, _)| self.push(number)),
            LinkMode::RoundRobin => {
                let quality = |s: Standing| (!s.doubted, !s.doubtful);
                let most = usable.clone().map(|(_, s)| quality(s)).max();
                usable.filter(|&(_, s)| Some(quality(s)) == most).for_each(|(number, _)| self.push(number));
            }
        }
    }

    fn push(&mut self, number: u8) {
        if let Some(slot) = self.links.get_mut(self.len) {
            *slot = number;
            self.len += 1;
        }
    }

    /// The links that the next message takes; empty if no link is up.
    pub(super) fn next(&mut self, mode: LinkMode) -> &[u8] {
        let chosen = &self.links[..self.len];
        match mode {
            LinkMode::Passive | LinkMode::Active => chosen,
            LinkMode::RoundRobin if self.len == 0 => chosen,
            LinkMode::RoundRobin => {
                self.turn = (self.turn + 1) % self.len;
                &chosen[self.turn..=self.turn]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Standing = Standing { up: true, doubted: false, doubtful: false, priority: 1 };
    const DOWN: Standing = Standing { up: false, ..UP };

    fn choice(mode: LinkMode, links: &[Standing]) -> Choice {
        let mut choice = Choice::default();
        choice.decide(mode, (0..).zip(links.iter().copied()));
        choice
    }

    fn next(mode: LinkMode, links: &[Standing]) -> Vec<u8> {
        choice(mode, links).next(mode).to_vec()
    }

    #[test]
    fn passive_takes_the_highest_priority_then_the_lowest_number() {
        let high = Standing { priority: 9, ..UP };
        assert_eq!(next(LinkMode::Passive, &[UP, UP, UP]), [0]);
        assert_eq!(next(LinkMode::Passive, &[UP, high, high]), [1]);
        assert_eq!(next(LinkMode::Passive, &[UP, Standing { up: false, ..high }]), [0]);
        assert!(next(LinkMode::Passive, &[DOWN, DOWN]).is_empty());
    }

    #[test]
    fn a_link_in_doubt_is_chosen_only_when_there_is_no_better_one() {
        let doubted = Standing { doubted: true, priority: 9, ..UP };
        let doubtful = Standing { doubtful: true, priority: 9, ..UP };
        assert_eq!(next(LinkMode::Passive, &[doubted, UP]), [1]);
        assert_eq!(next(LinkMode::Passive, &[doubtful, UP]), [1]);
        assert_eq!(next(LinkMode::Passive, &[doubted, doubtful]), [1]);
        assert_eq!(next(LinkMode::Passive, &[doubted, DOWN]), [0]);
        assert_eq!(next(LinkMode::RoundRobin, &[doubted, UP]), [1]);
        assert_eq!(next(LinkMode::RoundRobin, &[doubted, DOWN]), [0]);
    }

    #[test]
    fn active_takes_all_links_that_are_up() {
        assert_eq!(next(LinkMode::Active, &[UP, DOWN, UP, Standing { doubted: true, ..UP }]), [0, 2, 3]);
    }

    #[test]
    fn round_robin_takes_the_links_in_turn() {
        let mode = LinkMode::RoundRobin;
        let mut three = choice(mode, &[UP, DOWN, UP, UP]);
        let turns: Vec<_> = (0..6).map(|_| three.next(mode).to_vec()).collect();
        assert_eq!(turns.concat(), [2, 3, 0, 2, 3, 0]);
        three.decide(mode, [(0, UP)].into_iter());
        assert_eq!(three.next(mode), [0]);
        three.decide(mode, [(0, DOWN)].into_iter());
        assert!(three.next(mode).is_empty());
    }
}
