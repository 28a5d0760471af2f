//! To shut a node down, and to be asked before.

use std::sync::Arc;

use super::calls;
use crate::service::channel::Channel;
use crate::service::client::Error;

/// Ways to shut a node down.
///
/// Source: `corosync_cfg_try_shutdown(3)`, `corosync_cfg_shutdown_flags_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// If all programs that want to be asked agree within `cfg.shutdown_timeout` (5 s).
    #[default]
    IfAllAgree,
    /// They are asked, so that they can prepare; it is done whatever they say.
    Regardless,
    /// At once; nobody is asked.
    Immediate,
}

impl Shutdown {
    /// The number on the wire.
    pub(super) const fn code(self) -> u32 {
        match self {
            Self::IfAllAgree => 0,
            Self::Regardless => 1,
            Self::Immediate => 2,
        }
    }

    /// The way with this number; nobody is asked for other numbers.
    pub(super) const fn from_code(code: u32) -> Option<Self> {
        match code {
            0 => Some(Self::IfAllAgree),
            1 => Some(Self::Regardless),
            2 => Some(Self::Immediate),
            _ => None,
        }
    }
}

/// Somebody wants to shut this node down: may he? Without an answer in time it counts as no.
#[must_use = "a request that is not answered counts as refused, after a time-out"]
pub struct ShutdownRequest {
    pub(super) how: Shutdown,
    pub(super) channel: Arc<dyn Channel>,
}

impl ShutdownRequest {
    /// How it is to be shut down: for [`Shutdown::Regardless`] this is no question, but a warning.
    pub const fn how(&self) -> Shutdown {
        self.how
    }

    /// Yes.
    ///
    /// # Errors
    /// [`Status::Access`](crate::error::Status::Access): it has been decided already; the connection has ended.
    pub async fn agree(self) -> Result<(), Error> {
        calls::answer(true).over(&*self.channel).await
    }

    /// No.
    ///
    /// # Errors
    /// As [`ShutdownRequest::agree`].
    pub async fn refuse(self) -> Result<(), Error> {
        calls::answer(false).over(&*self.channel).await
    }
}

impl std::fmt::Debug for ShutdownRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShutdownRequest").field("how", &self.how).finish_non_exhaustive()
    }
}
