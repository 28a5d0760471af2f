//! Reads the configuration again while the daemon runs: outside of the ring's thread, one at a time.

use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;

use super::log;
use crate::config::logging::Logging;
use crate::config::reload::check_links;
use crate::config::totem::TransportKind;
use crate::config::{Config, ConfigError};
use crate::node::inspect::inspect_reload;

/// The extent of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A reload of the whole cluster, asked for by one node: everything that may change.
    Cluster,
    /// SIGHUP: the settings of this host only, that is, logging and who may connect.
    Host,
}

/// Reads the configuration in the background, one at a time. A request during a read leads to another read.
#[derive(Debug)]
pub(super) struct Loader {
    path: PathBuf,
    /// The logging settings in effect, whose files need not be tried.
    logging: Logging,
    running: Option<(Scope, JoinHandle<Result<Config, String>>)>,
    cluster: bool,
    host: bool,
}

impl Loader {
    pub(super) const fn new(path: PathBuf, logging: Logging) -> Self {
        Self { path, logging, running: None, cluster: false, host: false }
    }

    /// Notes the logging settings in effect.
    pub(super) fn logs_like(&mut self, logging: &Logging) {
        self.logging.clone_from(logging);
    }

    /// Starts a read, or another one after the present one.
    pub(super) fn want(&mut self, scope: Scope) {
        match scope {
            Scope::Cluster => self.cluster = true,
            Scope::Host => self.host = true,
        }
        self.begin();
    }

    /// Waits for the result of a read; for ever if there is none. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> (Scope, Result<Config, String>) {
        let Some((scope, task)) = &mut self.running else { return std::future::pending().await };
        let scope = *scope;
        let outcome = task.await.unwrap_or_else(|error| Err(error.to_string()));
        self.running = None;
        self.begin();
        (scope, outcome)
    }

    fn begin(&mut self) {
        if self.running.is_some() {
            return;
        }
        let scope = if std::mem::take(&mut self.cluster) {
            Scope::Cluster
        } else if std::mem::take(&mut self.host) {
            Scope::Host
        } else {
            return;
        };
        let path = self.path.clone();
        let logging = self.logging.clone();
        // In another thread, as a slow disk or name service must not stop the ring.
        let task = tokio::task::spawn_blocking(move || {
            let config = load(&path).map_err(|error| error.to_string())?;
            if scope == Scope::Cluster {
                // Only for a cluster reload: on SIGHUP, files that cannot be opened are logged and the rest is used.
                log::try_out(&config.logging, &logging).map_err(|error| {
                    let place =
                        config.map.entry("logging.logfile").map(|entry| format!(" ({})", entry.origin));
                    format!("{error}{}", place.unwrap_or_default())
                })?;
            }
            Ok(config)
        });
        self.running = Some((scope, task));
    }
}

/// Reads the file. Settings with which no ring could run are refused now rather than at the next start.
fn load(path: &Path) -> Result<Config, ConfigError> {
    let config = Config::load(path)?;
    inspect_reload(&config)?;
    Ok(config)
}

/// Checks whether a running node can change to a new configuration.
///
/// # Errors
/// A text: the setting that cannot change.
pub(super) fn check(old: &Config, new: &Config) -> Result<(), String> {
    check_links(old, new).map_err(|error| format!("Cannot configure new interface definitions: {error}"))?;
    if new.me() != old.me() {
        return Err(format!(
            "The id of this node changed from {} to {}, which needs a restart",
            old.me(),
            new.me()
        ));
    }
    if new.totem.transport != TransportKind::Knet && new.bind_address().is_none() {
        return Err("Cannot configure new interface definitions: link 0 of this node is gone".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::os::OsHost;

    fn config(me: u32, addresses: [&str; 2]) -> Config {
        let text = format!(
            "[totem]\ntransport = \"udpu\"\n[[nodelist.node]]\nnodeid = {me}\nring0_addr = \"{}\"\n\
             [[nodelist.node]]\nnodeid = 7\nring0_addr = \"{}\"\n",
            addresses[0], addresses[1]
        );
        Config::from_toml(text.as_bytes(), Path::new("test.toml"), &OsHost).unwrap()
    }

    #[test]
    fn a_node_keeps_its_id_and_its_address() {
        let old = config(1, ["127.0.0.1", "192.0.2.7"]);
        assert_eq!(check(&old, &old), Ok(()));
        assert_eq!(check(&old, &config(1, ["127.0.0.1", "192.0.2.8"])), Ok(()), "others may move");
        assert!(check(&old, &config(2, ["127.0.0.1", "192.0.2.7"])).unwrap_err().contains("from 1 to 2"));
    }

    #[test]
    fn settings_that_no_ring_could_run_with_are_refused_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("corosync.conf");
        let text = |more: &str, other: &str| {
            format!(
                "totem {{\nversion: 2\ntransport: udpu\n{more}\n}}\nnodelist {{\nnode {{\nnodeid: 1\nring0_addr: \
                 127.0.0.1\n}}\nnode {{\nnodeid: 2\nring0_addr: {other}\n}}\n}}\n"
            )
        };
        for (more, other, line, words) in [
            ("window_size: 100000", "127.0.0.2", 4, "window_size parameter (100000)"),
            ("", "0.0.0.0", 13, "ring0_addr refused: 0.0.0.0 of node 2"),
            ("", "239.1.1.1", 13, "ring0_addr refused: 239.1.1.1 of node 2"),
        ] {
            std::fs::write(&path, text(more, other)).unwrap();
            let told = load(&path).unwrap_err().to_string();
            assert!(told.contains(words) && told.contains(&format!("corosync.conf:{line}")), "{told}");
        }
        // A duplicate address is only warned of, and settings that need a restart are not checked.
        std::fs::write(&path, text("netmtu: 100", "127.0.0.1")).unwrap();
        load(&path).unwrap();
    }

    #[tokio::test]
    async fn files_are_read_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("corosync.conf");
        std::fs::write(&path, "nonsense\n").unwrap();
        let mut loader = Loader::new(path, Logging::default());
        loader.want(Scope::Cluster);
        loader.want(Scope::Host);
        loader.want(Scope::Cluster);
        for expected in [Scope::Cluster, Scope::Cluster, Scope::Host] {
            let (scope, outcome) = loader.next().await;
            assert_eq!(scope, expected);
            assert!(outcome.unwrap_err().contains("corosync.conf:1"));
        }
        assert!(loader.running.is_none());
    }
}
