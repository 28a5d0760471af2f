//! The messages to be multicast. They wait here during a synchronisation and while the send queue is full; none is
//! lost.
//!
//! A message with this node's own data is written when it is sent, so that it is never older than an earlier
//! one.

use std::collections::VecDeque;

use crate::ids::Guarantee;
use crate::quorum::wire::exec::Exec;
use crate::service::{Context, Full};

/// Largest number of waiting messages on behalf of clients; further requests are refused.
const LETTERS_MAX: usize = 64;

/// The messages to be multicast, in the order of sending.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// NODEINFO with this node's data.
    pub(super) info: bool,
    /// NODEINFO with the quorum device's data. It is always sent after this node's own, because a Corosync
    /// node that has not received the sender's data aborts.
    pub(super) device_info: bool,
    /// The registration of the device, which is repeated after a new ring.
    pub(super) register: bool,
    /// RECONFIGURE: stop waiting for all nodes.
    pub(super) cancel_waiting: bool,
    /// RECONFIGURE: this node's votes.
    pub(super) votes: bool,
    /// RECONFIGURE: this node's expected votes, to be adopted by all nodes.
    pub(super) expected: bool,
    /// Messages on behalf of clients, with their function numbers.
    letters: VecDeque<(u16, Vec<u8>)>,
}

/// The present data of this node.
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
    /// Queues a message on behalf of a client. Returns false if too many are waiting.
    pub(super) fn post(&mut self, letter: &Exec<'_>) -> bool {
        if self.letters.len() >= LETTERS_MAX {
            return false;
        }
        self.letters.push_back((letter.function(), letter.encode()));
        true
    }

    /// Multicasts the waiting messages as far as there is room.
    pub(super) fn flush(&mut self, words: &Words<'_>, context: &mut Context<'_>) -> Result<(), Full> {
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
                context.multicast_undivided(word.function(), Guarantee::Agreed, &word.encode())?;
                *due = false;
            }
        }
        while let Some((function, letter)) = self.letters.front() {
            context.multicast_undivided(*function, Guarantee::Agreed, letter)?;
            self.letters.pop_front();
        }
        Ok(())
    }
}
