//! Lines of the log that a local user can cause as often as he likes: few of each user.

use std::collections::HashMap;
use std::time::Duration;

use crate::time::Instant;

/// How often the log tells of one kind of trouble with one user.
const EVERY: Duration = Duration::from_secs(10);
/// Users and kinds that are told apart; all others count as one user.
const MOST: usize = 64;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum About {
    /// A connection was refused.
    Refused,
    /// Too many clients have not said who they are.
    Crowd,
    /// Shared memory could not be made.
    Memory,
    /// Nobody can be accepted.
    Accept,
    /// A client was disconnected.
    ThrownOut,
}

/// Who caused a line, if he is told apart, and of what kind it is.
type Cause = (Option<u32>, About);

/// Which lines were written lately.
#[derive(Debug, Default)]
pub(super) struct Quiet(HashMap<Cause, Told>);

#[derive(Debug)]
struct Told {
    until: Instant,
    left_out: u64,
}

impl Quiet {
    /// Whether a line is due about `user`: how many like it were left out before. `None`: it is left out too.
    pub(super) fn due(&mut self, now: Instant, user: u32, about: About) -> Option<u64> {
        if self.0.len() >= MOST && !self.0.contains_key(&(Some(user), about)) {
            self.0.retain(|_, told| told.until > now);
        }
        let user =
            Some(user).filter(|user| self.0.len() < MOST || self.0.contains_key(&(Some(*user), about)));
        let told = self.0.entry((user, about)).or_insert(Told { until: Instant::ZERO, left_out: 0 });
        // An entry of the time zero is new; one that was made at time zero has a later end.
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
    fn each_user_has_a_line_now_and_then_and_no_number_of_users_has_many() {
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
