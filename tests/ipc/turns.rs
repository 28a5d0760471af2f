//! One turn of the server does only a part of the waiting work, so that its caller gets back to its other sockets.

use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant as Clock};

use annulus::ids::ServiceId;
use annulus::ipc::wire::ResponseHeader;
use annulus::ipc::{
    Admission, Connection, Credentials, Endpoint, FlowLimit, Incoming, Options, Refusal, Server,
};
use annulus::time::Instant;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::echo::{ECHO, Echo, TICK, alone, open_descriptors, request, unique, wait_until};
use crate::hostile::{dial, dial_name, hello};

struct Verdict(Result<(), Refusal>);

impl Admission for Verdict {
    fn admit(&self, _: ServiceId, _: &Credentials) -> Result<(), Refusal> {
        self.0
    }
}

const LET_IN: Verdict = Verdict(Ok(()));
const STEPS: u32 = 8;

/// A server whose turns have at most [`STEPS`] steps and no time limit, and its name.
fn short_turns() -> (Server, String) {
    let name = unique("turns");
    let options = Options { turn: Duration::from_secs(3600), turn_steps: STEPS, ..Options::default() };
    let endpoint = Endpoint { service: ServiceId(2), name: name.clone() };
    (Server::bind(options, vec![endpoint]).unwrap(), name)
}

/// Runs one turn and returns what it reported.
fn turn(server: &mut Server, admit: &dyn Admission) -> Vec<Incoming> {
    let mut buf = Vec::new();
    let found = std::iter::from_fn(|| server.next(Instant::ZERO, admit, &mut buf)).collect();
    server.flush();
    found
}

/// Runs turns until nothing is left to do.
fn turns(server: &mut Server, admit: &dyn Admission) -> Vec<Incoming> {
    let mut all = Vec::new();
    loop {
        all.extend(turn(server, admit));
        if !server.is_unfinished() {
            return all;
        }
        assert_eq!(server.deadline(), Some(Instant::ZERO), "the rest is due at once");
    }
}

/// Connects `count` clients while the server runs its turns in this thread.
fn connect(server: &mut Server, name: &str, count: usize) -> Vec<Connection> {
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| -> Vec<Connection> {
            (0..count).map(|_| Connection::connect(name).unwrap()).collect()
        });
        while !connecting.is_finished() {
            turns(server, &LET_IN);
            std::thread::sleep(Duration::from_millis(1));
        }
        turns(server, &LET_IN);
        connecting.join().unwrap()
    })
}

#[test]
fn many_refusals_are_spread_over_several_turns() {
    let _alone = alone();
    let (mut server, name) = short_turns();
    let clients: Vec<UnixStream> = (0..24)
        .map(|_| {
            let mut client = dial_name(&name);
            client.write_all(&hello(-1, 1 << 20)).unwrap();
            client
        })
        .collect();
    let denied = Verdict(Err(Refusal::Denied));
    let mut most = 0;
    let mut count = 0;
    while server.stats().turned_away < 24 {
        let before = server.stats().turned_away;
        assert_eq!(turn(&mut server, &denied), []);
        most = most.max(server.stats().turned_away - before);
        count += 1;
        assert!(count < 100, "{} were refused", server.stats().turned_away);
    }
    assert!(most <= u64::from(STEPS), "{most} in one turn");
    for mut client in clients {
        let mut answer = vec![0; 12_328];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer[16..20], (-libc::EACCES).to_ne_bytes());
    }
}

#[test]
fn constant_doorbells_do_not_delay_requests_of_others() {
    let _alone = alone();
    let (mut server, name) = short_turns();
    let mut ringing: Vec<UnixStream> = (0..20).map(|_| dial_name(&name)).collect();
    for client in &mut ringing {
        client.write_all(&hello(-1, 1 << 20)).unwrap();
    }
    assert_eq!(turns(&mut server, &LET_IN).len(), 20);
    let [asking] = &connect(&mut server, &name, 1)[..] else { panic!("one was to be connected") };
    asking.post(&[&request(TICK, 0)], FlowLimit::Ordinary).unwrap();
    let mut waited = 0;
    loop {
        for client in &mut ringing {
            client.write_all(&[0; 3]).unwrap();
        }
        let found = turn(&mut server, &LET_IN);
        if let [Incoming::Request { .. }] = found[..] {
            break;
        }
        assert_eq!(found, []);
        assert!(server.is_unfinished());
        waited += 1;
        assert!(waited < 20, "it waits in vain");
    }
}

#[test]
fn simultaneous_disconnects_are_reported_over_several_turns() {
    let _alone = alone();
    let (mut server, name) = short_turns();
    let clients = connect(&mut server, &name, 30);
    drop(clients);
    let mut gone = 0;
    while gone < 30 {
        let found = turn(&mut server, &LET_IN);
        assert!(found.len() <= STEPS as usize, "{found:?}");
        gone += found.len();
        assert!(gone == 30 || server.is_unfinished() || !found.is_empty());
    }
    wait_until("their files are removed", || {
        turn(&mut server, &LET_IN);
        server.connections() == 0
    });
}

#[test]
fn events_for_very_many_clients_are_announced_in_several_turns() {
    let _alone = alone();
    let (mut server, name) = short_turns();
    let clients = connect(&mut server, &name, 20);
    let ids: Vec<_> = server.clients().map(|client| client.conn).collect();
    for conn in ids {
        server.event(conn, &[0; 24], &bytes::Bytes::from_static(b"an event"));
    }
    let told = |clients: &[Connection]| {
        clients.iter().filter(|client| client.wait(Some(Duration::ZERO)).unwrap()).count()
    };
    server.flush();
    assert_eq!(told(&clients), STEPS as usize);
    assert_eq!(server.deadline(), Some(Instant::ZERO), "the rest is due at once");
    server.flush();
    server.flush();
    assert_eq!(told(&clients), 20);
}

#[test]
fn a_long_event_for_very_many_clients_is_copied_in_several_turns() {
    let _alone = alone();
    let (mut server, name) = short_turns();
    let clients = connect(&mut server, &name, 20);
    let ids: Vec<_> = server.clients().map(|client| client.conn).collect();
    let payload = vec![7; 512 << 10].into();
    let head = ResponseHeader { id: 100, size: 24 + (512 << 10), error: 0 }.to_bytes();
    for conn in ids {
        server.event(conn, &head, &payload);
    }
    let waiting = |server: &Server| server.clients().filter(|client| client.queued > 0).count();
    assert!((11..=13).contains(&waiting(&server)), "{} of 20 wait, 4 MiB are written", waiting(&server));
    while server.deadline().is_some_and(|at| at == Instant::ZERO) || waiting(&server) > 0 {
        server.flush();
    }
    let mut event = Vec::new();
    for client in clients {
        assert!(client.try_event(&mut event).unwrap());
        assert_eq!(event.len(), head.len() + payload.len());
    }
}

#[test]
fn a_connection_costs_the_server_one_descriptor() {
    let _alone = alone();
    let (mut server, name) = short_turns();
    let first = connect(&mut server, &name, 1);
    let before = open_descriptors();
    let more = connect(&mut server, &name, 10);
    assert_eq!(open_descriptors() - before, 20, "ten at each end");
    drop((first, more));
}

/// A TCP socket whose last close blocks for 20 s, as it has unsent data that nobody reads.
fn slow_to_close() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::from_secs(20))).unwrap();
    socket.set_nonblocking(true).unwrap();
    while (&socket).write(&[0; 65_536]).is_ok() {}
    (socket, other)
}

fn pass(stream: &UnixStream, bytes: &[u8], socket: &TcpStream) {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [socket.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
}

/// The server must close descriptors that clients send to it, and such a close may take as long as the sender likes.
#[test]
fn a_descriptor_that_is_slow_to_close_delays_no_client() {
    let _alone = alone();
    let echo = Echo::start("descriptors");
    let witness = Connection::connect(&echo.name).unwrap();
    let start = Clock::now();
    let hello = hello(-1, 1 << 20);
    // The descriptor is sent with the first message, after it, instead of it by a client that disconnects, with a
    // doorbell, and with a doorbell by a client that disconnects.
    let mut held = Vec::new();
    let mut closed_by_the_server = 0;
    for case in 0..5 {
        let (socket, other) = slow_to_close();
        let mut stream = dial(&echo);
        let before: &[u8] = if matches!(case, 1 | 3 | 4) { &hello } else { &[] };
        stream.write_all(before).unwrap();
        if matches!(case, 3 | 4) {
            stream.read_exact(&mut vec![0; 12_328]).unwrap();
        }
        if case == 4 {
            rustix::net::shutdown(&stream, rustix::net::Shutdown::Read).unwrap();
        }
        let with = match case {
            0 => hello.to_vec(),
            2 => hello[..5].to_vec(),
            _ => vec![0],
        };
        // The descriptor of this process is closed at once, so that only the server's receive queue holds the socket.
        // When the server was faster, this close is the slow one; it must not delay this test either.
        let sent = Arc::new(AtomicBool::new(false));
        let (sender, passed) = (stream.try_clone().unwrap(), Arc::clone(&sent));
        let closing = std::thread::spawn(move || {
            pass(&sender, &with, &socket);
            passed.store(true, Ordering::Release);
            drop(sender);
            drop(socket);
        });
        while !sent.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        if case != 2 && case != 4 {
            held.push(stream);
        }
        for _ in 0..20 {
            witness.call(&[&request(ECHO, 0)]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        closed_by_the_server += u32::from(closing.is_finished());
        std::mem::forget(other);
    }
    assert!(closed_by_the_server > 0, "the server was the last to close a socket");
    drop(held);
    witness.call(&[&request(ECHO, 0)]).unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(15), "it took {took:?}");
    drop(Connection::connect(&echo.name).unwrap());
}
