//! The part of the token's flow control count that no frame explains.

/// Number of visits after which an unexplained part of a count is taken to be wrong.
pub(super) const PATIENCE: u32 = 50;

/// The smallest unexplained part of the token's flow control count over a number of visits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Excess {
    least: u32,
    visits: u32,
}

impl Excess {
    /// Nothing has been found yet.
    pub(super) const NONE: Self = Self { least: u32::MAX, visits: 0 };

    /// Records a visit at which `more` could not be explained. Returns by how much the count is wrong: once in
    /// [`PATIENCE`] visits the smallest part that was found in them, else 0.
    pub(super) fn found(&mut self, more: u32) -> u32 {
        self.least = self.least.min(more);
        self.visits += 1;
        if self.visits < PATIENCE {
            return 0;
        }
        let least = self.least;
        *self = Self::NONE;
        least
    }
}
