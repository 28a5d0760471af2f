//! Ring, router and desks, joined into one node that does no IO.
//!
//! The driver (or a simulator) gives a [`Stack`] its inputs one at a time, and implements [`Edge`], which the
//! stack calls while it handles an input.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Stack`] |
//! | `edge.rs` | [`Edge`]: the world outside of the stack |
//! | `ground.rs` | ring and edge as one, for the router and the desks |
//! | `outage.rs` | how long this node has been in no operating ring |
//! | `statistics.rs` | the ring's counters under their names in the database |

mod edge;
mod ground;
mod outage;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

pub use self::edge::Edge;
use self::ground::Below;
use self::outage::{Outage, Standing, Turn};
use crate::admin;
use crate::confdb::{self, Store};
use crate::config::Config;
use crate::config::key::Key;
use crate::config::map::Map;
use crate::config::timeouts::Timeouts;
use crate::cpg;
use crate::error::Status;
use crate::ids::{ConnId, NodeId, ServiceId};
use crate::quorum::{self, votequorum};
use crate::service::router::{EXEC_OVERHEAD, FormAnew, Router};
use crate::service::wire::MAX_MESSAGE;
use crate::service::{Database, Effects, Flow, Notice, Request, Service};
use crate::time::Instant;
use crate::totem::pg::level::Level;
use crate::totem::{Group, Input, Output, Params, StateName, Totem};
use crate::value::Value;

/// One node without IO; see the module documentation.
#[derive(Debug)]
pub struct Stack {
    me: NodeId,
    totem: Totem,
    router: Router,
    confdb: confdb::Desk,
    admin: admin::Desk,
    cpg: cpg::Desk,
    quorum: quorum::Desk,
    /// `None`: there is no quorum provider, so no votes are counted and the node is always quorate.
    votequorum: Option<votequorum::Desk>,
    database: Store,
    /// Notices that the desks have not been told yet.
    announced: VecDeque<Notice>,
    now: Instant,
    /// The deadline of the ring alone.
    deadline: Option<Instant>,
    outage: Outage,
}

/// Configuration of a node, besides that of its ring.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The initial content of the configuration database: the configuration.
    pub map: Map,
    /// Facts about the nodes, such as their addresses.
    pub facts: admin::Facts,
    /// The highest number of expected votes that was stored (`expected_votes_tracking`).
    pub kept_votes: Option<u32>,
}

/// Why a node cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The section `quorum` is contradictory, or requires something that is not available.
    #[error(transparent)]
    Quorum(#[from] quorum::settings::Wrong),
}

/// The services in the order in which they are ended, with the names that operators know them by.
///
/// Source: corosync `exec/service.c`: by descending priority, then ascending number.
const ENGINES: [(ServiceId, &str); 5] = [
    (ServiceId::VOTEQUORUM, "corosync vote quorum service v1.0"),
    (ServiceId::CMAP, "corosync configuration map access"),
    (ServiceId::CFG, "corosync configuration service"),
    (ServiceId::CPG, "corosync cluster closed process group service v1.01"),
    (ServiceId::QUORUM, "corosync cluster quorum service v0.1"),
];

/// The key that says why this node is in no operating ring; it exists only in that state.
pub const OUTAGE: &str = "runtime.totem.outage";

/// How long the services of an operating ring may synchronise before the node counts as being in no operating ring;
/// longer if a quorum device may be waited for.
const SYNC_MAY_TAKE: Duration = Duration::from_secs(10);

/// Borrows the ground field by field from the stack, so that the desks can be borrowed beside it.
macro_rules! below {
    ($stack:ident, $edge:ident) => {
        &mut Below {
            me: $stack.me,
            now: $stack.now,
            totem: &mut $stack.totem,
            database: &mut $stack.database,
            announced: &mut $stack.announced,
            edge: $edge,
        }
    };
}

/// Calls a method of the router with the desks as its first argument and the ground as its last.
macro_rules! route {
    ($stack:ident, $edge:ident, $method:ident $(, $argument:expr)*) => {
        match &mut $stack.votequorum {
            Some(votequorum) => route!(@to [
                &mut $stack.confdb, &mut $stack.admin, &mut $stack.cpg, &mut $stack.quorum, votequorum
            ], $stack, $edge, $method $(, $argument)*),
            None => route!(@to [
                &mut $stack.confdb, &mut $stack.admin, &mut $stack.cpg, &mut $stack.quorum
            ], $stack, $edge, $method $(, $argument)*),
        }
    };
    (@to $desks:expr, $stack:ident, $edge:ident, $method:ident $(, $argument:expr)*) => {
        $stack.router.$method(
            &mut $desks,
            $($argument,)*
            below!($stack, $edge),
        )
    };
}

/// The configuration database with its initial content.
pub(crate) fn database_of(map: &Map) -> Store {
    let mut database = Store::default();
    for (name, entry) in map.iter() {
        database.set(name, entry.value.clone());
    }
    database
}

impl Stack {
    /// Makes a node that is in no ring. Give it [`Input::Timeout`] to make it look for other nodes.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(params: Params, setup: Setup, now: Instant) -> Result<Self, SetupError> {
        let me = params.me;
        let mut database = database_of(&setup.map);
        let mut confdb = confdb::Desk::new(me, setup.facts.addresses.clone());
        let mut admin = admin::Desk::new(me, setup.facts);
        let mut cpg = cpg::Desk::new(me);
        let provided = quorum::settings::provider(&database)?;
        let mut quorum = quorum::Desk::new(provided);
        let mut votequorum =
            if provided { Some(votequorum::Desk::new(me, &mut database, setup.kept_votes)?) } else { None };
        let router = match &mut votequorum {
            Some(votequorum) => {
                Router::new(&mut [&mut confdb, &mut admin, &mut cpg, &mut quorum, votequorum])
            }
            None => Router::new(&mut [&mut confdb, &mut admin, &mut cpg, &mut quorum]),
        };
        let services = router.stats().services.iter();
        let services = services.map(|(service, functions)| (*service, functions.len() as u16));
        confdb.begin(&mut database, &params.timeouts, services);
        // These changes are the initial state, which is not to be announced.
        while database.take_change().is_some() {}
        Ok(Self {
            me,
            outage: Outage::new(&params.timeouts),
            totem: Totem::new(params, now),
            router,
            confdb,
            admin,
            cpg,
            quorum,
            votequorum,
            database,
            announced: VecDeque::new(),
            now,
            deadline: Some(now),
        })
    }

    /// Handles an input from the network or the clock. `now` never decreases.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>, edge: &mut dyn Edge) {
        self.now = now;
        self.totem.handle_input(now, input);
        self.drain(edge);
        route!(self, edge, expired);
        self.drain(edge);
        if self.router.deadline().is_some_and(|at| at <= now) {
            self.look_after_synchronisation(edge);
        }
        self.look_for_outage(edge);
    }

    /// Forms the ring again if members are silent in the synchronisation, so that they do not delay the
    /// others without end.
    fn look_after_synchronisation(&mut self, edge: &mut dyn Edge) {
        let on_ring = self.totem.state() == StateName::Operational;
        let Self { router, confdb, admin, cpg, quorum, votequorum, me, now, .. } = self;
        let anew = match votequorum {
            Some(votequorum) => {
                router.look(&mut [confdb, admin, cpg, quorum, votequorum], *me, *now, on_ring)
            }
            None => router.look(&mut [confdb, admin, cpg, quorum], *me, *now, on_ring),
        };
        if let Some(FormAnew { without, time }) = anew {
            self.totem.leave_out(self.now, &without, time);
            self.drain(edge);
        }
    }

    /// A client connected to a service.
    ///
    /// # Errors
    /// [`Status::TryAgain`] before the first synchronisation, [`Status::NotSupported`] for a service that
    /// this node does not have. The connection must then be refused and forgotten.
    pub fn connected(
        &mut self,
        now: Instant,
        service: ServiceId,
        conn: ConnId,
        edge: &mut dyn Edge,
    ) -> Result<(), Status> {
        self.now = now;
        if !self.accepts_clients() {
            return Err(Status::TryAgain);
        }
        let connected = route!(self, edge, connected, service, conn);
        self.confdb.statistics_moved(now);
        self.drain(edge);
        connected
    }

    /// A client sent a request. It is answered once through [`Edge::reply`] during this call; a CPG multicast
    /// is not answered.
    ///
    /// A multicast that comes while its service's flow is held, or while [`Stack::fits_request`] is false, is
    /// lost without notice to its sender. So the edge must keep such requests until then.
    pub fn request(&mut self, now: Instant, conn: ConnId, request: Request<'_>, edge: &mut dyn Edge) {
        self.now = now;
        route!(self, edge, request, conn, request);
        self.drain(edge);
    }

    /// A client has disconnected. A second call has no effect.
    pub fn disconnected(&mut self, now: Instant, conn: ConnId, edge: &mut dyn Edge) {
        self.now = now;
        route!(self, edge, disconnected, conn);
        self.confdb.statistics_moved(now);
        self.drain(edge);
    }

    /// The time for the next [`Input::Timeout`] if no other input comes before. If it is in the past, give it
    /// after the other pending inputs.
    pub fn deadline(&self) -> Option<Instant> {
        let own = [self.deadline, self.router.deadline(), self.outage.deadline()].into_iter().flatten();
        self.desks().filter_map(Service::deadline).chain(own).min()
    }

    /// Whether clients may connect: true from the first completed synchronisation on.
    pub const fn accepts_clients(&self) -> bool {
        self.router.ready()
    }

    /// Whether a service's clients may send requests; see [`Flow`].
    pub fn flow(&self, service: ServiceId) -> Flow {
        // Votequorum's requests are served during a synchronisation, because a synchronisation may wait for
        // one of them.
        let syncing = self.router.syncing() && service != ServiceId::VOTEQUORUM;
        // The other services' requests need no room in the send queue, or wait for it at their desks.
        let full = self.totem.level() == Level::Critical && service == ServiceId::CPG;
        if syncing || full { Flow::Held } else { Flow::Open }
    }

    /// Whether clients of the database are being notified of a change. Requests to the database must not be read
    /// meanwhile.
    pub fn is_telling(&self) -> bool {
        self.confdb.is_telling()
    }

    /// The work done for clients of the database since the start, in steps that each cost about as much as one event.
    pub const fn work(&self) -> u64 {
        self.confdb.work()
    }

    /// Whether a request of any size would be accepted now. While this is false, the edge reads no requests
    /// that need flow control, so that none is lost.
    pub fn fits_request(&self) -> bool {
        !self.router.syncing() && self.totem.fits(MAX_MESSAGE + EXEC_OVERHEAD)
    }

    /// Ends all services, votequorum first: disconnects their clients, and lets each service multicast its
    /// last messages. This is the first step of a clean stop, which announces the end of the clients in the
    /// order of the ring. Continue with inputs until [`Stack::settled`] is true or a time limit is reached,
    /// then call [`Stack::leave`].
    ///
    /// Source: corosync `exec/service.c`, `corosync_service_unlink_all`.
    pub fn disconnect_all(&mut self, edge: &mut dyn Edge) {
        tracing::info!("Unloading all Corosync service engines.");
        for (service, name) in ENGINES {
            if route!(self, edge, stop, service) {
                tracing::info!("Service engine unloaded: {name}");
            }
        }
        self.drain(edge);
    }

    /// Reports that the configuration has been read, as a desk ordered: the result, or why it cannot be used.
    pub fn judged(&mut self, now: Instant, outcome: Result<&Config, &str>, edge: &mut dyn Edge) {
        self.with_admin(now, edge, |admin, effects| admin.judged(outcome, effects));
    }

    /// Applies the configuration that was read last, as a desk ordered, or records why it cannot be used after all;
    /// then answers the clients that asked for the reload. Everything outside of the stack must have been adapted
    /// before. `rekeys`: the transport has another key, cipher or hash ready; [`Order::SwitchKey`] and
    /// [`Order::ForgetKey`] follow.
    ///
    /// [`Order::SwitchKey`]: crate::service::Order::SwitchKey
    /// [`Order::ForgetKey`]: crate::service::Order::ForgetKey
    pub fn adopted(
        &mut self,
        now: Instant,
        outcome: Result<&Config, &str>,
        rekeys: bool,
        edge: &mut dyn Edge,
    ) {
        self.now = now;
        if let Ok(config) = outcome {
            self.reconfigure(config.totem.timeouts.clone(), edge);
        }
        self.admin.adopted(outcome, rekeys, below!(self, edge));
        self.confdb.set_addresses(self.admin.facts().addresses.clone());
        route!(self, edge, wake, ServiceId::CFG);
        route!(self, edge, tell);
        self.drain(edge);
    }

    /// Reports that a key was generated, as a desk ordered, or why not; see [`admin::Desk::key_made`].
    pub fn key_made(&mut self, now: Instant, outcome: Result<(Key, u64), String>, edge: &mut dyn Edge) {
        self.with_admin(now, edge, |admin, effects| admin.key_made(outcome, effects));
    }

    /// Reports that a key was stored, as a desk ordered, or why not.
    pub fn key_stored(&mut self, now: Instant, outcome: Result<(), String>, edge: &mut dyn Edge) {
        self.with_admin(now, edge, |admin, effects| admin.key_stored(outcome, effects));
    }

    /// Reports that the key file was replaced, as a desk ordered, or why not; see [`admin::Desk::key_kept`].
    pub fn key_kept(&mut self, now: Instant, outcome: Result<(u64, String), String>, edge: &mut dyn Edge) {
        self.with_admin(now, edge, |admin, effects| admin.key_kept(outcome, effects));
    }

    /// Reports the key, cipher and hash in use, as a desk ordered; see [`admin::Desk::key_seen`].
    pub fn key_seen(
        &mut self,
        now: Instant,
        (print, next, suite): (u64, Option<u64>, &str),
        edge: &mut dyn Edge,
    ) {
        self.with_admin(now, edge, |admin, effects| admin.key_seen(print, next, suite, effects));
    }

    fn with_admin(
        &mut self,
        now: Instant,
        edge: &mut dyn Edge,
        told: impl FnOnce(&mut admin::Desk, &mut dyn Effects),
    ) {
        self.now = now;
        told(&mut self.admin, below!(self, edge));
        route!(self, edge, wake, ServiceId::CFG);
        route!(self, edge, tell);
        self.drain(edge);
    }

    /// Whether the ring is changing its key, cipher or hash.
    pub fn is_rekeying(&self) -> bool {
        self.admin.is_rekeying()
    }

    /// Whether a new key is being distributed to all nodes.
    pub fn is_rotating(&self) -> bool {
        self.admin.is_rotating()
    }

    /// Reports that the log files were reopened, as a desk ordered; answers the clients that asked for it.
    pub fn logs_reopened(&mut self, now: Instant, status: Status, edge: &mut dyn Edge) {
        self.now = now;
        self.admin.logs_reopened(status, below!(self, edge));
        self.drain(edge);
    }

    /// Whether the ring has been told of all clients that have disconnected, and of everything else that the
    /// other nodes must know.
    pub fn settled(&self) -> bool {
        self.desks().all(Service::settled)
    }

    /// Leaves the ring. The stack takes no further input after that.
    pub fn leave(&mut self, edge: &mut dyn Edge) {
        self.totem.leave();
        self.drain(edge);
    }

    /// Restricts the membership to these nodes: [`Totem::admit_only`]. `None`: no restriction.
    pub fn admit(&mut self, nodes: Option<&[NodeId]>) {
        match nodes {
            Some(nodes) => self.totem.admit_only(nodes),
            None => self.totem.admit_any(),
        }
    }

    /// Changes the ring's timers and limits.
    pub fn reconfigure(&mut self, timeouts: Timeouts, edge: &mut dyn Edge) {
        self.write(edge, |database| confdb::totem(database, &timeouts));
        self.outage.reconfigure(&timeouts);
        self.totem.reconfigure(timeouts);
        self.drain(edge);
    }

    /// Forms the membership again.
    pub fn gather(&mut self, edge: &mut dyn Edge) {
        self.totem.force_gather(self.now);
        self.drain(edge);
    }

    /// Changes the configuration database, then notifies the desks and the clients that track the changed
    /// keys.
    pub fn write(&mut self, edge: &mut dyn Edge, write: impl FnOnce(&mut dyn Database)) {
        self.database.at(self.now);
        write(&mut self.database);
        route!(self, edge, tell);
        self.drain(edge);
    }

    /// The configuration database.
    pub const fn database(&self) -> &Store {
        &self.database
    }

    /// The ring, to read its counters and state.
    pub const fn totem(&self) -> &Totem {
        &self.totem
    }

    /// The router, to read its counters.
    pub const fn router(&self) -> &Router {
        &self.router
    }

    /// The desk of the database, to read its counters.
    pub const fn confdb(&self) -> &confdb::Desk {
        &self.confdb
    }

    /// The desk of CPG, to read its groups and counters.
    pub const fn cpg(&self) -> &cpg::Desk {
        &self.cpg
    }

    /// The state of the votes; `None` without a quorum provider.
    pub fn votes(&self) -> Option<&quorum::Votes> {
        self.votequorum.as_ref().map(votequorum::Desk::votes)
    }

    fn desks(&self) -> impl Iterator<Item = &dyn Service> {
        let desks: [&dyn Service; 4] = [&self.confdb, &self.admin, &self.cpg, &self.quorum];
        desks.into_iter().chain(self.votequorum.iter().map(|desk| desk as &dyn Service))
    }

    /// Checks whether this node has been in no operating ring for longer than a change of membership takes. Then
    /// clients are told that it is not quorate, and `runtime.totem.outage` gives the reason until it is in a ring
    /// again. After the same time again the node forms a ring of its own for a while, because a program that acts on
    /// messages to itself, such as Pacemaker, cannot react to the loss of quorum without a ring.
    fn look_for_outage(&mut self, edge: &mut dyn Edge) {
        let standing = match (self.totem.state(), self.router.syncing()) {
            (StateName::Operational, false) => Standing::Working,
            (StateName::Operational, true) => {
                let device = self.votequorum.as_ref().map_or(Duration::ZERO, votequorum::Desk::sync_takes);
                Standing::Syncing(device.max(SYNC_MAY_TAKE))
            }
            (StateName::Gather | StateName::Commit | StateName::Recovery, _) => Standing::Apart,
        };
        let Some(turn) = self.outage.look(self.now, standing) else { return };
        let why = match standing {
            Standing::Working => String::new(),
            Standing::Syncing(_) => "the services of the ring are not synchronised".to_owned(),
            Standing::Apart => self.totem.why_no_ring(self.now),
        };
        let ms = |out: Duration| u64::try_from(out.as_millis()).unwrap_or(u64::MAX);
        match turn {
            Turn::Out(out) => {
                tracing::warn!(
                    ms = ms(out), last = %self.totem.ring(), state = %self.totem.state(), %why,
                    "in no operating ring for longer than a change of membership takes: this node is not quorate"
                );
                self.announced.push_back(Notice::NoRing);
            }
            Turn::StillOut(out) => {
                let me = self.me;
                let others: Vec<_> = self.totem.known().iter().copied().filter(|node| *node != me).collect();
                if standing == Standing::Apart && !others.is_empty() {
                    let alone = self.outage.alone();
                    tracing::warn!(
                        ms = ms(out), for_ms = ms(alone), %why,
                        "still in no operating ring: this node goes on alone for a while, so that its groups go on"
                    );
                    self.totem.leave_out(self.now, &others, alone);
                }
            }
            Turn::Back(out) => {
                tracing::info!(ms = ms(out), ring = %self.totem.ring(), "in an operating ring again");
            }
        }
        self.write(edge, |database| match turn {
            Turn::Out(_) | Turn::StillOut(_) => database.set(OUTAGE, Value::text(&why)),
            Turn::Back(_) => {
                database.remove(OUTAGE);
            }
        });
    }

    /// Carries out the ring's actions until there are none left.
    fn drain(&mut self, edge: &mut dyn Edge) {
        let mut unsent = false;
        loop {
            match self.totem.poll_output() {
                Output::Send(to, frame) => {
                    edge.send(to, frame);
                    unsent = true;
                }
                Output::Store(up_to) => edge.store(up_to),
                Output::Deliver(message) => {
                    if std::mem::take(&mut unsent) {
                        edge.flush();
                    }
                    match message.group {
                        Group::App => {
                            route!(self, edge, deliver, message.from, message.body, message.order);
                        }
                        Group::Sync => {
                            route!(self, edge, deliver_sync, message.from, &message.body, message.order);
                        }
                    }
                }
                Output::View(view) => {
                    if std::mem::take(&mut unsent) {
                        edge.flush();
                    }
                    edge.view(&view);
                    route!(self, edge, view, &view);
                }
                Output::TokenSent => route!(self, edge, token_sent),
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    if unsent {
                        edge.flush();
                    }
                    return;
                }
            }
        }
    }
}
