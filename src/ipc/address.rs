//! Where a service listens: an abstract socket address, or a path where the host asks for that.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// If this file exists, libqb on this host uses sockets in the file system.
const FORCE_FILE: &str = "/etc/libqb/force-filesystem-sockets";
/// Where they are then; a build option of libqb, this is Debian's.
const SOCKET_DIR: &str = "/tmp";
/// `sun_path` is 108 bytes; an abstract name fills it after its leading NUL.
const ABSTRACT: usize = 107;
/// Longest service name.
pub(super) const NAME: usize = 106;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// How services of this host are found by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendezvous {
    /// Abstract unix socket addresses, the default on Linux.
    Abstract,
    /// Sockets in this directory.
    Directory(PathBuf),
}

impl Rendezvous {
    /// What libqb on this host uses: [`Self::Directory`] `/tmp` (Debian's choice) if
    /// `/etc/libqb/force-filesystem-sockets` exists, [`Self::Abstract`] otherwise.
    pub fn of_this_host() -> Self {
        if Path::new(FORCE_FILE).exists() { Self::Directory(SOCKET_DIR.into()) } else { Self::Abstract }
    }

    /// Where the service `name` is.
    pub(super) fn address(&self, name: &str) -> Address {
        match self {
            Self::Abstract => Address::Abstract(name.to_owned()),
            Self::Directory(directory) => Address::Path(directory.join(name)),
        }
    }
}

/// The address of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Abstract(String),
    Path(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abstract(name) => write!(f, "@{name}"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl Address {
    fn socket_address(&self) -> rustix::io::Result<SocketAddrUnix> {
        match self {
            Self::Abstract(name) => {
                // libqb passes the whole struct, so the NULs up to its end are part of the name.
                let mut padded = [0; ABSTRACT];
                let Some(room) = padded.get_mut(..name.len()) else {
                    return Err(rustix::io::Errno::NAMETOOLONG);
                };
                room.copy_from_slice(name.as_bytes());
                SocketAddrUnix::new_abstract_name(&padded)
            }
            Self::Path(path) => SocketAddrUnix::new(path),
        }
    }

    /// A listening socket, non-blocking, whose connections come with credentials.
    pub(super) fn listen(&self) -> io::Result<OwnedFd> {
        let socket = socket(SocketFlags::NONBLOCK)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        if let Self::Path(path) = self {
            match rustix::fs::unlink(path) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        rustix::net::bind(&socket, &self.socket_address()?)?;
        if let Self::Path(path) = self {
            rustix::fs::chmod(path, Mode::from_raw_mode(0o777))?;
        }
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    }

    /// A connected socket, non-blocking, that receives credentials.
    pub(super) fn connect(&self) -> io::Result<OwnedFd> {
        let socket = socket(SocketFlags::NONBLOCK)?;
        rustix::net::connect(&socket, &self.socket_address()?)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        Ok(socket)
    }

    /// Removes what listening left in the file system.
    pub(super) fn remove(&self) {
        if let Self::Path(path) = self {
            let _ = rustix::fs::unlink(path);
        }
    }
}

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abstract_address_is_the_whole_struct() {
        let address = Address::Abstract("cpg".into()).socket_address().unwrap();
        assert_eq!(address.abstract_name().map(<[u8]>::len), Some(107));
        assert!(Address::Abstract("x".repeat(200)).socket_address().is_err());
    }

    #[test]
    fn a_path_is_replaced_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let address = Rendezvous::Directory(directory.path().into()).address("cpg");
        std::fs::write(directory.path().join("cpg"), "stale").unwrap();
        let _listener = address.listen().unwrap();
        address.connect().unwrap();
        address.remove();
        assert!(address.connect().is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
