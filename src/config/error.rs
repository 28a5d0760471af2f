//! Why a configuration cannot be used.

use std::fmt;
use std::path::PathBuf;

use super::bytes::unusual;

/// Why a configuration cannot be used: what, where, and what to do about it.
///
/// The first line that [`Display`](fmt::Display) writes is word for word what Corosync says, so that
/// what operators and scripts know still holds; [`hint`](field@ConfigError::hint) follows on lines of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// What kind of refusal it is.
    pub kind: ErrorKind,
    /// One line, with file and line number where there is one.
    pub message: String,
    /// What is allowed, where the value stands or what to do; may have several lines.
    pub hint: Option<String>,
}

/// In which step a configuration was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file cannot be read.
    Unreadable,
    /// The file does not follow the grammar, or a single value is not one of its key's.
    Syntax,
    /// The section `logging` is wrong.
    Logging,
    /// The settings do not fit each other or this host.
    Rule,
    /// Good for Corosync, but this version cannot do it.
    Unsupported,
    /// The section `quorum` makes no sense, or asks for what this program does not have.
    Quorum,
    /// The ring's sockets cannot be opened on this host as it is now.
    Ring,
    /// The state directory cannot be used.
    State,
    /// The ring id cannot be kept there.
    Store,
}

impl ConfigError {
    /// The status with which Corosync's daemon ends for it. Source: corosync `exec/util.h`.
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

    /// As [`ConfigError::rule`], with the words that Corosync's start-up puts before some messages.
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

/// The text of an operating system error as C's `strerror` has it.
pub(super) fn reason(why: &std::io::Error) -> String {
    let text = why.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Why an item cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Shorter than 3 or longer than 255 bytes, or with a character that names may not have.
    #[error("CS_ERR_NAME_TOO_LONG")]
    NameTooLong,
    /// The text is too long.
    #[error("CS_ERR_INVALID_PARAM")]
    InvalidParam,
    /// There are [`super::map::ITEM_LIMIT`] items already.
    #[error("CS_ERR_NO_MEMORY")]
    NoMemory,
}

/// A complaint about one line, before the file is named.
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

    /// With what nobody sees in a text that it is about, if there is such a thing.
    pub(super) fn about(self, what: &str, text: &[u8]) -> Self {
        let Some(unusual) = unusual(text) else { return self };
        let more = format!("the {what} {unusual}");
        let hint = self.hint.as_ref().map_or_else(|| more.clone(), |hint| format!("{more}\n{hint}"));
        self.hint(hint)
    }

    /// With its place. Corosync gives up on a text of more than 383 bytes; so the first line does here.
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

/// What Corosync says when what it has to say is too long.
pub(super) const UNFORMATTED: &str = "Can't format parser error message";
