//! Administration without an asynchronous runtime, for simple programs and for programs with a main loop of their
//! own, such as resource managers. Each call fails as the one of the same name in [`admin::Client`](super::Client) or
//! [`admin::ShutdownRequest`](super::ShutdownRequest).

use std::sync::Arc;

use super::{Shutdown, calls};
use crate::service::channel::Channel;
use crate::service::client::blocking::Events;
use crate::service::client::{Error, Line, Source};

/// A blocking client of the administration of one daemon, or of one node in this process, with the calls of
/// [`admin::Client`](super::Client). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) line: Line,
}

impl Client {
    /// Subscribes to questions before a shutdown; see [`super::Client::shutdown_requests`].
    pub fn shutdown_requests(&self) -> Result<Events<ShutdownRequest>, Error> {
        let channel = self.line.open_blocking()?;
        calls::track().over_blocking(&*channel)?;
        let answers = Arc::clone(&channel);
        Ok(Events::new(Source::new(channel, move |event: &[u8]| {
            let how = calls::question(event)?;
            Ok(how.map(|how| ShutdownRequest { how, channel: Arc::clone(&answers) }))
        })))
    }
}

/// The question whether this node may be shut down, for blocking programs; see
/// [`admin::ShutdownRequest`](super::ShutdownRequest).
#[must_use = "a request that is not answered counts as refused, after a time-out"]
pub struct ShutdownRequest {
    how: Shutdown,
    channel: Arc<dyn Channel>,
}

impl ShutdownRequest {
    /// The kind of shutdown; see [`super::ShutdownRequest::how`].
    pub const fn how(&self) -> Shutdown {
        self.how
    }

    /// Agrees to the shutdown.
    pub fn agree(self) -> Result<(), Error> {
        calls::answer(true).over_blocking(&*self.channel)
    }

    /// Objects to the shutdown.
    pub fn refuse(self) -> Result<(), Error> {
        calls::answer(false).over_blocking(&*self.channel)
    }
}

impl std::fmt::Debug for ShutdownRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShutdownRequest").field("how", &self.how).finish_non_exhaustive()
    }
}
