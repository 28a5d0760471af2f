//! What is to be multicast. During a synchronisation, and while the send queue is full, it waits here; nothing
//! in it is ever lost.
//!
//! What this node says of itself is written when it goes, so that it is never older than what went before.

use std::collections::VecDeque;

use crate::ids::Guarantee;
use crate::quorum::wire::exec::Exec;
use crate::service::{Effects, Full};

/// Messages in the names of clients that wait; further requests are refused.
const LETTERS_MAX: usize = 64;

/// See the module. In the order in which it goes.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// NODEINFO about this node.
    pub(super) info: bool,
    /// NODEINFO about the quorum device. Never without this node's own before it: a Corosync node that has
    /// not heard of the sender ends itself.
    pub(super) device_info: bool,
    /// The registration of the device, told again after a new ring.
    pub(super) register: bool,
    /// RECONFIGURE: nobody is to wait for all nodes any longer.
    pub(super) cancel_waiting: bool,
    /// RECONFIGURE: this node's votes.
    pub(super) votes: bool,
    /// RECONFIGURE: this node's expected votes, for all.
    pub(super) expected: bool,
    letters: VecDeque<Vec<u8>>,
}

/// What this node says of itself now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) info: Exec<'a>,
    pub(super) device_info: Exec<'a>,
    pub(super) register: Exec<'a>,
    pub(super) cancel_waiting: Exec<'a>,
    pub(super) votes: Exec<'a>,
    pub(super) expected: Exec<'a>,
}

impl Outbox {
    /// A message in the name of a client. False: too many wait already.
    pub(super) fn post(&mut self, letter: &Exec<'_>) -> bool {
        if self.letters.len() >= LETTERS_MAX {
            return false;
        }
        self.letters.push_back(letter.encode());
        true
    }

    /// Multicasts what there is.
    pub(super) fn flush(&mut self, words: &Words<'_>, effects: &mut dyn Effects) -> Result<(), Full> {
        let own = [
            (&mut self.info, &words.info),
            (&mut self.device_info, &words.device_info),
            (&mut self.register, &words.register),
            (&mut self.cancel_waiting, &words.cancel_waiting),
            (&mut self.votes, &words.votes),
            (&mut self.expected, &words.expected),
        ];
        for (due, word) in own {
            if *due {
                effects.multicast(Guarantee::Agreed, &[&word.encode()])?;
                *due = false;
            }
        }
        while let Some(letter) = self.letters.front() {
            effects.multicast(Guarantee::Agreed, &[letter])?;
            self.letters.pop_front();
        }
        Ok(())
    }
}
