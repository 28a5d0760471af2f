//! A time in which members are to be heard; `silence.rs` says what follows if they are not.

use std::time::Duration;

use crate::time::Instant;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hearing {
    /// Who was heard since then is not silent.
    pub(super) since: Instant,
    /// How long it lasts.
    pub(super) wait: Duration,
}
