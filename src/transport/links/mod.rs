//! A transport with several links to each node. It moves the bytes, keeps the time and holds the keys for
//! [`knet`](super::knet), which makes the decisions.
//!
//! Counterpart of Corosync's `exec/totemknet.c` and of libknet's threads.
//!
//! | file | contents |
//! |---|---|
//! | `mod.rs` | [`Links`]: the transport |
//! | `wire.rs` | this host's end of a link: its socket, and the addresses of the other hosts |
//! | `outbox.rs` | outgoing packets: sealed once, many sent with one call |
//! | `intake.rs` | incoming datagrams: opened in place |
//! | `errors.rs` | errors that the kernel queues about datagrams sent earlier |
//! | `report.rs` | log lines |

mod errors;
mod intake;
mod outbox;
mod report;
mod wire;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant as TokioInstant, Sleep, sleep_until};

use self::intake::Intake;
use self::outbox::Outbox;
use self::report::Report;
use self::wire::{Change, Plan, Wire};
use super::knet::envelope::{Envelope, Suite};
use super::knet::{self, Crypto, Engine, LINKS, LinkView, Output, Settings};
use super::looped::Looped;
use super::probes::Route;
use super::received::{Left, Received};
use super::run::Offload;
use super::stats::{Logs, Stats};
use super::udpu::FRUITLESS_CALLS;
use super::{InterfaceChange, Kind, Options, TransportError, options, socket, sys};
use crate::ids::{Destination, NodeId};
use crate::time::Instant;
use crate::value::Value;

/// A transport with several links to each node: sockets, timer and keys around the engine.
#[derive(Debug)]
pub(super) struct Links {
    options: Options,
    engine: Engine,
    envelope: Envelope,
    wires: [Option<Wire>; LINKS],
    outbox: Outbox,
    looped: Looped,
    stats: Stats,
    logs: Logs,
    report: Report,
    start: TokioInstant,
    sleep: Pin<Box<Sleep>>,
    /// When `sleep` ends; `None` if it has ended.
    wake_at: Option<Instant>,
    /// The link that is read first in the next turn, so that no link is always served last.
    first: usize,
    /// Datagrams that the kernel had dropped at sockets that are closed by now.
    kernel_drops_before: u64,
}

impl Links {
    /// Implements [`Transport::open`](super::Transport::open).
    pub(super) fn open(options: &Options, knet: &knet::Options) -> Result<Self, TransportError> {
        options.check()?;
        let envelope = match &knet.crypto {
            Some(Crypto { suite, key }) => Envelope::new(*suite, key)?,
            None => Envelope::clear()?,
        };
        let start = TokioInstant::now();
        let engine =
            Engine::new(knet.settings.clone(), envelope.sizes(), epoch()?, Instant::ZERO).map_err(refused)?;
        let mut links = Self {
            options: options.clone(),
            engine,
            envelope,
            wires: [const { None }; LINKS],
            outbox: Outbox::default(),
            looped: Looped::default(),
            stats: Stats::default(),
            logs: Logs::default(),
            report: Report::default(),
            start,
            sleep: Box::pin(sleep_until(start)),
            wake_at: None,
            first: 0,
            kernel_drops_before: 0,
        };
        for (link, plan) in plans(options, knet).into_iter().enumerate() {
            if let Some(plan) = plan {
                links.put(link, Wire::open(plan)?);
            }
        }
        links.aim(&knet.settings);
        tracing::info!(
            suite = %links.envelope.suite(), mode = ?knet.settings.mode, recv_buffer = links.stats.recv_buffer,
            send_buffer = links.stats.send_buffer, "transport knet is open"
        );
        Ok(links)
    }

    /// Implements [`Transport::probe`](super::Transport::probe).
    pub(super) fn probe(options: &Options, knet: &knet::Options) -> Result<(), TransportError> {
        options.check()?;
        plans(options, knet).iter().flatten().try_for_each(Wire::probe)
    }

    /// Starts using the socket of a link.
    fn put(&mut self, link: usize, wire: Wire) {
        self.stats.recv_buffer = wire.given.0;
        self.stats.send_buffer = wire.given.1;
        self.stats.dscp = wire.dscp;
        if !wire.is_up() {
            // There are at most eight links.
            self.engine.set_interface(self.now(), link as u8, false);
        }
        tracing::info!(link, address = %wire.address(), "link is open");
        self.wires[link] = Some(wire);
    }

    /// Tells each socket the addresses of the other hosts.
    fn aim(&mut self, settings: &Settings) {
        for (link, wire) in self.wires.iter_mut().enumerate() {
            if let Some(wire) = wire {
                wire.set_targets(settings, link);
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }

    /// Implements [`Transport::send`](super::Transport::send).
    pub(super) fn send(&mut self, batch: &mut Vec<(Destination, Bytes)>) {
        let now = self.now();
        for (destination, message) in batch.drain(..) {
            let token = match destination {
                Destination::Node(id) if id == self.engine.settings().me => {
                    self.engine.count_looped(message.len());
                    self.looped.push(message, &mut self.stats);
                    continue;
                }
                Destination::Node(_) => true,
                Destination::All => {
                    self.engine.count_looped(message.len());
                    false
                }
            };
            self.engine.send(now, destination, &message);
            self.collect(now, token);
        }
        self.flush(now);
    }

    /// Queues what the engine wants to send, and logs its events. `token`: it sends a message for a single
    /// node.
    fn collect(&mut self, now: Instant, token: bool) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Send(burst) => {
                    self.outbox.push(burst, token);
                    if self.outbox.is_full() {
                        self.flush(now);
                    }
                }
                Output::Event(event) => report::changed(&event, &self.engine),
            }
        }
    }

    fn flush(&mut self, now: Instant) {
        let Self { outbox, envelope, wires, engine, stats, logs, .. } = self;
        outbox.send(now, wires, envelope, engine, stats, logs);
    }

    /// Collects and sends until the engine has no more output; a failed send may cause more.
    fn act(&mut self, now: Instant) {
        self.collect(now, false);
        self.flush(now);
        self.collect(now, false);
        self.flush(now);
    }

    /// Implements [`Transport::poll_recv`](super::Transport::poll_recv).
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Received) -> Poll<io::Result<()>> {
        batch.clear();
        self.looped.wait(cx);
        for _ in 0..FRUITLESS_CALLS {
            self.looped.take(batch, &mut self.stats);
            let mut idle = self.tick(cx);
            for step in 0..LINKS {
                let link = (self.first + step) % LINKS;
                match self.read(cx, link, batch) {
                    Poll::Ready(Ok(Left::Nothing)) => idle = false,
                    Poll::Ready(Ok(Left::Perhaps)) => {
                        idle = false;
                        self.first = (link + 1) % LINKS;
                        break;
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {}
                }
            }
            if !batch.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if idle {
                return Poll::Pending;
            }
            batch.clear();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads one link; pending if nothing has arrived.
    fn read(&mut self, cx: &mut Context<'_>, link: usize, batch: &mut Received) -> Poll<io::Result<Left>> {
        let Some(socket) = self.wires[link].as_ref().and_then(Wire::watched) else { return Poll::Pending };
        let mut ready = match socket.poll_read_ready(cx) {
            Poll::Ready(Ok(ready)) => ready,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        let start = self.start;
        let errors_before = self.stats.recv_errors.total();
        let mut intake = Intake {
            // There are at most eight links.
            link: link as u8,
            clear: self.envelope.suite().is_clear(),
            engine: &mut self.engine,
            envelope: &mut self.envelope,
            stats: &mut self.stats,
            logs: &mut self.logs,
            report: &mut self.report,
            clock: &|| Instant::ZERO + start.elapsed(),
            now: None,
            opened: Vec::new().into_iter(),
            took: Duration::ZERO,
        };
        let left = batch.receive(ready.get_inner(), 0, &mut intake);
        if left == Left::Nothing {
            ready.clear_ready();
        }
        let now = self.now();
        if self.stats.recv_errors.total() != errors_before
            && let Some(wire) = &self.wires[link]
        {
            errors::read(wire, link as u8, now, &mut self.engine);
        }
        self.act(now);
        Poll::Ready(Ok(left))
    }

    /// Runs the engine's time-outs that are due, and sets the timer. Returns whether nothing was due.
    fn tick(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.now();
        let was_due = self.engine.deadline() <= now;
        if was_due {
            for (link, wire) in (0..).zip(&self.wires) {
                if let Some(wire) = wire {
                    errors::read(wire, link, now, &mut self.engine);
                }
            }
            self.engine.handle_timeout(now);
            self.act(now);
        }
        let due = self.engine.deadline();
        if self.wake_at.is_none_or(|at| due < at) {
            self.wake_at = Some(due);
            self.sleep.as_mut().reset(self.start + Duration::from_micros(due.as_micros()));
        }
        match self.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.wake_at = None;
                // The timer was set for an earlier time, or for one that has passed by now: check again.
                false
            }
            Poll::Pending => !was_due,
        }
    }

    /// The addresses of this host and of another one, on each link that is up: the others may be so because they are
    /// refused.
    pub(super) fn routes(&self, node: NodeId) -> Vec<Route> {
        let views = self.engine.links();
        let up = views.iter().filter(|view| view.path.host == node && view.connected);
        up.filter_map(|view| {
            let wire = self.wires[usize::from(view.path.link)].as_ref()?;
            let to = wire.target(node)?.as_socket()?;
            let mut from = wire.address();
            from.set_port(0);
            Some(Route { from, to })
        })
        .collect()
    }

    /// Implements [`Transport::offload`](super::Transport::offload).
    pub(super) fn offload(&self) -> Offload {
        let open =
            || self.wires.iter().flatten().filter(|wire| wire.socket().is_some()).map(|wire| wire.offload);
        Offload { sending: open().all(|of| of.sending), receiving: open().all(|of| of.receiving) }
    }

    /// Implements [`Transport::stats`](super::Transport::stats).
    pub(super) const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Implements [`Transport::local`](super::Transport::local).
    pub(super) fn local(&self) -> SocketAddr {
        let first = self.wires.iter().flatten().next();
        first.map_or_else(|| SocketAddr::new(self.options.address, self.options.port), Wire::address)
    }

    /// Implements [`Transport::is_up`](super::Transport::is_up).
    pub(super) fn is_up(&self) -> bool {
        self.wires.iter().flatten().any(Wire::is_up)
    }

    /// Implements [`Transport::links`](super::Transport::links).
    pub(super) fn links(&self) -> (Instant, Vec<LinkView>) {
        (self.now(), self.engine.links())
    }

    /// Implements [`Transport::own_links`](super::Transport::own_links).
    pub(super) fn own(&self) -> Vec<(u8, IpAddr)> {
        (0..).zip(&self.wires).filter_map(|(link, wire)| Some((link, wire.as_ref()?.plan.address))).collect()
    }

    /// The counters of the links, with the keys of Corosync's statistics map, ascending.
    pub(super) fn statistics(&self) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        for (knet::Path { host, link }, rows) in self.engine.link_stats() {
            all.extend(
                rows.into_iter().map(|(name, value)| (format!("{STATS}node{host}.link{link}.{name}"), value)),
            );
        }
        let handle = self.engine.handle_stats().rows();
        all.extend(handle.into_iter().map(|(name, value)| (format!("{STATS}handle.{name}"), value)));
        all
    }

    /// Resets all counters of the links to 0.
    pub(super) fn clear_statistics(&mut self) {
        self.engine.clear_stats();
    }

    /// Implements [`Transport::set_dscp`](super::Transport::set_dscp).
    pub(super) fn set_dscp(&mut self, dscp: Option<u8>) -> Result<(), TransportError> {
        options::check_dscp(dscp)?;
        for wire in self.wires.iter_mut().flatten() {
            wire.set_dscp(dscp)?;
            self.stats.dscp = wire.dscp;
        }
        self.options.dscp = dscp;
        Ok(())
    }

    /// Implements [`Transport::check_links`](super::Transport::check_links).
    pub(super) fn check(&self, knet: &knet::Options) -> Result<(), TransportError> {
        self.engine.check(&knet.settings).map_err(refused)
    }

    /// Implements [`Transport::set_links`](super::Transport::set_links).
    pub(super) fn reconfigure(&mut self, knet: &knet::Options) -> Result<(), TransportError> {
        self.check(knet)?;
        let now = self.now();
        let mut fresh = Vec::new();
        let plans = plans(&self.options, knet);
        for (link, plan) in plans.iter().enumerate() {
            if let Some(plan) = plan
                && !self.wires[link].as_ref().is_some_and(|wire| wire.plan.is_at_place_of(plan))
            {
                fresh.push((link, Wire::open(plan.clone())?));
            }
        }
        self.engine.reconfigure(now, knet.settings.clone()).map_err(refused)?;
        for (link, plan) in plans.iter().enumerate() {
            if plan.is_none() && self.wires[link].take().is_some() {
                tracing::info!(link, "link is closed");
            }
        }
        for (link, wire) in fresh {
            self.put(link, wire);
        }
        self.aim(&knet.settings);
        let crypto = match &self.options.kind {
            Kind::Knet(old) => old.crypto.clone(),
            Kind::Udp(_) | Kind::Udpu => None,
        };
        // Encryption changes step by step instead: see `rekey`.
        self.options.kind = Kind::Knet(Box::new(knet::Options { crypto, ..knet.clone() }));
        self.act(now);
        // A task that waits in poll_recv may wait on sockets that are closed by now.
        self.looped.wake();
        Ok(())
    }

    /// The envelope, for a change of keys; call [`Links::sealed_anew`] afterwards.
    pub(super) const fn envelope(&mut self) -> &mut Envelope {
        &mut self.envelope
    }

    /// The cipher and hash with which packets are sealed.
    pub(super) fn suite(&self) -> Suite {
        self.envelope.suite()
    }

    /// Implements [`Transport::hurry`](super::Transport::hurry).
    pub(super) fn hurry(&mut self, token: Option<Duration>) {
        let now = self.now();
        self.engine.hurry(now, token);
        self.act(now);
        // The task that waits in poll_recv waits for a later ping.
        self.looped.wake();
    }

    /// The envelope now seals in another way than before, so packets may have another size.
    pub(super) fn sealed_anew(&mut self) {
        let now = self.now();
        self.engine.set_sizes(now, self.envelope.sizes());
        self.act(now);
    }

    /// Implements [`Transport::check_interface`](super::Transport::check_interface).
    pub(super) fn check_interface(&mut self) -> InterfaceChange {
        self.count_kernel_drops();
        let now = self.now();
        let mut any = false;
        for (link, wire) in (0..).zip(&mut self.wires) {
            let Some(wire) = wire else { continue };
            let change = wire.look();
            match change {
                Ok(Change::None) => {}
                Ok(Change::Gone) => {
                    tracing::warn!(link, address = %wire.plan.address, "the link's interface is gone; waiting for it to come back");
                    self.engine.set_interface(now, link, false);
                    any = true;
                }
                Ok(Change::Back) => {
                    tracing::info!(link, address = %wire.plan.address, "the link's interface is back");
                    self.engine.set_interface(now, link, true);
                    any = true;
                }
                Err(error) => {
                    if let Some(held_back) = self.logs.interface.may_speak() {
                        tracing::error!(link, %error, held_back, "the link's interface is not in order; trying again");
                    }
                }
            }
        }
        if any {
            if let Kind::Knet(knet) = &self.options.kind {
                let settings = knet.settings.clone();
                self.aim(&settings);
            }
            self.act(now);
            self.looped.wake();
        }
        // The ring does not depend on a single interface: it continues over other links, or detects that none
        // works.
        InterfaceChange::None
    }

    fn count_kernel_drops(&mut self) {
        let sockets = self.wires.iter().flatten().filter_map(Wire::socket);
        let now: u64 =
            sockets.filter_map(|socket| sys::kernel_drops(socket.as_fd()).ok()).map(u64::from).sum::<u64>()
                + self.kernel_drops_before;
        super::stats::count_kernel_drops(now, &mut self.stats, &mut self.logs);
    }
}

const STATS: &str = "stats.knet.";

/// The settings with which each link's socket is opened.
fn plans(options: &Options, knet: &knet::Options) -> [Option<Plan>; LINKS] {
    let settings = &knet.settings;
    let own = settings.hosts.iter().find(|host| host.id == settings.me);
    let buffers = socket::link_buffer_size(options, settings.hosts.len().saturating_sub(1));
    std::array::from_fn(|link| {
        Some(Plan {
            address: own?.addresses[link]?,
            interface: knet.interfaces[link].clone(),
            port: settings.links[link].as_ref()?.port,
            dscp: options.dscp,
            buffers,
            small_buffers: knet.allow_small_buffers,
        })
    })
}

/// A random number, which has never been used before.
fn epoch() -> Result<u64, TransportError> {
    let mut bytes = [0; 8];
    super::random(&mut bytes).map_err(socket::failed("draw a random number"))?;
    Ok(u64::from_ne_bytes(bytes))
}

fn refused(knet::Refused(why): knet::Refused) -> TransportError {
    TransportError::Setting { setting: "nodelist", node: None, why }
}
