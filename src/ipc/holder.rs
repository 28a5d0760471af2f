//! Finds the process that has taken the address of a service.
//!
//! The name of an abstract socket belongs to the process that binds it first, and any local user may do so.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;

use super::credentials::connected_by;

/// A process that has bound an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process id; 0 if it is not visible in this PID namespace.
    pub pid: u32,
    /// The user id of the process.
    pub uid: u32,
    /// The name of its program, at most 15 bytes; empty if unknown.
    pub program: String,
}

impl Holder {
    /// Whether it runs as root or as the user of this process, so that it may rightly use the address.
    pub(super) fn is_ours(&self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }

    /// The remedy for the operator.
    pub(super) fn advice(&self) -> &'static str {
        if self.is_ours() {
            "Stop that program, if it is another daemon, or start this one with --instance"
        } else {
            "It is no daemon of root's: any user can take such a name first. End that process, then start this daemon \
             again"
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &*self.program) {
            (0, _) => write!(f, "a process that is not visible from here, of user {}", self.uid),
            (pid, "") => write!(f, "process {pid} of user {}", self.uid),
            (pid, program) => write!(f, "process {pid} ({program}) of user {}", self.uid),
        }
    }
}

/// The process that listens at the address to which a socket is connected, as the kernel reports it.
pub(super) fn at_other_end(socket: BorrowedFd<'_>) -> io::Result<Holder> {
    let found = connected_by(socket)?;
    Ok(Holder { pid: found.pid, uid: found.uid, program: program(found.pid) })
}

/// The process that holds the socket bound to this path, as `/proc/net/unix` shows it. Searches the descriptors of
/// all processes in `/proc`, so it is only used when a server cannot start.
pub(super) fn bound(path: &[u8]) -> Option<Holder> {
    let table = fs::read("/proc/net/unix").ok()?;
    let inode = table.split(|byte| *byte == b'\n').skip(1).find_map(|line| inode_of(line, path))?;
    let link = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // The descriptors of some processes may not be visible.
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let has =
            |entry: fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == link.as_str());
        if descriptors.flatten().any(has) {
            let uid = process.metadata().ok()?.uid();
            return Some(Holder { pid, uid, program: program(pid) });
        }
    }
    None
}

/// The inode in a line of `/proc/net/unix`, if the line is about this path.
fn inode_of(line: &[u8], path: &[u8]) -> Option<u64> {
    let rest = line.strip_suffix(path)?.strip_suffix(b" ")?;
    // Number, references, protocol, flags, type, state, inode.
    let fields: Vec<&[u8]> = rest.split(|byte| *byte == b' ').filter(|field| !field.is_empty()).collect();
    str::from_utf8(fields.get(6)?).ok()?.parse().ok()
}

fn program(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_matches_only_the_whole_path() {
        let line = b"ffff8b: 00000002 00000000 00010000 0001 01 4711 @cpg@@";
        assert_eq!(inode_of(line, b"@cpg@@"), Some(4711));
        for path in [&b"cpg@@"[..], b"@cpg@", b"@cpg", b"@cfg@@", b"4711 @cpg@@"] {
            assert_eq!(inode_of(line, path), None, "{}", String::from_utf8_lossy(path));
        }
        assert_eq!(inode_of(b"", b"@cpg"), None);
    }
}
