//! The two maps of the database.

/// The map that a connection uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// Configuration and state, stored.
    #[default]
    Config,
    /// Statistics, computed when they are read.
    Statistics,
}
