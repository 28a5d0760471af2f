//! The desks of a node.

use crate::quorum::votequorum;
use crate::service::Service;
use crate::service::router;
use crate::time::{Instant, earliest};
use crate::{admin, confdb, cpg, quorum};

/// The desks of a node.
#[derive(Debug)]
pub(super) struct Desks {
    pub(super) confdb: confdb::Desk,
    pub(super) admin: admin::Desk,
    pub(super) cpg: cpg::Desk,
    pub(super) quorum: quorum::Desk,
    /// `None`: there is no quorum provider, so no votes are counted and the node is always quorate.
    pub(super) votequorum: Option<votequorum::Desk>,
}

impl Desks {
    /// Calls `act` with all desks, ascending by service id as the router expects them.
    #[inline]
    pub(super) fn with<R>(&mut self, act: impl FnOnce(router::Desks<'_, '_>) -> R) -> R {
        let Self { confdb, admin, cpg, quorum, votequorum } = self;
        match votequorum {
            Some(votequorum) => act(&mut [confdb, admin, cpg, quorum, votequorum]),
            None => act(&mut [confdb, admin, cpg, quorum]),
        }
    }

    /// The earliest deadline of all desks.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let Self { confdb, admin, cpg, quorum, votequorum } = self;
        let votes = votequorum.as_ref().and_then(Service::deadline);
        earliest([confdb.deadline(), admin.deadline(), cpg.deadline(), quorum.deadline(), votes])
    }

    /// All desks, to ask each of them something.
    pub(super) fn all(&self) -> impl Iterator<Item = &dyn Service> {
        let desks: [&dyn Service; 4] = [&self.confdb, &self.admin, &self.cpg, &self.quorum];
        desks.into_iter().chain(self.votequorum.iter().map(|desk| desk as &dyn Service))
    }
}
