//! Hosts that run Pacemaker, on either kind of daemon.

use crate::lab::{Lab, PATIENCE, Program, wait_until};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// A single resource, a clone on every host, and a clone with one promoted instance.
pub(crate) const RESOURCES: &str = "property stonith-enabled=false no-quorum-policy=stop\n\
    primitive single ocf:heartbeat:Dummy op monitor interval=5s\n\
    primitive everywhere ocf:pacemaker:Dummy op monitor interval=10s\n\
    clone everywhere-clone everywhere\n\
    primitive state ocf:pacemaker:Stateful op monitor interval=10s role=Promoted op monitor interval=11s role=Unpromoted\n\
    clone state-clone state meta promotable=true\n";

/// The names of [`RESOURCES`] for `crm_resource`.
const NAMES: [&str; 3] = ["single", "everywhere-clone", "state-clone"];

/// pacemakerd, restarted when it fails, as its systemd unit says (`Restart=on-failure`, `SuccessExitStatus=100`).
const SUPERVISED: &str = "mkdir -p /var/lib/pacemaker/cib /var/lib/pacemaker/pengine /var/lib/pacemaker/cores \
    /var/lib/pacemaker/blackbox /var/lib/pcsd /run/crm /run/resource-agents && \
    chown -R hacluster:haclient /var/lib/pacemaker /run/crm && chmod 750 /var/lib/pacemaker /run/crm && \
    while :; do pacemakerd; code=$?; echo \"ended $code\"; case $code in 0|100) exit 0;; esac; sleep 1; done";

/// A cluster with Pacemaker and how long each step took.
pub(crate) struct Cluster {
    /// The lab with the hosts.
    pub(crate) lab: Lab,
    /// The name of each step and the time that it took.
    pub(crate) steps: Vec<(String, Duration)>,
    name: String,
    pacemakers: Vec<Option<Program>>,
}

impl Cluster {
    /// Starts Pacemaker on every host of a lab whose daemons are running. `name` precedes the lines that are printed.
    pub(crate) fn new(lab: Lab, name: String) -> Self {
        let pacemakers = (1..=lab.len()).map(|_| None).collect();
        let mut cluster = Self { lab, steps: Vec::new(), name, pacemakers };
        for k in 1..=cluster.lab.len() {
            cluster.start_pacemaker(k);
        }
        cluster
    }

    /// Starts Pacemaker on host `k`.
    pub(crate) fn start_pacemaker(&mut self, k: usize) {
        let log = format!("PCMK_logfile={}/pacemaker.log", self.lab.dir(k).join("log").display());
        let program = self.lab.spawn(k, &["env", "PCMK_logpriority=notice", &log, "sh", "-c", SUPERVISED]);
        self.pacemakers[k - 1] = Some(program);
    }

    /// Ends Pacemaker on host `k` as `systemctl stop pacemaker` does.
    pub(crate) fn stop_pacemaker(&mut self, k: usize) {
        self.lab.say(k, "pkill -TERM -x pacemakerd");
        let said = self.pacemakers[k - 1].take().expect("Pacemaker runs").finish(PATIENCE);
        assert_eq!(said.code, 0, "{}: the end of Pacemaker on host {k}: {}", self.name, said.text());
    }

    /// The numbers of all hosts.
    pub(crate) fn hosts(&self) -> Vec<usize> {
        (1..=self.lab.len()).collect()
    }

    /// The numbers of all hosts except `k`.
    pub(crate) fn others(&self, k: usize) -> Vec<usize> {
        self.hosts().into_iter().filter(|other| *other != k).collect()
    }

    /// Carries out `act`, waits until `done`, and notes how long that took.
    pub(crate) fn step(&mut self, name: &str, act: impl FnOnce(&mut Self), done: impl Fn(&Self) -> bool) {
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
        println!("{}: {name}: {:.1} s", self.name, took.as_secs_f64());
        if outcome.is_err() {
            let mut text = format!("{}: {name}: not within {PATIENCE:?}\n", self.name);
            for k in self.hosts() {
                let _ = writeln!(text, "host {k}: {}", self.lab.say(k, "crm_mon -1").text());
                let log = self.lab.dir(k).join("log");
                let tail = self.lab.say(k, &format!("tail -n 30 {}/pacemaker.log", log.display()));
                let _ = writeln!(text, "{}", tail.out);
                text.push_str(&self.lab.log_tail(k));
            }
            panic!("{text}");
        }
        self.steps.push((name.to_owned(), took));
    }

    /// The output of `crm_mon` on host `k`.
    pub(crate) fn monitor(&self, k: usize) -> String {
        self.lab.say(k, "crm_mon -1").out
    }

    /// Whether each of `hosts` shows that exactly `online` are online, with quorum, and that there is a coordinator.
    pub(crate) fn online(&self, hosts: &[usize], online: &[usize]) -> bool {
        let names: Vec<String> = online.iter().map(|k| format!("n{k}")).collect();
        let line = format!("Online: [ {} ]", names.join(" "));
        hosts.iter().all(|k| {
            let text = self.monitor(*k);
            text.contains(&line)
                && text.contains("partition with quorum")
                && !text.contains("Current DC: NONE")
        })
    }

    /// The host that coordinates the cluster (the DC), according to host 1.
    pub(crate) fn coordinator(&self) -> usize {
        let text = self.monitor(1);
        let found = self.hosts().into_iter().find(|k| text.contains(&format!("Current DC: n{k} ")));
        found.expect("a cluster with quorum has a coordinator")
    }

    /// Where a resource runs, according to host `k`: the names of hosts, with `*` after that of a promoted instance.
    pub(crate) fn places(&self, k: usize, resource: &str) -> Vec<String> {
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

    /// Where each of [`RESOURCES`] runs, according to host `k`.
    pub(crate) fn all_places(&self, k: usize) -> Vec<Vec<String>> {
        NAMES.iter().map(|name| self.places(k, name)).collect()
    }

    /// Whether all resources run on these hosts and on no other, according to host `k`.
    pub(crate) fn runs_on(&self, k: usize, hosts: &[usize]) -> bool {
        let names: Vec<String> = hosts.iter().map(|k| format!("n{k}")).collect();
        let places = self.all_places(k);
        let [single, everywhere, state] = places.as_slice() else { return false };
        single.len() == 1
            && names.contains(&single[0])
            && *everywhere == names
            && state.iter().map(|place| place.trim_end_matches('*')).eq(names.iter())
            && state.iter().filter(|place| place.ends_with('*')).count() == 1
            && !self.monitor(k).contains("Failed Resource Actions")
    }

    /// Loads lines of crmsh's configuration language on host 1.
    pub(crate) fn configure(&self, lines: &str) {
        let file = self.lab.dir(1).join("run/resources.crm");
        std::fs::write(&file, lines).expect("write the resources");
        let said = self.lab.say(1, "crm --force configure load update /run/resources.crm");
        assert_eq!(said.code, 0, "crm configure: {}", said.text());
    }
}
