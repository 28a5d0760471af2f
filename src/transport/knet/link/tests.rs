use super::*;

const MS: Duration = Duration::from_millis(1);
const TRIP: Duration = Duration::from_micros(200);

fn watch() -> LinkSettings {
    LinkSettings {
        port: 5405,
        priority: 1,
        ping_interval: MS * 750,
        ping_timeout: MS * 1500,
        ping_precision: 2048,
        pong_count: 2,
    }
}

/// A link with its clock, whose pings are answered or not.
struct Bench {
    link: Link,
    now: Instant,
    answers: bool,
    alone: bool,
    /// When each ping was sent, and when each change happened.
    pings: Vec<Instant>,
    changes: Vec<(Instant, Option<Cause>)>,
}

impl Bench {
    fn new() -> Self {
        let link = Link::new(watch(), Instant::ZERO);
        Self { link, now: Instant::ZERO, answers: true, alone: true, pings: Vec::new(), changes: Vec::new() }
    }

    fn does(&mut self, act: Option<Act>) {
        match act {
            Some(Act::Ping) => {
                let now = self.now;
                self.link.pinged(now);
                self.pings.push(now);
                if self.answers && self.link.pong(now + TRIP, now, true, self.alone) == Heard::Up {
                    self.changes.push((now + TRIP, None));
                }
            }
            Some(Act::Down(cause)) => self.changes.push((self.now, Some(cause))),
            None => {}
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.link.deadline().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            while let Some(act) = self.link.poll(self.now) {
                self.does(Some(act));
            }
        }
        self.now = end;
    }

    fn up() -> Self {
        let mut bench = Self::new();
        bench.run(MS * 2000);
        assert!(bench.link.is_up());
        bench
    }
}

#[test]
fn a_link_comes_up_after_one_pong_more_than_the_count() {
    let mut bench = Bench::new();
    bench.run(MS * 1499);
    assert!(!bench.link.is_up());
    assert!(bench.link.is_heard());
    bench.run(MS * 10);
    assert_eq!(bench.changes, [(Instant::ZERO + MS * 1500 + TRIP, None)]);
    assert_eq!(bench.pings.len(), 3);
    assert_eq!((bench.link.stats.down_count, bench.link.stats.up_count), (1, 1));
}

#[test]
fn a_silent_link_goes_down_within_twice_the_time_out_even_if_new() {
    let mut bench = Bench::up();
    bench.answers = false;
    let cut = bench.now;
    bench.run(MS * 10_000);
    let [_, (fell, Some(Cause::Silence))] = bench.changes[..] else { panic!("{:?}", bench.changes) };
    assert!(fell.since(cut) <= MS * 3000, "{:?}", fell.since(cut));
    assert!(fell.since(cut) >= MS * 500, "a lost ping or two fell it: {:?}", fell.since(cut));
    assert_eq!(bench.link.stats.down_count, 2);
}

#[test]
fn a_doubted_link_is_pinged_again_before_its_time_out() {
    let mut bench = Bench::up();
    bench.answers = false;
    bench.run(MS * 250 + MS * 310);
    assert!(bench.link.is_doubted(), "the ping that is due 250 ms later waits for 300 ms");
    assert!(bench.link.is_up());
    bench.answers = true;
    bench.run(MS * 400);
    assert!(!bench.link.is_doubted());
    assert_eq!(bench.changes.len(), 1);
}

#[test]
fn reports_of_icmp_never_take_down_a_link_that_answers() {
    let mut bench = Bench::up();
    let before = bench.pings.len();
    for _ in 0..10_000 {
        let act = bench.link.unreachable(bench.now);
        bench.does(act);
        bench.run(MS);
    }
    assert_eq!(bench.changes.len(), 1, "{:?}", bench.changes);
    // Ten seconds have 13 periodic pings, and a report causes a ping at most once in each half interval.
    assert!(bench.pings.len() - before < 50, "{}", bench.pings.len() - before);
}

#[test]
fn a_report_of_icmp_takes_down_a_link_that_does_not_answer_soon() {
    let mut bench = Bench::up();
    bench.answers = false;
    let cut = bench.now;
    let act = bench.link.unreachable(bench.now);
    assert_eq!(act, Some(Act::Ping));
    bench.does(act);
    assert!(bench.link.is_doubted());
    bench.run(MS * 5000);
    let [_, (fell, Some(Cause::Unreachable))] = bench.changes[..] else { panic!("{:?}", bench.changes) };
    assert!(fell.since(cut) < MS * 700);
}

#[test]
fn a_link_that_keeps_going_down_needs_more_pongs() {
    let rise = |alone| {
        let mut bench = Bench::new();
        bench.alone = alone;
        let mut times = Vec::new();
        for _ in 0..6 {
            let begin = bench.now;
            bench.answers = true;
            while !bench.link.is_up() {
                bench.run(MS * 50);
            }
            times.push(bench.now.since(begin).as_millis() / 750);
            bench.answers = false;
            while bench.link.is_up() {
                bench.run(MS * 50);
            }
        }
        (times, bench)
    };
    let (times, mut bench) = rise(false);
    assert_eq!(times, [2, 2, 2, 5, 11, 23], "in intervals: 3, 3, 3, 6, 12 and 24 pongs");
    assert_eq!(rise(true).0, [2, 2, 2, 5, 5, 5], "the only link");
    bench.answers = true;
    bench.run(MS * 60_000);
    bench.answers = false;
    bench.run(MS * 5000);
    assert!(!bench.link.is_up());
    bench.answers = true;
    bench.run(MS * 2400);
    assert!(bench.link.is_up(), "it was steady, so its falls are forgotten");
}

#[test]
fn a_pong_counts_once_and_only_for_a_recent_ping() {
    let mut bench = Bench::up();
    let link = &mut bench.link;
    let sent = *bench.pings.last().unwrap();
    let now = bench.now;
    assert_eq!(link.pong(now, sent, true, true), Heard::Nothing, "answered before");
    assert_eq!(link.pong(now, bench.pings[0], true, true), Heard::Nothing, "older than one answered");
    assert_eq!(link.pong(now, now, true, true), Heard::Nothing, "never sent");
    link.pinged(now);
    assert_eq!(link.pong(now + MS * 3001, now, true, true), Heard::Nothing, "too late");
    assert_eq!(link.pong(now + MS, now, true, true), Heard::Pong);
}

#[test]
fn a_link_without_its_own_address_sends_nothing() {
    let mut bench = Bench::up();
    assert_eq!(bench.link.set_interface(bench.now, false), Some(Act::Down(Cause::Interface)));
    assert_eq!(bench.link.set_interface(bench.now, false), None);
    assert_eq!((bench.link.deadline(), bench.link.poll(bench.now + MS * 9999)), (None, None));
    bench.run(MS * 1000);
    assert_eq!(bench.link.set_interface(bench.now, true), None);
    bench.run(MS * 1600);
    assert!(bench.link.is_up());
}

#[test]
fn a_stamp_is_valid_for_one_process_path_and_time() {
    let path = Path { host: crate::ids::NodeId::new(2).unwrap(), link: 0 };
    let sent = Instant::from_micros(123_456_789);
    let mark = stamp(7, path, sent);
    assert_eq!(stamped(7, path, mark), Some(sent));
    assert_eq!(stamped(8, path, mark), None);
    assert_eq!(stamped(7, Path { link: 1, ..path }, mark), None);
    let mut later = mark;
    later[0] ^= 1;
    assert_eq!(stamped(7, path, later), None);
}

#[test]
fn pings_rarer_than_the_time_out_do_not_make_a_link_flap() {
    let mut bench = Bench::new();
    bench.link.set_watch(LinkSettings { ping_interval: MS * 2000, ..watch() });
    bench.run(MS * 60_000);
    assert_eq!(bench.changes.len(), 1, "{:?}", bench.changes);
}
