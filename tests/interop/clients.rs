//! Programs that link Debian's libraries: every call that `rust-corosync` binds, and libsam from C.

use crate::both::{PATIENCE, Side, compare};
use crate::lab::{Settings, Transport};
use crate::{have, ready};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Time limit of the whole series of calls on a busy machine.
const LONG: Duration = Duration::from_secs(180);

/// Makes all calls. They need two nodes and a quorum device in the configuration; the program acts as the device.
pub(crate) fn calls(side: &mut Side) {
    side.state("two nodes");
    let device =
        "expected_votes: 3\ndevice {\n  model: net\n  votes: 1\n  net {\n    host: 10.77.0.9\n  }\n}";
    side.begin(&Settings::new(Transport::Udpu, "token: 2000", 2).quorum(device), &[1, 2]);
    side.settle(&[1, 2]);
    let program = crate::peer_binary().to_str().expect("a path of letters");
    let mut peer = side.lab.spawn(1, &[program, "calls"]);
    peer.wait_for("before", LONG, |text| text.contains("\nbefore\n"));
    side.lab.end(1, Signal::KILL);
    peer.tell("go\n");
    let said = peer.finish(LONG);
    side.keep("rust-corosync's calls", said.text());
}

/// Compiles a client in C, `source` in this folder, and links it with a library. Returns the program's path.
pub(crate) fn compiled(name: &str, source: &str, library: &str) -> PathBuf {
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(source);
    let output = Command::new("gcc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-o"])
        .arg(&program)
        .arg(source)
        .arg(library)
        .output()
        .expect("gcc starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    program
}

/// The libsam client, compiled once.
fn sam_client() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| compiled("sam-client", "sam/client.c", "-lsam")).clone()
}

pub(crate) fn supervised(side: &mut Side) {
    let program = sam_client();
    let program = program.to_str().expect("a path of letters");
    side.state("libsam");
    side.begin(&Settings::new(Transport::Udpu, "token: 2000", 2), &[1, 2]);
    side.settle(&[1, 2]);
    for mode in ["quit", "restart", "callback"] {
        let said = side.lab.spawn(1, &[program, mode]).finish(PATIENCE);
        side.keep(&format!("sam-client {mode}"), said.text());
    }

    // The client's state is in the database as one object, named after the program and its process.
    let mut client = side.lab.spawn(1, &[program, "cmap"]);
    client.wait_for("registered", PATIENCE, |text| text.contains("1: registered"));
    let masked = |text: String| {
        let lines = text.lines().map(|line| {
            let line = line.split_once(" = ").map_or((line, ""), |parts| parts);
            let key: Vec<&str> = line.0.split('.').collect();
            let value = if line.0.contains("last_updated") { "(time)" } else { line.1 };
            match key.as_slice() {
                ["resources", "process", _, field] => {
                    format!("resources.process.(process).{field} = {value}")
                }
                _ => format!("{} = {value}", line.0),
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    side.note_with(1, "corosync-cmapctl resources.process.", masked);
    client.tell("\n");
    client.wait_for("started", PATIENCE, |text| text.contains("1: started"));
    side.note_with(1, "corosync-cmapctl resources.process.", masked);
    side.lab.must(1, "touch /run/sam-go-on");
    let said = client.finish(PATIENCE);
    side.keep("sam-client cmap", said.text());
    side.note_with(1, "corosync-cmapctl resources.process.", masked);

    // This client needs quorum.
    let client = side.lab.spawn(1, &[program, "quorum"]);
    client.wait_for("started", PATIENCE, |text| text.contains("1: sam_start, again"));
    side.lab.end(2, Signal::KILL);
    client.wait_for("a second instance", PATIENCE, |text| text.contains("instance 2"));
    side.settle(&[1]);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!client.all().contains("2: sam_start:"), "started without quorum: {}", client.all());
    side.start(2);
    side.settle(&[1, 2]);
    client.wait_for("the start with quorum", PATIENCE, |text| text.contains("2: sam_start, again"));
    side.keep("sam-client quorum", client.all());
}

#[test]
fn every_call_of_rust_corosync_says_the_same() {
    if ready() {
        compare(2, calls);
    }
}

#[test]
fn libsam_supervises_alike() {
    if ready() && have(&[("/usr/include/corosync/sam.h", "libsam-dev"), ("/usr/bin/gcc", "gcc")]) {
        compare(2, supervised);
    }
}
