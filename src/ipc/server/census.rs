//! How many clients each user has.

use std::collections::HashMap;

/// What is counted of each user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Has not said yet who it is.
    Newcomer,
    /// The client was accepted and is connected.
    Connection,
    /// Was not accepted, and is closed by and by.
    TurnedAway,
}

/// Counts by user, kept up with every client that comes and goes.
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

/// How many of a kind there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Of all users.
    pub(super) all: usize,
    /// Of one user other than root.
    pub(super) each: usize,
    /// Places of `all` that only root may take.
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

    /// A newcomer is not one any more.
    pub(super) fn turned_away(&mut self, user: u32) {
        self.came(user, Kind::TurnedAway);
        self.went(user, Kind::Newcomer);
    }

    /// Whether one more of that kind is within the limit.
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
    fn no_user_takes_all_and_no_users_take_what_is_roots() {
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
        // Those who were sent away keep nobody out.
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
