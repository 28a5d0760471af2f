//! Answering gaps of others, and asking for one's own.
//!
//! Totem paper, total ordering: the retransmission request list of the token. A frame is asked for only
//! when it was missing at `miss_count_const` visits, since a token may overtake the data before it.
//!
//! On a real ring every request is answered within a rotation: who sent a frame keeps it until all have it. A
//! request that nobody can answer comes from a forged token or frame. Those that this node does not need are
//! taken off the list, which has only so many places; if this node does, the ring cannot go on.
//!
//! A request may also come round as if it had not been answered because the answer was lost and another node that lost it
//! asked again, and that for some time: where the path carries less than it did a moment ago, every retransmission is lost
//! until smaller packets are sent. So the ring is given up only after a share of the token time-out.

use crate::ids::{RingId, Seq};
use crate::totem::wire::token::MAX_MISSING;
use crate::totem::wire::{Missing, Token};

use super::io::Action;
use super::window::Reception;
use crate::ids::Destination;
use crate::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// Times that a request comes round unanswered before the ring is given up. Holders may be kept from
/// answering by flow control for some rotations.
const UNANSWERED: u32 = 50;

/// The share of the token time-out for which it does so at least.
const SHARE: u32 = 4;

/// How often requests for frames that are missing here came round unanswered, since the first of those frames
/// is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered {
    aru: Seq,
    times: u32,
    /// When the first came round.
    since: Option<Instant>,
}

impl Unanswered {
    /// All is received up to `aru`.
    pub(super) const fn none(aru: Seq) -> Self {
        Self { aru, times: 0, since: None }
    }

    /// Notes a token as it came. `passed_on` are the requests with which this node passed it on. Returns
    /// whether nobody has a frame that is missing here.
    pub(super) fn visit(
        &mut self,
        now: Instant,
        token: &Token,
        passed_on: &[Missing],
        reception: &Reception,
        time_out: Duration,
    ) -> bool {
        if self.aru != reception.aru {
            *self = Self::none(reception.aru);
        }
        let unanswered = token.missing.iter().any(|missing| {
            missing.ring == token.ring
                && reception.aru.is_before(missing.seq)
                && !token.seq.is_before(missing.seq)
                && reception.window.frame(missing.seq).is_none()
                && passed_on.contains(missing)
        });
        if !unanswered {
            return false;
        }
        self.times = self.times.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        self.times > UNANSWERED && now.since(since) >= time_out / SHARE
    }
}

/// Takes requests off the list that can never be answered: of another ring, for what was not sent yet, or for
/// what this node has had and neither holds any more nor saw answered when the token was here last.
pub(super) fn drop_unanswerable(token: &mut Token, reception: &Reception, passed_on: &[Missing]) {
    let (ring, end) = (token.ring, token.seq);
    token.missing.retain(|missing| {
        let wanted = reception.aru.is_before(missing.seq);
        let held = reception.window.frame(missing.seq).is_some();
        missing.ring == ring
            && !end.is_before(missing.seq)
            && (wanted || held || !passed_on.contains(missing))
    });
}

/// Whether a request came round unanswered that this node cannot answer either: then the ring's end is near, and
/// waited for no longer than it must be.
pub(super) fn came_round(token: &Token, reception: &Reception, passed_on: &[Missing]) -> bool {
    let open = |missing: &Missing| reception.window.frame(missing.seq).is_none();
    token.missing.iter().any(|missing| open(missing) && passed_on.contains(missing))
}

/// Multicasts again what the token asks for and this node holds, at most `allowed` frames, and takes it
/// off the list. Returns how many frames that were.
pub(super) fn serve(
    token: &mut Token,
    reception: &Reception,
    allowed: u32,
    actions: &mut VecDeque<Action>,
) -> u32 {
    let ring = token.ring;
    let mut served = 0;
    token.missing.retain(|missing| {
        if served == allowed || missing.ring != ring {
            return true;
        }
        let Some(stored) = reception.window.frame(missing.seq) else { return true };
        actions.push_back(Action::Send(Destination::All, stored.frame.clone()));
        served += 1;
        false
    });
    served
}

/// Puts what is missing here on the token's list.
pub(super) fn request(token: &mut Token, reception: &mut Reception, ring: RingId, miss_count_const: u32) {
    let mut seq = reception.aru;
    while seq != token.seq {
        seq = seq.plus(1);
        if token.missing.len() >= MAX_MISSING || !reception.window.in_range(seq) {
            return;
        }
        if reception.window.frame(seq).is_some()
            || reception.window.miss(seq) < miss_count_const
            || is_listed(token, seq)
        {
            continue;
        }
        token.missing.push(Missing { ring, seq });
    }
}

fn is_listed(token: &Token, seq: Seq) -> bool {
    token.missing.iter().any(|missing| missing.seq == seq)
}
