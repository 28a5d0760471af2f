//! Debian 13's Corosync, 3.1.9 with its own libknet, libqb and NSS, as a second peer, in a system of its own.
//!
//! `scripts/trixie.sh` makes that system with debootstrap, in `target/trixie` or the folder that `ANNULUS_TRIXIE`
//! names. Its daemon runs in the namespaces of a host like the others, with that folder as its root. Clients and
//! tools are those of the system that the tests run on, so the interfaces between versions are tested too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The folder of Debian 13's system, whether or not it exists.
fn root() -> PathBuf {
    std::env::var_os("ANNULUS_TRIXIE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/trixie"),
        |folder| std::path::absolute(PathBuf::from(folder)).expect("ANNULUS_TRIXIE is a path"),
    )
}

/// Whether Debian 13's Corosync is here. If not, prints the reason, and fails where it must be here.
pub(crate) fn trixie_is_here() -> bool {
    let program = root().join("usr/sbin/corosync");
    if program.exists() {
        return true;
    }
    crate::skip(&format!("no {} (scripts/trixie.sh makes it)", program.display()));
    false
}

/// A script that runs a program in Debian 13's system, in the place of the host with the folder `dir`, by exec.
pub(crate) fn entrance(dir: &Path) -> PathBuf {
    let script = dir.join("enter-trixie");
    let (root, dir) = (root().display().to_string(), dir.display());
    let text = format!(
        "#!/bin/sh\n\
         # The mounts are of this host's namespace and end with it.\n\
         set -e\n\
         if ! [ -d '{root}{dir}/etc' ]; then\n\
         mount -t tmpfs tmpfs '{root}/tmp'\n\
         mkdir -p '{root}{dir}' '{root}/etc/corosync' '{root}/var/lib/corosync'\n\
         mount --bind '{dir}' '{root}{dir}'\n\
         mount --bind '{dir}/etc' '{root}/etc/corosync'\n\
         mount --bind '{dir}/lib' '{root}/var/lib'\n\
         mount --bind '{dir}/run' '{root}/run'\n\
         mount --rbind /dev '{root}/dev'\n\
         mount --rbind /proc '{root}/proc'\n\
         fi\n\
         exec chroot '{root}' \"$@\"\n"
    );
    fs::write(&script, text).expect("write the way into Debian 13's system");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("make it a program");
    script
}
