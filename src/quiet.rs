//! Rate limit for log lines that a lasting fault, or anybody who can send to this node, would repeat without
//! end.

use std::time::Duration;

use crate::time::Instant;

/// Allows one line per period and counts the suppressed ones. The period doubles while the fault lasts,
/// because a node that is cut off from hundreds of others logs one line for each of them.
///
/// One limiter is used for each kind of line. The line should contain the number of lines suppressed before
/// it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quiet {
    spoken: Option<Instant>,
    held_back: u64,
    doublings: u32,
}

impl Quiet {
    /// The first period.
    const PERIOD: Duration = Duration::from_secs(10);

    /// The period is doubled at most this often, to 640 s.
    const DOUBLINGS: u32 = 6;

    /// `Some` with the number of lines suppressed since the last one, if a line may be logged now.
    pub(crate) fn may_speak(&mut self, now: Instant) -> Option<u64> {
        if self.spoken.is_some_and(|spoken| now.since(spoken) < Self::PERIOD * (1 << self.doublings)) {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        self.spoken = Some(now);
        self.doublings = if self.held_back > 0 { (self.doublings + 1).min(Self::DOUBLINGS) } else { 0 };
        Some(std::mem::take(&mut self.held_back))
    }
}

/// Test support: captures what is logged while a closure runs.
#[cfg(test)]
pub(crate) mod written {
    use std::fmt::Write as _;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::{Event, Level, Metadata, Subscriber, span};

    /// Number of lines, sum of their `held_back` fields, and their text.
    #[derive(Debug, Default)]
    struct Written {
        lines: AtomicU64,
        held_back: AtomicU64,
        text: Mutex<String>,
    }

    struct Counter(Arc<Written>);

    impl Subscriber for Counter {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::INFO
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &Event<'_>) {
            self.0.lines.fetch_add(1, Ordering::Relaxed);
            event.record(&mut HeldBack(&self.0));
            let mut text = self.0.text.lock().unwrap();
            event.record(&mut Fields(&mut text));
            text.push('\n');
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    struct HeldBack<'a>(&'a Written);

    impl Visit for HeldBack<'_> {
        fn record_u64(&mut self, field: &Field, value: u64) {
            if field.name() == "held_back" {
                self.0.held_back.fetch_add(value, Ordering::Relaxed);
            }
        }
        fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
    }

    struct Fields<'a>(&'a mut String);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            let _ = write!(self.0, "{}={value:?} ", field.name());
        }
    }

    fn watched(act: impl FnOnce()) -> Arc<Written> {
        let written = Arc::new(Written::default());
        tracing::subscriber::with_default(Counter(Arc::clone(&written)), act);
        written
    }

    /// Runs `act` and returns the number of lines logged by this thread at level `info` and above, and the
    /// number of suppressed lines that they report.
    pub(crate) fn during(act: impl FnOnce()) -> (u64, u64) {
        let written = watched(act);
        (written.lines.load(Ordering::Relaxed), written.held_back.load(Ordering::Relaxed))
    }

    /// As [`during`], but returns the text: `name=value` for each field of a line.
    pub(crate) fn text_during(act: impl FnOnce()) -> String {
        watched(act).text.lock().unwrap().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_lasting_fault_is_logged_at_growing_intervals() {
        let mut quiet = Quiet::default();
        assert_eq!(quiet.may_speak(at(0)), Some(0));
        assert_eq!(quiet.may_speak(at(0)), None);
        assert_eq!(quiet.may_speak(at(9)), None);
        assert_eq!(quiet.may_speak(at(10)), Some(2));
        assert_eq!(quiet.may_speak(at(11)), None);
        assert_eq!(quiet.may_speak(at(20)), None, "the second period is longer");
        assert_eq!(quiet.may_speak(at(30)), Some(2));
        assert_eq!(quiet.may_speak(at(70)), Some(0), "it was quiet meanwhile");
        assert_eq!(quiet.may_speak(at(80)), Some(0), "so the period is the first again");
    }

    #[test]
    fn a_flood_logs_few_lines_and_counts_the_suppressed_ones() {
        let mut quiet = Quiet::default();
        let (mut lines, mut told) = (0, 0);
        for step in 0..24 * 360_000 {
            if let Some(held_back) = quiet.may_speak(Instant::from_micros(step * 10_000)) {
                (lines, told) = (lines + 1, told + held_back);
            }
        }
        assert!((100..200).contains(&lines), "{lines} lines in a day");
        assert_eq!(lines + told + quiet.held_back, 24 * 360_000);
    }
}
