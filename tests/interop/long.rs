//! Messages that libcpg splits into pieces, sent by clients with one thread: they read nothing between the pieces,
//! and everything that they have sent waits for them.

use crate::both::{Side, compare};
use crate::lab::{Program, Settings, Transport};
use crate::ready;
use std::time::Duration;

/// Time limit for 60 MB on a busy machine through an unoptimised daemon.
const LONG: Duration = Duration::from_secs(180);

/// Message lengths in bytes. From the second on, more waits for the sender than its ring buffer and the limit for
/// waiting whole messages can hold.
const LENGTHS: [usize; 4] = [2_000_000, 14_000_000, 30_000_000, 60_000_000];

fn join(side: &Side, program: &str, k: usize) -> Program {
    let mut client = side.lab.spawn(k, &[program]);
    client.tell("init 0\njoin 0 long\n");
    client.wait_for("a join", LONG, |_| client.errors().contains("join: 1"));
    client
}

/// Number of messages that a client has been delivered.
fn delivered(client: &Program) -> usize {
    let text = client.output();
    text[..text.rfind('\n').map_or(0, |end| end + 1)]
        .lines()
        .filter(|line| line.contains(": message "))
        .count()
}

fn sent_without_reading(side: &mut Side) {
    side.state("long messages");
    side.begin(&Settings::new(Transport::Udpu, "token: 3000", 2), &[1, 2]);
    side.settle(&[1, 2]);
    // The program is compiled once: both sides run it, and the file of a running program cannot be written.
    static BUILT: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    let program =
        BUILT.get_or_init(|| crate::clients::compiled("cpg-client-long", "groups/client.c", "-lcpg"));
    let program = program.to_str().expect("a path of letters");
    let (mut sender, other) = (join(side, program, 1), join(side, program, 2));
    sender.wait_for("both", LONG, |text| text.contains("view of 2;"));
    for (n, length) in LENGTHS.into_iter().enumerate() {
        sender.tell(&format!("whole 0 {} {length}\n", n + 1));
        sender.wait_for("its answer", LONG, |_| sender.errors().matches(" whole: ").count() > n);
        for client in [&sender, &other] {
            client.wait_for(&format!("{length} bytes"), LONG, |_| delivered(client) > n);
        }
    }
    for (k, client) in [(1, &sender), (2, &other)] {
        let answers = client.errors();
        let answers: Vec<&str> = answers.lines().filter(|line| line.contains(" whole: ")).collect();
        assert!(answers.iter().all(|answer| answer.ends_with(" 1")), "{answers:?}");
        let told = client.output();
        // Number and length; the process id between them depends on the run.
        let told: Vec<String> = told
            .lines()
            .filter_map(|line| line.split_once(": message "))
            .map(|(_, rest)| {
                let (number, rest) = rest.split_once(" of ").unwrap_or((rest, ""));
                format!("message {number}, {}", rest.split_once(", ").map_or("", |(_, length)| length))
            })
            .collect();
        assert_eq!(told.len(), LENGTHS.len(), "host {k}: {told:?}");
        side.keep_of(k, &format!("host {k}"), format!("{}\n{}\n", answers.join("\n"), told.join("\n")));
    }
}

#[test]
fn a_message_of_60_mb_arrives_though_its_sender_does_not_read_meanwhile() {
    if ready() && crate::have(&[("/usr/bin/gcc", "gcc")]) {
        compare(2, sent_without_reading);
    }
}
