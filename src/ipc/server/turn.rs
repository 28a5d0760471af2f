//! Limits the work of one turn of the server, so that its caller always returns to its other sockets.

use std::time::{Duration, Instant as Clock};

/// The time and the number of steps of a turn. A step is one descriptor handled, one client accepted, one request,
/// one report to the caller, or one client whose events are announced.
///
/// The first step of a turn is always allowed, whatever the clock says, so that the work makes progress.
#[derive(Debug)]
pub(super) struct Turn {
    time: Duration,
    most: u32,
    begun: Option<Clock>,
    taken: u32,
}

impl Turn {
    pub(super) const fn new(time: Duration, most: u32) -> Self {
        Self { time, most, begun: None, taken: 0 }
    }

    /// Counts a step; `false` if the turn is over.
    pub(super) fn step(&mut self) -> bool {
        self.step_within(1)
    }

    /// Counts a step if only the first of `parts` equal parts of the turn is used up to now.
    pub(super) fn step_within(&mut self, parts: u32) -> bool {
        let spent = self.is_over(parts);
        self.taken += u32::from(!spent);
        !spent
    }

    /// Whether another step has to wait for the next turn.
    pub(super) fn is_spent(&mut self) -> bool {
        self.is_over(1)
    }

    fn is_over(&mut self, parts: u32) -> bool {
        let begun = *self.begun.get_or_insert_with(Clock::now);
        self.taken > 0 && (self.taken >= self.most / parts || begun.elapsed() >= self.time / parts)
    }

    /// Ends the turn; the next step begins another.
    pub(super) fn end(&mut self) {
        self.begun = None;
        self.taken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_by_steps_or_time_but_allows_its_first_step() {
        let mut turn = Turn::new(Duration::from_secs(60), 4);
        assert_eq!((0..9).filter(|_| turn.step()).count(), 4);
        assert!(turn.is_spent());
        turn.end();
        assert_eq!((0..9).filter(|_| turn.step_within(2)).count(), 2);
        assert_eq!((0..9).filter(|_| turn.step()).count(), 2);
        let mut turn = Turn::new(Duration::ZERO, 4);
        for _ in 0..3 {
            assert!(turn.step());
            assert!(!turn.step());
            turn.end();
        }
    }
}
