//! The loop of a node: one task that owns transport, stack and clients, and is the only place with a
//! real clock.
//!
//! A turn takes what has arrived from the ring, then what is due, then requests of clients, a limited
//! number of them: a token never waits behind a flood of clients. After a few turns the task yields, so
//! that a busy node still hears its sockets and leaves the runtime to others.

use std::collections::hash_map::RandomState;
use std::future::{Future, poll_fn};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::{Instant as TokioInstant, Sleep, sleep_until};

use super::admission::{self, Policy};
use super::clients::Clients;
use super::command::{Ask, Command, End, Inbox, Refused, Status};
use super::doorbell::Doorbell;
use super::edge::{Outside, weight};
use super::errands::{Errand, Errands, KeyErrand};
use super::kept_votes::KeptVotes;
use super::keys::Keys;
use super::links;
use super::locals::Waiting;
use super::queue::{Closed, Sink};
use super::share::Share;
use super::store::Store;
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
use crate::time::Instant;
use crate::totem::{Input, Params, StateName};
use crate::transport::knet::envelope::Envelope;
use crate::transport::knet::{self, Crypto};
use crate::transport::{InterfaceChange, Kind, Peer, Received, Transport};
use crate::view::{View, ViewKind};

/// Turns before the task yields to the runtime, which looks at the sockets.
const TURNS: u32 = 4;
/// Time after which it yields before that.
const TURNS_TIME: Duration = Duration::from_millis(2);
/// Batches of datagrams taken in one turn.
const BATCHES: u32 = 4;
/// Control commands handled in one turn.
const COMMANDS: u32 = 16;
/// Requests from inside the process handled in one turn.
const REQUESTS: u32 = 64;
/// The part of the token time-out for which the ring waits at the longest while the configuration is being read.
const RING_WAITS: u32 = 4;
/// Longest wait for the last messages of disconnected clients before the node leaves.
const SETTLE: Duration = Duration::from_millis(500);

/// What a driver is made from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) me: NodeId,
    pub(crate) timeouts: Timeouts,
    pub(crate) netmtu: usize,
    pub(crate) setup: Setup,
    pub(crate) kind: Kind,
    pub(crate) peers: Vec<Peer>,
    /// Whether only the peers may be on the ring.
    pub(crate) listed_only: bool,
    pub(crate) transport: Transport,
    /// A key that lies beside the one in use, from a change that was not finished.
    pub(crate) next_key: Option<Key>,
    pub(crate) store: Store,
    /// Where the highest expected votes are kept, if they are.
    pub(crate) kept: Option<KeptVotes>,
    /// The server for clients over IPC, and who may use it.
    pub(crate) server: Option<(ipc::Server, Policy)>,
    /// Who carries out what only the program around the node can.
    pub(crate) errand: Option<Errand>,
}

/// Why there is no driver.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    /// The runtime refuses a descriptor.
    #[error(transparent)]
    Runtime(#[from] std::io::Error),
    /// The node cannot be set up like that.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// See the module.
pub(crate) struct Driver {
    start: TokioInstant,
    me: NodeId,
    timeouts: Timeouts,
    kind: Kind,
    peers: Vec<Peer>,
    stack: Stack,
    outside: Outside,
    clients: Option<Clients>,
    doorbell: Option<AsyncFd<Doorbell>>,
    inbox: Inbox,
    received: Received,
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` ends.
    wake_at: Option<Instant>,
    watch: Watch,
    share: Share,
    errand: Option<Errand>,
    /// Until when nothing is taken from the ring, at the longest, as the configuration is being read.
    ring_waits: Option<Instant>,
    /// The configuration that was read last and could be used here, until all nodes know what to do with it.
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
    /// Nothing to do; the task will be woken.
    Idle,
    /// The node has left.
    Done,
}

impl Driver {
    /// Makes a driver; the ring starts with [`Driver::run`]. Needs a tokio runtime with IO and time.
    ///
    /// # Errors
    /// The runtime does not take the descriptor of the server for clients, or the setup does not make sense.
    pub(crate) fn new(parts: Parts, inbox: Inbox) -> Result<Self, DriverError> {
        let start = TokioInstant::now();
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
            timeouts: parts.timeouts,
            kind: parts.kind,
            peers: parts.peers,
            stack,
            outside,
            clients,
            doorbell,
            inbox,
            received: Received::new(),
            sleep: Box::pin(sleep_until(start)),
            wake_at: None,
            share: Share::default(),
            errand: parts.errand,
            ring_waits: None,
            judged: None,
            kept: parts.kept,
            keys,
            leaving: None,
        })
    }

    /// Runs the node until it leaves. Dropping the future stops it at once, without a word to the others.
    pub(crate) async fn run(mut self) {
        loop {
            match poll_fn(|cx| self.poll(cx)).await {
                Turn::Done => return,
                // The runtime looks at its sockets before it comes back.
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
        let mut busy = self.take_datagrams(cx, now);
        busy |= self.take_stored(cx, now);
        if self.stack.deadline().is_some_and(|at| at <= now) {
            self.stack.handle_input(now, Input::Timeout, &mut self.outside);
            busy = true;
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
        if let Some(end) = self.carry_out_orders(now).or_else(|| self.has_left(now)) {
            // It is the only one who sets it, and only here.
            let _ = self.inbox.end.set(end);
            return Turn::Done;
        }
        if busy || self.sleep_until_due(cx, now) { Turn::Busy } else { Turn::Idle }
    }

    /// What came from the ring.
    fn take_datagrams(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.ring_waits.is_some_and(|until| until <= now) {
            tracing::warn!(
                target: "annulus::node",
                "reading the configuration takes too long for the ring to wait for it; if Corosync's nodes have changed \
                 their key or cipher meanwhile, this node leaves their ring for a moment"
            );
            self.ring_waits = None;
        }
        for batch in 0..BATCHES {
            if self.ring_waits.is_some() || !self.outside.orders.is_empty() {
                return batch > 0;
            }
            match self.outside.transport.poll_recv(cx, &mut self.received) {
                Poll::Ready(Ok(())) => {
                    for datagram in self.received.iter() {
                        self.stack.handle_input(now, Input::Datagram(datagram), &mut self.outside);
                    }
                }
                Poll::Ready(Err(error)) => {
                    // The transport has counted it; the watch finds out whether the interface is gone.
                    tracing::debug!(target: "annulus::node", %error, "receiving failed");
                    return true;
                }
                Poll::Pending => return batch > 0,
            }
        }
        true
    }

    /// What became of reservations of ring ids.
    fn take_stored(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut any = false;
        while let Poll::Ready(up_to) = self.outside.store.poll_stored(cx) {
            let input = up_to.map_or(Input::NotStored, Input::Stored);
            self.stack.handle_input(now, input, &mut self.outside);
            any = true;
        }
        any
    }

    /// What is done now and then: was this loop late, does the disk answer, is the interface still there, was a
    /// connection from inside the process forgotten.
    fn look_after(&mut self, now: Instant) {
        let found = self.watch.tick(now);
        if let Some(late) = found.late {
            self.outside.log.was_late(late);
        }
        self.outside.store.look();
        self.follow_key();
        if let Some(kept) = &mut self.kept {
            kept.look();
        }
        if found.look {
            let change = self.outside.transport.check_interface();
            if change != InterfaceChange::None {
                self.stack.handle_input(now, Input::Interface, &mut self.outside);
            }
        }
        if self.inbox.ring.is_empty() && self.inbox.free.is_empty() {
            for conn in self.outside.locals.deserted() {
                self.outside.locals.close(conn, Closed::Evicted);
                self.stack.disconnected(now, conn, &mut self.outside);
            }
        }
    }

    fn take_commands(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        for taken in 0..COMMANDS {
            match self.inbox.control.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.obey(command, now),
                Poll::Ready(None) => {
                    // Every handle is gone: nobody can stop this node or talk to it any more.
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
        // Answers may come too late for those who asked.
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
                self.stack.write(&mut self.outside, |database| admission::write(&access, database));
            }
            Command::Reloaded { outcome } => self.judge(outcome, now),
            Command::KeyStored { key, outcome } => self.key_stored(&key, outcome, now),
            Command::KeyKept { outcome } => self.key_kept(outcome, now),
            Command::LogsReopened { status } => self.stack.logs_reopened(now, status, &mut self.outside),
            Command::Cut { peers, reply } => {
                let _ = reply.send(self.cut(&peers));
            }
        }
    }

    fn reconfigure(&mut self, timeouts: Timeouts, now: Instant) {
        self.watch = Watch::new(&timeouts, now);
        self.timeouts = timeouts.clone();
        self.stack.reconfigure(timeouts, &mut self.outside);
    }

    /// The configuration was read again: could this node go over to it?
    fn judge(&mut self, outcome: Result<Box<Config>, String>, now: Instant) {
        self.ring_waits = None;
        let outcome = outcome.and_then(|config| self.examine(&config).map(|()| config));
        let result = outcome.as_deref().map_err(String::as_str);
        self.stack.judged(now, result, &mut self.outside);
        self.judged = outcome.ok();
    }

    /// Looks whether [`Driver::adapt`] could adapt the node to a new configuration. Changes nothing.
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

    /// The links that a new configuration says, unless it changes how packets are encrypted while all nodes are being
    /// given a new key.
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
        self.stack.key_made(now, made, &mut self.outside);
    }

    /// A key was offered to all nodes: may it be used here? Then it is stored.
    fn store_key(&mut self, key: Key, in_use: u64, now: Instant) {
        let errand = if self.errand.is_some() { Ok(()) } else { Err("it has no key file".to_owned()) };
        let (hosts, members) = (self.hosts(), self.stack.totem().members());
        let outcome =
            errand.and_then(|()| self.keys.offered(key.clone(), in_use, crypto(&self.kind), &hosts, members));
        match outcome {
            Ok(()) => self.want(|wanted| wanted.keys.push(KeyErrand::Store(key))),
            Err(why) => self.stack.key_stored(now, Err(why), &mut self.outside),
        }
    }

    /// The key that was offered is on the disk, or is not.
    fn key_stored(&mut self, key: &Key, outcome: Result<(), String>, now: Instant) {
        let crypto = crypto(&self.kind);
        if let Some(outcome) = self.keys.stored(key, outcome, crypto, &mut self.outside.transport) {
            self.stack.key_stored(now, outcome, &mut self.outside);
        }
    }

    /// The ring has gone over to the stored key.
    fn keep_key(&mut self, now: Instant) {
        if self.adopt_staged() {
            self.want(|wanted| wanted.keys.push(KeyErrand::Keep));
        } else {
            let why = "the new key was not stored here".to_owned();
            self.stack.key_kept(now, Err(why), &mut self.outside);
        }
    }

    /// The key that is stored beside the one in use is the one in use now, if there is one.
    fn adopt_staged(&mut self) -> bool {
        let Kind::Knet(running) = &mut self.kind else { return false };
        let Some(crypto) = &mut running.crypto else { return false };
        self.keys.keep(crypto)
    }

    fn key_kept(&mut self, outcome: Result<(), String>, now: Instant) {
        let (print, _, suite) = self.keys.seen(crypto(&self.kind));
        self.stack.key_kept(now, outcome.map(|()| (print, suite)), &mut self.outside);
    }

    /// A key that was stored and never decided on here came into use because another node uses it.
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

    /// Goes over to the configuration that was judged, or does nothing but note why not.
    fn adopt(&mut self, now: Instant) {
        let outcome =
            self.judged.take().ok_or_else(|| "the new configuration is not there any more".to_owned());
        let outcome = outcome.and_then(|config| self.adapt(&config, now).map(|rekeys| (config, rekeys)));
        let result = outcome.as_ref().map(|(config, _)| &**config).map_err(String::as_str);
        let rekeys = matches!(outcome, Ok((_, true)));
        self.stack.adopted(now, result, rekeys, &mut self.outside);
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

    /// Forms a ring without the members that are not in the node list any more.
    fn leave_removed(&mut self) {
        let members = self.stack.totem().members();
        let removed: Vec<u32> = members
            .iter()
            .filter(|member| !self.peers.iter().any(|peer| peer.id == **member))
            .map(|member| member.get())
            .collect();
        if !removed.is_empty() && self.peers.len() > 1 {
            // Nothing is sent to them any more: rather than lose the token to one, agree on a ring without.
            tracing::info!(target: "annulus::node", ?removed, "members of the ring are not in the node list any more");
            self.stack.gather(&mut self.outside);
        }
    }

    /// The nodes that the transport is to know with a new configuration.
    fn new_peers(&self, config: &Config) -> Result<Vec<Peer>, String> {
        let mut peers: Vec<Peer> = config.members().map(|(id, addr)| Peer { id, addr }).collect();
        if !peers.iter().any(|peer| peer.id == self.me) {
            // A ring of multicast may do without a list; then this node was added at the start.
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

    /// What lies around the stack: the nodes that the transport knows, who may be on the ring. Whether the transport is
    /// prepared for another key, cipher or hash.
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
        self.watch = Watch::new(&config.totem.timeouts, now);
        self.timeouts = config.totem.timeouts.clone();
        self.peers = peers;
        Ok(rekeys)
    }

    /// Keys of the database say that links are to be watched in another way.
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

    /// Clients over IPC.
    fn take_clients(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let (Some(clients), Some(doorbell)) = (&mut self.clients, &self.doorbell) else { return false };
        if self.share.clients_wait(now).is_some() {
            return false;
        }
        clients.serve(cx, now, doorbell, &mut self.stack, &mut self.outside)
    }

    /// When to serve clients even if nobody rings.
    fn clients_due(&self, now: Instant) -> Option<Instant> {
        let clients = self.clients.as_ref()?;
        self.share.clients_wait(now).or_else(|| clients.deadline(self.outside.server.as_ref()))
    }

    /// Requests from inside the process: to process groups while the ring would take any of them, to the
    /// other services always.
    fn take_requests(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut taken = 0;
        while taken < REQUESTS && self.leaving.is_none() {
            // Whatever makes room comes through the ring, and that wakes this task.
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
                // A connection that was closed gets no answer, which its caller understands.
                if self.outside.locals.has(conn) {
                    self.outside.locals.begin(conn, reply);
                    let request = Request { bytes: &head, tail: &payload };
                    self.stack.request(now, conn, request, &mut self.outside);
                    self.outside.locals.end();
                }
            }
            Ask::Close { conn } => {
                if self.outside.locals.has(conn) {
                    self.outside.locals.close(conn, Closed::Evicted);
                    self.stack.disconnected(now, conn, &mut self.outside);
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
            let answer = match self.stack.connected(now, service, conn, &mut self.outside) {
                Ok(()) => Ok(conn),
                Err(_) => {
                    self.outside.locals.close(conn, Closed::Evicted);
                    Err(Refused::NoService(service))
                }
            };
            if reply.send(answer).is_err() && self.outside.locals.has(conn) {
                self.outside.locals.close(conn, Closed::Evicted);
                self.stack.disconnected(now, conn, &mut self.outside);
            }
        }
    }

    fn drop_doomed(&mut self, now: Instant) {
        for conn in self.outside.locals.take_doomed() {
            self.outside.locals.close(conn, Closed::Evicted);
            self.stack.disconnected(now, conn, &mut self.outside);
        }
    }

    /// What desks ordered in this turn. How the node ends, if that is what one ordered.
    fn carry_out_orders(&mut self, now: Instant) -> Option<End> {
        while let Some(order) = self.outside.orders.pop_front() {
            match order {
                Order::Shutdown => self.begin_leaving(now, None),
                Order::Gather => self.stack.gather(&mut self.outside),
                Order::Reconfigure(timeouts) => self.reconfigure(*timeouts, now),
                Order::Watch(watching) => self.watch_links(&watching),
                Order::Die { by, reason } => return Some(End::Killed { by, reason }),
                Order::Reload => self.read_again(now),
                Order::ReloadBesideCorosync => {
                    self.ring_waits = Some(now + self.timeouts.token / RING_WAITS);
                    self.read_again(now);
                }
                Order::Adopt => self.adopt(now),
                Order::Discard => {
                    self.judged = None;
                    self.want(|wanted| wanted.reload_over = true);
                }
                Order::DumpState => self.want(|wanted| wanted.dump_state = true),
                Order::Logging(logging) => self.want(|wanted| wanted.logging = Some(logging)),
                // Carried out when it was ordered.
                Order::SwitchKey | Order::ForgetKey => {}
                Order::MakeKey => self.make_key(now),
                Order::StoreKey(key, in_use) => self.store_key(key, in_use, now),
                Order::KeepKey => self.keep_key(now),
                Order::DropKey => self.drop_key(),
                Order::LookAtKey => {
                    let (print, next, suite) = self.keys.seen(crypto(&self.kind));
                    self.stack.key_seen(now, (print, next, &suite), &mut self.outside);
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

    /// Has the configuration read again, which ends with [`Driver::judge`].
    fn read_again(&mut self, now: Instant) {
        match &self.errand {
            Some(errand) => errand.want(|wanted| wanted.reload = true),
            None => self.judge(Err("this node has no configuration file".to_owned()), now),
        }
    }

    /// Wants something of the program around the node, if there is one.
    fn want(&self, more: impl FnOnce(&mut Errands)) {
        if let Some(errand) = &self.errand {
            errand.want(more);
        }
    }

    fn begin_leaving(&mut self, now: Instant, reply: Option<oneshot::Sender<()>>) {
        if self.leaving.is_none() {
            tracing::info!(target: "annulus::node", "leaving the ring");
            self.stack.disconnect_all(&mut self.outside);
            if let Some(server) = &mut self.outside.server {
                server.shutdown();
            }
        }
        let leaving = self.leaving.get_or_insert(Leaving { until: now + SETTLE, replies: Vec::new() });
        leaving.replies.extend(reply);
    }

    /// Ends the node once its clients' last messages are out.
    fn has_left(&mut self, now: Instant) -> Option<End> {
        let leaving = self.leaving.as_mut()?;
        if !self.stack.settled() && now < leaving.until {
            return None;
        }
        self.stack.leave(&mut self.outside);
        for reply in leaving.replies.drain(..) {
            // Whoever asked may be gone.
            let _ = reply.send(());
        }
        Some(End::Left)
    }

    /// Sets the timer. Whether something is due already.
    fn sleep_until_due(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let dues = [
            self.stack.deadline(),
            self.clients_due(now),
            self.ring_waits,
            Some(self.watch.due()),
            self.leaving.as_ref().map(|leaving| leaving.until),
        ];
        let Some(due) = dues.into_iter().flatten().min() else { return false };
        if due <= now {
            return true;
        }
        // What is due moves with every token. The timer is only set anew for something earlier: setting
        // it costs a look at the sockets, waking up for nothing now and then costs less.
        if self.wake_at.is_none_or(|at| due < at) {
            self.wake_at = Some(due);
            self.sleep.as_mut().reset(self.start + Duration::from_micros(due.as_micros()));
        }
        match self.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.wake_at = None;
                true
            }
            Poll::Pending => false,
        }
    }
}

/// What a transport encrypts with when no change is under way.
fn crypto(kind: &Kind) -> Option<&Crypto> {
    match kind {
        Kind::Knet(knet) => knet.crypto.as_ref(),
        Kind::Udpu | Kind::Udp(_) => None,
    }
}

/// Another number in each life of the node: from the keys that the system draws for hash maps.
fn life() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
