//! Limits the log lines that a local user can cause at will, for each user.

use std::collections::HashMap;
use std::time::Duration;

use crate::time::Instant;

/// Shortest interval between log lines of one kind about one user.
const EVERY: Duration = Duration::from_secs(10);
/// Most pairs of user and kind that are tracked; beyond that, all further users count as one.
const MOST: usize = 64;

/// The kinds of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum About {
    /// A connection was refused.
    Refused,
    /// Too many clients have not identified themselves.
    Crowd,
    /// The shared memory of a connection could not be made.
    Memory,
    /// Clients cannot be accepted.
    Accept,
    /// A client was disconnected.
    ThrownOut,
}

/// The user who caused a line, if tracked separately, and its kind.
type Cause = (Option<u32>, About);

/// The lines written recently.
#[derive(Debug, Default)]
pub(super) struct Quiet(HashMap<Cause, Told>);

#[derive(Debug)]
struct Told {
    until: Instant,
    left_out: u64,
}

impl Quiet {
    /// Whether to log a line about `user`, as the number of lines suppressed before it. `None`: suppress it.
    pub(super) fn due(&mut self, now: Instant, user: u32, about: About) -> Option<u64> {
        if self.0.len() >= MOST && !self.0.contains_key(&(Some(user), about)) {
            self.0.retain(|_, told| told.until > now);
        }
        let user =
            Some(user).filter(|user| self.0.len() < MOST || self.0.contains_key(&(Some(*user), about)));
        let told = self.0.entry((user, about)).or_insert(Told { until: Instant::ZERO, left_out: 0 });
        // New entries have the time zero; all others end later, even those made at time zero.
        if told.until > now {
            told.left_out += 1;
            return None;
        }
        told.until = now + EVERY;
        Some(std::mem::take(&mut told.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_limited_for_each_user_and_for_all_users() {
        let mut quiet = Quiet::default();
        let at = |seconds: u64| Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(quiet.due(at(0), 1, About::Refused), Some(0));
        assert_eq!(quiet.due(at(0), 2, About::Refused), Some(0));
        assert_eq!(quiet.due(at(0), 1, About::Crowd), Some(0));
        for _ in 0..1000 {
            assert_eq!(quiet.due(at(9), 1, About::Refused), None);
        }
        assert_eq!(quiet.due(at(10), 1, About::Refused), Some(1000));
        let lines = (1000..9000).filter(|user| quiet.due(at(11), *user, About::Refused).is_some()).count();
        assert!(lines <= MOST + 5, "{lines} lines");
        assert!(quiet.0.len() <= MOST + 5, "{}", quiet.0.len());
    }
}
