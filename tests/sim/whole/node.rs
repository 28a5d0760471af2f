//! A whole node. Nothing is around it but its ring and its clients.

use annulus::stack::{Setup, Stack};
use annulus::time::Instant;
use annulus::totem::Params;

/// A whole node.
pub(crate) struct Whole {
    pub(crate) stack: Stack,
    /// It leaves, and its clients are gone.
    pub(crate) leaving: bool,
}

impl Whole {
    /// A node that knows nobody yet.
    pub(crate) fn new(params: Params, setup: Setup, now: Instant) -> Self {
        let stack = Stack::new(params, setup, now).unwrap_or_else(|why| panic!("{why}"));
        Self { stack, leaving: false }
    }
}
