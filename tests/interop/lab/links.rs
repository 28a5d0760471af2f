//! Operations on the networks of a lab. Host K is `10.77.0.K` on network 0, through its interface `eth0`, and
//! `10.78.0.K` on network 1, through `eth1`. Each network consists of three bridges; at the start all hosts are on
//! the first one.

use super::{Lab, NETWORKS, batch_in_net, run_in_net, try_in_net, wait_until};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

/// Number of bridges per network.
pub(super) const BRIDGES: usize = 3;

/// Name of the hub's end of the cable that leads to host `k` on a network.
pub(super) fn cable(k: usize, network: usize) -> String {
    format!("v{network}-{k}")
}

/// Name of a bridge of a network.
pub(super) fn bridge(network: usize, bridge: usize) -> String {
    format!("br{network}-{bridge}")
}

/// Address of host `k` on a network.
pub(crate) fn address(k: usize, network: usize) -> String {
    format!("10.{}.0.{k}", 77 + network)
}

/// Hardware address of host `k` on a network.
pub(super) fn hardware(k: usize, network: usize) -> String {
    format!("02:00:00:00:{network:02x}:{k:02x}")
}

/// Entries of neighbours that the kernel keeps for all namespaces together, unless they are permanent
/// (`net.ipv4.neigh.default.gc_thresh3`). What goes to others is lost.
const NEIGHBOURS: usize = 1024;

impl Lab {
    /// Tells all hosts each other's hardware addresses if there are too many for the kernel to find out: then no ring
    /// would ever form, of whichever daemon.
    pub(super) fn introduce(&self) {
        if NETWORKS * self.len() * self.len() < NEIGHBOURS {
            return;
        }
        for k in 1..=self.len() {
            let mut lines = String::new();
            for (network, other) in
                (0..NETWORKS).flat_map(|network| (1..=self.len()).map(move |other| (network, other)))
            {
                if other != k {
                    let _ = writeln!(
                        lines,
                        "neigh replace {} lladdr {} dev eth{network} nud permanent",
                        address(other, network),
                        hardware(other, network)
                    );
                }
            }
            batch_in_net(self.host(k).holder.inside, &lines);
        }
    }

    /// Takes host `k` off all networks.
    pub(crate) fn cut(&self, k: usize) {
        (0..NETWORKS).for_each(|network| self.unplug_link(k, network));
    }

    /// Puts host `k` on another bridge of each network, where it hears only the hosts on the same bridge.
    pub(crate) fn apart(&self, k: usize) {
        self.place(k, 1);
    }

    /// Puts host `k` back on the common bridges.
    pub(crate) fn heal(&self, k: usize) {
        (0..NETWORKS).for_each(|network| self.heal_link(k, network));
    }

    /// Puts host `k` on one of the three bridges of each network: 0, where all begin, 1 or 2. Hosts on different
    /// bridges do not hear each other.
    pub(crate) fn place(&self, k: usize, to: usize) {
        (0..NETWORKS).for_each(|network| self.place_link(k, network, to));
    }

    fn place_link(&self, k: usize, network: usize, to: usize) {
        self.in_hub(&["ip", "link", "set", &cable(k, network), "master", &bridge(network, to)]);
    }

    /// Unplugs the cable of host `k` from one network: its interface loses the carrier.
    pub(crate) fn unplug_link(&self, k: usize, network: usize) {
        self.in_hub(&["ip", "link", "set", &cable(k, network), "down"]);
    }

    /// Cuts host `k` off one network behind the first switch: its interface does not notice.
    pub(crate) fn cut_link(&self, k: usize, network: usize) {
        self.in_hub(&["bridge", "link", "set", "dev", &cable(k, network), "state", "0"]);
    }

    /// Undoes [`Lab::unplug_link`] and [`Lab::cut_link`], and puts the host on the common bridge.
    pub(crate) fn heal_link(&self, k: usize, network: usize) {
        self.place_link(k, network, 0);
        self.restore_link(k, network);
    }

    /// Undoes [`Lab::unplug_link`] and [`Lab::cut_link`], but the cable stays on the bridge where it is.
    pub(crate) fn restore_link(&self, k: usize, network: usize) {
        self.in_hub(&["ip", "link", "set", &cable(k, network), "up"]);
        // The kernel tells the bridge of a carrier that is there again after up to a second.
        let cable = cable(k, network);
        let words = ["bridge", "link", "set", "dev", &cable, "state", "3"];
        let outcome = wait_until(Duration::from_secs(10), || try_in_net(self.hub.inside, &words).is_ok());
        assert!(outcome.is_ok(), "{words:?} fails");
    }

    /// Cuts all hosts off a network.
    pub(crate) fn cut_network(&self, network: usize) {
        // To separate every host from all others would need as many bridges as hosts.
        for to in 0..BRIDGES {
            self.in_hub(&["ip", "link", "set", &bridge(network, to), "down"]);
        }
    }

    /// Undoes [`Lab::cut_network`].
    pub(crate) fn heal_network(&self, network: usize) {
        for to in 0..BRIDGES {
            self.in_hub(&["ip", "link", "set", &bridge(network, to), "up"]);
        }
    }

    /// Loses everything that host `from` sends to host `to` on a network; nothing is lost in the other direction.
    pub(crate) fn one_way(&self, from: usize, to: usize, network: usize) {
        self.filter_link(to, "input", &format!("iifname eth{network} ip saddr {}", address(from, network)));
    }

    /// Loses everything that is sent to host `k` on a network.
    pub(crate) fn deafen_link(&self, k: usize, network: usize) {
        self.filter_link(k, "input", &format!("iifname eth{network} meta l4proto udp"));
    }

    /// Loses everything that host `k` sends on a network, but behind its interface, so that sending succeeds.
    pub(crate) fn mute_link(&self, k: usize, network: usize) {
        for other in (1..=self.len()).filter(|other| *other != k) {
            self.one_way(k, other, network);
        }
    }

    fn filter_link(&self, k: usize, hook: &str, what: &str) {
        let chain = format!("{{ type filter hook {hook} priority 0 ; policy accept ; }}");
        self.must(
            k,
            &format!(
                "nft add table inet links && nft add chain inet links {hook} '{chain}' && \
                 nft add rule inet links {hook} '{what} drop'"
            ),
        );
    }

    /// Undoes [`Lab::one_way`], [`Lab::deafen_link`] and [`Lab::mute_link`] on all hosts.
    pub(crate) fn unfilter_links(&self) {
        for k in 1..=self.len() {
            self.must(k, "nft add table inet links && nft delete table inet links");
        }
    }

    /// Sets the MTU of host `k`'s interface on a network and of the cable behind it.
    pub(crate) fn mtu(&self, k: usize, network: usize, mtu: usize) {
        self.path_mtu(k, network, mtu);
        self.must(k, &format!("ip link set eth{network} mtu {mtu}"));
    }

    /// Sets the largest packet that passes to and from host `k` on a network. Larger ones are lost, and neither an
    /// interface nor an ICMP message reports it.
    pub(crate) fn path_mtu(&self, k: usize, network: usize, mtu: usize) {
        self.in_hub(&["ip", "link", "set", &cable(k, network), "mtu", &mtu.to_string()]);
    }

    /// Gives the paths to host `k` a low rate and a short queue, so that some of many packets at once are lost.
    /// Returns whether this machine's kernel can do that.
    pub(crate) fn narrow(&self, k: usize) -> bool {
        (0..NETWORKS).all(|network| {
            let cable = cable(k, network);
            let words = ["-n", "--", "tc", "qdisc", "add", "dev", &cable, "root", "tbf"];
            let output = Command::new("nsenter")
                .args(["-t", &self.hub.inside.to_string()])
                .args(words)
                .args(["rate", "20mbit", "burst", "6000", "limit", "12000"])
                .output()
                .expect("nsenter starts");
            output.status.success()
        })
    }

    /// Undoes [`Lab::narrow`].
    pub(crate) fn widen(&self, k: usize) {
        for network in 0..NETWORKS {
            self.in_hub(&["tc", "qdisc", "del", "dev", &cable(k, network), "root"]);
        }
    }

    /// Makes hosts `a` and `b` lose what they send to each other by unicast; all other hosts still hear both.
    pub(crate) fn part(&self, a: usize, b: usize) {
        for (k, other) in [(a, b), (b, a)] {
            for network in 0..NETWORKS {
                let (address, interface) = (address(other, network), format!("eth{network}"));
                let mut words =
                    vec!["ip", "neigh", "replace", &address, "dev", &interface, "nud", "permanent"];
                // A hardware address that no interface has.
                words.extend(["lladdr", "02:00:00:00:00:99"]);
                run_in_net(self.host(k).holder.inside, &words);
            }
        }
    }

    /// Undoes [`Lab::part`].
    pub(crate) fn join(&self, a: usize, b: usize) {
        for (k, other) in [(a, b), (b, a)] {
            for network in 0..NETWORKS {
                let (address, interface) = (address(other, network), format!("eth{network}"));
                run_in_net(self.host(k).holder.inside, &["ip", "neigh", "del", &address, "dev", &interface]);
            }
        }
    }

    /// The counters of host `k`'s links to other hosts: values by `nodeN.linkL.name`, all read at one moment.
    pub(crate) fn link_stats(&self, k: usize) -> BTreeMap<String, u64> {
        let text = self.say(k, "corosync-cmapctl -m stats stats.knet.node").out;
        let value = |line: &str| {
            let (key, value) = line.strip_prefix("stats.knet.")?.split_once(" (")?;
            Some((key.to_owned(), value.rsplit_once(" = ")?.1.parse().ok()?))
        };
        text.lines().filter_map(value).collect()
    }

    /// Waits, for at most `patience`, until the links of `hosts` are shown as connected to each other and to no other
    /// host.
    pub(crate) fn links_settle(&self, hosts: &[usize], patience: Duration) {
        let as_it_should_be = |(key, connected): (&String, &u64)| {
            let Some((node, name)) = key.strip_prefix("node").and_then(|rest| rest.split_once('.')) else {
                return true;
            };
            let member = node.parse().is_ok_and(|node: usize| hosts.contains(&node));
            !name.ends_with(".connected") || *connected == u64::from(member)
        };
        let settled = || hosts.iter().all(|k| self.link_stats(*k).iter().all(as_it_should_be));
        let _ = wait_until(patience, || {
            let done = settled();
            if !done {
                std::thread::sleep(Duration::from_millis(100));
            }
            done
        });
    }

    /// Waits until host `k` shows its link to each of these hosts as connected (`connected` is true) or not.
    pub(crate) fn wait_for_link(
        &self,
        k: usize,
        to: &[usize],
        link: usize,
        connected: bool,
        patience: Duration,
    ) {
        let mut stats = BTreeMap::new();
        let outcome = wait_until(patience, || {
            stats = self.link_stats(k);
            let is = |other: &usize| stats.get(&format!("node{other}.link{link}.connected"));
            let done =
                to.iter().filter(|other| **other != k).all(|other| is(other) == Some(&u64::from(connected)));
            if !done {
                std::thread::sleep(Duration::from_millis(50));
            }
            done
        });
        assert!(
            outcome.is_ok(),
            "host {k}: link {link} to {to:?} is not what it should be (connected: {connected}) after {patience:?}\n\
             {stats:?}\n{}{}",
            self.say(k, "corosync-cfgtool -n").text(),
            self.log_tail(k)
        );
    }
}
