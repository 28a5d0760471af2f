//! How long local clients can keep the thread that owns the ring away from its sockets.
//!
//! Each kind of hostile client runs for a while on host 1 of a ring that is kept busy, so that the token is never
//! held. The measure is the longest time between two tokens that host 1 sent. It can be taken of either daemon, and
//! includes everything that can delay a token, also the noise of this machine. In addition, `annulusd` itself reports
//! how long its loop was away from the ring's sockets (`stats.annulus.longest_stall`). `scripts/interop.sh stalls`
//! prints the table.

use super::clients::{ALLOWED, KINDS, Kind as Hostile};
use super::gaps::Tokens;
use super::work;
use crate::lab::{Kind, Lab, PATIENCE, Settings, Transport};
use crate::{number, ready};
use std::time::Duration;

/// A ring of two hosts that admits the user [`ALLOWED`].
fn ring(kind: Kind, token: u32) -> Lab {
    let mut lab = Lab::new(2);
    // The token is never held, as that would look like a stall.
    let totem = format!("token: {token}\n  seqno_unchanged_const: 1000000000");
    let mut settings = Settings::new(Transport::Udpu, &totem, 2);
    settings.more = format!("uidgid {{\n  uid: {ALLOWED}\n}}");
    lab.configure_with(&settings);
    lab.start_all(kind);
    lab.wait_for_one_ring();
    lab
}

/// The effect of one kind of client on the ring.
struct Outcome {
    said: String,
    tokens: usize,
    longest: Duration,
    /// How many new rings host 2 has been in.
    changes: u64,
    /// The longest stall that the daemon of host 1 measured itself, if it measures it.
    own: Option<f64>,
    died: bool,
}

/// The number that a key holds; `None` if the key is absent or not a number.
fn key(lab: &Lab, k: usize, key: &str) -> Option<f64> {
    let (status, text) = lab.run(k, &["corosync-cmapctl", "-m", "stats", "-g", key]);
    status.success().then(|| text.trim().rsplit(' ').next()?.parse().ok()).flatten()
}

fn rings(lab: &Lab) -> u64 {
    let entered = key(lab, 2, "stats.srp.operational_entered").expect("host 2 is not under attack");
    entered as u64
}

fn attack(lab: &mut Lab, hostile: &Hostile, time: Duration) -> Outcome {
    let _ = lab.run(1, &["corosync-cmapctl", "-m", "stats", "-s", "stats.clear.schedmiss", "u8", "1"]);
    let before = rings(lab);
    let (ms, all) = (time.as_millis().to_string(), (time + Duration::from_secs(1)).as_millis().to_string());
    let (said, (tokens, longest)) = std::thread::scope(|scope| {
        let lab = &*lab;
        let stream = scope.spawn(move || {
            let variables = [("STALL_CLIENT", "stream".to_owned()), ("STALL_MS", all)];
            work(lab, 2, "hostile::clients::worker", &variables)
        });
        // The first messages start the rotation of the token.
        std::thread::sleep(Duration::from_millis(300));
        let recording = Tokens::record(lab);
        let variables = [("STALL_CLIENT", hostile.name.to_owned()), ("STALL_MS", ms)];
        let said = work(lab, 1, "hostile::clients::worker", &variables);
        let found = recording.longest();
        stream.join().expect("the stream ends");
        (said, found)
    });
    let died = !lab.is_alive(1);
    let own = key(lab, 1, "stats.annulus.longest_stall");
    Outcome { said, tokens, longest, changes: rings(lab) - before, own, died }
}

/// Waits until both hosts are on one ring and the daemon of host 1 has recovered from the hostile client.
fn recover(lab: &mut Lab, kind: Kind) {
    if !lab.is_alive(1) {
        lab.kill_daemon(1);
        lab.start(1, kind);
    }
    lab.wait_for_one_ring();
}

/// Whatever local clients do, the ring stays as it is. How long it has to wait is what `scripts/interop.sh stalls`
/// measures; here the token time-out is long enough for an unoptimised build and a busy machine.
#[test]
fn no_local_client_breaks_the_ring() {
    if !ready() {
        return;
    }
    let mut lab = ring(Kind::Annulus, 3000);
    for hostile in KINDS {
        let outcome = attack(&mut lab, hostile, Duration::from_millis(1500));
        lab.assert_alive(1);
        println!("{}: {}, {} tokens", hostile.what, outcome.said, outcome.tokens);
        assert_eq!(outcome.changes, 0, "{}: the membership changed\n{}", hostile.what, lab.log_tail(1));
        assert!(outcome.tokens > 10, "{}: the ring stands still\n{}", hostile.what, lab.log_tail(1));
        assert!(outcome.own.is_some(), "the daemon publishes its longest stall");
    }
    lab.wait_for_one_ring();
}

/// Prints the table of `scripts/interop.sh stalls`: for each kind of client, each daemon with a token time-out of
/// 300 ms.
#[test]
#[ignore = "minutes; run by scripts/interop.sh stalls"]
fn table() {
    if !ready() {
        return;
    }
    let time = Duration::from_secs(number("ANNULUS_STALL_SECONDS").unwrap_or(8));
    let only = std::env::var("ANNULUS_STALL_ONLY").ok();
    let mut cells: Vec<(&str, Vec<String>)> = KINDS.iter().map(|kind| (kind.what, Vec::new())).collect();
    for kind in [Kind::Annulus, Kind::Corosync] {
        let mut lab = ring(kind, 300);
        for (hostile, (_, cells)) in KINDS.iter().zip(&mut cells) {
            if only.as_ref().is_some_and(|only| only != hostile.name) {
                continue;
            }
            let Outcome { said, tokens, longest, changes, own, died } = attack(&mut lab, hostile, time);
            let own = own.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
            let died = if died { ", died" } else { "" };
            println!("{kind:?}: {}: {said}; {tokens} tokens", hostile.what);
            cells.push(format!("{:>8.1} | {own:>6} | {changes}{died}", longest.as_secs_f64() * 1e3));
            recover(&mut lab, kind);
        }
        drop(lab);
    }
    println!(
        "\nlongest time without a token of host 1, ms | measured by the daemon, ms | membership changes"
    );
    for (what, cells) in cells.iter().filter(|(_, cells)| !cells.is_empty()) {
        println!("{what:<42} | {}", cells.join(" || "));
    }
    assert!(PATIENCE > time, "a run is shorter than what is waited for its end");
}
