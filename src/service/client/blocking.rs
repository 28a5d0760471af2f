//! Subscriptions without an asynchronous runtime, for programs with a main loop of their own.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::error::Error;
use super::events::Source;
use crate::service::channel::{Channel, ChannelError};

/// The events of a subscription, in order.
///
/// Poll its descriptor together with the other descriptors of the program and call [`Events::dispatch`] when
/// it is readable, or wait with [`Events::next`]. Events must be read: the daemon disconnects a client that
/// leaves too many unread. Dropping this value ends the subscription.
pub struct Events<T> {
    source: Source<T>,
}

impl<T> Events<T> {
    pub(crate) fn new(source: Source<T>) -> Self {
        Self { source }
    }

    /// The next event, if there is one now.
    ///
    /// # Errors
    /// The connection has ended; every later call returns the error again.
    pub fn try_next(&mut self) -> Result<Option<T>, Error> {
        if let Some(end) = self.source.end() {
            return Err(end.clone());
        }
        loop {
            let given = match self.source.channel.try_event() {
                Ok(None) => return Ok(None),
                Ok(Some(incoming)) => Ok(incoming),
                Err(error) => Err(error),
            };
            if let Some(event) = self.source.take(given)? {
                return Ok(Some(event));
            }
        }
    }

    /// Waits for the next event for at most `patience` (`None`: without limit). `Ok(None)`: no event came in
    /// that time.
    ///
    /// # Errors
    /// As [`Events::try_next`].
    pub fn next(&mut self, patience: Option<Duration>) -> Result<Option<T>, Error> {
        let channel = Arc::clone(&self.source.channel);
        next_within(patience, &*channel, || self.try_next())
    }

    /// Calls `f` with each event that is available now, without waiting. Returns their number.
    ///
    /// # Errors
    /// There was no event and the connection has ended, as with [`Events::try_next`].
    pub fn dispatch(&mut self, f: impl FnMut(T)) -> Result<usize, Error> {
        dispatch_all(|| self.try_next(), f)
    }
}

/// Readable while there are events, or when the connection has ended. It may only be polled.
impl<T> AsFd for Events<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // Made when the connection was opened, so it exists.
        self.source.channel.descriptor().expect("the descriptor was made before")
    }
}

impl<T> std::fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("end", &self.source.end()).finish_non_exhaustive()
    }
}

/// Waits for the next of the events that `try_next` reads from a connection, for at most `patience` (`None`: without
/// limit). `Ok(None)`: no event came in that time.
pub(crate) fn next_within<T, E: From<ChannelError>>(
    patience: Option<Duration>,
    channel: &dyn Channel,
    mut try_next: impl FnMut() -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
    loop {
        if let Some(event) = try_next()? {
            return Ok(Some(event));
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(None);
        }
        let descriptor = channel.descriptor().map_err(|error| ChannelError::System(error.to_string()))?;
        await_readable(descriptor, left)?;
    }
}

/// Calls `f` with each event that `try_next` reads without waiting. Returns their number; an error only if there was
/// no event before it.
pub(crate) fn dispatch_all<T, E>(
    mut try_next: impl FnMut() -> Result<Option<T>, E>,
    mut f: impl FnMut(T),
) -> Result<usize, E> {
    let mut count = 0;
    loop {
        match try_next() {
            Ok(Some(event)) => f(event),
            Err(error) if count == 0 => return Err(error),
            Ok(None) | Err(_) => return Ok(count),
        }
        count += 1;
    }
}

/// Waits until there may be something to read, for at most `patience`; a signal may end the wait early.
fn await_readable(descriptor: BorrowedFd<'_>, patience: Option<Duration>) -> Result<(), ChannelError> {
    let timeout = patience.and_then(|patience| Timespec::try_from(patience).ok());
    match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(ChannelError::System(error.to_string())),
    }
}
