//! Brings a channel's events to asynchronous readers.
//!
//! A reader takes events from the channel directly, without a task in between. Only a member that awaits
//! deliveries needs a task ([`pump`]), because then events must be taken even while nobody reads them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::book::{Book, Phase};
use super::error::Error;
use super::event::Event;
use super::wire;
use crate::service::channel::{Channel, ChannelError, End};
use crate::service::wire::read::Malformed;

/// How many events, and bytes in them, are taken ahead of their reader.
#[derive(Clone, Copy)]
struct Ahead {
    events: usize,
    bytes: usize,
}

/// The limit while only a reader takes events; further ones stay in the channel.
const READER: Ahead = Ahead { events: 256, bytes: 4 << 20 };

/// The limit while the pump takes events. Beyond it deliveries cannot be awaited, and the waiting calls end
/// with an error.
const PUMP: Ahead = Ahead { events: 1 << 16, bytes: 64 << 20 };

/// Number of events taken before the task yields.
const BATCH: usize = 128;

/// The events of a channel, in order, and the book that is updated with them.
pub(super) struct Inbox {
    channel: Arc<dyn Channel>,
    state: Mutex<State>,
    bell: Arc<Bell>,
}

struct State {
    book: Book,
    ready: VecDeque<Event>,
    ready_bytes: usize,
    pump: Pump,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pump {
    /// No task: no delivery is awaited.
    None,
    /// The task runs.
    Running,
    /// The task waits for the reader to catch up.
    Stalled,
}

/// Wakes all tasks that wait for events. The channel keeps only one waker, which is this one.
#[derive(Default)]
struct Bell {
    readers: Mutex<Vec<Waker>>,
    pump: Mutex<Option<Waker>>,
}

impl Inbox {
    pub(super) fn new(channel: Arc<dyn Channel>, book: Book) -> Self {
        let state = State { book, ready: VecDeque::new(), ready_bytes: 0, pump: Pump::None };
        Self { channel, state: Mutex::new(state), bell: Arc::default() }
    }

    pub(super) fn channel(&self) -> &Arc<dyn Channel> {
        &self.channel
    }

    /// Reads or changes the book.
    pub(super) fn book<T>(&self, f: impl FnOnce(&mut Book) -> T) -> T {
        f(&mut self.lock().book)
    }

    /// Polls for the next event; `None` after the last one.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        // Registered before the check, so that an event that comes right after it is not missed.
        self.bell.add_reader(cx.waker());
        let mut state = self.lock();
        if state.ready.is_empty() && self.take(&mut state, READER) {
            // More notices came than one poll handles, and none of them made an event: poll again soon.
            if state.ready.is_empty() {
                cx.waker().wake_by_ref();
            }
        }
        match state.ready.pop_front() {
            Some(event) => {
                state.ready_bytes = state.ready_bytes.saturating_sub(weight(&event));
                if state.pump == Pump::Stalled && state.room(PUMP) {
                    state.pump = Pump::Running;
                    self.bell.wake_pump();
                }
                Poll::Ready(Some(event))
            }
            None => match state.book.phase() {
                Phase::Joining | Phase::Member => Poll::Pending,
                Phase::Left | Phase::Ended(_) => Poll::Ready(None),
            },
        }
    }

    /// Waits until this process is a member. The events up to then remain to be read.
    pub(super) async fn joined(&self) -> Result<(), Error> {
        poll_fn(|cx| {
            self.bell.add_reader(cx.waker());
            let mut state = self.lock();
            if *state.book.phase() == Phase::Joining && self.take(&mut state, READER) {
                cx.waker().wake_by_ref();
            }
            match state.book.phase() {
                Phase::Joining => Poll::Pending,
                Phase::Member => Poll::Ready(Ok(())),
                Phase::Left => Poll::Ready(Err(Error::NotMember)),
                Phase::Ended(end) => Poll::Ready(Err(end.clone().into())),
            }
        })
        .await
    }

    /// Starts the task that takes events, if it does not run yet.
    pub(super) fn ensure_pumped(self: &Arc<Self>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.pump == Pump::None {
            let runtime = tokio::runtime::Handle::try_current().map_err(|_| ChannelError::NoRuntime)?;
            runtime.spawn(pump(Arc::downgrade(self), Arc::clone(&self.bell)));
            state.pump = Pump::Running;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing can panic in the middle of a change to the state, so it is valid even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes events from the channel until there are none or the limit is reached. Returns whether there may
    /// be more.
    fn take(&self, state: &mut State, ahead: Ahead) -> bool {
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut cx = Context::from_waker(&waker);
        for _ in 0..BATCH {
            if state.book.is_over() || !state.room(ahead) {
                return false;
            }
            let event = match self.channel.poll_event(&mut cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(incoming)) => {
                    enter(&mut state.book, wire::notice(incoming.head, incoming.payload))
                }
                Poll::Ready(Err(error)) => Some(state.book.end(ending(error))),
            };
            if let Some(event) = event {
                state.ready_bytes += weight(&event);
                state.ready.push_back(event);
            }
        }
        true
    }
}

impl State {
    /// Whether another event may be taken ahead of the reader.
    fn room(&self, ahead: Ahead) -> bool {
        self.ready.len() < ahead.events && self.ready_bytes < ahead.bytes
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.bell.wake_pump(); // it finds that the inbox is gone, and ends
    }
}

/// Enters what the daemon sent into the book. A malformed event ends the connection, because nothing after it
/// can be trusted.
pub(super) fn enter(book: &mut Book, notice: Result<wire::Notice, Malformed>) -> Option<Event> {
    match notice {
        Ok(notice) => book.accept(notice),
        Err(Malformed(what)) => Some(book.end(End::Protocol { what })),
    }
}

/// The reason of the connection's end when its events cannot be read.
pub(super) fn ending(error: ChannelError) -> End {
    match error {
        ChannelError::Ended(end) => end,
        other => End::Failed { cause: other.to_string() },
    }
}

/// Takes events as they come while the member exists; pauses while the reader is too far behind.
async fn pump(inbox: Weak<Inbox>, bell: Arc<Bell>) {
    poll_fn(|cx| {
        bell.set_pump(cx.waker());
        let Some(inbox) = inbox.upgrade() else { return Poll::Ready(()) };
        let mut state = inbox.lock();
        let before = state.ready.len();
        let more = inbox.take(&mut state, PUMP);
        let news = state.ready.len() > before;
        let over = state.book.is_over();
        if !over && !state.room(PUMP) {
            state.pump = Pump::Stalled;
            state.book.stop_waiting(&Error::Overrun { limit: PUMP.events });
        }
        drop(state);
        if news {
            bell.wake_readers();
        }
        if more {
            cx.waker().wake_by_ref();
        }
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

impl Bell {
    fn add_reader(&self, waker: &Waker) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if !readers.iter().any(|known| known.will_wake(waker)) {
            readers.push(waker.clone());
        }
    }

    fn set_pump(&self, waker: &Waker) {
        let mut pump = self.pump.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *pump {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    fn wake_readers(&self) {
        let readers = std::mem::take(&mut *self.readers.lock().unwrap_or_else(PoisonError::into_inner));
        readers.into_iter().for_each(Waker::wake);
    }

    fn wake_pump(&self) {
        let pump = self.pump.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pump) = pump {
            pump.wake();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_readers();
        self.wake_pump();
    }
}

/// The number of bytes that a waiting event counts.
fn weight(event: &Event) -> usize {
    const SMALL: usize = 64;
    match event {
        Event::Message { payload, .. } => SMALL + payload.len(),
        Event::View(view) => SMALL + 16 * (view.members.len() + view.joined.len() + view.left.len()),
        Event::Ring(ring) => SMALL + 4 * ring.members.len(),
        Event::Undelivered { .. } | Event::Disconnected { .. } => SMALL,
    }
}
