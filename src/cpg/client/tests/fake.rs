//! A daemon for tests: a channel that answers like the desk of CPG, refuses messages on demand, and sends the
//! events that a test gives it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::Notify;

use crate::cpg::name::{Member, Reason};
use crate::error::Status;
use crate::ids::{NodeId, ServiceId};
use crate::service::channel::{Answer, Channel, ChannelError, Dial, Incoming, Outgoing, block_on};

pub(super) fn member(node: u32, pid: u32) -> Member {
    Member { node: NodeId::new(node).unwrap(), pid }
}

/// The member under test.
pub(super) fn me() -> Member {
    member(1, 7)
}

/// The scripted daemon, shared by the test and the client; see [`Fake::dial`].
pub(super) struct Fake {
    state: Mutex<State>,
    room: Notify,
    bell: OwnedFd,
}

#[derive(Default)]
struct State {
    events: VecDeque<Result<Incoming, ChannelError>>,
    waker: Option<Waker>,
    room: usize,
    posted: Vec<Outgoing>,
    called: Vec<Outgoing>,
    /// Answers to the next requests, by request id; requests without an entry are answered OK.
    answers: VecDeque<(u32, Status)>,
    members: Vec<Member>,
}

pub(super) struct Wire(pub(super) Arc<Fake>);

impl Fake {
    pub(super) fn new() -> Arc<Self> {
        let state = State { room: usize::MAX, ..State::default() };
        let bell = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        Arc::new(Self { state: Mutex::new(state), room: Notify::new(), bell })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Sets how many more messages are accepted; further ones are refused.
    pub(super) fn set_room(&self, room: usize) {
        self.state().room = room;
        self.room.notify_waiters();
    }

    /// Sets the status of the answer to the next request with this id.
    pub(super) fn answer(&self, id: u32, status: Status) {
        self.state().answers.push_back((id, status));
    }

    /// Payloads of the messages received so far.
    pub(super) fn posted(&self) -> Vec<Bytes> {
        self.state().posted.iter().map(|request| request.payload.clone()).collect()
    }

    /// The calls with this request id so far.
    pub(super) fn called(&self, id: u32) -> Vec<Outgoing> {
        self.state().called.iter().filter(|request| u32_at(&request.head, 0) == id).cloned().collect()
    }

    pub(super) fn event(&self, event: Result<Incoming, ChannelError>) {
        let mut state = self.state();
        state.events.push_back(event);
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Number of events that the client has not taken yet.
    pub(super) fn untaken(&self) -> usize {
        self.state().events.len()
    }

    pub(super) fn deliver(&self, from: Member, payload: &[u8]) {
        self.event(Ok(deliver(from, payload)));
    }

    pub(super) fn view(&self, joined: &[(Member, Reason)], left: &[(Member, Reason)]) {
        let members = {
            let members = &mut self.state().members;
            members.retain(|member| left.iter().all(|gone| gone.0 != *member));
            members.extend(joined.iter().map(|came| came.0));
            members.clone()
        };
        self.event(Ok(confchg(&members, joined, left)));
    }
}

impl Channel for Wire {
    fn call(&self, request: Outgoing) -> Answer<'_, Bytes> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.call_blocking(request)
        })
    }

    fn call_blocking(&self, request: Outgoing) -> Result<Bytes, ChannelError> {
        let id = u32_at(&request.head, 0);
        let mut state = self.0.state();
        state.called.push(request);
        let at = state.answers.iter().position(|(kind, _)| *kind == id);
        let status = at.and_then(|at| state.answers.remove(at)).map_or(Status::Ok, |(_, status)| status);
        drop(state);
        match (id, status) {
            (0, Status::Ok) => {
                self.0.view(&[(me(), Reason::Join)], &[]);
                self.0.event(Ok(ring(0x1f, &[1, 2])));
            }
            (1, Status::Ok) => self.0.view(&[], &[(me(), Reason::Leave)]),
            _ => {}
        }
        let mut reply = vec![0; 32];
        put(&mut reply, 8, 32);
        put(&mut reply, 16, status.code() as u32);
        put(&mut reply, 24, 1);
        Ok(reply.into())
    }

    fn try_post(&self, request: &Outgoing) -> Result<(), ChannelError> {
        let mut state = self.0.state();
        assert_eq!(u32_at(&request.head, 8) as usize, request.head.len() + request.payload.len());
        if state.room == 0 {
            return Err(ChannelError::TryAgain);
        }
        state.room -= 1;
        state.posted.push(request.clone());
        Ok(())
    }

    fn post(&self, request: Outgoing) -> Answer<'_, ()> {
        Box::pin(async move {
            loop {
                let room = self.0.room.notified();
                match self.try_post(&request) {
                    Err(ChannelError::TryAgain) => room.await,
                    done => return done,
                }
            }
        })
    }

    fn post_blocking(&self, request: Outgoing) -> Result<(), ChannelError> {
        block_on(self.post(request))
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Result<Incoming, ChannelError>> {
        match self.try_event() {
            Ok(Some(event)) => Poll::Ready(Ok(event)),
            Ok(None) => {
                self.0.state().waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn try_event(&self) -> Result<Option<Incoming>, ChannelError> {
        let event = self.0.state().events.pop_front();
        if event.is_none() {
            let _ = rustix::io::read(&self.0.bell, &mut [0; 8]);
        }
        event.transpose()
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.0.bell.as_fd())
    }
}

impl Dial for Wire {
    fn dial(&self, service: ServiceId) -> Answer<'_, Arc<dyn Channel>> {
        Box::pin(async move { self.dial_blocking(service) })
    }

    fn dial_blocking(&self, _: ServiceId) -> Result<Arc<dyn Channel>, ChannelError> {
        Ok(Arc::new(Self(Arc::clone(&self.0))))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// An event as one block of bytes, as over IPC.
fn event(id: u32, len: usize, fields: &[(usize, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    put(&mut bytes, 0, id);
    put(&mut bytes, 8, len as u32);
    put(&mut bytes, 16, 1);
    for (at, value) in fields {
        put(&mut bytes, *at, *value);
    }
    bytes
}

fn whole(bytes: Vec<u8>) -> Incoming {
    Incoming { head: Bytes::new(), payload: bytes.into() }
}

/// A message event in two parts, as inside the process.
pub(super) fn deliver(from: Member, payload: &[u8]) -> Incoming {
    let fields = [(160, payload.len() as u32), (168, from.node.get()), (176, from.pid)];
    let mut head = event(5, 184, &fields);
    put(&mut head, 8, 184 + payload.len() as u32);
    Incoming { head: head.into(), payload: Bytes::copy_from_slice(payload) }
}

/// An event with a piece of a message of `total` bytes, as one block.
pub(super) fn piece(from: Member, place: u32, total: u32, piece: &[u8]) -> Incoming {
    let fields =
        [(160, total), (168, piece.len() as u32), (176, from.node.get()), (184, from.pid), (192, place)];
    let mut bytes = event(17, 200 + piece.len(), &fields);
    bytes[200..].copy_from_slice(piece);
    whole(bytes)
}

pub(super) fn confchg(
    members: &[Member],
    joined: &[(Member, Reason)],
    left: &[(Member, Reason)],
) -> Incoming {
    let counts = [(160, members.len() as u32), (168, joined.len() as u32), (176, left.len() as u32)];
    let mut bytes = event(4, 184 + 24 * (members.len() + joined.len() + left.len()), &counts);
    let members = members.iter().map(|member| (*member, Reason::Other(0)));
    let all = members.chain(left.iter().copied()).chain(joined.iter().copied());
    for (i, (member, reason)) in all.enumerate() {
        let at = 184 + 24 * i;
        put(&mut bytes, at, member.node.get());
        put(&mut bytes, at + 8, member.pid);
        put(&mut bytes, at + 16, reason.code());
    }
    whole(bytes)
}

pub(super) fn ring(seq: u32, members: &[u32]) -> Incoming {
    let mut bytes = event(13, 48 + 4 * members.len(), &[(24, 1), (32, seq), (40, members.len() as u32)]);
    for (i, member) in members.iter().enumerate() {
        put(&mut bytes, 44 + 4 * i, *member);
    }
    whole(bytes)
}
