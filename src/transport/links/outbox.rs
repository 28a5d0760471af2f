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
use crate::transport::send::{self, Legs};
use crate::transport::stats::{Logs, Stats};
use crate::transport::sys::{Departure, SEGMENTS};

/// Largest message in bytes: what UDP over IPv4 carries.
const MESSAGE: usize = 65507;

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

/// The packets that go out as one message.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: usize,
    count: usize,
    /// The length of each packet but the last; `None` if there is only one.
    segment: Option<u16>,
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
            let runs = runs(places);
            for path in &waited.burst.to {
                let Some(legs) = self.legs.get_mut(usize::from(path.link)) else { continue };
                let leg = |&run| Leg { host: path.host, burst: sealed.len(), run, tried: false };
                legs.extend(runs.iter().map(leg));
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
                    if !wire.cuts {
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
                    wire.cuts &= !no_cuts;
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

/// Groups packets into messages: consecutive ones of equal length, and optionally a shorter one at the end.
fn runs(places: &[Range<usize>]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut first = 0;
    while first < places.len() {
        let length = places[first].len();
        let most = SEGMENTS.min(MESSAGE / length.max(1)).max(1);
        let mut count = 1;
        while count < most && first + count < places.len() {
            let next = places[first + count].len();
            if next > length || next == 0 {
                break;
            }
            count += 1;
            if next < length {
                break;
            }
        }
        let segment = u16::try_from(length).ok().filter(|_| count > 1);
        let count = if segment.is_some() { count } else { 1 };
        runs.push(Run { first, count, segment });
        first += count;
    }
    runs
}

/// Splits a leg into one for each of its packets.
fn split(leg: Leg) -> impl Iterator<Item = Leg> {
    let Run { first, count, .. } = leg.run;
    (first..first + count).map(move |first| Leg { run: Run { first, count: 1, segment: None }, ..leg })
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
        let parts = Parts { sealed: &self.bursts[burst], rest: run.first..run.first + run.count };
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
        for packet in run.first..run.first + run.count {
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

    fn dropped(&mut self, legs: usize) {
        send::count_dropped(legs, self.stats, self.logs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(lengths: &[usize]) -> Vec<(usize, usize, Option<u16>)> {
        let places: Vec<_> = lengths.iter().map(|length| 16..16 + length).collect();
        runs(&places).into_iter().map(|run| (run.first, run.count, run.segment)).collect()
    }

    #[test]
    fn packets_of_equal_length_and_a_shorter_last_one_form_one_message() {
        assert_eq!(cut(&[80]), [(0, 1, None)]);
        assert_eq!(cut(&[1472, 1472, 272]), [(0, 3, Some(1472))]);
        assert_eq!(cut(&[272, 1472, 1472]), [(0, 1, None), (1, 2, Some(1472))]);
        assert_eq!(cut(&[1472, 272, 272]), [(0, 2, Some(1472)), (2, 1, None)]);
        assert_eq!(cut(&[65507, 65507]), [(0, 1, None), (1, 1, None)]);
        assert_eq!(cut(&[100; 130]), [(0, 64, Some(100)), (64, 64, Some(100)), (128, 2, Some(100))]);
        assert_eq!(cut(&[1472; 47]), [(0, 44, Some(1472)), (44, 3, Some(1472))]);
    }
}
