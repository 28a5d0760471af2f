//! How often each exec function was sent and received.
//!
//! Source: corosync cmap `runtime.services.*`.

use crate::ids::ServiceId;
use crate::value::Value;

/// The prefix of these statistics.
pub(super) const PREFIX: &str = "runtime.services.";

/// How often one exec function was sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Messages received from the ring, this node's own included.
    pub rx: u64,
    /// Messages handed to the ring.
    pub tx: u64,
}

/// The counts of all functions of the services that this node has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    services: Vec<(ServiceId, Vec<Count>)>,
}

impl Traffic {
    /// Adds a service with this number of functions.
    pub(super) fn add(&mut self, service: ServiceId, functions: u16) {
        self.services.push((service, vec![Count::default(); usize::from(functions)]));
    }

    /// For each service, in the order in which they were added: the counts by function number.
    pub(crate) fn services(&self) -> &[(ServiceId, Vec<Count>)] {
        &self.services
    }

    /// Counts a message of the service at this place that came from the ring.
    pub(super) fn received(&mut self, place: usize, function: u16) {
        if let Some(count) = self.count(place, function) {
            count.rx += 1;
        }
    }

    /// Counts a message of the service at this place that was handed to the ring.
    pub(super) fn sent(&mut self, place: usize, function: u16) {
        if let Some(count) = self.count(place, function) {
            count.tx += 1;
        }
    }

    fn count(&mut self, place: usize, function: u16) -> Option<&mut Count> {
        self.services.get_mut(place)?.1.get_mut(usize::from(function))
    }

    /// The counts whose names begin with `prefix`, ascending.
    pub(super) fn statistics(&self, prefix: &str) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        for (service, functions) in &self.services {
            let Some(name) = service.name() else { continue };
            for (function, Count { rx, tx }) in functions.iter().enumerate() {
                for (direction, count) in [("rx", rx), ("tx", tx)] {
                    all.push((format!("{PREFIX}{name}.{function}.{direction}"), Value::U64(*count)));
                }
            }
        }
        all.retain(|(name, _)| name.starts_with(prefix));
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}
