//! The agreement of all members on a reload before any of them applies its new file: a pure state machine.
//!
//! The node whose client asks for a reload calls for members that can judge ([`Talk::Call`], [`Talk::Here`]). If all
//! can, it proposes a round ([`Talk::Propose`]): every member reads its file and multicasts its verdict. With the
//! last verdict, which has the same place in the order of messages at all members, all know the outcome. Time is
//! local, so a time-out must be a message, too: a member that has waited long enough multicasts it
//! ([`Talk::Expire`]), and if it comes before the last verdict, the reload is refused everywhere.
//!
//! A member that does not answer the call is one of Corosync's, which know one message only: then each member decides
//! for itself.
//!
//! A member that leaves is not awaited. A member that joins has not been asked: the round is dropped and proposed
//! again. Proposals that come during a round are combined to one further round, the same at every member.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::verdicts::{Decision, decide};
use crate::admin::reloaded::{NodeOutcome, NodeReload};
use crate::admin::wire::talk::{self, Accepted, Verdict};
use crate::admin::wire::{RoundId, Talk};
use crate::config::fingerprint::{self, Fingerprint};
use crate::config::nodelist;
use crate::error::Status;
use crate::ids::{ConnId, NodeId};
use crate::time::{Instant, earliest};
use crate::view::View;

/// How long members may take to answer a call; a member that does not is taken for one of Corosync's.
pub(super) const CALL_PATIENCE: Duration = Duration::from_secs(2);
/// How long members may take to read their files.
pub(super) const VERDICT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may wait for a ring on which a round can be proposed.
pub(super) const ASK_PATIENCE: Duration = Duration::from_secs(30);
/// Largest number of clients that wait for reloads.
const WAITING_LIMIT: usize = 1024;
/// Largest number of rounds: the running one, and one for all proposals that come during it.
const ROUNDS: usize = 2;

// A verdict has room for every file that can be read.
const _: () = assert!(talk::NODE_LIMIT >= nodelist::NODE_LIMIT);
const _: () = assert!(talk::SETTINGS_LIMIT >= fingerprint::SETTINGS_LIMIT);

/// An action for the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Act {
    /// Multicast this message to all members.
    Say(Talk),
    /// Multicast Corosync's reload message, on behalf of this client.
    SayPlain(ConnId),
    /// Read the file; the outcome is passed to [`Agreement::judged`].
    Read,
    /// Apply the file that was read last.
    Adopt {
        /// The clients that wait for it.
        waiting: Vec<ConnId>,
        /// The result at each member.
        nodes: Vec<NodeReload>,
    },
    /// Discard the file that was read last.
    Drop,
    /// The reload is refused.
    Refuse {
        /// The clients that wait for it.
        waiting: Vec<ConnId>,
        /// The status of the answer to each of them.
        status: Status,
        /// The reason, for the log.
        why: String,
    },
    /// Tell these clients that the reload did not take place; nothing is recorded.
    GiveUp(Vec<ConnId>),
}

/// This node's judgement of its own file.
#[derive(Clone, Debug, Default)]
pub(in crate::admin) struct Judged {
    pub(in crate::admin) fingerprint: Fingerprint,
    /// The changed settings that need a restart.
    pub(in crate::admin) kept: Vec<String>,
}

/// A client, and the time until which it waits for a round to be proposed.
type Asker = (ConnId, Instant);

/// The purpose of reading the file.
#[derive(Debug)]
enum Reading {
    Round(RoundId),
    Plain(Vec<ConnId>),
}

/// The state of the call for members on this ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    No,
    Sent,
    Heard { until: Instant },
    Over,
}

#[derive(Debug)]
struct Round {
    id: RoundId,
    /// The nodes whose verdicts count: the members at the beginning of the round, without those that left.
    nodes: BTreeSet<NodeId>,
    verdicts: BTreeMap<NodeId, Verdict>,
    /// When to multicast the time-out; `None`: the round has not begun, or the time-out was sent.
    until: Option<Instant>,
    /// Whether this node need not read its file for the round any more.
    judged: bool,
    waiting: Vec<Asker>,
}

/// The state of reloads at this node.
#[derive(Debug)]
pub(in crate::admin) struct Agreement {
    me: NodeId,
    /// Whether this node has a configuration file.
    managed: bool,
    ring: u64,
    members: BTreeSet<NodeId>,
    /// The members of this ring that can judge, as far as all members know.
    able: BTreeSet<NodeId>,
    /// Whether this node has announced that it can judge.
    said: bool,
    call: Call,
    /// The clients that wait for a round to be proposed.
    asked: Vec<Asker>,
    /// The round that was proposed and not delivered yet, and the clients that wait for it.
    proposed: Option<(RoundId, Vec<Asker>)>,
    count: u32,
    rounds: VecDeque<Round>,
    /// The content of this node's file, read for the running round.
    own: Option<Fingerprint>,
    /// A reload in Corosync's way that is to be done, and the clients that wait for it.
    plain: Option<Vec<ConnId>>,
    reading: Option<Reading>,
    acts: Vec<Act>,
}

impl Agreement {
    pub(in crate::admin) fn new(me: NodeId, managed: bool) -> Self {
        Self {
            me,
            managed,
            ring: 0,
            members: BTreeSet::new(),
            able: BTreeSet::new(),
            said: false,
            call: Call::No,
            asked: Vec::new(),
            proposed: None,
            count: 0,
            rounds: VecDeque::new(),
            own: None,
            plain: None,
            reading: None,
            acts: Vec::new(),
        }
    }

    /// Takes the actions that are due, in this order.
    pub(in crate::admin) fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// Whether the number of waiting clients has reached its limit.
    pub(in crate::admin) fn is_full(&self) -> bool {
        let asked = self.asked.len() + self.proposed.as_ref().map_or(0, |(_, askers)| askers.len());
        let rounds: usize = self.rounds.iter().map(|round| round.waiting.len()).sum();
        let plain = self.plain.as_ref().map_or(0, Vec::len)
            + match &self.reading {
                Some(Reading::Plain(waiting)) => waiting.len(),
                Some(Reading::Round(_)) | None => 0,
            };
        asked + rounds + plain >= WAITING_LIMIT
    }

    /// Handles a client's request for a reload.
    pub(in crate::admin) fn ask(&mut self, conn: ConnId, now: Instant) {
        self.asked.push((conn, now + ASK_PATIENCE));
        self.propose();
    }

    /// A client has disconnected.
    pub(in crate::admin) fn forget(&mut self, conn: ConnId) {
        let askers = self.rounds.iter_mut().map(|round| &mut round.waiting);
        let askers = askers.chain([&mut self.asked]).chain(self.proposed.as_mut().map(|(_, askers)| askers));
        askers.for_each(|askers| askers.retain(|(other, _)| *other != conn));
        if let Some(waiting) = &mut self.plain {
            waiting.retain(|other| *other != conn);
        }
        if let Some(Reading::Plain(waiting)) = &mut self.reading {
            waiting.retain(|other| *other != conn);
        }
    }

    /// Corosync's reload message was delivered: this node reads its file and decides for itself.
    pub(in crate::admin) fn plain(&mut self, conn: Option<ConnId>) {
        if self.managed {
            self.plain.get_or_insert_default().extend(conn);
            self.read();
        }
    }

    /// Handles a message of a node of annulusd, in the order of all messages.
    pub(in crate::admin) fn heard(&mut self, from: NodeId, talk: Talk, now: Instant) {
        match talk {
            Talk::Call => {
                if !self.said {
                    self.said = true;
                    self.acts.push(Act::Say(Talk::Here));
                }
                if from == self.me && self.call == Call::Sent {
                    self.call = Call::Heard { until: now + CALL_PATIENCE };
                }
            }
            Talk::Here => {
                if self.members.contains(&from) {
                    self.able.insert(from);
                }
                self.propose();
            }
            Talk::Propose(id) => self.proposed(from, id, now),
            Talk::Verdict(id, verdict) => {
                if let Some(round) = self.rounds.front_mut().filter(|round| round.id == id)
                    && round.nodes.contains(&from)
                {
                    round.verdicts.entry(from).or_insert(verdict);
                    self.conclude(now);
                }
            }
            Talk::Expire(id) => {
                let runs = self.rounds.front().is_some_and(|round| round.id == id);
                if runs && self.rounds[0].nodes.contains(&from) {
                    self.decide(now);
                }
            }
        }
    }

    /// Handles a new ring.
    pub(in crate::admin) fn view(&mut self, view: &View, now: Instant) {
        self.ring = view.ring.seq;
        self.members = view.members.iter().copied().collect();
        self.able.clear();
        self.said = false;
        self.call = Call::No;
        let newcomers = |round: &Round| !self.members.is_subset(&round.nodes);
        if self.rounds.front().is_some_and(newcomers) {
            tracing::info!(
                "A node joined before all members had judged the reload: they are asked once more"
            );
            for round in self.rounds.drain(..) {
                self.asked.extend(round.waiting);
            }
            self.acts.push(Act::Drop);
            self.own = None;
        } else if let Some(round) = self.rounds.front_mut() {
            round.nodes.retain(|node| self.members.contains(node));
            self.conclude(now);
        }
        self.propose();
        self.read();
    }

    /// Whether the file is being read for a reload in Corosync's way, because a node of Corosync is on the
    /// ring.
    pub(in crate::admin) const fn is_plain(&self) -> bool {
        matches!(self.reading, Some(Reading::Plain(_)))
    }

    /// Handles the result of reading this node's file.
    pub(in crate::admin) fn judged(&mut self, outcome: Result<Judged, String>) {
        match self.reading.take() {
            Some(Reading::Plain(waiting)) => self.plain_judged(waiting, outcome),
            Some(Reading::Round(id)) if self.rounds.front().is_some_and(|round| round.id == id) => {
                self.rounds[0].judged = true;
                let verdict = match outcome {
                    Ok(judged) => {
                        let Judged { fingerprint, kept } = judged;
                        let accepted = Accepted {
                            nodes: fingerprint.nodes.iter().map(|(id, hash)| (id.get(), *hash)).collect(),
                            settings: fingerprint.settings.keys().copied().collect(),
                            kept: kept.join("\n"),
                        };
                        self.own = Some(fingerprint);
                        Verdict::Accept(accepted)
                    }
                    Err(why) => Verdict::Refuse(why),
                };
                self.acts.push(Act::Say(Talk::Verdict(id, verdict)));
            }
            Some(Reading::Round(_)) | None => self.acts.push(Act::Drop), // the round has ended
        }
        self.read();
    }

    pub(in crate::admin) fn deadline(&self) -> Option<Instant> {
        let call = match self.call {
            Call::Heard { until } if !self.asked.is_empty() => Some(until),
            Call::Heard { .. } | Call::No | Call::Sent | Call::Over => None,
        };
        let round = self.rounds.front().and_then(|round| round.until);
        let asked = self.asked.iter().map(|(_, until)| *until).min();
        earliest([call, round, asked])
    }

    pub(in crate::admin) fn expired(&mut self, now: Instant) {
        if let Call::Heard { until } = self.call
            && until <= now
        {
            self.call = Call::Over;
        }
        if let Some(round) = self.rounds.front_mut()
            && round.until.is_some_and(|until| until <= now)
        {
            round.until = None;
            self.acts.push(Act::Say(Talk::Expire(round.id)));
        }
        self.propose();
        let overdue: Vec<ConnId> =
            self.asked.extract_if(.., |(_, until)| *until <= now).map(|(conn, _)| conn).collect();
        if !overdue.is_empty() {
            self.acts.push(Act::GiveUp(overdue));
        }
    }

    /// Proposes a round if clients wait for one and it is known which members can judge.
    fn propose(&mut self) {
        if self.asked.is_empty() || self.proposed.is_some() || self.members.is_empty() {
            return;
        }
        if self.members.is_subset(&self.able) {
            let id = RoundId { node: self.me.get(), ring: self.ring, count: self.count };
            self.count = self.count.wrapping_add(1);
            self.proposed = Some((id, std::mem::take(&mut self.asked)));
            self.acts.push(Act::Say(Talk::Propose(id)));
            return;
        }
        match self.call {
            Call::No => {
                self.call = Call::Sent;
                self.acts.push(Act::Say(Talk::Call));
            }
            Call::Sent | Call::Heard { .. } => {}
            Call::Over => {
                let unable: Vec<u32> = self.members.difference(&self.able).map(|node| node.get()).collect();
                tracing::info!(
                    ?unable,
                    "these members cannot be asked what they make of their files (Corosync?): each member judges \
                     for itself"
                );
                let asked = std::mem::take(&mut self.asked);
                self.acts.extend(asked.into_iter().map(|(conn, _)| Act::SayPlain(conn)));
            }
        }
    }

    /// Handles a proposal at its place in the order.
    fn proposed(&mut self, from: NodeId, id: RoundId, now: Instant) {
        let mine = self.proposed.take_if(|(own, _)| from == self.me && *own == id);
        let mut waiting = mine.map(|(_, waiting)| waiting).unwrap_or_default();
        if !self.members.is_subset(&self.able) || id.node != from.get() {
            // It was meant for another ring, as all members of this one can see.
            self.asked.append(&mut waiting);
            self.propose();
            return;
        }
        tracing::info!("Config reload requested by node {from}");
        if let Some(last) = self.rounds.get_mut(ROUNDS - 1) {
            last.waiting.append(&mut waiting);
        } else {
            let (nodes, verdicts) = (BTreeSet::new(), BTreeMap::new());
            self.rounds.push_back(Round { id, nodes, verdicts, until: None, judged: false, waiting });
            if self.rounds.len() == 1 {
                self.begin(now);
            }
        }
        self.propose();
    }

    /// Begins the first round of the queue.
    fn begin(&mut self, now: Instant) {
        let Some(round) = self.rounds.front_mut() else { return };
        round.nodes.clone_from(&self.members);
        round.until = Some(now + VERDICT_PATIENCE);
        if !self.managed {
            round.judged = true;
            self.acts.push(Act::Say(Talk::Verdict(round.id, Verdict::NoFile)));
        }
        self.read();
    }

    /// Orders to read the file, if that is necessary and not being done.
    fn read(&mut self) {
        if self.reading.is_some() {
            return;
        }
        if let Some(round) = self.rounds.front().filter(|round| !round.judged) {
            self.reading = Some(Reading::Round(round.id));
        } else if self.rounds.is_empty()
            && let Some(waiting) = self.plain.take()
        {
            self.reading = Some(Reading::Plain(waiting));
        } else {
            return;
        }
        self.acts.push(Act::Read);
    }

    fn plain_judged(&mut self, waiting: Vec<ConnId>, outcome: Result<Judged, String>) {
        match outcome {
            Ok(judged) => {
                let others = self.members.iter().filter(|node| **node != self.me);
                let told =
                    |node: &NodeId| NodeReload { node: *node, outcome: NodeOutcome::Told, kept: Vec::new() };
                let mut nodes: Vec<NodeReload> = others.map(told).collect();
                nodes.push(NodeReload { node: self.me, outcome: NodeOutcome::Applied, kept: judged.kept });
                nodes.sort_by_key(|node| node.node);
                self.acts.push(Act::Adopt { waiting, nodes });
            }
            Err(why) => {
                self.acts.push(Act::Drop);
                self.acts.push(Act::Refuse { waiting, status: Status::InvalidParam, why });
            }
        }
    }

    /// Decides if all verdicts have been received.
    fn conclude(&mut self, now: Instant) {
        let Some(round) = self.rounds.front() else { return };
        if round.nodes.iter().all(|node| round.verdicts.contains_key(node)) {
            self.decide(now);
        }
    }

    /// Ends the running round with a decision.
    fn decide(&mut self, now: Instant) {
        let Some(round) = self.rounds.pop_front() else { return };
        let Round { id, nodes, mut verdicts, waiting, .. } = round;
        let waiting: Vec<ConnId> = waiting.into_iter().map(|(conn, _)| conn).collect();
        let own = self.own.take();
        match decide(&nodes, &verdicts, NodeId::new(id.node), own.as_ref()) {
            Decision::Apply if self.managed => {
                let outcome = |node: NodeId| match verdicts.remove(&node) {
                    Some(Verdict::Accept(accepted)) => NodeReload {
                        node,
                        outcome: NodeOutcome::Applied,
                        kept: accepted.kept.lines().map(str::to_owned).collect(),
                    },
                    Some(Verdict::NoFile | Verdict::Refuse(_)) | None => {
                        NodeReload { node, outcome: NodeOutcome::NoFile, kept: Vec::new() }
                    }
                };
                let nodes = nodes.into_iter().map(outcome).collect();
                self.acts.push(Act::Adopt { waiting, nodes });
            }
            Decision::Apply => {}
            Decision::Refuse { status, why } => {
                self.acts.push(Act::Drop);
                self.acts.push(Act::Refuse { waiting, status, why });
            }
        }
        self.begin(now);
        self.read();
    }
}
