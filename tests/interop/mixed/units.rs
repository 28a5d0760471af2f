//! systemd's units: if the unit of annulusd is enabled, it is the corosync.service that Debian's units for programs
//! on the cluster engine require.

use std::fs;
use std::path::Path;
use std::process::Command;

const UNITS: &str = "/lib/systemd/system";

/// Debian's units that require the engine.
const NEEDING: [&str; 2] = ["pacemaker.service", "corosync-qdevice.service"];

/// Runs systemctl on the files below `root`, without a service manager.
fn systemctl(root: &Path, words: &[&str]) -> (bool, String) {
    let output =
        Command::new("systemctl").arg("--root").arg(root).args(words).output().expect("systemctl starts");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn pacemaker_accepts_the_annulusd_unit_as_corosync() {
    if !crate::have(&[
        ("/usr/bin/systemctl", "systemd"),
        ("/lib/systemd/system/corosync.service", "corosync"),
        ("/lib/systemd/system/pacemaker.service", "pacemaker"),
        ("/lib/systemd/system/corosync-qdevice.service", "corosync-qdevice"),
    ]) {
        return;
    }
    for unit in NEEDING {
        let text = fs::read_to_string(Path::new(UNITS).join(unit)).expect("read a unit");
        assert!(text.lines().any(|line| line == "Requires=corosync.service"), "{unit}: {text}");
    }
    let root = tempfile::tempdir().expect("a folder");
    let [theirs, own] = [UNITS, "/etc/systemd/system"].map(|folder| root.path().join(&folder[1..]));
    for folder in [&theirs, &own] {
        fs::create_dir_all(folder).expect("make a folder");
    }
    fs::copy(Path::new(UNITS).join("corosync.service"), theirs.join("corosync.service"))
        .expect("copy a unit");
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/annulusd.service");
    fs::copy(unit, own.join("annulusd.service")).expect("copy the unit");

    // From Corosync to annulusd.
    assert!(systemctl(root.path(), &["disable", "corosync"]).0);
    assert!(systemctl(root.path(), &["enable", "annulusd"]).0);
    let alias = own.join("corosync.service");
    assert_eq!(fs::read_link(&alias).expect("an alias"), Path::new("/etc/systemd/system/annulusd.service"));
    assert_eq!(systemctl(root.path(), &["is-enabled", "corosync"]), (true, "alias".to_owned()));
    // systemd refuses this while the name belongs to the unit of annulusd.
    assert!(!systemctl(root.path(), &["enable", "corosync"]).0);

    // And back to Corosync.
    assert!(systemctl(root.path(), &["disable", "annulusd"]).0);
    assert!(fs::symlink_metadata(&alias).is_err(), "the name is Corosync's again");
    assert!(systemctl(root.path(), &["enable", "corosync"]).0);
    assert_eq!(systemctl(root.path(), &["is-enabled", "corosync"]), (true, "enabled".to_owned()));
}
