//! Decides who may connect over IPC.
//!
//! Source: corosync `exec/ipc_glue.c`, `cs_ipcs_connection_accept`.

use std::collections::BTreeSet;

use crate::config::system::Access;
use crate::ids::ServiceId;
use crate::ipc::{Admission, Credentials, Refusal};
use crate::service::Database;
use crate::value::Value;

/// The settings of a daemon for admission.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The user id of the daemon, which may connect besides root.
    pub own_uid: u32,
}

/// Prefixes of the database keys that admit a user or group while their value is 1: those that administrators set,
/// and those written from the configuration.
const KEYS: [(&str, &str); 2] = [("uidgid.uid.", "uidgid.gid."), (CONFIG_UIDS, CONFIG_GIDS)];
const CONFIG_UIDS: &str = "uidgid.config.uid.";
const CONFIG_GIDS: &str = "uidgid.config.gid.";

/// Writes the users and groups that the configuration admits, and removes those that it admitted before.
pub(super) fn write(access: &Access, database: &mut Database) {
    for (prefix, ids) in [(CONFIG_UIDS, &access.uids), (CONFIG_GIDS, &access.gids)] {
        let keys: BTreeSet<String> = ids.iter().map(|id| format!("{prefix}{id}")).collect();
        let old = database.range(prefix).map(|(name, _)| name).filter(|name| !keys.contains(*name));
        let old: Vec<String> = old.map(str::to_owned).collect();
        for name in old {
            database.remove(&name);
        }
        for name in keys {
            database.set(&name, Value::U8(1));
        }
    }
}

/// The admission policy with the facts that it depends on now.
pub(super) struct Gate<'a> {
    pub(super) policy: &'a Policy,
    pub(super) database: &'a Database,
    /// Whether the first synchronisation has completed.
    pub(super) ready: bool,
    /// Whether the service exists.
    pub(super) known: &'a dyn Fn(ServiceId) -> bool,
}

impl Admission for Gate<'_> {
    fn admit(&self, service: ServiceId, peer: &Credentials) -> Result<(), Refusal> {
        if !self.ready {
            return Err(Refusal::NotReady);
        }
        if !(self.known)(service) {
            return Err(Refusal::NoService);
        }
        let Credentials { uid, gid, .. } = *peer;
        let is_one =
            |prefix: &str, id: u32| self.database.get(&format!("{prefix}{id}")) == Some(&Value::U8(1));
        if uid == 0
            || gid == 0
            || uid == self.policy.own_uid
            || KEYS.iter().any(|(uids, gids)| is_one(uids, uid) || is_one(gids, gid))
        {
            return Ok(());
        }
        // The server logs the refusal, and limits how many lines a flood of them makes.
        Err(Refusal::Denied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Database;

    fn verdict_of(database: &Database, ready: bool, uid: u32, gid: u32) -> Result<(), Refusal> {
        let policy = Policy { own_uid: 1000 };
        let known = |service| service == ServiceId::CPG;
        let peer = Credentials { pid: 1, uid, gid };
        Gate { policy: &policy, database, ready, known: &known }.admit(ServiceId::CPG, &peer)
    }

    fn verdict(ready: bool, uid: u32, gid: u32) -> Result<(), Refusal> {
        let mut database = Database::default();
        write(&Access { uids: [17].into(), gids: [190].into() }, &mut database);
        verdict_of(&database, ready, uid, gid)
    }

    #[test]
    fn keys_admit_users_until_they_are_removed() {
        let mut database = Database::default();
        write(&Access { uids: [17, 18].into(), gids: [190].into() }, &mut database);
        write(&Access { uids: [18].into(), gids: [].into() }, &mut database);
        for (uid, gid, verdict) in
            [(17, 5, Err(Refusal::Denied)), (18, 5, Ok(())), (5, 190, Err(Refusal::Denied))]
        {
            assert_eq!(verdict_of(&database, true, uid, gid), verdict, "{uid}:{gid}");
        }
        // Pacemaker sets this key for its own group.
        database.set("uidgid.gid.190", Value::U8(1));
        assert_eq!(verdict_of(&database, true, 5, 190), Ok(()));
        database.set("uidgid.gid.190", Value::U8(0));
        assert_eq!(verdict_of(&database, true, 5, 190), Err(Refusal::Denied));
        database.set("uidgid.uid.5", Value::U32(1));
        assert_eq!(verdict_of(&database, true, 5, 6), Err(Refusal::Denied), "only a u8 counts");
    }

    #[test]
    fn root_own_and_configured_users_are_admitted() {
        for (uid, gid) in [(0, 5), (5, 0), (1000, 5), (17, 5), (5, 190)] {
            assert_eq!(verdict(true, uid, gid), Ok(()), "{uid}:{gid}");
        }
        assert_eq!(verdict(true, 5, 5), Err(Refusal::Denied));
        assert_eq!(verdict(true, 190, 17), Err(Refusal::Denied), "a gid is no uid");
    }

    #[test]
    fn nobody_is_admitted_before_the_first_synchronisation() {
        assert_eq!(verdict(false, 0, 0), Err(Refusal::NotReady));
    }

    #[test]
    fn an_unknown_service_has_its_own_refusal() {
        let policy = Policy { own_uid: 0 };
        let gate = Gate { policy: &policy, database: &Database::default(), ready: true, known: &|_| false };
        let peer = Credentials { pid: 1, uid: 0, gid: 0 };
        assert_eq!(gate.admit(ServiceId::QUORUM, &peer), Err(Refusal::NoService));
    }
}
