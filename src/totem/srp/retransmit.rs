//! Answering gaps of others, and asking for one's own.
//!
//! Totem paper, total ordering: the retransmission request list of the token. A frame is asked for only
//! when it was missing at `miss_count_const` visits, since a token may overtake the data before it.

use crate::ids::{RingId, Seq};
use crate::totem::wire::token::MAX_MISSING;
use crate::totem::wire::{Missing, Token};

use super::io::Action;
use super::window::Reception;
use crate::ids::Destination;
use std::collections::VecDeque;

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
