//! Iterations over keys.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::{Error, calls};
use crate::error::Status;
use crate::service::channel::{Channel, End};
use crate::service::client;
use crate::value::Value;

/// Largest number of keys that an iteration may return before the daemon is regarded as faulty.
const LIMIT: usize = 1 << 20;

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of the key.
    pub key: String,
    /// The value of the key.
    pub value: Value,
}

/// The state of an iteration.
pub(super) struct Cursor {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) handle: u64,
    count: usize,
}

impl Cursor {
    pub(super) fn new(channel: Arc<dyn Channel>, handle: u64) -> Self {
        Self { channel, handle, count: 0 }
    }

    /// The key in an answer; `None` at the end.
    pub(super) fn key(&mut self, answer: Result<String, client::Error>) -> Result<Option<String>, Error> {
        match answer {
            Ok(_) if self.count == LIMIT => {
                let end = End::Protocol { what: "answer (iteration without end)" };
                Err(client::Error::from(end).into())
            }
            Ok(key) => {
                self.count += 1;
                Ok(Some(key))
            }
            Err(error) if error.is_refusal(Status::NoSections) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

type Step = Pin<Box<dyn Future<Output = (Cursor, Option<Result<Entry, Error>>)> + Send>>;

/// A stream of keys and their values, ascending by key. An error is the last item.
pub struct Entries {
    /// The step that is running; `None` after the last one.
    step: Option<Step>,
}

impl Entries {
    pub(super) fn new(channel: Arc<dyn Channel>, handle: u64) -> Self {
        Self { step: Some(Box::pin(step(Cursor::new(channel, handle)))) }
    }

    /// Waits for the next item; `None` after the last one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Entry, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Collects all remaining items.
    ///
    /// # Errors
    /// The connection ended, or the daemon refused a step.
    pub async fn all(mut self) -> Result<Vec<Entry>, Error> {
        let mut all = Vec::new();
        while let Some(entry) = self.next().await {
            all.push(entry?);
        }
        Ok(all)
    }
}

impl Stream for Entries {
    type Item = Result<Entry, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(under_way) = &mut self.step else { return Poll::Ready(None) };
        let (cursor, entry) = ready!(under_way.as_mut().poll(cx));
        self.step = match &entry {
            Some(Ok(_)) => Some(Box::pin(step(cursor))),
            Some(Err(_)) | None => None,
        };
        Poll::Ready(entry)
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries").field("over", &self.step.is_none()).finish()
    }
}

/// One step: finds the next key that still has a value.
async fn step(mut cursor: Cursor) -> (Cursor, Option<Result<Entry, Error>>) {
    let entry = next(&mut cursor).await.transpose();
    (cursor, entry)
}

async fn next(cursor: &mut Cursor) -> Result<Option<Entry>, Error> {
    loop {
        let answer = calls::next(cursor.handle).over(&*cursor.channel).await;
        let Some(key) = cursor.key(answer)? else { return Ok(None) };
        let get = calls::get(&calls::Key::new(&key)?);
        // Keys that were removed after their names were listed are skipped.
        if let Some(value) = calls::or_none(get.over(&*cursor.channel).await)? {
            return Ok(Some(Entry { key, value }));
        }
    }
}
