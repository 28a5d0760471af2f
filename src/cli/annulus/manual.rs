//! Sections of the manual pages besides the options: exit statuses, environment, files, examples, and references.

use clap_mangen::roff::{Roff, bold, italic, roman};

/// The content of a section: pairs of a term and its meaning, or plain lines.
enum Body {
    Terms(&'static [(&'static str, &'static str)]),
    Commands(&'static [(&'static str, &'static str)]),
}

/// The exit statuses of commands without special ones.
const STATUS: Body = Body::Terms(&[
    ("0", "It is done."),
    (
        "1",
        "It went wrong: the daemon cannot be reached, did not answer in time, or refused; the command line is wrong.",
    ),
]);
const QUORUM_STATUS: Body = Body::Terms(&[
    ("0", "It is done; the status is that this part of the cluster is quorate."),
    ("1", "It went wrong, or the daemon cannot be reached."),
    ("2", "The status is that this part of the cluster is not quorate."),
]);
const HEALTH_STATUS: Body = Body::Terms(&[
    ("0", "The daemon answers, and its part of the cluster is quorate."),
    ("1", "The daemon cannot be reached, or did not answer in time."),
    ("2", "The daemon answers, and its part of the cluster is not quorate."),
]);
const CHECK_STATUS: Body = Body::Terms(&[
    ("0", "annulusd would start with the file."),
    (
        "other",
        "annulusd would end with this status; 7: section logging, 8: any other section. See EXIT STATUS of annulusd(8).",
    ),
]);
const DAEMON_STATUS: Body = Body::Terms(&[
    ("0", "A normal end; --check found nothing wrong."),
    ("1", "A wrong option on the command line."),
    ("4", "The daemon could not be put into the background."),
    ("7", "The section logging of the configuration is wrong, or its file cannot be opened."),
    ("8", "The configuration is wrong."),
    ("9", "The log cannot be written."),
    ("15", "The ring cannot be started: its address or port cannot be used."),
    ("16", "The state directory is missing or cannot be used."),
    ("17", "The lock file cannot be made."),
    ("18", "Another instance runs already."),
    ("19", "Standard input and output cannot be redirected."),
    ("20", "The services or their sockets for clients cannot be started."),
    ("21", "The stored ring id cannot be read or written."),
    ("255", "Another node ended this one."),
]);

const ENVIRONMENT: Body = Body::Terms(&[
    (
        "ANNULUS_INSTANCE",
        "The name of the daemon to talk to, of several on this host, when --instance is not given. Read by all tools, \
         those with the names of Corosync's included.",
    ),
    ("NO_COLOR", "Set to anything, there are no colours."),
]);
const DAEMON_ENVIRONMENT: Body = Body::Terms(&[
    (
        "STATE_DIRECTORY",
        "The state directory, as systemd names it, unless the command line or the configuration does.",
    ),
    (
        "NOTIFY_SOCKET",
        "Where systemd is told that the daemon is ready, reads its configuration again, or ends.",
    ),
    (
        "XDG_RUNTIME_DIR",
        "Below it are the lock file and state directory of a daemon that does not run as root.",
    ),
]);

const SIGNALS: Body = Body::Terms(&[
    ("TERM, INT, QUIT", "Leave the ring in order, and end."),
    ("HUP", "Open the log files anew, and read the sections logging and uidgid again."),
    ("USR2", "Log the state of the node."),
]);

const FILES: Body = Body::Terms(&[
    ("/etc/corosync/corosync.conf", "The configuration, unless another file is named. See corosync.toml(5)."),
    ("/etc/corosync/uidgid.d/", "Further sections uidgid: who, besides root, may use the daemon."),
    ("/var/lib/corosync/ringid_ID", "The ring ids that the node with this id may have used."),
    ("/run/annulusd.pid", "The lock file, with the process id; /run/annulusd-NAME.pid of an instance."),
    ("/var/lib/annulus/NAME/", "The state of an instance, if its configuration names no directory."),
    ("/dev/shm/qb-*", "Shared memory of the connections of clients."),
]);
const KEY_FILES: Body = Body::Terms(&[("/etc/corosync/authkey", "The key, unless another file is named.")]);
const ROTATED_FILES: Body = Body::Terms(&[
    ("/etc/corosync/authkey", "The key, unless the configuration names another file."),
    (
        "/etc/corosync/authkey.next",
        "A new key until all nodes use it; beside the key file, whatever its name.",
    ),
]);

/// The sections of a page besides its options, in the order in which they are printed.
fn sections(page: &str) -> Vec<(&'static str, Body)> {
    let mut all = Vec::new();
    match page {
        "annulusd" => {
            all.push(("SIGNALS", SIGNALS));
            all.push(("EXIT STATUS", DAEMON_STATUS));
            all.push(("ENVIRONMENT", DAEMON_ENVIRONMENT));
            all.push(("FILES", FILES));
        }
        "annulus-health" => all.push(("EXIT STATUS", HEALTH_STATUS)),
        "annulus-check" => all.push(("EXIT STATUS", CHECK_STATUS)),
        "quorum-tool" | "annulus-quorum" => all.push(("EXIT STATUS", QUORUM_STATUS)),
        _ => all.push(("EXIT STATUS", STATUS)),
    }
    match page {
        "annulusd" | "annulus-convert" | "annulus-completions" | "annulus-man" | "annulus-check" => {}
        "annulus-keygen" => all.push(("FILES", KEY_FILES)),
        "annulus-key-rotate" => {
            all.push(("FILES", ROTATED_FILES));
            all.push(("ENVIRONMENT", ENVIRONMENT));
        }
        _ => all.push(("ENVIRONMENT", ENVIRONMENT)),
    }
    if let Some(examples) = examples(page) {
        all.push(("EXAMPLES", Body::Commands(examples)));
    }
    all
}

fn examples(page: &str) -> Option<&'static [(&'static str, &'static str)]> {
    Some(match page {
        "annulusd" => &[
            ("annulusd --check -c /etc/corosync/corosync.conf", "Say what a configuration amounts to."),
            ("annulusd --foreground", "Run as configured, with the log on standard error."),
            ("annulusd --dev --nodes 3", "Three nodes on this host, to develop against; Ctrl-C ends them."),
        ],
        "annulus" => &[
            ("annulus status", "How the node and its cluster are."),
            ("annulus health || echo look at it", "Whether all is well, for a script."),
            ("annulus --instance dev-2 status", "The same of the second node of annulusd --dev --nodes 3."),
            ("annulus --json status | jq .quorum.quorate", "For programs."),
        ],
        "annulus-confdb-get" => &[("annulus confdb get -q totem.token", "The value alone.")],
        "annulus-confdb-list" => {
            &[("annulus confdb list totem. runtime.config.", "What is set, and what is in effect.")]
        }
        "annulus-confdb-set" => &[("annulus confdb set my.key u32 5", "A key of one's own.")],
        "annulus-confdb-watch" => &[("annulus confdb watch runtime.members.", "Nodes as they come and go.")],
        "annulus-convert" => &[
            ("annulus convert /etc/corosync/corosync.conf -o corosync.toml", "To TOML."),
            ("annulus convert corosync.toml", "And back, to standard output."),
        ],
        "annulus-man" => &[("annulus man /usr/local/share/man", "Into man8 and man5 below it.")],
        "annulus-completions" => {
            &[("annulus completions bash > /etc/bash_completion.d/annulus", "For all users of bash.")]
        }
        "quorum-tool" => &[("quorum-tool -s --json", "The status, for programs.")],
        _ => return None,
    })
}

/// Further pages that a page refers to, each one of annulus or of Debian's package corosync.
fn see_also(page: &str) -> Vec<&'static str> {
    let mut all = match page {
        "annulusd" => {
            vec!["annulus(8)", "quorum-tool(8)", "corosync.toml(5)", "corosync.conf(5)", "votequorum(5)"]
        }
        "annulus" => vec!["annulusd(8)", "quorum-tool(8)", "corosync.toml(5)", "corosync_overview(7)"],
        "quorum-tool" => vec!["annulus(8)", "annulusd(8)", "corosync-quorumtool(8)", "votequorum(5)"],
        "annulus-quorum" => vec!["annulus(8)", "quorum-tool(8)", "votequorum(5)"],
        "annulus-check" | "annulus-convert" => {
            vec!["annulus(8)", "annulusd(8)", "corosync.toml(5)", "corosync.conf(5)"]
        }
        "annulus-key" | "annulus-key-status" | "annulus-key-rotate" => {
            vec!["annulus(8)", "annulus-keygen(8)", "annulus-reload(8)"]
        }
        "annulus-keygen" => vec!["annulus(8)", "corosync-keygen(8)"],
        "annulus-reload" => vec!["annulus(8)", "corosync.toml(5)", "corosync-cfgtool(8)"],
        _ => vec!["annulus(8)"],
    };
    if page.starts_with("annulus-confdb") {
        all.extend(["cmap_keys(7)", "corosync-cmapctl(8)"]);
    }
    all
}

/// Writes these sections of a page.
pub(super) fn add(page: &str, roff: &mut Roff) {
    for (title, body) in sections(page) {
        roff.control("SH", [title]);
        match body {
            Body::Terms(terms) => {
                for (term, meaning) in terms {
                    self::term(roff, term, meaning);
                }
            }
            Body::Commands(commands) => {
                for (command, what) in commands {
                    roff.control("TP", []);
                    roff.text([bold(*command)]);
                    roff.text([roman(*what)]);
                }
            }
        }
    }
    references(roff, &see_also(page));
}

/// Writes a term and its meaning, indented.
pub(super) fn term(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([italic(term)]);
    roff.text([roman(meaning)]);
}

/// Writes the section SEE ALSO.
pub(super) fn references(roff: &mut Roff, pages: &[&str]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for (number, page) in pages.iter().enumerate() {
        let (name, section) = page.split_once('(').unwrap_or((page, "8)"));
        let end = if number + 1 < pages.len() { ", " } else { "" };
        line.extend([bold(name), roman(format!("({section}{end}"))]);
    }
    roff.text(line);
}
