//! Other programs that run on a cluster engine, from Debian and unmodified: corosync-notifyd, dlm_controld, sbd.
//!
//! dlm_controld needs the kernel's `dlm` and configfs, and sbd needs a watchdog, which this machine may lack. Then
//! they must get as far as on Corosync, and the missing part is printed.

use crate::both::{PATIENCE, Side, compare};
use crate::lab::{Settings, Transport, wait_until};
use crate::{have, ready};
use rustix::process::Signal;
use std::fmt::Write as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

fn settings() -> Settings {
    Settings::new(Transport::Udpu, "token: 2000", 3)
}

/// A line of notifyd without the parts that differ between two runs: log words of libqb, addresses and process ids.
fn notified(line: &str) -> Option<String> {
    let line = line.strip_prefix("[notice] ")?;
    // The line reads: HOST[NODE] POINTER.PID.NAME is now connected to corosync
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if line.contains("connected") {
        let parts: Vec<String> = words[1].splitn(3, '.').map(str::to_owned).collect();
        if let [pointer, pid, name] = parts.as_slice() {
            assert!(pointer.starts_with("0x") && pid.parse::<u32>().is_ok(), "{line}");
            words[1] = format!("(pointer).(pid).{name}");
        }
    }
    Some(words.join(" "))
}

/// corosync-notifyd reports joins, leaves, quorum and clients.
fn notifies(side: &mut Side) {
    side.state("notifyd");
    side.begin(&settings(), &[1, 2]);
    side.settle(&[1, 2]);
    let mut notifyd = side.lab.spawn(1, &["corosync-notifyd", "-f", "-o", "-n"]);
    let lines = |word: &str| {
        let text = notifyd.all();
        text.lines().filter_map(notified).filter(|line| line.contains(word)).collect::<Vec<_>>()
    };
    notifyd.wait_for("quorum", PATIENCE, |text| text.contains("is now quorate"));
    side.start(3);
    notifyd.wait_for("join", PATIENCE, |text| text.contains("[3]") && text.contains(" joined"));
    side.settle(&[1, 2, 3]);
    side.lab.end(3, Signal::KILL);
    notifyd.wait_for("leave", PATIENCE, |text| text.contains("[3]") && text.contains(" left"));
    side.lab.end(2, Signal::TERM);
    notifyd.wait_for("loss of quorum", PATIENCE, |text| text.contains("lost quorum"));
    side.start(2);
    side.settle(&[1, 2]);
    let back = || lines("quorate").len() == 2;
    assert!(wait_until(PATIENCE, back).is_ok(), "no quorum again: {}", notifyd.all());
    // A client that stays for a while, so that its connection is always reported.
    let mut client = side.lab.spawn(1, &["corosync-quorumtool", "-m"]);
    let monitored = |word: &str| {
        let seen = || lines(word).iter().any(|line| line.contains(".corosync-quorum"));
        assert!(wait_until(PATIENCE, seen).is_ok(), "no word {word}: {}", notifyd.all());
    };
    monitored("is now connected");
    client.tell("q");
    drop(client);
    monitored("is now disconnected");
    // Quorum and members are reported through separate connections, so their order is chance.
    for (what, quorum) in [("quorum", true), ("members", false)] {
        let nodes = lines("").into_iter().filter(|line| !line.contains("connected"));
        let of: Vec<String> = nodes.filter(|line| line.contains("quor") == quorum).collect();
        side.keep(&format!("what it says of {what}"), of.join("\n"));
    }
    let mut clients: Vec<String> =
        lines("connected").into_iter().filter(|line| line.contains(".corosync-quorum")).collect();
    clients.sort();
    clients.dedup();
    side.keep("what it says of a client", clients.join("\n"));
    // Without the engine, notifyd ends.
    side.lab.end(1, Signal::KILL);
    let said = notifyd.finish(PATIENCE);
    side.keep("its end without a daemon", format!("exit code {}\n", said.code));
}

/// A line of dlm_controld without its time stamp.
fn unclocked(text: &str) -> String {
    let clock = |word: &str| word.parse::<u64>().is_ok();
    text.lines()
        .map(|line| match line.split_once(' ') {
            Some((word, rest)) if clock(word) => rest.to_owned(),
            _ => line.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Runs dlm_controld as far as the kernel permits.
fn locks(side: &mut Side) {
    side.state("dlm_controld");
    side.begin(&settings(), &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    let module = Path::new("/sys/module/dlm").exists();
    let configfs = Path::new("/sys/kernel/config/dlm").exists();
    println!("{}: dlm module: {module}, its configfs: {configfs}", side.name());
    let mut dlm = side.lab.spawn(1, &["dlm_controld", "-D"]);
    if module && configfs {
        // It stays connected, as a member of its own group.
        side.lab.until(1, "corosync-cpgtool -n", PATIENCE, |said| said.out.contains("dlm:controld"));
        dlm.signal(Signal::TERM);
    }
    let said = dlm.finish(PATIENCE);
    side.keep("dlm_controld -D", unclocked(&said.text()));
}

/// The system log of one program: a socket in the place of the one that syslog(3) writes to.
struct Log {
    socket: UnixDatagram,
    said: Vec<String>,
}

impl Log {
    /// Prepares a `/dev` with its own `/dev/log` for the sbd of host `k`. Returns the shell commands that must
    /// precede the program.
    fn new(side: &Side, k: usize) -> (Self, String) {
        let dev = side.lab.dir(k).join("run/dev");
        std::fs::create_dir_all(dev.join("shm")).expect("make a folder for devices");
        let socket = UnixDatagram::bind(dev.join("log")).expect("bind the log's socket");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("set a time-out");
        let mut before = String::new();
        for device in ["null", "zero", "random", "urandom"] {
            let _ = write!(before, "touch /run/dev/{device}; mount --bind /dev/{device} /run/dev/{device}; ");
        }
        // The real system log, if any, and the files that could reset the machine are out of reach.
        before.push_str("mount --rbind /dev/shm /run/dev/shm; mount --rbind /run/dev /dev; ");
        before
            .push_str("if [ -e /proc/sysrq-trigger ]; then mount --bind /dev/null /proc/sysrq-trigger; fi; ");
        (Self { socket, said: Vec::new() }, before)
    }

    /// Waits for a line that contains `words`.
    fn wait_for(&mut self, words: &str) {
        let mut datagram = [0; 4096];
        let outcome = wait_until(PATIENCE, || {
            if let Ok(length) = self.socket.recv(&mut datagram) {
                let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
                // The line reads: <PRIORITY>DATE sbd[PID]: WHAT
                self.said
                    .push(text.split_once("]: ").map_or(text.clone(), |(_, what)| what.trim().to_owned()));
            }
            self.said.iter().any(|line| line.contains(words))
        });
        assert!(outcome.is_ok(), "no {words:?} in the log:\n{}", self.said.join("\n"));
    }
}

/// The watcher of sbd for the cluster. It needs no real watchdog: it gets one that never fires, and the option `-Z`,
/// given twice, makes it report a reset instead of carrying it out.
fn fences(side: &mut Side) {
    side.state("sbd");
    side.begin(&settings(), &[1, 2, 3]);
    side.settle(&[1, 2, 3]);
    println!("{}: watchdog: {}", side.name(), Path::new("/dev/watchdog").exists());
    let (mut log, before) = Log::new(side, 1);
    let run = format!("{before} exec setpriv --bounding-set -sys_boot sbd -Z -Z -P -R -v -w /dev/null watch");
    // The program detaches once it is up; its watcher processes stay.
    let sbd = side.lab.spawn(1, &["unshare", "-m", "sh", "-c", &run]);
    log.wait_for("Connected to corosync (1 members)");
    log.wait_for("Servant cluster is healthy");
    side.lab.until(1, "corosync-cpgtool -n", PATIENCE, |said| said.out.contains("sbd:cluster"));
    side.note(1, "corosync-cpgtool -n");
    // The loss of a node causes no reset, but the loss of the engine does.
    side.lab.end(3, Signal::KILL);
    side.settle(&[1, 2]);
    assert_eq!(side.lab.must(1, "pgrep -c -f '^sbd: watcher: '").trim(), "2", "sbd ended: {}", sbd.all());
    assert!(!log.said.iter().any(|line| line.contains("fenced")), "{}", log.said.join("\n"));
    side.lab.end(1, Signal::KILL);
    log.wait_for("Cluster connection terminated");
    log.wait_for("Would have fenced");
    let mut said: Vec<String> =
        log.said.iter().filter(|line| line.starts_with("cluster:")).cloned().collect();
    said.sort();
    said.dedup();
    side.keep("the log of its cluster watcher", said.join("\n"));
    drop(sbd);
}

#[test]
fn notifyd_notifies_alike() {
    if ready() {
        compare(3, notifies);
    }
}

#[test]
fn dlm_controld_gets_as_far_as_on_corosync() {
    if ready() && have(&[("/usr/sbin/dlm_controld", "dlm-controld")]) {
        compare(3, locks);
    }
}

#[test]
fn sbd_watches_alike() {
    if ready() && have(&[("/usr/sbin/sbd", "sbd")]) {
        compare(3, fences);
    }
}
