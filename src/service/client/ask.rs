//! A question to a service: its request, and what its answer means.

use super::error::Error;
use crate::error::Status;
use crate::service::channel::{BackOff, Channel, ChannelError, Outgoing};
use crate::service::wire::read::{Malformed, status};

/// See the module. The same one serves asynchronous and blocking clients.
pub(crate) struct Ask<T> {
    request: Outgoing,
    what: &'static str,
    read: fn(&[u8]) -> Result<T, Malformed>,
    hint: fn(Status) -> &'static str,
    why: fn(&[u8]) -> Option<String>,
    passing: &'static [Status],
    repeatable: bool,
}

impl<T> Ask<T> {
    /// A question that changes nothing: it is asked again if the connection ended meanwhile. `what` follows
    /// "the daemon refused to"; `read` gets answers with status OK, header included.
    pub(crate) fn query(
        what: &'static str,
        request: impl Into<Outgoing>,
        read: fn(&[u8]) -> Result<T, Malformed>,
    ) -> Self {
        let passing = &[Status::TryAgain];
        Self { request: request.into(), what, read, hint: |_| "", why: |_| None, passing, repeatable: true }
    }

    /// What to add to an error with this status, as `. Sentence`.
    pub(crate) fn hint(self, hint: fn(Status) -> &'static str) -> Self {
        Self { hint, ..self }
    }

    /// Reads the reason from a refusal, if the daemon told one.
    pub(crate) fn why(self, why: fn(&[u8]) -> Option<String>) -> Self {
        Self { why, ..self }
    }

    /// Not to be asked again by itself: it changes something.
    pub(crate) fn once(self) -> Self {
        Self { repeatable: false, ..self }
    }

    /// Answers that pass: the same is asked again a little later. Otherwise [`Status::TryAgain`] alone.
    pub(crate) fn while_answered(self, passing: &'static [Status]) -> Self {
        Self { passing, ..self }
    }

    /// Whether asking twice does no harm.
    pub(super) fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// Asks over this connection; waits, with growing pauses, for what passes.
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

    /// The same, blocking the calling thread.
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

    /// What an answer means; `None`: ask again.
    fn settle(&self, reply: &[u8]) -> Result<Option<T>, Error> {
        match status(reply)? {
            Status::Ok => Ok(Some((self.read)(reply)?)),
            status if self.passing.contains(&status) => Ok(None),
            status => Err(match (self.why)(reply) {
                Some(why) => Error::Told { what: self.what, status, why },
                None => Error::Refused { what: self.what, status, hint: (self.hint)(status) },
            }),
        }
    }
}

impl Ask<()> {
    /// A request that changes something, and of whose answer only the status matters.
    pub(crate) fn order(what: &'static str, request: impl Into<Outgoing>) -> Self {
        Self::query(what, request, |_| Ok(())).once()
    }
}

/// Waits before another try of what the daemon does not tell the time of.
pub(crate) async fn pause(tries: u32) -> Result<(), ChannelError> {
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(ChannelError::NoRuntime);
    }
    tokio::time::sleep(BackOff::after(tries)).await;
    Ok(())
}
