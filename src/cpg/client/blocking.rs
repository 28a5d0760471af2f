//! Process groups without an asynchronous runtime, for simple programs and for programs with a main loop of
//! their own, such as resource managers. Unless it says otherwise, each call fails as the one of the same name in
//! [`cpg::Client`](super::Client) or [`cpg::Group`](super::Group).
//!
//! A [`Group`] has a descriptor. Poll it together with the other descriptors of the program and call
//! [`Group::dispatch`] when it is readable, or wait with [`Group::next`].
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use annulus::cpg::{Event, blocking};
//!
//! let group = blocking::Client::connect()?.join("example")?;
//! group.multicast("hello")?;
//! loop {
//!     // … poll(2) with `group.as_fd()` among others …
//!     group.dispatch(|event| match event {
//!         Event::Message { from, payload } => println!("{from}: {payload:?}"),
//!         other => println!("{other:?}"),
//!     })?;
//! }
//! # }
//! ```

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::book::{Book, Phase};
use super::group::{BEGINNINGS, pieces};
use super::inbox::{ending, enter};
use super::wire::{self, UNFRAGMENTED_LIMIT};
use super::{Error, Event, JoinOptions, Listing, calls};
use crate::cpg::name::{GroupName, Member};
use crate::ids::Guarantee;
use crate::service::channel::{BackOff, Channel, ChannelError, IpcDial, Outgoing};
use crate::service::client::Line;
use crate::service::client::blocking::{dispatch_all, next_within};

/// A blocking client of one daemon's process groups. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) line: Line,
}

impl Client {
    /// Makes a client of the daemon on this host, which may be annulus' or Corosync's.
    ///
    /// # Errors
    /// [`Error::Channel`]: no daemon runs, or it refuses this user.
    pub fn connect() -> Result<Self, Error> {
        Self::reached(IpcDial::default())
    }

    /// As [`Client::connect`], for the daemon's instance of this name (`annulusd --instance NAME`).
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_instance(name: &str) -> Result<Self, Error> {
        Self::reached(IpcDial::instance(name))
    }

    fn reached(dial: IpcDial) -> Result<Self, Error> {
        let client = Self::new(Arc::new(dial));
        client.local_id()?;
        Ok(client)
    }

    /// Joins a group, with the defaults of [`JoinOptions`].
    ///
    /// Returns when the daemon has accepted the join; the view with this member is the first event. Blocks
    /// while the ring changes.
    pub fn join(&self, name: impl AsRef<[u8]>) -> Result<Group, Error> {
        self.join_with(name, &JoinOptions::default())
    }

    /// Joins a group.
    pub fn join_with(&self, name: impl AsRef<[u8]>, options: &JoinOptions) -> Result<Group, Error> {
        let (name, options) = (GroupName::new(name)?, options.checked());
        let channel = self.line.open_blocking()?;
        let node = calls::local_id().over_blocking(&*channel)?;
        let me = Member { node, pid: options.member_pid() };
        let join = calls::join(&name, me.pid, options.initial_ring);
        join.over_blocking(&*channel).map_err(calls::not_joined(&name, me.pid))?;
        let book = Mutex::new(Book::new(me, options.message_limit));
        let message_limit = options.message_limit;
        Ok(Group { name, me, message_limit, channel, book, sending: Mutex::default() })
    }

    /// All groups of the cluster with their members, as this node sees them.
    ///
    /// # Errors
    /// [`Error::Channel`]: no daemon runs, or it refuses this user.
    pub fn groups(&self) -> Result<BTreeMap<GroupName, Vec<Member>>, Error> {
        Ok(self.listing()?.by_name())
    }

    /// As [`Client::groups`], in the order in which the daemon lists groups and members.
    ///
    /// # Errors
    /// As [`Client::groups`].
    pub fn groups_in_order(&self) -> Result<Vec<(GroupName, Vec<Member>)>, Error> {
        Ok(self.listing()?.in_order())
    }

    fn listing(&self) -> Result<Listing, Error> {
        let channel = self.line.open_blocking()?;
        let handle = calls::groups().over_blocking(&*channel)?;
        let mut listing = Listing::default();
        while listing.add(calls::next(handle).over_blocking(&*channel))? {}
        Ok(listing)
    }
}

/// Membership in one group. May be shared between threads: one may wait for events while others send.
///
/// Dropping it leaves the group (the others see [`Reason::ProcDown`](crate::cpg::Reason::ProcDown)); after
/// [`Group::leave`] they see [`Reason::Leave`](crate::cpg::Reason::Leave).
pub struct Group {
    name: GroupName,
    me: Member,
    message_limit: usize,
    channel: Arc<dyn Channel>,
    book: Mutex<Book>,
    sending: Mutex<()>,
}

impl Group {
    /// The name of the group.
    pub fn name(&self) -> &GroupName {
        &self.name
    }

    /// This member, as the others see it as the sender of its messages.
    pub fn me(&self) -> Member {
        self.me
    }

    /// Multicasts to all members of the group with agreed delivery. Blocks while there is no room.
    pub fn multicast(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.multicast_with(Guarantee::Agreed, payload)
    }

    /// As [`Group::multicast`], with safe delivery; see [`super::Group::multicast_safe`].
    pub fn multicast_safe(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.multicast_with(Guarantee::Safe, payload)
    }

    /// As [`Group::multicast`], with this guarantee.
    pub fn multicast_with(&self, guarantee: Guarantee, payload: impl Into<Bytes>) -> Result<(), Error> {
        let payload = payload.into();
        calls::fits(&payload, self.message_limit)?;
        let _turn = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        self.may_send()?;
        if payload.len() > UNFRAGMENTED_LIMIT {
            return self.send_pieces(&payload, guarantee);
        }
        let head = wire::mcast_head(guarantee, payload.len());
        Ok(self.channel.post_blocking(Outgoing { head, payload })?)
    }

    /// Multicasts if there is room at once. Only for messages of at most [`UNFRAGMENTED_LIMIT`] bytes.
    ///
    /// # Errors
    /// [`Error::TryAgain`], also while another thread is in [`Group::multicast`]; otherwise as
    /// [`Group::multicast`].
    pub fn try_multicast(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        let payload = payload.into();
        calls::fits_in_one_piece(&payload, self.message_limit)?;
        let _turn = self.sending.try_lock().map_err(|_| Error::TryAgain)?;
        self.may_send()?;
        let head = wire::mcast_head(Guarantee::Agreed, payload.len());
        self.channel.try_post(&Outgoing { head, payload }).map_err(|error| match error {
            ChannelError::TryAgain => Error::TryAgain,
            other => other.into(),
        })
    }

    /// The next event, if there is one now.
    ///
    /// # Errors
    /// All events have been read: [`Error::NotMember`] after the view in which this member has left,
    /// [`Error::Channel`] after [`Event::Disconnected`].
    pub fn try_next(&self) -> Result<Option<Event>, Error> {
        let mut book = self.book();
        loop {
            match book.phase() {
                Phase::Joining | Phase::Member => {}
                Phase::Left => return Err(Error::NotMember),
                Phase::Ended(end) => return Err(end.clone().into()),
            }
            let event = match self.channel.try_event() {
                Ok(None) => return Ok(None),
                Ok(Some(incoming)) => enter(&mut book, wire::notice(incoming.head, incoming.payload)),
                Err(error) => Some(book.end(ending(error))),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Waits for the next event for at most `patience` (`None`: without limit). `Ok(None)`: no event came in
    /// that time.
    ///
    /// # Errors
    /// As [`Group::try_next`].
    pub fn next(&self, patience: Option<Duration>) -> Result<Option<Event>, Error> {
        next_within(patience, &*self.channel, || self.try_next())
    }

    /// Calls `f` with each event that is available now, without waiting. Returns their number.
    ///
    /// # Errors
    /// There was no event and there will be none any more, as with [`Group::try_next`].
    pub fn dispatch(&self, f: impl FnMut(Event)) -> Result<usize, Error> {
        dispatch_all(|| self.try_next(), f)
    }

    /// The current members of the group, by node and process, as the daemon sees them; this may be ahead of
    /// the events.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn membership(&self) -> Result<Vec<Member>, Error> {
        Ok(calls::membership(&self.name).over_blocking(&*self.channel)?)
    }

    /// Leaves the group; the last event is the view that has this member in its `left`.
    ///
    /// # Errors
    /// The connection has ended, which also ends the membership.
    pub fn leave(&self) -> Result<(), Error> {
        calls::left(calls::leave(&self.name, self.me.pid).over_blocking(&*self.channel))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing can panic in the middle of a change to the book, so it is valid even after a panic.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_send(&self) -> Result<(), Error> {
        self.book().may_send()
    }

    fn send_pieces(&self, payload: &Bytes, guarantee: Guarantee) -> Result<(), Error> {
        for tries in 0..BEGINNINGS {
            if self.send_pieces_once(payload, guarantee)? {
                return Ok(());
            }
            std::thread::sleep(BackOff::after(tries));
        }
        Err(Error::Interrupted { tries: BEGINNINGS })
    }

    fn send_pieces_once(&self, payload: &Bytes, guarantee: Guarantee) -> Result<bool, Error> {
        for (place, piece) in pieces(payload) {
            let piece = calls::piece(guarantee, payload.len(), place, piece);
            if !calls::was_sent(piece.over_blocking(&*self.channel))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Readable while there are events, or when the connection has ended. It may only be polled.
impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // Created when the group was joined, so it exists.
        self.channel.descriptor().expect("the descriptor was made before")
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("name", &self.name).field("me", &self.me).finish_non_exhaustive()
    }
}
