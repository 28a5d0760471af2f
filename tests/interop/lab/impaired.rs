//! Networks that lose, double, delay and reorder datagrams.
//!
//! A thread of the test takes the place of the bridges: it reads the frames that hosts send, decides about each, and
//! sends them to the hosts that they are for. (The kernels that the tests run on may lack netem, see tc-netem(8).)

use super::cable::{Cable, HEADER, LARGEST};
use super::namespace::{enter, network_of};
use super::{Lab, NETWORKS, links};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::gettid;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Frames read from one cable before the others are looked at.
const BATCH: usize = 64;
/// Frames that may be on their way; more are lost, as in a switch whose memory is full.
const MOST: usize = 20_000;
/// Longest sleep, after which the thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// What happens to UDP datagrams between hosts. Everything else, for example ARP, passes at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Impairment {
    /// How many of 100 are lost.
    pub(crate) lost: f64,
    /// How many of 100 arrive twice.
    pub(crate) doubled: f64,
    /// Time on the way.
    pub(crate) delay: Duration,
    /// The delay is longer by up to this, evenly distributed. Datagrams overtake each other.
    pub(crate) jitter: Duration,
    /// How many of 100 come late by `late_by`, so that later ones overtake them.
    pub(crate) late: f64,
    pub(crate) late_by: Duration,
    /// Seed of the decisions.
    pub(crate) seed: u64,
}

/// Impaired networks; dropping it restores them.
pub(crate) struct Impaired<'a> {
    lab: &'a Lab,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
    /// Impairs all networks until the result is dropped. All hosts must be on the common bridges.
    pub(crate) fn impair(&self, impairment: Impairment) -> Impaired<'_> {
        let cables = || (1..=self.len()).flat_map(|k| (0..NETWORKS).map(move |network| (k, network)));
        let names: Vec<(usize, String)> =
            cables().map(|(k, network)| (network, links::cable(k, network))).collect();
        let hub = network_of(self.hub.inside);
        for (_, name) in &names {
            self.in_hub(&["ip", "link", "set", name, "nomaster"]);
        }
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let (ready, started) = channel();
        let thread = std::thread::spawn(move || {
            enter(&hub);
            let ends = names
                .iter()
                .map(|(network, name)| End {
                    network: *network,
                    cable: Cable::open(name).expect("open the cable"),
                })
                .collect();
            ready.send(gettid()).expect("the test waits");
            Switch::new(ends, impairment).run(&ended);
        });
        let tid = started.recv().expect("the thread of the impaired network starts");
        // A network does not wait for the processes on its hosts.
        let status =
            Command::new("chrt").args(["-r", "-p", "50", &tid.as_raw_nonzero().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "chrt (package util-linux) works");
        Impaired { lab: self, end, thread: Some(thread) }
    }
}

impl Drop for Impaired<'_> {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        let outcome = self.thread.take().map(JoinHandle::join);
        for k in 1..=self.lab.len() {
            (0..NETWORKS).for_each(|network| self.lab.heal_link(k, network));
        }
        if !std::thread::panicking() {
            assert!(matches!(outcome, Some(Ok(()))), "the thread of the impaired network failed");
        }
    }
}

/// An end of a cable, with the network that it belongs to.
struct End {
    network: usize,
    cable: Cable,
}

/// A frame on its way, ordered by the time of its arrival. Frames that arrive at the same time keep their order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Travelling {
    arrives: Instant,
    number: u64,
    to: usize,
    frame: Arc<[u8]>,
}

struct Switch {
    ends: Vec<End>,
    impairment: Impairment,
    /// Behind which cable an Ethernet address was seen, by network.
    seen: HashMap<(usize, [u8; 6]), usize>,
    travelling: BinaryHeap<Reverse<Travelling>>,
    number: u64,
    rng: Pcg64Mcg,
}

impl Switch {
    fn new(ends: Vec<End>, impairment: Impairment) -> Self {
        let rng = Pcg64Mcg::seed_from_u64(impairment.seed);
        Self { ends, impairment, seen: HashMap::new(), travelling: BinaryHeap::new(), number: 0, rng }
    }

    fn run(mut self, ended: &AtomicBool) {
        let mut buf = Box::new([0; LARGEST]);
        while !ended.load(Ordering::Relaxed) {
            let next = self.travelling.peek().map(|Reverse(frame)| frame.arrives);
            let wait = next.map_or(LOOK, |at| at.saturating_duration_since(Instant::now()).min(LOOK));
            let readable: Vec<usize> = {
                let mut fds: Vec<_> =
                    self.ends.iter().map(|end| PollFd::new(&end.cable, PollFlags::IN)).collect();
                let wait = Timespec::try_from(wait).expect("a short time");
                // Interrupted: nothing is readable.
                let _ = poll(&mut fds, Some(&wait));
                (0..fds.len()).filter(|at| fds[*at].revents().contains(PollFlags::IN)).collect()
            };
            for from in readable {
                for _ in 0..BATCH {
                    let Some(frame) = self.ends[from].cable.read(&mut buf) else { break };
                    let frame = Arc::from(frame);
                    self.forward(from, &frame);
                }
            }
            self.deliver(Instant::now());
        }
    }

    fn forward(&mut self, from: usize, frame: &Arc<[u8]>) {
        let Some((addresses, _)) = frame[HEADER..].split_first_chunk::<12>() else { return };
        let network = self.ends[from].network;
        let (to, by) = addresses.split_at(6);
        let address = |bytes: &[u8]| <[u8; 6]>::try_from(bytes).expect("six bytes");
        self.seen.insert((network, address(by)), from);
        let known = self.seen.get(&(network, address(to))).copied();
        for at in 0..self.ends.len() {
            let wanted = known.is_none_or(|known| known == at);
            if wanted && at != from && self.ends[at].network == network {
                self.send_off(at, frame);
            }
        }
    }

    /// Decides about a frame to one host.
    fn send_off(&mut self, to: usize, frame: &Arc<[u8]>) {
        let now = Instant::now();
        if !is_udp(&frame[HEADER..]) {
            return self.travel(to, frame, now);
        }
        let Impairment { lost, doubled, delay, jitter, late, late_by, .. } = self.impairment;
        if self.happens(lost) {
            return;
        }
        let copies = if self.happens(doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let more = if self.happens(late) { late_by } else { Duration::ZERO };
            let shaken = jitter.mul_f64(self.rng.random());
            self.travel(to, frame, now + delay + shaken + more);
        }
    }

    fn happens(&mut self, percent: f64) -> bool {
        percent > 0.0 && self.rng.random::<f64>() * 100.0 < percent
    }

    fn travel(&mut self, to: usize, frame: &Arc<[u8]>, arrives: Instant) {
        if self.travelling.len() < MOST {
            self.number += 1;
            self.travelling.push(Reverse(Travelling {
                arrives,
                number: self.number,
                to,
                frame: Arc::clone(frame),
            }));
        }
    }

    /// Hands over what has arrived.
    fn deliver(&mut self, now: Instant) {
        while let Some(Reverse(first)) = self.travelling.peek()
            && first.arrives <= now
        {
            if let Some(Reverse(Travelling { to, frame, .. })) = self.travelling.pop() {
                // One that the host's end does not take is lost, as on a cable without carrier.
                let _ = self.ends[to].cable.write(&frame);
            }
        }
    }
}

/// Whether an Ethernet frame is a UDP datagram over IPv4, or a part of one.
fn is_udp(frame: &[u8]) -> bool {
    const ETHERTYPE: usize = 12;
    const PROTOCOL: usize = 14 + 9;
    frame.get(ETHERTYPE..ETHERTYPE + 2) == Some(&[0x08, 0x00]) && frame.get(PROTOCOL) == Some(&17)
}

mod tests {
    use super::*;
    use crate::lab::address;
    use crate::ready;

    const COUNT: u32 = 2000;
    const PORT: u16 = 9000;

    /// Sends numbered datagrams from host 1 to host 2 and returns what arrives, with the time since it was sent.
    fn sent(lab: &Lab, impairment: Option<Impairment>) -> Vec<(u32, Duration)> {
        let (from, to) = (lab.socket(1, (address(1, 0), PORT)), lab.socket(2, (address(2, 0), PORT)));
        to.set_read_timeout(Some(Duration::from_millis(500))).expect("set a time-out");
        let _impaired = impairment.map(|impairment| lab.impair(impairment));
        // One that makes the hosts learn each other's addresses.
        from.send_to(&[], (address(2, 0), PORT)).expect("send");
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        let reader = std::thread::spawn(move || {
            let mut arrived = Vec::new();
            let mut buf = [0; 16];
            while let Ok(len) = to.recv(&mut buf) {
                if let Ok(bytes) = <[u8; 12]>::try_from(&buf[..len]) {
                    let (number, at) = bytes.split_at(4);
                    let number = u32::from_be_bytes(number.try_into().expect("four bytes"));
                    let at = Duration::from_micros(u64::from_be_bytes(at.try_into().expect("eight bytes")));
                    arrived.push((number, begun.elapsed().saturating_sub(at)));
                }
            }
            arrived
        });
        for number in 0..COUNT {
            let at = u64::try_from(begun.elapsed().as_micros()).expect("a short time");
            let bytes = [&number.to_be_bytes()[..], &at.to_be_bytes()].concat();
            from.send_to(&bytes, (address(2, 0), PORT)).expect("send");
            std::thread::sleep(Duration::from_micros(50));
        }
        reader.join().expect("the reader ends")
    }

    #[test]
    fn impaired_networks_lose_double_delay_and_reorder_datagrams() {
        if !ready() {
            return;
        }
        let lab = Lab::shared(2);
        let none = Impairment { seed: 1, ..Impairment::default() };
        let share = |arrived: &[(u32, Duration)]| arrived.len() as f64 / f64::from(COUNT);
        let overtaken =
            |arrived: &[(u32, Duration)]| arrived.windows(2).filter(|two| two[0].0 > two[1].0).count();

        let arrived = sent(&lab, Some(none));
        assert_eq!((share(&arrived), overtaken(&arrived)), (1.0, 0), "no impairment");
        let arrived = sent(&lab, Some(Impairment { lost: 10.0, ..none }));
        assert!((0.87..0.93).contains(&share(&arrived)), "10 % lost: {}", share(&arrived));
        let arrived = sent(&lab, Some(Impairment { doubled: 10.0, ..none }));
        assert!((1.07..1.13).contains(&share(&arrived)), "10 % doubled: {}", share(&arrived));
        let delay = Duration::from_millis(5);
        let arrived = sent(&lab, Some(Impairment { delay, ..none }));
        assert_eq!((share(&arrived), overtaken(&arrived)), (1.0, 0), "a constant delay keeps the order");
        assert!(arrived.iter().all(|(_, after)| *after >= delay), "all come 5 ms later");
        let arrived = sent(&lab, Some(Impairment { late: 10.0, late_by: delay, ..none }));
        assert_eq!(share(&arrived), 1.0, "late, not lost");
        assert!((100..300).contains(&overtaken(&arrived)), "{} were overtaken", overtaken(&arrived));

        let arrived = sent(&lab, None);
        assert_eq!((share(&arrived), overtaken(&arrived)), (1.0, 0), "restored");
    }
}
