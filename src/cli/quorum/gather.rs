//! Collects a report on quorum from the daemon.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::report::{Member, Report};
use crate::cli::site::Site;
use crate::confdb::Map;
use crate::config::host::Host;
use crate::config::os::OsHost;
use crate::ids::NodeId;
use crate::service::client::Error;

/// How members are named.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Naming {
    /// Whether addresses are used instead of names.
    pub(in crate::cli) addresses: bool,
    /// Whether all addresses are used rather than only the first.
    pub(in crate::cli) all: bool,
}

/// The provider name of votequorum in the configuration.
pub(in crate::cli) const VOTEQUORUM: &str = "corosync_votequorum";

/// Collects a report. Also returns what is missing in it.
pub(in crate::cli) fn report(
    site: &Site,
    provider: Option<String>,
    naming: Naming,
) -> Result<(Report, Vec<String>), Error> {
    let info = site.quorum().info()?;
    let local = match &info.votes {
        Some(votes) => votes.node,
        None => site.local()?,
    };
    let names = names(site);
    let mut missing = Vec::new();
    let mut members = Vec::with_capacity(info.members.len());
    for node in info.members {
        let votes = match info.votes {
            Some(_) => site.quorum().node(node).ok(),
            None => None,
        };
        let addresses = match site.admin().addresses(node) {
            Ok(addresses) => addresses,
            Err(error) => {
                let status = error.status();
                missing.push(format!("Unable to get node address for nodeid {node}: {status}"));
                Vec::new()
            }
        };
        let shown = shown(names.get(&node), &addresses, naming, &OsHost);
        members.push(Member { id: node.get(), names: shown, votes });
    }
    let quorate = info.quorate;
    Ok((
        Report { provider, local: local.get(), ring: info.ring, quorate, votes: info.votes, members },
        missing,
    ))
}

/// The names in the node list; empty if it cannot be read.
pub(in crate::cli) fn names(site: &Site) -> BTreeMap<NodeId, String> {
    let mut ids = BTreeMap::new();
    let mut names = BTreeMap::new();
    let Ok(entries) = site.confdb(Map::Configuration).list("nodelist.node.") else { return BTreeMap::new() };
    for entry in entries.flatten() {
        let Some((position, key)) =
            entry.key.strip_prefix("nodelist.node.").and_then(|rest| rest.split_once('.'))
        else {
            continue;
        };
        let id = entry.value.number().and_then(|id| NodeId::new(u32::try_from(id).ok()?));
        match (key, id, entry.value.as_text()) {
            ("nodeid", Some(id), _) => {
                ids.insert(position.to_owned(), id);
            }
            ("name", _, Some(name)) => {
                names.insert(position.to_owned(), name.into_owned());
            }
            _ => {}
        }
    }
    ids.into_iter().filter_map(|(position, id)| Some((id, names.remove(&position)?))).collect()
}

/// The names of a member: that in the node list, or its first address; then, if all are wanted, the other addresses.
/// Addresses are resolved to names unless addresses are wanted; one without a name gives an empty text.
fn shown(name: Option<&String>, addresses: &[IpAddr], naming: Naming, host: &dyn Host) -> Vec<String> {
    let called = |address: &IpAddr| {
        if naming.addresses { address.to_string() } else { host.reverse(*address).unwrap_or_default() }
    };
    let mut all = Vec::new();
    match name {
        Some(name) if !naming.addresses => all.push(name.clone()),
        _ => all.extend(addresses.first().map(called)),
    }
    if naming.all {
        all.extend(addresses.iter().skip(1).map(called));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::MadeUp;

    #[test]
    fn members_are_named_as_by_corosync() {
        let all = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 1, 0, 1])];
        let n1 = "n1".to_owned();
        let called = |name, addresses, all_of_them| {
            shown(name, &all, Naming { addresses, all: all_of_them }, &MadeUp::default()).join(", ")
        };
        assert_eq!(called(Some(&n1), false, false), "n1");
        assert_eq!(called(Some(&n1), false, true), "n1, ");
        assert_eq!(called(Some(&n1), true, false), "10.0.0.1");
        assert_eq!(called(Some(&n1), true, true), "10.0.0.1, 10.1.0.1");
        assert_eq!(called(None, false, false), "front.example.org");
        assert_eq!(called(None, false, true), "front.example.org, ");
    }
}
