//! Byte layout of the messages between worker and supervisor. Both sides are of one build, or of two builds of one
//! program; still everything received is checked. Numbers are in this host's byte order.
//!
//! The command numbers are those of libsam's pipe (`lib/sam.c`), but the protocols are not compatible: in libsam,
//! answers do not always pair with commands.

use zerocopy::{FromBytes, I32, Immutable, IntoBytes, KnownLayout, NativeEndian, U32, U64, Unaligned};

use super::policy::MAX_DATA;
use crate::error::Status;

/// A command from the worker; `len` bytes of data follow.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct CommandBytes {
    kind: U32<NativeEndian>,
    argument: I32<NativeEndian>,
    len: U64<NativeEndian>,
}
const _: () = assert!(size_of::<CommandBytes>() == 16);

/// The answer to a command; `len` bytes of data follow.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct AnswerBytes {
    status: I32<NativeEndian>,
    instance: U32<NativeEndian>,
    interval_ms: U64<NativeEndian>,
    len: U64<NativeEndian>,
}
const _: () = assert!(size_of::<AnswerBytes>() == 24);

/// Length of a command without its data.
pub(super) const COMMAND: usize = size_of::<CommandBytes>();

/// Length of an answer without its data.
pub(super) const ANSWER: usize = size_of::<AnswerBytes>();

/// A command from a worker to its supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Start health checks. Answered.
    Start,
    /// Stop health checks. Answered.
    Stop,
    /// A sign of life. Not answered.
    Heartbeat,
    /// Store the data that follows for the next instance. Answered.
    Store,
    /// Use this signal for warnings. Answered.
    WarnWith(i32),
    /// Kill this worker and start no other. Not answered.
    MarkFailed,
    /// The first command. Answered with instance, interval and stored data.
    Hello,
}

impl Command {
    const fn kind(self) -> u32 {
        match self {
            Self::Start => 0,
            Self::Stop => 1,
            Self::Heartbeat => 2,
            Self::Store => 3,
            Self::WarnWith(_) => 4,
            Self::MarkFailed => 5,
            Self::Hello => 6,
        }
    }

    /// Encodes the command, to be followed by `data` bytes of data.
    pub(super) fn to_bytes(self, data: usize) -> [u8; COMMAND] {
        let argument = if let Self::WarnWith(signal) = self { signal } else { 0 };
        let bytes = CommandBytes {
            kind: self.kind().into(),
            argument: argument.into(),
            len: u64::try_from(data).unwrap_or(u64::MAX).into(),
        };
        zerocopy::transmute!(bytes)
    }

    /// Decodes the command in `bytes` and the length of the data behind it. `None`: the command does not exist, or
    /// the length exceeds its limit.
    pub(super) fn read(bytes: &[u8; COMMAND]) -> Option<(Self, usize)> {
        let bytes: CommandBytes = zerocopy::transmute!(*bytes);
        let command = match bytes.kind.get() {
            0 => Self::Start,
            1 => Self::Stop,
            2 => Self::Heartbeat,
            3 => Self::Store,
            4 => Self::WarnWith(bytes.argument.get()),
            5 => Self::MarkFailed,
            6 => Self::Hello,
            _ => return None,
        };
        let limit = if command == Self::Store { MAX_DATA } else { 0 };
        let len = usize::try_from(bytes.len.get()).ok().filter(|len| *len <= limit)?;
        Some((command, len))
    }
}

/// A supervisor's answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether the command was carried out.
    pub(super) status: Status,
    /// The number of this instance.
    pub(super) instance: u32,
    /// The interval in ms; 0 if there is none.
    pub(super) interval_ms: u64,
}

impl Answer {
    /// Encodes the answer, to be followed by `data` bytes of data.
    pub(super) fn to_bytes(self, data: usize) -> [u8; ANSWER] {
        let bytes = AnswerBytes {
            status: self.status.code().into(),
            instance: self.instance.into(),
            interval_ms: self.interval_ms.into(),
            len: u64::try_from(data).unwrap_or(u64::MAX).into(),
        };
        zerocopy::transmute!(bytes)
    }

    /// Decodes the answer in `bytes` and the length of the data behind it. `None`: a field has an invalid value.
    pub(super) fn read(bytes: &[u8; ANSWER]) -> Option<(Self, usize)> {
        let bytes: AnswerBytes = zerocopy::transmute!(*bytes);
        let len = usize::try_from(bytes.len.get()).ok().filter(|len| *len <= MAX_DATA)?;
        let answer = Self {
            status: Status::from_code(bytes.status.get()),
            instance: bytes.instance.get(),
            interval_ms: bytes.interval_ms.get(),
        };
        Some((answer, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_encoding_and_decoding() {
        use Command::{Heartbeat, Hello, MarkFailed, Start, Stop, Store, WarnWith};
        for command in [Start, Stop, Heartbeat, WarnWith(10), MarkFailed, Hello] {
            assert_eq!(Command::read(&command.to_bytes(0)), Some((command, 0)));
            assert_eq!(Command::read(&command.to_bytes(1)), None, "{command:?} has no data");
        }
        assert_eq!(Command::read(&Store.to_bytes(MAX_DATA)), Some((Store, MAX_DATA)));
        assert_eq!(Command::read(&Store.to_bytes(MAX_DATA + 1)), None);
        assert_eq!(Command::read(&[7; COMMAND]), None);
    }

    #[test]
    fn answers_survive_encoding_and_decoding() {
        let answer = Answer { status: Status::BadHandle, instance: 3, interval_ms: u64::MAX };
        assert_eq!(Answer::read(&answer.to_bytes(5)), Some((answer, 5)));
        assert_eq!(Answer::read(&answer.to_bytes(MAX_DATA + 1)), None);
    }
}
