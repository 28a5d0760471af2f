use super::*;

const MS: Duration = Duration::from_millis(1);
const PACE: Pace = Pace {
    answer: Duration::from_millis(200),
    watch: Duration::from_millis(750),
    search: Duration::from_secs(30),
};
const AES: Sizes = Sizes { salt: 16, mac: 32, block: 16 };

/// A path with its path MTU discovery.
struct Bench {
    mtu: PathMtu,
    now: Instant,
    /// Largest packet that this host's interface accepts.
    interface: usize,
    /// Largest packet that the path behind it carries; larger ones are lost silently.
    path: usize,
    /// Whether probes are answered.
    answers: bool,
    probes: Vec<u16>,
}

impl Bench {
    fn new(sizes: Sizes, interface: usize, path: usize) -> Self {
        let mut mtu = PathMtu::new(sizes, 28, None);
        mtu.start(Instant::ZERO, false);
        Self { mtu, now: Instant::ZERO, interface, path, answers: true, probes: Vec::new() }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while let Some(probe) = self.mtu.poll(self.now, PACE) {
                assert_eq!(self.mtu.sizes.datagram(probe.plain) + 28, usize::from(probe.size));
                self.probes.push(probe.size);
                let size = usize::from(probe.size);
                if size > self.interface {
                    self.mtu.too_long(self.now, u16::try_from(self.interface).ok(), Teller::Probe, PACE);
                } else if size <= self.path && self.answers {
                    self.mtu.reply(self.now + MS, probe.size, PACE);
                }
            }
            match self.mtu.deadline(PACE) {
                Some(due) if due <= end => self.now = due,
                Some(_) | None => break,
            }
        }
        self.now = end;
    }
}

#[test]
fn on_ethernet_one_answer_ends_the_search_with_the_size_of_libknet() {
    let mut bench = Bench::new(AES, 1500, 1500);
    assert_eq!((bench.mtu.fragment(), bench.mtu.shown()), (421, 469));
    bench.run(MS);
    assert_eq!((bench.mtu.fragment(), bench.mtu.shown()), (1397, 1397));
    assert_eq!(bench.probes, [65532, 1500]);
    bench.run(MS * 100_000);
    assert_eq!(bench.probes.len(), 8, "again each 30 s: {:?}", bench.probes);
}

#[test]
fn a_path_narrower_than_the_interface_is_found_to_the_byte() {
    for path in [536, 576, 600, 1279, 1280, 1372, 1400, 1492, 1499] {
        let mut bench = Bench::new(Sizes::CLEAR, 1500, path);
        bench.run(MS * 15_000);
        assert_eq!(bench.mtu.fragment(), path - 28 - 26, "{path}: {:?}", bench.probes);
        let first = bench.probes.len();
        bench.run(MS * 30_000);
        assert!(bench.probes.len() <= first + 9, "later searches are short: {:?}", &bench.probes[first..]);
        let mut bench = Bench::new(AES, 1500, path.max(556));
        bench.run(MS * 15_000);
        let found = bench.mtu.fragment();
        assert_eq!(found, AES.fragment(path.max(556) - 28).max(421), "{path}");
    }
}

#[test]
fn a_wide_path_and_loopback_are_used_with_their_full_size() {
    let mut bench = Bench::new(AES, 9000, 9000);
    bench.run(MS * 10);
    assert_eq!(bench.mtu.fragment(), 8885);
    let mut bench = Bench::new(AES, 65536, 65536);
    bench.run(MS * 10);
    assert_eq!(bench.mtu.fragment(), 65429);
}

#[test]
fn a_host_that_answers_no_probe_gets_the_smallest_fragments_and_new_probes() {
    let mut bench = Bench::new(AES, 1500, 1500);
    bench.answers = false;
    bench.run(MS * 3000);
    assert_eq!(bench.mtu.fragment(), 421);
    assert!(bench.mtu.is_doubtful());
    assert_eq!(bench.probes.len(), 7, "{:?}", bench.probes);
    bench.answers = true;
    bench.run(MS * 6000);
    assert_eq!(bench.mtu.fragment(), 1397);
    assert!(!bench.mtu.is_doubtful());
}

#[test]
fn a_silently_narrowed_path_is_noticed_while_large_packets_are_sent() {
    let mut bench = Bench::new(AES, 1500, 1500);
    bench.run(MS * 5000);
    bench.path = 1400;
    bench.run(MS * 5000);
    assert_eq!(bench.mtu.fragment(), 1397, "nothing is lost while nothing is sent");
    assert!(!bench.mtu.sent(447), "small");
    assert!(bench.mtu.sent(1411));
    assert!(!bench.mtu.sent(1411), "told once");
    bench.run(MS * 1400);
    assert_eq!(bench.mtu.fragment(), 421, "the smallest, until the search is over");
    bench.run(MS * 10_000);
    assert_eq!(bench.mtu.fragment(), AES.fragment(1372));
}

#[test]
fn a_path_that_becomes_wider_is_noticed_by_the_next_search() {
    let mut bench = Bench::new(AES, 1500, 1300);
    bench.run(MS * 15_000);
    bench.path = 1500;
    bench.run(MS * 31_000);
    assert_eq!(bench.mtu.fragment(), 1397);
}

#[test]
fn a_narrower_interface_takes_effect_at_once() {
    let mut bench = Bench::new(AES, 1500, 1500);
    bench.run(MS * 5000);
    bench.interface = 1280;
    bench.mtu.too_long(bench.now, Some(1280), Teller::Packet, PACE);
    assert_eq!(bench.mtu.fragment(), AES.fragment(1252));
    bench.run(MS * 10);
    assert_eq!(bench.mtu.fragment(), AES.fragment(1252));
    let mut bench = Bench::new(AES, 9000, 9000);
    bench.run(MS * 5000);
    bench.interface = 1500;
    bench.run(MS * 31_000);
    assert_eq!(bench.mtu.fragment(), 1397, "the periodic search finds it too");
}

#[test]
fn a_true_report_of_the_network_is_believed_at_once() {
    let mut bench = Bench::new(AES, 1500, 1500);
    bench.run(MS * 5000);
    bench.path = 1400;
    bench.mtu.too_long(bench.now, Some(1400), Teller::Network, PACE);
    assert_eq!(bench.mtu.fragment(), AES.fragment(1372));
    for _ in 0..100 {
        bench.run(MS * 50);
        assert_eq!(bench.mtu.fragment(), AES.fragment(1372));
    }
}

#[test]
fn false_reports_of_the_network_cost_few_round_trips() {
    let mut bench = Bench::new(AES, 1500, 1500);
    bench.run(MS * 5000);
    let mut narrow = 0;
    for round in 0..20_000 {
        bench.mtu.too_long(bench.now, Some(68 + round % 1400), Teller::Network, PACE);
        narrow += u32::from(bench.mtu.fragment() < 1397);
        bench.run(MS);
    }
    assert!(narrow < 5, "{narrow}");
    assert!(bench.probes.len() < 12, "{:?}", bench.probes);
}

#[test]
fn an_unsolicited_answer_proves_nothing() {
    let mut bench = Bench::new(AES, 1500, 1400);
    bench.mtu.reply(bench.now, 65532, PACE);
    bench.mtu.reply(bench.now, 9000, PACE);
    assert_eq!(bench.mtu.fragment(), 421);
    bench.run(MS * 15_000);
    let found = bench.mtu.fragment();
    bench.mtu.reply(bench.now, 9000, PACE);
    assert_eq!((bench.mtu.fragment(), found), (AES.fragment(1372), AES.fragment(1372)));
}

#[test]
fn a_configured_size_is_used_without_probes_but_never_below_the_floor() {
    let mut mtu = PathMtu::new(AES, 28, Some(1500));
    mtu.start(Instant::ZERO, false);
    assert_eq!((mtu.fragment(), mtu.poll(Instant::ZERO, PACE), mtu.deadline(PACE)), (1397, None, None));
    mtu.set_fixed(Instant::ZERO, Some(200));
    assert_eq!(mtu.fragment(), 421);
    mtu.set_fixed(Instant::ZERO, None);
    assert!(mtu.poll(Instant::ZERO, PACE).is_some(), "nothing is settled any more, so the path is searched");
}

#[test]
fn changed_encryption_keeps_the_size_of_the_path() {
    let mut bench = Bench::new(AES, 1500, 1500);
    bench.run(MS * 100);
    bench.mtu.set_sizes(bench.now, Sizes::CLEAR);
    assert_eq!(bench.mtu.fragment(), 1446);
    bench.mtu.set_sizes(bench.now, AES);
    assert_eq!(bench.mtu.fragment(), 1397);
}

#[test]
fn a_link_that_comes_up_again_is_searched_again() {
    let mut bench = Bench::new(AES, 1500, 1500);
    bench.run(MS * 100);
    bench.mtu.stop();
    assert_eq!((bench.mtu.fragment(), bench.mtu.shown(), bench.mtu.deadline(PACE)), (421, 1397, None));
    bench.mtu.start(bench.now, false);
    bench.run(MS * 100);
    assert_eq!(bench.mtu.fragment(), 1397);
}
