//! Resolves names and addresses in the file to addresses on this host, with the interface if one is given
//! (`fe80::1%eth1`, `fe80::1%3`).

use std::net::{IpAddr, Ipv6Addr};

use super::host::{Host, LocalAddress};
use super::totem::IpVersion;

/// The meaning of a text on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) address: IpAddr,
    /// The name of the interface that is given with the address.
    pub(super) interface: Option<String>,
}

/// Resolves a text.
///
/// # Errors
/// A text for the hint: why the name or address is unknown here.
pub(super) fn resolve(
    text: &str,
    ip_version: IpVersion,
    host: &dyn Host,
    locals: &[LocalAddress],
) -> Result<Resolved, String> {
    if let Some((address, scope)) = scoped(text) {
        if ip_version == IpVersion::V4 {
            return Err(format!("it must be {}", family(ip_version)));
        }
        let interface = interface(scope, locals)?;
        return Ok(Resolved { address: address.into(), interface: Some(interface) });
    }
    let found = host.resolve_scoped(text);
    let addresses: Vec<IpAddr> = found.iter().map(|(address, _)| *address).collect();
    let Some(address) = ip_version.choose(&addresses) else {
        let what = if found.is_empty() { why_unknown(text) } else { String::new() };
        return Err(format!(
            "{what}it must be an address, or a name that resolves on this host, of {}",
            family(ip_version)
        ));
    };
    let index = found.iter().find(|(one, _)| *one == address).map_or(0, |(_, index)| *index);
    let interface = locals.iter().find(|local| local.index == index && index != 0);
    Ok(Resolved { address, interface: interface.map(|local| local.interface.clone()) })
}

/// An IPv6 address and the text behind its `%`.
pub(super) fn scoped(text: &str) -> Option<(Ipv6Addr, &str)> {
    let (address, scope) = text.split_once('%')?;
    Some((address.parse().ok()?, scope))
}

/// The name of the interface given by name or number.
fn interface(scope: &str, locals: &[LocalAddress]) -> Result<String, String> {
    let found = locals
        .iter()
        .find(|local| local.interface == scope)
        .or_else(|| locals.iter().find(|local| scope.parse() == Ok(local.index)));
    if let Some(local) = found {
        return Ok(local.interface.clone());
    }
    let mut present: Vec<String> = Vec::new();
    for local in locals {
        let one = format!("{} ({})", local.interface, local.index);
        if !present.contains(&one) {
            present.push(one);
        }
    }
    Err(format!("this host has no interface {scope:?} with an address; it has {}", present.join(", ")))
}

fn why_unknown(text: &str) -> String {
    let name = text.bytes().any(|byte| byte.is_ascii_alphabetic()) && !text.contains(':');
    if name && super::bytes::unusual(text.as_bytes()).is_none() {
        return format!("{text} does not resolve on this host (getent hosts {text}; see /etc/hosts)\n");
    }
    String::new()
}

/// The address families of this setting, in words for an error.
pub(super) fn family(ip_version: IpVersion) -> &'static str {
    match ip_version {
        IpVersion::V4 => "IPv4",
        IpVersion::V6 => "IPv6",
        IpVersion::V4ThenV6 | IpVersion::V6ThenV4 => "IPv4 or IPv6",
    }
}
