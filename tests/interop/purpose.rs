//! Where annulusd intentionally makes Debian's tools print something else than with Corosync, and why.

use crate::lab::Kind;

/// One intended difference.
pub(crate) struct Difference {
    /// Part of the name of each note that it applies to.
    pub(crate) note: &'static str,
    /// Beginnings of the lines that only Corosync's note has.
    pub(crate) theirs: &'static [&'static str],
    /// Beginnings of the lines that only the note of annulusd has.
    pub(crate) ours: &'static [&'static str],
    /// The reason for the difference.
    #[allow(dead_code, reason = "it is there to be read")]
    pub(crate) why: &'static str,
}

/// All intended differences.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        note: ": corosync-cmapctl config. totem.",
        theirs: &["totem.interface.0.bindnetaddr", "totem.interface.1.bindnetaddr"],
        ours: &["totem.interface.0.bindnetaddr", "totem.interface.1.bindnetaddr"],
        why: "at the start the node list gives the address that is bound; on a reload Corosync forgets that, or takes it \
              from a file that does not apply until a restart",
    },
    Difference {
        note: "a broken file here, host 1: corosync-cmapctl",
        theirs: &["config.reload_status", "config.totemconfig_reload_in_progress"],
        ours: &[
            "config.reload_status",
            "config.totemconfig_reload_in_progress",
            "config.reload_error_message",
            "  section quorum",
        ],
        why: "Corosync 3.1.7 leaves the status of the reload before, and the sign of one in progress; later ones, and \
              annulusd, tell what went wrong",
    },
    Difference {
        note: "a broken file here, host 2: corosync-cmapctl",
        theirs: &["config.reload_status"],
        ours: &["config.reload_status", "config.reload_error_message", "  section quorum"],
        why: "what one host cannot use, no host of annulusd goes over to, and each tells why; Corosync's others do",
    },
    Difference {
        note: "a broken file here, host 3: corosync-cmapctl",
        theirs: &["config.reload_status"],
        ours: &["config.reload_status", "config.reload_error_message", "  section quorum"],
        why: "the same",
    },
    Difference {
        note: "a log file that cannot be, host 1: corosync-cfgtool",
        theirs: &["exit code", "Done"],
        ours: &["exit code", "Could not reload configuration. Error CS_ERR_INVALID_PARAM"],
        why: "Corosync says that all is well; annulusd refuses a log file that a host cannot open, and says which",
    },
    Difference {
        note: "a log file that cannot be, host ",
        theirs: &["config.reload_status", "logging.logfile", "totem.interface.0.mcastaddr"],
        ours: &[
            "config.reload_status",
            "config.reload_error_message",
            "logging.logfile",
            "totem.interface.0.mcastaddr",
        ],
        why: "the same, as the database of each host has it",
    },
    Difference {
        note: "another file here alone, host 1: corosync-cfgtool",
        theirs: &["exit code", "Done"],
        ours: &["exit code", "Could not reload configuration. Error CS_ERR_INVALID_PARAM"],
        why: "annulusd refuses files that differ between hosts in what must be the same; Corosync's hosts go on with \
              time-outs that differ",
    },
    Difference {
        note: "another file here alone, host 1: corosync-cmapctl",
        theirs: &[
            "config.reload_status",
            "config.totemconfig_reload_in_progress",
            "totem.token ",
            "runtime.config.totem.token ",
            "runtime.config.totem.token_retransmit ",
            "runtime.config.totem.consensus ",
        ],
        ours: &[
            "config.reload_status",
            "config.totemconfig_reload_in_progress",
            "config.reload_error_message",
            "the files of nodes 1 and 3 differ",
            "totem.token ",
            "totem.interface.0.mcastaddr ",
            "runtime.config.totem.token ",
            "runtime.config.totem.token_retransmit ",
            "runtime.config.totem.consensus ",
        ],
        why: "the same, as the database has it",
    },
    Difference {
        note: "another file here alone, host 2: corosync-cmapctl",
        theirs: &["config.reload_status"],
        ours: &["config.reload_status", "config.reload_error_message", "the files of nodes 1 and 3 differ"],
        why: "the same, where another host asked for the reload",
    },
    Difference {
        note: "another file here alone, host 3: corosync-cmapctl",
        theirs: &["config.reload_status"],
        ours: &["config.reload_status", "config.reload_error_message", "the files of nodes 1 and 3 differ"],
        why: "the same, where another host asked for the reload",
    },
    Difference {
        note: "a file broken at home, host",
        theirs: &["config.reload_status", "config.totemconfig_reload_in_progress"],
        ours: &[
            "config.reload_status",
            "config.totemconfig_reload_in_progress",
            "config.reload_error_message",
            "  section quorum",
        ],
        why: "the same, where another host asked for the reload",
    },
    Difference {
        note: ", all again after six were expected, host 3: ",
        theirs: &[
            "Expected votes:",
            "runtime.votequorum.ev_barrier",
            "runtime.votequorum.ev_tracking_barrier",
        ],
        ours: &["Expected votes:", "runtime.votequorum.ev_barrier", "runtime.votequorum.ev_tracking_barrier"],
        why: "the most votes ever expected are kept in a file, for the next start; Corosync 3.1.7 closes it after reading \
              and so never writes",
    },
    Difference {
        note: "udp, many settings, host 1: corosync-cmapctl",
        theirs: &["resources.system.memory_used.current", "resources.system.memory_used.state"],
        ours: &["resources.system.memory_used.current", "resources.system.memory_used.state"],
        why: "Corosync's monitor of load and memory has no place in annulusd: its keys are told, nothing is measured",
    },
    Difference {
        note: "corosync-cmapctl -s test.large str $(printf '%016384d' 0)",
        theirs: &["exit code"],
        ours: &["exit code", "Failed to set key test.large"],
        why: "a value has at most 16384 bytes, of a text with its closing NUL; Corosync forgets to count that one",
    },
    Difference {
        note: "no tokens, host",
        theirs: &["exit code", "Nodes:", "Quorate:", "Total votes:", "Quorum:", "Flags:", "         "],
        ours: &["exit code", "Nodes:", "Quorate:", "Total votes:", "Quorum:", "Flags:", "         "],
        why: "a host that has been in no operating ring for longer than a change of membership takes may be cut off from \
              others that are quorate: it is not quorate, and shows itself alone; Corosync's shows the last ring",
    },
    Difference {
        note: "one, one and three votes, cut",
        theirs: &["exit code", "Quorate:", "Quorum:", "Flags:"],
        ours: &["exit code", "Quorate:", "Quorum:", "Flags:"],
        why: "of half of the votes, rounded down, only one part may act: Corosync counts how many nodes have gone, not \
              their votes, and two hosts with a vote each act beside one with three",
    },
];

/// Notes that differ only on a ring of annulusd alone: beside Corosync, which takes no part in the agreement about a
/// reload, annulusd behaves as Corosync does.
const ALONE: &[&str] = &["another file here alone, host 1: corosync-cfgtool"];

/// Removes from a note the lines that are intentionally only in this daemon's. `mixed`: the story is also told on a
/// ring of both kinds.
pub(crate) fn strike(kind: Kind, mixed: bool, what: &str, text: &str) -> String {
    let counts = |note: &str| what.contains(note) && !(mixed && ALONE.contains(&note));
    let about: Vec<&Difference> = DIFFERENCES.iter().filter(|difference| counts(difference.note)).collect();
    let struck = |line: &str| {
        about.iter().any(|difference| {
            let starts = if kind.is_corosync() { difference.theirs } else { difference.ours };
            starts.iter().any(|start| line.starts_with(start))
        })
    };
    text.lines().filter(|line| !struck(line)).map(|line| format!("{line}\n")).collect()
}
