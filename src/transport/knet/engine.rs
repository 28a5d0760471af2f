//! The decisions of a knet transport: which links packets take, which messages are accepted, which links are
//! up.
//!
//! Its driver passes the time, seals and sends the packets from [`Engine::poll_output`], and passes received
//! packets after opening them. The engine works on plain packets; of the encryption it knows only the
//! [`Sizes`].

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use super::arrival::{Arrival, DropReason};
use super::host::{Common, Peer, Route};
use super::outbound::Outbound;
use super::outbox::Outbox;
use super::output::{Burst, Cause, Event, Fault, LinkView, Output, PacketKind, Path};
use super::settings::{LINKS, Refused, Settings};
use super::sizes::Sizes;
use super::stats::{Drops, HandleStats, LinkStats};
use super::wire::{self, Body, Packet};
use crate::ids::{Destination, NodeId};
use crate::time::Instant;
use crate::value::Value;

/// The MTU that libknet shows for the link of a node to itself.
const LOOPBACK_MTU: u32 = 65535;

/// The state of a knet transport: hosts, links, and everything that is waiting to be sent.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    /// See [`Engine::hurry`].
    token: Option<Duration>,
    common: Common,
    /// The other hosts, sorted by id.
    peers: Vec<Peer>,
    /// Links on which this host has lost its own address.
    gone: [bool; LINKS],
    outbound: Outbound,
    outbox: Outbox,
    /// User bytes of a fragment, according to the narrowest link that is up.
    fragment: usize,
    /// When the next action is due, or an earlier time.
    next: Instant,
    handle: HandleStats,
    /// Counters of the link of this node to itself.
    loopback: LinkStats,
    drops: Drops,
}

/// If a time-out is handled later than this, this host itself was busy or suspended. Silence in that time counts
/// against no link: answers may still wait in the sockets, and no pings were sent.
const LATE: Duration = Duration::from_millis(100);

/// While a shorter token time-out is in force, this part of it is late.
const LATE_PART: u32 = 16;

/// Most hosts whose links are watched more closely while a shorter token time-out is in force: each pings each other.
const CLOSELY: usize = 16;

/// A point in time that is never reached.
const NEVER: Instant = Instant::from_micros(u64::MAX);

impl Engine {
    /// Creates an engine in which no link is up yet. `epoch` is a number that was never used before and that
    /// nobody can guess; it is used to recognise pongs that answer a ping of an earlier process, or none at
    /// all.
    ///
    /// # Errors
    /// [`Refused`] if the settings contradict each other.
    pub fn new(settings: Settings, sizes: Sizes, epoch: u64, now: Instant) -> Result<Self, Refused> {
        settings.check()?;
        let common = Common { me: settings.me, epoch, seq: 0, pmtud_interval: settings.pmtud_interval };
        let mut engine = Self {
            outbound: Outbound::new(&settings),
            settings,
            token: None,
            common,
            peers: Vec::new(),
            gone: [false; LINKS],
            outbox: Outbox::new(sizes),
            fragment: sizes.floor(),
            next: now,
            handle: HandleStats::default(),
            loopback: LinkStats::LOOPBACK,
            drops: Drops::default(),
        };
        engine.arrange(now);
        Ok(engine)
    }

    /// Sends a message to the other hosts; [`Destination::All`] means all that are reachable. The destination
    /// must not be this node.
    pub fn send(&mut self, now: Instant, to: Destination, message: &Bytes) {
        let reached = match to {
            Destination::All => 0..self.peers.len(),
            Destination::Node(id) => match self.position(id) {
                Some(index) => index..index + 1,
                None => return,
            },
        };
        if !self.peers[reached.clone()].iter().any(|peer| peer.reachable) {
            return;
        }
        let mut burst = self.outbox.empty(PacketKind::Data);
        let progress = self.outbound.cut(to, message, self.fragment, &mut burst.packets, &mut self.handle);
        self.common.seq = self.outbound.last();
        if progress {
            self.ping_all(now);
        }
        let Some(longest) = burst.packets.first().map(|packet| packet.len() - Burst::ROOM) else { return };
        let sizes = self.outbox.sizes;
        let bytes = burst.packets.iter().map(|packet| sizes.datagram(packet.len() - Burst::ROOM)).sum();
        for peer in &mut self.peers[reached] {
            for &link in peer.choice.next(self.settings.mode) {
                let Some(route) = &mut peer.routes[usize::from(link)] else { continue };
                route.link.stats.sent(PacketKind::Data, burst.packets.len(), bytes);
                burst.to.push(route.path);
                if route.mtu.sent(longest)
                    && let Some(due) = route.deadline(&self.common)
                {
                    self.next = self.next.min(due);
                }
            }
        }
        self.outbox.send(burst);
    }

    /// Sends a ping on every link, because many messages have been sent.
    fn ping_all(&mut self, now: Instant) {
        for (index, number) in self.places() {
            self.at(now, index, number, |route, common, outbox| route.ping(now, false, common, outbox));
        }
    }

    /// Handles a plain packet that came from address `from` on this link's socket. `Ok(None)` if it is valid
    /// but does not complete a message.
    ///
    /// # Errors
    /// The reason why it was dropped, which is also counted.
    pub fn receive<'p>(
        &mut self,
        now: Instant,
        link: u8,
        from: IpAddr,
        packet: &'p [u8],
    ) -> Result<Option<Arrival<'p>>, DropReason> {
        let result = self.take(now, link, from, packet);
        if let Err(reason) = result {
            self.drops.add(reason);
        }
        result
    }

    fn take<'p>(
        &mut self,
        now: Instant,
        link: u8,
        from: IpAddr,
        packet: &'p [u8],
    ) -> Result<Option<Arrival<'p>>, DropReason> {
        let Packet { source, body } = wire::parse(packet).ok_or(DropReason::Malformed)?;
        let index = self.position(source).ok_or(DropReason::Foreign)?;
        match body {
            Body::Data(data) => {
                let peer = &mut self.peers[index];
                let route = peer.from(from, link).ok_or(DropReason::Foreign)?;
                route.link.stats.received(PacketKind::Data, packet.len());
                if !route.link.is_heard() && !peer.is_heard() {
                    return Err(DropReason::Unreachable);
                }
                peer.inbound.data(self.common.me, &data, &mut self.handle)
            }
            Body::Ping(ping) => {
                let route = self.control(index, ping.link, link, from, (PacketKind::Ping, packet.len()))?;
                if !route.limits.ping(now, ping.stamp) {
                    return Err(DropReason::Flood);
                }
                self.peers[index].inbound.ping(ping.seq, ping.timed);
                let pong = wire::pong(self.common.me, packet);
                self.answer(index, link, PacketKind::Pong, pong);
                Ok(None)
            }
            Body::Pong(pong) => {
                self.control(index, pong.link, link, from, (PacketKind::Pong, packet.len()))?;
                let alone = !self.peers[index].reachable;
                self.at(now, index, link, |route, common, _| route.pong(now, &pong, alone, common));
                Ok(None)
            }
            Body::Probe(probe) => {
                let route = self.control(index, probe.link, link, from, (PacketKind::Probe, packet.len()))?;
                if !route.limits.probe(now) {
                    return Err(DropReason::Flood);
                }
                let reply = wire::probe_reply(self.common.me, packet);
                self.answer(index, link, PacketKind::ProbeReply, reply);
                Ok(None)
            }
            Body::ProbeReply(probe) => {
                self.control(index, probe.link, link, from, (PacketKind::ProbeReply, packet.len()))?;
                self.at(now, index, link, |route, common, _| route.probe_reply(now, probe.size, common));
                Ok(None)
            }
        }
    }

    /// The link that a control packet names, if the packet arrived on this link and from its peer's address.
    /// The packet is counted there.
    fn control(
        &mut self,
        index: usize,
        named: u8,
        link: u8,
        from: IpAddr,
        (kind, bytes): (PacketKind, usize),
    ) -> Result<&mut Route, DropReason> {
        let route = self.peers[index].routes.get_mut(usize::from(link)).and_then(Option::as_mut);
        let any = !self.settings.block_unlisted;
        let route =
            route.filter(|route| named == link && (any || route.peer == from)).ok_or(DropReason::Foreign)?;
        route.link.stats.received(kind, bytes);
        Ok(route)
    }

    /// Sends an answer, always to the configured address, whatever address the question came from.
    fn answer(&mut self, index: usize, link: u8, kind: PacketKind, packet: Vec<u8>) {
        if let Some(route) = &mut self.peers[index].routes[usize::from(link)] {
            self.outbox.control(kind, route.path, packet, &mut route.link.stats);
        }
    }

    /// Handles a packet that the kernel refused to send on this path.
    pub fn not_sent(&mut self, now: Instant, path: Path, kind: PacketKind, fault: Fault) {
        if let Some(index) = self.position(path.host) {
            self.at(now, index, path.link, |route, common, outbox| {
                route.not_sent(now, kind, fault, common, outbox);
            });
        }
    }

    /// Handles an error that the kernel reported later, for a packet sent on this path (from the socket's
    /// error queue, if its origin is not this host). It may result from a forged ICMP message.
    pub fn reported(&mut self, now: Instant, path: Path, fault: Fault) {
        if let Some(index) = self.position(path.host) {
            self.at(now, index, path.link, |route, common, outbox| {
                route.reported(now, fault, common, outbox);
            });
        }
    }

    /// Counts a packet that was sent again because the socket's buffer was full.
    pub fn retried(&mut self, path: Path, kind: PacketKind) {
        let Some(index) = self.position(path.host) else { return };
        if let Some(Some(route)) = self.peers[index].routes.get_mut(usize::from(path.link)) {
            route.link.stats.retried(kind);
        }
    }

    /// Takes back a burst that was sent, to reuse its memory.
    pub fn recycle(&mut self, burst: Burst) {
        self.outbox.recycle(burst);
    }

    /// Sets whether this host has its address on a link.
    pub fn set_interface(&mut self, now: Instant, link: u8, up: bool) {
        let Some(gone) = self.gone.get_mut(usize::from(link)) else { return };
        *gone = !up;
        for index in 0..self.peers.len() {
            self.at(now, index, link, |route, _, _| route.set_interface(now, up));
        }
    }

    /// Sets the token time-out in force, if that is shorter than the configured one: pings are then so frequent, and
    /// silence is noticed so soon, that other links are used before the token is lost. `None`: the settings hold.
    ///
    /// With one link there is no other to be used, and with many hosts the pings would be too many: nothing changes then.
    pub fn hurry(&mut self, now: Instant, token: Option<Duration>) {
        self.token = token;
        let token = self.hurried();
        for (index, number) in self.places() {
            self.at(now, index, number, |route, _, _| route.link.hurry(now, token));
        }
        self.look_ahead();
    }

    /// The token time-out before which silence is to be noticed with these settings, if not the configured one.
    fn hurried(&self) -> Option<Duration> {
        let links = self.settings.links.iter().flatten().count();
        self.token.filter(|_| links > 1 && self.settings.hosts.len() <= CLOSELY)
    }

    /// Sets the sizes that encryption adds, after it changed.
    pub fn set_sizes(&mut self, now: Instant, sizes: Sizes) {
        self.outbox.sizes = sizes;
        for (index, number) in self.places() {
            self.at(now, index, number, |route, _, _| route.mtu.set_sizes(now, sizes));
        }
        self.measure();
    }

    /// Checks whether [`Engine::reconfigure`] would accept these settings.
    ///
    /// # Errors
    /// The reason why it would refuse them.
    pub fn check(&self, settings: &Settings) -> Result<(), Refused> {
        settings.check()?;
        if settings.me != self.settings.me {
            return Err(Refused(format!(
                "this node's id is {} and would become {}; that needs a restart",
                self.settings.me, settings.me
            )));
        }
        Ok(())
    }

    /// Changes the settings: hosts and links are added and removed, and remaining links keep their state. A
    /// link whose address or port has changed is a new one.
    ///
    /// # Errors
    /// [`Refused`] if the settings are not accepted; nothing has changed then.
    pub fn reconfigure(&mut self, now: Instant, settings: Settings) -> Result<(), Refused> {
        self.check(&settings)?;
        let before = std::mem::replace(&mut self.settings, settings);
        self.outbound.reconfigure(&self.settings);
        self.common.pmtud_interval = self.settings.pmtud_interval;
        for (link, gone) in self.gone.iter_mut().enumerate() {
            // With another address on a link, the driver reports anew whether the address is there.
            *gone &= before.own_address(link) == self.settings.own_address(link);
        }
        self.arrange(now);
        Ok(())
    }

    /// Creates and removes hosts and links according to the settings.
    fn arrange(&mut self, now: Instant) {
        let mut before = std::mem::take(&mut self.peers);
        let mut ids: Vec<_> = self.settings.hosts.iter().map(|host| host.id).collect();
        ids.retain(|&id| id != self.settings.me);
        ids.sort_unstable();
        for id in ids {
            let mut peer = match before.iter().position(|peer| peer.id == id) {
                Some(found) => before.swap_remove(found),
                None => Peer::new(id),
            };
            self.arrange_links(now, &mut peer);
            if peer.decide(self.settings.mode) {
                self.outbox.tell(Event::Host(id, peer.reachable));
            }
            self.peers.push(peer);
        }
        before.sort_unstable_by_key(|peer| peer.id);
        for peer in before {
            for route in peer.routes().filter(|route| route.link.is_up()) {
                self.outbox.tell(Event::LinkDown(route.path, Cause::Removed));
            }
            if peer.reachable {
                self.outbox.tell(Event::Host(peer.id, false));
            }
        }
        self.measure();
        self.look_ahead();
    }

    fn arrange_links(&mut self, now: Instant, peer: &mut Peer) {
        let (settings, token) = (&self.settings, self.hurried());
        for link in 0..LINKS {
            let wanted = settings.ends(peer.id, link);
            let slot = &mut peer.routes[link];
            if let Some(route) = slot
                && wanted.is_none_or(|(own, there, watch)| !route.is_same(own, there, watch.port))
            {
                if route.link.is_up() {
                    self.outbox.tell(Event::LinkDown(route.path, Cause::Removed));
                }
                *slot = None;
            }
            let Some((own, there, watch)) = wanted else { continue };
            let route = slot.get_or_insert_with(|| {
                let path = Path { host: peer.id, link: link as u8 };
                let mut route =
                    Route::new(path, (own, there), watch.clone(), (self.outbox.sizes, settings.mtu), now);
                route.set_interface(now, !self.gone[link]);
                route
            });
            let look = route.look();
            route.link.set_watch(watch.clone());
            route.link.hurry(now, token);
            route.mtu.set_fixed(now, settings.mtu);
            route.tell(look, &mut self.outbox);
        }
    }

    /// Performs the actions that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        let late = now.since(self.next);
        // The shorter the silence that counts, the sooner this host's own lateness does.
        if late >= self.hurried().map_or(LATE, |token| LATE.min(token / LATE_PART)) {
            for route in self.peers.iter_mut().flat_map(|peer| peer.routes.iter_mut().flatten()) {
                route.link.excuse(now, late);
            }
        }
        for (index, number) in self.places() {
            let route = self.peers[index].routes[usize::from(number)].as_ref();
            if route.and_then(|route| route.deadline(&self.common)).is_some_and(|due| due <= now) {
                self.at(now, index, number, |route, common, outbox| route.poll(now, common, outbox));
            }
        }
        self.look_ahead();
    }

    /// When the next action is due.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Takes the next action for the driver.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// Whether a link to the host is up.
    pub fn reaches(&self, host: NodeId) -> bool {
        host == self.common.me || self.position(host).is_some_and(|index| self.peers[index].reachable)
    }

    /// The current number of user bytes in a fragment.
    pub fn fragment_size(&self) -> usize {
        self.fragment
    }

    /// The state of each link to each other host, by host and link.
    pub fn links(&self) -> Vec<LinkView> {
        self.peers.iter().flat_map(Peer::routes).map(Route::view).collect()
    }

    /// The statistics below `stats.knet.nodeN.linkL.` of each link, by node and link, including this node's
    /// link 0 to itself.
    pub fn link_stats(&self) -> Vec<(Path, [(&'static str, Value); 39])> {
        let own = (Path { host: self.common.me, link: 0 }, self.loopback.rows(true, LOOPBACK_MTU));
        let others = self.peers.iter().flat_map(Peer::routes);
        let mut all: Vec<_> = others
            .map(|route| (route.path, route.link.stats.rows(route.link.is_up(), route.shown_mtu())))
            .chain([own])
            .collect();
        all.sort_by_key(|&(path, _)| path);
        all
    }

    /// The counters of all links together, for the driver, which counts encryption there.
    pub fn handle_stats_mut(&mut self) -> &mut HandleStats {
        &mut self.handle
    }

    /// The counters of all links together.
    pub fn handle_stats(&self) -> &HandleStats {
        &self.handle
    }

    /// The counters of dropped packets.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Counts a message to this node, which the driver loops back without the engine.
    pub fn count_looped(&mut self, bytes: usize) {
        self.loopback.sent(PacketKind::Data, 1, bytes);
    }

    /// Resets all counters to 0, as `stats.clear.knet` does.
    pub fn clear_stats(&mut self) {
        self.handle = HandleStats::cleared();
        self.loopback = LinkStats::CLEARED;
        for route in self.peers.iter_mut().flat_map(|peer| peer.routes.iter_mut().flatten()) {
            route.link.stats = LinkStats::CLEARED;
        }
    }

    /// The current settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn position(&self, host: NodeId) -> Option<usize> {
        self.peers.binary_search_by_key(&host, |peer| peer.id).ok()
    }

    /// All possible places of links: position of the host, number of the link.
    fn places(&self) -> impl Iterator<Item = (usize, u8)> + use<> {
        (0..self.peers.len()).flat_map(|index| (0..LINKS as u8).map(move |number| (index, number)))
    }

    /// Applies an operation to a link, if it exists; then handles the consequences of its new state.
    fn at(
        &mut self,
        now: Instant,
        index: usize,
        number: u8,
        act: impl FnOnce(&mut Route, &Common, &mut Outbox),
    ) {
        let peer = &mut self.peers[index];
        let Some(Some(route)) = peer.routes.get_mut(usize::from(number)) else { return };
        let before = route.look();
        act(route, &self.common, &mut self.outbox);
        // The operation may have made something due at once, such as the first probe.
        if route.deadline(&self.common).is_some_and(|due| due <= now) {
            route.poll(now, &self.common, &mut self.outbox);
        }
        self.next = self.next.min(route.deadline(&self.common).unwrap_or(NEVER));
        if route.look() == before {
            return;
        }
        route.tell(before, &mut self.outbox);
        if peer.decide(self.settings.mode) {
            self.outbox.tell(Event::Host(peer.id, peer.reachable));
        }
        self.measure();
    }

    /// Sets the fragment size to that of the narrowest link that is up.
    fn measure(&mut self) {
        let routes = self.peers.iter().flat_map(Peer::routes).filter(|route| route.link.is_up());
        let size = routes.map(|route| route.mtu.fragment()).min().unwrap_or(self.outbox.sizes.floor());
        let from = std::mem::replace(&mut self.fragment, size);
        if from != size {
            self.outbox.tell(Event::Fragments { from, to: size });
        }
    }

    fn look_ahead(&mut self) {
        let routes = self.peers.iter().flat_map(Peer::routes);
        self.next = routes.filter_map(|route| route.deadline(&self.common)).min().unwrap_or(NEVER);
    }
}

#[cfg(test)]
mod tests;
