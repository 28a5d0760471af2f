//! One story told twice, on Debian's Corosync and on annulusd (or a mix of both) at the same time, and what was said
//! compared.
//!
//! A story drives a [`Side`]: it brings the hosts into a state and notes what Debian's tools say there. What must
//! differ between any two runs (dates, process ids, ring numbers) is masked where it is noted; what differs on
//! purpose is in the table [`crate::purpose::DIFFERENCES`] with its reason. Everything else is a failure.
//!
//! `ANNULUS_INTEROP_OURS=corosync` tells both stories on Corosync: so a story is proved to say the same twice.

use crate::lab::{Kind, Lab, Said, Settings, Transport, wait_until};
use crate::purpose;
use std::fmt::Write as _;
use std::time::Duration;

/// How long a state may take to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long the links may take to tell what the ring tells already.
const LINKS_PATIENCE: Duration = Duration::from_secs(5);

/// One note of a side.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    /// State, host and command.
    pub(crate) what: String,
    /// What was said, masked.
    pub(crate) text: String,
}

/// The hosts of one telling and what was said on them.
pub(crate) struct Side {
    /// The hosts.
    pub(crate) lab: Lab,
    /// The daemon of host 1, 2, …
    kinds: Vec<Kind>,
    /// The transport in place of udpu; a story that asks for the other one gets the other one of this.
    transport: Transport,
    /// Whether Corosync is among the daemons that Corosync alone is compared with.
    mixed: bool,
    state: String,
    notes: Vec<Note>,
}

impl Side {
    fn new(lab: Lab, kinds: Vec<Kind>, transport: Transport, mixed: bool) -> Self {
        Self { lab, kinds, transport, mixed, state: String::new(), notes: Vec::new() }
    }

    /// Which daemons it is told on.
    pub(crate) fn name(&self) -> String {
        let first = self.kinds[0];
        if self.kinds.iter().all(|kind| *kind == first) {
            format!("{first:?}")
        } else {
            format!("{:?}", self.kinds)
        }
    }

    /// The transport in place of udpu.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// The daemon of host `k`.
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

    /// Names the state that the hosts are in from here on.
    pub(crate) fn state(&mut self, name: &str) {
        name.clone_into(&mut self.state);
    }

    /// Starts afresh: no daemon, nothing remembered, this configuration everywhere, daemons on `hosts`.
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

    /// Waits until the daemons of `hosts` are one ring with these members, and say the same of it.
    pub(crate) fn settle(&self, hosts: &[usize]) {
        self.settle_when(hosts, |_| true);
    }

    /// The same, and each says what pleases to `corosync-quorumtool -s`.
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
        // A host that is gone is missed by the ring before its links are given up. Where it is left out and yet heard,
        // they never are.
        if matches!(self.transport, Transport::Knet(_)) {
            self.lab.links_settle(hosts, LINKS_PATIENCE);
        }
    }

    /// Runs a line of shell on host `k` and notes what it says.
    pub(crate) fn note(&mut self, k: usize, line: &str) -> Said {
        self.note_with(k, line, |text| text)
    }

    /// The same, with what it says changed by `mask` first.
    pub(crate) fn note_with(&mut self, k: usize, line: &str, mask: impl Fn(String) -> String) -> Said {
        let said = self.lab.say(k, line);
        self.keep_of(k, &format!("host {k}: {line}"), mask(said.text()));
        said
    }

    /// Notes a text of all hosts, or of a program.
    pub(crate) fn keep(&mut self, what: &str, text: String) {
        self.keep_of(1, what, text);
    }

    /// Notes a text that is host `k`'s daemon's.
    pub(crate) fn keep_of(&mut self, k: usize, what: &str, text: String) {
        let what = format!("{}, {what}", self.state);
        let folder = self.lab.dir(1).parent().expect("the lab's folder").display().to_string();
        let text = purpose::strike(self.kind(k), self.mixed, &what, &mask(&text.replace(&folder, "(lab)")));
        self.notes.push(Note { what, text });
    }
}

/// Node ids under `Membership information`.
fn members(text: &str) -> Vec<usize> {
    let rows = text.lines().skip_while(|line| !line.trim_start().starts_with("Nodeid"));
    let ids = rows.skip(1).filter_map(|row| row.split_whitespace().next()?.parse().ok());
    // The quorum device stands there as node 0.
    ids.filter(|id| *id != 0).collect()
}

/// The daemon that stands in our place.
pub(crate) fn ours() -> Kind {
    match std::env::var("ANNULUS_INTEROP_OURS").as_deref() {
        Ok("corosync") => Kind::Corosync,
        Ok(other) => panic!("ANNULUS_INTEROP_OURS is {other:?}; it may be corosync"),
        Err(_) => Kind::Annulus,
    }
}

/// How often a story is told at most.
const TELLINGS: usize = 3;

/// Tells a story on both daemons at once and compares.
pub(crate) fn compare(hosts: usize, story: fn(&mut Side)) {
    compare_with(&vec![ours(); hosts], Transport::Udpu, story);
}

/// Tells a story on Corosync and on these daemons at once and compares. Where the story says udpu, the hosts use
/// `transport`.
///
/// The two sides never run in step: on a busy machine one may be asked just before, the other just after
/// something happened by itself, be it Corosync against Corosync. What really differs does so in every telling.
pub(crate) fn compare_with(kinds: &[Kind], transport: Transport, story: fn(&mut Side)) {
    for telling in 1..=TELLINGS {
        match compared(kinds, transport, story) {
            Ok(()) => return,
            Err(found) if telling < TELLINGS => eprintln!("telling {telling}, once more:\n{found}"),
            Err(found) => panic!("in each of {TELLINGS} tellings; in the last:\n{found}"),
        }
    }
}

/// Tells the story once. What differed, or why it came to no end.
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

/// What a thread that panicked said.
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

/// What the second noted otherwise than the first: lines of the first marked `-`, of the second `+`.
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

/// What differs between any two runs.
fn mask(text: &str) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches('\r');
        if line.starts_with("Date: ") {
            masked.push_str("Date: (now)");
        } else if let Some((field, value)) =
            line.split_once(':').filter(|(field, _)| field.trim_end() == "Ring ID")
        {
            // The representative is the state's, the number the run's.
            let representative = value.trim().split('.').next().unwrap_or_default();
            let _ = write!(masked, "{field}: {representative}.(number)");
        } else {
            masked.push_str(line);
        }
        masked.push('\n');
    }
    masked
}
