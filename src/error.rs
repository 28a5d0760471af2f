//! The status codes that clients of the daemon receive.

/// Defines [`Status`] with the number and the text of each.
macro_rules! statuses {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// Status of a library call, with Corosync's numbers.
        ///
        /// Source: corosync `include/corosync/corotypes.h`, `cs_error_t`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        #[repr(i32)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "the names are the documentation")]
        pub enum Status {
            $(#[error($text)] $name = $code,)*
        }

        impl Status {
            /// The status with this number. An unknown number becomes [`Status::Library`], as in Corosync's libraries.
            pub const fn from_code(code: i32) -> Self {
                match code {
                    $($code => Self::$name,)*
                    _ => Self::Library,
                }
            }
        }
    };
}

statuses! {
    Ok = 1, "success";
    Library = 2, "CS_ERR_LIBRARY";
    Version = 3, "CS_ERR_VERSION";
    Init = 4, "CS_ERR_INIT";
    Timeout = 5, "CS_ERR_TIMEOUT";
    TryAgain = 6, "CS_ERR_TRY_AGAIN";
    InvalidParam = 7, "CS_ERR_INVALID_PARAM";
    NoMemory = 8, "CS_ERR_NO_MEMORY";
    BadHandle = 9, "CS_ERR_BAD_HANDLE";
    Busy = 10, "CS_ERR_BUSY";
    Access = 11, "CS_ERR_ACCESS";
    NotExist = 12, "CS_ERR_NOT_EXIST";
    NameTooLong = 13, "CS_ERR_NAME_TOO_LONG";
    Exist = 14, "CS_ERR_EXIST";
    NoSpace = 15, "CS_ERR_NO_SPACE";
    Interrupt = 16, "CS_ERR_INTERRUPT";
    NameNotFound = 17, "CS_ERR_NAME_NOT_FOUND";
    NoResources = 18, "CS_ERR_NO_RESOURCES";
    NotSupported = 19, "CS_ERR_NOT_SUPPORTED";
    BadOperation = 20, "CS_ERR_BAD_OPERATION";
    FailedOperation = 21, "CS_ERR_FAILED_OPERATION";
    MessageError = 22, "CS_ERR_MESSAGE_ERROR";
    QueueFull = 23, "CS_ERR_QUEUE_FULL";
    QueueNotAvailable = 24, "CS_ERR_QUEUE_NOT_AVAILABLE";
    BadFlags = 25, "CS_ERR_BAD_FLAGS";
    TooBig = 26, "CS_ERR_TOO_BIG";
    NoSections = 27, "CS_ERR_NO_SECTIONS";
    ContextNotFound = 28, "CS_ERR_CONTEXT_NOT_FOUND";
    TooManyGroups = 30, "CS_ERR_TOO_MANY_GROUPS";
    Security = 100, "CS_ERR_SECURITY";
}

impl Status {
    /// The number of this status on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }
}
