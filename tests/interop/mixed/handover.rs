//! The daemon of each host is replaced by the other kind in turn, under Pacemaker and its running resources.
//!
//! This is the procedure of `docs/migration.md`, with the commands of systemd's units carried out by hand. There are
//! two ways to keep Pacemaker from acting on the host whose daemon is being replaced:
//!
//! - maintenance: Pacemaker leaves all resources alone; they keep running, on that host too;
//! - standby: Pacemaker first moves all resources off that host and goes on guarding the others.
//!
//! The test checks the actions that the resource agents logged: none at all in maintenance, and in standby no stop
//! except on the host being replaced. Meanwhile the other hosts send each other numbered messages.
//! `scripts/interop.sh handover` goes forth and back in both ways on each transport, including two encrypted links of
//! knet, and with two hosts, and prints how long each step took.

use super::Mix;
use crate::both::ours;
use crate::lab::{Kind, Lab, PATIENCE, Peer, Settings, Transport};
use crate::pacemaker::{Action, Agents, Cluster, RESOURCES, pacemaker_is_here};
use crate::ready;
use crate::sequence::{Sequence, assert_same};
use std::fmt::Write as _;
use std::time::Duration;

/// What Pacemaker does about the host whose daemon is being replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Maintenance,
    Standby,
}

impl Way {
    const fn word(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::Standby => "standby",
        }
    }
}

/// A cluster whose daemons are being replaced.
struct Handover {
    cluster: Cluster,
    agents: Agents,
    /// Sequence number of the newest ring.
    ring: u64,
}

impl Handover {
    /// A cluster of this mix with running resources. `quorum` is further lines of that section.
    fn begin(mix: &Mix, quorum: &str) -> Self {
        let mut lab = Lab::shared(mix.len());
        lab.configure_with(&Settings::new(mix.transport, "token: 3000", mix.len()).quorum(quorum));
        let agents = Agents::cover(&lab);
        mix.start(&mut lab);
        let mut cluster = Cluster::new(lab, mix.to_string());
        cluster.step(
            "all hosts online",
            |_| {},
            |cluster| cluster.online(&cluster.hosts(), &cluster.hosts()),
        );
        cluster.step(
            "resources started",
            // Running resources stay where they are; otherwise a host that comes back would attract resources.
            |cluster| cluster.configure(&format!("{RESOURCES}rsc_defaults resource-stickiness=100\n")),
            |cluster| cluster.hosts().iter().all(|k| cluster.runs_on(*k, &cluster.hosts())),
        );
        let mut handover = Self { cluster, agents, ring: 0 };
        handover.see_ring();
        handover.rest();
        assert!(handover.agents.take(&handover.cluster.lab).iter().any(|action| action.what == "start"));
        handover
    }

    /// Waits until Pacemaker has nothing left to do.
    fn rest(&self) {
        self.cluster.lab.must(1, "crm_resource --wait --timeout=50");
    }

    /// Checks that the ring's sequence number has risen.
    fn see_ring(&mut self) {
        let ring = ring(&self.cluster.lab, 1, self.cluster.lab.len());
        let number = ring.as_deref().and_then(number_of).expect("all hosts are on one ring");
        assert!(number > self.ring, "ring {ring:?} after {:x}", self.ring);
        self.ring = number;
    }

    /// Replaces the daemon of host `k` by one of kind `to`.
    fn replace(&mut self, k: usize, to: Kind, way: Way) {
        let others = self.cluster.others(k);
        let places = self.cluster.all_places(others[0]);
        let stream = Stream::start(&self.cluster.lab, &others);
        let label = format!("host {k} to {to:?}, {}", way.word());

        let kept = others.clone();
        match way {
            Way::Maintenance => self.cluster.step(
                &format!("{label}: entered"),
                |cluster| maintain(cluster, k, true),
                |cluster| maintained(cluster, true),
            ),
            Way::Standby => self.cluster.step(
                &format!("{label}: entered, the host is empty"),
                |cluster| drop(cluster.lab.must(k, &format!("crm_standby --node n{k} --update on"))),
                |cluster| cluster.runs_on(k, &kept),
            ),
        }
        self.cluster.step(
            &format!("{label}: Pacemaker and the old daemon ended, the others have quorum"),
            |cluster| {
                cluster.stop_pacemaker(k);
                stop_daemon(cluster, k);
            },
            |cluster| {
                kept.iter().all(|other| quorate(&cluster.lab, *other, kept.len()))
                    && cluster.online(&kept, &kept)
            },
        );
        self.cluster.step(
            &format!("{label}: the new daemon is on the ring"),
            |cluster| cluster.lab.start(k, to),
            one_ring,
        );
        self.see_ring();
        self.cluster.step(
            &format!("{label}: Pacemaker started, it knows of all that runs"),
            |cluster| cluster.start_pacemaker(k),
            |cluster| match way {
                Way::Maintenance => knows(cluster, &places),
                Way::Standby => {
                    let line = format!("Node n{k}: standby");
                    cluster.hosts().iter().all(|host| cluster.monitor(*host).contains(&line))
                }
            },
        );
        self.cluster.step(
            &format!("{label}: left, all resources run"),
            |cluster| match way {
                Way::Maintenance => maintain(cluster, k, false),
                Way::Standby => drop(cluster.lab.must(k, &format!("crm_standby --node n{k} --update off"))),
            },
            |cluster| {
                let all = cluster.hosts();
                cluster.online(&all, &all)
                    && maintained(cluster, false)
                    && all.iter().all(|host| cluster.runs_on(*host, &all))
            },
        );
        self.rest();
        let delivered = stream.end();
        println!("{label}: {delivered} messages among the others, none lost");

        let actions = self.agents.take(&self.cluster.lab);
        match way {
            Way::Maintenance => {
                assert_eq!(actions, [], "{label}: nothing was to be done to any resource");
                assert_eq!(self.cluster.all_places(k), places, "{label}: where everything runs");
            }
            Way::Standby => {
                let ends = |action: &&Action| matches!(action.what.as_str(), "stop" | "demote");
                let stopped: Vec<&Action> = actions.iter().filter(ends).collect();
                assert!(!stopped.is_empty(), "{label}: the host in hand was to be emptied");
                assert!(stopped.iter().all(|action| action.host == k), "{label}: {actions:#?}");
            }
        }
    }

    /// Replaces the daemon of every host in turn.
    fn replace_all(&mut self, to: Kind, way: Way) {
        for k in self.cluster.hosts() {
            self.replace(k, to, way);
        }
    }
}

/// Ends a daemon as `systemctl stop` does with the unit of either kind.
fn stop_daemon(cluster: &mut Cluster, k: usize) {
    cluster.lab.must(k, "corosync-cfgtool -H --force");
    let status = cluster.lab.ended(k, PATIENCE);
    assert_eq!(status.code(), Some(0), "the end of host {k}'s daemon");
}

/// Sets or ends maintenance mode of the whole cluster, with a command on host `k`.
fn maintain(cluster: &Cluster, k: usize, on: bool) {
    // A crmsh command would read the whole configuration and write it back, which may undo changes made in between.
    cluster.lab.must(k, &format!("crm_attribute --type crm_config --name maintenance-mode --update {on}"));
}

/// Whether every host knows that maintenance mode is on or off.
fn maintained(cluster: &Cluster, on: bool) -> bool {
    cluster.hosts().iter().all(|k| {
        let text = cluster.monitor(*k);
        text.contains("Resource management is DISABLED") == on && text.contains("unmanaged") == on
    })
}

/// Whether every host is online and knows that the resources run in these places.
fn knows(cluster: &Cluster, places: &[Vec<String>]) -> bool {
    let all = cluster.hosts();
    cluster.online(&all, &all) && all.iter().all(|k| cluster.all_places(*k) == places)
}

fn one_ring(cluster: &Cluster) -> bool {
    let count = cluster.lab.len();
    let first = ring(&cluster.lab, 1, count);
    first.is_some() && cluster.hosts().iter().all(|k| ring(&cluster.lab, *k, count) == first)
}

/// The ring that host `k` is on, if it has `nodes` nodes.
fn ring(lab: &Lab, k: usize, nodes: usize) -> Option<String> {
    let text = lab.say(k, "corosync-quorumtool -s").out;
    let field = |name| text.lines().find_map(|line: &str| Some(line.strip_prefix(name)?.trim().to_owned()));
    (field("Nodes:")? == nodes.to_string()).then_some(())?;
    field("Ring ID:")
}

/// The sequence number of a ring such as `1.2a`.
fn number_of(ring: &str) -> Option<u64> {
    u64::from_str_radix(ring.split_once('.')?.1, 16).ok()
}

/// Whether host `k` is quorate on a ring of `nodes` nodes.
fn quorate(lab: &Lab, k: usize, nodes: usize) -> bool {
    ring(lab, k, nodes).is_some()
        && lab.say(k, "corosync-quorumtool -s").out.contains("Quorate:          Yes")
}

/// A stream of numbered messages among some hosts.
struct Stream {
    peers: Vec<Peer>,
}

impl Stream {
    fn start(lab: &Lab, hosts: &[usize]) -> Self {
        let members = hosts.len().to_string();
        let options = [
            "--group",
            "stream",
            "--members",
            &members,
            "--count",
            "1000000000",
            "--max",
            "2000",
            "--pause-us",
            "5000",
            "--finish",
            "no",
            "--deadline",
            "900",
        ];
        let mut peers: Vec<Peer> = hosts.iter().map(|k| lab.peer(*k, "stream", "order", &options)).collect();
        for peer in &mut peers {
            peer.wait_for_members(hosts.len(), PATIENCE);
        }
        Self { peers }
    }

    /// Ends the stream, checks what was delivered, and returns the number of messages.
    fn end(mut self) -> usize {
        let mut each: Vec<&mut Peer> = self.peers.iter_mut().collect();
        Peer::settle(&mut each);
        for peer in &mut self.peers {
            peer.tell("stop");
            peer.succeed(PATIENCE);
        }
        let count = self.peers.len();
        let logs: Vec<Sequence> = self.peers.iter().map(|peer| Sequence::read(&peer.log)).collect();
        // The clients were not stopped at the same message, so the common part is compared.
        let common = logs.iter().map(|log| log.since_view_of(count).len()).min().expect("a peer");
        for log in &logs {
            let (first, this) = (logs[0].since_view_of(count), log.since_view_of(count));
            assert_same((&logs[0].name, &first[..common]), (&log.name, &this[..common]));
            assert_eq!(log.check_fifo().len(), count, "{}: not all sent", log.name);
        }
        logs[0].messages().count()
    }
}

/// A mix with the same kind of daemon on all hosts.
fn all_of(kind: Kind, hosts: usize, transport: Transport) -> Mix {
    Mix { kinds: vec![kind; hosts], transport }
}

fn can() -> bool {
    ready() && pacemaker_is_here()
}

/// The default pass: from Corosync to annulusd, host by host.
#[test]
fn pacemaker_is_handed_over() {
    if can() {
        Handover::begin(&all_of(Kind::Corosync, 3, Transport::Udpu), "")
            .replace_all(Kind::Annulus, Way::Maintenance);
    }
}

/// Forth and back, with both ways of keeping Pacemaker from acting.
#[test]
#[ignore = "several minutes: scripts/interop.sh handover"]
fn forth_and_back() {
    if !can() {
        return;
    }
    for transport in [Transport::Udpu, Transport::Udp] {
        let mut handover = Handover::begin(&all_of(Kind::Corosync, 3, transport), "");
        for way in [Way::Maintenance, Way::Standby] {
            handover.replace_all(ours(), way);
            handover.replace_all(Kind::Corosync, way);
        }
        print(&format!("three hosts, {transport}"), &handover.cluster.steps);
    }
}

/// With two hosts, one is enough while the daemon of the other is replaced.
#[test]
#[ignore = "minutes: scripts/interop.sh handover"]
fn two_hosts_forth_and_back() {
    if !can() {
        return;
    }
    for transport in [Transport::Udpu, Transport::SEALED] {
        let mut handover = Handover::begin(&all_of(Kind::Corosync, 2, transport), "two_node: 1");
        for way in [Way::Maintenance, Way::Standby] {
            handover.replace_all(ours(), way);
            handover.replace_all(Kind::Corosync, way);
        }
        print(&format!("two hosts, {transport}"), &handover.cluster.steps);
    }
}

/// The most common knet configuration: two links, encrypted.
#[test]
#[ignore = "several minutes: scripts/interop.sh handover"]
fn two_encrypted_links_forth_and_back() {
    if !can() {
        return;
    }
    let mut handover = Handover::begin(&all_of(Kind::Corosync, 3, Transport::SEALED), "");
    let told = handover.cluster.lab.must(1, "corosync-cfgtool -s");
    assert!(told.contains("transport knet") && told.contains("10.78.0.1"), "{told}");
    for way in [Way::Maintenance, Way::Standby] {
        handover.replace_all(ours(), way);
        handover.replace_all(Kind::Corosync, way);
    }
    print(&format!("three hosts, {}", Transport::SEALED), &handover.cluster.steps);
}

fn print(title: &str, steps: &[(String, Duration)]) {
    let mut table = format!("\n{title}\n");
    for (name, took) in steps {
        let _ = writeln!(table, "{name:<94} {:>6.1} s", took.as_secs_f64());
    }
    println!("{table}");
}
