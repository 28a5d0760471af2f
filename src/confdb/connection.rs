//! What the desk knows of a client.

use std::collections::BTreeSet;

use super::iterate::Iterations;
use crate::ids::ConnId;

/// The map that a connection uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Configuration and state, stored.
    #[default]
    Config,
    /// Statistics, computed when they are read.
    Statistics,
}

/// The state of a client.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) user: u32,
    pub(super) shelf: Shelf,
    pub(super) iterations: Iterations,
    pub(super) trackers: BTreeSet<u64>,
}

/// An answer that follows after the notifications of the change that it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) conn: ConnId,
    pub(super) response: i32,
}
