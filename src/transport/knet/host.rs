//! Another host: the links to it, the choice among them, and what the host sends.

use std::net::IpAddr;
use std::time::Duration;

use super::choice::{Choice, Standing};
use super::inbound::Inbound;
use super::limits::Limits;
use super::link::{self, Act, Heard, Link};
use super::outbox::Outbox;
use super::output::{Cause, Event, Fault, LinkView, PacketKind, Path};
use super::pmtud::{Pace, PathMtu, Teller};
use super::settings::{LINKS, LinkMode, LinkSettings};
use super::sizes::{self, Sizes};
use super::wire;
use crate::ids::NodeId;
use crate::time::Instant;

/// Minimum time between searches for the path MTU.
const LEAST_SEARCH: Duration = Duration::from_secs(1);

/// Values that all links use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    /// The id of this node.
    pub(super) me: NodeId,
    /// Number by which stamps of this process are told from those of earlier ones.
    pub(super) epoch: u64,
    /// Number of the last message sent.
    pub(super) seq: u16,
    pub(super) pmtud_interval: Duration,
}

/// Another host with the links to it.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) routes: [Option<Route>; LINKS],
    pub(super) choice: Choice,
    pub(super) inbound: Inbound,
    /// Whether a link to it is up.
    pub(super) reachable: bool,
}

impl Peer {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            id,
            routes: [const { None }; LINKS],
            choice: Choice::default(),
            inbound: Inbound::new(),
            reachable: false,
        }
    }

    pub(super) fn routes(&self) -> impl Iterator<Item = &Route> + Clone {
        self.routes.iter().flatten()
    }

    /// Whether data from it is accepted: it answered some ping, though perhaps not enough pings for this node
    /// to send to it. On its side the links may come up earlier than on this one.
    pub(super) fn is_heard(&self) -> bool {
        self.routes().any(|route| route.link.is_heard())
    }

    /// The link whose packets come from this address, preferably link `link`.
    pub(super) fn from(&mut self, address: IpAddr, link: u8) -> Option<&mut Route> {
        let fits = |route: &Option<Route>| route.as_ref().is_some_and(|route| route.peer == address);
        let rather = usize::from(link);
        let found = if self.routes.get(rather).is_some_and(fits) {
            rather
        } else {
            self.routes.iter().position(fits)?
        };
        self.routes[found].as_mut()
    }

    /// Chooses links again; returns `true` if the host became reachable or unreachable.
    pub(super) fn decide(&mut self, mode: LinkMode) -> bool {
        let standings = self.routes.iter().flatten().map(|route| (route.path.link, route.standing()));
        self.choice.decide(mode, standings);
        let reachable = self.routes().any(|route| route.link.is_up());
        let changed = self.reachable != reachable;
        self.reachable = reachable;
        if changed && !reachable {
            self.inbound.wipe();
        }
        changed
    }
}

/// One link to a host.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) path: Path,
    own: IpAddr,
    pub(super) peer: IpAddr,
    pub(super) link: Link,
    pub(super) mtu: PathMtu,
    pub(super) limits: Limits,
}

/// The state of a link on which decisions outside of it depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    standing: Standing,
    fragment: usize,
}

impl Route {
    pub(super) fn new(
        path: Path,
        (own, peer): (IpAddr, IpAddr),
        watch: LinkSettings,
        (sizes, fixed): (Sizes, Option<u16>),
        now: Instant,
    ) -> Self {
        Self {
            path,
            own,
            peer,
            link: Link::new(watch, now),
            mtu: PathMtu::new(sizes, sizes::overhead(peer), fixed),
            limits: Limits::new(now),
        }
    }

    /// Whether the link stays the same with these settings.
    pub(super) fn is_same(&self, own: IpAddr, peer: IpAddr, port: u16) -> bool {
        (self.own, self.peer, self.link.watch().port) == (own, peer, port)
    }

    fn standing(&self) -> Standing {
        Standing {
            up: self.link.is_up(),
            doubted: self.link.is_doubted(),
            doubtful: self.mtu.is_doubtful(),
            priority: self.link.watch().priority,
        }
    }

    pub(super) fn look(&self) -> Look {
        Look { standing: self.standing(), fragment: self.mtu.fragment() }
    }

    /// Reports to operators what has changed since `before`.
    pub(super) fn tell(&self, before: Look, outbox: &mut Outbox) {
        let now = self.look();
        match (before.standing.up, now.standing.up) {
            (false, true) => outbox.tell(Event::LinkUp(self.path)),
            (true, false) => {
                outbox.tell(Event::LinkDown(self.path, self.link.cause().unwrap_or(Cause::Silence)));
            }
            (false, false) | (true, true) => {}
        }
        if before.fragment != now.fragment && self.link.is_heard() {
            outbox.tell(Event::Mtu { path: self.path, from: before.fragment, to: now.fragment });
        }
    }

    fn pace(&self, common: &Common) -> Pace {
        let timeout = self.link.watch().ping_timeout;
        Pace {
            answer: (timeout / 8 + self.link.latency() * 2).min(timeout),
            watch: self.link.interval(),
            search: common.pmtud_interval.max(LEAST_SEARCH),
        }
    }

    pub(super) fn deadline(&self, common: &Common) -> Option<Instant> {
        let link = self.link.deadline();
        let probe = self.mtu.deadline(self.pace(common));
        link.into_iter().chain(probe).min()
    }

    /// Performs the actions that are due.
    pub(super) fn poll(&mut self, now: Instant, common: &Common, outbox: &mut Outbox) {
        while let Some(act) = self.link.poll(now) {
            self.act(now, act, common, outbox);
        }
        if !self.link.is_heard() {
            self.mtu.stop();
        }
        let pace = self.pace(common);
        while let Some(probe) = self.mtu.poll(now, pace) {
            let wire = wire::Probe { link: self.path.link, size: probe.size };
            let packet = wire::probe(common.me, &wire, probe.plain);
            outbox.control(PacketKind::Probe, self.path, packet, &mut self.link.stats);
        }
    }

    fn act(&mut self, now: Instant, act: Act, common: &Common, outbox: &mut Outbox) {
        match act {
            Act::Ping => self.ping(now, true, common, outbox),
            Act::Down(_) => self.mtu.stop(),
        }
    }

    /// Sends a ping on this link.
    pub(super) fn ping(&mut self, now: Instant, timed: bool, common: &Common, outbox: &mut Outbox) {
        self.link.pinged(now);
        let stamp = link::stamp(common.epoch, self.path, now);
        let ping = wire::Ping { link: self.path.link, stamp, seq: common.seq, timed };
        let packet = wire::ping(common.me, &ping);
        outbox.control(PacketKind::Ping, self.path, packet, &mut self.link.stats);
    }

    /// Handles the answer to a ping. `alone`: no other link to the host is up.
    pub(super) fn pong(&mut self, now: Instant, pong: &wire::Ping, alone: bool, common: &Common) {
        let Some(sent) = link::stamped(common.epoch, self.path, pong.stamp) else { return };
        match self.link.pong(now, sent, pong.timed, alone) {
            Heard::Nothing => {}
            Heard::Pong => self.mtu.start(now, false),
            Heard::Up => self.mtu.start(now, true),
        }
    }

    /// Handles the answer to a probe.
    pub(super) fn probe_reply(&mut self, now: Instant, size: u16, common: &Common) {
        self.mtu.reply(now, size, self.pace(common));
    }

    /// Handles a packet that could not be sent.
    pub(super) fn not_sent(
        &mut self,
        now: Instant,
        kind: PacketKind,
        fault: Fault,
        common: &Common,
        outbox: &mut Outbox,
    ) {
        self.link.stats.refused(kind, fault);
        let teller = if kind == PacketKind::Probe { Teller::Probe } else { Teller::Packet };
        self.fault(now, teller, fault, common, outbox);
    }

    /// Handles an error that the kernel reported later.
    pub(super) fn reported(&mut self, now: Instant, fault: Fault, common: &Common, outbox: &mut Outbox) {
        self.fault(now, Teller::Network, fault, common, outbox);
    }

    fn fault(&mut self, now: Instant, teller: Teller, fault: Fault, common: &Common, outbox: &mut Outbox) {
        match fault {
            Fault::TooLong(limit) => self.mtu.too_long(now, limit, teller, self.pace(common)),
            Fault::Unreachable => {
                if let Some(act) = self.link.unreachable(now) {
                    self.act(now, act, common, outbox);
                }
            }
            Fault::Other(_) => {}
        }
    }

    /// Sets whether this host has its own address on the link.
    pub(super) fn set_interface(&mut self, now: Instant, up: bool) {
        self.link.set_interface(now, up);
        if !up {
            self.mtu.stop();
        }
    }

    pub(super) fn view(&self) -> LinkView {
        let stats = &self.link.stats;
        LinkView {
            path: self.path,
            addresses: (Some(self.own), Some(self.peer)),
            connected: self.link.is_up(),
            mtu: self.shown_mtu(),
            since: self.link.since(),
            cause: self.link.cause(),
            latency: (stats.latency_samples > 0).then_some((
                stats.latency_min,
                stats.latency_ave,
                stats.latency_max,
                stats.latency_samples,
            )),
            changes: (stats.down_count, stats.up_count),
        }
    }

    /// User bytes of a fragment, as shown by tools.
    pub(super) fn shown_mtu(&self) -> u32 {
        u32::try_from(self.mtu.shown()).unwrap_or(u32::MAX)
    }
}
