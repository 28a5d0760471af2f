//! A host whose datagrams get lost: the others leave it out of the ring, and both sides say why.

use std::time::{Duration, Instant};

use crate::lab::{Kind, Lab, PATIENCE, Settings, Transport, wait_until};
use crate::ready;

/// For how long it may burden the ring.
const SECONDS: u64 = 5;

#[test]
fn a_host_that_loses_datagrams_is_left_out_and_told_why() {
    if !ready() {
        return;
    }
    let mut lab = Lab::shared(3);
    lab.configure_with(&Settings::new(Transport::Udpu, &format!("loss_patience: {SECONDS}"), 3));
    lab.start_all(Kind::Annulus);
    lab.wait_for_one_ring();
    let options = ["--max", "200", "--seconds", "90", "--warmup", "1"];
    let senders = [1, 2].map(|k| lab.peer(k, &format!("sender{k}"), "latency", &options));
    std::thread::sleep(Duration::from_secs(5));
    assert!(!lab.log(1).contains("is left out"), "nobody loses anything\n{}", lab.log_tail(1));
    lab.lose(3, 40);
    let begun = Instant::now();
    let line = "node 3 loses";
    let says = |k: usize, part: &str| lab.log(k).lines().any(|said| said.contains(part));
    let left_out = || [1, 2].iter().all(|k| says(*k, "it is left out of the ring for 60 s"));
    let outcome = wait_until(PATIENCE, left_out);
    let took = begun.elapsed();
    let logs = || [1, 2, 3].map(|k| lab.log_tail(k)).join("\n");
    assert!(outcome.is_ok() && says(1, line), "{}", logs());
    assert!(took >= Duration::from_secs(SECONDS), "{took:?}");
    let alone = || says(3, "they leave it out for 60 s, in which it is alone");
    assert!(wait_until(PATIENCE, alone).is_ok(), "{}", logs());
    let members = |k: usize| lab.must(k, "corosync-cmapctl -m icmap -b runtime.members.");
    let joined = |k: usize| members(k).lines().filter(|line| line.ends_with("= joined")).count();
    assert!(wait_until(PATIENCE, || (joined(1), joined(2), joined(3)) == (2, 2, 1)).is_ok(), "{}", logs());
    // It hears the others again, and stays alone nevertheless.
    lab.unfilter(3);
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!((joined(1), joined(2), joined(3)), (2, 2, 1), "{}", logs());
    println!("host 3 is left out after {:.1} s", took.as_secs_f64());
    drop(senders);
}
