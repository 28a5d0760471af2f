//! Errors of a configuration.

use std::fmt;
use std::path::PathBuf;

use super::bytes::unusual;

/// An error of a configuration: what is wrong, where, and the remedy.
///
/// The first line written by [`Display`](fmt::Display) is word for word that of Corosync, which operators and scripts
/// know; [`hint`](field@ConfigError::hint) follows on further lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// One line, with file and line number if there is one.
    pub message: String,
    /// The allowed values, the place of the setting, or the remedy; may have several lines.
    pub hint: Option<String>,
}

/// The step in which a configuration was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file cannot be read.
    Unreadable,
    /// The file violates the grammar, or a single value is invalid for its key.
    Syntax,
    /// The section `logging` is invalid.
    Logging,
    /// The settings contradict each other or do not fit this host.
    Rule,
    /// Valid for Corosync, but not supported by this version.
    Unsupported,
    /// The section `quorum` is contradictory, or needs a feature that this program does not have.
    Quorum,
    /// The ring's sockets cannot be opened on this host at present.
    Ring,
    /// The state directory cannot be used.
    State,
    /// The ring id cannot be stored in the state directory.
    Store,
}

impl ConfigError {
    /// The exit status of Corosync's daemon for this error. Source: corosync `exec/util.h`.
    pub const fn exit_status(&self) -> u8 {
        match self.kind {
            ErrorKind::Logging => 7,
            ErrorKind::Ring => 15,
            ErrorKind::State => 16,
            ErrorKind::Quorum => 20,
            ErrorKind::Store => 21,
            ErrorKind::Unreadable | ErrorKind::Syntax | ErrorKind::Rule | ErrorKind::Unsupported => 8,
        }
    }

    pub(super) fn unreadable(path: &std::path::Path, why: &std::io::Error) -> Self {
        Self {
            kind: ErrorKind::Unreadable,
            message: format!("Can't read file {}: {}", path.display(), reason(why)),
            hint: None,
        }
    }

    pub(super) fn rule(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Rule, message: message.into(), hint: None }
    }

    /// As [`ConfigError::rule`], with the text that Corosync puts before some messages at its start.
    pub(super) fn in_config(message: impl fmt::Display) -> Self {
        Self::rule(format!("parse error in config: {message}"))
    }

    pub(super) fn logging(message: impl fmt::Display) -> Self {
        let message = format!("parse error in config: {message}.");
        Self { kind: ErrorKind::Logging, message, hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            for line in hint.lines() {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The text of an operating system error without its number, as from C's `strerror`.
pub(crate) fn reason(why: &std::io::Error) -> String {
    let text = why.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Why an item cannot be stored in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The name is shorter than 3 or longer than 255 bytes, or contains a character that names may not have.
    #[error("CS_ERR_NAME_TOO_LONG")]
    NameTooLong,
    /// The text is too long.
    #[error("CS_ERR_INVALID_PARAM")]
    InvalidParam,
    /// There are [`super::map::ITEM_LIMIT`] items already.
    #[error("CS_ERR_NO_MEMORY")]
    NoMemory,
}

/// An error in one line, before the file's name is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Complaint {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a description of invisible characters in `text`, if there are any.
    pub(super) fn about(self, what: &str, text: &[u8]) -> Self {
        let Some(unusual) = unusual(text) else { return self };
        let more = format!("the {what} {unusual}");
        let hint = self.hint.as_ref().map_or_else(|| more.clone(), |hint| format!("{more}\n{hint}"));
        self.hint(hint)
    }

    /// Adds the place. Corosync fails to format a text of more than 383 bytes, so the first line is then the same
    /// here.
    pub(super) fn at(self, path: &std::path::Path, line: u32) -> ConfigError {
        const TEXT_LIMIT: usize = 383;
        let full = format!("parser error: {}:{line}: {}", path.display(), self.message);
        if full.len() <= TEXT_LIMIT {
            return ConfigError { kind: ErrorKind::Syntax, message: full, hint: self.hint };
        }
        let place = format!("at {}:{line}", PathBuf::from(path).display());
        let hint = self.hint.map_or(place.clone(), |hint| format!("{place}\n{hint}"));
        ConfigError { kind: ErrorKind::Syntax, message: UNFORMATTED.to_owned(), hint: Some(hint) }
    }
}

/// Corosync's text when a message is too long for its buffer.
pub(super) const UNFORMATTED: &str = "Can't format parser error message";
