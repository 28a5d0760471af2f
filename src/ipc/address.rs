//! The address where a service listens: an abstract unix socket, or a path if this host's libqb is set up for paths.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::error::IpcError;
use super::holder::{self, Holder};

/// If this file exists, libqb on this host uses sockets in the file system.
const FORCE_FILE: &str = "/etc/libqb/force-filesystem-sockets";
/// The directory of these sockets. It is a build option of libqb; this is Debian's value.
const SOCKET_DIR: &str = "/tmp";
/// Length of an abstract name without its leading NUL: `sun_path` has 108 bytes, and libqb fills all of them.
const ABSTRACT: usize = 107;
/// Longest service name, in bytes.
pub(super) const NAME: usize = 106;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// How clients on this host find services by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendezvous {
    /// Abstract unix socket addresses, the default on Linux.
    Abstract,
    /// Sockets in this directory.
    Directory(PathBuf),
}

impl Rendezvous {
    /// The way that libqb on this host uses: [`Self::Directory`] `/tmp` (Debian's value) if
    /// `/etc/libqb/force-filesystem-sockets` exists, otherwise [`Self::Abstract`].
    pub fn of_this_host() -> Self {
        if Path::new(FORCE_FILE).exists() { Self::Directory(SOCKET_DIR.into()) } else { Self::Abstract }
    }

    /// A text if other processes of this host cannot find the sockets, because systemd has given this process a
    /// private directory (`PrivateTmp=`).
    pub(super) fn seclusion(&self) -> Option<String> {
        let Self::Directory(directory) = self else { return None };
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let private = mounts.lines().any(|line| is_private(line, directory));
        private.then(|| {
            format!(
                "the sockets of this daemon are in {}, which the service manager has made private to it: no client finds \
                 them. Set PrivateTmp=no in its unit, or remove {FORCE_FILE} on this host, then start it again",
                directory.display()
            )
        })
    }

    /// The id of the process that listens for the service `name`, whether it answers or not. `None`: nobody listens,
    /// or the process is not visible from this PID namespace.
    pub fn listener(&self, name: &str) -> Option<u32> {
        let socket = self.address(name).connect().ok()?;
        // Before the connection is accepted, the kernel reports the credentials of the process that called listen().
        let listener = super::credentials::connected_by(socket.as_fd()).ok()?;
        Some(listener.pid).filter(|pid| *pid != 0)
    }

    /// The address of the service `name`.
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

/// Whether a line of `/proc/self/mountinfo` shows that `directory` lies in a private directory that systemd has made.
fn is_private(line: &str, directory: &Path) -> bool {
    // Id, parent, device, root within the file system, mount point.
    let mut fields = line.split(' ').skip(3);
    let (Some(root), Some(point)) = (fields.next(), fields.next()) else { return false };
    root.contains("/systemd-private-") && point != "/" && directory.starts_with(point)
}

impl Address {
    /// The address as in `/proc/net/unix`.
    fn in_proc(&self) -> Vec<u8> {
        match self {
            Self::Abstract(name) => {
                let mut shown = vec![b'@'; 1 + ABSTRACT];
                shown[1..=name.len()].copy_from_slice(name.as_bytes());
                shown
            }
            Self::Path(path) => path.as_os_str().as_encoded_bytes().to_vec(),
        }
    }

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

    /// Makes a non-blocking listening socket whose connections receive credentials.
    ///
    /// If a user other than root or the daemon's own listens at a path, the path is replaced by this socket. That is
    /// not possible with an abstract name.
    ///
    /// # Errors
    /// [`IpcError::Taken`], [`IpcError::Listen`].
    pub(super) fn listen(&self) -> Result<OwnedFd, IpcError> {
        let taken =
            |holder: Holder| IpcError::Taken { address: self.to_string(), advice: holder.advice(), holder };
        if let Self::Path(_) = self
            && let Some(holder) = self.listener()
        {
            if holder.is_ours() {
                return Err(taken(holder));
            }
            tracing::warn!(address = %self, "{holder} had taken the address of a service; it is taken from it");
        }
        self.try_listen().map_err(|source| match self.listener().or_else(|| holder::bound(&self.in_proc())) {
            Some(holder) if source.kind() == io::ErrorKind::AddrInUse => taken(holder),
            Some(_) | None => IpcError::Listen { address: self.to_string(), source },
        })
    }

    /// The process that listens at this address.
    fn listener(&self) -> Option<Holder> {
        let socket = self.connect().ok()?;
        holder::at_other_end(socket.as_fd()).ok()
    }

    fn try_listen(&self) -> io::Result<OwnedFd> {
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

    /// Makes a connected non-blocking socket that receives credentials.
    pub(super) fn connect(&self) -> io::Result<OwnedFd> {
        let socket = socket(SocketFlags::NONBLOCK)?;
        rustix::net::connect(&socket, &self.socket_address()?)?;
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        Ok(socket)
    }

    /// Removes the socket file, if there is one.
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
    fn an_abstract_address_fills_the_whole_struct() {
        let address = Address::Abstract("cpg".into()).socket_address().unwrap();
        assert_eq!(address.abstract_name().map(<[u8]>::len), Some(107));
        assert!(Address::Abstract("x".repeat(200)).socket_address().is_err());
    }

    #[test]
    fn private_and_shared_directories_are_told_apart() {
        let private =
            "631 590 8:1 /tmp/systemd-private-1b-annulusd.service-x/tmp /tmp rw shared:3 - ext4 /dev/sda1 rw";
        let shared = "80 29 0:41 / /tmp rw,nosuid shared:4 - tmpfs tmpfs rw";
        let other = private.replace(" /tmp rw", " /var/tmp rw");
        for (line, directory, expected) in [
            (private, "/tmp", true),
            (private, "/tmp/below", true),
            (private, "/tmpother", false),
            (private, "/run", false),
            (shared, "/tmp", false),
            (&*other, "/tmp", false),
            ("", "/tmp", false),
        ] {
            assert_eq!(is_private(line, Path::new(directory)), expected, "{line:?} {directory}");
        }
        assert_eq!(Rendezvous::Abstract.seclusion(), None);
    }

    #[test]
    fn a_socket_file_is_replaced_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let address = Rendezvous::Directory(directory.path().into()).address("cpg");
        std::fs::write(directory.path().join("cpg"), "stale").unwrap();
        let _listener = address.listen().unwrap();
        address.connect().unwrap();
        let place = Rendezvous::Directory(directory.path().into());
        assert_eq!(place.listener("cpg"), Some(std::process::id()));
        assert_eq!(place.listener("cmap"), None);
        address.remove();
        assert!(address.connect().is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
