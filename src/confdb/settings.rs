//! The settings that were last read from the database.

use crate::config::logging::Logging;
use crate::config::timeouts::Timeouts;
use crate::config::totem::Watching;
use crate::quiet::Quiet;

/// The settings that were last read from the database.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) timeouts: Option<Timeouts>,
    pub(super) watching: Option<Watching>,
    pub(super) logging: Option<Logging>,
    pub(super) logs: Logs,
}

/// The limits of the log lines that clients can cause without limit.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) timeouts: Quiet,
    pub(super) links: Quiet,
    pub(super) logging: Quiet,
    pub(super) section: Quiet,
}
