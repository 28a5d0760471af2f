//! The four phases.

use super::commit::Commit;
use super::gather::Gather;
use super::io::StateName;
use super::recovery::Recovery;

/// The phase, with the facts that exist only while it lasts.
#[derive(Debug)]
pub(super) enum State {
    Operational,
    Gather(Gather),
    Commit(Commit),
    Recovery(Box<Recovery>),
}

impl State {
    pub(super) const fn name(&self) -> StateName {
        match self {
            Self::Operational => StateName::Operational,
            Self::Gather(_) => StateName::Gather,
            Self::Commit(_) => StateName::Commit,
            Self::Recovery(_) => StateName::Recovery,
        }
    }
}
