//! Quorum without an asynchronous runtime, for simple programs and for programs with a main loop of their
//! own, such as resource managers. Each call fails as the one of the same name in [`quorum::Client`](super::Client) or
//! [`quorum::Device`](super::Device).
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let quorum = annulus::client::blocking::Client::connect()?.quorum().clone();
//! println!("quorate: {}", quorum.is_quorate()?);
//! let mut changes = quorum.changes()?; // begins with the present state
//! loop {
//!     // … poll(2) with `changes.as_fd()` among others …
//!     changes.dispatch(|change| println!("quorate: {}, left {:?}", change.quorate, change.left))?;
//! }
//! # }
//! ```

use super::change::{Changes, Snapshot};
use super::{QuorumChange, QuorumInfo, VoteEvent, VoteInfo, calls, votes_if_any};
use crate::service::client::blocking::Events;
use crate::service::client::{Error, Line, Source};

/// A blocking client of the quorum of one daemon, or of one node in this process, with the calls of
/// [`quorum::Client`](super::Client). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) quorum: Line,
    pub(super) votes: Line,
}

impl Client {
    /// The state of quorum, ring and votes; see [`super::Client::info`].
    pub fn info(&self) -> Result<QuorumInfo, Error> {
        let channel = self.quorum.open_blocking()?;
        let provider = calls::newer_model().over_blocking(&*channel)?;
        calls::state().over_blocking(&*channel)?;
        let mut events = Events::new(Source::new(channel, |event: &[u8]| Snapshot::read(event)));
        let mut snapshot = Snapshot::default();
        while !snapshot.is_complete() {
            if let Some(part) = events.next(None)? {
                snapshot = snapshot.and(part);
            }
        }
        let votes = if provider { votes_if_any(self.votes.ask_blocking(&calls::votes(None)))? } else { None };
        snapshot.info(provider, votes)
    }

    /// Changes of quorum and membership; see [`super::Client::changes`].
    pub fn changes(&self) -> Result<Events<QuorumChange>, Error> {
        let channel = self.quorum.open_blocking()?;
        let mut changes = Changes::new(calls::newer_model().over_blocking(&*channel)?);
        calls::track().over_blocking(&*channel)?;
        Ok(Events::new(Source::new(channel, move |event: &[u8]| changes.read(event))))
    }

    /// The votes of all known nodes; see [`super::Client::nodes`].
    pub fn nodes(&self) -> Result<Vec<VoteInfo>, Error> {
        let channel = self.votes.open_blocking()?;
        calls::vote_state().over_blocking(&*channel)?;
        let mut events = Events::new(Source::new(channel, VoteEvent::read));
        let known = loop {
            if let Some(VoteEvent::Quorum { nodes, .. }) = events.next(None)? {
                break nodes;
            }
        };
        let mut nodes = Vec::with_capacity(known.len());
        for (node, _) in known {
            nodes.push(self.node(node)?);
        }
        Ok(nodes)
    }

    /// Events of votequorum; see [`super::Client::vote_events`].
    pub fn vote_events(&self) -> Result<Events<VoteEvent>, Error> {
        let channel = self.votes.open_blocking()?;
        calls::track_votes().over_blocking(&*channel)?;
        Ok(Events::new(Source::new(channel, VoteEvent::read)))
    }

    /// Registers a quorum device; see [`super::Client::register_device`].
    pub fn register_device(&self, name: &str) -> Result<Device, Error> {
        let register = calls::register_device(name)?;
        let line = self.votes.apart();
        line.ask_blocking(&register)?;
        Ok(Device { line, name: name.to_owned() })
    }
}

/// A quorum device registered at this node, for blocking programs; see [`quorum::Device`](super::Device).
#[derive(Debug)]
pub struct Device {
    pub(super) line: Line,
    pub(super) name: String,
}

impl Device {
    /// The name of the device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renames the device; see [`super::Device::rename`].
    pub fn rename(&mut self, name: &str) -> Result<(), Error> {
        self.line.ask_blocking(&calls::rename_device(&self.name, name)?)?;
        name.clone_into(&mut self.name);
        Ok(())
    }

    /// Unregisters the device; see [`super::Device::unregister`].
    pub fn unregister(self) -> Result<(), Error> {
        self.line.ask_blocking(&calls::unregister_device(&self.name)?)
    }
}
