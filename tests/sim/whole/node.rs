//! A whole node, and the world around it.

use annulus::service::Edge;
use annulus::stack::{Setup, Stack};
use annulus::time::Instant;
use annulus::totem::Params;

/// The world around a node in the simulator: all clients are root's and none has buffers, nothing outside has
/// statistics, and links are not watched.
#[derive(Debug)]
pub(crate) struct World;

impl Edge for World {}

/// A whole node.
pub(crate) struct Whole {
    pub(crate) stack: Stack,
    pub(crate) edge: World,
    /// It leaves, and its clients are gone.
    pub(crate) leaving: bool,
}

impl Whole {
    /// A node that knows nobody yet.
    pub(crate) fn new(params: Params, setup: Setup, now: Instant) -> Self {
        let stack = Stack::new(params, setup, now).unwrap_or_else(|why| panic!("{why}"));
        Self { stack, edge: World, leaving: false }
    }
}
