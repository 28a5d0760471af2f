//! Turns a host's packets into messages for this node: drops duplicates, assembles fragments, decompresses.

use bytes::Bytes;

use super::arrival::{Arrival, DropReason};
use super::assembly::Assemblies;
use super::compression::Decompressor;
use super::filter;
use super::sequence::{Told, Window};
use super::stats::HandleStats;
use super::wire::{Data, Piece};
use crate::ids::NodeId;

/// Totem's channel, the only one that is used.
const CHANNEL: u8 = 0;

/// The receiving state for one host.
#[derive(Debug)]
pub(super) struct Inbound {
    window: Window,
    assemblies: Assemblies,
    decompressor: Decompressor,
}

impl Inbound {
    /// State before the first packet.
    pub(super) fn new() -> Self {
        Self {
            window: Window::new(),
            assemblies: Assemblies::default(),
            decompressor: Decompressor::default(),
        }
    }

    /// Handles a data packet of this host. Returns the message if it is complete now.
    ///
    /// # Errors
    /// The reason why the packet was dropped.
    pub(super) fn data<'p>(
        &mut self,
        me: NodeId,
        data: &Data<'p>,
        stats: &mut HandleStats,
    ) -> Result<Option<Arrival<'p>>, DropReason> {
        let moved = self.window.admit(data.seq)?;
        if moved > 0 {
            self.assemblies.advance(moved);
        }
        if data.channel != CHANNEL {
            return Err(DropReason::NotForUs);
        }
        if data.compress != 0 && !self.decompressor.knows(data.compress) {
            return Err(DropReason::Compression);
        }
        let assembled = match data.piece {
            Piece::Whole => None,
            Piece::Fragment { number, of } => {
                let behind = self.window.behind(data.seq);
                match self.assemblies.add(behind, data, number, of)? {
                    Some(message) => Some(message),
                    None => return Ok(None),
                }
            }
        };
        // Also if the message is refused below: a copy of it would be refused too.
        self.window.mark(data.seq);
        let arrival = match (data.compress, assembled) {
            (0, None) => Arrival::Whole(data.payload),
            (0, Some(message)) => Arrival::Assembled(Bytes::from(message)),
            (model, message) => {
                let packed = message.as_deref().unwrap_or(data.payload);
                Arrival::Assembled(self.decompressor.decompress(model, packed, stats)?)
            }
        };
        let message = match &arrival {
            Arrival::Whole(message) => message,
            Arrival::Assembled(message) => &message[..],
        };
        match filter::is_for(message, me) {
            Some(true) => Ok(Some(arrival)),
            Some(false) => Err(DropReason::NotForUs),
            None => Err(DropReason::Malformed),
        }
    }

    /// Handles a ping of this host, which contains the number of its last message.
    pub(super) fn ping(&mut self, seq: u16, timed: bool) {
        match self.window.ping(seq, timed) {
            Told::Moved(0) => {}
            Told::Moved(by) => self.assemblies.advance(by),
            Told::Anew => self.assemblies.wipe(),
        }
    }

    /// Resets the state, because no link to the host is up any more.
    pub(super) fn wipe(&mut self) {
        self.window.wipe();
        self.assemblies.wipe();
    }
}

#[cfg(test)]
mod tests;
