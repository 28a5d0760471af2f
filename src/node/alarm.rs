//! Wakes the driver at a time.
//!
//! This is a timer of the kernel (`timerfd_create(2)`). The runtime's own timers end at whole milliseconds, and wake the
//! thread once or twice before a time that is more than 64 ms away: more often than a token that is held by an idle ring.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use super::doorbell::Doorbell;
use crate::time::Instant;

/// A time that has moved by this is worth setting the timer anew.
const MUCH_LATER: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<Doorbell>,
    /// The time for which it is set.
    at: Option<Instant>,
}

impl Alarm {
    /// An alarm that is not set. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// The system has no more descriptors, or the runtime does not accept this one.
    pub(super) fn new() -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        Ok(Self { timer: Doorbell::watch(timer)?, at: None })
    }

    /// Wakes the task at `due`, or sooner. Returns whether an earlier time that was set has come.
    ///
    /// The time moves with every token. The timer is set to an earlier time, and to one that is much later: setting it
    /// costs more than an occasional needless wake-up.
    pub(super) fn set(&mut self, cx: &mut Context<'_>, now: Instant, due: Instant) -> bool {
        if self.at.is_none_or(|at| due < at || due >= at + MUCH_LATER) {
            let wait = due.since(now).max(Duration::from_nanos(1)); // 0 would stop it
            let it_value = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: wait.subsec_nanos().into() };
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let time = Itimerspec { it_interval, it_value };
            match timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &time) {
                Ok(_) => self.at = Some(due),
                // Only a descriptor that is no timer is refused. The next turn tries again.
                Err(error) => tracing::error!(%error, "the timer of the node could not be set"),
            }
        }
        match self.timer.poll_read_ready(cx) {
            Poll::Ready(Ok(mut rung)) => {
                // Setting the timer anew makes it unreadable, so it is not read.
                rung.clear_ready();
                self.at = None;
                true
            }
            // The runtime is ending.
            Poll::Ready(Err(_)) | Poll::Pending => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    /// The time from setting the alarm until the task is woken.
    async fn woken_after(alarm: &mut Alarm, wait: Duration) -> Duration {
        let start = std::time::Instant::now();
        let now = || Instant::ZERO + start.elapsed();
        let due = now() + wait;
        poll_fn(|cx| if alarm.set(cx, now(), due) { Poll::Ready(()) } else { Poll::Pending }).await;
        start.elapsed()
    }

    #[tokio::test]
    async fn the_task_is_woken_at_the_time_and_again_at_the_next() {
        let mut alarm = Alarm::new().unwrap();
        for wait in [0, 1, 30, 70].map(Duration::from_millis) {
            let after = woken_after(&mut alarm, wait).await;
            assert!(after >= wait && after < wait + Duration::from_secs(5), "{wait:?}: {after:?}");
        }
    }

    #[tokio::test]
    async fn an_earlier_time_replaces_a_later_one() {
        let mut alarm = Alarm::new().unwrap();
        let wake = |alarm: &mut Alarm, wait| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            alarm.set(&mut cx, Instant::ZERO, Instant::ZERO + wait)
        };
        assert!(!wake(&mut alarm, Duration::from_secs(3600)));
        let after = woken_after(&mut alarm, Duration::from_millis(5)).await;
        assert!(after < Duration::from_secs(60), "{after:?}");
    }
}
