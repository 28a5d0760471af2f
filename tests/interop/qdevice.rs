//! A quorum device: Debian's corosync-qdevice on two hosts and corosync-qnetd on a third (the arbiter), with
//! certificates.
//!
//! When the two hosts lose each other, the arbiter gives its vote to one side (algorithm ffsplit: the one with the
//! lowest node id), which stays quorate; the other side does not.

use crate::both::{PATIENCE, Side, compare};
use crate::lab::{Program, Settings, Transport};
use crate::{have, ready};
use rustix::process::Signal;
use std::time::Duration;

/// The arbiter takes long to give up a host: its heartbeat interval is 5 s here.
const LONG: Duration = Duration::from_secs(120);

const DEVICE: &str = "device {\n  model: net\n  votes: 1\n  timeout: 5000\n  sync_timeout: 10000\n  net {\n    tls: required\n    \
                      host: 10.77.0.3\n    algorithm: ffsplit\n  }\n}";

const STATE: &[&str] = &[
    "corosync-quorumtool -s",
    "corosync-quorumtool -s -p -oi",
    "corosync-quorumtool -l",
    "corosync-cmapctl quorum.",
];

/// Makes the certificates of the arbiter and of the cluster and copies them, as corosync-qdevice(8) describes.
fn certificates(side: &Side) {
    let lab = &side.lab;
    lab.must(
        3,
        "mkdir -p /etc/corosync/qnetd /run/corosync-qnetd && chown coroqnetd: /etc/corosync/qnetd /run/corosync-qnetd && \
         corosync-qnetd-certutil -i -G",
    );
    let carry = |from: (usize, &str), to: (usize, &str)| {
        let path = |(k, name): (usize, &str)| lab.dir(k).join("etc").join(name);
        std::fs::copy(path(from), path(to)).expect("carry a certificate");
    };
    for k in [1, 2] {
        lab.must(k, "mkdir -p /etc/corosync/qdevice/net /run/corosync-qdevice");
        carry((3, "qnetd/nssdb/qnetd-cacert.crt"), (k, "ca.crt"));
        lab.must(k, "corosync-qdevice-net-certutil -i -c /etc/corosync/ca.crt");
    }
    lab.must(1, "corosync-qdevice-net-certutil -r -n lab");
    carry((1, "qdevice/net/nssdb/qdevice-net-node.crq"), (3, "node.crq"));
    lab.must(3, "corosync-qnetd-certutil -s -c /etc/corosync/node.crq -n lab");
    carry((3, "qnetd/nssdb/cluster-lab.crt"), (1, "cluster.crt"));
    lab.must(1, "corosync-qdevice-net-certutil -M -c /etc/corosync/cluster.crt");
    carry((1, "qdevice/net/nssdb/qdevice-net-node.p12"), (2, "node.p12"));
    lab.must(2, "corosync-qdevice-net-certutil -m -c /etc/corosync/node.p12");
}

fn arbiter(side: &Side) -> Program {
    let user =
        ["setpriv", "--reuid", "coroqnetd", "--regid", "coroqnetd", "--clear-groups", "corosync-qnetd", "-f"];
    side.lab.spawn(3, &user)
}

fn device(side: &Side, k: usize) -> Program {
    side.lab.spawn(k, &["corosync-qdevice", "-f"])
}

fn wait_flags(side: &Side, k: usize, flags: &[&str], quorate: bool) {
    side.lab.until(k, "corosync-quorumtool -s", LONG, |said| {
        let line = said.out.lines().find(|line| line.starts_with("Flags:")).unwrap_or_default();
        (said.code == 0) == quorate
            && flags.iter().all(|flag| said.out.contains(flag))
            && line.contains("Qdevice")
    });
}

fn note_all(side: &mut Side, hosts: &[usize]) {
    for k in hosts {
        for line in STATE {
            side.note(*k, line);
        }
        // The output of the device's own tool, without times and addresses.
        side.note_with(*k, "corosync-qdevice-tool -s", |text| text);
    }
    let masked = |text: String| {
        let varies = ["Client address", "Ring ID"];
        let lines = text.lines().filter(|line| !varies.iter().any(|word| line.contains(word)));
        // Whether the last message to a host repeated its vote or said that nothing changed is chance; the vote
        // itself is not.
        lines.map(|line| line.replace("No change (", "ACK (")).collect::<Vec<_>>().join("\n")
    };
    side.note_with(3, "corosync-qnetd-tool -l", masked);
}

pub(crate) fn story(side: &mut Side) {
    side.state("no device yet");
    let settings = Settings::new(Transport::Udpu, "token: 2000", 2).quorum(DEVICE);
    side.begin(&settings, &[1, 2]);
    side.settle(&[1, 2]);
    for line in STATE {
        side.note(1, line);
    }
    certificates(side);
    let mut net = arbiter(side);
    let mut devices: Vec<Program> = [1, 2].map(|k| device(side, k)).into();
    for k in [1, 2] {
        wait_flags(side, k, &["Total votes:      3"], true);
        side.lab
            .until(k, "corosync-quorumtool -l -p -oi", LONG, |said| said.out.matches("A,V,").count() == 2);
    }
    side.state("both with the device");
    note_all(side, &[1, 2]);

    side.state("parted");
    side.lab.part(1, 2);
    side.settle_when(&[1], |text| text.contains("Total votes:      2"));
    side.settle_when(&[2], |text| text.contains("Activity blocked"));
    wait_flags(side, 1, &["Quorate:          Yes", "Total votes:      2"], true);
    wait_flags(side, 2, &["Quorate:          No", "A,NV"], false);
    note_all(side, &[1, 2]);

    side.state("together again");
    side.lab.join(1, 2);
    side.settle_when(&[1, 2], |text| text.contains("Total votes:      3"));
    for k in [1, 2] {
        side.lab
            .until(k, "corosync-quorumtool -l -p -oi", LONG, |said| said.out.matches("A,V,").count() == 2);
    }
    note_all(side, &[1, 2]);

    side.state("one host killed");
    side.lab.end(1, Signal::KILL);
    let end = devices[0].finish(LONG);
    side.keep("the device's end on the killed host", format!("exit code {}\n", end.code));
    side.settle_when(&[2], |text| text.contains("Total votes:      2"));
    wait_flags(side, 2, &["Quorate:          Yes"], true);
    note_all(side, &[2]);
    side.start(1);
    side.settle(&[1, 2]);
    devices[0] = device(side, 1);
    side.settle_when(&[1, 2], |text| text.contains("Total votes:      3"));
    for k in [1, 2] {
        side.lab
            .until(k, "corosync-quorumtool -l -p -oi", LONG, |said| said.out.matches("A,V,").count() == 2);
    }

    side.state("no arbiter");
    net.signal(Signal::TERM);
    let end = net.finish(PATIENCE);
    side.keep("the arbiter's end", format!("exit code {}\n", end.code));
    side.settle_when(&[1, 2], |text| text.contains("Total votes:      2"));
    for k in [1, 2] {
        side.lab
            .until(k, "corosync-quorumtool -l -p -oi", LONG, |said| said.out.matches("A,NV,").count() == 2);
        for line in STATE {
            side.note(k, line);
        }
    }

    side.state("no device any more");
    for (index, device) in devices.iter_mut().enumerate() {
        device.signal(Signal::TERM);
        let end = device.finish(PATIENCE);
        side.keep(&format!("the device's end on host {}", index + 1), format!("exit code {}\n", end.code));
    }
    side.lab.until(1, "corosync-quorumtool -l -p -oi", LONG, |said| said.out.matches("NR").count() == 2);
    for k in [1, 2] {
        for line in STATE {
            side.note(k, line);
        }
        side.note(k, "corosync-quorumtool -f");
    }
}

/// Whether the packages of the device, its arbiter and the certificate tools are here.
pub(crate) fn packages() -> bool {
    have(&[
        ("/usr/sbin/corosync-qdevice", "corosync-qdevice"),
        ("/usr/bin/corosync-qnetd", "corosync-qnetd"),
        ("/usr/bin/certutil", "libnss3-tools"),
    ])
}

#[test]
fn a_quorum_device_decides_alike() {
    if ready() && packages() {
        compare(3, story);
    }
}
