//! annulusd and Debian's Corosync in one run, by turns, with the same clients: messages, latency, processor time a
//! message, even shares, idle processor time and memory. annulusd is measured a second time through this crate's own
//! client (`examples/cpg_speed.rs`).
//!
//! `scripts/benchmark.sh` runs it and writes BENCHMARKS.md. Variables: `ANNULUS_BENCH_SECONDS` (2), the length of one
//! measurement; `ANNULUS_BENCH_ROUNDS` (3), in each of which both daemons are measured; `ANNULUS_BENCH_ROWS`, the
//! beginnings of the names of rows, separated by semicolons, for a part of the table; `ANNULUS_BENCH_ALONE` leaves out
//! Corosync; `ANNULUS_BENCH_OUT`, a file for the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::idle::{Usage, usage};
use crate::lab::{Kind, Lab, Peer, Transport, address};
use crate::side_by_side::{field, median, ratio, ring, seconds};
use crate::usage::processor_time;
use crate::{number, own_client, peer_binary, ready};

const PATIENCE: Duration = Duration::from_secs(180);

/// Least length of a measurement with loss, in seconds.
const LOSSY_SECONDS: f64 = 4.0;
/// Least length of a measurement without clients, in seconds.
const IDLE_SECONDS: f64 = 10.0;

/// Size of the messages that fill a frame, in bytes.
const FRAME: usize = 1400;

/// Daemon and client that are measured: one column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    /// annulusd, through Debian's libcpg.
    Annulus,
    /// annulusd, through this crate's client.
    OwnClient,
    /// Corosync, through Debian's libcpg.
    Corosync,
}

impl Column {
    /// The columns of one daemon.
    const fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Annulus => &[Self::Annulus, Self::OwnClient],
            Kind::Corosync | Kind::Trixie => &[Self::Corosync],
        }
    }
}

/// What is measured in one row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    transport: Transport,
    hosts: usize,
    work: Work,
    size: usize,
    /// How many of 100 datagrams are lost at each host.
    loss: u32,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// So many clients, on hosts of their own, send at full speed.
    Senders(usize),
    /// One client has one message in flight.
    OneInFlight,
    /// No client runs.
    Idle,
}

impl Row {
    fn name(&self) -> String {
        let work = match self.work {
            Work::Senders(1) => "one sender".to_owned(),
            Work::Senders(senders) => format!("{senders} senders"),
            Work::OneInFlight => "one in flight".to_owned(),
            Work::Idle => "idle".to_owned(),
        };
        let size = if self.work == Work::Idle { String::new() } else { format!(", {} B", self.size) };
        let loss = if self.loss == 0 { String::new() } else { format!("{} % lost, ", self.loss) };
        let hosts = if self.hosts == 1 { "host" } else { "hosts" };
        format!("{loss}{}, {} {hosts}, {work}{size}", self.transport, self.hosts)
    }

    /// All rows, in the order of the table.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for transport in [Transport::Udpu, Transport::Udp] {
            for (hosts, senders) in [(1, &[1][..]), (3, &[1, 3]), (16, &[1, 3])] {
                let sizes: &[usize] =
                    if hosts == 16 { &[64, 1000] } else { &[64, 1000, 1400, 8000, 16_000, 1_000_000] };
                let mut add = |work, size| all.push(Self { transport, hosts, work, size, loss: 0 });
                add(Work::Idle, 0);
                add(Work::OneInFlight, 64);
                for &senders in senders {
                    sizes.iter().for_each(|size| add(Work::Senders(senders), *size));
                }
            }
        }
        for loss in [1, 5] {
            let lossy = |work, size| Self { transport: Transport::Udpu, hosts: 3, work, size, loss };
            all.push(lossy(Work::OneInFlight, 64));
            all.extend([64, 1000, 16_000].map(|size| lossy(Work::Senders(3), size)));
        }
        all
    }
}

/// The figures of a row; a smaller number of some of them is better.
type Figures = BTreeMap<Figure, f64>;

/// The figures of all rounds.
type Rounds = BTreeMap<(String, Column), Vec<Figures>>;

/// What is told about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Figure {
    Messages,
    P50,
    P99,
    /// Processor time of all daemons for one message, in microseconds.
    Processor,
    /// Messages of the slowest sender, as a share of the fastest one's.
    Share,
    /// Messages, as a share of the datagrams of this size that the kernel carries in the same time.
    OfKernel,
    /// Share of one processor that each daemon uses, on average.
    Idle,
    /// Resident memory of each daemon, on average.
    Memory,
}

impl Figure {
    /// All, in the order of the table.
    const ALL: [Self; 8] = [
        Self::Messages,
        Self::P50,
        Self::P99,
        Self::Processor,
        Self::Share,
        Self::OfKernel,
        Self::Idle,
        Self::Memory,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages/s",
            Self::P50 => "p50, us",
            Self::P99 => "p99, us",
            Self::Processor => "processor, us/message",
            Self::Share => "slowest : fastest sender",
            Self::OfKernel => "messages : datagrams of the kernel",
            Self::Idle => "processor, %",
            Self::Memory => "resident, MB",
        }
    }
}

/// The figures of a row; none if a client gave up, as happens to Corosync's under loss.
fn measure(lab: &Lab, row: Row, column: Column) -> Figures {
    // Under loss a message can take most of a second.
    let seconds = if row.loss > 0 { seconds().max(LOSSY_SECONDS) } else { seconds() }.to_string();
    let size = row.size.to_string();
    let client = match column {
        Column::Annulus | Column::Corosync => {
            let common = ["--max", &size, "--seconds", &seconds, "--warmup", "1", "--deadline", "60"];
            Client { program: peer_binary(), options: common.to_vec(), for_senders: &["--retry-us", "20"] }
        }
        Column::OwnClient => Client {
            program: own_client(),
            options: vec!["--size", &size, "--seconds", &seconds],
            for_senders: &[],
        },
    };
    let mut figures = lab.while_losing(row.loss, || match row.work {
        Work::OneInFlight => latency(lab, &client),
        Work::Senders(senders) => throughput(lab, senders, &client),
        // There is no client.
        Work::Idle if column == Column::OwnClient => None,
        Work::Idle => Some(idle(lab)),
    });
    if row.work == Work::Senders(1)
        && row.size == FRAME
        && row.hosts > 1
        && let Some(figures) = &mut figures
        && let Some(messages) = figures.get(&Figure::Messages)
    {
        let share = messages / kernel_rate(lab, row.transport, row.size);
        figures.insert(Figure::OfKernel, share);
    }
    figures.unwrap_or_default()
}

/// Datagrams a second of this size that arrive on average at the other hosts, while host 1 sends them as fast as it
/// can with a system call for each, to each host or to a multicast group.
fn kernel_rate(lab: &Lab, transport: Transport, size: usize) -> f64 {
    const PORT: u16 = 9000;
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 1);
    let ends: Vec<SocketAddr> = match transport {
        Transport::Udp => vec![(GROUP, PORT).into()],
        _ => (2..=lab.len()).map(|k| (ip(k), PORT).into()).collect(),
    };
    let sender = lab.socket(1, (ip(1), PORT));
    let begun = Instant::now();
    let over = move || begun.elapsed().as_secs_f64() > seconds();
    let receivers: Vec<_> = (2..=lab.len())
        .map(|k| {
            let at = if transport == Transport::Udp { GROUP } else { ip(k) };
            let socket = lab.socket(k, (at, PORT));
            if transport == Transport::Udp {
                socket.join_multicast_v4(&GROUP, &ip(k)).expect("join the group");
            }
            socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set a time-out");
            std::thread::spawn(move || {
                let (mut count, mut buf) = (0_u64, [0; 2 * FRAME]);
                while !over() {
                    count += u64::from(socket.recv(&mut buf).is_ok());
                }
                count
            })
        })
        .collect();
    let datagram = vec![0; size];
    while !over() {
        for end in &ends {
            // One that the kernel refuses, because its queue is full, does not count.
            let _ = sender.send_to(&datagram, end);
        }
    }
    let hosts = receivers.len() as f64;
    let all: u64 = receivers.into_iter().map(|receiver| receiver.join().expect("it counts")).sum();
    all as f64 / hosts / seconds()
}

fn ip(k: usize) -> Ipv4Addr {
    address(k, 0).parse().expect("an address")
}

/// A program that measures, and its options. `latency` and `throughput` are its modes.
struct Client<'a> {
    program: &'a Path,
    options: Vec<&'a str>,
    /// More options in mode `throughput`.
    for_senders: &'a [&'a str],
}

fn latency(lab: &Lab, client: &Client<'_>) -> Option<Figures> {
    let line = lab.measure(1, client.program, "latency", &client.options).result_if_any(PATIENCE)?;
    Some(Figures::from([(Figure::P50, field(&line, "p50_us")), (Figure::P99, field(&line, "p99_us"))]))
}

fn throughput(lab: &Lab, senders: usize, client: &Client<'_>) -> Option<Figures> {
    let before = processor(lab);
    let members = senders.to_string();
    let options = [&client.options, client.for_senders, &["--members", &members]].concat();
    let start = |k| lab.measure(k, client.program, "throughput", &options);
    let mut peers: Vec<Peer> = (1..=senders).map(start).collect();
    let lines: Vec<_> = peers.iter_mut().map(|peer| peer.result_if_any(PATIENCE)).collect();
    let lines: Vec<String> = lines.into_iter().collect::<Option<_>>()?;
    let all = field(&lines[0], "all").max(1.0);
    let mut figures = Figures::from([
        (Figure::Messages, field(&lines[0], "msgs_per_s")),
        (Figure::Processor, (processor(lab) - before) * 1e6 / all),
    ]);
    if senders > 1 {
        let own = lines.iter().map(|line| field(line, "own"));
        let (least, most) = own.fold((f64::MAX, 0.0_f64), |(least, most), n| (least.min(n), most.max(n)));
        figures.insert(Figure::Share, least / most.max(1.0));
    }
    Some(figures)
}

fn idle(lab: &Lab) -> Figures {
    let all = usage(lab, Duration::from_secs_f64(seconds().max(IDLE_SECONDS)));
    let mean = |of: fn(&Usage) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
    Figures::from([
        (Figure::Idle, mean(|usage| 100.0 * usage.share)),
        (Figure::Memory, mean(|usage| usage.resident as f64 / 1e6)),
    ])
}

/// Processor time of all daemons, in seconds.
fn processor(lab: &Lab) -> f64 {
    (1..=lab.len()).map(|k| processor_time(lab.daemon_pid(k)).as_secs_f64()).sum()
}

/// The cells of one figure of a row: each column with the least and greatest value of the rounds, and the ratios to
/// Corosync. `None` if annulusd has no such figure.
fn cells(rounds: &Rounds, row: Row, figure: Figure) -> Option<String> {
    let of = |column| -> Option<(f64, String)> {
        let values: Vec<f64> =
            rounds.get(&(row.name(), column))?.iter().filter_map(|all| all.get(&figure).copied()).collect();
        let (least, most) =
            values.iter().fold((f64::MAX, 0.0_f64), |(least, most), n| (least.min(*n), most.max(*n)));
        let median = (!values.is_empty()).then(|| median(values))?;
        Some((median, format!("{} ({}-{})", short(median), short(least), short(most))))
    };
    let (ours, own, theirs) = (of(Column::Annulus)?, of(Column::OwnClient), of(Column::Corosync));
    let text = |cell: &Option<(f64, String)>| cell.as_ref().map_or("-".to_owned(), |cell| cell.1.clone());
    let beside = |cell: Option<&(f64, String)>| match (cell, &theirs) {
        (Some(cell), Some(theirs)) => ratio(cell.0, theirs.0),
        _ => "-".to_owned(),
    };
    Some(format!(
        "{} | {} | {} | {} | {}",
        ours.1,
        text(&theirs),
        beside(Some(&ours)),
        text(&own),
        beside(own.as_ref())
    ))
}

/// A number with about three digits.
fn short(value: f64) -> String {
    match value {
        100_000.0.. => format!("{:.0}k", value / 1000.0),
        1_000.0.. => format!("{:.1}k", value / 1000.0),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The rows whose names begin with one of `ANNULUS_BENCH_ROWS`.
fn wanted() -> Vec<Row> {
    let rows = std::env::var("ANNULUS_BENCH_ROWS").unwrap_or_default();
    let beginnings: Vec<&str> = rows.split(';').map(str::trim).filter(|row| !row.is_empty()).collect();
    let mut all = Row::all();
    all.retain(|row| {
        beginnings.is_empty() || beginnings.iter().any(|beginning| row.name().starts_with(beginning))
    });
    assert!(!all.is_empty(), "ANNULUS_BENCH_ROWS: no row's name begins like that");
    all
}

/// The whole table; more than an hour.
#[test]
#[ignore = "a measurement of an hour: scripts/interop.sh benchmark runs it"]
fn benchmark() {
    if !ready() {
        return;
    }
    let rows = wanted();
    let only_ours = std::env::var_os("ANNULUS_BENCH_ALONE").is_some();
    let mut rounds = Rounds::new();
    let mut rings: Vec<(Transport, usize)> = rows.iter().map(|row| (row.transport, row.hosts)).collect();
    rings.sort_by_key(|(transport, hosts)| (*transport != Transport::Udpu, *hosts));
    rings.dedup();
    for _ in 0..number("ANNULUS_BENCH_ROUNDS").unwrap_or(3).max(1) {
        for &(transport, hosts) in &rings {
            for kind in [Kind::Annulus, Kind::Corosync] {
                if only_ours && kind.is_corosync() {
                    continue;
                }
                let lab = ring(kind, transport, hosts);
                for row in rows.iter().filter(|row| (row.transport, row.hosts) == (transport, hosts)) {
                    for &column in Column::of(kind) {
                        let figures = measure(&lab, *row, column);
                        println!("{column:?}: {}: {figures:?}", row.name());
                        rounds.entry((row.name(), column)).or_default().push(figures);
                    }
                }
            }
        }
    }
    let mut table =
        "| work | figure | annulus (least-most) | Corosync (least-most) | ratio | own client (least-most) \
                     | ratio |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for row in rows {
        for figure in Figure::ALL {
            if let Some(cells) = cells(&rounds, row, figure) {
                let _ = writeln!(table, "| {} | {} | {cells} |", row.name(), figure.name());
            }
        }
    }
    println!("{table}");
    if let Some(path) = std::env::var_os("ANNULUS_BENCH_OUT") {
        std::fs::write(&path, table).expect("write ANNULUS_BENCH_OUT");
    }
}
