//! A daemon for tests: it answers from a script and sends the events that the test asks for.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};

use crate::error::Status;
use crate::ids::ServiceId;
use crate::service::channel::{Answer, Channel, ChannelError, Dial, End, Incoming, Outgoing};
use crate::service::wire::plain_reply;

/// A scripted daemon. The test holds it, and clients connect to it.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    bell: Arc<OwnedFd>,
}

#[derive(Default)]
struct State {
    /// The answers to the next requests; when it is empty, every request is answered OK.
    answers: VecDeque<Result<Vec<u8>, ChannelError>>,
    asked: Vec<Vec<u8>>,
    events: VecDeque<Result<Vec<u8>, ChannelError>>,
    waker: Option<Waker>,
    dialled: usize,
    ended: bool,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let bell = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        Self { state: Arc::default(), bell: Arc::new(bell) }
    }

    pub(crate) fn dial(&self) -> Arc<dyn Dial> {
        Arc::new(self.clone())
    }

    /// Sets the answer to the next request.
    pub(crate) fn answer(&self, reply: Vec<u8>) {
        self.state().answers.push_back(Ok(reply));
    }

    /// Sets the answer to the next request to a bare status.
    pub(crate) fn status(&self, status: Status) {
        self.answer(plain_reply(0, status).to_vec());
    }

    /// The connection ends while the next request waits for its answer.
    pub(crate) fn end_at_next_call(&self) {
        self.state().answers.push_back(Err(ChannelError::Ended(End::Lost)));
    }

    /// Sends an event.
    pub(crate) fn event(&self, event: impl Into<Vec<u8>>) {
        self.tell(Ok(event.into()));
    }

    /// Ends the connection.
    pub(crate) fn end(&self) {
        self.tell(Err(ChannelError::Ended(End::Lost)));
    }

    /// The requests received so far.
    pub(crate) fn asked(&self) -> Vec<Vec<u8>> {
        self.state().asked.clone()
    }

    /// Number of connections opened so far.
    pub(crate) fn dialled(&self) -> usize {
        self.state().dialled
    }

    fn tell(&self, event: Result<Vec<u8>, ChannelError>) {
        let mut state = self.state();
        state.events.push_back(event);
        rustix::io::write(&*self.bell, &1u64.to_ne_bytes()).unwrap();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Channel for Fake {
    fn call(&self, request: Outgoing) -> Answer<'_, Bytes> {
        Box::pin(async move { self.call_blocking(request) })
    }

    fn call_blocking(&self, request: Outgoing) -> Result<Bytes, ChannelError> {
        let mut state = self.state();
        state.asked.push([request.head, request.payload].concat());
        let plain = || Ok(plain_reply(0, Status::Ok).to_vec());
        state.answers.pop_front().unwrap_or_else(plain).map(Bytes::from)
    }

    fn try_post(&self, _: &Outgoing) -> Result<(), ChannelError> {
        unreachable!("nothing is posted")
    }

    fn post(&self, _: Outgoing) -> Answer<'_, ()> {
        unreachable!("nothing is posted")
    }

    fn post_blocking(&self, _: Outgoing) -> Result<(), ChannelError> {
        unreachable!("nothing is posted")
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Result<Incoming, ChannelError>> {
        self.state().waker = Some(cx.waker().clone());
        match self.try_event() {
            Ok(None) => Poll::Pending,
            Ok(Some(event)) => Poll::Ready(Ok(event)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn try_event(&self) -> Result<Option<Incoming>, ChannelError> {
        let mut state = self.state();
        if state.ended {
            return Err(ChannelError::Ended(End::Lost));
        }
        let event = state.events.pop_front();
        if state.events.is_empty() {
            let _ = rustix::io::read(&*self.bell, &mut [0; 8]);
        }
        match event {
            None => Ok(None),
            Some(Ok(event)) => {
                // Split in two parts, as events are inside the process.
                let mut head = Bytes::from(event);
                let payload = head.split_off(head.len() / 2);
                Ok(Some(Incoming { head, payload }))
            }
            Some(Err(error)) => {
                state.ended = true;
                Err(error)
            }
        }
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.bell.as_fd())
    }
}

impl Dial for Fake {
    fn dial(&self, service: ServiceId) -> Answer<'_, Arc<dyn Channel>> {
        Box::pin(async move { self.dial_blocking(service) })
    }

    fn dial_blocking(&self, _: ServiceId) -> Result<Arc<dyn Channel>, ChannelError> {
        let mut state = self.state();
        state.dialled += 1;
        state.ended = false;
        drop(state);
        Ok(Arc::new(self.clone()))
    }
}
