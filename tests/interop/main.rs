//! annulusd against Debian's Corosync, its libcpg and tools, and Wireshark's dissectors.
//!
//! The hosts are namespaces of this machine ([`lab`]); the clients are `peer/`, a separate program that links
//! Debian's libcpg. The tests need root and the packages that `scripts/install-peers.sh` installs. Without them each
//! test prints `skipped:` with the reason and passes; with `CI=true`, a missing package is a failure.
//!
//! | variable | what |
//! |---|---|
//! | `ANNULUS_INTEROP_FULL=1` | 100,000 messages per sender instead of 10,000, and the full counts of `hostile` |
//! | `ANNULUS_INTEROP_COUNT` | messages per sender |
//! | `ANNULUSD`, `CPG_PEER` | other programs than those built with the tests |
//! | `ANNULUS_INTEROP_OURS=corosync` | Debian's Corosync in place of annulusd, to validate the comparisons |
//! | `ANNULUS_INTEROP_NOTES` | a folder for all outputs of the compared tools |
//! | `ANNULUS_LAB_KEEP=1` | keep the folders of the hosts |
//! | `ANNULUS_TRIXIE` | the folder of Debian 13's system, see [`trixie`]; default `target/trixie` |

#![cfg(all(target_os = "linux", feature = "daemon"))]

mod api;
mod bad_network;
mod benchmark;
mod both;
mod cfgtool;
#[cfg(feature = "tools")]
mod cli;
mod clients;
mod cmapctl;
mod counts;
mod database;
mod disk;
mod ended;
mod engines;
mod hostile;
mod idle;
mod knet_bench;
mod lab;
mod leaving_out;
mod long;
mod mixed;
mod order;
mod pacemaker;
mod parts;
mod pauses;
mod pcs;
mod purpose;
mod qdevice;
mod quorumtool;
mod reload;
mod sequence;
mod side_by_side;
mod size;
mod steady;
mod tools;
mod trixie;
mod uplinks;
mod usage;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Number of messages that each sender sends.
pub(crate) fn message_count() -> u64 {
    number("ANNULUS_INTEROP_COUNT").unwrap_or(if full() { 100_000 } else { 10_000 })
}

/// Whether the full counts are requested.
pub(crate) fn full() -> bool {
    std::env::var("ANNULUS_INTEROP_FULL").is_ok_and(|value| value == "1")
}

/// A number from an environment variable.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Whether this machine can run the lab. If not, prints the reason, and fails where the lab must run.
pub(crate) fn ready() -> bool {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    let why = WHY.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return Some("hosts as namespaces need root".to_owned());
        }
        missing(&[
            ("/usr/sbin/corosync", "corosync"),
            ("/usr/include/corosync/cpg.h", "libcpg-dev"),
            ("/usr/bin/tshark", "tshark"),
            ("/usr/bin/dumpcap", "wireshark-common"),
            ("/usr/sbin/ip", "iproute2"),
            ("/usr/bin/nsenter", "util-linux"),
        ])
    });
    if let Some(why) = why {
        skip(why);
        return false;
    }
    true
}

/// Whether these files exist; each is given with its package. Prints which are missing, and fails where they must
/// exist.
pub(crate) fn have(files: &[(&str, &str)]) -> bool {
    let why = missing(files);
    if let Some(why) = &why {
        skip(why);
    }
    why.is_none()
}

fn missing(files: &[(&str, &str)]) -> Option<String> {
    let missing: Vec<&str> =
        files.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package).collect();
    (!missing.is_empty())
        .then(|| format!("missing packages: {} (scripts/install-peers.sh installs them)", missing.join(" ")))
}

fn skip(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "the interop tests must run in CI, but: {why}");
    println!("skipped: {why}");
}

/// The libcpg client, compiled once.
pub(crate) fn peer_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("CPG_PEER", "tests/interop/peer", &["--locked"], "cpg-peer"))
}

/// The program that measures through this crate's own client, compiled once.
pub(crate) fn own_client() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("CPG_SPEED", ".", &["--example", "cpg_speed"], "examples/cpg_speed"))
}

/// The release build of a program of the package in `folder`, or the file that the variable names.
fn built(variable: &str, folder: &str, options: &[&str], file: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let target = package.join("target");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--manifest-path"])
        .arg(package.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .args(options)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    target.join("release").join(file)
}
