//! What the desk knows of a client.

use std::collections::BTreeSet;

use super::iterate::Iterations;
use super::shelf::Shelf;

/// The state of a client.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) user: u32,
    pub(super) shelf: Shelf,
    pub(super) iterations: Iterations,
    pub(super) trackers: BTreeSet<u64>,
}
