//! The distribution of a new key, generated on one node, to all nodes of the cluster: a pure state machine.
//!
//! The key is sent through the ring, encrypted with the old one ([`KeyTalk::Offer`]). Every node stores it beside its
//! key file, accepts packets sealed with it from then on, and multicasts that. With the last such message, which has
//! the same place in the order everywhere, the change is decided: the ring switches to the key as after a reload
//! ([`super::rekey`]), then each node replaces its old key file with it and multicasts that. If a node cannot store
//! the key, or does not answer in time, the change is given up everywhere and the stored key is removed.
//!
//! No node sends with the new key before all have stored it, so a node that fails in between finds it beside the old
//! one, and accepts both. If the ring breaks before the decision, a node cannot know whether the others have decided,
//! and keeps the stored key until it receives a message that shows it.
//!
//! Before a new key is generated, all nodes are asked which key they use ([`super::survey`]), so the key is not sent
//! on a ring on which a node cannot accept it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::key_use::{KeyUse, NodeKey};
use super::reload::named;
use super::wire::RoundId;
use super::wire::keytalk::KeyTalk;
use crate::error::Status;
use crate::ids::{ConnId, NodeId};
use crate::secret::Secret;
use crate::time::{Instant, earliest};
use crate::view::View;

/// How long nodes may take to store a key.
pub(super) const STORE_PATIENCE: Duration = Duration::from_secs(10);
/// Time limit for the whole change after the decision, and for everything before a key is offered.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// An action for the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Generate a key; it is passed to [`Rotation::made`].
    Make,
    /// Multicast this message to all members.
    Say(KeyTalk),
    /// Store the key beside the one with this fingerprint, and accept packets sealed with it; the outcome is
    /// passed to [`Rotation::stored`].
    Store(Secret, u64),
    /// Replace the old key file with the stored key, which is in use already; the outcome is passed to
    /// [`Rotation::kept`].
    Keep,
    /// Remove the stored key.
    Drop,
    /// Switch the ring to the stored key.
    Begin,
    /// Answer a client.
    Answer(ConnId, Status, String, Vec<NodeKey>),
}

#[derive(Debug)]
enum Stage {
    /// Nodes are storing the key; `until`: when to multicast the time-out.
    Storing { stored: BTreeSet<NodeId>, until: Option<Instant> },
    /// The change is decided, and the ring switches to the new key.
    Decided(Decided),
}

#[derive(Debug)]
struct Decided {
    /// The key in use at the nodes that have replaced their key file.
    uses: BTreeMap<NodeId, KeyUse>,
    /// Nodes that use the new key but could not replace their key file, with the reason.
    failed: BTreeMap<NodeId, String>,
    /// Nodes that left the ring after the decision. They have stored the key.
    gone: BTreeSet<NodeId>,
    until: Instant,
}

#[derive(Debug)]
struct Round {
    id: RoundId,
    nodes: BTreeSet<NodeId>,
    /// The client that waits for the result.
    client: Option<ConnId>,
    stage: Stage,
}

/// The state of a change of the key at this node.
#[derive(Debug)]
pub(super) struct Rotation {
    me: NodeId,
    ring: u64,
    members: BTreeSet<NodeId>,
    count: u32,
    /// A client whose key is being generated or offered, and the time until which it waits.
    asked: Option<(ConnId, Instant)>,
    round: Option<Round>,
    /// The change is decided, and the ring has not switched yet.
    switching: bool,
    acts: Vec<Act>,
}

impl Rotation {
    pub(super) const fn new(me: NodeId) -> Self {
        Self {
            me,
            ring: 0,
            members: BTreeSet::new(),
            count: 0,
            asked: None,
            round: None,
            switching: false,
            acts: Vec::new(),
        }
    }

    /// Takes the actions that are due, in this order.
    pub(super) fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// Whether a change of the key is running.
    pub(super) const fn is_running(&self) -> bool {
        self.round.is_some() || self.switching
    }

    /// Handles a client's request for a new key.
    pub(super) fn ask(&mut self, conn: ConnId, now: Instant) {
        if self.asked.is_some() || self.is_running() {
            return self.refuse(
                conn,
                Status::TryAgain,
                "the key is being changed already; ask again when that is over",
            );
        }
        self.asked = Some((conn, now + PATIENCE));
        self.acts.push(Act::Make);
    }

    /// A client has disconnected. A change that it began continues.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.asked.take_if(|(asked, _)| *asked == conn);
        if let Some(round) = &mut self.round {
            round.client.take_if(|client| *client == conn);
        }
    }

    /// Handles a generated key, which is to replace the one with this fingerprint; or the reason why that
    /// cannot be replaced.
    pub(super) fn made(&mut self, outcome: Result<(Secret, u64), String>) {
        let Some((conn, _)) = self.asked else { return };
        match outcome {
            Ok((key, in_use)) => {
                let round = RoundId { node: self.me.get(), ring: self.ring, count: self.count };
                self.count = self.count.wrapping_add(1);
                self.acts.push(Act::Say(KeyTalk::Offer { round, in_use, key }));
            }
            Err(why) => {
                self.asked = None;
                self.refuse(conn, Status::InvalidParam, &why);
            }
        }
    }

    /// Handles the result of storing the key at this node.
    pub(super) fn stored(&mut self, outcome: Result<(), String>) {
        match &self.round {
            Some(Round { id, stage: Stage::Storing { .. }, .. }) => {
                let id = *id;
                self.acts.push(Act::Say(match outcome {
                    Ok(()) => KeyTalk::Stored(id),
                    Err(why) => KeyTalk::Refused(id, why),
                }));
            }
            // All nodes, this one included, have announced that they have stored it.
            Some(Round { stage: Stage::Decided(_), .. }) => {}
            // The change was given up in the meantime; nobody can have decided without this node's message.
            None => self.acts.push(Act::Drop),
        }
    }

    /// The ring has switched to the new key.
    pub(super) fn switched(&mut self) {
        if std::mem::take(&mut self.switching) {
            self.acts.push(Act::Keep);
        }
    }

    /// Handles the result of [`Act::Keep`]: the key in use, or the reason why the key file was not replaced.
    pub(super) fn kept(&mut self, outcome: Result<(u64, String), String>) {
        if let Some(Round { id, stage: Stage::Decided(_), .. }) = self.round {
            self.acts.push(Act::Say(match outcome {
                Ok((print, suite)) => KeyTalk::Uses { round: id, print, next: None, suite },
                Err(why) => KeyTalk::Refused(id, why),
            }));
        }
    }

    /// Handles a message of a node of annulusd, in the order of all messages.
    pub(super) fn heard(&mut self, from: NodeId, talk: KeyTalk, now: Instant) {
        let talks_of = match &talk {
            KeyTalk::Offer { round, .. } | KeyTalk::Uses { round, .. } => *round,
            KeyTalk::Stored(round) | KeyTalk::Refused(round, _) | KeyTalk::Expire(round) => *round,
            // These messages belong to a survey.
            KeyTalk::Ask(_) => return,
        };
        if let KeyTalk::Offer { key, in_use, .. } = talk {
            return self.offered(from, talks_of, key, in_use, now);
        }
        let Some(round) =
            self.round.as_mut().filter(|round| round.id == talks_of && round.nodes.contains(&from))
        else {
            return;
        };
        match (&mut round.stage, talk) {
            (Stage::Storing { stored, .. }, KeyTalk::Stored(_)) => {
                stored.insert(from);
                self.decide(now);
            }
            (Stage::Storing { .. }, KeyTalk::Refused(_, why)) => {
                self.give_up(Status::InvalidParam, &format!("node {from}: {why}"));
            }
            (Stage::Storing { stored, .. }, KeyTalk::Expire(_)) => {
                let silent: Vec<NodeId> = round.nodes.difference(stored).copied().collect();
                let why = format!(
                    "{} did not store the new key in time. Nodes of Corosync cannot: give all nodes a new key file by \
                     hand and reload",
                    named(&silent)
                );
                self.give_up(Status::Timeout, &why);
            }
            (Stage::Decided(decided), KeyTalk::Uses { print, next, suite, .. }) => {
                decided.uses.insert(from, KeyUse::Uses { print, next, suite });
                self.conclude();
            }
            (Stage::Decided(decided), KeyTalk::Refused(_, why)) => {
                decided.failed.insert(from, why);
                self.conclude();
            }
            (Stage::Storing { .. }, KeyTalk::Uses { .. } | KeyTalk::Offer { .. } | KeyTalk::Ask(_))
            | (
                Stage::Decided(_),
                KeyTalk::Stored(_) | KeyTalk::Expire(_) | KeyTalk::Offer { .. } | KeyTalk::Ask(_),
            ) => {}
        }
    }

    /// Handles a new ring.
    pub(super) fn view(&mut self, view: &View) {
        self.ring = view.ring.seq;
        self.members = view.members.iter().copied().collect();
        let Some(round) = &mut self.round else { return };
        match &mut round.stage {
            // Also if the members are the same: some of them may have been on another ring in between.
            Stage::Storing { .. } => {
                let why = "the ring changed while nodes stored the new key. They keep it beside the old one, which is in \
                           use as before; when all nodes are on the ring again, ask again for a new key";
                tracing::warn!("The key was not changed: {why}");
                if let Some(conn) = self.round.take().and_then(|round| round.client) {
                    self.refuse(conn, Status::TryAgain, why);
                }
            }
            Stage::Decided(decided) => {
                decided.gone.extend(round.nodes.difference(&self.members));
                self.conclude();
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let round = self.round.as_ref().and_then(|round| match &round.stage {
            Stage::Storing { until, .. } => *until,
            Stage::Decided(Decided { until, .. }) => Some(*until),
        });
        earliest([round, self.asked.map(|(_, until)| until)])
    }

    pub(super) fn expired(&mut self, now: Instant) {
        if let Some((conn, _)) = self.asked.take_if(|(_, until)| *until <= now) {
            self.refuse(
                conn,
                Status::Timeout,
                "there was no ring for too long on which a key could be offered",
            );
        }
        let Some(round) = &mut self.round else { return };
        match &mut round.stage {
            Stage::Storing { until, .. } => {
                if until.take_if(|until| *until <= now).is_some() {
                    self.acts.push(Act::Say(KeyTalk::Expire(round.id)));
                }
            }
            Stage::Decided(Decided { until, .. }) if *until <= now => self.end(),
            Stage::Decided(_) => {}
        }
    }

    fn offered(&mut self, from: NodeId, id: RoundId, key: Secret, in_use: u64, now: Instant) {
        let client = self.asked.take_if(|_| from == self.me).map(|(conn, _)| conn);
        if self.is_running() || id.node != from.get() {
            if let Some(conn) = client {
                self.refuse(
                    conn,
                    Status::TryAgain,
                    "another node is changing the key; ask again when that is over",
                );
            }
            return;
        }
        tracing::info!("Node {from} offers a new key");
        let stage = Stage::Storing { stored: BTreeSet::new(), until: Some(now + STORE_PATIENCE) };
        self.round = Some(Round { id, nodes: self.members.clone(), client, stage });
        self.acts.push(Act::Store(key, in_use));
    }

    fn decide(&mut self, now: Instant) {
        let Some(round) = &mut self.round else { return };
        if let Stage::Storing { stored, .. } = &round.stage
            && round.nodes.is_subset(stored)
        {
            tracing::info!("All nodes have stored the new key: the ring goes over to it");
            round.stage = Stage::Decided(Decided {
                uses: BTreeMap::new(),
                failed: BTreeMap::new(),
                gone: BTreeSet::new(),
                until: now + PATIENCE,
            });
            self.switching = true;
            self.acts.push(Act::Begin);
        }
    }

    fn give_up(&mut self, status: Status, why: &str) {
        tracing::error!("The key was not changed, the old one stays in use: {why}");
        self.acts.push(Act::Drop);
        if let Some(conn) = self.round.take().and_then(|round| round.client) {
            self.refuse(conn, status, why);
        }
    }

    fn conclude(&mut self) {
        if let Some(Round { nodes, stage: Stage::Decided(decided), .. }) = &self.round
            && nodes.iter().all(|node| decided.has_ended(*node))
        {
            self.end();
        }
    }

    /// Ends the change and reports its result.
    fn end(&mut self) {
        let Some(Round { nodes, client, stage: Stage::Decided(mut decided), .. }) = self.round.take() else {
            return;
        };
        let silent: Vec<NodeId> = nodes.iter().filter(|node| !decided.has_ended(**node)).copied().collect();
        let mut why: Vec<String> = decided
            .failed
            .iter()
            .map(|(node, why)| format!("node {node} uses the new key, but {why}"))
            .collect();
        if !silent.is_empty() {
            why.push(format!(
                "{}: the new key is stored there, and it was not said in time that it is used; see annulus key status",
                named(&silent)
            ));
        }
        let status = match (decided.failed.is_empty(), silent.is_empty()) {
            (true, true) => Status::Ok,
            (false, _) => Status::Library,
            (true, false) => Status::Timeout,
        };
        let Some(conn) = client else { return };
        let keys = nodes.into_iter().map(|node| {
            let gone = if decided.gone.contains(&node) { KeyUse::Away } else { KeyUse::Silent };
            NodeKey { node, uses: decided.uses.remove(&node).unwrap_or(gone) }
        });
        let keys = keys.collect();
        self.acts.push(Act::Answer(conn, status, why.join("; "), keys));
    }

    fn refuse(&mut self, conn: ConnId, status: Status, why: &str) {
        self.acts.push(Act::Answer(conn, status, why.to_owned(), Vec::new()));
    }
}

impl Decided {
    /// Whether nothing more is awaited of a node.
    fn has_ended(&self, node: NodeId) -> bool {
        self.uses.contains_key(&node) || self.failed.contains_key(&node) || self.gone.contains(&node)
    }
}

#[cfg(test)]
mod tests;
