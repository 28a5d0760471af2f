//! Errors of commands, for people and for programs.
//!
//! With `--json` an error is an object on standard output, in place of the answer, and standard error stays empty.
//! The exit status is the same in both forms.

use std::error::Error as StdError;
use std::fmt::Display;

use serde_json::{Map as Object, Value, json};

use super::streams::Streams;
use crate::confdb;
use crate::cpg;
use crate::service::channel::ChannelError;
use crate::service::client;

/// The kinds of errors that programs may distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is no daemon, or it does not answer.
    Unreachable,
    /// The daemon refused the request.
    Refused,
    /// The command line is invalid.
    Usage,
    /// A configuration file is invalid.
    Config,
    /// Any other error, described by the message only.
    Failed,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Failed => "failed",
        }
    }
}

/// An error of a command with its exit status and text.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) status: u8,
    pub(super) kind: Kind,
    pub(super) message: String,
    /// The remedy, if it is separate from the message.
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn new(message: impl Display) -> Self {
        Self::of(Kind::Failed, message)
    }

    pub(super) fn of(kind: Kind, message: impl Display) -> Self {
        Self { status: 1, kind, message: message.to_string(), hint: None }
    }
}

/// Errors of the libraries are printed unchanged, as they name the remedy.
impl<E: StdError + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(kind_of(&error), &error)
    }
}

fn kind_of(error: &(dyn StdError + 'static)) -> Kind {
    if let Some(error) = error.downcast_ref::<client::Error>() {
        return of_client(error);
    }
    if let Some(confdb::Error::Service(error)) = error.downcast_ref() {
        return of_client(error);
    }
    if let Some(cpg::Error::Channel(error)) = error.downcast_ref() {
        return of_channel(error);
    }
    Kind::Failed
}

const fn of_client(error: &client::Error) -> Kind {
    match error {
        client::Error::Channel(error) => of_channel(error),
        client::Error::Refused { .. } | client::Error::Told { .. } => Kind::Refused,
        client::Error::Invalid(_) => Kind::Failed,
    }
}

const fn of_channel(error: &ChannelError) -> Kind {
    match error {
        ChannelError::NoDaemon { .. } | ChannelError::Ended(_) => Kind::Unreachable,
        ChannelError::Refused { .. } | ChannelError::TryAgain | ChannelError::TooLong { .. } => Kind::Refused,
        ChannelError::NoRuntime | ChannelError::System(_) => Kind::Failed,
    }
}

/// The form in which a program reports errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Whether to write JSON instead of text.
    pub(super) json: bool,
    /// Text before the message.
    pub(super) prefix: &'static str,
    /// Whether a failure is itself the answer, as with `annulus health`.
    pub(super) is_answer: bool,
}

impl Form {
    /// The texts for standard output and for standard error.
    pub(super) fn words(self, failure: &Failure) -> (String, String) {
        let Failure { status, kind, message, hint } = failure;
        if self.json {
            let mut error = json!({ "kind": kind.word(), "message": message, "exit_status": status });
            if let Some(hint) = hint {
                error["hint"] = hint.as_str().into();
            }
            let mut all = Object::new();
            if self.is_answer {
                all.insert("health".to_owned(), UNREACHABLE.into());
            }
            if *kind == Kind::Config {
                all.insert("ok".to_owned(), false.into());
            }
            all.insert("error".to_owned(), error);
            return (format!("{}\n", Value::Object(all)), String::new());
        }
        if self.is_answer {
            return (format!("{UNREACHABLE}: {message}\n"), String::new());
        }
        let hint: String =
            hint.iter().flat_map(|hint| hint.lines()).map(|line| format!("\n  {line}")).collect();
        (String::new(), format!("{}{message}{hint}\n", self.prefix))
    }

    /// Reports the error, and returns the exit status.
    pub(super) fn say(self, failure: &Failure, streams: &mut Streams<'_>) -> u8 {
        let (out, err) = self.words(failure);
        if !out.is_empty() {
            streams.out(out);
        }
        if !err.is_empty() {
            streams.err(err);
        }
        failure.status
    }
}

/// The state that `annulus health` reports for a daemon that cannot be reached.
const UNREACHABLE: &str = "not reachable";

/// Reports an error of the command line. Help goes to standard output and is no error. An invalid command line has
/// the status 1, as with Corosync's tools.
pub(super) fn usage(error: &clap::Error, json: bool, streams: &mut Streams<'_>) -> u8 {
    if !error.use_stderr() {
        // Failing to print help cannot be reported.
        let _ = error.print();
        return 0;
    }
    if !json {
        let _ = error.print();
        return 1;
    }
    let text = error.render().to_string();
    let (message, hint) = text.trim().split_once("\n\n").unwrap_or((text.trim(), ""));
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
    let failure = Failure { hint, ..Failure::of(Kind::Usage, message) };
    Form { json, prefix: "", is_answer: false }.say(&failure, streams)
}

/// Whether an invalid command line asks for JSON.
pub(super) fn wants_json(args: &[std::ffi::OsString]) -> bool {
    args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == "--json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_errors_are_mapped_to_their_kind() {
        let no = || ChannelError::NoDaemon { daemon: "x".into(), socket: "y".into(), cause: "z".into() };
        for failure in [
            Failure::from(client::Error::from(no())),
            confdb::Error::from(no()).into(),
            cpg::Error::from(no()).into(),
        ] {
            assert_eq!((failure.kind, failure.status), (Kind::Unreachable, 1));
            assert!(failure.message.contains("x is not running"), "{failure:?}");
        }
        assert_eq!(Failure::from(std::io::Error::other("x")).kind, Kind::Failed);
    }

    #[test]
    fn json_errors_go_to_standard_output() {
        let failure = Failure { hint: Some("do".to_owned()), ..Failure::of(Kind::Refused, "no") };
        let form = Form { json: true, prefix: "annulus: ", is_answer: false };
        let (out, err) = form.words(&failure);
        let wanted = r#"{"error":{"exit_status":1,"hint":"do","kind":"refused","message":"no"}}"#;
        assert_eq!((out.trim(), err.as_str()), (wanted, ""));
        let form = Form { json: false, ..form };
        assert_eq!(form.words(&failure), (String::new(), "annulus: no\n  do\n".to_owned()));
        let form = Form { is_answer: true, ..form };
        assert_eq!(form.words(&failure), ("not reachable: no\n".to_owned(), String::new()));
    }
}
