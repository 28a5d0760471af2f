//! A bounded queue from the driver to one listener. The driver never waits: a listener whose queue overflows is cut
//! off, and learns so after reading what was queued.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::event::{EventfdFlags, eventfd};

/// The limits of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Number of items.
    pub items: usize,
    /// Sum of the sizes given by the sender, in bytes. A single item is accepted whatever its size.
    pub bytes: usize,
}

/// Why a queue gives no more items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Closed {
    /// The node has left the ring, or was dropped.
    #[error("the node has stopped")]
    Stopped,
    /// The queue overflowed. Items queued before are still returned first.
    #[error(
        "too slow: more than {items} items or {bytes} bytes were waiting; read faster, or send less at a time"
    )]
    Overflow {
        /// [`Limit::items`] of the queue.
        items: usize,
        /// [`Limit::bytes`] of the queue.
        bytes: usize,
    },
    /// The daemon closed this connection.
    #[error("the connection was closed by the node")]
    Evicted,
}

/// The sending end, owned by the driver. Dropping it closes the queue with [`Closed::Stopped`].
#[derive(Debug)]
pub struct Sink<T> {
    shared: Arc<Shared<T>>,
}

/// The receiving end. It may be shared between threads; each item goes to one of them.
#[derive(Debug)]
pub struct Source<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    queue: Mutex<Queue<T>>,
    limit: Limit,
    /// Created when first requested; readable while an item or the end waits.
    descriptor: OnceLock<OwnedFd>,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    closed: Option<Closed>,
    listening: bool,
    wakers: Vec<Waker>,
}

/// Makes a queue with this limit.
pub fn bounded<T>(limit: Limit) -> (Sink<T>, Source<T>) {
    let queue = Queue { items: VecDeque::new(), bytes: 0, closed: None, listening: true, wakers: Vec::new() };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), limit, descriptor: OnceLock::new() });
    (Sink { shared: Arc::clone(&shared) }, Source { shared })
}

impl<T> Sink<T> {
    /// Queues `item`, which counts as `bytes` bytes.
    ///
    /// # Errors
    /// The receiving end is gone, or the queue has overflowed. The item is not queued, and no later one will be.
    pub fn push(&self, item: T, bytes: usize) -> Result<(), Closed> {
        let mut queue = self.shared.lock();
        if let Some(closed) = queue.closed {
            return Err(closed);
        }
        if !queue.listening {
            return Err(Closed::Stopped);
        }
        let limit = self.shared.limit;
        let full = queue.items.len() >= limit.items || queue.bytes.saturating_add(bytes) > limit.bytes;
        if full && !queue.items.is_empty() {
            let closed = Closed::Overflow { items: limit.items, bytes: limit.bytes };
            self.shared.close(queue, closed);
            return Err(closed);
        }
        queue.bytes += bytes;
        queue.items.push_back((bytes, item));
        self.shared.signal(queue);
        Ok(())
    }

    /// Closes the queue: the items in it are still returned, then `reason`. The first reason given is kept.
    pub fn close(&self, reason: Closed) {
        self.shared.close(self.shared.lock(), reason);
    }

    /// Whether the other end still exists.
    pub fn has_listener(&self) -> bool {
        self.shared.lock().listening
    }

    /// Number of items in the queue.
    pub fn len(&self) -> usize {
        self.shared.lock().items.len()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Sink<T> {
    fn drop(&mut self) {
        self.close(Closed::Stopped);
    }
}

impl<T> Source<T> {
    /// Returns the next item, if there is one now.
    ///
    /// # Errors
    /// The queue is empty and closed.
    pub fn try_next(&self) -> Result<Option<T>, Closed> {
        let mut queue = self.shared.lock();
        match queue.items.pop_front() {
            Some((bytes, item)) => {
                queue.bytes -= bytes;
                if queue.items.is_empty() && queue.closed.is_none() {
                    self.shared.rest();
                }
                Ok(Some(item))
            }
            None => queue.closed.map_or(Ok(None), Err),
        }
    }

    /// Waits for the next item. Cancelling it loses nothing.
    ///
    /// # Errors
    /// The queue is empty and closed.
    pub async fn next(&self) -> Result<T, Closed> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// [`Source::next`] for hand-written futures.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<T, Closed>> {
        // Looks again after the waker is set, so that an item pushed in between is not missed.
        match self.try_next() {
            Ok(Some(item)) => return Poll::Ready(Ok(item)),
            Err(closed) => return Poll::Ready(Err(closed)),
            Ok(None) => {}
        }
        {
            let mut queue = self.shared.lock();
            if !queue.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                queue.wakers.push(cx.waker().clone());
            }
        }
        match self.try_next() {
            Ok(Some(item)) => Poll::Ready(Ok(item)),
            Ok(None) => Poll::Pending,
            Err(closed) => Poll::Ready(Err(closed)),
        }
    }

    /// A descriptor that is readable while the queue holds an item or has ended. For `poll(2)` only: do not read from
    /// it.
    ///
    /// # Errors
    /// The system refuses another descriptor.
    pub fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        if self.shared.descriptor.get().is_none() {
            let made = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let queue = self.shared.lock();
            // Under the lock, so that no push falls between creating the descriptor and its first signal.
            if self.shared.descriptor.set(made).is_ok() && (!queue.items.is_empty() || queue.closed.is_some())
            {
                self.shared.raise();
            }
        }
        let made = self.shared.descriptor.get().ok_or_else(|| io::Error::other("no descriptor"))?;
        Ok(made.as_fd())
    }
}

impl<T> Drop for Source<T> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.listening = false;
        queue.bytes = 0;
        let items = std::mem::take(&mut queue.items);
        drop(queue);
        drop(items);
    }
}

/// The stream ends after the last item; [`Source::try_next`] then gives the reason.
impl<T> futures_core::Stream for Source<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Self::poll_next(&self, cx).map(Result::ok)
    }
}

impl<T> Shared<T> {
    /// A panic elsewhere cannot leave a partial change, so the data of a poisoned lock is valid.
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, mut queue: MutexGuard<'_, Queue<T>>, reason: Closed) {
        if queue.closed.is_none() {
            queue.closed = Some(reason);
            self.signal(queue);
        }
    }

    /// Wakes the listener, after releasing the lock.
    fn signal(&self, mut queue: MutexGuard<'_, Queue<T>>) {
        if queue.items.len() == 1 || queue.closed.is_some() {
            self.raise();
        }
        if queue.wakers.is_empty() {
            return;
        }
        let wakers = std::mem::take(&mut queue.wakers);
        drop(queue);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn raise(&self) {
        if let Some(descriptor) = self.descriptor.get() {
            // Fails only at a count of 2⁶⁴-2, when the descriptor is readable already.
            let _ = rustix::io::write(descriptor, &1u64.to_ne_bytes());
        }
    }

    fn rest(&self) {
        if let Some(descriptor) = self.descriptor.get() {
            // If there is nothing to read, the descriptor was not signalled, as intended.
            let _ = rustix::io::read(descriptor, &mut [0u8; 8]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { items: 3, bytes: 100 };

    fn readable<T>(source: &Source<T>) -> bool {
        use rustix::event::{PollFd, PollFlags, poll};
        let descriptor = source.descriptor().unwrap();
        let mut fds = [PollFd::new(&descriptor, PollFlags::IN)];
        poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn items_arrive_in_order_and_the_descriptor_shows_them() {
        let (sink, source) = bounded(LIMIT);
        sink.push(1, 10).unwrap();
        assert!(readable(&source), "what was pushed before the descriptor was made counts too");
        sink.push(2, 10).unwrap();
        assert_eq!(source.try_next(), Ok(Some(1)));
        assert!(readable(&source));
        assert_eq!(source.try_next(), Ok(Some(2)));
        assert!(!readable(&source));
        assert_eq!(source.try_next(), Ok(None));
        drop(sink);
        assert!(readable(&source), "the end is news");
        assert_eq!(source.try_next(), Err(Closed::Stopped));
        assert!(readable(&source));
    }

    #[test]
    fn an_overflowed_queue_ends_after_the_items_in_it() {
        let (sink, source) = bounded(LIMIT);
        for n in 0..3 {
            sink.push(n, 1).unwrap();
        }
        let overflow = Closed::Overflow { items: 3, bytes: 100 };
        assert_eq!(sink.push(3, 1), Err(overflow));
        assert_eq!(source.try_next(), Ok(Some(0)));
        assert_eq!(sink.push(4, 1), Err(overflow), "room again, but there would be a gap");
        assert_eq!((source.try_next(), source.try_next()), (Ok(Some(1)), Ok(Some(2))));
        assert_eq!(source.try_next(), Err(overflow));
    }

    #[test]
    fn bytes_are_limited_but_one_item_always_fits() {
        let (sink, source) = bounded(LIMIT);
        sink.push("huge", 1000).unwrap();
        assert!(sink.push("more", 1).is_err());
        assert_eq!(source.try_next(), Ok(Some("huge")));
    }

    #[test]
    fn pushing_fails_when_nobody_listens() {
        let (sink, source) = bounded(LIMIT);
        drop(source);
        assert!(!sink.has_listener());
        assert!(sink.push(1, 1).is_err());
    }

    #[tokio::test]
    async fn waiting_ends_when_an_item_arrives() {
        let (sink, source) = bounded(LIMIT);
        let task = tokio::spawn(async move { (source.next().await, source.next().await) });
        tokio::task::yield_now().await;
        sink.push(7, 1).unwrap();
        tokio::task::yield_now().await;
        sink.close(Closed::Evicted);
        assert_eq!(task.await.unwrap(), (Ok(7), Err(Closed::Evicted)));
    }
}
