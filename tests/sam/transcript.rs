//! The scenarios of `tests/interop/sam.c` with the supervisors of this crate: output, changes of keys and exit status
//! must be those of Debian's libsam on Debian's Corosync, recorded in `tests/interop/sam.expected`.

use std::fmt::Write;

use crate::runner::Test;
use crate::site::{PATIENCE, Site, ended};

pub(crate) const TESTS: &[Test] = &[
    ("transcript::restart", || plays("restart")),
    ("transcript::hang", || plays("hang")),
    ("transcript::quit", || plays("quit")),
    ("transcript::quit_by_signal", || plays("quit_by_signal")),
    ("transcript::unstarted", || plays("unstarted")),
    ("transcript::marked", || plays("marked")),
    ("transcript::finalized", || plays("finalized")),
    ("transcript::callback", || plays("callback")),
    ("transcript::quorum", || plays("quorum")),
    ("transcript::quorum_quit", || plays("quorum_quit")),
];

/// libsam's transcript of the scenario, except for the exit status of the supervisor of a worker that a signal ended.
fn expected(scenario: &str) -> String {
    let all = include_str!("../interop/sam.expected");
    let title = format!("== {scenario}\n");
    let (_, rest) = all.split_once(&title).unwrap_or_else(|| panic!("no transcript of {scenario}"));
    let text = rest.split_once("== ").map_or(rest, |(text, _)| text);
    let by_signal = match scenario {
        "quit_by_signal" | "marked" => 128 + libc::SIGKILL,
        "quorum_quit" => 128 + libc::SIGTERM,
        _ => return text.to_owned(),
    };
    assert!(text.contains("ended: status 0\n"), "libsam hides signals");
    text.replace("ended: status 0\n", &format!("ended: status {by_signal}\n"))
}

fn plays(scenario: &str) {
    let roles = ["fork", "program"];
    std::thread::scope(|scope| {
        let transcripts = roles.map(|role| (role, scope.spawn(move || transcript(role, scenario))));
        for (role, transcript) in transcripts {
            assert_eq!(transcript.join().unwrap(), expected(scenario), "{scenario} in the role {role}");
        }
    });
}

fn transcript(role: &str, scenario: &str) -> String {
    let site = Site::new();
    let mut supervisor = site.start(role, scenario);
    let waiting = |site: &Site| {
        site.changes().iter().filter(|change| *change == "state (str) = waiting for quorum").count()
    };
    let (mut given, mut taken) = (0, false);
    let end = std::time::Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = supervisor.ended() {
            break status;
        }
        assert!(std::time::Instant::now() < end, "{scenario}: {:?} {:?}", site.said(), site.changes());
        // As the observer in C does, the test gives quorum to each worker that waits, and takes it from the first
        // that has it.
        if waiting(&site) > given {
            given += 1;
            site.set_quorate(true);
        }
        if !taken && site.said().iter().any(|line| line == "quorate") {
            taken = true;
            site.set_quorate(false);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let mut text = String::new();
    site.said().iter().for_each(|line| writeln!(text, "said: {line}").unwrap());
    site.changes().iter().for_each(|line| writeln!(text, "key: {line}").unwrap());
    writeln!(text, "ended: {}", ended(status)).unwrap();
    site.keys().iter().for_each(|key| writeln!(text, "left: {key}").unwrap());
    text
}
