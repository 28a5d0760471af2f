//! The table of all settings: name, type, default, allowed words, effect of a reload.
//!
//! It is used by both parsers, the listing of effective settings, the reload, and the tests that compare the example
//! file with it. Corosync's counterpart: `corosync.conf(5)`.

/// Type of a setting in the configuration database, which gives its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number from 0 to 255.
    U8,
    /// A number from 0 to 65535.
    U16,
    /// A number from -2147483648 to 2147483647.
    I32,
    /// A number from 0 to 4294967295.
    U32,
    /// A number from 0 to 18446744073709551615.
    U64,
    /// Any text.
    Text,
}

impl Kind {
    /// Smallest and largest value; `None` for a text.
    pub const fn range(self) -> Option<(i128, i128)> {
        match self {
            Self::U8 => Some((0, u8::MAX as i128)),
            Self::U16 => Some((0, u16::MAX as i128)),
            Self::I32 => Some((i32::MIN as i128, i32::MAX as i128)),
            Self::U32 => Some((0, u32::MAX as i128)),
            Self::U64 => Some((0, u64::MAX as i128)),
            Self::Text => None,
        }
    }
}

/// The effect of a changed setting at a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It takes effect.
    Yes,
    /// It is stored in the database, and takes effect at the next start.
    No,
    /// The old value is kept and a notice is logged.
    Refused,
}

/// The description of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in the configuration database; `*` stands for a number or a name.
    pub name: &'static str,
    /// Type of the value.
    pub kind: Kind,
    /// The default value, in words if it is computed; empty: none.
    pub default: &'static str,
    /// The allowed words; empty: any value.
    pub words: &'static [&'static str],
    /// The error text of the `corosync.conf` parser for another word; empty: it is checked later, or an unknown word
    /// means the default.
    pub refusal: &'static str,
    /// The effect of a reload.
    pub reload: Reload,
    /// One line of explanation, with the unit.
    pub what: &'static str,
}

impl Key {
    /// The unit that the explanation begins with or mentions first; `None` for counts and words.
    pub fn unit(&self) -> Option<&'static str> {
        const UNITS: [&str; 6] = ["ms", "seconds", "percent", "bytes", "votes", "frames"];
        let words = self.what.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
        let first = words.into_iter().find(|word| *word != "knet")?;
        let unit = UNITS.into_iter().find(|word| first.eq_ignore_ascii_case(word))?;
        Some(if unit == "ms" { "milliseconds" } else { unit })
    }

    /// The manual page of Corosync that describes it, if Corosync has it.
    pub fn source(&self) -> &'static str {
        match self.name.split_once('.') {
            Some(("quorum", _)) => "votequorum(5)",
            Some(("resources", _)) => "cmap_keys(7)",
            Some(("totem", "token_floor" | "loss_limit" | "loss_patience")) => {
                "none, Corosync does not have it"
            }
            Some(_) | None => "corosync.conf(5)",
        }
    }
}

/// The setting that `name` (as in the database) belongs to.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| matches(key.name, name))
}

/// Whether `name` is of the form of `pattern`, whose `*` stands for one part.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.split('.'), name.split('.'));
    loop {
        match (pattern.next(), name.next()) {
            (None, None) => return true,
            (Some(want), Some(part)) if want == "*" || want == part => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

/// The known name that was probably meant by `word`.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = word.len() / 3 + 1;
    known
        .map(|name| (distance(word, name, limit), name))
        .min()
        .filter(|(far, _)| *far <= limit)
        .map(|(_, name)| name)
}

/// The known name of which `word` is probably a misspelling. The match must be closer than for [`nearest`], because
/// `word` was not refused.
pub(super) fn slip_of<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match word.len() {
        0..=2 => return None,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    };
    // Among names at the same distance, the one with the same first letter is preferred.
    let first = |name: &str| name.as_bytes().first().map(u8::to_ascii_lowercase);
    known
        .map(|name| (distance(word, name, limit), first(word) != first(name), name))
        .min()
        .filter(|(far, _, name)| *far <= limit && *far < name.len())
        .map(|(_, _, name)| name)
}

/// Edit distance of two words, with swapped neighbouring letters as one edit. Words that are long or differ much in
/// length have the distance `limit + 1`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    const LONGEST: usize = 64;
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > limit || a.len() > LONGEST || b.len() > LONGEST {
        return limit + 1;
    }
    let same = |x: u8, y: u8| x.eq_ignore_ascii_case(&y);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = above[j - 1] + usize::from(!same(a[i - 1], b[j - 1]));
            let mut cost = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]) {
                cost = cost.min(before[j - 2] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

const YES_NO: &[&str] = &["yes", "no"];
const ON_OFF: &[&str] = &["on", "off"];
const SWITCH: &[&str] = &["yes", "no", "on", "off"];
const PRIORITIES: &[&str] = &["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const FACILITIES: &[&str] = &[
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

const fn number(name: &'static str, kind: Kind, default: &'static str, what: &'static str) -> Key {
    Key { name, kind, default, words: &[], refusal: "", reload: Reload::Yes, what }
}

const fn text(name: &'static str, default: &'static str, what: &'static str) -> Key {
    Key { name, kind: Kind::Text, default, words: &[], refusal: "", reload: Reload::Yes, what }
}

impl Key {
    const fn of(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }

    const fn else_say(mut self, refusal: &'static str) -> Self {
        self.refusal = refusal;
        self
    }

    const fn at_start(mut self) -> Self {
        self.reload = Reload::No;
        self
    }

    const fn fixed(mut self) -> Self {
        self.reload = Reload::Refused;
        self
    }
}

use Kind::{I32, U8, U16, U32, U64};

/// The table of all settings.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    number("totem.version", U32, "2", "Version of this file's format; must be 2.").fixed(),
    text("totem.cluster_name", "", "Name of the cluster; udp derives its multicast address from it.").fixed(),
    number("totem.config_version", U64, "0", "Version of the contents, raised by hand with each change; nodes with an older one leave."),
    text("totem.transport", "knet", "How datagrams travel: knet (several links, encryption), udpu (UDP unicast) or udp (IP multicast).").of(&["knet", "udpu", "udp"]).fixed(),
    text("totem.ip_version", "ipv6-4 (udp: ipv4)", "The addresses that a name is resolved to, the preferred family first.").of(&["ipv4", "ipv6", "ipv4-6", "ipv6-4"]).else_say("Invalid ip_version type").fixed(),
    text("totem.link_mode", "passive", "knet: how several links are used: passive (the best one), active (all at once) or rr (in turn).").of(&["passive", "active", "rr"]).at_start(),
    number("totem.netmtu", U32, "1500 (knet: 65536)", "Bytes of a network packet.").fixed(),
    number("totem.threads", U32, "0", "Not used.").fixed(),
    number("totem.nodeid", U32, "", "Ignored; node ids are in the node list.").at_start(),
    text("totem.clear_node_high_bit", "no", "Whether bit 31 of a node id made from an IPv4 address is cleared.").of(YES_NO).at_start(),
    text("totem.secauth", "off", "knet: on means aes256 and sha256 unless they are given.").of(ON_OFF),
    text("totem.crypto_model", "nss", "knet: Corosync's library for encryption; nothing follows from it here.").of(&["nss", "openssl"]).else_say("Invalid crypto model. Should be nss or openssl"),
    text("totem.crypto_cipher", "none (corosync.toml without secauth and crypto_hash: aes256)", "knet: encryption.").of(&["none", "aes256", "aes192", "aes128"]).else_say("Invalid cipher type. Should be none, aes256, aes192 or aes128"),
    text("totem.crypto_hash", "none (corosync.toml without secauth and crypto_cipher: sha256)", "knet: authentication; crypto_cipher needs one.").of(&["none", "md5", "sha1", "sha256", "sha384", "sha512"]).else_say("Invalid hash type. Should be none, md5, sha1, sha256, sha384 or sha512"),
    text("totem.keyfile", "/etc/corosync/authkey", "knet: file with the key, of which up to 4096 bytes are used and 128 needed, and which nobody but its owner and group may read."),
    text("totem.key", "", "knet: the key itself, 127 characters or more, used when there is no keyfile."),
    number("totem.token", U32, "auto (3000)", "ms without the token after which it counts as lost; auto and 0 are the default, which all members of annulus shorten (see token_floor); at least 30."),
    number("totem.token_floor", U32, "300 (with token, token_retransmit, hold, consensus or heartbeat_failures_allowed: 0)", "ms; while all members are nodes of annulus, the token time-out follows what they measured, between this and token; at least 100; 0 is off."),
    number("totem.token_coefficient", U32, "650", "ms added to token for each node past the second."),
    number("totem.token_warning", U32, "75", "Percent of token after which a warning is logged; 0 is off."),
    number("totem.token_retransmits_before_loss_const", U32, "4", "How often the last token is sent again before it counts as lost."),
    number("totem.token_retransmit", U32, "token / (token_retransmits_before_loss_const + 0.2)", "ms of silence after which the last token is sent again; at least 30."),
    number("totem.hold", U32, "token_retransmit * 0.8 - 10", "ms for which the token of an idle ring is kept; at least 14."),
    number("totem.join", U32, "50", "ms between join messages; at least 30."),
    number("totem.send_join", U32, "0", "ms below which a join message waits a random time; 0 is off."),
    number("totem.consensus", U32, "1.2 * token", "ms for agreement on a new membership; at least 30 and join."),
    number("totem.merge", U32, "200", "ms of idleness after which other rings are looked for; at least 30."),
    number("totem.downcheck", U32, "1000", "ms between looks at the network interface; at least 30."),
    number("totem.fail_recv_const", U32, "2500", "Token visits without progress after which a node excludes itself."),
    number("totem.seqno_unchanged_const", U32, "30", "Idle token visits before the token is held."),
    number("totem.heartbeat_failures_allowed", U32, "0", "Missing heartbeats that count as token loss; 0 is off."),
    number("totem.max_network_delay", U32, "50", "ms; part of the heartbeat's time-out; at least 30."),
    number("totem.window_size", U32, "50", "Frames that may be multicast on the whole ring in one rotation."),
    number("totem.max_messages", U32, "17", "Frames that one node may multicast in one token visit."),
    number("totem.miss_count_const", U32, "5", "Token visits at which a frame must be missing before it is asked for."),
    number("totem.loss_limit", U32, "20", "Percent of the frames into or out of one member that are lost until a ring of annulus nodes leaves it out; 0 is off."),
    number("totem.loss_patience", U32, "60", "Seconds for which loss_limit must be exceeded."),
    number("totem.knet_pmtud_interval", U32, "30", "knet: seconds between searches for the path MTU."),
    number("totem.knet_mtu", U32, "0", "knet: bytes of an IP packet on every link, 576 to 65535; 0 finds it out."),
    text("totem.knet_compression_model", "", "knet: compression of what is sent; leave it out for none. lzo2, lzma and bzip2 are not available in this version.").of(&["zlib", "lz4", "lz4hc", "lzo2", "lzma", "bzip2", "zstd"]).else_say("Invalid compression model. Should be zlib, lz4, lz4hc, lzo2, lzma, bzip2 or zstd"),
    number("totem.knet_compression_threshold", U32, "0", "knet: bytes above which messages are compressed; 0 is the default of libknet, 100."),
    number("totem.knet_compression_level", I32, "0", "knet: the compression's own level."),
    text("totem.block_unlisted_ips", "yes", "knet, udpu: drop datagrams from addresses that are not in the node list.").of(YES_NO),
    text("totem.cancel_token_hold_on_retransmit", "no", "Whether a retransmission ends the idle hold of the token.").of(YES_NO),
    text("totem.rrp_mode", "", "Obsolete, ignored.").fixed(),
    number("totem.rrp_problem_count_timeout", U32, "", "Obsolete, ignored."),
    number("totem.rrp_problem_count_threshold", U32, "", "Obsolete, ignored."),
    number("totem.rrp_problem_count_mcast_threshold", U32, "", "Obsolete, ignored."),
    number("totem.rrp_token_expired_timeout", U32, "", "Obsolete, ignored."),
    number("totem.rrp_autorecovery_check_timeout", U32, "", "Obsolete, ignored."),

    text("totem.interface.*.bindnetaddr", "the local node's ring address", "Address or network of the interface; the node list wins.").at_start(),
    text("totem.interface.*.mcastaddr", "from cluster_name", "udp: multicast group.").at_start(),
    text("totem.interface.*.broadcast", "no", "udp: broadcast instead of multicast.").of(YES_NO).at_start(),
    number("totem.interface.*.mcastport", U16, "5405 + link", "UDP port; udp also uses the one below it; 0 is the default.").at_start(),
    number("totem.interface.*.ttl", U8, "1", "udp: hops that a multicast may take.").at_start(),
    number("totem.interface.*.knet_link_priority", U8, "1", "knet: priority of the link; of those that work passive uses the one with the highest."),
    number("totem.interface.*.knet_ping_interval", U32, "token / (2 * knet_pong_count)", "knet: ms between pings."),
    number("totem.interface.*.knet_ping_timeout", U32, "token / knet_pong_count", "knet: ms without a pong after which the link is down."),
    number("totem.interface.*.knet_ping_precision", U32, "2048", "knet: how many values the latency is averaged over."),
    number("totem.interface.*.knet_pong_count", U32, "2", "knet: pongs after which the link is up."),
    text("totem.interface.*.knet_transport", "udp", "knet: protocol of the link; sctp is not available in this version.").of(&["udp", "sctp"]).fixed(),

    number("nodelist.node.*.nodeid", U32, "udp, udpu: from the IPv4 address", "Node id, not 0; knet needs one for each node, of at most 65535."),
    text("nodelist.node.*.name", "", "Name of the node, as `uname -n` says it; with several links every node needs one."),
    number("nodelist.node.*.quorum_votes", U32, "1", "Votes of the node."),
    text("nodelist.node.*.ring0_addr", "", "Address of link 0; the only link that udp and udpu have. A link-local one has its interface behind it: fe80::1%eth1."),
    text("nodelist.node.*.ring1_addr", "", "knet: address of link 1."),
    text("nodelist.node.*.ring2_addr", "", "knet: address of link 2."),
    text("nodelist.node.*.ring3_addr", "", "knet: address of link 3."),
    text("nodelist.node.*.ring4_addr", "", "knet: address of link 4."),
    text("nodelist.node.*.ring5_addr", "", "knet: address of link 5."),
    text("nodelist.node.*.ring6_addr", "", "knet: address of link 6."),
    text("nodelist.node.*.ring7_addr", "", "knet: address of link 7."),

    text("quorum.provider", "", "corosync_votequorum, or nothing for no quorum.").fixed(),
    number("quorum.expected_votes", U32, "sum of the node list", "Votes that the whole cluster has."),
    number("quorum.votes", U32, "1", "Votes of this node, without a node list."),
    number("quorum.two_node", U8, "0", "1: one of two nodes is enough."),
    number("quorum.wait_for_all", U8, "0 (two_node: 1)", "1: the first quorum needs all nodes.").at_start(),
    number("quorum.auto_tie_breaker", U8, "0", "1: of two equal halves one stays quorate.").at_start(),
    text("quorum.auto_tie_breaker_node", "lowest", "The half that stays: lowest, highest, or a list of node ids.").at_start(),
    number("quorum.last_man_standing", U8, "0", "1: expected votes shrink as nodes go one by one.").at_start(),
    number("quorum.last_man_standing_window", U32, "10000", "ms before they shrink.").at_start(),
    number("quorum.allow_downscale", U8, "0", "1: expected votes shrink when a node leaves in order.").at_start(),
    number("quorum.expected_votes_tracking", U8, "0", "1: the highest expected votes ever seen are remembered.").at_start(),
    number("quorum.leaving_timeout", U32, "", "Not used."),
    text("quorum.device.model", "", "Kind of quorum device, for example net."),
    number("quorum.device.timeout", U32, "10000", "ms that the device may keep silent."),
    number("quorum.device.sync_timeout", U32, "30000", "ms that it may keep silent during a membership change."),
    number("quorum.device.votes", U32, "", "Votes of the device."),
    number("quorum.device.master_wins", U8, "0", "1: the partition that the device is with wins."),

    text("logging.to_stderr", "yes", "Log to standard error.").of(SWITCH),
    text("logging.to_syslog", "yes", "Log to syslog.").of(SWITCH),
    text("logging.to_logfile", "no", "Log to a file.").of(SWITCH),
    text("logging.to_file", "", "Obsolete name of to_logfile.").of(SWITCH),
    text("logging.logfile", "", "The file."),
    text("logging.logfile_priority", "info", "Lowest priority for the file.").of(PRIORITIES),
    text("logging.syslog_priority", "info", "Lowest priority for syslog.").of(PRIORITIES),
    text("logging.syslog_level", "", "Obsolete name of syslog_priority.").of(PRIORITIES),
    text("logging.syslog_facility", "daemon", "Facility for syslog.").of(FACILITIES),
    text("logging.debug", "off", "Whether debug messages are logged.").of(&["on", "off", "trace"]),
    text("logging.timestamp", "hires", "Time in each line: none, seconds or milliseconds.").of(&["on", "off", "hires"]),
    text("logging.fileline", "off", "Source file and line in each line.").of(ON_OFF),
    text("logging.function_name", "off", "Function name in each line.").of(ON_OFF),
    text("logging.blackbox", "on", "Whether the flight recorder runs.").of(ON_OFF),
    text("logging.logger_subsys.*.subsys", "", "Name of the subsystem that the keys beside it are for."),
    text("logging.logger_subsys.*.to_stderr", "as above", "Log to standard error.").of(SWITCH),
    text("logging.logger_subsys.*.to_syslog", "as above", "Log to syslog.").of(SWITCH),
    text("logging.logger_subsys.*.to_logfile", "as above", "Log to a file.").of(SWITCH),
    text("logging.logger_subsys.*.to_file", "", "Obsolete name of to_logfile.").of(SWITCH),
    text("logging.logger_subsys.*.logfile", "as above", "The file."),
    text("logging.logger_subsys.*.logfile_priority", "as above", "Lowest priority for the file.").of(PRIORITIES),
    text("logging.logger_subsys.*.syslog_priority", "as above", "Lowest priority for syslog.").of(PRIORITIES),
    text("logging.logger_subsys.*.syslog_level", "", "Obsolete name of syslog_priority.").of(PRIORITIES),
    text("logging.logger_subsys.*.syslog_facility", "daemon", "Facility for syslog.").of(FACILITIES),
    text("logging.logger_subsys.*.debug", "off", "Whether debug messages are logged.").of(&["on", "off", "trace"]),

    text("system.qb_ipc_type", "native", "Kind of IPC offered to clients.").of(&["native", "shm", "socket"]).else_say("Invalid system.qb_ipc_type").fixed(),
    text("system.sched_rr", "yes", "Whether round-robin real-time scheduling is asked for.").of(YES_NO).else_say("Invalid system.sched_rr value").fixed(),
    text("system.priority", "", "Scheduling priority without sched_rr: max, min or a number.").fixed(),
    text("system.move_to_root_cgroup", "auto", "Whether the daemon leaves its control group.").of(&["yes", "no", "auto"]).else_say("Invalid system.move_to_root_cgroup").fixed(),
    text("system.allow_knet_handle_fallback", "no", "knet: go on with smaller socket buffers where the system refuses large ones.").of(YES_NO).else_say("Invalid system.allow_knet_handle_fallback").fixed(),
    text("system.state_dir", "/var/lib/corosync", "Directory of the ring id and the flight recorder.").fixed(),

    number("resources.watchdog_timeout", U32, "6", "Seconds until the watchdog resets this host."),
    text("resources.watchdog_device", "/dev/watchdog", "The watchdog, or off."),
    number("resources.system.memory_used.poll_period", U64, "", "ms between two looks."),
    text("resources.system.memory_used.max", "", "Percent of memory that counts as failure."),
    text("resources.system.memory_used.recovery", "", "What to do then."),
    number("resources.system.load_15min.poll_period", U64, "", "ms between two looks."),
    text("resources.system.load_15min.max", "", "Load average that counts as failure."),
    text("resources.system.load_15min.recovery", "", "What to do then."),
];
