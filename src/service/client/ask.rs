//! One call to a service: the request, and how its answer is interpreted.

use super::error::Error;
use crate::error::Status;
use crate::service::channel::{BackOff, Channel, ChannelError, Outgoing};
use crate::service::wire::read::{Malformed, status};

/// One call to a service; used by asynchronous and blocking clients alike.
pub(crate) struct Ask<T> {
    request: Outgoing,
    what: &'static str,
    read: fn(&[u8]) -> Result<T, Malformed>,
    hints: &'static [(Status, &'static str)],
    why: fn(&[u8]) -> Option<String>,
    passing: &'static [Status],
    repeatable: bool,
}

impl<T> Ask<T> {
    /// A call that changes nothing, so it is repeated if the connection ends before the answer. `what`
    /// completes the sentence "the daemon refused to ..."; `read` interprets an answer with status OK, header
    /// included.
    pub(crate) fn query(
        what: &'static str,
        request: impl Into<Outgoing>,
        read: fn(&[u8]) -> Result<T, Malformed>,
    ) -> Self {
        let passing = &[Status::TryAgain];
        Self { request: request.into(), what, read, hints: &[], why: |_| None, passing, repeatable: true }
    }

    /// Adds hints to errors with these statuses, in the form `. Sentence`.
    pub(crate) fn hints(self, hints: &'static [(Status, &'static str)]) -> Self {
        Self { hints, ..self }
    }

    /// Sets the function that reads the daemon's reason from a refusal, if it contains one.
    pub(crate) fn why(self, why: fn(&[u8]) -> Option<String>) -> Self {
        Self { why, ..self }
    }

    /// Marks the call as not repeatable, because it changes something.
    pub(crate) fn once(self) -> Self {
        Self { repeatable: false, ..self }
    }

    /// Sets the statuses that are temporary: after one of them the call is repeated a little later. Default:
    /// [`Status::TryAgain`] alone.
    pub(crate) fn while_answered(self, passing: &'static [Status]) -> Self {
        Self { passing, ..self }
    }

    /// Whether the call may be repeated without harm.
    pub(super) fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// Sends the request over this connection and repeats it, with growing delays, while the answer is a
    /// temporary status.
    pub(crate) async fn over(&self, channel: &dyn Channel) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            let reply = channel.call(self.request.clone()).await?;
            if let Some(answer) = self.settle(&reply)? {
                return Ok(answer);
            }
            pause(tries).await?;
            tries += 1;
        }
    }

    /// As [`Ask::over`], but blocks the calling thread.
    pub(crate) fn over_blocking(&self, channel: &dyn Channel) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            let reply = channel.call_blocking(self.request.clone())?;
            if let Some(answer) = self.settle(&reply)? {
                return Ok(answer);
            }
            std::thread::sleep(BackOff::after(tries));
            tries += 1;
        }
    }

    fn hint(&self, status: Status) -> &'static str {
        self.hints.iter().find(|(about, _)| *about == status).map_or("", |(_, hint)| hint)
    }

    /// Interprets an answer; `None`: repeat the call.
    fn settle(&self, reply: &[u8]) -> Result<Option<T>, Error> {
        match status(reply)? {
            Status::Ok => Ok(Some((self.read)(reply)?)),
            status if self.passing.contains(&status) => Ok(None),
            status => Err(match (self.why)(reply) {
                Some(why) => Error::Told { what: self.what, status, why },
                None => Error::Refused { what: self.what, status, hint: self.hint(status) },
            }),
        }
    }
}

impl Ask<()> {
    /// A request that changes something, and whose answer consists of a status only.
    pub(crate) fn order(what: &'static str, request: impl Into<Outgoing>) -> Self {
        Self::query(what, request, |_| Ok(())).once()
    }
}

/// Waits before the next attempt, for conditions whose end the daemon does not announce.
pub(crate) async fn pause(tries: u32) -> Result<(), ChannelError> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(ChannelError::NoRuntime);
    }
    tokio::time::sleep(BackOff::after(tries)).await;
    Ok(())
}
