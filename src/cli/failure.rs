//! Why a command failed, for people and for programs.
//!
//! With `--json` it is an object on standard output, where the answer would be, and nothing is on standard error; the
//! exit status is the same in both forms.

use std::error::Error as StdError;
use std::fmt::Display;

use serde_json::{Map as Object, Value, json};

use super::streams::Streams;
use crate::confdb;
use crate::cpg;
use crate::service::channel::ChannelError;
use crate::service::client;

/// What a program may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No daemon, or one that does not answer.
    Unreachable,
    /// The daemon answered no.
    Refused,
    /// The command line is wrong.
    Usage,
    /// A configuration file is wrong.
    Config,
    /// Any other failure, told in the message alone.
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

/// Why a command failed: an exit status, and what to say.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) status: u8,
    pub(super) kind: Kind,
    pub(super) message: String,
    /// What to do about it, where that is apart from the message.
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

/// Any error is said as it is: they say what to do.
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

/// In which form a program says what went wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// JSON instead of text.
    pub(super) json: bool,
    /// What stands before the text.
    pub(super) prefix: &'static str,
    /// Whether that it failed is an answer: `annulus health`.
    pub(super) is_answer: bool,
}

impl Form {
    /// What goes to standard output, and what to standard error.
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

    /// Says it, and returns the exit status.
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

/// What `annulus health` calls a daemon that cannot be asked.
const UNREACHABLE: &str = "not reachable";

/// What is wrong with a command line, as far as it is an error; help goes to standard output and is none. A wrong
/// command line is 1, as with Corosync's tools.
pub(super) fn usage(error: &clap::Error, json: bool, streams: &mut Streams<'_>) -> u8 {
    if !error.use_stderr() {
        // If nobody reads it, there is nobody to tell.
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

/// Whether a command line that could not be read asks for JSON.
pub(super) fn wants_json(args: &[std::ffi::OsString]) -> bool {
    args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == "--json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_libraries_have_their_kind() {
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
    fn json_is_on_standard_output() {
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
