//! Counts the clients of each user.

use std::collections::HashMap;

/// The kinds of clients that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Has not identified itself yet.
    Newcomer,
    /// The client was accepted and is connected.
    Connection,
    /// Was refused, and waits to be closed.
    TurnedAway,
}

/// Counts by user, updated with every client that comes and goes.
#[derive(Debug, Default)]
pub(super) struct Census {
    users: HashMap<u32, Counts>,
    all: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    newcomers: usize,
    connections: usize,
    turned_away: usize,
}

impl Counts {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Newcomer => &mut self.newcomers,
            Kind::Connection => &mut self.connections,
            Kind::TurnedAway => &mut self.turned_away,
        }
    }
}

/// The limits for one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// For all users together.
    pub(super) all: usize,
    /// For each user other than root.
    pub(super) each: usize,
    /// The part of `all` that is reserved for root.
    pub(super) for_root: usize,
}

impl Census {
    pub(super) fn came(&mut self, user: u32, kind: Kind) {
        *self.users.entry(user).or_default().of(kind) += 1;
        *self.all.of(kind) += 1;
    }

    pub(super) fn went(&mut self, user: u32, kind: Kind) {
        if let Some(counts) = self.users.get_mut(&user) {
            *counts.of(kind) -= 1;
            if *counts == Counts::default() {
                self.users.remove(&user);
            }
        }
        *self.all.of(kind) -= 1;
    }

    /// Counts a newcomer as turned away.
    pub(super) fn turned_away(&mut self, user: u32) {
        self.came(user, Kind::TurnedAway);
        self.went(user, Kind::Newcomer);
    }

    /// Whether the limits allow one more client of this kind.
    pub(super) fn has_room(&mut self, user: u32, kind: Kind, limit: Limit) -> bool {
        let all = self.count(kind);
        if user == 0 {
            return all < limit.all;
        }
        let of = |census: &Self, user| census.users.get(&user).map_or(0, |counts| *{ *counts }.of(kind));
        let others = all - of(self, 0);
        all < limit.all && others + limit.for_root < limit.all && of(self, user) < limit.each
    }

    pub(super) fn count(&self, kind: Kind) -> usize {
        *{ self.all }.of(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_limited_and_places_for_root_are_reserved() {
        let mut census = Census::default();
        let limit = Limit { all: 10, each: 4, for_root: 2 };
        let mut fill = |user| {
            let mut got = 0;
            while census.has_room(user, Kind::Connection, limit) {
                census.came(user, Kind::Connection);
                got += 1;
            }
            got
        };
        assert_eq!([fill(1), fill(2), fill(3)], [4, 4, 0]);
        assert_eq!(fill(0), 2);
        census.went(0, Kind::Connection);
        census.went(1, Kind::Connection);
        assert!(census.has_room(3, Kind::Connection, limit));
        assert!(census.has_room(1, Kind::Newcomer, limit), "each kind is counted for itself");
        // Clients that were turned away do not count against newcomers.
        for _ in 0..20 {
            census.came(4, Kind::Newcomer);
            census.turned_away(4);
        }
        assert!(census.has_room(4, Kind::Newcomer, limit) && census.has_room(0, Kind::Newcomer, limit));
        assert_eq!(census.count(Kind::TurnedAway), 20);
        for _ in 0..20 {
            census.went(4, Kind::TurnedAway);
        }
        for user in [1, 1, 1, 2, 2, 2, 2, 0] {
            census.went(user, Kind::Connection);
        }
        assert!(census.users.is_empty() && census.all == Counts::default());
    }
}
