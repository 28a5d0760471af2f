//! Errands: tasks that a node leaves to the program around it, such as reading its configuration again.
//!
//! Errands do not queue up: one that is asked for twice before it is taken is done once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::config::Config;
use crate::config::key::Key;
use crate::config::logging::Logging;

/// The errands that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Errands {
    /// Read the configuration again and report the result with
    /// [`Handle::reloaded`](super::command::Handle::reloaded).
    pub reload: bool,
    /// Treat this configuration, read before, as the one in effect: all nodes adopt theirs.
    pub adopt: Option<Box<Config>>,
    /// The reload is over, whether or not a configuration was adopted.
    pub reload_over: bool,
    /// Close and reopen the log files.
    pub reopen_logs: bool,
    /// Log the state of the node, see [`Handle::status`](super::command::Handle::status).
    pub dump_state: bool,
    /// Steps of a change of the cluster's key, in this order.
    pub keys: Vec<KeyErrand>,
    /// Use these logging settings from now on.
    pub logging: Option<Box<Logging>>,
}

/// A step of a change of the cluster's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyErrand {
    /// Store the key beside the key file and report the result with
    /// [`Handle::key_stored`](super::command::Handle::key_stored).
    Store(Key),
    /// Replace the key file by the stored key and report the result with
    /// [`Handle::key_kept`](super::command::Handle::key_kept).
    Keep,
    /// Remove the stored key, if there is one.
    Discard,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<Errands>,
    news: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Errands> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node's end of the channel.
#[derive(Clone, Debug)]
pub(crate) struct Errand(Arc<Shared>);

/// The end of the program around the node.
#[derive(Debug)]
pub struct Runner(Arc<Shared>);

/// Makes the two ends.
#[cfg_attr(not(feature = "daemon"), expect(dead_code, reason = "only the daemon is a program around a node"))]
pub(crate) fn channel() -> (Errand, Runner) {
    let shared = Arc::new(Shared::default());
    (Errand(Arc::clone(&shared)), Runner(shared))
}

impl Errand {
    /// Adds errands and wakes the program around the node.
    pub(crate) fn want(&self, more: impl FnOnce(&mut Errands)) {
        more(&mut self.0.lock());
        self.0.news.notify_one();
    }
}

impl Runner {
    /// Waits until there are errands and takes them. Cancelling it loses none.
    pub async fn next(&mut self) -> Errands {
        loop {
            let wanted = std::mem::take(&mut *self.0.lock());
            if wanted != Errands::default() {
                return wanted;
            }
            self.0.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_errand_wanted_twice_is_done_once() {
        let (errand, mut runner) = channel();
        errand.want(|wanted| wanted.reload = true);
        errand.want(|wanted| wanted.dump_state = true);
        errand.want(|wanted| wanted.reload = true);
        errand.want(|wanted| wanted.dump_state = true);
        let expected = Errands { reload: true, dump_state: true, ..Errands::default() };
        assert_eq!(runner.next().await, expected);
        let waiting = tokio::spawn(async move { runner.next().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        errand.want(|wanted| wanted.reopen_logs = true);
        assert!(waiting.await.unwrap().reopen_logs);
    }
}
