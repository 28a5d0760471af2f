//! A visit of the token: take it, order and send messages, pass it on.
//!
//! Totem paper, total ordering; corosync `exec/totemsrp.c`, `message_handler_orf_token`.

use std::time::Duration;

use super::flow;
use super::io::{Action, Feed};
use super::outbox::Queue;
use super::plausible;
use super::recovery::Recovery;
use super::retransmit;
use super::ring::Ring;
use super::timers::Timer;
use super::window::Stored;
use crate::ids::{Endian, Seq};
use crate::time::Instant;
use crate::totem::wire::{Encapsulated, LittleEndian, Mcast, Token};

/// A token that was taken and processed, on its way to the next node.
pub(super) struct Visit {
    token: Token,
    /// The ring is idle, and as its representative this node holds the token.
    keep: bool,
    /// Why this node cannot stay on the ring; if set, the token is not passed on.
    pub(super) end: Option<End>,
}

/// Why a node that has the token leaves the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// For too many visits, this node has kept the ring's aru from rising.
    CannotReceive,
    /// This node lacks a message that no member has: the token or a message was forged.
    NobodyHas,
    /// This node has delivered a message past the token's seq, which no member can have sent.
    NeverSent,
}

impl Visit {
    /// Passes the token on at once, although the ring is idle.
    pub(super) const fn hasten(&mut self, ring: &mut Ring) {
        self.keep = false;
        ring.rotation.held = false;
    }

    /// The token that will be passed on.
    pub(super) const fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// Takes a token: answers retransmission requests, requests missing frames, sends what flow control allows.
/// `None` if the token is not this ring's, is not from the member before this node, is a duplicate, or is implausible.
pub(super) fn take(
    ring: &mut Ring,
    mut recovery: Option<&mut Recovery>,
    now: Instant,
    mut token: Token,
    feed: &mut dyn Feed,
) -> Option<Visit> {
    if token.ring != ring.current {
        return None;
    }
    let members = recovery.as_ref().map_or(&ring.members, |recovery| &recovery.members);
    if token.from != members.before(ring.me) {
        // A member's token that was meant for another member, and was redirected or recorded on the way.
        ring.stats.token_misdirected += 1;
        return None;
    }
    if !ring.rotation.token_seq.is_before(token.token_seq) {
        ring.stats.token_duplicates += 1;
        if token.token_seq == ring.rotation.token_seq {
            ring.show_life(token.from);
            if !ring.is_representative() {
                ring.repeat_for_others(now);
            }
        }
        return None;
    }
    ring.refusals.clear();
    let passed = ring.rotation.passed;
    let operational = recovery.is_none();
    let delivered = recovery.as_ref().map_or(ring.delivered, |recovery| recovery.reception.last_released);
    let reception = recovery.as_deref_mut().map_or(&mut ring.reception, |recovery| &mut recovery.reception);
    if !plausible::admits(&token, passed, reception) {
        ring.stats.token_out_of_window += 1;
        return None;
    }
    reception.confirm(token.seq, delivered);
    let mut end = token.seq.is_before(delivered).then_some(End::NeverSent);
    let (unanswered, requests) = (&mut ring.rotation.unanswered, &ring.rotation.requests);
    let nobody_has = unanswered.visit(now, &token, requests, reception, ring.configured.token);
    end = end.or(nobody_has.then_some(End::NobodyHas));
    if end.is_some() {
        return Some(Visit { token, keep: false, end });
    }
    let complete = ring.rotation.found_all_complete(&token);
    let members = recovery.as_ref().map_or(&ring.members, |recovery| &recovery.members);
    plausible::mend(&mut token, members, &mut ring.rotation);
    let representative = ring.is_representative();
    ring.stats.visits.note(now, token.backlog);
    ring.turnaround.arrived(now);
    ring.gaps.arrived(now, if ring.rotation.held { ring.timeouts.hold } else { Duration::ZERO });

    if ring.rotation.visited(token.seq, representative, ring.timeouts.seqno_unchanged_const) {
        ring.timers.start_unless_running(Timer::Merge, now, ring.timeouts.merge);
    } else {
        ring.timers.stop(Timer::Merge);
        ring.timers.stop(Timer::Hold);
    }

    let before = std::mem::replace(&mut ring.rotation.aru, token.aru);
    ring.rotation.aru_by = token.aru_by;
    let reception = recovery.as_ref().map_or(&ring.reception, |recovery| &recovery.reception);
    let everybody = plausible::everybody(&token, before, reception);
    match recovery.as_deref_mut() {
        Some(recovery) => recovery.release(ring, everybody),
        None => {
            ring.safe_to = ring.safe_to.later(everybody);
            ring.reception.release(everybody.earlier(ring.delivered));
        }
    }
    feed.token_arrived(&mut ring.outbox);

    let queue = ring.queue();
    let backlog = recovery.as_mut().map_or_else(|| ring.outbox.len(queue), |recovery| recovery.backlog());
    let backlog = backlog as u32; // a queue has a few thousand frames at most
    let reception = recovery.as_deref_mut().map_or(&mut ring.reception, |recovery| &mut recovery.reception);
    let mut allowed = flow::allowance(&ring.timeouts, &token, &mut ring.rotation, backlog, complete);
    if operational {
        ring.losses.requests(&token, &ring.rotation.requests, reception, ring.me);
    }
    let came_round = retransmit::came_round(&token, reception, &ring.rotation.requests);
    retransmit::drop_unanswerable(&mut token, reception, &ring.rotation.requests);
    let served = retransmit::serve(&mut token, reception, allowed, &mut ring.actions);
    ring.stats.mcast_retx += u64::from(served);
    allowed -= served;
    let patience = ring.turnaround.patience(ring.timeouts.miss_count_const);
    retransmit::request(&mut token, reception, ring.current, patience);
    let repairing = served > 0 || !token.missing.is_empty();
    if came_round || ring.timeouts.cancel_token_hold_on_retransmit && repairing {
        ring.rotation.held = false;
    }
    allowed = flow::fitting(reception, &token, allowed, ring.timeouts.window_size);

    let mut sent = 0;
    while sent < allowed {
        let seq = token.seq.plus(1);
        let counter = ring.frame_counter;
        let next = match recovery.as_deref_mut() {
            Some(recovery) => recovery.next_frame(ring.me, ring.current, seq, counter),
            None => next_frame(ring, queue, seq, counter),
        };
        let Some(stored) = next else { break };
        ring.frame_counter = counter.wrapping_add(1);
        token.seq = seq;
        sent += 1;
        ring.multicast(stored.frame.clone());
        let reception =
            recovery.as_deref_mut().map_or(&mut ring.reception, |recovery| &mut recovery.reception);
        reception.take(seq, stored);
        if operational {
            ring.losses.frame(ring.me);
        }
    }

    flow::settle(&mut token, &mut ring.rotation, served + sent, backlog);
    let aru = recovery.map_or(ring.reception.aru, |recovery| recovery.reception.aru);
    if aru.is_before(token.aru) || token.aru_by.is_none_or(|by| by == ring.me) {
        token.aru = aru;
        token.aru_by = (aru != token.seq).then_some(ring.me);
    }
    let stuck = token.aru == before && token.aru_by.is_some();
    ring.rotation.aru_stuck = if stuck { ring.rotation.aru_stuck.saturating_add(1) } else { 0 };
    let cannot_receive =
        ring.rotation.aru_stuck > ring.timeouts.fail_recv_const && token.aru_by == Some(ring.me);

    ring.rotation.passed = token.seq;
    ring.rotation.requests.clone_from(&token.missing);
    ring.rotation.token_seq = token.token_seq;
    token.token_seq = token.token_seq.plus(1);
    let end = cannot_receive.then_some(End::CannotReceive);
    Some(Visit { token, keep: representative && ring.rotation.held, end })
}

/// Passes the token on, or holds it for a while, and delivers the messages that are now in order.
pub(super) fn pass_on(ring: &mut Ring, visit: Visit, now: Instant, operational: bool) {
    let Visit { mut token, keep, .. } = visit;
    token.from = ring.me;
    ring.last_token = Some(token.encode::<LittleEndian>());
    ring.turnaround.passed(now, !keep && !ring.rotation.held);
    if !keep {
        ring.stats.orf_token_tx += 1;
        ring.send_token();
    }
    if operational {
        // Only after the token was passed on, so that delivery does not delay the ring.
        ring.deliver();
    }
    ring.await_token(now);
    if keep {
        ring.timers.start(Timer::Hold, now, ring.timeouts.hold);
    }
    if std::mem::take(&mut ring.token_wanted) {
        ring.actions.push_back(Action::TokenSent);
    }
    match ring.timeouts.heartbeat() {
        Some(timeout) if !keep => ring.timers.start(Timer::Heartbeat, now, timeout),
        _ => ring.timers.stop(Timer::Heartbeat),
    }
}

/// Sends the first token of a new ring, as its representative.
pub(super) fn first_token(ring: &mut Ring, retransmitting: bool, now: Instant) {
    let token = Token {
        from: ring.me,
        seq: ring.origin,
        token_seq: ring.origin,
        aru: ring.origin.minus(1),
        aru_by: Some(ring.me),
        ring: ring.current,
        backlog: 0,
        fcc: 0,
        retransmitting,
        missing: Vec::new(),
    };
    ring.stats.orf_token_tx += 1;
    ring.last_token = Some(token.encode::<LittleEndian>());
    ring.send_token();
    ring.await_token(now);
}

/// Takes the next own frame and fills in its place on the ring.
fn next_frame(ring: &mut Ring, queue: Queue, seq: Seq, counter: u32) -> Option<Stored> {
    let mut outgoing = ring.outbox.pop(queue)?;
    let fixed = Mcast {
        encapsulated: Encapsulated::Plain,
        from: ring.me,
        system_from: ring.me,
        seq,
        counter,
        ring: ring.current,
        guarantee: outgoing.guarantee,
        payload: &[],
    };
    fixed.write_fixed::<LittleEndian>(&mut outgoing.frame);
    ring.stats.mcast_tx += 1;
    Some(Stored::new(&fixed, outgoing.frame.freeze(), Endian::Little))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::ids::Guarantee;
    use crate::totem::srp::outbox::{Outbox, Outgoing};
    use crate::totem::srp::sample;
    use crate::totem::wire::mcast;

    struct Nothing;

    impl Feed for Nothing {
        fn token_arrived(&mut self, _: &mut Outbox) {}
    }

    /// Numbers that were assigned must not be assigned again, because the others have frames with them.
    #[test]
    fn a_token_whose_seq_went_back_is_refused() {
        let mut ring = sample::ring(2);
        let current = ring.current;
        for _ in 0..2 {
            let frame = BytesMut::zeroed(mcast::FIXED + 8);
            ring.outbox.push(ring.queue(), Outgoing { frame, guarantee: Guarantee::Safe });
        }
        let mut visit = |token_seq, seq| {
            take(&mut ring, None, Instant::ZERO, sample::token(current, token_seq, Seq(seq)), &mut Nothing)
                .map(|visit| visit.token.seq)
        };
        assert_eq!(visit(0, 0), Some(Seq(2)), "two frames are sent");
        for (token_seq, seq) in [(1, 1), (2, 0), (3, u32::MAX)] {
            assert_eq!(visit(token_seq, seq), None);
        }
        assert_eq!(visit(4, 2), Some(Seq(2)), "the real one is");
        assert_eq!(ring.stats.token_out_of_window, 3);
        assert_eq!(ring.reception.high_seen, Seq(2), "its own frames are kept");
    }
}
