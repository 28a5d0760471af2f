//! What happens to the networks of a lab: host K is `10.77.0.K` on network 0 by its interface `eth0`, `10.78.0.K` on
//! network 1 by `eth1`. Each network is three bridges, on the first of which all begin.

use super::{Lab, NETWORKS, run_in_net, wait_until};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

/// Bridges of a network.
pub(super) const BRIDGES: usize = 3;

/// The hub's end of the cable that leads to host `k` on a network.
pub(super) fn cable(k: usize, network: usize) -> String {
    format!("v{network}-{k}")
}

/// A bridge of a network.
pub(super) fn bridge(network: usize, bridge: usize) -> String {
    format!("br{network}-{bridge}")
}

/// Address of host `k` on a network.
pub(crate) fn address(k: usize, network: usize) -> String {
    format!("10.{}.0.{k}", 77 + network)
}

impl Lab {
    /// Takes host `k` off all networks.
    pub(crate) fn cut(&self, k: usize) {
        (0..NETWORKS).for_each(|network| self.unplug_link(k, network));
    }

    /// Puts host `k` on another bridge of each network: it hears those that are there too, and none of the others.
    pub(crate) fn apart(&self, k: usize) {
        self.place(k, 1);
    }

    /// Puts host `k` on the bridges of all again.
    pub(crate) fn heal(&self, k: usize) {
        (0..NETWORKS).for_each(|network| self.heal_link(k, network));
    }

    /// Puts host `k` on one of three bridges of each network: 0, where all begin, 1 or 2. Hosts on different bridges hear
    /// nothing of each other.
    pub(crate) fn place(&self, k: usize, to: usize) {
        (0..NETWORKS).for_each(|network| self.place_link(k, network, to));
    }

    fn place_link(&self, k: usize, network: usize, to: usize) {
        self.in_hub(&["ip", "link", "set", &cable(k, network), "master", &bridge(network, to)]);
    }

    /// Pulls the cable of host `k` out of one network: its interface has no carrier.
    pub(crate) fn unplug_link(&self, k: usize, network: usize) {
        self.in_hub(&["ip", "link", "set", &cable(k, network), "down"]);
    }

    /// Cuts host `k` off one network somewhere behind the first switch: its interface does not notice.
    pub(crate) fn cut_link(&self, k: usize, network: usize) {
        self.in_hub(&["bridge", "link", "set", "dev", &cable(k, network), "state", "0"]);
    }

    /// Ends what [`Lab::unplug_link`] and [`Lab::cut_link`] did.
    pub(crate) fn heal_link(&self, k: usize, network: usize) {
        self.place_link(k, network, 0);
        self.restore_link(k, network);
    }

    /// The same, and the cable stays on the bridge where it is.
    pub(crate) fn restore_link(&self, k: usize, network: usize) {
        self.in_hub(&["ip", "link", "set", &cable(k, network), "up"]);
        self.in_hub(&["bridge", "link", "set", "dev", &cable(k, network), "state", "3"]);
    }

    /// Takes a whole network away from everybody.
    pub(crate) fn cut_network(&self, network: usize) {
        // Each on its own would need as many bridges as hosts.
        for to in 0..BRIDGES {
            self.in_hub(&["ip", "link", "set", &bridge(network, to), "down"]);
        }
    }

    /// Ends what [`Lab::cut_network`] did.
    pub(crate) fn heal_network(&self, network: usize) {
        for to in 0..BRIDGES {
            self.in_hub(&["ip", "link", "set", &bridge(network, to), "up"]);
        }
    }

    /// Loses all that host `to` is sent on a network by host `from`; the other way nothing is lost.
    pub(crate) fn one_way(&self, from: usize, to: usize, network: usize) {
        self.filter_link(to, "input", &format!("iifname eth{network} ip saddr {}", address(from, network)));
    }

    /// Loses all that host `k` is sent on a network.
    pub(crate) fn deafen_link(&self, k: usize, network: usize) {
        self.filter_link(k, "input", &format!("iifname eth{network} meta l4proto udp"));
    }

    /// Loses all that host `k` sends on a network, behind its interface: sending works.
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

    /// Ends what [`Lab::one_way`], [`Lab::deafen_link`] and [`Lab::mute_link`] did, on all hosts.
    pub(crate) fn unfilter_links(&self) {
        for k in 1..=self.len() {
            self.must(k, "nft add table inet links && nft delete table inet links");
        }
    }

    /// Sets the largest packet that host `k`'s interface on a network takes, and what is behind it carries.
    pub(crate) fn mtu(&self, k: usize, network: usize, mtu: usize) {
        self.path_mtu(k, network, mtu);
        self.must(k, &format!("ip link set eth{network} mtu {mtu}"));
    }

    /// Sets the largest packet that comes through to host `k` and from it on a network: larger ones vanish, and no
    /// interface of any host and no ICMP message tells so.
    pub(crate) fn path_mtu(&self, k: usize, network: usize, mtu: usize) {
        self.in_hub(&["ip", "link", "set", &cable(k, network), "mtu", &mtu.to_string()]);
    }

    /// Makes the ways to host `k` narrow, with little room to wait: of many packets at once, some are lost. Whether this
    /// machine's kernel can.
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

    /// Ends what [`Lab::narrow`] did.
    pub(crate) fn widen(&self, k: usize) {
        for network in 0..NETWORKS {
            self.in_hub(&["tc", "qdisc", "del", "dev", &cable(k, network), "root"]);
        }
    }

    /// Lets hosts `a` and `b` hear nothing of each other that is sent to one address; everybody else still hears both.
    pub(crate) fn part(&self, a: usize, b: usize) {
        for (k, other) in [(a, b), (b, a)] {
            for network in 0..NETWORKS {
                let (address, interface) = (address(other, network), format!("eth{network}"));
                let mut words =
                    vec!["ip", "neigh", "replace", &address, "dev", &interface, "nud", "permanent"];
                // A hardware address that nobody has.
                words.extend(["lladdr", "02:00:00:00:00:99"]);
                run_in_net(self.host(k).holder.inside, &words);
            }
        }
    }

    /// Ends what [`Lab::part`] did.
    pub(crate) fn join(&self, a: usize, b: usize) {
        for (k, other) in [(a, b), (b, a)] {
            for network in 0..NETWORKS {
                let (address, interface) = (address(other, network), format!("eth{network}"));
                run_in_net(self.host(k).holder.inside, &["ip", "neigh", "del", &address, "dev", &interface]);
            }
        }
    }

    /// What host `k` counts of its links to other hosts: values by `nodeN.linkL.name`, all read at one moment.
    pub(crate) fn link_stats(&self, k: usize) -> BTreeMap<String, u64> {
        let text = self.say(k, "corosync-cmapctl -m stats stats.knet.node").out;
        let value = |line: &str| {
            let (key, value) = line.strip_prefix("stats.knet.")?.split_once(" (")?;
            Some((key.to_owned(), value.rsplit_once(" = ")?.1.parse().ok()?))
        };
        text.lines().filter_map(value).collect()
    }

    /// Waits until the links of `hosts`, as they tell themselves, are connected to each other and to nobody else, for
    /// `patience` at most.
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

    /// Waits until host `k` tells that its link to each of these hosts is connected, or is not.
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
