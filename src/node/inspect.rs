//! Checks of a configuration before a start. They run the code of a start itself, so what a start would refuse is
//! refused here with the same text. Probable mistakes, and what this host lacks at the moment, are reported as
//! warnings and notes.

use std::path::{Path, PathBuf};

use super::blame::{placed, places};
use super::builder::Builder;
use super::error::NodeError;
use super::links;
use super::plan::Plan;
use super::store::Store;
use crate::config::logging::{Logging, SUBSYSTEMS};
use crate::config::map::Origin;
use crate::config::totem::TransportKind;
use crate::config::{Config, ConfigError, ErrorKind, reason};
use crate::quorum::advice::{self, Weight};
use crate::quorum::survival;
use crate::transport::{Kind, Options, Peer, Transport, TransportError};

/// The result of inspecting a usable configuration.
#[derive(Debug)]
pub struct Inspection {
    /// The node that the configuration describes.
    pub builder: Builder,
    /// Probable mistakes, each in one line with its remedy.
    pub warnings: Vec<String>,
    /// Choices that have a drawback, and faults of this host that may be temporary.
    pub notes: Vec<String>,
    /// What the cluster survives, if votes are counted and there is a node list.
    pub survival: Option<String>,
    plan: Plan,
}

/// Inspects a configuration, without looking at the host.
///
/// # Errors
/// Whatever a start refuses, with the exit status of a start.
pub fn inspect(config: &Config) -> Result<Inspection, ConfigError> {
    let refuse = |error: NodeError| placed(config, error);
    let builder = Builder::from_config(config).map_err(refuse)?;
    let plan = builder.clone().plan().map_err(refuse)?;
    plan.try_stack().map_err(|error| refuse(error.into()))?;
    let mut warnings = config.warnings.clone();
    let mut notes = Vec::new();
    let reading = plan.reading().map_err(|error| refuse(error.into()))?;
    for advice in reading.iter().flat_map(advice::of) {
        let line = format!("{} ({})", advice.text, places(config, advice.keys));
        match advice.weight {
            Weight::Mistake => warnings.push(line),
            Weight::Price => notes.push(line),
        }
    }
    notes.extend(in_the_clear(config));
    let survival = reading.as_ref().and_then(survival::of);
    Ok(Inspection { builder, warnings, notes, survival, plan })
}

/// Inspects the part of a configuration that a reload applies without a restart.
///
/// # Errors
/// No ring can run with the configuration; the error names the places of the settings.
pub fn inspect_reload(config: &Config) -> Result<(), ConfigError> {
    config.check_limits()?;
    if config.totem.transport == TransportKind::Knet {
        config.check_runnable()?;
        let links = links::of(config)?;
        return links::check(&links).map_err(|error| placed(config, error.into()));
    }
    let Some(local) = config.bind_address() else { return Ok(()) };
    let peers: Vec<Peer> = config.members().map(|(id, addr)| Peer { id, addr }).collect();
    Options::check_peers(&peers, local).map_err(|error| placed(config, error.into()))
}

impl Inspection {
    /// Checks this host: log files, state directory, address and port. `state_dir` is the directory that a start
    /// would use, if it must exist. Creates nothing.
    ///
    /// # Errors
    /// A start would fail on the host as it is now. A port in use is only noted, as a configuration may be checked
    /// while the daemon that uses the port runs.
    pub fn look_at_host(&mut self, config: &Config, state_dir: Option<&Path>) -> Result<(), ConfigError> {
        log_files(&config.logging)?;
        self.warnings.extend(unused_log_folder(config));
        if let Some(dir) = state_dir {
            let dir = existing(dir)?;
            Store::probe(&dir, config.me()).map_err(|error| placed(config, error.into()))?;
        }
        for (link, options) in probes(&self.plan.options) {
            let waits = matches!(options.kind, Kind::Knet(_));
            match Transport::probe(&options) {
                Ok(()) => {}
                Err(error @ TransportError::InUse { .. }) => self.notes.push(error.to_string()),
                // A start goes on without this link until the address is there.
                Err(error @ (TransportError::NotLocal { .. } | TransportError::InterfaceDown { .. }))
                    if waits =>
                {
                    let place = places(config, &[&format!("totem.interface.{link}.bindnetaddr")]);
                    self.warnings.push(format!("link {link} cannot be used now: {error} ({place})"));
                }
                Err(error) => return Err(placed(config, error.into())),
            }
        }
        Ok(())
    }

    /// Applies `--strict`: warnings are errors.
    ///
    /// # Errors
    /// There is a warning.
    pub fn strictly(&self) -> Result<(), ConfigError> {
        let Some((first, others)) = self.warnings.split_first() else { return Ok(()) };
        let hint = Some(others.join("\n")).filter(|hint| !hint.is_empty());
        Err(ConfigError { kind: ErrorKind::Rule, message: format!("refused by --strict: {first}"), hint })
    }

    /// The warnings and notes, and what the cluster survives, as `--check` lists them.
    pub fn remarks(&self) -> Vec<String> {
        let warnings = self.warnings.iter().map(|warning| format!("# warning: {warning}"));
        let notes = self.notes.iter().map(|note| format!("# note: {note}"));
        let survival = self.survival.iter().map(|text| format!("# quorum: {text}"));
        warnings.chain(notes).chain(survival).collect()
    }
}

/// The transports to probe: on knet one for each link, with the link's number.
fn probes(options: &Options) -> Vec<(usize, Options)> {
    let Kind::Knet(knet) = &options.kind else { return vec![(0, options.clone())] };
    let links = knet.settings.links.iter().enumerate().filter(|(_, link)| link.is_some());
    let alone = |link: usize| {
        let mut knet = knet.clone();
        for (_, other) in knet.settings.links.iter_mut().enumerate().filter(|(number, _)| *number != link) {
            *other = None;
        }
        Options { kind: Kind::Knet(knet), ..options.clone() }
    };
    links.map(|(link, _)| (link, alone(link))).collect()
}

/// The note on a transport that has no encryption. If knet runs unencrypted, the configuration itself warns.
fn in_the_clear(config: &Config) -> Option<String> {
    let transport = config.totem.transport;
    (transport != TransportKind::Knet).then(|| {
        format!(
            "the cluster runs unencrypted, as transport {} has no encryption: whoever reaches its network can read and \
             forge its messages. Transport knet encrypts ({})",
            transport.name(),
            places(config, &["totem.transport"])
        )
    })
}

/// Checks that the log files can be opened; errors have the daemon's text. Opens existing files, creates none.
fn log_files(logging: &Logging) -> Result<(), ConfigError> {
    let targets = SUBSYSTEMS.into_iter().map(|subsystem| logging.target(subsystem));
    for path in targets.filter(|target| target.to_logfile).filter_map(|target| target.logfile.as_ref()) {
        if let Err(error) = can_append(path) {
            let number = error.raw_os_error().unwrap_or(0);
            let why = reason(&error);
            let message = format!("Can't open logfile '{}' for reason: {why} ({number})", path.display());
            return Err(ConfigError { kind: ErrorKind::Logging, message, hint: None });
        }
    }
    Ok(())
}

fn can_append(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{Access, access};
    match std::fs::metadata(path) {
        // Not opened, as that can block.
        Ok(about) if !about.is_file() && !about.is_dir() => Ok(access(path, Access::WRITE_OK)?),
        Ok(_) => std::fs::OpenOptions::new().append(true).open(path).map(drop),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Ok(access(folder.unwrap_or(Path::new(".")), Access::WRITE_OK | Access::EXEC_OK)?)
        }
        Err(error) => Err(error),
    }
}

/// A warning about a log file in a folder that does not exist. Such a file could not be switched on later.
fn unused_log_folder(config: &Config) -> Option<String> {
    let (name, entry) = config.map.iter().find(|(name, entry)| {
        let own = matches!(&entry.origin, Origin::File { .. }) && name.starts_with("logging.");
        own && name.ends_with(".logfile")
            && entry.value.as_text().is_some_and(|file| {
                let file = Path::new(file.as_ref());
                file.parent().is_some_and(|folder| !folder.as_os_str().is_empty() && !folder.is_dir())
            })
    })?;
    let place = places(config, &[name]);
    Some(format!(
        "the folder of the log file {} is not there; make it before to_logfile is set ({place})",
        entry.value
    ))
}

/// Returns the state directory, if it exists.
///
/// # Errors
/// It does not exist, or is not a directory.
pub fn existing(dir: &Path) -> Result<PathBuf, ConfigError> {
    let missing = |why: &dyn std::fmt::Display| ConfigError {
        kind: ErrorKind::State,
        message: format!(
            "Can't use state directory {}: {why}. Create it, or name another with --state-dir or system.state_dir",
            dir.display()
        ),
        hint: None,
    };
    let dir = std::fs::canonicalize(dir).map_err(|error| missing(&error))?;
    if dir.is_dir() { Ok(dir) } else { Err(missing(&"it is not a directory")) }
}

#[cfg(test)]
mod tests;
