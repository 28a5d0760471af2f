//! Outgoing packets: all that wait are sealed together, each once, and sent to every path that they go to.
//! Consecutive fragments to one path go out as one message, which the kernel cuts into datagrams.

use std::io;
use std::ops::Range;
use std::time::Instant as Clock;

use super::errors;
use super::wire::Wire;
use crate::ids::NodeId;
use crate::time::Instant;
use crate::transport::knet::envelope::Envelope;
use crate::transport::knet::{Burst, Engine, Fault, LINKS, PacketKind, Path};
use crate::transport::run::Run;
use crate::transport::send::{self, Legs};
use crate::transport::stats::{Logs, Stats};
use crate::transport::sys::Departure;

/// When this many bytes wait, they are sealed and sent.
const FULL: usize = 256 << 10;

/// Packets that wait to be sealed and sent on the links.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Vec<Waiting>,
    legs: [Vec<Leg>; LINKS],
    bytes: usize,
}

/// A burst that is not sealed yet.
#[derive(Debug)]
struct Waiting {
    burst: Burst,
    /// Whether it is a message for a single node.
    token: bool,
}

/// A sealed burst, and the position of the datagram in each packet.
#[derive(Debug)]
struct Sealed<'a> {
    waited: &'a Waiting,
    places: &'a [Range<usize>],
}

impl Sealed<'_> {
    fn datagram(&self, packet: usize) -> &[u8] {
        &self.waited.burst.packets[packet][self.places[packet].clone()]
    }
}

/// A message to one host.
#[derive(Clone, Copy, Debug)]
struct Leg {
    host: NodeId,
    burst: usize,
    run: Run,
    /// Sending failed once, perhaps because of an error of an earlier datagram.
    tried: bool,
}

impl Outbox {
    /// Adds a burst. `token`: it is a message for a single node.
    pub(super) fn push(&mut self, burst: Burst, token: bool) {
        self.bytes += burst.packets.iter().map(Vec::len).sum::<usize>();
        self.waiting.push(Waiting { burst, token });
    }

    /// Whether so much waits that it should be sent.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// Seals and sends all packets.
    pub(super) fn send(
        &mut self,
        now: Instant,
        wires: &mut [Option<Wire>; LINKS],
        envelope: &mut Envelope,
        engine: &mut Engine,
        stats: &mut Stats,
        logs: &mut Logs,
    ) {
        if self.waiting.is_empty() {
            return;
        }
        let places = seal(&mut self.waiting, envelope, engine);
        let mut rest = &places[..];
        let mut sealed = Vec::with_capacity(self.waiting.len());
        for waited in &self.waiting {
            let (places, others) = rest.split_at(waited.burst.packets.len());
            rest = others;
            for path in &waited.burst.to {
                let Some(legs) = self.legs.get_mut(usize::from(path.link)) else { continue };
                let runs = Run::divide(0..places.len(), |packet| places[packet].len());
                legs.extend(runs.map(|run| Leg { host: path.host, burst: sealed.len(), run, tried: false }));
            }
            sealed.push(Sealed { waited, places });
        }
        for ((link, legs), wire) in (0..).zip(&mut self.legs).zip(wires) {
            if legs.is_empty() {
                continue;
            }
            match wire {
                Some(wire) if wire.socket().is_some() => {
                    // Hosts that were removed meanwhile are not sent to any more.
                    legs.retain(|leg| wire.target(leg.host).is_some());
                    let mut no_cuts = false;
                    if !wire.offload.sending {
                        split_all(legs);
                    }
                    if let Some(socket) = wire.socket() {
                        let mut flight = Flight {
                            link,
                            bursts: &sealed,
                            legs,
                            wire,
                            now,
                            engine,
                            stats,
                            logs,
                            no_cuts: &mut no_cuts,
                        };
                        send::send_all(socket, &mut flight);
                    }
                    wire.offload.sending &= !no_cuts;
                }
                Some(_) | None => stats.dropped_out.no_socket += legs.len() as u64,
            }
            legs.clear();
        }
        for waited in self.waiting.drain(..) {
            engine.recycle(waited.burst);
        }
        self.bytes = 0;
    }
}

/// Seals all packets, and returns the position of the datagram in each.
fn seal(waiting: &mut [Waiting], envelope: &mut Envelope, engine: &mut Engine) -> Vec<Range<usize>> {
    let mut packets: Vec<&mut Vec<u8>> =
        waiting.iter_mut().flat_map(|waits| &mut waits.burst.packets).collect();
    if envelope.suite().is_clear() {
        return envelope.seal(&mut packets);
    }
    let plain: Vec<usize> = packets.iter().map(|packet| packet.len() - Burst::ROOM).collect();
    let began = Clock::now();
    let places = envelope.seal(&mut packets);
    // There are at most a few thousand packets.
    let each = began.elapsed() / (places.len() as u32).max(1);
    let kinds = waiting.iter().flat_map(|waits| waits.burst.packets.iter().map(|_| waits.burst.kind));
    for ((kind, plain), place) in kinds.zip(plain).zip(&places) {
        engine.handle_stats_mut().sealed(kind, plain, place.len(), each);
    }
    places
}

/// Splits a leg into one for each of its packets.
fn split(leg: Leg) -> impl Iterator<Item = Leg> {
    leg.run.split().map(move |run| Leg { run, ..leg })
}

fn split_all(legs: &mut Vec<Leg>) {
    if legs.iter().any(|leg| leg.run.count > 1) {
        *legs = legs.drain(..).flat_map(split).collect();
    }
}

/// The messages of one link while they are being sent.
struct Flight<'a> {
    link: u8,
    bursts: &'a [Sealed<'a>],
    legs: &'a mut Vec<Leg>,
    wire: &'a Wire,
    now: Instant,
    engine: &'a mut Engine,
    stats: &'a mut Stats,
    logs: &'a mut Logs,
    /// Set if the interface cannot cut messages at all.
    no_cuts: &'a mut bool,
}

impl Flight<'_> {
    fn kind(&self, leg: usize) -> PacketKind {
        self.bursts[self.legs[leg].burst].waited.burst.kind
    }

    fn path(&self, leg: usize) -> Path {
        Path { host: self.legs[leg].host, link: self.link }
    }

    /// Tells the engine that the packets of a leg could not be sent.
    fn refused(&mut self, leg: usize, fault: Fault) {
        let (path, kind) = (self.path(leg), self.kind(leg));
        for _ in 0..self.legs[leg].run.count {
            self.engine.not_sent(self.now, path, kind, fault);
        }
        let expected = matches!(kind, PacketKind::Probe);
        if !expected {
            self.stats.dropped_out.failed += self.legs[leg].run.count as u64;
        }
    }
}

/// Iterator over the datagrams of a message.
pub(super) struct Parts<'a> {
    sealed: &'a Sealed<'a>,
    rest: Range<usize>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.rest.next().map(|packet| self.sealed.datagram(packet))
    }
}

impl Legs for Flight<'_> {
    type Parts<'a>
        = Parts<'a>
    where
        Self: 'a;

    fn count(&self) -> usize {
        self.legs.len()
    }

    fn departure(&self, leg: usize) -> Departure<'_, Parts<'_>> {
        let Leg { host, burst, run, .. } = self.legs[leg];
        let Some(to) = self.wire.target(host) else { unreachable!("hosts without an address are left out") };
        let parts = Parts { sealed: &self.bursts[burst], rest: run.positions() };
        Departure { to, parts, segment: run.segment }
    }

    fn is_token(&self, leg: usize) -> bool {
        self.bursts[self.legs[leg].burst].waited.token
    }

    fn stats(&mut self) -> &mut Stats {
        self.stats
    }

    fn retried(&mut self, leg: usize) {
        self.engine.retried(self.path(leg), self.kind(leg));
    }

    fn sent(&mut self, leg: usize) {
        let Leg { burst, run, .. } = self.legs[leg];
        for packet in run.positions() {
            self.stats.sent.add(self.bursts[burst].places[packet].len());
        }
    }

    fn failed(&mut self, leg: usize, error: &io::Error) -> bool {
        let errno = error.raw_os_error().unwrap_or(0);
        if self.legs[leg].run.segment.is_some() && matches!(errno, libc::EINVAL | libc::EIO | libc::EMSGSIZE)
        {
            // One datagram is longer than the path carries, or the interface cannot cut messages at all. Sent
            // one by one, each datagram shows which.
            *self.no_cuts |= errno == libc::EIO;
            let whole = self.legs[leg];
            self.legs.splice(leg..=leg, split(whole));
            return true;
        }
        let queued = errors::read(self.wire, self.link, self.now, self.engine);
        if errno == libc::EMSGSIZE {
            self.refused(leg, Fault::TooLong(queued.mtu));
            return false;
        }
        if queued.any && !std::mem::replace(&mut self.legs[leg].tried, true) {
            // The error concerned an earlier datagram, perhaps to another host.
            return true;
        }
        self.refused(leg, errors::fault(errno));
        if let Some(held_back) = self.logs.group.may_speak() {
            let Path { host, link } = self.path(leg);
            tracing::warn!(
                node = %host, link, %error, held_back,
                "a packet could not be sent; check route, firewall and interface of the link"
            );
        }
        false
    }

    fn dropped(&mut self, legs: Range<usize>) {
        let packets = self.legs[legs].iter().map(|leg| leg.run.count).sum();
        send::count_dropped(packets, self.stats, self.logs);
    }
}
