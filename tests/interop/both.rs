//! One story told twice at the same time, on Debian's Corosync and on annulusd (or a mix of both), with a comparison
//! of the outputs.
//!
//! A story drives a [`Side`]: it brings the hosts into a state and notes what Debian's tools print there. What must
//! differ between any two runs (dates, process ids, ring numbers) is masked when it is noted; intended differences
//! are in the table [`crate::purpose::DIFFERENCES`] with their reasons. Every other difference is a failure.
//!
//! `ANNULUS_INTEROP_OURS=corosync` tells both stories on Corosync, which proves that a story gives the same output
//! twice.

use crate::lab::{Kind, Lab, Said, Settings, Transport, wait_until};
use crate::purpose;
use std::fmt::Write as _;
use std::time::Duration;

/// How long a state may take until it is reached.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How much longer the links may take than the ring to show a change of hosts.
const LINKS_PATIENCE: Duration = Duration::from_secs(5);

/// One output that a side has noted.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    /// State, host and command that gave the output.
    pub(crate) what: String,
    /// The output, masked.
    pub(crate) text: String,
}

/// The hosts of one telling of a story, and the outputs noted on them.
pub(crate) struct Side {
    /// The lab with the hosts of this side.
    pub(crate) lab: Lab,
    /// The daemons of hosts 1, 2, …, in this order.
    kinds: Vec<Kind>,
    /// The transport that replaces udpu in the story. Where a story names another transport, the counterpart of this
    /// one is used.
    transport: Transport,
    /// Whether this comparison is of a mixed ring: Corosync is among the daemons that are compared with Corosync
    /// alone.
    mixed: bool,
    state: String,
    notes: Vec<Note>,
}

impl Side {
    fn new(lab: Lab, kinds: Vec<Kind>, transport: Transport, mixed: bool) -> Self {
        Self { lab, kinds, transport, mixed, state: String::new(), notes: Vec::new() }
    }

    /// The daemons that this side runs, for failure texts.
    pub(crate) fn name(&self) -> String {
        let first = self.kinds[0];
        if self.kinds.iter().all(|kind| *kind == first) {
            format!("{first:?}")
        } else {
            format!("{:?}", self.kinds)
        }
    }

    /// The transport that replaces udpu.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// The kind of daemon that host `k` runs.
    pub(crate) fn kind(&self, k: usize) -> Kind {
        self.kinds[k - 1]
    }

    /// Starts host `k`'s daemon.
    pub(crate) fn start(&mut self, k: usize) {
        let kind = self.kind(k);
        self.lab.start(k, kind);
    }

    /// Writes a configuration on host `k` alone.
    pub(crate) fn configure(&self, k: usize, settings: &Settings) {
        let mut settings = settings.clone();
        if self.transport != Transport::Udpu {
            settings.transport = match settings.transport {
                Transport::Udpu => self.transport,
                Transport::Udp | Transport::Knet(_) => self.transport.other(),
            };
        }
        self.lab.configure_host(k, &settings);
    }

    /// Sets the name of the state that the hosts are in from here on; it begins the name of each note.
    pub(crate) fn state(&mut self, name: &str) {
        name.clone_into(&mut self.state);
    }

    /// Starts afresh: ends all daemons and removes what they stored, writes this configuration on every host, and
    /// starts the daemons of `hosts`.
    pub(crate) fn begin(&mut self, settings: &Settings, hosts: &[usize]) {
        for k in 1..=self.lab.len() {
            self.lab.kill_daemon(k);
            self.lab.heal(k);
            self.lab.forget(k);
            self.configure(k, settings);
        }
        for k in hosts {
            self.start(*k);
        }
    }

    /// Waits until the daemons of `hosts` form one ring with exactly these members, and all show the same ring id.
    pub(crate) fn settle(&self, hosts: &[usize]) {
        self.settle_when(hosts, |_| true);
    }

    /// Waits as [`Side::settle`] does, and until `pleases` accepts the output of `corosync-quorumtool -s` on each
    /// host.
    pub(crate) fn settle_when(&self, hosts: &[usize], pleases: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let outcome = wait_until(PATIENCE, || {
            last.clear();
            let mut seen: Vec<String> = Vec::new();
            for k in hosts {
                let said = self.lab.say(*k, "corosync-quorumtool -s -i -oi");
                let _ = writeln!(last, "host {k}: {}", said.text());
                if !pleases(&said.out) {
                    break;
                }
                let members: Vec<usize> = members(&said.out);
                let ring = said.out.lines().find(|line| line.starts_with("Ring ID:"));
                if members == hosts {
                    seen.push(ring.unwrap_or_default().to_owned());
                }
            }
            let done = seen.len() == hosts.len() && seen.iter().all(|ring| *ring == seen[0]);
            if !done {
                std::thread::sleep(Duration::from_millis(200));
            }
            done
        });
        if outcome.is_err() {
            let logs: String = hosts.iter().map(|k| self.lab.log_tail(*k)).collect();
            let before: String =
                self.notes.iter().rev().take(3).map(|note| format!("{}: {}", note.what, note.text)).collect();
            panic!(
                "{}, {}: hosts {hosts:?} did not settle within {PATIENCE:?}:\n{last}\nlast notes, newest first:\n{before}\n{logs}",
                self.name(),
                self.state
            );
        }
        // The ring misses a host that is gone before its links are given up. Where the host is left out of the ring
        // and yet heard, its links are never given up.
        if matches!(self.transport, Transport::Knet(_)) {
            self.lab.links_settle(hosts, LINKS_PATIENCE);
        }
    }

    /// Runs a line of shell on host `k` and notes its output.
    pub(crate) fn note(&mut self, k: usize, line: &str) -> Said {
        self.note_with(k, line, |text| text)
    }

    /// Runs a line of shell on host `k` and notes its output, changed by `mask` first.
    pub(crate) fn note_with(&mut self, k: usize, line: &str, mask: impl Fn(String) -> String) -> Said {
        let said = self.lab.say(k, line);
        self.keep_of(k, &format!("host {k}: {line}"), mask(said.text()));
        said
    }

    /// Notes a text that belongs to no single host.
    pub(crate) fn keep(&mut self, what: &str, text: String) {
        self.keep_of(1, what, text);
    }

    /// Notes a text that comes from the daemon of host `k`.
    pub(crate) fn keep_of(&mut self, k: usize, what: &str, text: String) {
        let what = format!("{}, {what}", self.state);
        let folder = self.lab.dir(1).parent().expect("the lab's folder").display().to_string();
        let text = purpose::strike(self.kind(k), self.mixed, &what, &mask(&text.replace(&folder, "(lab)")));
        self.notes.push(Note { what, text });
    }
}

/// The node ids in the table `Membership information` of corosync-quorumtool.
fn members(text: &str) -> Vec<usize> {
    let rows = text.lines().skip_while(|line| !line.trim_start().starts_with("Nodeid"));
    let ids = rows.skip(1).filter_map(|row| row.split_whitespace().next()?.parse().ok());
    // The quorum device is listed there as node 0.
    ids.filter(|id| *id != 0).collect()
}

/// The daemon that is compared with Corosync: annulusd, unless `ANNULUS_INTEROP_OURS` names the other one.
pub(crate) fn ours() -> Kind {
    match std::env::var("ANNULUS_INTEROP_OURS").as_deref() {
        Ok("corosync") => Kind::Corosync,
        Ok(other) => panic!("ANNULUS_INTEROP_OURS is {other:?}; it may be corosync"),
        Err(_) => Kind::Annulus,
    }
}

/// How often a story is told at most until both sides agree.
const TELLINGS: usize = 3;

/// Tells a story on Corosync and on annulusd at the same time, and compares.
pub(crate) fn compare(hosts: usize, story: fn(&mut Side)) {
    compare_with(&vec![ours(); hosts], Transport::Udpu, story);
}

/// Tells a story on Corosync and on these daemons at the same time, and compares. Where the story says udpu, the
/// hosts use `transport`.
///
/// The two sides never run in step: on a busy machine one may be asked just before, the other just after a
/// spontaneous event, even if both are Corosync. Therefore the story is told again if the outputs differ; a real
/// difference shows in every telling.
pub(crate) fn compare_with(kinds: &[Kind], transport: Transport, story: fn(&mut Side)) {
    for telling in 1..=TELLINGS {
        match compared(kinds, transport, story) {
            Ok(()) => return,
            Err(found) if telling < TELLINGS => eprintln!("telling {telling}, once more:\n{found}"),
            Err(found) => panic!("in each of {TELLINGS} tellings; in the last:\n{found}"),
        }
    }
}

/// Tells the story once. The error says what differed, or why a side did not finish.
fn compared(kinds: &[Kind], transport: Transport, story: fn(&mut Side)) -> Result<(), String> {
    let (first, second) = Lab::pair(kinds.len());
    let mixed = kinds.iter().any(|kind| kind.is_corosync());
    let tell = |lab: Lab, kinds: Vec<Kind>| {
        let mut side = Side::new(lab, kinds, transport, mixed);
        story(&mut side);
        side.notes
    };
    let (theirs, ours) = std::thread::scope(|scope| {
        let other = scope.spawn(|| tell(second, kinds.to_vec()));
        let theirs = scope.spawn(|| tell(first, vec![Kind::Corosync; kinds.len()]));
        (theirs.join(), other.join())
    });
    let theirs = theirs.map_err(|panic| format!("on Corosync: {}", reason(&*panic)))?;
    let ours = ours.map_err(|panic| format!("on the others: {}", reason(&*panic)))?;
    if let Ok(folder) = std::env::var("ANNULUS_INTEROP_NOTES") {
        keep_notes(&folder, "theirs", &theirs);
        keep_notes(&folder, "ours", &ours);
    }
    let differences = differences(&theirs, &ours);
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!("{} differences\n{}", differences.len(), differences.join("\n")))
}

/// The message of a thread's panic.
fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

fn keep_notes(folder: &str, name: &str, notes: &[Note]) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test").replace("::", "-");
    let text: String = notes.iter().map(|note| format!("=== {}\n{}", note.what, note.text)).collect();
    std::fs::write(format!("{folder}/{test}-{name}.txt"), text).expect("write the notes");
}

/// The differences of the second side's notes: lines that only the first has are marked `-`, those of the second `+`.
fn differences(theirs: &[Note], ours: &[Note]) -> Vec<String> {
    let whats = |notes: &[Note]| notes.iter().map(|note| note.what.clone()).collect::<Vec<_>>();
    if whats(theirs) != whats(ours) {
        return vec![format!("other notes:\n{:#?}\n{:#?}", whats(theirs), whats(ours))];
    }
    let mut all = Vec::new();
    for (theirs, ours) in theirs.iter().zip(ours) {
        if theirs.text == ours.text {
            continue;
        }
        let (a, b): (Vec<&str>, Vec<&str>) = (theirs.text.lines().collect(), ours.text.lines().collect());
        let mut text = format!("=== {} (- Corosync, + annulusd)\n", theirs.what);
        let missing = a.iter().filter(|line| !b.contains(line));
        let extra = b.iter().filter(|line| !a.contains(line));
        let mut lines: Vec<String> = missing.map(|line| format!("-{line}")).collect();
        lines.extend(extra.map(|line| format!("+{line}")));
        if lines.is_empty() {
            lines = vec!["the same lines in another order or number:".to_owned()];
            lines.extend(a.iter().map(|line| format!("-{line}")));
            lines.extend(b.iter().map(|line| format!("+{line}")));
        }
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        all.push(text);
    }
    all
}

/// Masks what differs between any two runs.
fn mask(text: &str) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches('\r');
        if line.starts_with("Date: ") {
            masked.push_str("Date: (now)");
        } else if let Some((field, value)) =
            line.split_once(':').filter(|(field, _)| field.trim_end() == "Ring ID")
        {
            // The representative depends on the state, but the number on the run.
            let representative = value.trim().split('.').next().unwrap_or_default();
            let _ = write!(masked, "{field}: {representative}.(number)");
        } else {
            masked.push_str(line);
        }
        masked.push('\n');
    }
    masked
}
