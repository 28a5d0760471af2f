//! The administration desk: ids and addresses of nodes, the state of links, and orders of operators: to
//! reload, to shut down, to end another node.
//!
//! No request is held back while the ring is busy: a message that cannot be multicast now waits here, up to a
//! limit, and is sent with the next token.
//!
//! Source: corosync `exec/cfg.c`; the manual pages of `corosync_cfg_*(3)`.

use core::net::IpAddr;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use zeroize::Zeroizing;

use super::detection::{self, Detection};
use super::key_use::{KeyUse, NodeKey};
use super::leaving_out::{self, LeavingOut};
use super::majority::have_a_majority;
use super::rekey::{self, Rekey};
use super::reload::{self, Act, Agreement, Judged};
use super::reloaded::{NodeOutcome, NodeReload, Reload};
use super::rotation::{self, Rotation};
use super::shutdown::{Manner, Verdict, Vote};
use super::status::{LinkStatus, NodeStatus, OwnLink, own_watched, watched};
use super::survey::{self, Purpose, Survey};
use super::wire::complaint::Why;
use super::wire::keytalk::KEY_LIMIT;
use super::wire::reply::refusal;
use super::wire::request::number;
use super::wire::{self, Complaint, Exec, KeyTalk, Need, Ours, Question, Reply};
use super::wire::{keys, report};
use crate::config::Config;
use crate::config::fingerprint::Fingerprint;
use crate::config::key::{Key, MOST};
use crate::config::timeouts::Timeouts;
use crate::error::Status;
use crate::ids::{ConnId, Guarantee, NodeId, ServiceId};
use crate::quiet::Quiet;
use crate::secret::Secret;
use crate::service::{Context, Delivery, Exclude, Full, Links, Order, Request, Service, Synchronised};
use crate::time::{Instant, earliest};
use crate::view::{View, ViewKind};

/// Largest number of messages to other nodes that wait for the ring; beyond it clients are told to try again.
const UNSENT_LIMIT: usize = 64;

/// The reason why no new key can be distributed now.
const BUSY: &str = "the ring is changing its key, cipher or hash; ask again when that is over";

// The offer of a key has room for the longest key.
const _: () = assert!(KEY_LIMIT == MOST);

/// Largest number of clients that wait for the log files to be reopened; further ones are told to try again.
const WAITING_LIMIT: usize = 1024;

/// Default time for programs to answer the question before a shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// The key that sets another time, in ms.
const SHUTDOWN_TIMEOUT_KEY: &str = "cfg.shutdown_timeout";

/// The only version of a node's status that is sent.
const STATUS_VERSION: u32 = 1;

/// Facts about the cluster that the desk is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Each node's addresses in the order of its links; `nodelist.node.X.ringN_addr`.
    pub addresses: BTreeMap<NodeId, Vec<IpAddr>>,
    /// Number of bytes of a message that one packet of the ring holds.
    pub mtu: u32,
    /// Whether orders to reload and to reopen log files are carried out: by a daemon they are, by an
    /// application that is itself a node they are not.
    pub managed: bool,
}

/// The answer to a request; `None`: it follows later.
type Answer = Option<Result<Reply, Status>>;

/// The desk of service 1, CFG.
#[derive(Debug)]
pub(crate) struct Desk {
    me: NodeId,
    facts: Facts,
    /// The members of the ring.
    members: Vec<NodeId>,
    /// The clients that are asked before a shutdown.
    trackers: BTreeSet<ConnId>,
    vote: Option<Vote>,
    /// Clients whose reload message in Corosync's way has not been delivered yet.
    reloading: Vec<ConnId>,
    agreement: Agreement,
    /// The agreement on a token time-out.
    detection: Detection,
    /// The vote on leaving out a member that burdens the ring.
    leaving_out: LeavingOut,
    /// When this node started.
    started: Instant,
    /// The need that could not be multicast yet.
    need: Option<Duration>,
    /// The token time-out that was last logged.
    within: Option<Duration>,
    /// The running change to another key or cipher.
    rekey: Rekey,
    /// The distribution of a new key to all nodes.
    rotation: Rotation,
    /// The queries of clients for the keys of all nodes.
    survey: Survey,
    /// Reloads that are decided and wait for [`Desk::adopted`], each with the clients that wait for it.
    adopting: VecDeque<(Vec<ConnId>, Vec<NodeReload>)>,
    /// Clients that want a report about their reload instead of a status only.
    curious: BTreeSet<ConnId>,
    /// Clients that wait for the log files to be reopened.
    reopening: Vec<ConnId>,
    /// Messages that could not be multicast yet.
    unsent: VecDeque<Unsent>,
    malformed: u64,
    logs: Logs,
}

/// An exec message that could not be multicast yet.
#[derive(Debug)]
struct Unsent {
    function: u16,
    guarantee: Guarantee,
    message: Zeroizing<Vec<u8>>,
}

/// The limits of the log lines that other nodes can cause without limit.
#[derive(Debug, Default)]
struct Logs {
    malformed: Quiet,
    shut_down: Quiet,
    reload: Quiet,
    detection: Quiet,
}

impl Desk {
    /// The desk of this node, without clients.
    pub(crate) fn new(me: NodeId, facts: Facts) -> Self {
        let managed = facts.managed;
        Self {
            me,
            facts,
            members: Vec::new(),
            trackers: BTreeSet::new(),
            vote: None,
            reloading: Vec::new(),
            agreement: Agreement::new(me, managed),
            detection: Detection::default(),
            leaving_out: LeavingOut::new(me),
            started: Instant::ZERO,
            need: None,
            within: None,
            rekey: Rekey::new(me),
            survey: Survey::new(me),
            rotation: Rotation::new(me),
            adopting: VecDeque::new(),
            curious: BTreeSet::new(),
            reopening: Vec::new(),
            unsent: VecDeque::new(),
            malformed: 0,
            logs: Logs::default(),
        }
    }

    /// The facts about the cluster.
    pub(crate) const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Number of exec messages that are too short or have invalid lengths; they are dropped.
    #[cfg(test)]
    pub(crate) const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Whether the ring is changing its key or cipher.
    pub(crate) fn is_rekeying(&self) -> bool {
        self.rekey.is_running()
    }

    /// Whether a new key is being distributed to all nodes.
    pub(crate) fn is_rotating(&self) -> bool {
        self.rotation.is_running()
    }

    /// The result of [`Order::MakeKey`]: the new key with the fingerprint of the one in use, or the reason why there
    /// is none.
    pub(crate) fn key_made(&mut self, outcome: Result<(Key, u64), String>, context: &mut Context<'_>) {
        self.rotation.made(outcome.map(|(key, in_use)| (Secret::new(key.bytes().to_vec()), in_use)));
        self.perform(context);
    }

    /// The result of [`Order::StoreKey`].
    pub(crate) fn key_stored(&mut self, outcome: Result<(), String>, context: &mut Context<'_>) {
        self.rotation.stored(outcome);
        self.perform(context);
    }

    /// The result of [`Order::KeepKey`]: the fingerprint of the key in use with its cipher and hash, or the reason
    /// why the key file was not replaced.
    pub(crate) fn key_kept(&mut self, outcome: Result<(u64, String), String>, context: &mut Context<'_>) {
        self.rotation.kept(outcome);
        self.perform(context);
    }

    /// The result of [`Order::LookAtKey`]: the fingerprint of the key in use, that of the stored new key, and the
    /// cipher and hash.
    pub(crate) fn key_seen(&mut self, print: u64, next: Option<u64>, suite: &str, context: &mut Context<'_>) {
        self.survey.uses(print, next, suite);
        self.perform(context);
    }

    /// The result of [`Order::Reload`]: the configuration that was read, or why it cannot be used. [`Order::Adopt`]
    /// or [`Order::Discard`] follows as soon as all nodes have decided.
    pub(crate) fn judged(&mut self, outcome: Result<&Config, &str>, context: &mut Context<'_>) {
        let beside = |config: &Config| {
            self.agreement.is_plain().then(|| reload::readdressed(config, context.database()))
        };
        let moved = outcome.ok().and_then(beside).flatten();
        let outcome = match moved.as_deref().map_or(outcome, Err) {
            Ok(config) => Ok(Judged {
                fingerprint: Fingerprint::of(config),
                kept: reload::kept(&config.map, context.database())
                    .into_iter()
                    .map(|(key, place)| format!("{key} ({place})"))
                    .collect(),
            }),
            Err(why) => {
                tracing::error!("Unable to reload config file: {why}");
                Err(why.to_owned())
            }
        };
        self.agreement.judged(outcome);
        // Messages are not multicast before `retry`, which the router calls when it is possible.
        self.perform(context);
    }

    /// The result of [`Order::Adopt`] around the stack: applies the configuration to the database, or records
    /// why it could not be applied; then answers the clients that wait for it. `rekeys`: it has another key,
    /// cipher or hash, for which the transport is prepared; [`Order::SwitchKey`] and [`Order::ForgetKey`]
    /// follow.
    pub(crate) fn adopted(
        &mut self,
        outcome: Result<&Config, &str>,
        rekeys: bool,
        context: &mut Context<'_>,
    ) {
        let (waiting, nodes) = self.adopting.pop_front().unwrap_or_default();
        let config = match outcome {
            Ok(config) => config,
            Err(why) => return self.refuse(waiting, Status::InvalidParam, why, context),
        };
        for (key, place) in reload::kept(&config.map, context.database()) {
            tracing::info!(
                "Modified entry '{key}' in corosync.conf cannot be changed at run-time; the old value stays until a \
                 restart ({place})"
            );
        }
        let mut changed = reload::take_over(&config.map, context.database());
        changed.truncate(Reload::NAMES_LIMIT);
        let addresses = config
            .nodes
            .iter()
            .filter_map(|node| Some((node.id?, node.addresses.iter().map(|link| link.address).collect())));
        self.facts.addresses = addresses.collect();
        let beside_corosync = nodes.iter().any(|node| node.outcome == NodeOutcome::Told);
        let report = Reload { changed, nodes };
        self.tell_waiting(waiting, Status::Ok, "", &report, context);
        if rekeys {
            self.rekey.begin(if beside_corosync { Guarantee::Agreed } else { Guarantee::Safe });
            // Messages are not multicast before `retry`, which the router calls when it is possible.
            self.perform(context);
        }
    }

    /// Records and answers a refused reload.
    fn refuse(&mut self, waiting: Vec<ConnId>, status: Status, why: &str, context: &mut Context<'_>) {
        let reasons = why.replace('\n', "; ");
        tracing::error!("Configuration not reloaded; nothing has changed: {reasons}");
        reload::refuse(status, why, context.database());
        self.tell_waiting(waiting, status, why, &Reload::default(), context);
    }

    /// Looks whether a member burdens the ring.
    fn look_for_burdens(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        if let Some(judgement) = context.take_judgement() {
            self.leaving_out.judged(judgement, now);
        }
        let (members, database) = (&self.members, context.database());
        self.leaving_out.look(now, |node| {
            let rest: Vec<NodeId> = members.iter().copied().filter(|member| *member != node).collect();
            have_a_majority(database, &rest)
        });
    }

    fn tell_waiting(
        &mut self,
        waiting: Vec<ConnId>,
        status: Status,
        why: &str,
        report: &Reload,
        context: &mut Context<'_>,
    ) {
        for conn in waiting {
            if self.curious.remove(&conn) {
                context.reply(conn, report::encode(status, why, report));
            } else {
                context.reply(conn, refusal(number::RELOAD, status));
            }
        }
    }

    /// The timers of the configuration at the start, by which the token time-out is limited.
    pub(crate) fn limit(&mut self, timeouts: &Timeouts, started: Instant) {
        self.started = started;
        self.detection.limit(timeouts);
        self.leaving_out.limit(timeouts);
    }

    /// The timers of a new configuration.
    pub(crate) fn detect(&mut self, timeouts: &Timeouts, context: &mut Context<'_>) {
        self.detection.limit(timeouts);
        self.leaving_out.limit(timeouts);
        self.perform(context);
    }

    fn detect_within(&mut self, token: Option<Duration>, context: &mut Context<'_>) {
        context.detect_within(token);
        if self.within != token
            && let Some(held_back) = self.logs.detection.may_speak(context.now())
        {
            self.within = token;
            let held_back = (held_back > 0).then_some(held_back);
            match token {
                Some(token) => {
                    tracing::info!(
                        ms = token.as_millis() as u64,
                        held_back,
                        "the token time-out follows what all members measured"
                    );
                }
                None => tracing::info!(
                    held_back,
                    "the configured token time-out holds: not all members have said what they need"
                ),
            }
        }
    }

    /// Carries out the actions that are due.
    fn act(&mut self, context: &mut Context<'_>) {
        self.perform(context);
        self.send(context);
    }

    /// As `act`, but messages are queued instead of multicast.
    fn perform(&mut self, context: &mut Context<'_>) {
        for act in self.detection.acts() {
            match act {
                detection::Act::Say(need) => self.need = Some(need),
                detection::Act::Use(token) => self.detect_within(token, context),
                detection::Act::Returned(node) => self.leaving_out.returned(node, context.now()),
            }
        }
        for act in self.leaving_out.acts() {
            self.leave_out(act, context);
        }
        for act in self.agreement.acts() {
            match act {
                Act::Say(talk) => {
                    self.later(wire::exec::RING_REENABLE, Guarantee::Safe, talk.encode(self.me));
                }
                Act::SayPlain(conn) => {
                    self.reloading.push(conn);
                    // Delivered here when Corosync's nodes deliver it, which change their key soon after.
                    self.queue(Guarantee::Agreed, &Exec::Reload { conn: conn.0 });
                }
                Act::Read if self.agreement.is_plain() => context.order(Order::ReloadBesideCorosync),
                Act::Read => context.order(Order::Reload),
                Act::Adopt { waiting, nodes } => {
                    self.adopting.push_back((waiting, nodes));
                    context.order(Order::Adopt);
                }
                Act::Drop => context.order(Order::Discard),
                Act::Refuse { waiting, status, why } => self.refuse(waiting, status, &why, context),
                Act::GiveUp(waiting) => {
                    let why = "there was no ring for too long on which all nodes could be asked; ask again";
                    self.tell_waiting(waiting, Status::Timeout, why, &Reload::default(), context);
                }
            }
        }
        loop {
            let (survey, rotation, rekey) = (self.survey.acts(), self.rotation.acts(), self.rekey.acts());
            if survey.is_empty() && rotation.is_empty() && rekey.is_empty() {
                return;
            }
            survey.into_iter().for_each(|act| self.look_at_keys(act, context));
            rotation.into_iter().for_each(|act| self.rotate(act, context));
            rekey.into_iter().for_each(|act| self.change_key(act, context));
        }
    }

    fn leave_out(&mut self, act: leaving_out::Act, context: &mut Context<'_>) {
        match act {
            leaving_out::Act::Say(complaint) => {
                if let Complaint::Against { node, why, .. } = complaint {
                    tracing::warn!(
                        "node {node} {}: this node votes to leave it out of the ring",
                        burden(why)
                    );
                }
                self.later(wire::exec::RING_REENABLE, Guarantee::Safe, complaint.encode(self.me));
            }
            leaving_out::Act::Ignore { node, time } => context.exclude(Exclude::Node(node, time)),
            leaving_out::Act::LeaveOut { node, why, time, complaints, of } => {
                let seconds = time.as_secs();
                let why = burden(why);
                if node == self.me {
                    tracing::error!(
                        "{complaints} of {of} other members found for too long that this node {why}: they leave it out for \
                         {seconds} s, in which it is alone. Check its NIC, cable, switch port and CPU load"
                    );
                    context.exclude(Exclude::Myself(time));
                } else {
                    tracing::error!(
                        "node {node} {why}, as {complaints} of {of} other members found for too long: it is left out of the \
                         ring for {seconds} s. Check its NIC, cable, switch port and CPU load (totem.loss_limit, \
                         totem.loss_patience)"
                    );
                    context.exclude(Exclude::Node(node, time));
                }
            }
        }
    }

    fn look_at_keys(&mut self, act: survey::Act, context: &mut Context<'_>) {
        match act {
            survey::Act::Say(talk) => self.say(&talk),
            survey::Act::Look => context.order(Order::LookAtKey),
            survey::Act::Tell(waiting, mut keys) => {
                let now = context.now();
                let silent = keys.iter().filter(|key| key.uses == KeyUse::Silent).map(|key| key.node);
                let silent: Vec<NodeId> = silent.collect();
                let away = self.facts.addresses.keys().filter(|node| !self.members.contains(node));
                keys.extend(away.map(|node| NodeKey { node: *node, uses: KeyUse::Away }));
                for (conn, purpose) in waiting {
                    match purpose {
                        Purpose::Know => context.reply(conn, keys::encode(Status::Ok, "", &keys)),
                        Purpose::Rotate if silent.is_empty() => self.rotation.ask(conn, now),
                        Purpose::Rotate => {
                            let why = format!(
                                "{} did not say which key is used there. Corosync's nodes cannot, and cannot take a key \
                                 through the ring: give all nodes the same new key file by hand and reload",
                                reload::named(&silent)
                            );
                            context.reply(conn, keys::encode(Status::InvalidParam, &why, &[]));
                        }
                    }
                }
            }
        }
    }

    fn say(&mut self, talk: &KeyTalk) {
        self.later(wire::exec::RING_REENABLE, Guarantee::Safe, talk.encode(self.me));
    }

    fn rotate(&mut self, act: rotation::Act, context: &mut Context<'_>) {
        match act {
            rotation::Act::Make if self.rekey.is_running() => {
                self.rotation.made(Err(BUSY.to_owned()));
            }
            rotation::Act::Make => context.order(Order::MakeKey),
            rotation::Act::Say(talk) => self.say(&talk),
            rotation::Act::Store(..) if self.rekey.is_running() => self.rotation.stored(Err(BUSY.to_owned())),
            rotation::Act::Store(key, in_use) => match Key::new(key.bytes()) {
                Ok(key) => context.order(Order::StoreKey(key, in_use)),
                Err(error) => self.rotation.stored(Err(error.to_string())),
            },
            rotation::Act::Keep => context.order(Order::KeepKey),
            rotation::Act::Drop => context.order(Order::DropKey),
            rotation::Act::Begin => {
                self.rekey.expect();
                // Nodes of Corosync cannot have stored a key, so all members are annulus nodes.
                self.rekey.begin(Guarantee::Safe);
            }
            rotation::Act::Answer(conn, status, why, nodes) => {
                context.reply(conn, keys::encode(status, &why, &nodes));
            }
        }
    }

    fn change_key(&mut self, act: rekey::Act, context: &mut Context<'_>) {
        match act {
            rekey::Act::Say(phase, guarantee) => self.queue(guarantee, &Exec::Crypto { phase }),
            rekey::Act::Switch => {
                tracing::info!("This node sends with the new key, cipher and hash from now on");
                context.order(Order::SwitchKey);
            }
            rekey::Act::Finish => {
                tracing::info!("What is sealed with the old key, cipher and hash is not accepted any more");
                context.order(Order::ForgetKey);
                self.rotation.switched();
            }
        }
    }

    /// The result of [`Order::ReopenLogs`].
    pub(crate) fn logs_reopened(&mut self, status: Status, context: &mut Context<'_>) {
        for conn in std::mem::take(&mut self.reopening) {
            context.reply(conn, refusal(number::REOPEN_LOG_FILES, status));
        }
    }

    fn answer(
        &mut self,
        conn: ConnId,
        function: u16,
        request: wire::Request<'_>,
        context: &mut Context<'_>,
    ) -> Answer {
        use wire::Request as Ask;
        Some(match request {
            Ask::RingStatus => Ok(Reply::RingStatus(self.own_links(context.links()))),
            Ask::NodeStatus { node, version } => {
                let status = match context.links() {
                    Some(links) => watched(node, self.me, &links),
                    None => Some(self.node_status(node)),
                };
                match status {
                    None => Err(Status::FailedOperation),
                    Some(_) if version != STATUS_VERSION => Err(Status::NotSupported),
                    Some(status) => Ok(Reply::NodeStatus(Box::new(status))),
                }
            }
            Ask::NewKey if self.facts.managed => return self.ask_for_keys(conn, Purpose::Rotate, context),
            Ask::Keys => return self.ask_for_keys(conn, Purpose::Know, context),
            Ask::RingReenable | Ask::NewKey => Err(Status::NotSupported),
            Ask::NodeAddrs { node } => self.addresses(node).map(Reply::NodeAddrs).ok_or(Status::NotExist),
            Ask::LocalGet => Ok(Reply::LocalGet(self.me.get())),
            Ask::Kill { node, reason } => self.kill(node, reason, context),
            Ask::Reload { report } => {
                // Otherwise the answer follows when it is done.
                return self.request_reload(conn, report, context).err().map(Err);
            }
            Ask::ReopenLogFiles if self.facts.managed => {
                if self.reopening.len() >= WAITING_LIMIT {
                    return Some(Err(Status::TryAgain));
                }
                self.reopening.push(conn);
                context.order(Order::ReopenLogs);
                return None; // the answer follows when it is done
            }
            Ask::ReopenLogFiles => Err(Status::NotSupported),
            Ask::TrackStart { flags: _ } => {
                self.trackers.insert(conn);
                if let Some(vote) = &mut self.vote
                    && vote.ask(conn)
                {
                    let question = Question { flags: vote.manner().flags() };
                    context.event([conn], &question.encode(), Bytes::new());
                }
                Ok(Reply::Done)
            }
            Ask::TrackStop => {
                // The reply comes first: a verdict that follows may be the answer to another request of this
                // client.
                context.reply(conn, Reply::Done.encode(function));
                self.stop_asking(conn, context);
                return None;
            }
            Ask::TryShutdown { flags } => return self.try_shutdown(conn, Manner::from_flags(flags), context),
            Ask::ReplyToShutdown { response } => {
                let Some(vote) = &mut self.vote else { return Some(Err(Status::Access)) };
                let verdict = vote.answer(conn, response == 1);
                context.reply(conn, Reply::Done.encode(function));
                self.conclude(verdict, context);
                return None;
            }
        })
    }

    fn addresses(&self, node: u32) -> Option<Vec<IpAddr>> {
        let node = if node == 0 { self.me } else { NodeId::new(node)? };
        self.facts.addresses.get(&node).filter(|addresses| !addresses.is_empty()).cloned()
    }

    /// The status of a node on udp and udpu: one link, connected as long as the node is on the ring. An
    /// unknown node has none.
    fn node_status(&self, node: u32) -> NodeStatus {
        let mut status = NodeStatus { node, ..NodeStatus::default() };
        let Some(id) = NodeId::new(node) else { return status };
        if let Some(address) = self.facts.addresses.get(&id).and_then(|addresses| addresses.first()) {
            status.reachable = self.members.contains(&id);
            status.links[0] = LinkStatus {
                enabled: true,
                connected: status.reachable,
                mtu: self.facts.mtu,
                from: address.to_string(),
                ..LinkStatus::default()
            };
        }
        status
    }

    fn own_links(&self, links: Option<Links>) -> Vec<OwnLink> {
        if let Some(links) = links {
            return own_watched(self.me, &links);
        }
        let addresses = self.facts.addresses.get(&self.me).map_or(&[][..], Vec::as_slice);
        let link = |(n, address)| OwnLink { name: format!("{n} {address}"), status: "OK".to_owned() };
        addresses.iter().enumerate().map(link).collect()
    }

    fn kill(&mut self, node: u32, reason: &[u8], context: &mut Context<'_>) -> Result<Reply, Status> {
        let status = context.database().get(&format!("runtime.members.{node}.status"));
        if status.and_then(|status| status.as_text()).as_deref() != Some("joined") {
            return Err(Status::NotExist);
        }
        self.tell_all(&Exec::Kill { node, reason }, context).map(|()| Reply::Done)
    }

    fn request_reload(
        &mut self,
        conn: ConnId,
        report: bool,
        context: &mut Context<'_>,
    ) -> Result<(), Status> {
        if !self.facts.managed {
            return Err(Status::NotSupported);
        }
        if self.agreement.is_full()
            || self.reloading.len() >= WAITING_LIMIT
            || self.unsent.len() >= UNSENT_LIMIT
        {
            return Err(Status::TryAgain);
        }
        if report {
            self.curious.insert(conn);
        }
        self.agreement.ask(conn, context.now());
        self.act(context);
        Ok(())
    }

    fn ask_for_keys(&mut self, conn: ConnId, purpose: Purpose, context: &mut Context<'_>) -> Answer {
        if self.survey.is_full() || self.unsent.len() >= UNSENT_LIMIT {
            return Some(Err(Status::TryAgain));
        }
        self.survey.ask(conn, purpose, context.now());
        self.act(context);
        None // the answer follows when it is done
    }

    fn try_shutdown(&mut self, conn: ConnId, manner: Manner, context: &mut Context<'_>) -> Answer {
        if manner == Manner::Immediate {
            return Some(self.tell_all(&Exec::Shutdown, context).map(|()| Reply::Done));
        }
        if self.vote.is_some() {
            return Some(Err(Status::Exist));
        }
        let timeout = context.database().get(SHUTDOWN_TIMEOUT_KEY).and_then(|value| value.number());
        let timeout =
            timeout.and_then(|ms| ms.try_into().ok()).map_or(SHUTDOWN_TIMEOUT, Duration::from_millis);
        let until = context.now() + timeout;
        match Vote::begin(conn, manner, &self.trackers, until) {
            None => Some(self.tell_all(&Exec::Shutdown, context).map(|()| Reply::Done)),
            Some(vote) => {
                let question = Question { flags: manner.flags() };
                context.event(vote.asked(), &question.encode(), Bytes::new());
                self.vote = Some(vote);
                None // the answer follows when all have answered
            }
        }
    }

    /// Ends a client's subscription to questions before a shutdown.
    fn stop_asking(&mut self, conn: ConnId, context: &mut Context<'_>) {
        let tracked = self.trackers.remove(&conn);
        if let Some(vote) = &mut self.vote
            && tracked
        {
            let verdict = vote.forget(conn);
            self.conclude(verdict, context);
        }
    }

    fn conclude(&mut self, verdict: Option<Verdict>, context: &mut Context<'_>) {
        let Some(Verdict { initiator, agreed }) = verdict else { return };
        self.vote = None;
        let status = if agreed { Status::Ok } else { Status::Busy };
        context.reply(initiator, refusal(number::TRY_SHUTDOWN, status));
        if agreed {
            self.queue(Guarantee::Safe, &Exec::Shutdown);
            self.send(context);
        }
    }

    /// Multicasts a message now, or as soon as there is room.
    ///
    /// # Errors
    /// Too many messages are waiting already.
    fn tell_all(&mut self, message: &Exec<'_>, context: &mut Context<'_>) -> Result<(), Status> {
        if self.unsent.len() >= UNSENT_LIMIT {
            return Err(Status::TryAgain);
        }
        self.queue(Guarantee::Safe, message);
        self.send(context);
        Ok(())
    }

    fn count_malformed(&mut self, now: Instant, from: NodeId, function: u16, length: usize) {
        self.malformed += 1;
        if let Some(held_back) = self.logs.malformed.may_speak(now) {
            tracing::warn!(%from, function, length, held_back, "malformed administrative message dropped");
        }
    }

    fn queue(&mut self, guarantee: Guarantee, message: &Exec<'_>) {
        self.later(message.function(), guarantee, message.encode(self.me));
    }

    /// Queues a message until there is room. It may contain a key.
    fn later(&mut self, function: u16, guarantee: Guarantee, message: Vec<u8>) {
        self.unsent.push_back(Unsent { function, guarantee, message: Zeroizing::new(message) });
    }

    fn send(&mut self, context: &mut Context<'_>) {
        if let Some(token) = self.need {
            let need = Need { token, runs: context.now().since(self.started) };
            let message = need.encode(self.me);
            if context.multicast_undivided(wire::exec::RING_REENABLE, Guarantee::Safe, &message).is_ok() {
                self.need = None;
            }
        }
        while let Some(Unsent { function, guarantee, message }) = self.unsent.front() {
            match context.multicast_undivided(*function, *guarantee, message) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(Full) => break,
            }
        }
    }

    /// A node of annulus said something.
    fn heard(&mut self, from: NodeId, message: Ours, context: &mut Context<'_>) {
        let now = context.now();
        match message {
            Ours::Reload(talk) => {
                self.rekey.expect();
                self.agreement.heard(from, talk, now);
            }
            Ours::Key(talk) => {
                self.survey.heard(from, &talk);
                self.rotation.heard(from, talk, now);
            }
            Ours::Need(need) => {
                self.detection.heard(from, need.token, need.runs, now);
                if from == self.me {
                    self.detection.heard_own(need.token, now);
                }
                if self.detection.is_agreed() {
                    self.leaving_out.all_are_ours(now);
                }
            }
            Ours::Complaint(complaint) => {
                self.leaving_out.heard(from, complaint, self.detection.is_agreed(), now);
            }
        }
        self.act(context);
    }
}

/// What is wrong with a member, after its name.
fn burden(why: Why) -> String {
    match why {
        Why::Loss(percent) => format!("loses {percent} % of the frames on the way into it or out of it"),
        Why::Flapping(count) => format!("was lost {count} times in short succession and came back each time"),
    }
}

impl Service for Desk {
    fn id(&self) -> ServiceId {
        ServiceId::CFG
    }

    fn functions(&self) -> u16 {
        wire::exec::COUNT
    }

    fn requests(&self) -> u16 {
        number::COUNT
    }

    /// Messages for which there is no room wait at the desk.
    fn needs_flow_control(&self, _request: u16) -> bool {
        false
    }

    fn settled(&self) -> bool {
        self.unsent.is_empty()
    }

    fn deliver(&mut self, delivery: Delivery, context: &mut Context<'_>) {
        let Delivery { from, function, message: bytes, order } = delivery;
        let Some(message) = Exec::decode(function, &bytes, order) else {
            return self.count_malformed(context.now(), from, function, bytes.len());
        };
        match message {
            Exec::RingReenable => match Ours::decode(&bytes, order) {
                Ok(Some(message)) => self.heard(from, message, context),
                Ok(None) => {
                    tracing::debug!(%from, function, "administrative message that means nothing here");
                }
                Err(_) => self.count_malformed(context.now(), from, function, bytes.len()),
            },
            Exec::Crypto { phase } => {
                self.rekey.heard(from, phase, context.now());
                self.act(context);
            }
            Exec::Kill { node, reason } => {
                if node == self.me.get() {
                    // Programs written in C may include the terminating NUL.
                    let end = reason.iter().position(|byte| *byte == 0).unwrap_or(reason.len());
                    let reason = String::from_utf8_lossy(&reason[..end]).into_owned();
                    tracing::info!("Killed by node {from} : {reason}");
                    context.order(Order::Die { by: from, reason });
                }
            }
            Exec::Shutdown => {
                if let Some(held_back) = self.logs.shut_down.may_speak(context.now()) {
                    tracing::info!(
                        held_back = (held_back > 0).then_some(held_back),
                        "Node {from} was shut down by sysadmin"
                    );
                }
                if from == self.me {
                    context.order(Order::Shutdown);
                }
            }
            Exec::Reload { conn } => {
                let told = self.logs.reload.may_speak(context.now());
                if let Some(held_back) = told {
                    tracing::info!(
                        held_back = (held_back > 0).then_some(held_back),
                        "Config reload requested by node {from}"
                    );
                }
                self.rekey.expect();
                if !self.facts.managed {
                    if told.is_some() {
                        tracing::info!("Not reloaded: this node has no configuration file");
                    }
                    return;
                }
                let own = if from == self.me { Some(ConnId(conn)) } else { None };
                let place = own.and_then(|conn| self.reloading.iter().position(|other| *other == conn));
                let conn = place.map(|place| self.reloading.remove(place));
                self.agreement.plain(conn);
                self.act(context);
            }
        }
    }

    fn connected(&mut self, _conn: ConnId, _context: &mut Context<'_>) {}

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, context: &mut Context<'_>) {
        let bytes = match request.tail {
            [] => Cow::Borrowed(request.bytes),
            tail => [request.bytes, tail].concat().into(),
        };
        let answer = match wire::Request::decode(function, &bytes) {
            None => Some(Err(Status::InvalidParam)),
            Some(request) => self.answer(conn, function, request, context),
        };
        match answer {
            Some(Ok(reply)) => context.reply(conn, reply.encode(function)),
            Some(Err(status)) => context.reply(conn, refusal(function, status)),
            None => {}
        }
    }

    fn disconnected(&mut self, conn: ConnId, context: &mut Context<'_>) {
        self.reloading.retain(|other| *other != conn);
        self.agreement.forget(conn);
        self.survey.forget(conn);
        self.rotation.forget(conn);
        for (waiting, _) in &mut self.adopting {
            waiting.retain(|other| *other != conn);
        }
        self.curious.remove(&conn);
        self.reopening.retain(|other| *other != conn);
        if self.vote.as_ref().is_some_and(|vote| vote.initiator() == conn) {
            tracing::info!("Shutdown cancelled: whoever asked for it is gone");
            self.vote = None;
        }
        self.stop_asking(conn, context);
    }

    fn retry(&mut self, context: &mut Context<'_>) {
        self.send(context);
    }

    fn deadline(&self) -> Option<Instant> {
        earliest([
            self.vote.as_ref().map(Vote::until),
            self.agreement.deadline(),
            self.rekey.deadline(),
            self.survey.deadline(),
            self.rotation.deadline(),
            self.detection.deadline(),
        ])
    }

    fn expired(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        if self.vote.as_ref().is_some_and(|vote| vote.until() <= now) {
            let verdict = self.vote.as_ref().map(Vote::expired);
            self.conclude(verdict, context);
        }
        self.agreement.expired(now);
        self.rekey.expired(now);
        self.survey.expired(now);
        self.rotation.expired(now);
        if self.detection.deadline().is_some_and(|at| at <= now) {
            let waits = context.take_waits();
            self.detection.look(now, waits);
            self.look_for_burdens(context);
        }
        self.act(context);
    }

    fn view(&mut self, view: &View, context: &mut Context<'_>) {
        if view.kind == ViewKind::Regular {
            self.members.clone_from(&view.members);
            self.agreement.view(view, context.now());
            self.rekey.view(&view.members);
            self.survey.view(view);
            self.rotation.view(view);
            self.detection.view(view, context.tokens_lost(), context.now());
            self.leaving_out.view(view, context.now());
            self.act(context);
        }
    }

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        None
    }
}
