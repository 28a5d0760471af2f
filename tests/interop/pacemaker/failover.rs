//! How long it takes until a resource runs elsewhere after its host has failed: cut off, frozen, its daemon killed,
//! powered off, its link flapping. On annulusd and on Corosync, each with its defaults. The failed host is by turns one
//! of those that do not and the one that does coordinate the cluster (the DC); in the second case Pacemaker elects
//! another one first.
//!
//! `scripts/interop.sh failover` runs it. `ANNULUS_FAILOVER_RUNS` (10) is the number of runs of each kind and host;
//! `ANNULUS_FAILOVER_ONLY` are words, and failures and daemons whose names contain none of them are left out;
//! `ANNULUS_FAILOVER_TOTEM` are further lines of section `totem` for annulusd, separated by semicolons.

use super::Cluster;
use super::pacemaker_is_here;
use crate::lab::{Kind, Lab, PATIENCE, Transport, wait_until};
use crate::side_by_side::median;
use crate::{number, ready};
use rustix::process::Signal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The resource that is to run elsewhere: one that starts and stops in no time.
const RESOURCE: &str = "property stonith-enabled=false no-quorum-policy=stop\n\
    primitive single ocf:heartbeat:Dummy op monitor interval=30s\n";

/// How a host fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Nothing passes between it and the others.
    Cut,
    /// Its daemon gets SIGKILL.
    Killed,
    /// All its processes end at once, and it is cut off.
    PoweredOff,
    /// All its daemons stop, and nothing passes. Unlike a host that is only cut off, it takes no part of the processors
    /// that all hosts of the lab share while the others go on without it.
    Frozen,
    /// Its link goes down and up again every 100 ms for a second, and stays down.
    Flapping,
}

impl Failure {
    const ALL: [Self; 5] = [Self::Cut, Self::Frozen, Self::Killed, Self::PoweredOff, Self::Flapping];

    const fn name(self) -> &'static str {
        match self {
            Self::Cut => "host cut off",
            Self::Frozen => "host frozen",
            Self::Killed => "daemon killed",
            Self::PoweredOff => "host powered off",
            Self::Flapping => "link flapping, then down",
        }
    }

    fn happens(self, cluster: &mut Cluster, k: usize) {
        match self {
            Self::Cut => cluster.lab.cut(k),
            Self::Frozen => {
                cluster.lab.cut(k);
                cluster.lab.pause(k);
                cluster.lab.must(k, "pkill -STOP '^pacemaker'");
            }
            Self::Killed => drop(cluster.lab.end(k, Signal::KILL)),
            Self::PoweredOff => {
                cluster.lab.cut(k);
                // All processes of the host but the one that keeps its namespaces; the shell that says so too.
                cluster.lab.say(k, "kill -KILL -1");
            }
            Self::Flapping => {
                for _ in 0..5 {
                    cluster.lab.cut(k);
                    std::thread::sleep(Duration::from_millis(100));
                    cluster.lab.heal(k);
                    std::thread::sleep(Duration::from_millis(100));
                }
                cluster.lab.cut(k);
            }
        }
    }

    fn is_repaired(self, cluster: &mut Cluster, k: usize, kind: Kind) {
        // A host that is back sooner would not have been lost by the configured time-out, and lengthens the one in force.
        std::thread::sleep(Duration::from_secs(6));
        if self != Self::Killed {
            cluster.lab.heal(k);
        }
        if self == Self::Frozen {
            cluster.lab.must(k, "pkill -CONT '^pacemaker'");
            cluster.lab.resume(k);
        }
        if matches!(self, Self::Killed | Self::PoweredOff) {
            if self == Self::PoweredOff {
                cluster.lab.kill_daemon(k);
            }
            cluster.lab.start(k, kind);
        }
        if self == Self::PoweredOff {
            cluster.start_pacemaker(k);
        }
    }
}

/// How long it took until the survivors were on a ring of their own, and until the resource ran.
#[derive(Clone, Copy, Debug)]
struct Took {
    /// Whether the failed host was the DC.
    dc: bool,
    ring: Duration,
    resource: Duration,
}

/// Where the resource keeps its state on host `k`; the file exists while it runs there.
fn state_of(lab: &Lab, k: usize) -> PathBuf {
    lab.dir(k).join("run/resource-agents/Dummy-single.state")
}

/// The number of rings that the daemon of host `k` has logged.
fn rings(lab: &Lab, k: usize) -> usize {
    let formed = |line: &&str| line.contains("ew membership") && line.contains("was formed");
    lab.log(k).lines().filter(formed).count()
}

/// Moves the resource to the DC, or to another host. Returns the host.
fn place(cluster: &mut Cluster, dc: bool) -> usize {
    let coordinator = cluster.coordinator();
    let wanted = if dc { coordinator } else { cluster.others(coordinator)[0] };
    let name = format!("n{wanted}");
    if cluster.places(1, "single") != [name.clone()] {
        cluster.lab.must(1, &format!("crm_resource --resource single --move --node {name}"));
        let on = move |cluster: &Cluster| cluster.places(1, "single") == [name.clone()];
        cluster.step("the resource moves", |_| {}, on);
        cluster.lab.must(1, "crm_resource --resource single --clear");
        std::thread::sleep(Duration::from_secs(1));
    }
    wanted
}

fn run(cluster: &mut Cluster, failure: Failure, kind: Kind, dc: bool) -> Took {
    let failed = place(cluster, dc);
    let rest = cluster.others(failed);
    let before = rings(&cluster.lab, rest[0]);
    let begun = Instant::now();
    failure.happens(cluster, failed);
    let mut ring = None;
    let outcome = wait_until(PATIENCE, || {
        if ring.is_none() && rings(&cluster.lab, rest[0]) > before {
            ring = Some(begun.elapsed());
        }
        rest.iter().any(|k| state_of(&cluster.lab, *k).exists())
    });
    let resource = begun.elapsed();
    assert!(outcome.is_ok(), "{kind:?}: {}: the resource does not run elsewhere", failure.name());
    failure.is_repaired(cluster, failed, kind);
    let all = cluster.hosts();
    cluster.step(
        "three hosts online again, the resource runs on one",
        |_| {},
        |cluster| {
            let running = all.iter().filter(|k| state_of(&cluster.lab, **k).exists()).count();
            cluster.online(&all, &all) && running == 1 && cluster.places(1, "single").len() == 1
        },
    );
    // The members say what they need, and Pacemaker comes to rest.
    std::thread::sleep(Duration::from_secs(5));
    Took { dc, ring: ring.unwrap_or(resource), resource }
}

#[test]
#[ignore = "two hours: scripts/interop.sh failover runs it"]
fn a_resource_runs_elsewhere_soon_after_its_host_failed() {
    if !(ready() && pacemaker_is_here()) {
        return;
    }
    let runs = number("ANNULUS_FAILOVER_RUNS").unwrap_or(10).max(1);
    let ours = std::env::var("ANNULUS_FAILOVER_TOTEM").unwrap_or_default();
    let only = std::env::var("ANNULUS_FAILOVER_ONLY").unwrap_or_default();
    let wanted = |all: &[&str]| {
        let named: Vec<&str> =
            only.split(' ').filter(|word| all.iter().any(|name| name.contains(word))).collect();
        move |name: &str| named.is_empty() || named.iter().any(|word| name.contains(word))
    };
    let failures = wanted(&Failure::ALL.map(Failure::name));
    let daemons = wanted(&["Annulus", "Corosync"]);
    let mut table =
        "| failure | daemon | elsewhere, s: median (worst) | of it until the ring, s: median (worst) | Pacemaker's, s \
                     | elsewhere, s: median (worst), if the host was the DC | Pacemaker's, s |\n\
                     |---|---|---|---|---|---|---|\n"
            .to_owned();
    for (kind, totem) in [(Kind::Annulus, ours.replace(';', "\n")), (Kind::Corosync, String::new())] {
        if !daemons(&format!("{kind:?}")) {
            continue;
        }
        let mut lab = Lab::new(3);
        lab.configure(Transport::Udpu, &totem);
        lab.start_all(kind);
        let mut cluster = Cluster::new(lab, format!("{kind:?}"));
        let all = cluster.hosts();
        cluster.step("three hosts online", |_| {}, |cluster| cluster.online(&all, &all));
        cluster.configure(RESOURCE);
        cluster.step("the resource runs", |_| {}, |cluster| cluster.places(1, "single").len() == 1);
        std::thread::sleep(Duration::from_secs(5));
        for failure in Failure::ALL.into_iter().filter(|failure| failures(failure.name())) {
            let took: Vec<Took> =
                (0..2 * runs).map(|turn| run(&mut cluster, failure, kind, turn % 2 == 1)).collect();
            let seconds = |dc: Option<bool>, of: fn(&Took) -> Duration| -> Vec<f64> {
                let of_these = took.iter().filter(|took| dc.is_none_or(|dc| took.dc == dc));
                of_these.map(|took| of(took).as_secs_f64()).collect()
            };
            let spread = |all: Vec<f64>| {
                let worst = all.iter().copied().fold(0.0, f64::max);
                format!("{:.2} ({worst:.2})", median(all))
            };
            let own = |dc| median(seconds(Some(dc), |took| took.resource - took.ring));
            let line = format!(
                "| {} | {kind:?} | {} | {} | {:.2} | {} | {:.2} |\n",
                failure.name(),
                spread(seconds(Some(false), |took| took.resource)),
                spread(seconds(None, |took| took.ring)),
                own(false),
                spread(seconds(Some(true), |took| took.resource)),
                own(true),
            );
            print!("{line}");
            table.push_str(&line);
        }
    }
    println!("{table}");
}
