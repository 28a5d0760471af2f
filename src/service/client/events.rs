//! Events of a service, as a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use super::error::Error;
use crate::service::channel::{Channel, ChannelError, Incoming};
use crate::service::wire::read::Malformed;

/// Number of consecutive events without meaning for the application that are read before the task yields.
const BATCH: usize = 128;

/// Converts an event of the daemon into one for the application; `None` if it has no meaning for the
/// application, or not yet.
pub(crate) type Interpreter<T> = Box<dyn FnMut(&[u8]) -> Result<Option<T>, Malformed> + Send>;

/// A connection together with the interpreter of its events.
pub(crate) struct Source<T> {
    pub(super) channel: Arc<dyn Channel>,
    interpreter: Interpreter<T>,
    end: Option<Error>,
}

impl<T> Source<T> {
    /// The events of this connection, read with this interpreter.
    pub(crate) fn new(
        channel: Arc<dyn Channel>,
        interpreter: impl FnMut(&[u8]) -> Result<Option<T>, Malformed> + Send + 'static,
    ) -> Self {
        Self { channel, interpreter: Box::new(interpreter), end: None }
    }

    /// The error that ended the events, if they have ended.
    pub(super) fn end(&self) -> Option<&Error> {
        self.end.as_ref()
    }

    /// Interprets what the connection returned. A malformed event ends the stream, because nothing after it
    /// can be trusted.
    pub(super) fn take(&mut self, given: Result<Incoming, ChannelError>) -> Result<Option<T>, Error> {
        let event = given.map_err(Error::from).and_then(|incoming| {
            let Incoming { head, payload } = incoming;
            let whole: Bytes = match (head.is_empty(), payload.is_empty()) {
                (true, _) => payload,
                (false, true) => head,
                (false, false) => [head, payload].concat().into(),
            };
            Ok((self.interpreter)(&whole)?)
        });
        if let Err(error) = &event {
            self.end = Some(error.clone());
        }
        event
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        for _ in 0..BATCH {
            let Poll::Ready(given) = self.channel.poll_event(cx) else { return Poll::Pending };
            if let Some(event) = self.take(given).transpose() {
                return Poll::Ready(Some(event));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The events of a subscription, in order, as a stream.
///
/// Events must be read: the daemon disconnects a client that leaves too many unread. If the connection ends,
/// the stream yields an error as its last item; what was learned before may be outdated from then on.
/// Dropping the stream ends the subscription.
pub struct Events<T> {
    source: Source<T>,
}

impl<T> Events<T> {
    pub(crate) fn new(source: Source<T>) -> Self {
        Self { source }
    }

    /// Waits for the next event; `None` after an error. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Result<T, Error>> {
        std::future::poll_fn(|cx| self.source.poll_next(cx)).await
    }
}

impl<T> Stream for Events<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.source.poll_next(cx)
    }
}

// No field is ever pinned.
impl<T> Unpin for Events<T> {}

impl<T> std::fmt::Debug for Events<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("end", &self.source.end).finish_non_exhaustive()
    }
}
