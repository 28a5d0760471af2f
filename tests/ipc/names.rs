//! The names of services: which process holds one, and whether a client trusts it.

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

/// The id of the user nobody.
const NOBODY: u32 = 65_534;

fn abstract_name(name: &str) -> [u8; 107] {
    let mut padded = [0; 107];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    padded
}

/// A process of another user that holds a socket name until this is dropped.
struct Squatter {
    child: Child,
    _program: tempfile::TempDir,
}

impl Squatter {
    /// Returns `None` if the test does not run as root, as only root can start a process of another user.
    fn start(name: &str, listens: bool) -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "the tests must run as root in CI");
            println!("skipped: only root can start programs of other users");
            return None;
        }
        // A copy runs, as other users may not enter the directory in which the program was built.
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

/// Whether or not the holder listens on the name, the error at start names the process that has to be ended.
#[test]
fn the_process_that_holds_a_name_is_reported_at_start() {
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

/// A client sends nothing to a process of a user who is neither root nor its own user nor explicitly trusted.
#[test]
fn a_client_does_not_trust_a_server_of_another_user() {
    let _alone = alone();
    let name = unique("impostor");
    let Some(squatter) = Squatter::start(&name, true) else { return };
    let error = Connection::connect(&name).unwrap_err();
    assert_eq!(error.status(), Status::Access);
    let text = error.to_string();
    let ConnectError::Untrusted { listener, .. } = error else { panic!("{text}") };
    assert_eq!((listener.pid, listener.uid), (squatter.child.id(), NOBODY));
    assert!(text.contains(&format!("process {} (squatter) of user {NOBODY}", listener.pid)), "{text}");
    // A trusted process gets the request; this one never answers.
    std::thread::scope(|scope| {
        let asking = scope
            .spawn(|| Connection::connect_trusting(&Rendezvous::Abstract, &name, &[1, NOBODY]).unwrap_err());
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(squatter);
        assert!(matches!(asking.join().unwrap(), ConnectError::Closed { .. }));
    });
}

/// The path of a socket is not taken over from a running daemon.
#[test]
fn the_socket_path_of_a_running_daemon_is_not_taken_over() {
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
