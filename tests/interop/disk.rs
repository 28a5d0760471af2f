//! A state directory that fails under a running ring: the ring goes on with all nodes, and the log says what is
//! wrong, where, what can be done, and when the directory works again.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::lab::{Kind, Lab, Settings, Transport, wait_until};
use crate::ready;

const PATIENCE: Duration = Duration::from_secs(120);
const DIR: &str = "/var/lib/corosync";

/// A fault, how it is repaired, and what the log must say about both; `None` means that the log need not say
/// anything.
struct Trouble {
    name: &'static str,
    begin: &'static str,
    end: &'static str,
    says: Option<&'static str>,
}

const TROUBLES: [Trouble; 4] = [
    Trouble {
        name: "full",
        begin: "cat /dev/zero > /var/lib/corosync/fill 2>/dev/null; ! echo more > /var/lib/corosync/more",
        end: "rm /var/lib/corosync/fill",
        says: None,
    },
    Trouble {
        name: "read-only",
        begin: "mount -o remount,ro /var/lib/corosync",
        end: "mount -o remount,rw /var/lib/corosync",
        says: Some("mount that file system so that it can be written to"),
    },
    Trouble {
        name: "removed",
        begin: "umount -l /var/lib/corosync; rm -rf /var/lib/corosync",
        end: "test -s /var/lib/corosync/ringid_1",
        says: Some("was removed under this node; it was made again"),
    },
    Trouble {
        name: "replaced by a file",
        begin: "umount -l /var/lib/corosync; rm -rf /var/lib/corosync; touch /var/lib/corosync",
        end: "rm /var/lib/corosync; mkdir /var/lib/corosync",
        says: Some("look after that file system and its disk"),
    },
];

/// Waits until all three hosts are quorate on one ring of three, and returns its id.
fn one_ring(lab: &Lab) -> String {
    let mut rings = Vec::new();
    let all_say = || {
        rings.clear();
        for k in 1..=3 {
            let said = lab.say(k, "corosync-quorumtool -s");
            let line = |name: &str| {
                said.out
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap_or_default()
                    .trim()
                    .to_owned()
            };
            if line("Nodes:") != "3" || line("Quorate:") != "Yes" {
                return false;
            }
            rings.push(line("Ring ID:"));
        }
        rings.iter().all(|ring| *ring == rings[0])
    };
    assert!(wait_until(PATIENCE, all_say).is_ok(), "no ring of three hosts");
    rings[0].clone()
}

/// The state directory of the first of three hosts fails. The others restart one after the other, which needs ring
/// ids that the first host, the representative, has not reserved yet: it must neither be absent nor split the ring.
/// Each ring must have a new id, also when the first host restarts after its directory is repaired.
#[test]
fn a_state_directory_that_fails_does_not_split_the_ring() {
    if !ready() {
        return;
    }
    for trouble in &TROUBLES {
        let mut lab = Lab::shared(3);
        lab.configure_with(&Settings::new(Transport::Udpu, "token: 1000", 3));
        lab.must(1, &format!("mount -t tmpfs -o size=64k tmpfs {DIR}"));
        lab.start_all(Kind::Annulus);
        let mut rings = vec![one_ring(&lab)];
        lab.must(1, trouble.begin);
        for k in [3, 2, 3, 3] {
            lab.end(k, Signal::KILL);
            lab.start(k, Kind::Annulus);
            rings.push(one_ring(&lab));
        }
        let log = lab.dir(1).join("log/daemon.log");
        let log = || fs::read_to_string(&log).unwrap_or_default();
        let (name, says) = (trouble.name, trouble.says);
        if let Some(says) = says {
            let said = wait_until(PATIENCE, || log().contains(says));
            assert!(said.is_ok(), "{name}: nothing is said of it\n{}", log());
            let lines = log().lines().filter(|line| line.contains("Storing the reservation")).count();
            assert!(lines < 12, "{name}: {lines} lines\n{}", log());
        }
        lab.must(1, trouble.end);
        if log().contains("Storing the reservation") {
            let well = wait_until(PATIENCE, || log().contains("Storing works again"));
            assert!(well.is_ok(), "{name}: it is mended, and nothing is said\n{}", log());
        } else {
            assert_ne!(name, "read-only");
            assert_ne!(name, "replaced by a file");
        }
        lab.end(1, Signal::KILL);
        lab.start(1, Kind::Annulus);
        rings.push(one_ring(&lab));
        let mut once = rings.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), rings.len(), "{name}: a ring id came twice: {rings:?}");
    }
}
