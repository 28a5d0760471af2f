//! Who may connect over IPC.
//!
//! Source: corosync `exec/ipc_glue.c`, `cs_ipcs_connection_accept`.

use crate::config::system::Access;
use crate::ids::ServiceId;
use crate::ipc::{Admission, Credentials, Refusal};

/// The policy of a daemon.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The daemon's own user, who may connect to a daemon of his.
    pub own_uid: u32,
    /// Users and groups, besides root, that may connect.
    pub access: Access,
}

/// The policy, at a certain time.
#[derive(Debug)]
pub(super) struct Gate<'a> {
    pub(super) policy: &'a Policy,
    /// Whether the first synchronisation has completed.
    pub(super) ready: bool,
    /// Whether the service exists.
    pub(super) known: fn(ServiceId) -> bool,
}

impl Admission for Gate<'_> {
    fn admit(&self, service: ServiceId, peer: &Credentials) -> Result<(), Refusal> {
        if !self.ready {
            return Err(Refusal::NotReady);
        }
        if !(self.known)(service) {
            return Err(Refusal::NoService);
        }
        let Credentials { pid, uid, gid } = *peer;
        let Policy { own_uid, access } = self.policy;
        if uid == 0 || gid == 0 || uid == *own_uid || access.uids.contains(&uid) || access.gids.contains(&gid)
        {
            return Ok(());
        }
        tracing::error!(
            target: "annulus::node",
            pid, service = service.0,
            "Denied connection attempt from {uid}:{gid}; a section uidgid of the configuration can allow it"
        );
        Err(Refusal::Denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(ready: bool, uid: u32, gid: u32) -> Result<(), Refusal> {
        let policy = Policy { own_uid: 1000, access: Access { uids: [17].into(), gids: [190].into() } };
        let known = |service| service == ServiceId::CPG;
        Gate { policy: &policy, ready, known }.admit(ServiceId::CPG, &Credentials { pid: 1, uid, gid })
    }

    #[test]
    fn root_own_user_and_configured_ones_are_let_in() {
        for (uid, gid) in [(0, 5), (5, 0), (1000, 5), (17, 5), (5, 190)] {
            assert_eq!(verdict(true, uid, gid), Ok(()), "{uid}:{gid}");
        }
        assert_eq!(verdict(true, 5, 5), Err(Refusal::Denied));
        assert_eq!(verdict(true, 190, 17), Err(Refusal::Denied), "a gid is no uid");
    }

    #[test]
    fn nobody_comes_in_before_the_first_synchronisation() {
        assert_eq!(verdict(false, 0, 0), Err(Refusal::NotReady));
    }

    #[test]
    fn an_unknown_service_is_told_apart() {
        let policy = Policy { own_uid: 0, access: Access::default() };
        let gate = Gate { policy: &policy, ready: true, known: |_| false };
        let peer = Credentials { pid: 1, uid: 0, gid: 0 };
        assert_eq!(gate.admit(ServiceId::QUORUM, &peer), Err(Refusal::NoService));
    }
}
