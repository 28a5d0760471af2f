//! Turns a message into packets: sets number and destination, compresses, and cuts it to the size of the
//! path.

use super::compression::Compressor;
use super::filter;
use super::fragments;
use super::sequence::Counter;
use super::settings::Settings;
use super::sizes::MESSAGE;
use super::stats::HandleStats;
use super::wire::{Data, Piece};
use crate::ids::{Destination, NodeId};

/// The sending state of this node.
#[derive(Debug)]
pub(super) struct Outbound {
    me: NodeId,
    counter: Counter,
    compressor: Compressor,
}

impl Outbound {
    /// Creates the state with message numbers that begin at 1.
    pub(super) fn new(settings: &Settings) -> Self {
        Self { me: settings.me, counter: Counter::default(), compressor: Compressor::new(settings) }
    }

    /// Changes the compression settings.
    pub(super) fn reconfigure(&mut self, settings: &Settings) {
        self.compressor = Compressor::new(settings);
    }

    /// Number of the last message, as sent in pings; 0 before the first message.
    pub(super) const fn last(&self) -> u16 {
        self.counter.last()
    }

    /// Adds the packets of a message, which are the same for every host and carry the next message number.
    /// Each has [`ROOM`](super::sizes::ROOM) unused bytes in front. Adds none if the message is no totem
    /// message or is too long. Returns `true` if an untimed ping with this number must precede them on every
    /// link.
    pub(super) fn cut(
        &mut self,
        to: Destination,
        message: &[u8],
        fragment_size: usize,
        packets: &mut Vec<Vec<u8>>,
        stats: &mut HandleStats,
    ) -> bool {
        if !(filter::HEADER..=MESSAGE).contains(&message.len()) {
            debug_assert!(false, "{} bytes are no totem message", message.len());
            return false;
        }
        let (seq, progress) = self.counter.advance();
        let plain = Data {
            seq,
            compress: 0,
            broadcast: to == Destination::All,
            channel: 0,
            piece: Piece::Whole,
            payload: message,
        };
        if let Some((compress, payload)) = self.compressor.compress(to, message, stats) {
            fragments::cut(self.me, &Data { compress, payload, ..plain }, fragment_size, packets);
        } else {
            let first = packets.len();
            fragments::cut(self.me, &plain, fragment_size, packets);
            filter::set_target(&mut packets[first][fragments::PAYLOAD..], to);
        }
        progress
    }
}
