//! The names of services: who has taken one, and whom a client finds there.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use annulus::error::Status;
use annulus::ids::ServiceId;
use annulus::ipc::{ConnectError, Connection, Endpoint, IpcError, Options, Rendezvous, Server};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::echo::{Echo, alone, unique};

/// The user who is nobody.
const NOBODY: u32 = 65_534;

fn abstract_name(name: &str) -> [u8; 107] {
    let mut padded = [0; 107];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    padded
}

/// A process of another user that has taken a name; gone when this is dropped.
struct Squatter {
    child: Child,
    _program: tempfile::TempDir,
}

impl Squatter {
    /// `None`: only root can have one.
    fn start(name: &str, listens: bool) -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "the tests must run as root in CI");
            println!("skipped: only root can start programs of other users");
            return None;
        }
        // Copied: the directory it was built in may be closed to others.
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let copy = place.path().join("squatter");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let mut child = Command::new(&copy)
            .args(["--exact", "names::takes_a_name", "--ignored", "--nocapture"])
            .env("SQUAT", name)
            .env("SQUAT_LISTENS", listens.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .uid(NOBODY)
            .gid(NOBODY)
            .spawn()
            .unwrap();
        let (mut said, mut byte) = (String::new(), [0]);
        while !said.ends_with("taken\n") && child.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 {
            said.push(char::from(byte[0]));
        }
        assert!(said.ends_with("taken\n"), "{said}");
        Some(Self { child, _program: place })
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "what the other tests start as another user"]
fn takes_a_name() {
    let Ok(name) = std::env::var("SQUAT") else { return };
    let padded = abstract_name(&name);
    let _socket: OwnedFd = if std::env::var("SQUAT_LISTENS").as_deref() == Ok("true") {
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(padded).unwrap()).unwrap().into()
    } else {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(&padded).unwrap()).unwrap();
        socket
    };
    println!("taken");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

fn bind(name: &str) -> Result<Server, IpcError> {
    Server::bind(Options::default(), vec![Endpoint { service: ServiceId(2), name: name.to_owned() }])
}

/// Whether it listens there or not: whoever starts the daemon is told which process to end.
#[test]
fn who_has_taken_a_name_is_named_at_start() {
    let _alone = alone();
    for listens in [true, false] {
        let name = unique("squat");
        let Some(squatter) = Squatter::start(&name, listens) else { return };
        let error = bind(&name).unwrap_err();
        let text = error.to_string();
        let IpcError::Taken { address, holder, .. } = error else { panic!("{text}") };
        assert_eq!((&*address, holder.pid, holder.uid), (&*format!("@{name}"), squatter.child.id(), NOBODY));
        assert!(
            text.contains(&format!("process {} (squatter) of user {NOBODY} has it", holder.pid)),
            "{text}"
        );
        assert!(text.contains("End that process"), "{text}");
        drop(squatter);
        bind(&name).unwrap();
    }
}

/// Nothing is sent to somebody who is neither root nor us, unless he was named.
#[test]
fn a_client_does_not_trust_whoever_has_the_name() {
    let _alone = alone();
    let name = unique("impostor");
    let Some(squatter) = Squatter::start(&name, true) else { return };
    let error = Connection::connect(&name).unwrap_err();
    assert_eq!(error.status(), Status::Access);
    let text = error.to_string();
    let ConnectError::Untrusted { listener, .. } = error else { panic!("{text}") };
    assert_eq!((listener.pid, listener.uid), (squatter.child.id(), NOBODY));
    assert!(text.contains(&format!("process {} (squatter) of user {NOBODY}", listener.pid)), "{text}");
    // One who is trusted is asked. This one never answers.
    std::thread::scope(|scope| {
        let asking = scope
            .spawn(|| Connection::connect_trusting(&Rendezvous::Abstract, &name, &[1, NOBODY]).unwrap_err());
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(squatter);
        assert!(matches!(asking.join().unwrap(), ConnectError::Closed { .. }));
    });
}

/// A socket in a directory is not taken from a daemon that lives.
#[test]
fn a_path_of_a_daemon_that_lives_is_not_taken_from_it() {
    let _alone = alone();
    let place = tempfile::tempdir().unwrap();
    let rendezvous = Rendezvous::Directory(place.path().into());
    let echo =
        Echo::with("living", |options| options.rendezvous = rendezvous.clone(), Box::new(crate::own::Root));
    let options = Options { rendezvous: rendezvous.clone(), ..Options::default() };
    let endpoint = Endpoint { service: ServiceId(2), name: echo.name.clone() };
    let error = Server::bind(options, vec![endpoint]).unwrap_err();
    assert!(matches!(&error, IpcError::Taken { holder, .. } if holder.pid == std::process::id()), "{error}");
    Connection::connect_at(&rendezvous, &echo.name).unwrap();
}
