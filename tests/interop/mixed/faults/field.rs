//! The hosts, daemons and clients to which the acts happen.

use super::act::{Act, Cluster, Cut};
use super::check::{Checker, Counts, Log};
use super::journal::Journal;
use super::signs::Signs;
use crate::lab::{Lab, PATIENCE, Peer, Settings};
use crate::mixed::Mix;
use crate::sequence::Process;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A client of libcpg that multicasts and logs what it is delivered.
pub(super) struct Client {
    pub(super) host: usize,
    /// Whether it is always present while the daemon runs, unlike a guest.
    resident: bool,
    pub(super) peer: Peer,
    pub(super) journal: Journal,
    /// The client's process; `None` until it has joined.
    pub(super) process: Option<Process>,
    /// Whether no part of its log has been checked yet.
    pub(super) fresh: bool,
    ending: Option<Ending>,
}

/// The reason why a client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Its daemon ended.
    DaemonGone,
    /// The client was asked to leave the group.
    Leaves,
    /// It was killed.
    Killed,
}

/// A cluster to which acts happen.
pub(crate) struct Field {
    /// The lab with the hosts.
    pub(crate) lab: Lab,
    pub(super) mix: Mix,
    pub(super) cluster: Cluster,
    pub(super) clients: Vec<Client>,
    pub(super) checker: Checker,
    pub(super) signs: Signs,
    /// The logs of clients that ended since the last moment of rest.
    pub(super) ended: Vec<Log>,
    /// Number of moments of rest so far.
    pub(super) rests: u64,
    /// The logs that are being checked, kept for the investigation of a failure.
    pub(super) window: Vec<Log>,
    /// Whether this machine's kernel can make links narrow.
    narrows: bool,
    names: u64,
    pause_us: String,
    seed: u64,
}

/// The configured token time-out. The daemons add `COEFFICIENT_MS` for each host after the second.
const TOKEN_MS: u64 = 1000;
const COEFFICIENT_MS: u64 = 100;

impl Field {
    /// Starts all daemons and a client on each. Each client multicasts, with a pause after each message.
    pub(crate) fn start(mix: &Mix, seed: u64, pause: Duration) -> Self {
        let lab = Lab::shared(mix.len());
        let token = format!("token: {TOKEN_MS}\ntoken_coefficient: {COEFFICIENT_MS}");
        let mut settings = Settings::new(mix.transport, &token, mix.len());
        if std::env::var_os("ANNULUS_INTEROP_DEBUG").is_some() {
            settings.more = "logging {\n  debug: on\n}".to_owned();
        }
        lab.configure_with(&settings);
        let narrows = lab.narrow(1);
        if narrows {
            lab.widen(1);
        } else {
            println!("{mix}: this kernel has no tbf; no link will be narrow");
        }
        let mut field = Self {
            narrows,
            signs: Signs::new(mix.len()),
            lab,
            mix: mix.clone(),
            cluster: Cluster::new(mix.len(), mix.transport.links()),
            clients: Vec::new(),
            checker: Checker::default(),
            ended: Vec::new(),
            rests: 0,
            window: Vec::new(),
            names: 0,
            pause_us: pause.as_micros().to_string(),
            seed,
        };
        for k in 1..=mix.len() {
            field.start_host(k);
        }
        field
    }

    /// The effective token time-out of the daemons.
    pub(crate) fn token_ms(&self) -> u64 {
        TOKEN_MS + COEFFICIENT_MS * (self.mix.len() as u64).saturating_sub(2)
    }

    /// The state of all hosts.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Totals of what was checked so far.
    pub(crate) fn counts(&self) -> Counts {
        self.checker.counts
    }

    /// Lines of the daemons' logs that are warnings or worse, with their numbers removed, and how often each
    /// occurred.
    pub(crate) fn noticed(&self) -> &BTreeMap<String, u64> {
        &self.signs.noticed
    }

    /// Carries out a step, waits until the expected state is reached, and checks it. Returns the ring ids.
    pub(crate) fn step(&mut self, step: &[(Duration, Act)]) -> Result<Vec<String>, String> {
        for (pause, act) in step {
            std::thread::sleep(*pause);
            self.carry_out(act)?;
        }
        self.rest()
    }

    /// Carries out an act, without waiting for its effect.
    pub(crate) fn carry_out(&mut self, act: &Act) -> Result<(), String> {
        let before = self.cluster.clone();
        self.cluster.apply(act);
        match act {
            Act::Kill(k) => self.end_host(*k, Signal::KILL),
            Act::Leave(k) => self.end_host(*k, Signal::TERM),
            Act::Start(hosts) => hosts.iter().for_each(|k| self.start_host(*k)),
            Act::Pause { host, ms, until_formed } => {
                self.lab.pause(*host);
                std::thread::sleep(Duration::from_millis(*ms));
                let outcome = if *until_formed { self.formed(Some(*host)).map(drop) } else { Ok(()) };
                self.lab.resume(*host);
                outcome?;
            }
            Act::Narrow { host, ms } => {
                if self.narrows {
                    self.lab.narrow(*host);
                }
                std::thread::sleep(Duration::from_millis(*ms));
                if self.narrows {
                    self.lab.widen(*host);
                }
            }
            Act::Split(bridges) => {
                for (k, bridge) in (1..).zip(bridges) {
                    if before.host(k).bridge != *bridge {
                        self.lab.place(k, *bridge);
                        // The cable passes everything on its new bridge.
                        if let Some((link, Cut::Behind)) = before.host(k).cut {
                            self.lab.cut_link(k, link);
                        }
                    }
                }
            }
            Act::Unplug(k) => self.lab.cut(*k),
            Act::CutLink { host, link, how } => match how {
                Cut::Behind => self.lab.cut_link(*host, *link),
                Cut::Unplugged => self.lab.unplug_link(*host, *link),
                Cut::Deaf => self.lab.deafen_link(*host, *link),
                Cut::Mute => self.lab.mute_link(*host, *link),
            },
            Act::HealLinks => self.heal_links(&before),
            Act::Heal => {
                self.heal_links(&before);
                for k in 1..=before.len() {
                    if before.host(k).bridge != 0 || !before.host(k).plugged {
                        self.lab.heal(k);
                    }
                }
            }
            Act::Restart { kill } => self.restart(&before, *kill),
            Act::Come(k) => self.start_client(*k, false),
            Act::Go(k) => {
                let guest = self.eldest_guest(*k);
                guest.peer.tell("leave");
                guest.ending = Some(Ending::Leaves);
            }
            Act::Die(k) => {
                let guest = self.eldest_guest(*k);
                guest.peer.kill();
                guest.ending = Some(Ending::Killed);
            }
        }
        Ok(())
    }

    fn heal_links(&self, before: &Cluster) {
        let cut = |k: &usize| before.host(*k).cut.zip(Some(*k));
        for ((link, how), k) in (1..=before.len()).filter_map(|k| cut(&k)) {
            // The cable of a host without any link stays unplugged.
            if matches!(how, Cut::Behind | Cut::Unplugged) && before.host(k).plugged {
                self.lab.restore_link(k, link);
            }
        }
        self.lab.unfilter_links();
    }

    fn start_host(&mut self, k: usize) {
        self.lab.start(k, self.mix.kind(k));
        self.start_client(k, true);
    }

    fn end_host(&mut self, k: usize, signal: Signal) {
        self.lab.end(k, signal);
        self.daemon_gone(k);
    }

    fn restart(&mut self, before: &Cluster, kill: bool) {
        let signal = if kill { Signal::KILL } else { Signal::TERM };
        let up: Vec<usize> = (1..=before.len()).filter(|k| before.host(*k).up).collect();
        for k in &up {
            self.lab.signal(*k, signal);
        }
        for k in &up {
            self.lab.ended(*k, PATIENCE);
            self.daemon_gone(*k);
        }
        for k in 1..=before.len() {
            self.start_host(k);
        }
    }

    fn start_client(&mut self, k: usize, resident: bool) {
        self.names += 1;
        let options = [
            "--group",
            "faults",
            "--count",
            "18446744073709551615",
            "--min",
            "28",
            "--max",
            "100000",
            "--finish",
            "no",
            "--deadline",
            "1000000",
            "--pause-us",
            &self.pause_us,
            "--retry-us",
            "1000",
        ];
        let peer = self.lab.peer(k, &format!("client-{}", self.names), "order", &options);
        let journal = Journal::new(&peer.log);
        self.clients.push(Client {
            host: k,
            resident,
            peer,
            journal,
            process: None,
            fresh: true,
            ending: None,
        });
    }

    fn eldest_guest(&mut self, k: usize) -> &mut Client {
        self.clients
            .iter_mut()
            .find(|client| client.host == k && !client.resident && client.ending.is_none())
            .expect("only a guest that is there goes")
    }

    fn daemon_gone(&mut self, k: usize) {
        for client in self.clients.iter_mut().filter(|client| client.host == k) {
            if client.ending.is_none() || client.ending == Some(Ending::Leaves) {
                client.ending = Some(Ending::DaemonGone);
            }
            // The client would wait for the next daemon to start.
            if !client.joined() {
                client.peer.kill();
                client.ending = Some(Ending::Killed);
            }
        }
    }

    /// The clients that are present and are not about to end.
    pub(super) fn present(&mut self) -> impl Iterator<Item = &mut Client> {
        self.clients.iter_mut().filter(|client| client.ending.is_none())
    }

    /// Waits for the clients that are about to end, and takes over their logs. No other client may have ended.
    pub(super) fn collect_ended(&mut self) -> Result<(), String> {
        for index in (0..self.clients.len()).rev() {
            let client = &mut self.clients[index];
            let Some(ending) = client.ending else {
                if !client.peer.runs() {
                    let (code, text) = client.peer.finish(PATIENCE);
                    return Err(format!("a client of host {} ended by itself: {code:?} {text}", client.host));
                }
                continue;
            };
            let (code, text) = client.peer.finish(PATIENCE);
            let good = match ending {
                // A client that has just left may still see the end of its daemon, or may not.
                Ending::DaemonGone => matches!(code, Some(0 | 3)),
                Ending::Leaves => code == Some(0),
                Ending::Killed => true,
            };
            if !good {
                return Err(format!("a client of host {} ({ending:?}) ended: {code:?} {text}", client.host));
            }
            client.joined();
            let mut client = self.clients.remove(index);
            let events = client.journal.all()?;
            let _ = fs::remove_file(&client.peer.log);
            if let Some(who) = client.process {
                self.ended.push(Log::new(
                    who,
                    self.mix.kind(client.host).is_corosync(),
                    client.fresh,
                    events,
                ));
            }
        }
        Ok(())
    }

    /// Keeps the files that may help to investigate a failure, and returns their folder.
    fn keep(&self) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults").join(format!(
            "{}-{}",
            self.mix.to_string().replace('/', "-"),
            self.seed
        ));
        let _ = fs::create_dir_all(&folder);
        for k in 1..=self.lab.len() {
            for name in ["daemon.log", "daemon.out"] {
                let from = self.lab.dir(k).join("log").join(name);
                let _ = fs::copy(from, folder.join(format!("n{k}-{name}")));
            }
        }
        for log in &self.window {
            let text: String = log.events.iter().map(|event| format!("{event:?}\n")).collect();
            let name = format!("client-{}-{}.txt", log.who.0, log.who.1);
            let _ = fs::write(folder.join(name), format!("fresh {} cut {:?}\n{text}", log.fresh, log.cut));
        }
        for client in &self.clients {
            if let Some(name) = client.peer.log.file_name() {
                let name = format!("n{}-{}", client.host, name.to_string_lossy());
                let _ = fs::copy(&client.peer.log, folder.join(name));
            }
        }
        folder
    }
}

impl Client {
    /// Whether the client has joined, and so has a process id.
    pub(super) fn joined(&mut self) -> bool {
        if self.process.is_none()
            && let Ok(line) = self.peer.hear("joined ", Duration::ZERO)
        {
            let mut words = line.split_whitespace().skip(1).map(|word| word.parse().expect("a number"));
            self.process = words.next().zip(words.next());
        }
        self.process.is_some()
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let folder = self.keep();
            eprintln!("{}: seed {}: logs are in {}", self.mix, self.seed, folder.display());
        }
    }
}
