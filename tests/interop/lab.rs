//! Hosts on one machine: each has its own network, mount, host name and process namespaces, and all are on two
//! networks.
//!
//! Host K is `10.77.0.K/24` and `10.78.0.K/24`, named `nK`, with its own `/etc/corosync`, `/var/lib`, `/run` and
//! `/dev/shm`. Nothing here has a name in the system: the namespaces live as long as a holder process, and that lives
//! as long as its pipe to the test. So even a test that is killed by SIGKILL leaves no namespace, daemon or client
//! behind, only a folder that the next run removes.

mod cable;
mod impaired;
mod links;
mod namespace;
mod program;
mod settings;
mod transport;

pub(crate) use impaired::Impairment;
pub(crate) use links::address;
pub(crate) use program::{Program, Said};
pub(crate) use settings::Settings;
pub(crate) use transport::{CIPHERS, Crypto, HASHES, Knet, NETWORKS, Transport};

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Time limit, on a busy machine, for anything that otherwise takes seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The kind of daemon that a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This project's `annulusd`.
    Annulus,
    /// Debian's `corosync` of the system that the tests run on.
    Corosync,
    /// Debian 13's `corosync`, from a system of its own; see [`crate::trixie`].
    Trixie,
}

impl Kind {
    /// Whether it is Debian's Corosync, of either version.
    pub(crate) const fn is_corosync(self) -> bool {
        match self {
            Self::Annulus => false,
            Self::Corosync | Self::Trixie => true,
        }
    }
}

/// A process that keeps the namespaces of one host open.
struct Holder {
    child: Child,
    pipe: Option<ChildStdin>,
    /// Process id, seen from outside, of the first process inside the namespaces.
    inside: u32,
}

impl Holder {
    /// Runs `script` in fresh namespaces and keeps them until dropped.
    fn start(script: &str) -> Self {
        let mut child = Command::new("unshare")
            .args(["-n", "-m", "-u", "-p", "-f", "--kill-child", "--mount-proc", "--propagation", "private"])
            .args(["bash", "-c", &format!("set -e; {script}; echo ready; read -r _ || true")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (package util-linux) starts");
        let mut ready = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut ready).expect("read from the holder");
        assert_eq!(ready, "ready\n", "a host could not be made: its namespaces' script failed");
        let inside = only_child(child.id()).expect("the holder has its first process");
        let pipe = child.stdin.take();
        Self { child, pipe, inside }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.pipe.take());
        if wait_until(Duration::from_secs(20), || self.child.try_wait().is_ok_and(|s| s.is_some())).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A daemon that runs in a host.
struct Daemon {
    kind: Kind,
    nsenter: Child,
    pid: u32,
}

struct Host {
    holder: Holder,
    dir: PathBuf,
    daemon: Option<Daemon>,
}

/// A set of hosts on common networks; dropping it ends everything in them.
pub(crate) struct Lab {
    dir: PathBuf,
    hosts: Vec<Host>,
    hub: Holder,
    _turn: Option<Turn>,
}

/// A test's right to have labs. A test that measures runs alone, so that no other disturbs its figures. Tests that
/// compare outputs mostly wait, so two of them may run at a time.
struct Turn(usize);

/// Number of tests that may run at a time.
const TURNS: usize = 2;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Turn {
    fn take(count: usize) -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken =
            FREED.wait_while(taken, |taken| *taken + count > TURNS).unwrap_or_else(PoisonError::into_inner);
        *taken += count;
        Self(count)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        FREED.notify_all();
    }
}

impl Lab {
    /// Makes hosts 1 to `count`, while no other test runs.
    pub(crate) fn new(count: usize) -> Self {
        Self::with_turn(count, Some(Turn::take(TURNS)))
    }

    /// Makes hosts 1 to `count`, possibly beside another test.
    pub(crate) fn shared(count: usize) -> Self {
        Self::with_turn(count, Some(Turn::take(1)))
    }

    /// Makes two separate labs of the same size, for one test that drives both at the same time.
    pub(crate) fn pair(count: usize) -> (Self, Self) {
        let turn = Turn::take(1);
        let second = Self::with_turn(count, None);
        (Self::with_turn(count, Some(turn)), second)
    }

    fn with_turn(count: usize, turn: Option<Turn>) -> Self {
        sweep();
        let dir = std::env::temp_dir().join(format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        // Removes what an earlier process with this id left behind.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("make the lab's folder");
        let hub = Holder::start(
            &(0..NETWORKS)
                .flat_map(|network| (0..links::BRIDGES).map(move |at| links::bridge(network, at)))
                .fold("ip link set lo up".to_owned(), |script, bridge| {
                    script
                        + &format!(
                            "; ip link add {bridge} type bridge mcast_snooping 0; ip link set {bridge} up"
                        )
                }),
        );
        let hosts = (1..=count).map(|k| Host::new(&dir, k, hub.inside)).collect();
        let lab = Self { dir, hosts, hub, _turn: turn };
        lab.introduce();
        lab
    }

    /// Number of hosts.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Writes the same corosync.conf on every host. `totem` is further lines of the section `totem`.
    pub(crate) fn configure(&self, transport: Transport, totem: &str) {
        self.configure_with(&Settings::new(transport, totem, self.len()));
    }

    /// Writes a corosync.conf on every host.
    pub(crate) fn configure_with(&self, settings: &Settings) {
        for k in 1..=self.len() {
            self.configure_host(k, settings);
        }
    }

    /// Writes a corosync.conf on host `k` alone.
    pub(crate) fn configure_host(&self, k: usize, settings: &Settings) {
        let dir = self.dir(k);
        fs::write(dir.join("etc/corosync.conf"), settings.text(&dir.join("log/daemon.log")))
            .unwrap_or_else(|error| panic!("write the configuration of host {k}: {error}"));
        if settings.transport.crypto().is_some() {
            self.write_key(k, &settings.key());
        }
    }

    /// Gives host `k` a key file that only root may read, as corosync-keygen does.
    pub(crate) fn write_key(&self, k: usize, key: &[u8]) {
        let file = self.dir(k).join("etc/authkey");
        let _ = fs::remove_file(&file);
        fs::write(&file, key).expect("write the key");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).expect("guard the key");
    }

    /// Removes from host `k` what its daemon stored across runs.
    pub(crate) fn forget(&self, k: usize) {
        for part in ["lib/corosync", "lib/annulus"] {
            let part = self.dir(k).join(part);
            let _ = fs::remove_dir_all(&part);
            fs::create_dir_all(&part).expect("make the host's folders");
        }
    }

    fn host(&self, k: usize) -> &Host {
        &self.hosts[k - 1]
    }

    /// A command that will run inside host `k`. SIGINT and SIGQUIT get their default action: a shell that runs these
    /// tests in the background ignores both, and programs would inherit that.
    pub(crate) fn command(&self, k: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.host(k).holder.inside.to_string(), "-m", "-n", "-u", "-p", "--"])
            .args(["env", "--default-signal=INT,QUIT"])
            .arg(program);
        command
    }

    /// Runs a command inside host `k`, for at most two minutes. Returns exit status and standard output.
    pub(crate) fn run(&self, k: usize, words: &[&str]) -> (ExitStatus, String) {
        let output = self
            .command(k, "timeout")
            .args(["-k", "5", "120"])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("nsenter starts");
        (output.status, String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts host `k`'s daemon.
    pub(crate) fn start(&mut self, k: usize, kind: Kind) {
        self.start_by(k, kind, &[]);
    }

    /// Starts the daemon of host `k` through the program `by`, which must exec it (for example `prlimit`).
    pub(crate) fn start_by(&mut self, k: usize, kind: Kind, by: &[&str]) {
        let nsenter = self.launch(k, kind, by);
        self.launched(k, kind, nsenter);
        if kind != Kind::Annulus {
            self.let_it_form_a_ring(k);
        }
    }

    /// Starts on every host the daemon that is meant for it, without waiting for one before the next.
    pub(crate) fn start_together(&mut self, kind: impl Fn(usize) -> Kind) {
        let started: Vec<Child> = (1..=self.len()).map(|k| self.launch(k, kind(k), &[])).collect();
        for (k, nsenter) in (1..).zip(started) {
            self.launched(k, kind(k), nsenter);
        }
    }

    fn launch(&self, k: usize, kind: Kind, by: &[&str]) -> Child {
        assert!(self.host(k).daemon.is_none(), "host {k} has a daemon already");
        let out = fs::File::options()
            .create(true)
            .append(true)
            .open(self.host(k).dir.join("log/daemon.out"))
            .expect("open the daemon's output");
        let (program, options): (PathBuf, &[&str]) = match kind {
            Kind::Annulus => (annulusd(), &["-f", "-c", "/etc/corosync/corosync.conf"]),
            Kind::Corosync => ("corosync".into(), &["-f"]),
            Kind::Trixie => (crate::trixie::entrance(self.dir(k)), &["corosync", "-f"]),
        };
        let mut command = match by {
            [] => self.command(k, program),
            [first, rest @ ..] => {
                let mut command = self.command(k, first);
                command.args(rest).arg(program);
                command
            }
        };
        command.args(options);
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("clone the file"))
            .stderr(out)
            .spawn()
            .expect("nsenter starts")
    }

    /// Waits until the daemon exists that [`Lab::launch`] started.
    fn launched(&mut self, k: usize, kind: Kind, nsenter: Child) {
        let mut pid = None;
        let _ = wait_until(PATIENCE, || {
            pid = only_child(nsenter.id());
            pid.is_some()
        });
        let pid = pid.unwrap_or_else(|| panic!("host {k}: {kind:?} did not start\n{}", self.log_tail(k)));
        self.hosts[k - 1].daemon = Some(Daemon { kind, nsenter, pid });
    }

    /// When nodes of Corosync form their first rings at the same moment, one occasionally ends at an assertion of its
    /// own (totemsrp.c, orf_token_rtr), so the next one starts a little later. Not every daemon logs the line that is
    /// waited for.
    fn let_it_form_a_ring(&self, k: usize) {
        let log = self.host(k).dir.join("log/daemon.log");
        let _ = wait_until(Duration::from_secs(1), || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("ready to provide service"))
        });
    }

    /// Starts the same daemon on every host.
    pub(crate) fn start_all(&mut self, kind: Kind) {
        for k in 1..=self.len() {
            self.start(k, kind);
        }
    }

    /// Waits until the daemons of all hosts are in one ring.
    pub(crate) fn wait_for_one_ring(&self) {
        let members = self.len().to_string();
        let options = ["--group", "first", "--members", &members, "--count", "1"];
        let mut peers: Vec<Peer> =
            (1..=self.len()).map(|k| self.peer(k, "first", "order", &options)).collect();
        for peer in &mut peers {
            peer.succeed(PATIENCE);
        }
    }

    /// Process id of the daemon of host `k`, seen from outside.
    pub(crate) fn daemon_pid(&self, k: usize) -> u32 {
        self.host(k).daemon.as_ref().expect("the host runs a daemon").pid
    }

    /// Sends a signal to the daemon of host `k`, without waiting.
    pub(crate) fn signal(&self, k: usize, signal: Signal) {
        kill(self.daemon_pid(k), signal);
    }

    /// Stops the daemon of host `k` (SIGSTOP).
    pub(crate) fn pause(&self, k: usize) {
        let daemon = self.host(k).daemon.as_ref().expect("the host runs a daemon");
        kill(daemon.pid, Signal::STOP);
        // Its parent, nsenter, stops when the daemon does, with some delay. When it is continued, it continues the
        // daemon too.
        wait_for_state(daemon.nsenter.id(), 'T');
    }

    /// Continues the stopped daemon of host `k`.
    pub(crate) fn resume(&self, k: usize) {
        let daemon = self.host(k).daemon.as_ref().expect("the host runs a daemon");
        kill(daemon.pid, Signal::CONT);
        kill(daemon.nsenter.id(), Signal::CONT);
        // The parent waits for its child again.
        wait_for_state(daemon.nsenter.id(), 'S');
    }

    /// Whether host `k`'s daemon still runs.
    pub(crate) fn is_alive(&mut self, k: usize) -> bool {
        let daemon = self.hosts[k - 1].daemon.as_mut().expect("the host runs a daemon");
        daemon.nsenter.try_wait().expect("wait works").is_none()
    }

    /// Fails unless host `k`'s daemon still runs.
    pub(crate) fn assert_alive(&mut self, k: usize) {
        let daemon = self.hosts[k - 1].daemon.as_mut().expect("the host runs a daemon");
        let ended = daemon.nsenter.try_wait().expect("wait works");
        let kind = daemon.kind;
        assert!(ended.is_none(), "host {k}: {kind:?} ended: {ended:?}\n{}", self.log_tail(k));
    }

    /// Sends a signal to host `k`'s daemon and waits for its end.
    pub(crate) fn end(&mut self, k: usize, signal: Signal) -> ExitStatus {
        let mut daemon = self.hosts[k - 1].daemon.take().expect("the host runs a daemon");
        kill(daemon.pid, signal);
        let mut status = None;
        let outcome = wait_until(PATIENCE, || {
            status = daemon.nsenter.try_wait().expect("wait works");
            status.is_some()
        });
        if outcome.is_err() {
            kill(daemon.pid, Signal::KILL);
            let _ = daemon.nsenter.wait();
            panic!("host {k}: {:?} did not end on {signal:?}\n{}", daemon.kind, self.log_tail(k));
        }
        status.expect("waited for")
    }

    /// Kills the daemon of host `k`, if it has one.
    pub(crate) fn kill_daemon(&mut self, k: usize) {
        if let Some(mut daemon) = self.hosts[k - 1].daemon.take()
            && matches!(daemon.nsenter.try_wait(), Ok(None))
        {
            kill(daemon.pid, Signal::KILL);
            let _ = daemon.nsenter.wait();
        }
    }

    /// Waits until the daemon of host `k` ends by itself.
    pub(crate) fn ended(&mut self, k: usize, patience: Duration) -> ExitStatus {
        let mut daemon = self.hosts[k - 1].daemon.take().expect("the host runs a daemon");
        let mut status = None;
        let outcome = wait_until(patience, || {
            status = daemon.nsenter.try_wait().expect("wait works");
            status.is_some()
        });
        if outcome.is_err() {
            kill(daemon.pid, Signal::KILL);
            let _ = daemon.nsenter.wait();
            panic!("host {k}: {:?} still runs after {patience:?}\n{}", daemon.kind, self.log_tail(k));
        }
        status.expect("waited for")
    }

    /// Loses every ring datagram that host `k` sends; it still receives.
    pub(crate) fn silence(&self, k: usize) {
        self.filter(k, "output", "udp dport 5405-5412");
    }

    /// Lets host `k` receive no tokens of either kind, but everything else.
    pub(crate) fn lose_tokens(&self, k: usize) {
        // The kind is the fourth byte after the UDP header.
        self.filter(k, "input", "udp dport 5405 @th,88,8 { 0, 4 }");
    }

    /// Loses so many of 100 ring datagrams on their way to host `k`, by chance.
    pub(crate) fn lose(&self, k: usize, percent: u32) {
        self.filter(k, "input", &format!("udp dport 5405-5412 numgen random mod 100 < {percent}"));
    }

    /// Does something while so many of 100 ring datagrams are lost on their way to each host.
    pub(crate) fn while_losing<T>(&self, percent: u32, work: impl FnOnce() -> T) -> T {
        if percent == 0 {
            return work();
        }
        (1..=self.len()).for_each(|k| self.lose(k, percent));
        let done = work();
        (1..=self.len()).for_each(|k| self.unfilter(k));
        done
    }

    fn filter(&self, k: usize, hook: &str, what: &str) {
        let chain = format!("{{ type filter hook {hook} priority 0 ; policy accept ; }}");
        self.must(
            k,
            &format!(
                "nft add table inet lab && nft add chain inet lab {hook} '{chain}' && \
                 nft add rule inet lab {hook} '{what} drop'"
            ),
        );
    }

    /// Undoes [`Lab::silence`], [`Lab::lose_tokens`] and [`Lab::lose`].
    pub(crate) fn unfilter(&self, k: usize) {
        self.must(k, "nft delete table inet lab");
    }

    fn in_hub(&self, words: &[&str]) {
        run_in_net(self.hub.inside, words);
    }

    /// Records what all hosts send and receive into `file` until the result is dropped. From then on each host cuts what
    /// it sends in one message into datagrams itself, as a network card does.
    pub(crate) fn capture(&self, file: &Path) -> Capture {
        for k in 1..=self.len() {
            self.must(k, "ip link set dev eth0 gso_max_segs 1");
        }
        let mut command = Command::new("nsenter");
        // Each packet is recorded once, where it leaves its sender's link. All use one interface, so that dumpcap
        // keeps their order.
        command.args(["-t", &self.hub.inside.to_string(), "-n", "--", "dumpcap", "-q", "-B", "256"]);
        command.args(["-i", "any", "-f", "udp and inbound"]);
        let mut child = command
            .arg("-w")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        // dumpcap prints the file name once it listens.
        let mut heard = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while heard.read_line(&mut line).expect("read dumpcap's output") > 0 {
            if line.contains("File:") {
                break;
            }
        }
        assert!(line.contains("File:"), "dumpcap did not start: {line}");
        Capture { child, heard }
    }

    /// The folder of host `k`, with `etc`, `lib`, `run` and `log`; its path is the same inside and outside.
    pub(crate) fn dir(&self, k: usize) -> &Path {
        &self.host(k).dir
    }

    /// What the daemon of host `k` has logged; empty if there is no log yet.
    pub(crate) fn log(&self, k: usize) -> String {
        fs::read_to_string(self.host(k).dir.join("log/daemon.log")).unwrap_or_default()
    }

    /// The last lines of the daemon's log and output, for failure texts.
    pub(crate) fn log_tail(&self, k: usize) -> String {
        let mut text = String::new();
        for name in ["log/daemon.log", "log/daemon.out"] {
            if let Ok(bytes) = fs::read(self.host(k).dir.join(name)) {
                let all = String::from_utf8_lossy(&bytes);
                let lines: Vec<&str> = all.lines().collect();
                let _ = writeln!(text, "--- host {k} {name}");
                for line in &lines[lines.len().saturating_sub(40)..] {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
        text
    }

    /// Starts the libcpg client in host `k`, with its log in `NAME.log` in the host's folder.
    pub(crate) fn peer(&self, k: usize, name: &str, mode: &str, options: &[&str]) -> Peer {
        let log = self.host(k).dir.join(format!("{name}.log"));
        let mut command = self.command(k, crate::peer_binary());
        command.arg(mode).args(options);
        if mode == "order" {
            command.arg("--log").arg(&log);
        }
        Peer::start(format!("{name} on host {k}"), command, log)
    }

    /// Starts a program that measures, `cpg-peer` or `cpg_speed`, in host `k`.
    pub(crate) fn measure(&self, k: usize, program: &Path, mode: &str, options: &[&str]) -> Peer {
        let mut command = self.command(k, program);
        command.arg(mode).args(options);
        Peer::start(format!("{} {mode} on host {k}", program.display()), command, PathBuf::new())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for k in 1..=self.len() {
                eprint!("{}", self.log_tail(k));
            }
        }
        for host in &mut self.hosts {
            if let Some(daemon) = &mut host.daemon
                && matches!(daemon.nsenter.try_wait(), Ok(None))
            {
                kill(daemon.pid, Signal::KILL);
                // The process may have stopped together with the daemon.
                kill(daemon.nsenter.id(), Signal::CONT);
                let _ = daemon.nsenter.wait();
            }
        }
        self.hosts.clear();
        if std::env::var_os("ANNULUS_LAB_KEEP").is_some() {
            eprintln!("the lab's files are kept in {}", self.dir.display());
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Host {
    fn new(lab: &Path, k: usize, hub: u32) -> Self {
        let dir = lab.join(format!("n{k}"));
        for part in ["etc", "lib/corosync", "lib/annulus", "run/lock", "log"] {
            fs::create_dir_all(dir.join(part)).expect("make the host's folders");
        }
        fs::create_dir_all("/etc/corosync").expect("make /etc/corosync to mount on");
        let d = dir.display();
        let holder = Holder::start(&format!(
            "hostname n{k}; ip link set lo up; mount --bind {d}/etc /etc/corosync; mount --bind {d}/lib /var/lib; \
             mount --bind {d}/run /run; mount -t tmpfs -o size=2g tmpfs /dev/shm"
        ));
        let (mut outside, mut inside) = (String::new(), String::new());
        for network in 0..NETWORKS {
            let (cable, eth) = (links::cable(k, network), format!("eth{network}"));
            let bridge = links::bridge(network, 0);
            let _ = writeln!(outside, "link add {cable} type veth peer name {eth} netns {}", holder.inside);
            let _ = writeln!(outside, "link set {cable} master {bridge} up");
            let _ = writeln!(inside, "link set {eth} address {}", links::hardware(k, network));
            let _ = writeln!(inside, "addr add {}/24 dev {eth}\nlink set {eth} up", address(k, network));
        }
        inside.push_str("route add 224.0.0.0/4 dev eth0\n");
        batch_in_net(hub, &outside);
        batch_in_net(holder.inside, &inside);
        Self { holder, dir, daemon: None }
    }
}

/// A running recording; see [`Lab::capture`].
pub(crate) struct Capture {
    child: Child,
    heard: BufReader<std::process::ChildStderr>,
}

impl Capture {
    /// Ends the recording and returns what dumpcap reported about dropped packets.
    pub(crate) fn stop(mut self) -> String {
        kill(self.child.id(), Signal::INT);
        let mut rest = String::new();
        let _ = self.heard.read_to_string(&mut rest);
        let _ = self.child.wait();
        rest
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A libcpg client that runs in a host; `peer/` describes what it does and prints.
pub(crate) struct Peer {
    name: String,
    /// The file to which the client writes the delivered sequence.
    pub(crate) log: PathBuf,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Lines that arrived while another line was awaited.
    unread: VecDeque<String>,
    /// Number of members in the last view that it reported.
    members: usize,
    /// Number of views that it reported.
    views: usize,
}

impl Peer {
    fn start(name: String, mut command: Command, log: PathBuf) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        let (sender, lines) = channel();
        let out = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { name, log, child, stdin, lines, unread: VecDeque::new(), members: 0, views: 0 }
    }

    /// Waits for an output line that starts with `word`, and removes it; other lines are kept.
    pub(crate) fn wait_for(&mut self, word: &str, patience: Duration) -> String {
        match self.hear(word, patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("{}: no {word:?} within {patience:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => panic!("{}: ended before {word:?}", self.name),
        }
    }

    /// Waits for such a line, and returns an error if none comes within `patience`.
    pub(crate) fn hear(&mut self, word: &str, patience: Duration) -> Result<String, RecvTimeoutError> {
        if let Some(at) = self.unread.iter().position(|line| line.starts_with(word)) {
            return Ok(self.unread.remove(at).expect("just found"));
        }
        let deadline = Instant::now() + patience;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))?;
            if line.starts_with(word) {
                return Ok(line);
            }
            self.keep(line);
        }
    }

    fn keep(&mut self, line: String) {
        match line.strip_prefix("members ") {
            Some(count) => {
                self.members = count.parse().expect("a number");
                self.views += 1;
            }
            None => self.unread.push_back(line),
        }
    }

    fn read(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            self.keep(line);
        }
    }

    /// The number of views of its group that it has reported until now.
    pub(crate) fn views(&mut self) -> usize {
        self.read();
        self.views
    }

    /// Waits until its group has `count` members.
    pub(crate) fn wait_for_members(&mut self, count: usize, patience: Duration) {
        let outcome = wait_until(patience, || {
            self.read();
            self.members == count
        });
        assert!(outcome.is_ok(), "{}: {} members, not {count}, after {patience:?}", self.name, self.members);
    }

    /// Waits until each of these members, which share one group and ring, has been delivered everything that any of
    /// them sent.
    pub(crate) fn settle(peers: &mut [&mut Self]) {
        for peer in peers.iter_mut() {
            peer.tell("mark");
        }
        let count = peers.len();
        for peer in peers.iter_mut() {
            for _ in 0..count {
                peer.wait_for("marked ", PATIENCE);
            }
        }
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&mut self, word: &str) {
        if let Some(stdin) = &mut self.stdin {
            // The client may have ended already; its exit status is checked elsewhere.
            let _ = writeln!(stdin, "{word}");
        }
    }

    /// Waits until it ends successfully and returns its last line.
    pub(crate) fn result(&mut self, patience: Duration) -> String {
        self.succeed(patience);
        self.unread.extend(self.lines.iter());
        self.unread.pop_back().unwrap_or_else(|| panic!("{} said nothing", self.name))
    }

    /// As [`Peer::result`]; `None` if it gave up.
    pub(crate) fn result_if_any(&mut self, patience: Duration) -> Option<String> {
        let (code, _) = self.finish(patience);
        self.unread.extend(self.lines.iter());
        self.unread.pop_back().filter(|_| code == Some(0))
    }

    /// Number of messages that it has been delivered.
    pub(crate) fn delivered(&mut self) -> u64 {
        self.tell("count");
        let line = self.wait_for("count ", PATIENCE);
        line["count ".len()..].parse().expect("a number")
    }

    /// Waits until it ends; returns its exit code and its standard error.
    pub(crate) fn finish(&mut self, patience: Duration) -> (Option<i32>, String) {
        let mut status = None;
        let outcome = wait_until(patience, || {
            status = self.child.try_wait().expect("wait works");
            status.is_some()
        });
        if outcome.is_err() {
            let delivered = self.delivered();
            panic!("{}: did not end within {patience:?}; delivered so far: {delivered}", self.name);
        }
        let mut text = String::new();
        let _ = self.child.stderr.take().expect("piped").read_to_string(&mut text);
        (status.and_then(|s| s.code()), text)
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the client.
    pub(crate) fn kill(&mut self) {
        // The process may not exist yet. Once it has been waited for, its id may belong to another process.
        let mut pid = None;
        let _ = wait_until(PATIENCE, || {
            pid = only_child(self.child.id());
            pid.is_some() || !self.runs()
        });
        if self.runs()
            && let Some(pid) = pid
        {
            kill(pid, Signal::KILL);
        }
    }

    /// Waits until it ends successfully.
    pub(crate) fn succeed(&mut self, patience: Duration) {
        let (code, text) = self.finish(patience);
        assert_eq!(code, Some(0), "{} failed: {text}", self.name);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.kill();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon under test: the one built with the tests, or the one that the variable `ANNULUSD` names.
pub(crate) fn annulusd() -> PathBuf {
    std::env::var_os("ANNULUSD").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_annulusd")), PathBuf::from)
}

/// Waits until `done` returns true, checking every 2 ms. The error is the time that was waited.
pub(crate) fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> Result<(), Duration> {
    let deadline = Instant::now() + patience;
    while !done() {
        if Instant::now() > deadline {
            return Err(patience);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    // An error means that the process is already gone.
    let _ = kill_process(pid, signal);
}

/// Waits until a process is in this state, as ps(1) calls it, or gone.
fn wait_for_state(pid: u32, state: char) {
    let wanted = format!(") {state} ");
    let file = format!("/proc/{pid}/stat");
    let _ = wait_until(PATIENCE, || {
        fs::read_to_string(&file).map_or(true, |stat| stat.contains(&wanted) || stat.contains(") Z "))
    });
}

/// The only child of a process, once it has one.
fn only_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn run_in_net(inside: u32, words: &[&str]) {
    let outcome = try_in_net(inside, words);
    assert!(outcome.is_ok(), "{words:?}: {outcome:?}");
}

/// Runs a program in the network of a process; its complaint if it fails.
fn try_in_net(inside: u32, words: &[&str]) -> Result<(), String> {
    let output = Command::new("nsenter")
        .args(["-t", &inside.to_string(), "-n", "--"])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("nsenter starts");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Runs lines of ip(8).
fn batch_in_net(inside: u32, lines: &str) {
    let mut child = Command::new("nsenter")
        .args(["-t", &inside.to_string(), "-n", "--", "ip", "-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nsenter starts");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("ip reads its lines");
    assert!(child.wait().expect("wait works").success(), "ip -batch: {lines}");
}

const PREFIX: &str = "annulus-lab-";

/// Removes the folders of runs whose process has ended. (Their namespaces and daemons ended with the process.)
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let Some(Ok(pid)) = rest.split('-').next().map(str::parse::<u32>) else { continue };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
