//! Answering the retransmission requests of others, and making this node's own.
//!
//! Totem paper, total ordering: the retransmission request list of the token. A frame is requested only after
//! it was missing at `miss_count_const` visits, or fewer slow ones, because a token may overtake the data frames before it.
//!
//! On a genuine ring every request is answered within a rotation, because the sender of a frame keeps it
//! until all members have it. A request that nobody can answer results from a forged token or frame. If this
//! node does not need the frame, it removes the request, because the list has a limited number of places; if
//! this node needs it, the ring cannot continue.
//!
//! A request may also return although it was answered: the answer was lost, and another node that lacks the
//! frame requested it again. This can last for some time: when a path suddenly carries only smaller packets,
//! every retransmission is lost until smaller packets are sent. So the ring is given up only after a share of
//! the token time-out.

use crate::ids::{RingId, Seq};
use crate::totem::wire::token::MAX_MISSING;
use crate::totem::wire::{Missing, Token};

use super::io::Action;
use super::window::Reception;
use crate::ids::Destination;
use crate::time::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// Number of visits at which a request returns unanswered before the ring is given up. Flow control may keep
/// the holders of a frame from answering for some rotations.
const UNANSWERED: u32 = 50;

/// Minimum duration of that, as this fraction of the token time-out.
const SHARE: u32 = 4;

/// Counts the visits at which requests for frames missing here returned unanswered, since the first of these
/// frames is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered {
    aru: Seq,
    times: u32,
    /// When a request first returned unanswered.
    since: Option<Instant>,
}

impl Unanswered {
    /// No unanswered request; everything up to `aru` was received.
    pub(super) const fn none(aru: Seq) -> Self {
        Self { aru, times: 0, since: None }
    }

    /// Records a token on arrival. `passed_on` are the requests in the token when this node last passed it
    /// on. Returns whether to conclude that no member has a frame that is missing here.
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

/// Removes requests that can never be answered: for frames of another ring, for numbers not yet assigned, and
/// for frames that this node has received and released and that were already in the list it last passed on.
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

/// Whether a request returned unanswered that this node cannot answer either. The ring may then have to be
/// given up, and should not wait longer than necessary, so the token is not held.
pub(super) fn came_round(token: &Token, reception: &Reception, passed_on: &[Missing]) -> bool {
    let open = |missing: &Missing| reception.window.frame(missing.seq).is_none();
    token.missing.iter().any(|missing| open(missing) && passed_on.contains(missing))
}

/// Retransmits the requested frames that this node holds, at most `allowed`, and removes their requests.
/// Returns the number of frames sent.
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

/// Adds requests for the frames missing here to the token.
pub(super) fn request(token: &mut Token, reception: &mut Reception, ring: RingId, patience: u32) {
    let mut seq = reception.aru;
    while seq != token.seq {
        seq = seq.plus(1);
        if token.missing.len() >= MAX_MISSING || !reception.window.in_range(seq) {
            return;
        }
        if reception.window.frame(seq).is_some()
            || reception.window.miss(seq) < patience
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
