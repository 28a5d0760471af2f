//! A lasting way to call one service: the connection for calls is opened when it is first needed, and again
//! after it has ended, for example because the daemon was restarted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ask::Ask;
use super::error::Error;
use crate::ids::ServiceId;
use crate::service::channel::{Channel, ChannelError, Dial, End};

/// Number of unwanted events that are discarded before a call at most; the rest is left for the next call.
const DISCARD: usize = 4096;

/// A service that can be called; opens and reopens the connection. Clones are cheap and share the connection.
#[derive(Clone)]
pub(crate) struct Line {
    dial: Arc<dyn Dial>,
    service: ServiceId,
    /// The call that is made first on each new connection.
    greeting: Option<fn() -> Ask<()>>,
    standing: Arc<Mutex<Option<Arc<dyn Channel>>>>,
}

impl Line {
    /// A line to this service; opens no connection yet.
    pub(crate) fn new(dial: Arc<dyn Dial>, service: ServiceId) -> Self {
        Self { dial, service, greeting: None, standing: Arc::default() }
    }

    /// Another line to the same service, with its own connection for calls.
    pub(crate) fn apart(&self) -> Self {
        Self { standing: Arc::default(), ..self.clone() }
    }

    /// Sets the call that is made first on each new connection.
    pub(crate) fn greeting(self, greeting: fn() -> Ask<()>) -> Self {
        Self { greeting: Some(greeting), ..self }
    }

    /// Opens a separate connection, for a subscription or for a call that takes long.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Channel>, Error> {
        let channel = self.dial.dial(self.service).await?;
        if let Some(greeting) = self.greeting {
            greeting().over(&*channel).await?;
        }
        Ok(channel)
    }

    /// As [`Line::open`], but blocks the calling thread.
    pub(crate) fn open_blocking(&self) -> Result<Arc<dyn Channel>, Error> {
        let channel = self.dial.dial_blocking(self.service)?;
        // A program with a main loop needs the descriptor; a connection without one is useless to it.
        channel.descriptor().map_err(|error| ChannelError::System(error.to_string()))?;
        if let Some(greeting) = self.greeting {
            greeting().over_blocking(&*channel)?;
        }
        Ok(channel)
    }

    /// Makes a call over the shared connection.
    pub(crate) async fn ask<T>(&self, ask: Ask<T>) -> Result<T, Error> {
        if let Some(channel) = self.standing() {
            let answer = ask.over(&*channel).await;
            if !self.is_to_be_asked_again(&ask, &channel, &answer) {
                return answer;
            }
        }
        let channel = self.open().await?;
        self.keep(&channel);
        ask.over(&*channel).await
    }

    /// As [`Line::ask`], but blocks the calling thread.
    pub(crate) fn ask_blocking<T>(&self, ask: &Ask<T>) -> Result<T, Error> {
        if let Some(channel) = self.standing() {
            let answer = ask.over_blocking(&*channel);
            if !self.is_to_be_asked_again(ask, &channel, &answer) {
                return answer;
            }
        }
        let channel = self.open_blocking()?;
        self.keep(&channel);
        ask.over_blocking(&*channel)
    }

    /// The shared connection, if it is open and has not ended.
    fn standing(&self) -> Option<Arc<dyn Channel>> {
        let mut standing = self.lock();
        let channel = standing.as_ref()?;
        for _ in 0..DISCARD {
            match channel.try_event() {
                // Some services send events to every connection; this connection does not need them.
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => {
                    *standing = None;
                    return None;
                }
            }
        }
        standing.clone()
    }

    fn keep(&self, channel: &Arc<dyn Channel>) {
        *self.lock() = Some(Arc::clone(channel));
    }

    /// Whether the connection ended before the answer came and the call may be repeated over another one.
    fn is_to_be_asked_again<T>(
        &self,
        ask: &Ask<T>,
        asked: &Arc<dyn Channel>,
        answer: &Result<T, Error>,
    ) -> bool {
        let Err(Error::Channel(ChannelError::Ended(end))) = answer else { return false };
        let mut standing = self.lock();
        if standing.as_ref().is_some_and(|channel| Arc::ptr_eq(channel, asked)) {
            *standing = None;
        }
        // A daemon that answered malformed bytes would do so again.
        ask.is_repeatable() && !matches!(end, End::Protocol { .. })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<dyn Channel>>> {
        // The value is only replaced as a whole, so it is valid even after a panic.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("service", &self.service).finish_non_exhaustive()
    }
}
