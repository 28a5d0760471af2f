//! What a node wants of the program around it: to read its configuration again, to log otherwise.
//!
//! Nothing queues up: what is wanted twice before it was taken is done once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::config::Config;
use crate::config::key::Key;
use crate::config::logging::Logging;

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Errands {
    /// Read the configuration again and say how it went:
    /// [`Handle::reloaded`](super::command::Handle::reloaded).
    pub reload: bool,
    /// Take this configuration, which was read before, for the one in effect: all nodes go over to theirs.
    pub adopt: Option<Box<Config>>,
    /// The reload is over, whether or not there is something to adopt.
    pub reload_over: bool,
    /// Close and open the log files.
    pub reopen_logs: bool,
    /// Log how the node is: [`Handle::status`](super::command::Handle::status).
    pub dump_state: bool,
    /// What is to be done with a new key for the cluster, in this order.
    pub keys: Vec<KeyErrand>,
    /// Log like this from now on.
    pub logging: Option<Box<Logging>>,
}

/// What is to be done with a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyErrand {
    /// Store it beside the key file and say how it went:
    /// [`Handle::key_stored`](super::command::Handle::key_stored).
    Store(Key),
    /// Put the stored one into the place of the key file and say how it went:
    /// [`Handle::key_kept`](super::command::Handle::key_kept).
    Keep,
    /// Remove the stored one, if there is one.
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

/// The node's end.
#[derive(Clone, Debug)]
pub(crate) struct Errand(Arc<Shared>);

/// The program's end.
#[derive(Debug)]
pub struct Runner(Arc<Shared>);

/// The two ends.
#[cfg_attr(not(feature = "daemon"), expect(dead_code, reason = "only the daemon is a program around a node"))]
pub(crate) fn channel() -> (Errand, Runner) {
    let shared = Arc::new(Shared::default());
    (Errand(Arc::clone(&shared)), Runner(shared))
}

impl Errand {
    /// Wants something more.
    pub(crate) fn want(&self, more: impl FnOnce(&mut Errands)) {
        more(&mut self.0.lock());
        self.0.news.notify_one();
    }
}

impl Runner {
    /// Waits until something is wanted. May be dropped and called again; nothing is lost.
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
    async fn what_is_wanted_twice_is_done_once() {
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
