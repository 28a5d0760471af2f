//! Quorum without an asynchronous runtime: for programs with a main loop of their own, such as resource
//! managers, and for simple ones.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let quorum = annulus::client::blocking::Client::connect()?.quorum().clone();
//! println!("quorate: {}", quorum.is_quorate()?);
//! let mut changes = quorum.changes()?; // begins with how it is now
//! loop {
//!     // … poll(2) with `changes.as_fd()` among others …
//!     changes.dispatch(|change| println!("quorate: {}, left {:?}", change.quorate, change.left))?;
//! }
//! # }
//! ```

use std::sync::Arc;

use super::change::{Changes, Snapshot};
use super::{QuorumChange, QuorumInfo, VoteEvent, VoteInfo, calls, votes_if_any};
use crate::ids::{NodeId, RingId, ServiceId};
use crate::service::channel::Dial;
use crate::service::client::blocking::Events;
use crate::service::client::{Error, Line, Source};

/// The way to the quorum of one daemon, or of one node in this process; see
/// [`quorum::Client`](super::Client), whose calls these are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    quorum: Line,
    votes: Line,
}

impl Client {
    /// A client whose connections are opened by `dial`. Nothing is opened yet.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        let quorum = Line::new(Arc::clone(&dial), ServiceId::QUORUM);
        Self { quorum, votes: Line::new(dial, ServiceId::VOTEQUORUM) }
    }

    /// See [`super::Client::is_quorate`].
    ///
    /// # Errors
    /// As there.
    pub fn is_quorate(&self) -> Result<bool, Error> {
        self.quorum.ask_blocking(&calls::is_quorate())
    }

    /// See [`super::Client::info`].
    ///
    /// # Errors
    /// As there.
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

    /// See [`super::Client::changes`].
    ///
    /// # Errors
    /// As there.
    pub fn changes(&self) -> Result<Events<QuorumChange>, Error> {
        let channel = self.quorum.open_blocking()?;
        let mut changes = Changes::new(calls::newer_model().over_blocking(&*channel)?);
        calls::track().over_blocking(&*channel)?;
        Ok(Events::new(Source::new(channel, move |event: &[u8]| changes.read(event))))
    }

    /// See [`super::Client::node`].
    ///
    /// # Errors
    /// As there.
    pub fn node(&self, node: NodeId) -> Result<VoteInfo, Error> {
        self.votes.ask_blocking(&calls::votes(Some(node)))
    }

    /// See [`super::Client::nodes`].
    ///
    /// # Errors
    /// As there.
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

    /// See [`super::Client::set_expected_votes`].
    ///
    /// # Errors
    /// As there.
    pub fn set_expected_votes(&self, votes: u32) -> Result<(), Error> {
        self.votes.ask_blocking(&calls::set_expected(votes))
    }

    /// See [`super::Client::set_votes`].
    ///
    /// # Errors
    /// As there.
    pub fn set_votes(&self, node: NodeId, votes: u32) -> Result<(), Error> {
        self.votes.ask_blocking(&calls::set_votes(node, votes))
    }

    /// See [`super::Client::vote_events`].
    ///
    /// # Errors
    /// As there.
    pub fn vote_events(&self) -> Result<Events<VoteEvent>, Error> {
        let channel = self.votes.open_blocking()?;
        calls::track_votes().over_blocking(&*channel)?;
        Ok(Events::new(Source::new(channel, VoteEvent::read)))
    }

    /// See [`super::Client::register_device`].
    ///
    /// # Errors
    /// As there.
    pub fn register_device(&self, name: &str) -> Result<Device, Error> {
        let register = calls::register_device(name)?;
        let line = self.votes.apart();
        line.ask_blocking(&register)?;
        Ok(Device { line, name: name.to_owned() })
    }
}

/// A quorum device that is registered at this node; see [`quorum::Device`](super::Device).
#[derive(Debug)]
pub struct Device {
    line: Line,
    name: String,
}

impl Device {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// See [`super::Device::poll`].
    ///
    /// # Errors
    /// As there.
    pub fn poll(&self, vote: bool, ring: RingId) -> Result<(), Error> {
        self.line.ask_blocking(&calls::poll_device(&self.name, vote, ring)?)
    }

    /// See [`super::Device::master_wins`].
    ///
    /// # Errors
    /// As there.
    pub fn master_wins(&self, allow: bool) -> Result<(), Error> {
        self.line.ask_blocking(&calls::master_wins(&self.name, allow)?)
    }

    /// See [`super::Device::rename`].
    ///
    /// # Errors
    /// As there.
    pub fn rename(&mut self, name: &str) -> Result<(), Error> {
        self.line.ask_blocking(&calls::rename_device(&self.name, name)?)?;
        name.clone_into(&mut self.name);
        Ok(())
    }

    /// See [`super::Device::unregister`].
    ///
    /// # Errors
    /// As there.
    pub fn unregister(self) -> Result<(), Error> {
        self.line.ask_blocking(&calls::unregister_device(&self.name)?)
    }
}
