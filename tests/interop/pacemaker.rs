//! Debian's Pacemaker, unmodified, on a cluster of three: the largest client there is, of every service at once.
//!
//! What is done is the same for both daemons: resources of three kinds are started, a host is cut off and comes back,
//! each host's daemon is killed in turn and started again, as systemd starts Pacemaker again, and the shells crmsh and
//! pcs are asked. `scripts/pacemaker.sh` does all of it on both daemons and both transports and prints the times
//! beside each other; the test for every day is one pass on annulusd.

use crate::lab::{Kind, Lab, Program, Transport, wait_until};
use crate::ready;
use rustix::process::Signal;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is run: something alone, something everywhere, something with one promoted instance.
const RESOURCES: &str = "property stonith-enabled=false no-quorum-policy=stop\n\
    primitive single ocf:heartbeat:Dummy op monitor interval=5s\n\
    primitive everywhere ocf:pacemaker:Dummy op monitor interval=10s\n\
    clone everywhere-clone everywhere\n\
    primitive state ocf:pacemaker:Stateful op monitor interval=10s role=Promoted op monitor interval=11s role=Unpromoted\n\
    clone state-clone state meta promotable=true\n";

/// pacemakerd, started again when it fails, as its systemd unit has it (`Restart=on-failure`, `SuccessExitStatus=100`).
const SUPERVISED: &str = "mkdir -p /var/lib/pacemaker/cib /var/lib/pacemaker/pengine /var/lib/pacemaker/cores \
    /var/lib/pacemaker/blackbox /var/lib/pcsd /run/crm /run/resource-agents && \
    chown -R hacluster:haclient /var/lib/pacemaker /run/crm && chmod 750 /var/lib/pacemaker /run/crm && \
    while :; do pacemakerd; code=$?; echo \"ended $code\"; case $code in 0|100) exit 0;; esac; sleep 1; done";

/// A cluster with Pacemaker and how long each step took.
struct Story {
    lab: Lab,
    kind: Kind,
    pacemakers: Vec<Program>,
    steps: Vec<(String, Duration)>,
}

impl Story {
    fn new(kind: Kind, transport: Transport) -> Self {
        let mut lab = Lab::shared(3);
        lab.configure(transport, "token: 2000");
        lab.start_all(kind);
        let mut story = Self { lab, kind, pacemakers: Vec::new(), steps: Vec::new() };
        story.pacemakers = (1..=3).map(|k| story.pacemaker(k)).collect();
        story
    }

    fn pacemaker(&self, k: usize) -> Program {
        let log = format!("PCMK_logfile={}/pacemaker.log", self.lab.dir(k).join("log").display());
        self.lab.spawn(k, &["env", "PCMK_logpriority=notice", &log, "sh", "-c", SUPERVISED])
    }

    /// Does something, waits until what follows from it is so, and notes how long that took.
    fn step(&mut self, name: &str, act: impl FnOnce(&mut Self), done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        act(self);
        let outcome = wait_until(PATIENCE, || {
            let done = done(self);
            if !done {
                std::thread::sleep(Duration::from_millis(200));
            }
            done
        });
        let took = start.elapsed();
        println!("{:?}: {name}: {:.1} s", self.kind, took.as_secs_f64());
        if outcome.is_err() {
            let mut text = format!("{:?}: {name}: not within {PATIENCE:?}\n", self.kind);
            for k in 1..=self.lab.len() {
                let _ = writeln!(text, "host {k}: {}", self.lab.say(k, "crm_mon -1").text());
                let _ = writeln!(
                    text,
                    "{}",
                    self.lab
                        .say(
                            k,
                            &format!("tail -n 30 {}/pacemaker.log", self.lab.dir(k).join("log").display())
                        )
                        .out
                );
                text.push_str(&self.lab.log_tail(k));
            }
            panic!("{text}");
        }
        self.steps.push((name.to_owned(), took));
    }

    /// What `crm_mon` says on host `k`.
    fn monitor(&self, k: usize) -> String {
        self.lab.say(k, "crm_mon -1").out
    }

    /// Whether all `hosts` say that just `online` are online, with quorum, and that there is a coordinator.
    fn online(&self, hosts: &[usize], online: &[usize]) -> bool {
        let names: Vec<String> = online.iter().map(|k| format!("n{k}")).collect();
        let line = format!("Online: [ {} ]", names.join(" "));
        hosts.iter().all(|k| {
            let text = self.monitor(*k);
            text.contains(&line)
                && text.contains("partition with quorum")
                && !text.contains("Current DC: NONE")
        })
    }

    /// Where a resource runs, as host `k` knows it: each host's name, `*` after it for the promoted one.
    fn places(&self, k: usize, resource: &str) -> Vec<String> {
        let text = self.lab.say(k, &format!("crm_resource --locate --resource {resource}")).out;
        let mut places: Vec<String> = text
            .lines()
            .filter_map(|line| line.split_once("is running on: "))
            .map(|(_, rest)| {
                let mut words = rest.split_whitespace();
                let name = words.next().unwrap_or_default().to_owned();
                if words.next().is_some() { name + "*" } else { name }
            })
            .collect();
        places.sort();
        places
    }

    /// Whether everything runs on these hosts, and nowhere else, as host `k` knows it.
    fn runs_on(&self, k: usize, hosts: &[usize]) -> bool {
        let names: Vec<String> = hosts.iter().map(|k| format!("n{k}")).collect();
        let single = self.places(k, "single");
        let state = self.places(k, "state-clone");
        single.len() == 1
            && names.contains(&single[0])
            && self.places(k, "everywhere-clone") == names
            && state.iter().map(|place| place.trim_end_matches('*')).eq(names.iter())
            && state.iter().filter(|place| place.ends_with('*')).count() == 1
            && !self.monitor(k).contains("Failed Resource Actions")
    }

    fn configure_resources(&self) {
        let file = self.lab.dir(1).join("run/resources.crm");
        std::fs::write(&file, RESOURCES).expect("write the resources");
        let said = self.lab.say(1, "crm --force configure load update /run/resources.crm");
        assert_eq!(said.code, 0, "crm configure: {}", said.text());
    }

    /// The shells and their sub-commands that ask the cluster engine.
    fn ask_the_shells(&self) {
        for (line, expected) in [
            ("crm status", "3 nodes configured"),
            ("pcs status", "3 nodes configured"),
            ("pcs status corosync", "n1 (local)"),
            ("pcs quorum status", "Quorate:          Yes"),
            ("pcs quorum config", "Options"),
            ("crm_node -l", "3 n3 member"),
            ("crm_node -p", "n1 n2 n3"),
            ("crm_node -q", "1"),
            ("crmadmin -S n2", "n2"),
            ("crm_verify -L", ""),
        ] {
            let said = self.lab.say(1, line);
            assert!(
                said.code == 0 && said.out.contains(expected),
                "{:?}: {line}: {}",
                self.kind,
                said.text()
            );
        }
    }

    /// Shutting the engine down is asked of its clients: while Pacemaker runs it says no.
    fn refuse_shutdown(&mut self) {
        let said = self.lab.say(2, "corosync-cfgtool -H");
        assert!(
            said.err.contains("Could not shutdown (error = 10)"),
            "{:?}: corosync-cfgtool -H while Pacemaker runs: {}",
            self.kind,
            said.text()
        );
        self.lab.assert_alive(2);
    }

    fn tell(mut self, kills: &[usize]) -> Vec<(String, Duration)> {
        self.step("three hosts online", |_| {}, |story| story.online(&[1, 2, 3], &[1, 2, 3]));
        self.step(
            "resources started",
            |story| story.configure_resources(),
            |story| story.runs_on(1, &[1, 2, 3]),
        );
        self.ask_the_shells();
        self.refuse_shutdown();

        let single = self.places(1, "single")[0].clone();
        let cut: usize = single[1..].parse().expect("a host's name");
        let rest: Vec<usize> = (1..=3).filter(|k| *k != cut).collect();
        let other = rest[0];
        self.step(
            "a host cut off: its resources run elsewhere",
            |story| story.lab.cut(cut),
            |story| story.online(&rest, &rest) && story.runs_on(other, &rest),
        );
        self.step(
            "without quorum it has stopped its own",
            |_| {},
            |story| {
                let text = story.monitor(cut);
                text.contains("partition WITHOUT quorum")
                    && ["single", "everywhere-clone", "state-clone"]
                        .iter()
                        .all(|resource| story.places(cut, resource).is_empty())
            },
        );
        self.step(
            "healed: three online, all resources run",
            |story| story.lab.heal(cut),
            |story| story.online(&[1, 2, 3], &[1, 2, 3]) && story.runs_on(other, &[1, 2, 3]),
        );
        for k in kills.iter().copied() {
            let rest: Vec<usize> = (1..=3).filter(|other| *other != k).collect();
            self.step(
                &format!("host {k}'s daemon killed: Pacemaker there notices, the others go on"),
                |story| {
                    story.lab.end(k, Signal::KILL);
                },
                |story| {
                    !story.monitor(k).contains("Online:")
                        && story.online(&rest, &rest)
                        && story.runs_on(rest[0], &rest)
                },
            );
            self.step(
                &format!("host {k}'s daemon started again: three online, all resources run"),
                |story| story.lab.start(k, story.kind),
                |story| story.online(&[1, 2, 3], &[1, 2, 3]) && story.runs_on(k, &[1, 2, 3]),
            );
        }
        self.step(
            "Pacemaker on host 3 ended: its resources run elsewhere",
            |story| {
                story.lab.say(3, "pkill -TERM -x pacemakerd");
                let said = story.pacemakers[2].finish(PATIENCE);
                assert_eq!(said.code, 0, "the end of Pacemaker on host 3: {}", said.text());
            },
            |story| story.online(&[1, 2], &[1, 2]) && story.runs_on(1, &[1, 2]),
        );
        // With no client against it the engine ends when asked.
        let said = self.lab.say(3, "corosync-cfgtool -H");
        assert_eq!(said.code, 0, "corosync-cfgtool -H without Pacemaker: {}", said.text());
        assert_eq!(self.lab.ended(3, PATIENCE).code(), Some(0));
        for k in 1..=2 {
            self.lab.assert_alive(k);
        }
        self.steps
    }
}

/// Pacemaker needs more packages than the rest of the tests.
fn pacemaker_is_here() -> bool {
    crate::have(&[
        ("/usr/sbin/pacemakerd", "pacemaker"),
        ("/usr/sbin/crm_mon", "pacemaker-cli-utils"),
        ("/usr/lib/ocf/resource.d/heartbeat/Dummy", "resource-agents"),
        ("/usr/sbin/crm", "crmsh"),
        ("/usr/sbin/pcs", "pcs"),
    ])
}

/// The pass for every day.
#[test]
fn pacemaker_runs_on_us() {
    if ready() && pacemaker_is_here() {
        Story::new(crate::both::ours(), Transport::Udpu).tell(&[2]);
    }
}

/// All of it on both daemons and both transports, with the times beside each other.
#[test]
#[ignore = "a quarter of an hour: scripts/pacemaker.sh"]
fn pacemaker_side_by_side() {
    if !(ready() && pacemaker_is_here()) {
        return;
    }
    let mut table = String::new();
    for transport in [Transport::Udpu, Transport::Udp] {
        let theirs = Story::new(Kind::Corosync, transport).tell(&[1, 2, 3]);
        let ours = Story::new(crate::both::ours(), transport).tell(&[1, 2, 3]);
        let _ = writeln!(table, "\n{:<66} {:>9} {:>9}", transport.word(), "Corosync", "annulusd");
        // Which host is cut differs; the steps do not.
        for ((name, theirs), (_, ours)) in theirs.iter().zip(&ours) {
            let _ =
                writeln!(table, "{name:<66} {:>7.1} s {:>7.1} s", theirs.as_secs_f64(), ours.as_secs_f64());
        }
        assert_eq!(theirs.len(), ours.len());
    }
    println!("{table}");
}
