//! The state of a member of a group: pure, without a connection. It turns notices of the daemon into events,
//! and keeps a list of the member's own messages that have not been delivered yet.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::assemble::Assembler;
use super::error::Error;
use super::event::{Event, GroupView};
use super::wire::Notice;
use crate::cpg::name::Member;
use crate::service::channel::End;

/// Largest number of own messages whose delivery has not been read.
pub(super) const SENT_LIMIT: usize = 1 << 18;

/// The state of a membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The daemon has accepted the join; the view with this member has not come yet.
    Joining,
    /// This member is in the view.
    Member,
    /// The view without this member has come; no event follows.
    Left,
    /// The connection has ended.
    Ended(End),
}

/// Turns notices into events.
#[derive(Debug)]
pub(super) struct Book {
    me: Member,
    phase: Phase,
    assembler: Assembler,
    /// Own messages sent in one piece, in the order of sending.
    whole: Sent,
    /// Own messages sent in several pieces. A separate list, because messages in one piece may overtake them.
    pieced: Sent,
    next_ticket: u64,
}

/// Identifies an own message from sending to delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// Receives the result when an own message has been delivered.
pub(super) type Waiter = oneshot::Sender<Result<(), Error>>;

impl Book {
    /// The book of the member `me`, whose join has been accepted.
    pub(super) fn new(me: Member, message_limit: usize) -> Self {
        Self {
            me,
            phase: Phase::Joining,
            assembler: Assembler::new(message_limit),
            whole: Sent::default(),
            pieced: Sent::default(),
            next_ticket: 0,
        }
    }

    /// The state of the membership.
    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// An error if this member may not send now.
    pub(super) fn may_send(&self) -> Result<(), Error> {
        match &self.phase {
            Phase::Joining | Phase::Member if self.whole.out.len() >= SENT_LIMIT => {
                Err(Error::Unread { limit: SENT_LIMIT })
            }
            Phase::Joining | Phase::Member => Ok(()),
            Phase::Left => Err(Error::NotMember),
            Phase::Ended(end) => Err(end.clone().into()),
        }
    }

    /// Records an own message. Call it before the message is sent, so that its delivery cannot come first.
    pub(super) fn sending(&mut self, payload: &Bytes, pieced: bool, waiter: Option<Waiter>) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let awaited = waiter.map(|waiter| (payload.clone(), waiter));
        let sent = if pieced { &mut self.pieced } else { &mut self.whole };
        sent.out.push_back(Out { ticket, len: payload.len(), awaited });
        ticket
    }

    /// Removes the record of a message that was not sent; returns its waiter.
    pub(super) fn unsent(&mut self, ticket: Ticket) -> Option<Waiter> {
        self.whole
            .take_back(ticket)
            .or_else(|| self.pieced.take_back(ticket))?
            .awaited
            .map(|(_, waiter)| waiter)
    }

    /// Handles a notice; returns the event that results from it, if any.
    pub(super) fn accept(&mut self, notice: Notice) -> Option<Event> {
        match notice {
            Notice::Message { from, payload } => {
                if from == self.me {
                    self.whole.delivered(&payload);
                }
                Some(Event::Message { from, payload })
            }
            Notice::Piece { from, place, total, piece } => {
                match self.assembler.accept(from, place, total, &piece) {
                    Ok(None) => None,
                    Ok(Some(payload)) => {
                        if from == self.me {
                            self.pieced.delivered(&payload);
                        }
                        Some(Event::Message { from, payload })
                    }
                    Err(why) => Some(Event::Undelivered { from, bytes: total.into(), why }),
                }
            }
            Notice::View(view) => {
                self.change(&view);
                Some(Event::View(view))
            }
            // A member's first ring event follows its first view. An earlier one belongs to the connection
            // before it was in the group.
            Notice::Ring(ring) => (self.phase != Phase::Joining).then_some(Event::Ring(ring)),
        }
    }

    /// Whether the last event has been returned.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Left | Phase::Ended(_))
    }

    /// Ends all waits for deliveries with this error.
    pub(super) fn stop_waiting(&mut self, why: &Error) {
        for out in self.whole.out.iter_mut().chain(&mut self.pieced.out) {
            if let Some((_, waiter)) = out.awaited.take() {
                // The receiver may have been dropped.
                let _ = waiter.send(Err(why.clone()));
            }
        }
    }

    /// Records the end of the connection, and ends all waits with it.
    pub(super) fn end(&mut self, end: End) -> Event {
        self.stop_waiting(&end.clone().into());
        self.phase = Phase::Ended(end.clone());
        Event::Disconnected { reason: end }
    }

    fn change(&mut self, view: &GroupView) {
        for gone in &view.left {
            self.assembler.forget(gone.member);
        }
        if view.left.iter().any(|gone| gone.member == self.me) {
            self.phase = Phase::Left;
            self.stop_waiting(&Error::NotMember);
        } else if self.phase == Phase::Joining
            // For a very large group the daemon does not name all members.
            && (view.contains(self.me) || view.joined.iter().any(|came| came.member == self.me))
        {
            self.phase = Phase::Member;
        }
    }
}

/// Own messages that have been sent and not delivered, oldest first. Delivery keeps their order, so each
/// delivery belongs to the oldest one; if the daemon drops a message, a different length or content reveals
/// it.
#[derive(Debug, Default)]
struct Sent {
    out: VecDeque<Out>,
}

#[derive(Debug)]
struct Out {
    ticket: Ticket,
    len: usize,
    /// For messages whose delivery is awaited: also the content, to tell them from others of the same length.
    awaited: Option<(Bytes, Waiter)>,
}

impl Out {
    fn is(&self, payload: &Bytes) -> bool {
        self.len == payload.len() && self.awaited.as_ref().is_none_or(|(content, _)| content == payload)
    }

    fn resolve(self, result: Result<(), Error>) {
        if let Some((_, waiter)) = self.awaited {
            // The receiver may have been dropped.
            let _ = waiter.send(result);
        }
    }
}

impl Sent {
    fn delivered(&mut self, payload: &Bytes) {
        let Some(at) = self.out.iter().position(|out| out.is(payload)) else { return };
        for lost in self.out.drain(..at) {
            lost.resolve(Err(Error::Lost));
        }
        if let Some(out) = self.out.pop_front() {
            out.resolve(Ok(()));
        }
    }

    fn take_back(&mut self, ticket: Ticket) -> Option<Out> {
        let at = self.out.iter().rposition(|out| out.ticket == ticket)?;
        self.out.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpg::client::event::Change;
    use crate::cpg::name::Reason;
    use crate::ids::NodeId;

    fn me() -> Member {
        Member { node: NodeId::new(1).unwrap(), pid: 7 }
    }

    fn own(payload: &'static str) -> Notice {
        Notice::Message { from: me(), payload: Bytes::from(payload) }
    }

    fn send(book: &mut Book, payload: &'static str) -> oneshot::Receiver<Result<(), Error>> {
        let (waiter, answer) = oneshot::channel();
        book.sending(&Bytes::from(payload), false, Some(waiter));
        answer
    }

    #[test]
    fn deliveries_are_reported_in_order() {
        let mut book = Book::new(me(), 100);
        book.sending(&Bytes::from("same"), false, None);
        let mut second = send(&mut book, "same");
        book.accept(own("same"));
        assert!(second.try_recv().is_err(), "that was the first of the two");
        let other = Member { pid: 8, ..me() };
        book.accept(Notice::Message { from: other, payload: Bytes::from("same") });
        assert!(second.try_recv().is_err(), "that was somebody else's");
        book.accept(own("same"));
        assert_eq!(second.try_recv().unwrap(), Ok(()));
    }

    /// Corosync drops a message silently when its queue is full.
    #[test]
    fn a_message_dropped_by_the_daemon_is_detected() {
        let mut book = Book::new(me(), 100);
        let (mut lost, mut kept) = (send(&mut book, "lost"), send(&mut book, "kept"));
        book.accept(own("kept"));
        assert_eq!(lost.try_recv().unwrap(), Err(Error::Lost));
        assert_eq!(kept.try_recv().unwrap(), Ok(()));
    }

    #[test]
    fn messages_that_were_not_sent_are_not_awaited() {
        let mut book = Book::new(me(), 100);
        let ticket = book.sending(&Bytes::from("no room"), false, None);
        book.unsent(ticket);
        let mut answer = send(&mut book, "no room");
        book.accept(own("no room"));
        assert_eq!(answer.try_recv().unwrap(), Ok(()));
    }

    #[test]
    fn leaving_and_losing_the_daemon_end_all_waits() {
        let mut book = Book::new(me(), 100);
        let mut answer = send(&mut book, "late");
        let left = vec![Change { member: me(), reason: Reason::Leave }];
        book.accept(Notice::View(GroupView { left, ..GroupView::default() }));
        assert_eq!(answer.try_recv().unwrap(), Err(Error::NotMember));
        assert_eq!(book.may_send(), Err(Error::NotMember));

        let mut book = Book::new(me(), 100);
        let mut answer = send(&mut book, "late");
        book.end(End::Lost);
        assert_eq!(answer.try_recv().unwrap(), Err(End::Lost.into()));
        assert_eq!(book.may_send(), Err(End::Lost.into()));
    }

    #[test]
    fn own_messages_that_nobody_reads_are_bounded() {
        let mut book = Book::new(me(), 100);
        for _ in 0..SENT_LIMIT {
            book.may_send().unwrap();
            book.sending(&Bytes::new(), false, None);
        }
        assert_eq!(book.may_send(), Err(Error::Unread { limit: SENT_LIMIT }));
        book.accept(Notice::Message { from: me(), payload: Bytes::new() });
        book.may_send().unwrap();
    }
}
