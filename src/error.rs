//! The status codes that clients of the daemon receive.

/// Status of a library call, with Corosync's numbers.
///
/// Source: corosync `include/corosync/corotypes.h`, `cs_error_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(i32)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Status {
    #[error("success")]
    Ok = 1,
    #[error("CS_ERR_LIBRARY")]
    Library = 2,
    #[error("CS_ERR_VERSION")]
    Version = 3,
    #[error("CS_ERR_INIT")]
    Init = 4,
    #[error("CS_ERR_TIMEOUT")]
    Timeout = 5,
    #[error("CS_ERR_TRY_AGAIN")]
    TryAgain = 6,
    #[error("CS_ERR_INVALID_PARAM")]
    InvalidParam = 7,
    #[error("CS_ERR_NO_MEMORY")]
    NoMemory = 8,
    #[error("CS_ERR_BAD_HANDLE")]
    BadHandle = 9,
    #[error("CS_ERR_BUSY")]
    Busy = 10,
    #[error("CS_ERR_ACCESS")]
    Access = 11,
    #[error("CS_ERR_NOT_EXIST")]
    NotExist = 12,
    #[error("CS_ERR_NAME_TOO_LONG")]
    NameTooLong = 13,
    #[error("CS_ERR_EXIST")]
    Exist = 14,
    #[error("CS_ERR_NO_SPACE")]
    NoSpace = 15,
    #[error("CS_ERR_INTERRUPT")]
    Interrupt = 16,
    #[error("CS_ERR_NAME_NOT_FOUND")]
    NameNotFound = 17,
    #[error("CS_ERR_NO_RESOURCES")]
    NoResources = 18,
    #[error("CS_ERR_NOT_SUPPORTED")]
    NotSupported = 19,
    #[error("CS_ERR_BAD_OPERATION")]
    BadOperation = 20,
    #[error("CS_ERR_FAILED_OPERATION")]
    FailedOperation = 21,
    #[error("CS_ERR_MESSAGE_ERROR")]
    MessageError = 22,
    #[error("CS_ERR_QUEUE_FULL")]
    QueueFull = 23,
    #[error("CS_ERR_QUEUE_NOT_AVAILABLE")]
    QueueNotAvailable = 24,
    #[error("CS_ERR_BAD_FLAGS")]
    BadFlags = 25,
    #[error("CS_ERR_TOO_BIG")]
    TooBig = 26,
    #[error("CS_ERR_NO_SECTIONS")]
    NoSections = 27,
    #[error("CS_ERR_CONTEXT_NOT_FOUND")]
    ContextNotFound = 28,
    #[error("CS_ERR_TOO_MANY_GROUPS")]
    TooManyGroups = 30,
    #[error("CS_ERR_SECURITY")]
    Security = 100,
}

impl Status {
    /// The number of this status on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The status with this number. An unknown number becomes [`Status::Library`], as in Corosync's
    /// libraries.
    pub const fn from_code(code: i32) -> Self {
        match code {
            1 => Self::Ok,
            3 => Self::Version,
            4 => Self::Init,
            5 => Self::Timeout,
            6 => Self::TryAgain,
            7 => Self::InvalidParam,
            8 => Self::NoMemory,
            9 => Self::BadHandle,
            10 => Self::Busy,
            11 => Self::Access,
            12 => Self::NotExist,
            13 => Self::NameTooLong,
            14 => Self::Exist,
            15 => Self::NoSpace,
            16 => Self::Interrupt,
            17 => Self::NameNotFound,
            18 => Self::NoResources,
            19 => Self::NotSupported,
            20 => Self::BadOperation,
            21 => Self::FailedOperation,
            22 => Self::MessageError,
            23 => Self::QueueFull,
            24 => Self::QueueNotAvailable,
            25 => Self::BadFlags,
            26 => Self::TooBig,
            27 => Self::NoSections,
            28 => Self::ContextNotFound,
            30 => Self::TooManyGroups,
            100 => Self::Security,
            _ => Self::Library,
        }
    }
}
