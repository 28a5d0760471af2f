//! Debian's unmodified Pacemaker on a cluster of three: the largest client of the engine, using every service at
//! once.
//!
//! The story is the same for both daemons: resources of three kinds are started; a host is cut off and comes back;
//! each host's daemon is killed in turn and started again, with Pacemaker restarted as systemd does; and the shells
//! crmsh and pcs are asked for the status. `scripts/interop.sh pacemaker` runs all of it on both daemons and both
//! transports and prints the times side by side. The default test is one pass on annulusd.

mod agents;
mod cluster;
mod failover;

pub(crate) use agents::{Action, Agents};
pub(crate) use cluster::{Cluster, RESOURCES};

use crate::lab::{Kind, Lab, PATIENCE, Transport};
use crate::ready;
use rustix::process::Signal;
use std::fmt::Write as _;
use std::time::Duration;

/// The story of one cluster, and the kind of daemon on its hosts.
struct Story {
    cluster: Cluster,
    kind: Kind,
}

impl Story {
    fn new(kind: Kind, transport: Transport) -> Self {
        let mut lab = Lab::shared(3);
        lab.configure(transport, "token: 2000");
        lab.start_all(kind);
        Self { cluster: Cluster::new(lab, format!("{kind:?}")), kind }
    }

    /// Runs the sub-commands of the shells that query the cluster engine.
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
            let said = self.cluster.lab.say(1, line);
            assert!(
                said.code == 0 && said.out.contains(expected),
                "{:?}: {line}: {}",
                self.kind,
                said.text()
            );
        }
    }

    /// A shutdown of the engine is put to its clients: while Pacemaker runs, it refuses.
    fn refuse_shutdown(&mut self) {
        let said = self.cluster.lab.say(2, "corosync-cfgtool -H");
        assert!(
            said.err.contains("Could not shutdown (error = 10)"),
            "{:?}: corosync-cfgtool -H while Pacemaker runs: {}",
            self.kind,
            said.text()
        );
        self.cluster.lab.assert_alive(2);
    }

    fn tell(mut self, kills: &[usize]) -> Vec<(String, Duration)> {
        let kind = self.kind;
        self.cluster.step("three hosts online", |_| {}, |cluster| cluster.online(&[1, 2, 3], &[1, 2, 3]));
        self.cluster.step(
            "resources started",
            |cluster| cluster.configure(RESOURCES),
            |cluster| cluster.runs_on(1, &[1, 2, 3]),
        );
        self.ask_the_shells();
        self.refuse_shutdown();

        let single = self.cluster.places(1, "single")[0].clone();
        let cut: usize = single[1..].parse().expect("a host's name");
        let rest: Vec<usize> = (1..=3).filter(|k| *k != cut).collect();
        let other = rest[0];
        self.cluster.step(
            "a host cut off: its resources run elsewhere",
            |cluster| cluster.lab.cut(cut),
            |cluster| cluster.online(&rest, &rest) && cluster.runs_on(other, &rest),
        );
        self.cluster.step(
            "without quorum it has stopped its own",
            |_| {},
            |cluster| {
                let text = cluster.monitor(cut);
                text.contains("partition WITHOUT quorum")
                    && ["single", "everywhere-clone", "state-clone"]
                        .iter()
                        .all(|resource| cluster.places(cut, resource).is_empty())
            },
        );
        self.cluster.step(
            "healed: three online, all resources run",
            |cluster| cluster.lab.heal(cut),
            |cluster| cluster.online(&[1, 2, 3], &[1, 2, 3]) && cluster.runs_on(other, &[1, 2, 3]),
        );
        for k in kills.iter().copied() {
            let rest: Vec<usize> = (1..=3).filter(|other| *other != k).collect();
            self.cluster.step(
                &format!("host {k}'s daemon killed: Pacemaker there notices, the others go on"),
                |cluster| {
                    cluster.lab.end(k, Signal::KILL);
                },
                |cluster| {
                    !cluster.monitor(k).contains("Online:")
                        && cluster.online(&rest, &rest)
                        && cluster.runs_on(rest[0], &rest)
                },
            );
            self.cluster.step(
                &format!("host {k}'s daemon started again: three online, all resources run"),
                |cluster| cluster.lab.start(k, kind),
                |cluster| cluster.online(&[1, 2, 3], &[1, 2, 3]) && cluster.runs_on(k, &[1, 2, 3]),
            );
        }
        self.cluster.step(
            "Pacemaker on host 3 ended: its resources run elsewhere",
            |cluster| {
                cluster.stop_pacemaker(3);
            },
            |cluster| cluster.online(&[1, 2], &[1, 2]) && cluster.runs_on(1, &[1, 2]),
        );
        // If no client objects, the engine ends when asked.
        let said = self.cluster.lab.say(3, "corosync-cfgtool -H");
        assert_eq!(said.code, 0, "corosync-cfgtool -H without Pacemaker: {}", said.text());
        assert_eq!(self.cluster.lab.ended(3, PATIENCE).code(), Some(0));
        for k in 1..=2 {
            self.cluster.lab.assert_alive(k);
        }
        self.cluster.steps
    }
}

/// Whether Pacemaker's packages are here, which the other tests do not need.
pub(crate) fn pacemaker_is_here() -> bool {
    crate::have(&[
        ("/usr/sbin/pacemakerd", "pacemaker"),
        ("/usr/sbin/crm_mon", "pacemaker-cli-utils"),
        ("/usr/lib/ocf/resource.d/heartbeat/Dummy", "resource-agents"),
        ("/usr/sbin/crm", "crmsh"),
        ("/usr/sbin/pcs", "pcs"),
    ])
}

/// The default pass on annulusd.
#[test]
fn pacemaker_runs_on_annulusd() {
    if ready() && pacemaker_is_here() {
        Story::new(crate::both::ours(), Transport::Udpu).tell(&[2]);
    }
}

/// Three hosts of annulusd on udpu with running resources.
fn three_with_resources() -> Cluster {
    let mut cluster = Story::new(crate::both::ours(), Transport::Udpu).cluster;
    cluster.step("three hosts online", |_| {}, |cluster| cluster.online(&[1, 2, 3], &[1, 2, 3]));
    cluster.step(
        "resources started",
        |cluster| cluster.configure(RESOURCES),
        |cluster| cluster.runs_on(1, &[1, 2, 3]),
    );
    cluster
}

/// Everything that a host sends is lost, but it still receives. The others run all resources. The host itself, whose
/// no-quorum-policy is `stop`, stops its own resources, whether or not it was the coordinator.
#[test]
fn a_host_that_nobody_hears_stops_its_resources() {
    if !(ready() && pacemaker_is_here() && crate::have(&[("/usr/sbin/nft", "nftables")])) {
        return;
    }
    let mut cluster = three_with_resources();
    let coordinator = cluster.coordinator();
    for (what, cut) in [("the coordinator", coordinator), ("another host", coordinator % 3 + 1)] {
        let rest = cluster.others(cut);
        cluster.step(
            &format!("{what} is not heard: its resources run elsewhere"),
            |cluster| cluster.lab.silence(cut),
            |cluster| cluster.online(&rest, &rest) && cluster.runs_on(rest[0], &rest),
        );
        cluster.step(
            "it has stopped its own",
            |_| {},
            |cluster| {
                cluster.monitor(cut).contains("partition WITHOUT quorum")
                    && cluster.all_places(cut).iter().all(Vec::is_empty)
            },
        );
        cluster.step(
            "it is heard again: three online, all resources run",
            |cluster| cluster.lab.unfilter(cut),
            |cluster| cluster.online(&[1, 2, 3], &[1, 2, 3]) && cluster.runs_on(rest[0], &[1, 2, 3]),
        );
    }
}

/// Tokens are lost everywhere, so that no host comes to a ring. Then none is quorate, and Pacemaker's messages wait,
/// even those to itself. On rings of their own the hosts stop their resources, and they start them when tokens arrive
/// again.
#[test]
fn hosts_that_form_no_ring_stop_their_resources() {
    if !(ready() && pacemaker_is_here() && crate::have(&[("/usr/sbin/nft", "nftables")])) {
        return;
    }
    let mut cluster = three_with_resources();
    cluster.step(
        "no tokens: each has stopped its resources",
        |cluster| (1..=3).for_each(|k| cluster.lab.lose_tokens(k)),
        |cluster| {
            (1..=3).all(|k| {
                cluster.monitor(k).contains("partition WITHOUT quorum")
                    && cluster.all_places(k).iter().all(Vec::is_empty)
            })
        },
    );
    cluster.step(
        "tokens again: three online, all resources run",
        |cluster| (1..=3).for_each(|k| cluster.lab.unfilter(k)),
        |cluster| cluster.online(&[1, 2, 3], &[1, 2, 3]) && cluster.runs_on(1, &[1, 2, 3]),
    );
}

/// Runs the story on both daemons and both transports, and prints the times side by side.
#[test]
#[ignore = "a quarter of an hour: scripts/interop.sh pacemaker"]
fn pacemaker_side_by_side() {
    if !(ready() && pacemaker_is_here()) {
        return;
    }
    let mut table = String::new();
    for transport in [Transport::Udpu, Transport::Udp] {
        let theirs = Story::new(Kind::Corosync, transport).tell(&[1, 2, 3]);
        let ours = Story::new(crate::both::ours(), transport).tell(&[1, 2, 3]);
        let _ = writeln!(table, "\n{:<66} {:>9} {:>9}", transport.word(), "Corosync", "annulusd");
        // Which host is cut off differs, but the steps are the same.
        for ((name, theirs), (_, ours)) in theirs.iter().zip(&ours) {
            let _ =
                writeln!(table, "{name:<66} {:>7.1} s {:>7.1} s", theirs.as_secs_f64(), ours.as_secs_f64());
        }
        assert_eq!(theirs.len(), ours.len());
    }
    println!("{table}");
}
