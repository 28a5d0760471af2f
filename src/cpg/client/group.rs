//! Membership in one group.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::{Mutex, oneshot};

use super::book::{Book, Ticket, Waiter};
use super::error::Error;
use super::event::Event;
use super::inbox::Inbox;
use super::wire::{self, UNFRAGMENTED_LIMIT};
use super::{JoinOptions, calls};
use crate::cpg::name::{GroupName, Member};
use crate::cpg::wire::Place;
use crate::ids::Guarantee;
use crate::service::channel::{Channel, ChannelError, Outgoing};
use crate::service::client::pause;

/// How often a long message is begun before it is given up because the membership keeps changing.
pub(super) const BEGINNINGS: u32 = 64;

/// Membership in one group: sends messages to it and receives its events.
///
/// Made by [`Client::join`](super::Client::join). Clones share the membership. When the last clone and the
/// last [`Events`] are dropped, the member leaves (the others see
/// [`Reason::ProcDown`](crate::cpg::Reason::ProcDown)); after [`Group::leave`] they see
/// [`Reason::Leave`](crate::cpg::Reason::Leave).
///
/// The events **must be read**: they carry the messages, and the daemon disconnects a member that leaves too
/// many unread.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use annulus::cpg::{Client, Event};
///
/// let client = Client::connect().await?;
/// let group = client.join("example").await?;
/// group.multicast("hello").await?;
/// let mut events = group.events();
/// while let Some(event) = events.next().await {
///     match event {
///         Event::View(view) => println!("now here: {:?}", view.members),
///         Event::Message { from, payload } => {
///             println!("{from}: {payload:?}");
///             group.leave().await?; // the events end after the view without us
///         }
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Group {
    inner: Arc<Inner>,
}

struct Inner {
    name: GroupName,
    me: Member,
    message_limit: usize,
    inbox: Arc<Inbox>,
    /// The lock for sending, served in order of arrival. Holds the header of the last message, which is
    /// reused if the next message has the same length.
    turn: Mutex<LastHead>,
    /// The lock for sending a message in pieces; pieces of two messages must not be mixed.
    pieces: Mutex<()>,
}

#[derive(Default)]
struct LastHead {
    guarantee: Guarantee,
    len: usize,
    head: Bytes,
}

impl Group {
    /// Joins over a connection of its own, and waits for the view with this member.
    pub(super) async fn join(
        channel: Arc<dyn Channel>,
        name: GroupName,
        options: &JoinOptions,
    ) -> Result<Self, Error> {
        let node = calls::local_id().over(&*channel).await?;
        let me = Member { node, pid: options.member_pid() };
        let join = calls::join(&name, me.pid, options.initial_ring);
        join.over(&*channel).await.map_err(calls::not_joined(&name, me.pid))?;
        let inbox = Inbox::new(channel, Book::new(me, options.message_limit));
        inbox.joined().await?;
        let inner = Inner {
            name,
            me,
            message_limit: options.message_limit,
            inbox: Arc::new(inbox),
            turn: Mutex::default(),
            pieces: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The name of the group.
    pub fn name(&self) -> &GroupName {
        &self.inner.name
    }

    /// This member, as the others see it as the sender of its messages.
    pub fn me(&self) -> Member {
        self.inner.me
    }

    /// Multicasts to all members of the group, this one included, with agreed delivery.
    ///
    /// Waits while there is no room, because the ring changes or is busy with earlier messages. Returns when
    /// the message has been accepted for ordering. It is then delivered to the members that are in the group
    /// at its place in the order, unless this node fails first.
    ///
    /// Messages of one member are delivered in the order in which they were accepted, with one exception: a
    /// message longer than [`UNFRAGMENTED_LIMIT`] is sent in pieces, and shorter ones sent in the meantime
    /// may overtake it. Concurrent calls are served in the order in which they were first polled.
    ///
    /// **Dropping the future** before it is done sends nothing. Some pieces of a long message may have been
    /// sent by then; the members discard them.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::NotMember`], [`Error::Channel`] when the connection has ended,
    /// [`Error::Unread`], and [`Error::Interrupted`] for messages in pieces. In each case nothing was sent.
    pub async fn multicast(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.send(payload.into(), Guarantee::Agreed, None).await
    }

    /// As [`Group::multicast`], with safe delivery: no member is given the message before all nodes of the
    /// ring are known to hold it. This takes about one more rotation of the token, and delays later messages
    /// of all senders until then.
    ///
    /// Corosync's daemon accepts such a message but delivers it as agreed.
    ///
    /// # Errors
    /// As [`Group::multicast`].
    pub async fn multicast_safe(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.send(payload.into(), Guarantee::Safe, None).await
    }

    /// As [`Group::multicast`], with this guarantee.
    ///
    /// # Errors
    /// As [`Group::multicast`].
    pub async fn multicast_with(&self, guarantee: Guarantee, payload: impl Into<Bytes>) -> Result<(), Error> {
        self.send(payload.into(), guarantee, None).await
    }

    /// Multicasts if there is room at once. Only for messages of at most [`UNFRAGMENTED_LIMIT`] bytes.
    ///
    /// # Errors
    /// [`Error::TryAgain`], also while other calls wait for room in [`Group::multicast`]; otherwise as
    /// [`Group::multicast`]. In each case nothing was sent.
    pub fn try_multicast(&self, payload: impl Into<Bytes>) -> Result<(), Error> {
        let payload = payload.into();
        calls::fits_in_one_piece(&payload, self.inner.message_limit)?;
        let mut turn = self.inner.turn.try_lock().map_err(|_| Error::TryAgain)?;
        self.inner.post(&mut turn, &payload, Guarantee::Agreed, None).map_err(|refused| refused.error)
    }

    /// Multicasts, and waits until the message has been delivered to this member at its place in the order.
    ///
    /// When this returns `Ok`, the message is among the events of this member (read or not), everything
    /// before it in the order has been delivered here, and every other member delivers the same if its node
    /// lives and stays in the ring. With [`Guarantee::Safe`], every member of the ring in which it was
    /// delivered already holds it, whatever fails afterwards; if the ring was partitioned at that moment,
    /// this excludes the members that leave in the next view with
    /// [`Reason::NodeDown`](crate::cpg::Reason::NodeDown).
    ///
    /// The events must be read in the meantime; only a limited number of them is taken ahead of the reader.
    ///
    /// **Dropping the future** before the message was accepted sends nothing; later, the delivery is merely
    /// no longer awaited.
    ///
    /// # Errors
    /// As [`Group::multicast`]. In addition, for a message that was accepted: [`Error::NotMember`] or
    /// [`Error::Channel`] if the membership ended before the delivery (other members may have delivered it),
    /// [`Error::Overrun`] if the delivery cannot be awaited (the others deliver it), [`Error::Lost`] if the
    /// daemon dropped it (no member delivers it; never with annulus' own daemon).
    pub async fn multicast_delivered(
        &self,
        payload: impl Into<Bytes>,
        guarantee: Guarantee,
    ) -> Result<(), Error> {
        self.inner.inbox.ensure_pumped()?;
        let (waiter, delivered) = oneshot::channel();
        self.send(payload.into(), guarantee, Some(waiter)).await?;
        delivered.await.unwrap_or(Err(Error::NotMember))
    }

    /// The events of the group, beginning with the view in which this member joined.
    ///
    /// It may be called several times: each event goes to only one of the streams. To give all events to
    /// several readers, distribute them yourself.
    pub fn events(&self) -> Events {
        Events { group: Some(self.clone()) }
    }

    /// The current members of the group, by node and process, as the daemon sees them.
    ///
    /// This may be ahead of the events read so far, so programs that act on the membership should use the
    /// views.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn membership(&self) -> Result<Vec<Member>, Error> {
        let channel = self.inner.inbox.channel();
        Ok(calls::membership(&self.inner.name).over(&**channel).await?)
    }

    /// Leaves the group. The others see [`Reason::Leave`](crate::cpg::Reason::Leave).
    ///
    /// Returns when the daemon has accepted the request. Earlier events in the order are still delivered
    /// here; the last one is the view that has this member in its `left`. Leaving twice has no effect.
    ///
    /// # Errors
    /// The connection has ended, which also ends the membership.
    pub async fn leave(&self) -> Result<(), Error> {
        let channel = self.inner.inbox.channel();
        calls::left(calls::leave(&self.inner.name, self.inner.me.pid).over(&**channel).await)
    }

    async fn send(&self, payload: Bytes, guarantee: Guarantee, waiter: Option<Waiter>) -> Result<(), Error> {
        calls::fits(&payload, self.inner.message_limit)?;
        if payload.len() > UNFRAGMENTED_LIMIT {
            return self.inner.send_pieces(payload, guarantee, waiter).await;
        }
        let mut turn = self.inner.turn.lock().await;
        match self.inner.post(&mut turn, &payload, guarantee, waiter) {
            Err(Unsent { error: Error::TryAgain, waiter }) => {
                self.inner.post_waiting(&turn, payload, waiter).await
            }
            done => done.map_err(|unsent| unsent.error),
        }
    }
}

/// A message that could not be sent at once.
struct Unsent {
    error: Error,
    waiter: Option<Waiter>,
}

impl Inner {
    /// Sends at once or not at all.
    fn post(
        &self,
        turn: &mut LastHead,
        payload: &Bytes,
        guarantee: Guarantee,
        waiter: Option<Waiter>,
    ) -> Result<(), Unsent> {
        if turn.head.is_empty() || turn.len != payload.len() || turn.guarantee != guarantee {
            let head = wire::mcast_head(guarantee, payload.len());
            *turn = LastHead { guarantee, len: payload.len(), head };
        }
        let ticket = self.inbox.book(|book| match book.may_send() {
            Ok(()) => Ok(book.sending(payload, false, waiter)),
            Err(error) => Err(Unsent { error, waiter: None }),
        })?;
        let request = Outgoing { head: turn.head.clone(), payload: payload.clone() };
        self.inbox.channel().try_post(&request).map_err(|error| Unsent {
            error: match error {
                ChannelError::TryAgain => Error::TryAgain,
                other => other.into(),
            },
            waiter: self.inbox.book(|book| book.unsent(ticket)),
        })
    }

    /// Sends as soon as there is room; later senders wait for the lock until then.
    async fn post_waiting(
        &self,
        turn: &LastHead,
        payload: Bytes,
        waiter: Option<Waiter>,
    ) -> Result<(), Error> {
        let mut sending = Sending { inbox: &self.inbox, ticket: None };
        sending.ticket = Some(self.inbox.book(|book| book.sending(&payload, false, waiter)));
        self.inbox.channel().post(Outgoing { head: turn.head.clone(), payload }).await?;
        sending.ticket = None;
        Ok(())
    }

    /// Sends a long message piece by piece. Each piece is answered before the next one is sent.
    async fn send_pieces(
        &self,
        payload: Bytes,
        guarantee: Guarantee,
        waiter: Option<Waiter>,
    ) -> Result<(), Error> {
        let _turn = self.pieces.lock().await;
        let mut sending = Sending { inbox: &self.inbox, ticket: None };
        sending.ticket = Some(self.inbox.book(|book| {
            book.may_send()?;
            Ok::<_, Error>(book.sending(&payload, true, waiter))
        })?);
        for tries in 0..BEGINNINGS {
            if self.send_pieces_once(&payload, guarantee).await? {
                sending.ticket = None;
                return Ok(());
            }
            pause(tries).await?;
        }
        Err(Error::Interrupted { tries: BEGINNINGS })
    }

    /// Sends all pieces; returns false if the membership changed in between.
    async fn send_pieces_once(&self, payload: &Bytes, guarantee: Guarantee) -> Result<bool, Error> {
        for (place, piece) in pieces(payload) {
            let piece = calls::piece(guarantee, payload.len(), place, piece);
            if !calls::was_sent(piece.over(&**self.inbox.channel()).await)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Cuts a long message into a first piece, any number of further pieces, and a last one.
pub(super) fn pieces(payload: &Bytes) -> impl Iterator<Item = (Place, Bytes)> + '_ {
    let total = payload.len();
    (0..total).step_by(UNFRAGMENTED_LIMIT).map(move |at| {
        let end = total.min(at + UNFRAGMENTED_LIMIT);
        let place = match (at == 0, end == total) {
            (true, _) => Place::First,
            (false, false) => Place::Continued,
            (false, true) => Place::Last,
        };
        (place, payload.slice(at..end))
    })
}

/// Removes a message from the book if it is dropped before the message was sent.
struct Sending<'a> {
    inbox: &'a Inbox,
    ticket: Option<Ticket>,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.inbox.book(|book| book.unsent(ticket));
        }
    }
}

/// The events of a group, in order; see [`Event`]. Ends after the view in which this member has left, or
/// after [`Event::Disconnected`].
///
/// Dropping it loses no event: another stream of the same group continues at the same place.
pub struct Events {
    group: Option<Group>,
}

impl Events {
    /// Waits for the next event; `None` after the last one. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let Some(group) = &self.group else { return Poll::Ready(None) };
        let next = group.inner.inbox.poll_next(cx);
        if let Poll::Ready(None) = next {
            self.group = None;
        }
        next
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.inner.name)
            .field("me", &self.inner.me)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("group", &self.group).finish()
    }
}
