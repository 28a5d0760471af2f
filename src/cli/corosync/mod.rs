//! Corosync's command-line tools: called by the name of one of them, the program behaves like that tool, with the
//! same output and exit status.
//!
//! Options, outputs and errors are identical to the byte, as far as programs and people may depend on them; the texts
//! of `-h` are annulus' own.
//!
//! | file | what |
//! |---|---|
//! | `quorumtool.rs` | `corosync-quorumtool` |
//! | `cmapctl.rs` `values.rs` | `corosync-cmapctl` |
//! | `cfgtool.rs` | `corosync-cfgtool` |
//! | `cpgtool.rs` | `corosync-cpgtool` |
//! | `keygen.rs` | `corosync-keygen` |
//! | `c.rs` | visible details of C |

pub(super) mod c;
mod cfgtool;
mod cmapctl;
mod cpgtool;
pub(super) mod keygen;
mod quorumtool;
pub(super) mod values;

use std::ffi::OsString;
use std::path::Path;

use super::site::Site;
use super::streams::Streams;

/// The version that the tools report.
const VERSION: &str = "3.1.7";

/// A tool of Corosync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Quorumtool,
    Cmapctl,
    Cfgtool,
    Cpgtool,
    Keygen,
}

impl Tool {
    /// The tool with this file name; directories in the path are ignored.
    pub(super) fn called(name: &Path) -> Option<Self> {
        Some(match name.file_name()?.to_str()? {
            "corosync-quorumtool" => Self::Quorumtool,
            "corosync-cmapctl" => Self::Cmapctl,
            "corosync-cfgtool" => Self::Cfgtool,
            "corosync-cpgtool" => Self::Cpgtool,
            "corosync-keygen" => Self::Keygen,
            _ => return None,
        })
    }

    /// Runs the tool; `args` begin with the program's name. Returns the exit status.
    pub(super) fn run(self, args: Vec<OsString>, site: &Site, streams: &mut Streams<'_>) -> u8 {
        match self {
            Self::Quorumtool => quorumtool::run(args, site, streams),
            Self::Cmapctl => cmapctl::run(args, site, streams),
            Self::Cfgtool => cfgtool::run(args, site, streams),
            Self::Cpgtool => cpgtool::run(args, site, streams),
            Self::Keygen => keygen::run(args, streams),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_known_by_their_file_name() {
        assert_eq!(Tool::called(Path::new("/usr/sbin/corosync-cmapctl")), Some(Tool::Cmapctl));
        assert_eq!(Tool::called(Path::new("corosync-keygen")), Some(Tool::Keygen));
        assert_eq!(Tool::called(Path::new("/corosync-keygen/annulus")), None);
        assert_eq!(Tool::called(Path::new("corosync-cmapctl.old")), None);
    }
}
