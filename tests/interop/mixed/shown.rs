//! What Debian's tools show of knet's links in three states: all links up, one without carrier, and a host gone and
//! back. It must be the same as on Corosync alone.

use super::tell;
use crate::both::{PATIENCE, Side};
use crate::cmapctl::mask_values;
use crate::lab::{Settings, Transport};
use crate::ready;
use rustix::process::Signal;

/// Commands that are run on each host in each state.
const STATE: &[&str] = &[
    "corosync-cfgtool -s",
    "corosync-cfgtool -s -b",
    "corosync-cfgtool -n",
    "corosync-cfgtool -i 10.78.0.1 -s",
    "corosync-cfgtool -a 2",
    "corosync-cmapctl -m stats stats.knet. | grep -E '[.](enabled|connected|mtu) '",
];

fn show(side: &mut Side, state: &str, hosts: &[usize]) {
    side.state(state);
    for k in hosts {
        for line in STATE {
            side.note(*k, line);
        }
        side.note_with(*k, "corosync-cmapctl -m stats stats.knet.", mask_values);
    }
}

/// Waits until these hosts have all links to each other and have discovered the path MTUs.
fn whole(side: &Side, hosts: &[usize], links: usize) {
    for k in hosts {
        for link in 0..links {
            side.lab.wait_for_link(*k, hosts, link, true, PATIENCE);
        }
        side.lab.until(*k, "corosync-cmapctl -m stats stats.knet.", PATIENCE, |said| {
            let mtus = said.out.lines().filter(|line| line.contains(".mtu (u32)"));
            // The MTU that the lab's networks permit; before it is discovered, the value is far smaller.
            mtus.filter(|line| hosts.iter().any(|to| line.contains(&format!("node{to}.")))).all(|line| {
                line.rsplit(' ').next().and_then(|mtu| mtu.parse().ok()).is_some_and(|mtu: u32| mtu > 1300)
            })
        });
    }
    side.settle(hosts);
}

fn links(side: &mut Side) {
    let all = [1, 2, 3];
    let count = side.transport().links();
    let pings = "knet_ping_interval: 250\n    knet_ping_timeout: 1000";
    let settings = Settings::new(Transport::Udpu, "token: 3000", 3).interface(0, pings).interface(1, pings);
    side.state("begins");
    side.begin(&settings, &all);
    whole(side, &all, count);
    show(side, "all links", &all);

    if count > 1 {
        side.lab.unplug_link(2, 1);
        side.lab.wait_for_link(2, &all, 1, false, PATIENCE);
        for k in [1, 3] {
            side.lab.wait_for_link(k, &[2], 1, false, PATIENCE);
        }
        show(side, "host 2 without link 1", &all);
        side.lab.heal_link(2, 1);
        whole(side, &all, count);
        show(side, "all links again", &all);
    }

    side.lab.end(3, Signal::KILL);
    for k in [1, 2] {
        for link in 0..count {
            side.lab.wait_for_link(k, &[3], link, false, PATIENCE);
        }
    }
    side.settle(&[1, 2]);
    show(side, "host 3 is gone", &[1, 2]);
    side.start(3);
    whole(side, &all, count);
    show(side, "host 3 is back", &all);
    side.lab.end(1, Signal::TERM);
    for link in 0..count {
        side.lab.wait_for_link(2, &[1], link, false, PATIENCE);
    }
    side.settle(&[2, 3]);
    show(side, "host 1 has left", &[2]);
}

#[test]
fn links_are_shown_alike() {
    if ready() {
        let more =
            ["CAC/knet", "AAC/knet2", "CCA/knet2+none+sha512+active", "CAA/knet+aes128+sha1", "ACA/knet2+rr"];
        tell(3, &["ACA/knet2+aes256+sha256"], &more, links);
    }
}
