//! The way to one service: a connection for questions, opened when it is first needed and again when it has
//! ended, for example because the daemon was started anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ask::Ask;
use super::error::Error;
use crate::ids::ServiceId;
use crate::service::channel::{Channel, ChannelError, Dial, End};

/// Events for nobody that are thrown away before a question; more are left for the next one.
const DISCARD: usize = 4096;

/// See the module. Clones share the connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Line {
    dial: Arc<dyn Dial>,
    service: ServiceId,
    /// What each new connection is to be told first.
    greeting: Option<fn() -> Ask<()>>,
    standing: Arc<Mutex<Option<Arc<dyn Channel>>>>,
}

impl Line {
    /// A line to this service. Nothing is opened yet.
    pub(crate) fn new(dial: Arc<dyn Dial>, service: ServiceId) -> Self {
        Self { dial, service, greeting: None, standing: Arc::default() }
    }

    /// Another line to the same service, with a connection for questions of its own.
    pub(crate) fn apart(&self) -> Self {
        Self { standing: Arc::default(), ..self.clone() }
    }

    /// Each new connection is told this first.
    pub(crate) fn greeting(self, greeting: fn() -> Ask<()>) -> Self {
        Self { greeting: Some(greeting), ..self }
    }

    /// Opens a connection of its own, for events or for what takes long.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Channel>, Error> {
        let channel = self.dial.dial(self.service).await?;
        if let Some(greeting) = self.greeting {
            greeting().over(&*channel).await?;
        }
        Ok(channel)
    }

    /// The same, blocking the calling thread.
    pub(crate) fn open_blocking(&self) -> Result<Arc<dyn Channel>, Error> {
        let channel = self.dial.dial_blocking(self.service)?;
        // A program with a main loop wants the descriptor; without one the connection is of no use to it.
        channel.descriptor().map_err(|error| ChannelError::System(error.to_string()))?;
        if let Some(greeting) = self.greeting {
            greeting().over_blocking(&*channel)?;
        }
        Ok(channel)
    }

    /// Asks over the connection for questions.
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

    /// The same, blocking the calling thread.
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

    /// The connection for questions, if there is one and it has not ended.
    fn standing(&self) -> Option<Arc<dyn Channel>> {
        let mut standing = self.lock();
        let channel = standing.as_ref()?;
        for _ in 0..DISCARD {
            match channel.try_event() {
                // For a service that tells its news to every connection; here nobody wants to know.
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

    /// Whether the connection ended before the answer came and the question may be asked over another one.
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
        // Who answered nonsense would do so again.
        ask.is_repeatable() && !matches!(end, End::Protocol { .. })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<dyn Channel>>> {
        // It is replaced as a whole.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("service", &self.service).finish_non_exhaustive()
    }
}
