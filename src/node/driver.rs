//! The loop of a node: one task that owns transport, stack and clients. Only here the stack gets
//! its time, from the real clock.
//!
//! A turn first takes what has arrived from the ring, then expired timers, then a limited number of client requests,
//! so that a token never waits behind a flood of clients. When the token is there, what clients have brought by then is
//! taken first, within the same limit, so that it leaves with the token. After a few turns the task yields, so that the runtime
//! looks at the sockets and runs its other tasks even while the node is busy.

use std::collections::hash_map::RandomState;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant as StdInstant};

use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::absence::Absence;
use super::admission::{self, Policy};
use super::alarm::Alarm;
use super::clients::Clients;
use super::command::{Ask, Command, End, Inbox, Refused, Status};
use super::doorbell::Doorbell;
use super::edge::{Outside, weight};
use super::errands::{Errand, Errands, KeyErrand};
use super::kept_votes::KeptVotes;
use super::keys::Keys;
use super::links;
use super::locals::Waiting;
use super::pace::Pace;
use super::queue::{Closed, Sink};
use super::share::Share;
use super::store::Store;
use super::uplinks::Uplinks;
use super::watch::Watch;
use crate::config::Config;
use crate::config::key::Key;
use crate::config::reload::{check_hosts, check_members};
use crate::config::timeouts::Timeouts;
use crate::config::totem::Watching;
use crate::ids::{NodeId, ServiceId};
use crate::ipc;
use crate::service::{Flow, Order, Request};
use crate::stack::{Setup, SetupError, Stack};
use crate::time::{Instant, earliest};
use crate::totem::{Input, Params, StateName};
use crate::transport::knet::envelope::Envelope;
use crate::transport::knet::{self, Crypto};
use crate::transport::{InterfaceChange, Kind, Peer, Received, Transport};
use crate::view::{View, ViewKind};

/// Turns before the task yields to the runtime, which looks at the sockets.
const TURNS: u32 = 4;
/// Time after which the task yields even before that.
const TURNS_TIME: Duration = Duration::from_millis(2);
/// Batches of datagrams taken in one turn.
const BATCHES: u32 = 4;
/// Control commands handled in one turn.
const COMMANDS: u32 = 16;
/// Requests from inside the process handled in one turn.
const REQUESTS: u32 = 64;
/// The token timeout divided by this is the longest time for which nothing is read from the ring while the
/// configuration is being read.
const RING_WAITS: u32 = 4;
/// The longest time for which timers wait for datagrams to be read: this, or the token time-out divided by that.
const FLOOD: (Duration, u32) = (Duration::from_millis(20), 10);
/// Longest wait before the node leaves, for the last messages of its disconnected clients to be sent.
const SETTLE: Duration = Duration::from_millis(500);

/// The parts that a driver is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) me: NodeId,
    pub(crate) timeouts: Timeouts,
    pub(crate) netmtu: usize,
    pub(crate) setup: Setup,
    pub(crate) kind: Kind,
    pub(crate) peers: Vec<Peer>,
    /// Whether only the listed peers may be on the ring.
    pub(crate) listed_only: bool,
    pub(crate) transport: Transport,
    /// A key that an unfinished key change left beside the one in use.
    pub(crate) next_key: Option<Key>,
    pub(crate) store: Store,
    /// Keeper of the highest expected votes, if they are kept.
    pub(crate) kept: Option<KeptVotes>,
    /// The server for clients over IPC, and its admission policy.
    pub(crate) server: Option<(ipc::Server, Policy)>,
    /// Channel to the program around the node, for tasks that only it can do.
    pub(crate) errand: Option<Errand>,
}

/// Why a driver cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    /// The runtime does not accept a descriptor.
    #[error(transparent)]
    Runtime(#[from] std::io::Error),
    /// The stack does not accept the settings.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// The driver of a node; see the module.
pub(crate) struct Driver {
    start: StdInstant,
    me: NodeId,
    /// Those of the configuration.
    timeouts: Timeouts,
    /// The token time-out that the ring uses in the place of the configured one.
    within: Option<Duration>,
    kind: Kind,
    peers: Vec<Peer>,
    stack: Stack,
    outside: Outside,
    clients: Option<Clients>,
    doorbell: Option<AsyncFd<Doorbell>>,
    inbox: Inbox,
    received: Received,
    alarm: Alarm,
    watch: Watch,
    uplinks: Uplinks,
    absence: Absence,
    /// Since when timers that are due wait for datagrams that have arrived already.
    reading_since: Option<Instant>,
    share: Share,
    pace: Pace,
    errand: Option<Errand>,
    /// Until when, at most, nothing is read from the ring because the configuration is being read.
    ring_waits: Option<Instant>,
    /// The usable configuration that was read last, kept until the ring decides whether to adopt it.
    judged: Option<Box<Config>>,
    kept: Option<KeptVotes>,
    keys: Keys,
    leaving: Option<Leaving>,
}

struct Leaving {
    until: Instant,
    replies: Vec<oneshot::Sender<()>>,
}

enum Turn {
    /// Something was done; there may be more.
    Busy,
    /// Nothing to do; an event will wake the task.
    Idle,
    /// The node has left.
    Done,
}

impl Driver {
    /// Makes a driver; the ring starts with [`Driver::run`]. Needs a tokio runtime with IO and time.
    ///
    /// # Errors
    /// There is no descriptor left for the alarm, the runtime does not accept it or that of the IPC server, or the settings
    /// are contradictory.
    pub(crate) fn new(parts: Parts, inbox: Inbox) -> Result<Self, DriverError> {
        let start = StdInstant::now();
        let now = Instant::ZERO;
        let params = Params {
            me: parts.me,
            timeouts: parts.timeouts.clone(),
            netmtu: parts.netmtu,
            ring_seq: parts.store.first(),
            stored: parts.store.reserved(),
            life: life(),
            origin: crate::ids::Seq(0),
        };
        let (server, clients) = match parts.server {
            Some((server, policy)) => (Some(server), Some(Clients::new(policy))),
            None => (None, None),
        };
        let mut stack = Stack::new(params, parts.setup, now)?;
        if parts.listed_only {
            let ids: Vec<NodeId> = parts.peers.iter().map(|peer| peer.id).collect();
            stack.admit(Some(&ids));
        }
        let doorbell = server.as_ref().map(Doorbell::of).transpose()?;
        let mut outside = Outside::new(parts.transport, server, parts.store);
        let mut keys = Keys::default();
        if let Some(key) = parts.next_key {
            keys.found(key, crypto(&parts.kind), &mut outside.transport);
        }
        Ok(Self {
            start,
            me: parts.me,
            watch: Watch::new(&parts.timeouts, now),
            uplinks: Uplinks::new(),
            absence: Absence::new(),
            reading_since: None,
            pace: Pace::new(parts.timeouts.token),
            timeouts: parts.timeouts,
            within: None,
            kind: parts.kind,
            peers: parts.peers,
            stack,
            outside,
            clients,
            doorbell,
            inbox,
            received: Received::new(),
            alarm: Alarm::new()?,
            share: Share::default(),
            errand: parts.errand,
            ring_waits: None,
            judged: None,
            kept: parts.kept,
            keys,
            leaving: None,
        })
    }

    /// Runs the node until it leaves. Dropping the future stops it at once, without a leave message to the other
    /// nodes.
    pub(crate) async fn run(mut self) {
        loop {
            match poll_fn(|cx| self.poll(cx)).await {
                Turn::Done => return,
                // The runtime looks at its sockets before it resumes this task.
                Turn::Busy | Turn::Idle => tokio::task::yield_now().await,
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        let begun = self.now();
        self.outside.log.stalls.looks(begun);
        self.share.works(begun);
        let mut now = begun;
        for _ in 0..TURNS {
            match self.turn(cx, now) {
                Turn::Busy => {}
                Turn::Idle => {
                    now = self.now();
                    self.outside.log.stalls.sleeps(now);
                    self.share.sleeps(now);
                    return Poll::Pending;
                }
                Turn::Done => return Poll::Ready(Turn::Done),
            }
            now = self.now();
            if now.since(begun) >= TURNS_TIME {
                break;
            }
        }
        Poll::Ready(Turn::Busy)
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        self.notice_absence(now);
        let (mut busy, now) = self.take_datagrams(cx, now);
        let more = busy;
        busy |= self.take_stored(cx, now);
        for node in self.outside.transport.refused() {
            self.tell(|stack, _| stack.handle_input(now, Input::Refused(node)));
        }
        busy |= self.take_timeout(now, more);
        if self.uplinks.changed(cx) {
            self.watch.hurry();
        }
        if self.watch.is_due(now) {
            self.look_after(now);
        }
        busy |= self.take_commands(cx, now);
        busy |= self.take_clients(cx, now);
        busy |= self.take_requests(cx, now);
        self.connect_waiting(now);
        self.drop_doomed(now);
        if let Some(server) = &mut self.outside.server {
            server.flush();
        }
        // What follows from orders is announced to clients in another turn.
        busy |= !self.outside.orders.is_empty();
        if let Some(end) = self.carry_out_orders(now).or_else(|| self.has_left(now)) {
            // The driver alone sets it, once.
            let _ = self.inbox.end.set(end);
            return Turn::Done;
        }
        self.follow_detection();
        if busy || self.sleep_until_due(cx, now) { Turn::Busy } else { Turn::Idle }
    }

    /// Tells the stack if this process did not run, so that it does not take that for silence of the others.
    fn notice_absence(&mut self, now: Instant) {
        let token = self.stack.totem().timeouts().token;
        let Some(away) = self.absence.runs(now, token) else { return };
        self.outside.log.was_away(away.time, token);
        self.absence.tell(now, away, token);
        self.tell(|stack, _| stack.handle_input(now, Input::Paused(away.time)));
    }

    /// Lets timers expire that are due. If there may be `more` datagrams, one of them may be what a timer waits for, so
    /// all are read first; but a flood of them must not stop the time. Returns whether a timer is due.
    fn take_timeout(&mut self, now: Instant, more: bool) -> bool {
        if self.stack.deadline().is_none_or(|at| at > now) {
            self.reading_since = None;
            return false;
        }
        let since = *self.reading_since.get_or_insert(now);
        if !more || now.since(since) >= (self.stack.totem().timeouts().token / FLOOD.1).min(FLOOD.0) {
            self.reading_since = None;
            self.tell(|stack, _| stack.handle_input(now, Input::Timeout));
        }
        true
    }

    /// Tells the stack something, and carries out what follows from it.
    fn tell<R>(&mut self, what: impl FnOnce(&mut Stack, &mut Outside) -> R) -> R {
        let told = what(&mut self.stack, &mut self.outside);
        self.outside.carry_out_all(&mut self.stack);
        told
    }

    /// Reads datagrams from the ring. Returns whether there may be more, and the time. If not, the task is woken by the
    /// next one.
    fn take_datagrams(&mut self, cx: &mut Context<'_>, mut now: Instant) -> (bool, Instant) {
        if self.ring_waits.is_some_and(|until| until <= now) {
            tracing::warn!(
                target: "annulus::node",
                "reading the configuration takes too long for the ring to wait for it; if Corosync's nodes have changed \
                 their key or cipher meanwhile, this node leaves their ring for a moment"
            );
            self.ring_waits = None;
        }
        for batch in 0..BATCHES {
            // Orders are carried out in this turn, before anything else is read.
            if self.ring_waits.is_some() || !self.outside.orders.is_empty() {
                return (batch > 0, now);
            }
            match self.outside.transport.poll_recv(cx, &mut self.received) {
                Poll::Ready(Ok(())) => {
                    // A process that is stopped between two batches has not seen the second in time.
                    now = now.max(self.now());
                    self.notice_absence(now);
                    let received = std::mem::replace(&mut self.received, Received::none());
                    for datagram in received.iter() {
                        let local = self.outside.locals.len() > 0;
                        if (local || self.clients.is_some()) && self.stack.totem().expects(datagram) {
                            if local {
                                self.take_requests(cx, now);
                            }
                            now = self.collect(now);
                        }
                        self.stack.handle_input(now, Input::Datagram(datagram));
                        self.outside.carry_out_all(&mut self.stack);
                    }
                    self.received = received;
                }
                Poll::Ready(Err(error)) => {
                    // The transport has counted the error; the watch finds out whether the interface is gone.
                    tracing::debug!(target: "annulus::node", %error, "receiving failed");
                    return (true, now);
                }
                Poll::Pending => return (false, now),
            }
        }
        (true, now)
    }

    /// The token is here: takes what clients have brought, so that it leaves with the token, and lets the token wait
    /// for more if that is worth it. Returns the time.
    fn collect(&mut self, mut now: Instant) -> Instant {
        if self.clients.is_none() || self.share.clients_wait(now).is_some() {
            return now;
        }
        let count = self.take_brought(now);
        let totem = self.stack.totem();
        let (visit, frames) = (totem.stats().orf_token_tx, totem.queued());
        if let Some(longest) = self.pace.linger(visit, count) {
            now = self.wait_for_clients(now, |server| server.wait(longest));
            let came = self.take_brought(now);
            self.pace.lingered(came);
        } else if let Some(pause) = self.pace.pause(visit, count, frames) {
            now = self.wait_for_clients(now, |_| std::thread::sleep(pause));
            let came = self.take_brought(now);
            self.pace.paused(came);
        }
        now
    }

    /// Takes what clients have brought, and returns the number of requests since the last visit or wait.
    fn take_brought(&mut self, now: Instant) -> u32 {
        let Some(clients) = &mut self.clients else { return 0 };
        clients.collect(now, &mut self.stack, &mut self.outside);
        clients.take_count()
    }

    /// Waits while the token is here, after clients were told of their events. Returns the time.
    fn wait_for_clients(&mut self, now: Instant, wait: impl FnOnce(&ipc::Server)) -> Instant {
        let Some(server) = &mut self.outside.server else { return now };
        server.flush();
        self.share.sleeps(now);
        wait(server);
        let now = self.now();
        self.share.works(now);
        now
    }

    /// Passes results of reserving ring ids to the stack.
    fn take_stored(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut any = false;
        while let Poll::Ready(up_to) = self.outside.store.poll_stored(cx) {
            let input = up_to.map_or(Input::NotStored, Input::Stored);
            self.tell(|stack, _| stack.handle_input(now, input));
            any = true;
        }
        any
    }

    /// Periodic checks: disk, interface, forgotten connections from code in this process.
    fn look_after(&mut self, now: Instant) {
        let look = self.watch.tick(now);
        self.outside.store.look();
        self.follow_key();
        if let Some(kept) = &mut self.kept {
            kept.look();
        }
        if look {
            let change = self.outside.transport.check_interface();
            if change != InterfaceChange::None {
                self.tell(|stack, _| stack.handle_input(now, Input::Interface));
            }
        }
        if self.inbox.ring.is_empty() && self.inbox.free.is_empty() {
            for conn in self.outside.locals.deserted() {
                self.outside.locals.close(conn, Closed::Evicted);
                self.tell(|stack, outside| stack.disconnected(now, conn, outside));
            }
        }
    }

    fn take_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for taken in 0..COMMANDS {
            match self.inbox.control.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.obey(command, now),
                Poll::Ready(None) => {
                    // All handles are dropped: nobody can control this node or talk to it any more.
                    if self.outside.server.is_none() {
                        self.begin_leaving(now, None);
                    }
                    return taken > 0;
                }
                Poll::Pending => return taken > 0,
            }
        }
        true
    }

    fn obey(&mut self, command: Command, now: Instant) {
        // Replies may come too late for those that asked; failures to send them are ignored.
        match command {
            Command::Connect { service, events, reply } => {
                self.outside.locals.wait(Waiting { service, events, reply });
            }
            Command::Ready { reply } => {
                if self.stack.accepts_clients() {
                    let _ = reply.send(());
                } else {
                    self.outside.ready.push(reply);
                }
            }
            Command::Views { sink } => {
                let members = self.stack.totem().members().to_vec();
                let view = View {
                    kind: ViewKind::Regular,
                    ring: self.stack.totem().ring(),
                    joined: members.clone(),
                    members,
                    left: Vec::new(),
                };
                if view.members.is_empty() || sink.push(view.clone(), weight(&view)).is_ok() {
                    self.outside.views.retain(Sink::has_listener);
                    self.outside.views.push(sink);
                }
            }
            Command::Status { reply } => {
                let _ = reply.send(self.status());
            }
            Command::Leave { reply } => self.begin_leaving(now, Some(reply)),
            Command::Reconfigure { timeouts } => {
                self.reconfigure(*timeouts, now);
            }
            Command::Access { access } => {
                self.tell(|stack, outside| {
                    stack.write(outside, |database| admission::write(&access, database));
                });
            }
            Command::Reloaded { outcome } => self.judge(outcome, now),
            Command::KeyStored { key, outcome } => self.key_stored(&key, outcome, now),
            Command::KeyKept { outcome } => self.key_kept(outcome, now),
            Command::LogsReopened { status } => {
                self.tell(|stack, outside| stack.logs_reopened(now, status, outside));
            }
            Command::Cut { peers, reply } => {
                let _ = reply.send(self.cut(&peers));
            }
        }
    }

    /// Adapts the checks and pauses of this loop to new time-outs.
    fn keep_to(&mut self, timeouts: Timeouts, now: Instant) {
        self.watch = Watch::new(&timeouts, now);
        self.pace = Pace::new(self.within.unwrap_or(timeouts.token));
        self.timeouts = timeouts;
    }

    /// Adapts the pauses of this loop and the transport to the token time-out that the ring uses now in the place of the
    /// configured one.
    fn follow_detection(&mut self) {
        let within = self.stack.totem().within();
        if self.within != within {
            self.within = within;
            self.pace = Pace::new(within.unwrap_or(self.timeouts.token));
            self.outside.transport.hurry(within);
        }
    }

    fn reconfigure(&mut self, timeouts: Timeouts, now: Instant) {
        self.keep_to(timeouts.clone(), now);
        self.tell(|stack, outside| stack.reconfigure(timeouts, outside));
    }

    /// Tells the stack whether this node could adopt the configuration that was read again.
    fn judge(&mut self, outcome: Result<Box<Config>, String>, now: Instant) {
        self.ring_waits = None;
        let outcome = outcome.and_then(|config| self.examine(&config).map(|()| config));
        let result = outcome.as_deref().map_err(String::as_str);
        self.tell(|stack, outside| stack.judged(now, result, outside));
        self.judged = outcome.ok();
    }

    /// Checks whether [`Driver::adapt`] could adapt the node to a new configuration. Changes nothing.
    fn examine(&self, config: &Config) -> Result<(), String> {
        if let Kind::Knet(running) = &self.kind {
            let known = links::known(&running.settings);
            check_hosts(&known, self.stack.totem().members(), config).map_err(|error| error.to_string())?;
            let new = self.new_links(running, config)?;
            self.new_peers(config)?;
            return self.outside.transport.check_links(&new).map_err(|error| error.to_string());
        }
        let known: Vec<(NodeId, IpAddr)> = self.peers.iter().map(|peer| (peer.id, peer.addr)).collect();
        check_members(&known, self.stack.totem().members(), config).map_err(|error| error.to_string())?;
        let peers = self.new_peers(config)?;
        self.outside.transport.check_peers(&peers).map_err(|error| error.to_string())
    }

    /// The links of a new configuration. An error if it changes the encryption while all nodes are being given a new
    /// key.
    fn new_links(&self, running: &knet::Options, config: &Config) -> Result<knet::Options, String> {
        let new = links::at_run_time(running, config)?;
        if self.stack.is_rotating() && new.crypto != running.crypto {
            return Err("all nodes are being given a new key; reload again when that is over".to_owned());
        }
        Ok(new)
    }

    fn hosts(&self) -> Vec<NodeId> {
        self.peers.iter().map(|peer| peer.id).collect()
    }

    fn make_key(&mut self, now: Instant) {
        let made = Keys::make(crypto(&self.kind), &self.hosts(), self.stack.totem().members());
        self.tell(|stack, outside| stack.key_made(now, made, outside));
    }

    /// Handles a key that was offered to all nodes: stores it if it may be used here.
    fn store_key(&mut self, key: Key, in_use: u64, now: Instant) {
        let errand = if self.errand.is_some() { Ok(()) } else { Err("it has no key file".to_owned()) };
        let (hosts, members) = (self.hosts(), self.stack.totem().members());
        let outcome =
            errand.and_then(|()| self.keys.offered(key.clone(), in_use, crypto(&self.kind), &hosts, members));
        match outcome {
            Ok(()) => self.want(|wanted| wanted.keys.push(KeyErrand::Store(key))),
            Err(why) => self.tell(|stack, outside| stack.key_stored(now, Err(why), outside)),
        }
    }

    /// Handles the result of storing the offered key.
    fn key_stored(&mut self, key: &Key, outcome: Result<(), String>, now: Instant) {
        let crypto = crypto(&self.kind);
        if let Some(outcome) = self.keys.stored(key, outcome, crypto, &mut self.outside.transport) {
            self.tell(|stack, outside| stack.key_stored(now, outcome, outside));
        }
    }

    /// Handles the ring's switch to the stored key: the key file is replaced.
    fn keep_key(&mut self, now: Instant) {
        if self.adopt_staged() {
            self.want(|wanted| wanted.keys.push(KeyErrand::Keep));
        } else {
            let why = "the new key was not stored here".to_owned();
            self.tell(|stack, outside| stack.key_kept(now, Err(why), outside));
        }
    }

    /// Makes the key that is stored beside the one in use the one in use. Returns `false` if there is none.
    fn adopt_staged(&mut self) -> bool {
        let Kind::Knet(running) = &mut self.kind else { return false };
        let Some(crypto) = &mut running.crypto else { return false };
        self.keys.keep(crypto)
    }

    fn key_kept(&mut self, outcome: Result<(), String>, now: Instant) {
        let (print, _, suite) = self.keys.seen(crypto(&self.kind));
        self.tell(|stack, outside| stack.key_kept(now, outcome.map(|()| (print, suite)), outside));
    }

    /// Adopts a stored key that was never decided on here but is in use because another node uses it.
    fn follow_key(&mut self) {
        let changes = self.stack.is_rekeying() || self.stack.is_rotating();
        if !changes && self.keys.is_followed(&mut self.outside.transport) && self.adopt_staged() {
            tracing::info!(target: "annulus::node", "the others use the new key, and so does this node now");
            self.outside.transport.envelope(Envelope::finish);
            self.want(|wanted| wanted.keys.push(KeyErrand::Keep));
        }
    }

    fn drop_key(&mut self) {
        if self.keys.discard(&mut self.outside.transport) {
            self.want(|wanted| wanted.keys.push(KeyErrand::Discard));
        }
    }

    /// Adopts the configuration that was judged, or tells the stack why it cannot.
    fn adopt(&mut self, now: Instant) {
        let outcome =
            self.judged.take().ok_or_else(|| "the new configuration is not there any more".to_owned());
        let outcome = outcome.and_then(|config| self.adapt(&config, now).map(|rekeys| (config, rekeys)));
        let result = outcome.as_ref().map(|(config, _)| &**config).map_err(String::as_str);
        let rekeys = matches!(outcome, Ok((_, true)));
        self.tell(|stack, outside| stack.adopted(now, result, rekeys, outside));
        let adopt = outcome.ok().map(|(config, _)| config);
        let done = adopt.is_some();
        self.want(|wanted| {
            wanted.adopt = adopt;
            wanted.reload_over = true;
        });
        if done {
            self.leave_removed();
        }
    }

    /// Forms a new ring if members of the present one are no longer in the node list.
    fn leave_removed(&mut self) {
        let members = self.stack.totem().members();
        let removed: Vec<u32> = members
            .iter()
            .filter(|member| !self.peers.iter().any(|peer| peer.id == **member))
            .map(|member| member.get())
            .collect();
        if !removed.is_empty() && self.peers.len() > 1 {
            // Nothing is sent to them any more, so a token to one would be lost; it is better to form a ring without
            // them.
            tracing::info!(target: "annulus::node", ?removed, "members of the ring are not in the node list any more");
            self.tell(|stack, _| stack.gather());
        }
    }

    /// The nodes that the transport is to know under a new configuration.
    fn new_peers(&self, config: &Config) -> Result<Vec<Peer>, String> {
        let mut peers: Vec<Peer> = config.members().map(|(id, addr)| Peer { id, addr }).collect();
        if !peers.iter().any(|peer| peer.id == self.me) {
            // A multicast ring may have no node list; this node was then added to the peers at the start.
            let own = self.peers.iter().find(|peer| peer.id == self.me).filter(|_| peers.is_empty());
            let Some(own) = own else {
                return Err(format!(
                    "this node, with id {}, is not in the new node list; its id cannot be changed at run-time",
                    self.me
                ));
            };
            peers.push(*own);
        }
        Ok(peers)
    }

    /// Adapts everything around the stack to a new configuration: the transport's nodes or links, and who may be on
    /// the ring. Returns whether the transport is prepared for another key, cipher or hash.
    fn adapt(&mut self, config: &Config, now: Instant) -> Result<bool, String> {
        let mut rekeys = false;
        let peers = self.new_peers(config)?;
        let block = config.totem.block_unlisted_ips;
        if let Kind::Knet(running) = &self.kind {
            // A key may have been offered after the configuration was judged.
            let new = self.new_links(running, config)?;
            rekeys = new.crypto != running.crypto;
            self.outside.transport.set_links(&new).map_err(|error| error.to_string())?;
            if rekeys {
                let (suite, key) = links::sealing(&new);
                let prepared = self.outside.transport.envelope(|envelope| envelope.prepare(suite, key));
                prepared.transpose().map_err(|error| error.to_string())?;
                if self.keys.superseded() {
                    self.want(|wanted| wanted.keys.push(KeyErrand::Discard));
                }
            }
            self.kind = Kind::Knet(Box::new(new));
        } else {
            self.outside.transport.set_peers(&peers).map_err(|error| error.to_string())?;
            self.outside.transport.set_block_unlisted(block);
        }
        let listed_only = block && peers.iter().any(|peer| peer.id != self.me);
        let ids: Vec<NodeId> = peers.iter().map(|peer| peer.id).collect();
        self.stack.admit(listed_only.then_some(&ids));
        self.keep_to(config.totem.timeouts.clone(), now);
        self.peers = peers;
        Ok(rekeys)
    }

    /// Applies link monitoring settings that were changed in the database.
    fn watch_links(&mut self, watching: &Watching) {
        let Kind::Knet(running) = &self.kind else { return };
        let mut new = running.clone();
        links::watch(&mut new.settings, watching);
        if new == *running {
            return;
        }
        match self.outside.transport.set_links(&new) {
            Ok(()) => self.kind = Kind::Knet(new),
            Err(error) => tracing::error!(target: "annulus::node", %error, "the links stay as they are"),
        }
    }

    fn status(&self) -> Status {
        let totem = self.stack.totem();
        Status {
            me: self.me,
            ring: totem.ring(),
            members: totem.members().to_vec(),
            state: totem.state(),
            synced: self.outside.synced == Some(totem.ring()) && totem.state() == StateName::Operational,
            clients: self.outside.server.as_ref().map_or(0, ipc::Server::connections),
            local_clients: self.outside.locals.len(),
            totem: totem.stats().clone(),
            transport: self.outside.transport.stats().clone(),
            ipc: self.outside.server.as_ref().map(ipc::Server::stats).copied().unwrap_or_default(),
        }
    }

    fn cut(&mut self, cut: &[NodeId]) -> Result<(), Refused> {
        if self.kind != Kind::Udpu {
            return Err(Refused::NotUnicast);
        }
        let left: Vec<Peer> = self.peers.iter().copied().filter(|peer| !cut.contains(&peer.id)).collect();
        tracing::info!(target: "annulus::node", ?cut, "fault injection: traffic to and from these nodes is dropped");
        self.outside.transport.set_peers(&left).map_err(|_| Refused::NotUnicast)
    }

    /// Serves clients over IPC.
    fn take_clients(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let (Some(clients), Some(doorbell)) = (&mut self.clients, &self.doorbell) else { return false };
        if self.share.clients_wait(now).is_some() {
            return false;
        }
        clients.serve(cx, now, doorbell, &mut self.stack, &mut self.outside)
    }

    /// When to serve clients even if the doorbell does not become readable.
    fn clients_due(&self, now: Instant) -> Option<Instant> {
        let clients = self.clients.as_ref()?;
        self.share.clients_wait(now).or_else(|| clients.deadline(self.outside.server.as_ref()))
    }

    /// Takes requests from code in this process: those to CPG while the ring takes one of any size, those to other
    /// services always.
    fn take_requests(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut taken = 0;
        while taken < REQUESTS && self.leaving.is_none() {
            // Room is made by frames from the ring, and their arrival wakes this task.
            let ring = self.stack.flow(ServiceId::CPG) == Flow::Open && self.stack.fits_request();
            let mut any = false;
            if !self.stack.is_telling()
                && let Poll::Ready(Some(ask)) = self.inbox.free.poll_next(cx)
            {
                self.take_request(ask, now);
                any = true;
            }
            if ring && let Poll::Ready(Some(ask)) = self.inbox.ring.poll_next(cx) {
                self.take_request(ask, now);
                any = true;
            }
            if !any {
                return taken > 0;
            }
            taken += 1;
        }
        taken > 0
    }

    fn take_request(&mut self, ask: Ask, now: Instant) {
        match ask {
            Ask::Request { conn, head, payload, reply } => {
                // A closed connection gets no reply, and its caller sees that the connection is closed.
                if self.outside.locals.has(conn) {
                    self.outside.locals.begin(conn, reply);
                    let request = Request { bytes: &head, tail: &payload };
                    self.tell(|stack, outside| stack.request(now, conn, request, outside));
                    self.outside.locals.end();
                }
            }
            Ask::Close { conn } => {
                if self.outside.locals.has(conn) {
                    self.outside.locals.close(conn, Closed::Evicted);
                    self.tell(|stack, outside| stack.disconnected(now, conn, outside));
                }
            }
        }
    }

    fn connect_waiting(&mut self, now: Instant) {
        if !self.stack.accepts_clients() || self.leaving.is_some() {
            return;
        }
        for Waiting { service, events, reply } in self.outside.locals.take_waiting() {
            let conn = self.outside.locals.open(events, service);
            let answer = match self.tell(|stack, outside| stack.connected(now, service, conn, outside)) {
                Ok(()) => Ok(conn),
                Err(_) => {
                    self.outside.locals.close(conn, Closed::Evicted);
                    Err(Refused::NoService(service))
                }
            };
            if reply.send(answer).is_err() && self.outside.locals.has(conn) {
                self.outside.locals.close(conn, Closed::Evicted);
                self.tell(|stack, outside| stack.disconnected(now, conn, outside));
            }
        }
    }

    fn drop_doomed(&mut self, now: Instant) {
        for conn in self.outside.locals.take_doomed() {
            self.outside.locals.close(conn, Closed::Evicted);
            self.tell(|stack, outside| stack.disconnected(now, conn, outside));
        }
    }

    /// Carries out what desks ordered in this turn. Returns how the node ends, if it was ordered to.
    fn carry_out_orders(&mut self, now: Instant) -> Option<End> {
        while let Some(order) = self.outside.orders.pop_front() {
            match order {
                Order::Shutdown => self.begin_leaving(now, None),
                Order::Gather => self.tell(|stack, _| stack.gather()),
                Order::Reconfigure(timeouts) => self.reconfigure(*timeouts, now),
                Order::Watch(watching) => self.watch_links(&watching),
                Order::Die { by, reason } => return Some(End::Killed { by, reason }),
                Order::Reload => self.read_again(now),
                Order::ReloadBesideCorosync => {
                    self.ring_waits = Some(now + self.stack.totem().timeouts().token / RING_WAITS);
                    self.read_again(now);
                }
                Order::Adopt => self.adopt(now),
                Order::Discard => {
                    self.judged = None;
                    self.want(|wanted| wanted.reload_over = true);
                }
                Order::DumpState => self.want(|wanted| wanted.dump_state = true),
                Order::Logging(logging) => self.want(|wanted| wanted.logging = Some(logging)),
                // Carried out at the time of the order.
                Order::SwitchKey | Order::ForgetKey => {}
                Order::MakeKey => self.make_key(now),
                Order::StoreKey(key, in_use) => self.store_key(key, in_use, now),
                Order::KeepKey => self.keep_key(now),
                Order::DropKey => self.drop_key(),
                Order::LookAtKey => {
                    let (print, next, suite) = self.keys.seen(crypto(&self.kind));
                    self.tell(|stack, outside| stack.key_seen(now, (print, next, &suite), outside));
                }
                Order::ReopenLogs => self.want(|wanted| wanted.reopen_logs = true),
                Order::KeepVotes(votes) => {
                    if let Some(kept) = &self.kept {
                        kept.keep(votes);
                    }
                }
            }
        }
        None
    }

    /// Asks for the configuration to be read again; the result comes to [`Driver::judge`].
    fn read_again(&mut self, now: Instant) {
        match &self.errand {
            Some(errand) => errand.want(|wanted| wanted.reload = true),
            None => self.judge(Err("this node has no configuration file".to_owned()), now),
        }
    }

    /// Asks the program around the node to do something, if there is one.
    fn want(&self, more: impl FnOnce(&mut Errands)) {
        if let Some(errand) = &self.errand {
            errand.want(more);
        }
    }

    fn begin_leaving(&mut self, now: Instant, reply: Option<oneshot::Sender<()>>) {
        if self.leaving.is_none() {
            tracing::info!(target: "annulus::node", "leaving the ring");
            self.tell(|stack, outside| stack.disconnect_all(outside));
            if let Some(server) = &mut self.outside.server {
                server.shutdown();
            }
        }
        let leaving = self.leaving.get_or_insert(Leaving { until: now + SETTLE, replies: Vec::new() });
        leaving.replies.extend(reply);
    }

    /// Ends the node once the last messages of its clients have been sent.
    fn has_left(&mut self, now: Instant) -> Option<End> {
        let leaving = self.leaving.take_if(|leaving| self.stack.settled() || now >= leaving.until)?;
        self.tell(|stack, _| stack.leave());
        for reply in leaving.replies {
            // The receiver may be gone.
            let _ = reply.send(());
        }
        Some(End::Left)
    }

    /// Sets the alarm. Returns whether something is due already.
    fn sleep_until_due(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let dues = [
            self.stack.deadline(),
            self.clients_due(now),
            self.ring_waits,
            Some(self.watch.due()),
            self.leaving.as_ref().map(|leaving| leaving.until),
        ];
        let Some(due) = earliest(dues) else { return false };
        if due <= now {
            return true;
        }
        let rings = self.alarm.set(cx, self.now(), due);
        if !rings {
            self.absence.sleeps(due);
        }
        rings
    }
}

/// The encryption of a transport while no change of it is under way.
fn crypto(kind: &Kind) -> Option<&Crypto> {
    match kind {
        Kind::Knet(knet) => knet.crypto.as_ref(),
        Kind::Udpu | Kind::Udp(_) => None,
    }
}

/// A number that differs in each run of the node, derived from the random keys of hash maps.
fn life() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
