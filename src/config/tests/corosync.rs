//! Compares annulus with Corosync itself: for valid and invalid files, verdict and error text must be the same.

use std::fs;
use std::process::Command;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;

use super::*;

/// The result of `corosync -t` or of annulus for a file: success, or the first error.
type Verdict = Result<(), String>;

pub(super) struct Referee {
    directory: tempfile::TempDir,
}

impl Referee {
    /// Finds Corosync. `None`, with the reason on standard output, if it is not installed; with `CI=true` that is a
    /// failure.
    pub(super) fn find() -> Option<Self> {
        match Command::new("corosync").arg("-v").output() {
            Ok(output) if output.status.success() => Some(Self { directory: tempfile::tempdir().unwrap() }),
            other => {
                let may_lack = std::env::var_os("CI").is_none_or(|ci| ci != "true");
                assert!(may_lack, "no corosync to ask: {other:?}");
                println!("skipped: no corosync to ask ({other:?})");
                None
            }
        }
    }

    /// Corosync's exit status, `None` if it aborted, and its output for a file.
    pub(super) fn ask(&self, path: &Path) -> (Option<i32>, String) {
        let output = Command::new("corosync").arg("-t").arg("-c").arg(path).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Compares the verdicts on one file, which has the same text and path for both.
    pub(super) fn compare(&self, text: &[u8]) -> Result<(), String> {
        let path = self.directory.path().join("c.conf");
        fs::write(&path, text).unwrap();
        let (status, said) = self.ask(&path);
        let theirs: Verdict = match status {
            Some(0) => Ok(()),
            // Corosync aborts on an invalid unsigned number, so there is nothing to compare.
            None => return Ok(()),
            Some(_) => Err(first_complaint(&said)),
        };
        let ours: Verdict = match Config::load_on(&path, &REAL) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.message),
        };
        // annulus refuses encryption on a transport without it at once, Corosync only after it has read the key.
        let in_clear = ours.as_ref().is_err_and(|ours| ours.contains("only valid for the Knet transport"));
        // 3.1.7 aborts on these values, or takes them modulo 2^64.
        let unsigned = ours.as_ref().is_err_and(|ours| ours.contains("expected to be unsigned integer"));
        if theirs == ours || unsigned || (in_clear && theirs.is_err()) {
            return Ok(());
        }
        Err(format!("corosync: {theirs:?}\nannulus:  {ours:?}\n{}", String::from_utf8_lossy(text)))
    }
}

/// The first line of level error without its prefix; without log lines the first line with any text.
fn first_complaint(said: &str) -> String {
    let logged = said.lines().find_map(|line| {
        let (head, text) = line.split_once("] ")?;
        head.contains(" error ").then(|| text.to_owned())
    });
    logged.unwrap_or_else(|| said.lines().next().unwrap_or_default().to_owned())
}

/// Words, divided by bars.
type Words = &'static str;
/// Lines of a section, divided by semicolons: a key with the values that it may be given, divided by bars, or a line with
/// a brace as it is.
type Lines = &'static str;

const TOTEM_KEYS: Words = "\
    version|cluster_name|config_version|transport|ip_version|link_mode|netmtu|nodeid|\
    clear_node_high_bit|secauth|crypto_model|crypto_cipher|crypto_hash|token|token_coefficient|\
    token_warning|token_retransmits_before_loss_const|token_retransmit|hold|join|send_join|consensus|\
    merge|downcheck|max_network_delay|window_size|knet_compression_model|knet_compression_level|\
    block_unlisted_ips|rrp_mode|foo|rrp_token_expired_timeout|knet_mtu";
const TOTEM_VALUES: Words = "\
    0|1|2|29|30|31|50|100|101|150|-1|+7|4294967295|4294967296|9999999999999999999999|x||yes|no|on|off|\
    none|aes256|sha256|sha1|md5|nss|openssl|udp|udpu|udpu|ipv4|ipv6|ipv4-6|ipv6-4|passive|active|rr|\
    zlib|a b|1 2|a:b|0x10|1.5";
const LOGGING: Lines = "\
    to_stderr: yes|on|maybe; to_syslog: no|1; to_file: off; to_logfile: off|x; \
    logfile_priority: info|error|err; syslog_priority: debug|trace|warn; syslog_level: notice|x; \
    syslog_facility: daemon|local7|ftp|local8; debug: on|trace|yes; timestamp: on|hires|yes; \
    fileline: off|yes; function_name: off|x; blackbox: on|x; unknown: 1; logger_subsys {; \
    logging_daemon {; subsys: TOTEM|XX; name: corosync|other; }; debug: off; to_stderr: on";
const SYSTEM: Lines = "\
    qb_ipc_type: native|shm|x; sched_rr: yes|x; priority: max; move_to_root_cgroup: auto|x; \
    allow_knet_handle_fallback: yes|x; foo: bar";
const QUORUM: Lines = "\
    provider: corosync_votequorum|x; expected_votes: 3|x; two_node: 1|256; wait_for_all: yes; \
    last_man_standing_window: 10; device {; model: net; timeout: x; votes: 1; net {; host: x; }; }; \
    leaving_timeout: q; auto_tie_breaker: 1";
const INTERFACE: Lines = "\
    linknumber: 0|1|8|x; ringnumber: 0; bindnetaddr: 127.0.0.1|127.0.0.0|::1|x y; \
    mcastaddr: 239.1.1.1|10.1.1.1|ff15::1|; broadcast: yes|x; mcastport: 5405|0|65536; ttl: 1|2|256|0; \
    knet_link_priority: 1|2|0; knet_transport: udp|sctp|x; knet_pong_count: 0|3; knet_ping_timeout: x; \
    foo: bar; member {\nmemberaddr: 127.0.0.1\n}; member {\nfoo: 1\n}; sub {\na: b\n}; mcastport: 6000";
const NODE: Lines = "\
    ring0_addr: 127.0.0.1|127.0.0.1|127.0.0.1|10.77.0.1|10.77.0.2|10.77.0.3|0.0.0.0|::1|fd77::1|300.1.1.1|; \
    ring1_addr: 10.78.0.1|127.0.0.1; ring8_addr: 10.1.1.1; ringx_addr: 10.1.1.1; \
    nodeid: 0|1|2|3|65536|172818433|x; name: a|b|127.0.0.1; quorum_votes: 1|x; foo: bar";
const NOISE: Words = "\
    {|}|a|ab:c|abc: d|:|::|: :|a {|abc {|abc{| abc : { |abc { x|} x|x }|a}b|{}|a: {|# {| # x|abc: d # e|\
    \t||a b: c|a b {|abc:|abc: :d:|totem {|nodelist {|node {|interface {|uidgid {|uid: 0|uid: root|\
    uid: nosuchuser|gid: 0|gid: -1|gid: nosuchgroup|logging {|logger_subsys {|subsys: x|quorum {|\
    a.b.c: d|.x: y|abc..d: e|\u{e4}bc: d|abc: \u{e4}|x\u{b}:y|abc: d\r|\r|abc\r: d|resources {|system {|\
    memory_used {|max: 3|poll_period: 5|watchdog_timeout: x|version: 2|transport: udpu|}{|}:|:}|abc: }|\
    {:|k:v}";

struct Draw(Pcg32);

impl Draw {
    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.0.random_range(0..from.len())].clone()
    }

    fn word(&mut self, words: Words) -> &'static str {
        self.pick(&words.split('|').collect::<Vec<_>>())
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    fn lines(&mut self, from: Lines, most: usize) -> String {
        let all: Vec<String> = from
            .split("; ")
            .flat_map(|line| match line.split_once(": ").filter(|_| !line.contains('{')) {
                Some((key, values)) => values.split('|').map(|value| format!("{key}: {value}\n")).collect(),
                None => vec![format!("{line}\n")],
            })
            .collect();
        let count = self.0.random_range(0..=most);
        (0..count).map(|_| self.pick(&all)).collect()
    }

    /// A file with valid sections and random settings.
    fn settings(&mut self) -> String {
        let mut text = String::from("totem {\nversion: 2\n");
        text += [
            "transport: udpu\n",
            "transport: udp\n",
            "transport: udpu\ncluster_name: x\n",
            "transport: knet\n",
        ][self.0.random_range(0..4)];
        if self.chance(60) {
            text += "cluster_name: test\n";
        }
        for _ in 0..self.0.random_range(0..4) {
            text += &format!("{}: {}\n", self.word(TOTEM_KEYS), self.word(TOTEM_VALUES));
        }
        for _ in 0..self.pick(&[0, 0, 1, 2]) {
            text += &format!("interface {{\n{}}}\n", self.lines(INTERFACE, 3));
        }
        text += "}\nnodelist {\n";
        if self.chance(70) {
            text += "node {\nring0_addr: 127.0.0.1\nnodeid: 1\nname: a\n}\n";
        }
        for _ in 0..self.pick(&[0, 0, 1, 2]) {
            text += &format!("node {{\n{}}}\n", self.lines(NODE, 4));
        }
        text += "}\n";
        for (section, lines) in [("logging", LOGGING), ("system", SYSTEM), ("quorum", QUORUM)] {
            if self.chance(25) {
                text += &format!("{section} {{\n{}}}\n", self.lines(lines, 3));
            }
        }
        text
    }

    /// A file with lines in random order.
    fn noise(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.0.random_range(0..6) {
            text += self.word(NOISE);
            if !self.chance(3) {
                text.push('\n');
            }
        }
        if self.chance(60) {
            text += &two_nodes("udpu", "").replace("10.0.0.1", "127.0.0.1");
        }
        text
    }
}

#[test]
fn random_files_get_the_same_verdict() {
    let Some(referee) = Referee::find() else { return };
    let count: usize = std::env::var("ANNULUS_CONFIG_FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let seed: u64 = std::env::var("ANNULUS_CONFIG_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut draw = Draw(Pcg32::seed_from_u64(seed));
    let mut differences = Vec::new();
    for round in 0..count {
        let text = if round % 3 == 0 { draw.noise() } else { draw.settings() };
        differences.extend(referee.compare(text.as_bytes()).err());
    }
    assert!(differences.is_empty(), "{} of {count}:\n{}", differences.len(), differences.join("\n---\n"));
}
