//! The state of each link to each other node, on transport knet.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::table::{Tint, columns, harmless, tinted};
use crate::cli::links::Links;
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::Map;
use crate::value::Value;

/// Prefix of the link statistics that only annulus' daemon has.
const OWN: &str = "stats.annulus.link.";

/// The details of a link that Corosync's tools do not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    /// For how long the link has been in its state; `None` with Corosync's daemon.
    since: Option<Duration>,
    /// Why the link is down.
    cause: Option<String>,
    /// Mean round-trip time.
    latency: Option<Duration>,
    /// How often the link went down.
    downs: Option<u64>,
}

/// The details of all links, by node and link number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Paths(BTreeMap<(u32, usize), Path>);

impl Paths {
    /// Reads the details from the daemon; missing ones are left out.
    pub(super) fn ask(site: &Site, links: &Links) -> Self {
        let mut paths = Self::default();
        if !links.is_knet() {
            return paths;
        }
        let confdb = site.confdb(Map::Statistics);
        let read = |key: String| confdb.get_value(&key).ok().flatten();
        for reach in links.reaches.iter().filter(|reach| reach.node != links.local) {
            for (number, _) in reach.status.links.iter().enumerate().filter(|(_, link)| link.enabled) {
                let place = format!("node{}.link{number}.", reach.node);
                let count =
                    |name: &str| read(format!("stats.knet.{place}{name}")).and_then(|value| value.number());
                let own = |name: &str| read(format!("{OWN}{place}{name}"));
                let samples = count("latency_samples").filter(|samples| *samples > 0);
                let path = Path {
                    since: own("since").and_then(|value| value.number()).map(seconds),
                    cause: own("cause").and_then(text).filter(|cause| !cause.is_empty()),
                    latency: samples
                        .and_then(|_| count("latency_ave"))
                        .map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
                    downs: count("down_count").and_then(|downs| downs.try_into().ok()),
                };
                paths.0.insert((reach.node, number), path);
            }
        }
        paths
    }

    fn of(&self, node: u32, link: usize) -> Path {
        self.0.get(&(node, link)).cloned().unwrap_or_default()
    }

    /// The details as a table; empty if there are no links to show.
    pub(super) fn table(&self, links: &Links, streams: &Streams<'_>) -> String {
        let mut rows = Vec::new();
        for reach in
            links.reaches.iter().filter(|_| links.is_knet()).filter(|reach| reach.node != links.local)
        {
            for (number, link) in reach.status.links.iter().enumerate().filter(|(_, link)| link.enabled) {
                let Path { since, cause, latency, .. } = self.of(reach.node, number);
                let state = match (link.connected, cause) {
                    (true, _) => tinted("up", Tint::Good, streams),
                    (false, None) => tinted("DOWN", Tint::Bad, streams),
                    (false, Some(cause)) => format!("{}: {cause}", tinted("DOWN", Tint::Bad, streams)),
                };
                rows.push([
                    reach.node.to_string(),
                    number.to_string(),
                    harmless(link.from.as_bytes()),
                    harmless(link.to.as_bytes()),
                    since.map_or_else(|| "-".to_owned(), age),
                    latency
                        .filter(|_| link.connected)
                        .map_or_else(|| "-".to_owned(), |latency| format!("{} us", latency.as_micros())),
                    link.mtu.to_string(),
                    state,
                ]);
            }
        }
        if rows.is_empty() {
            return String::new();
        }
        columns(["NODE", "LINK", "FROM", "TO", "SINCE", "LATENCY", "MTU", "STATE"], &rows, streams) + "\n"
    }

    /// The details of one link as JSON.
    pub(super) fn json(&self, node: u32, link: usize) -> serde_json::Value {
        let Path { since, cause, latency, downs } = self.of(node, link);
        json!({
            "since_seconds": since.map(|since| since.as_secs()),
            "cause": cause,
            "latency_us": latency.map(|latency| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)),
            "down_count": downs,
        })
    }
}

fn seconds(number: i128) -> Duration {
    Duration::from_secs(u64::try_from(number).unwrap_or(0))
}

fn text(value: Value) -> Option<String> {
    value.as_text().map(|text| harmless(text.as_bytes()))
}

/// A duration in its largest unit: `5 s`, `3 min`, `7 h`, `12 days`.
fn age(time: Duration) -> String {
    match time.as_secs() {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86400),
    }
}
