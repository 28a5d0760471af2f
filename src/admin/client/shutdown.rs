//! Shutdown of a node, and the question to programs before it.

use std::sync::Arc;

use super::calls;
use crate::service::channel::Channel;
use crate::service::client::Error;

/// Ways to shut a node down, with their numbers in the protocol.
///
/// Source: `corosync_cfg_try_shutdown(3)`, `corosync_cfg_shutdown_flags_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shutdown {
    /// Shut down if all programs that subscribed to the question agree within `cfg.shutdown_timeout` (5 s).
    #[default]
    IfAllAgree = 0,
    /// Ask them, so that they can prepare, but shut down whatever they answer.
    Regardless = 1,
    /// Shut down at once, without asking.
    Immediate = 2,
}

impl Shutdown {
    /// The way with this number; `None` for other numbers, with which nobody is asked.
    pub(super) fn from_code(code: u32) -> Option<Self> {
        [Self::IfAllAgree, Self::Regardless, Self::Immediate].into_iter().find(|way| *way as u32 == code)
    }
}

/// The question whether this node may be shut down. No answer in time counts as an objection.
#[must_use = "a request that is not answered counts as refused, after a time-out"]
pub struct ShutdownRequest {
    pub(super) how: Shutdown,
    pub(super) channel: Arc<dyn Channel>,
}

impl ShutdownRequest {
    /// The kind of shutdown; [`Shutdown::Regardless`] is only a warning, whatever the answer.
    pub const fn how(&self) -> Shutdown {
        self.how
    }

    /// Agrees to the shutdown.
    ///
    /// # Errors
    /// [`Status::Access`](crate::error::Status::Access): it has been decided already; or the connection has ended.
    pub async fn agree(self) -> Result<(), Error> {
        calls::answer(true).over(&*self.channel).await
    }

    /// Objects to the shutdown.
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
