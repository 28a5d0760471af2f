//! This project's client with this project's server.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use annulus::error::Status;
use annulus::ids::ServiceId;
use annulus::ipc::wire::ResponseHeader;
use annulus::ipc::{
    Admission, ConnectError, Connection, Credentials, Endpoint, Flow, FlowLimit, IpcError, Options, Refusal,
    Server,
};

use crate::echo::{
    BURST, COUNT, ECHO, Echo, LAST, PART, PATIENCE, POST, TELL_ALL, TICK, alone, burst, entries,
    open_descriptors, request, response, wait_until,
};

const LARGEST: usize = 1 << 20;

/// Waits for the next event.
pub(crate) fn next_event(connection: &Connection, buf: &mut Vec<u8>) {
    let start = Instant::now();
    while !connection.try_event(buf).unwrap() {
        assert!(start.elapsed() < PATIENCE, "no event came");
        connection.wait(Some(Duration::from_secs(5))).unwrap();
    }
}

/// Echoes of random lengths up to the largest message: both ring buffers wrap around several times.
pub(crate) fn echo_of_random_sizes(connection: &Connection, rounds: u32, seed: u32) {
    let mut noise = seed;
    let mut answer = Vec::new();
    for round in 0..rounds {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let most = if round % 6 == 0 { LARGEST - ResponseHeader::LEN + 1 } else { 5000 };
        let payload: Vec<u8> =
            (0..(noise >> 8) as usize % most).map(|i| (i as u32 * 7 + round) as u8).collect();
        connection.call_into(&[&request(ECHO, payload.len()), &payload], &mut answer).unwrap();
        assert!(answer == response(ECHO, &payload), "echo {round} of {} bytes differs", payload.len());
    }
}

/// Posts messages as fast as the ring buffer takes them; the same messages must come back as events, in order.
pub(crate) fn flood_of_posts(connection: &Connection, count: u32, size: usize) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut payload = vec![5; size];
            for i in 0..count {
                payload[..4].copy_from_slice(&i.to_ne_bytes());
                loop {
                    match connection.post(&[&request(POST, size), &payload], FlowLimit::Multicast) {
                        Ok(()) => break,
                        Err(IpcError::TryAgain) => std::thread::sleep(Duration::from_micros(50)),
                        Err(error) => panic!("post {i}: {error}"),
                    }
                }
            }
        });
        let mut event = Vec::new();
        for i in 0..count {
            next_event(connection, &mut event);
            assert_eq!(event.len(), 24 + size);
            assert_eq!(event[24..28], i.to_ne_bytes());
        }
    });
    assert!(!connection.try_event(&mut Vec::new()).unwrap());
}

#[test]
fn echoes_of_all_sizes_come_back() {
    let _alone = alone();
    let echo = Echo::start("sizes");
    let connection = Connection::connect(&echo.name).unwrap();
    assert_eq!(connection.max_message(), LARGEST);
    echo_of_random_sizes(&connection, 60, 1);
    // The largest request that is possible, and one more byte.
    let payload = vec![3; LARGEST - 24];
    assert_eq!(connection.call(&[&request(ECHO, payload.len()), &payload]).unwrap().len(), LARGEST);
    let payload = vec![3; LARGEST - 15];
    let long = connection.call(&[&request(ECHO, payload.len()), &payload]).unwrap_err();
    assert!(matches!(long, IpcError::TooLong { .. }) && long.status() == Status::TooBig);
    drop(connection);
    echo.expect_empty();
}

#[test]
fn requests_and_events_flow_in_both_directions_at_once() {
    let _alone = alone();
    let echo = Echo::start("flood");
    let connections: Vec<_> = (0..3).map(|_| Connection::connect(&echo.name).unwrap()).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| flood_of_posts(&connections[0], 20_000, 40));
        scope.spawn(|| flood_of_posts(&connections[1], 500, 20_000));
        scope.spawn(|| echo_of_random_sizes(&connections[2], 40, 2));
    });
    drop(connections);
    echo.expect_empty();
}

#[test]
fn threads_share_a_connection() {
    let _alone = alone();
    let echo = Echo::start("threads");
    let connection = Connection::connect(&echo.name).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| echo_of_random_sizes(&connection, 30, 3));
        scope.spawn(|| echo_of_random_sizes(&connection, 30, 4));
        scope.spawn(|| flood_of_posts(&connection, 3000, 100));
    });
}

#[test]
fn a_burst_larger_than_the_ring_buffer_arrives_in_order() {
    let _alone = alone();
    let echo = Echo::start("burst");
    let connection = Connection::connect(&echo.name).unwrap();
    connection.call(&[&request(BURST, 8), &burst(6000, 1000)]).unwrap();
    let mut event = Vec::new();
    for i in 0..6000_u32 {
        next_event(&connection, &mut event);
        assert_eq!(event[24..28], i.to_ne_bytes());
    }
    // Events may be read before their doorbells are sent, which happens at the end of the server's turn at the
    // latest. Once these doorbells are read none may be left, as a surplus one would never be read.
    for _ in 0..2 {
        echo.order(|_| ());
    }
    wait_until("no doorbell is left", || {
        assert!(!connection.try_event(&mut event).unwrap());
        !connection.wait(Some(Duration::ZERO)).unwrap()
    });
}

#[test]
fn a_client_that_floods_itself_is_slowed_down_but_may_send_requests() {
    let _alone = alone();
    let echo = Echo::with("self", |options| options.event_backlog = 1 << 20, Box::new(Root));
    let connection = Connection::connect(&echo.name).unwrap();
    let payload = [1; 1000];
    let mut posted = 0_u32;
    wait_until("multicasts are held back", || {
        let taken = || connection.post(&[&request(POST, 1000), &payload], FlowLimit::Multicast).is_ok();
        let before = posted;
        while posted < 10_000 && taken() {
            posted += 1;
        }
        connection.call(&[&request(COUNT, 0)]).unwrap();
        posted == before
    });
    assert!((1500..4000).contains(&posted), "{posted} were taken");
    let mut event = Vec::new();
    for _ in 0..posted {
        next_event(&connection, &mut event);
    }
    wait_until("multicasts are let through again", || {
        connection.post(&[&request(TICK, 0)], FlowLimit::Multicast).is_ok()
    });
    assert_eq!(echo.stats().thrown_out, 0);
}

/// A long unread burst of other clients' messages does not hold a client back: it may post. Of its own messages it
/// may let 2 MiB wait, in addition to what its ring buffer holds.
#[test]
fn messages_of_others_do_not_hold_a_client_back() {
    let _alone = alone();
    let echo = Echo::start("others");
    let connection = Connection::connect(&echo.name).unwrap();
    connection.call(&[&request(BURST, 8), &burst(24_000, 1000)]).unwrap();
    let payload = [1; 1000];
    let mut posted = 0_u32;
    wait_until("multicasts are held back", || {
        let taken = || connection.post(&[&request(POST, 1000), &payload], FlowLimit::Multicast).is_ok();
        let before = posted;
        while posted < 24_000 && taken() {
            posted += 1;
        }
        connection.call(&[&request(COUNT, 0)]).unwrap();
        posted == before
    });
    assert!((2_000..6_000).contains(&posted), "{posted} were taken");
    let mut event = Vec::new();
    for _ in 0..24_000 + posted {
        next_event(&connection, &mut event);
    }
    assert_eq!(echo.stats().thrown_out, 0);
}

#[test]
fn a_client_that_does_not_read_is_disconnected_and_others_go_on() {
    let _alone = alone();
    let echo = Echo::with("backlog", |options| options.event_backlog = 1 << 20, Box::new(Root));
    let lazy = Connection::connect(&echo.name).unwrap();
    let busy = Connection::connect(&echo.name).unwrap();
    lazy.call(&[&request(BURST, 8), &burst(6000, 1000)]).unwrap();
    wait_until("the lazy client is thrown out", || echo.stats().thrown_out == 1);
    echo_of_random_sizes(&busy, 10, 5);
    assert_eq!(echo.connections(), 1);
    // Events in the ring buffer can still be read; then the client learns that it is disconnected.
    let mut event = Vec::new();
    let mut got = 0;
    let error = loop {
        match lazy.try_event(&mut event) {
            Ok(true) => got += 1,
            Ok(false) => panic!("a closed connection has nothing to wait for"),
            Err(error) => break error,
        }
    };
    assert!(got > 900 && matches!(error, IpcError::Disconnected));
    assert!(matches!(lazy.post(&[&request(TICK, 0)], FlowLimit::Ordinary), Err(IpcError::Disconnected)));
    drop((lazy, busy));
    echo.expect_empty();
}

/// Puts a request into the ring buffer as soon as there is room. Returns whether that was within a second.
fn posted(connection: &Connection, id: i32, payload: &[u8]) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        match connection.post(&[&request(id, payload.len()), payload], FlowLimit::Multicast) {
            Ok(()) => return true,
            Err(IpcError::TryAgain) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
    false
}

/// libcpg sends a long message in pieces; a client with a single thread reads nothing before all are sent.
#[test]
fn a_long_message_in_pieces_is_sent_while_its_sender_does_not_read() {
    let _alone = alone();
    let echo = Echo::start("pieces");
    let connection = Connection::connect(&echo.name).unwrap();
    let piece = vec![1; 1_000_000];
    for n in 0..59 {
        assert!(posted(&connection, PART, &piece), "piece {n} is held back");
    }
    assert!(posted(&connection, LAST, &piece));
    wait_until("the next message has to wait for its reader", || {
        connection.call(&[&request(COUNT, 0)]).unwrap();
        !posted(&connection, POST, &[2; 4])
    });
    let mut event = Vec::new();
    for _ in 0..60 {
        next_event(&connection, &mut event);
        assert_eq!(event.len(), 24 + piece.len());
    }
    wait_until("multicasts are let through again", || posted(&connection, POST, &[2; 4]));
    assert_eq!(echo.stats().thrown_out, 0);
}

/// An event for many slow readers is held in memory once, and all that waits for all readers together is bounded.
#[test]
fn memory_of_events_for_many_slow_readers_is_bounded() {
    const LIMIT: usize = 16 << 20;
    let _alone = alone();
    let echo = Echo::with("slow", |options| options.all_backlogs = LIMIT, Box::new(Root));
    let slow: Vec<Connection> = (0..40).map(|_| Connection::connect(&echo.name).unwrap()).collect();
    let slowest = Connection::connect(&echo.name).unwrap();
    let reader = Connection::connect(&echo.name).unwrap();
    let payload = vec![5; 8192];
    let mut event = Vec::new();
    // All clients get 10 MiB of events, of which a ring buffer holds one: 9 MiB wait for each of 41 clients, held
    // once.
    for _ in 0..1280 {
        assert!(posted(&reader, TELL_ALL, &payload));
        next_event(&reader, &mut event);
    }
    let waiting = echo.order(|server| server.waiting());
    assert!((8 << 20..14 << 20).contains(&waiting), "{waiting} bytes wait");
    assert_eq!(echo.stats().thrown_out, 0);
    // More waits for one client than for the others: it is the first to be disconnected.
    slowest.call(&[&request(BURST, 8), &burst(10_000, 1000)]).unwrap();
    wait_until("the slowest is thrown out", || echo.stats().thrown_out == 1);
    assert!(matches!(slowest.post(&[&request(TICK, 0)], FlowLimit::Ordinary), Err(IpcError::Disconnected)));
    slow[0].call(&[&request(COUNT, 0)]).unwrap();
    // As more events come, the other slow clients are disconnected too, and the one that reads stays.
    for n in 0..4000 {
        assert!(posted(&reader, TELL_ALL, &payload));
        next_event(&reader, &mut event);
        if n % 100 == 0 {
            let waiting = echo.order(|server| server.waiting());
            assert!(waiting <= LIMIT + LIMIT / 4, "{waiting} bytes wait");
        }
    }
    wait_until("only the reader is left", || echo.connections() == 1);
    wait_until("nothing is left of what waited", || echo.order(|server| server.waiting()) == 0);
    assert_eq!(echo.stats().thrown_out, 41);
    reader.call(&[&request(COUNT, 0)]).unwrap();
}

pub(crate) struct Root;

impl Admission for Root {
    fn admit(&self, _: ServiceId, peer: &Credentials) -> Result<(), Refusal> {
        assert_eq!(peer.pid, std::process::id());
        if peer.uid == rustix::process::getuid().as_raw() { Ok(()) } else { Err(Refusal::Denied) }
    }
}

struct Nobody(Refusal);

impl Admission for Nobody {
    fn admit(&self, _: ServiceId, _: &Credentials) -> Result<(), Refusal> {
        Err(self.0)
    }
}

#[test]
fn refusals_are_reported_as_by_corosync() {
    let _alone = alone();
    for (refusal, status) in [
        (Refusal::NotReady, Status::TryAgain),
        (Refusal::NoService, Status::NotSupported),
        (Refusal::TooMany, Status::Library),
        (Refusal::Denied, Status::Access),
    ] {
        let echo = Echo::with("refused", |_| {}, Box::new(Nobody(refusal)));
        let error = Connection::connect(&echo.name).unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }));
        assert_eq!(error.status(), status);
        assert_eq!(entries(echo.directory.path()), 0);
    }
    let error = Connection::connect("annulus-test-nobody-listens").unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }));
    assert_eq!(error.status(), Status::Library);
}

#[test]
fn flow_control_holds_multicasts_back_and_lets_requests_wait() {
    let _alone = alone();
    let echo = Echo::start("flow");
    let connection = Connection::connect(&echo.name).unwrap();
    connection.call(&[&request(ECHO, 0)]).unwrap();
    echo.set_flow(Flow::Multicast);
    let held = connection.post(&[&request(TICK, 0)], FlowLimit::Multicast);
    assert!(matches!(held, Err(IpcError::TryAgain)));
    // A client that connects meanwhile is held back as well.
    let late = Connection::connect(&echo.name).unwrap();
    assert!(matches!(late.post(&[&request(TICK, 0)], FlowLimit::Multicast), Err(IpcError::TryAgain)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| connection.call(&[&request(COUNT, 0)]).unwrap());
        // More doorbells than a socket holds: they are read although the requests wait.
        for _ in 0..1000 {
            late.post(&[&request(TICK, 0)], FlowLimit::Ordinary).unwrap();
        }
        std::thread::sleep(Duration::from_millis(30));
        assert!(!waiting.is_finished(), "the request waits");
        echo.set_flow(Flow::Open);
        waiting.join().unwrap();
    });
    let answer = late.call(&[&request(COUNT, 0)]).unwrap();
    assert_eq!(ResponseHeader::read(&answer).unwrap().error, 1000);
    echo.set_flow(Flow::Closed);
    assert!(matches!(connection.call(&[&request(ECHO, 0)]), Err(IpcError::TryAgain)));
}

#[test]
fn requests_sent_before_a_close_are_still_carried_out() {
    let _alone = alone();
    let echo = Echo::start("close");
    echo.set_flow(Flow::Multicast);
    let connection = Connection::connect(&echo.name).unwrap();
    for _ in 0..500 {
        connection.post(&[&request(TICK, 0)], FlowLimit::Ordinary).unwrap();
    }
    drop(connection);
    let other = Connection::connect(&echo.name).unwrap();
    assert_eq!(echo.closed.load(Ordering::Acquire), 0, "not closed while its requests wait");
    echo.set_flow(Flow::Open);
    wait_until("the client's end is reported", || echo.closed.load(Ordering::Acquire) == 1);
    let answer = other.call(&[&request(COUNT, 0)]).unwrap();
    assert_eq!(ResponseHeader::read(&answer).unwrap().error, 500);
}

#[test]
fn a_connection_closed_by_the_server_delivers_what_it_was_sent() {
    let _alone = alone();
    let echo = Echo::start("linger");
    let connection = Connection::connect(&echo.name).unwrap();
    connection.call(&[&request(BURST, 8), &burst(3000, 1000)]).unwrap();
    echo.order(|server| server.shutdown());
    let mut event = Vec::new();
    for i in 0..3000_u32 {
        next_event(&connection, &mut event);
        assert_eq!(event[24..28], i.to_ne_bytes());
    }
    wait_until("the end is seen", || matches!(connection.try_event(&mut event), Err(IpcError::Disconnected)));
    wait_until("its end is reported", || echo.closed.load(Ordering::Acquire) == 1);
    drop(connection);
    echo.expect_empty();
    assert!(Connection::connect(&echo.name).is_err());
}

#[test]
fn requests_of_a_client_that_left_are_dropped_when_the_server_closes_it() {
    let _alone = alone();
    let echo = Echo::start("both");
    echo.set_flow(Flow::Multicast);
    let connection = Connection::connect(&echo.name).unwrap();
    connection.post(&[&request(TICK, 0)], FlowLimit::Ordinary).unwrap();
    drop(connection);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(echo.connections(), 1);
    echo.order(|server| server.shutdown());
    wait_until("its end is reported", || echo.closed.load(Ordering::Acquire) == 1);
    echo.expect_empty();
    assert_eq!(echo.stats().requests, 0);
}

#[test]
fn a_call_ends_when_the_server_does() {
    let _alone = alone();
    let echo = Echo::start("gone");
    let connection = Connection::connect(&echo.name).unwrap();
    echo.set_flow(Flow::Multicast);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| connection.call(&[&request(ECHO, 0)]));
        std::thread::sleep(Duration::from_millis(20));
        drop(echo);
        assert!(matches!(call.join().unwrap(), Err(IpcError::Disconnected)));
    });
}

#[test]
fn nothing_leaks_over_many_connections() {
    let _alone = alone();
    let echo = Echo::start("leaks");
    drop(Connection::connect(&echo.name).unwrap());
    echo.expect_empty();
    let before = open_descriptors();
    for round in 0..100_usize {
        let connections: Vec<_> = (0..3).map(|_| Connection::connect(&echo.name).unwrap()).collect();
        connections[round % 3].call(&[&request(ECHO, 0)]).unwrap();
    }
    echo.expect_empty();
    assert_eq!(open_descriptors(), before);
    assert_eq!(echo.closed.load(Ordering::Acquire), 301);
}

#[test]
fn the_number_of_connections_is_limited() {
    let _alone = alone();
    let echo = Echo::with("limit", |options| options.max_connections = 3, Box::new(Root));
    let connections: Vec<_> = (0..3).map(|_| Connection::connect(&echo.name).unwrap()).collect();
    let error = Connection::connect(&echo.name).unwrap_err();
    assert!(matches!(&error, ConnectError::Refused { reason, .. } if reason.raw_os_error() == Some(24)));
    drop(connections);
    wait_until("there is room again", || Connection::connect(&echo.name).is_ok());
}

/// An unused connection needs little shared memory, its maximum message length is limited, and the memory of all
/// connections together is bounded.
#[test]
fn shared_memory_starts_small_and_is_bounded() {
    const EACH: u64 = 3 * ((1 << 20) + (32 << 10));
    let _alone = alone();
    let echo = Echo::with("memory", |options| options.max_memory = 4 * EACH, Box::new(Root));
    let used = |echo: &Echo| -> u64 {
        use std::os::unix::fs::MetadataExt;
        let files = |directory: std::fs::DirEntry| std::fs::read_dir(directory.path()).unwrap().flatten();
        let all = std::fs::read_dir(echo.directory.path()).unwrap().flatten().flat_map(files);
        all.map(|file| file.metadata().unwrap().blocks() * 512).sum()
    };
    // These connections are made without the client library, whose own files would count as well.
    let mut silent: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = crate::hostile::dial(&echo);
            std::io::Write::write_all(&mut stream, &crate::hostile::hello(-1, 1 << 20)).unwrap();
            stream
        })
        .collect();
    wait_until("they are connected", || echo.connections() == 4);
    let cost = used(&echo);
    println!("4 connections for messages of 1 MiB cost {cost} bytes of shared memory before they are used");
    assert!(cost < 4 * (128 << 10), "{cost}");
    let error = Connection::connect(&echo.name).unwrap_err();
    assert!(matches!(&error, ConnectError::Refused { reason, .. } if reason.raw_os_error() == Some(28)));
    assert_eq!(error.status(), Status::NoSpace);
    silent.pop();
    wait_until("there is room again", || Connection::connect(&echo.name).is_ok());
    // Longer messages than any library asks for.
    let mut greedy = crate::hostile::dial(&echo);
    std::io::Write::write_all(&mut greedy, &crate::hostile::hello(-1, (2 << 20) + 1)).unwrap();
    let mut response = vec![0; 12_328];
    std::io::Read::read_exact(&mut greedy, &mut response).unwrap();
    assert_eq!(response[16..20], (-90_i32).to_ne_bytes(), "EMSGSIZE");
}

#[test]
fn sockets_in_a_directory_work_as_well() {
    let _alone = alone();
    let place = tempfile::tempdir().unwrap();
    let rendezvous = annulus::ipc::Rendezvous::Directory(place.path().into());
    let echo = Echo::with("path", |options| options.rendezvous = rendezvous.clone(), Box::new(Root));
    let connection = Connection::connect_at(&rendezvous, &echo.name).unwrap();
    connection.call(&[&request(ECHO, 0)]).unwrap();
    drop(connection);
    drop(echo);
    assert_eq!(entries(place.path()), 0);
}

#[test]
fn names_and_addresses_are_checked() {
    let _alone = alone();
    let endpoint = |name: &str| vec![Endpoint { service: ServiceId(2), name: name.to_owned() }];
    for name in ["", "a/b", &"x".repeat(107), "aXXXXXXb"] {
        assert!(matches!(Server::bind(Options::default(), endpoint(name)), Err(IpcError::Name { .. })));
    }
    let name = crate::echo::unique("taken");
    let _first = Server::bind(Options::default(), endpoint(&name)).unwrap();
    let error = Server::bind(Options::default(), endpoint(&name)).unwrap_err();
    let IpcError::Taken { address, holder, .. } = &error else { panic!("{error}") };
    assert_eq!((address, holder.pid), (&format!("@{name}"), std::process::id()));
}

#[test]
fn the_descriptor_is_readable_only_when_there_is_work() {
    let _alone = alone();
    let name = crate::echo::unique("quiet");
    let endpoints = vec![Endpoint { service: ServiceId(2), name: name.clone() }];
    let mut server = Server::bind(Options::default(), endpoints).unwrap();
    let mut buf = Vec::new();
    let readable = |server: &Server| {
        let fd = server.as_fd();
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let none = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&none)).unwrap() == 1
    };
    assert!(!readable(&server));
    let client = std::thread::spawn(move || Connection::connect(&name).unwrap());
    let now = annulus::time::Instant::ZERO;
    while server.next(now, &Root, &mut buf).is_none() {
        std::thread::yield_now();
    }
    let client = client.join().unwrap();
    // A turn that has ended in the meantime is reported once.
    while server.next(now, &Root, &mut buf).is_some() || server.is_unfinished() {}
    assert!(!readable(&server));
    for _ in 0..200 {
        client.post(&[&request(TICK, 0)], FlowLimit::Ordinary).unwrap();
    }
    assert!(readable(&server));
    let mut taken = 0;
    loop {
        match server.next(now, &Root, &mut buf) {
            Some(_) => taken += 1,
            None if server.is_unfinished() => {}
            None => break,
        }
    }
    assert_eq!(taken, 200);
    assert!(!readable(&server));
    drop(client);
    assert!(readable(&server));
}

/// A service can be paused: requests of its clients stay in the ring buffer, and the clients get no error.
#[test]
fn a_pause_keeps_requests_waiting() {
    let _alone = alone();
    let echo = Echo::start("pause");
    let connection = Connection::connect(&echo.name).unwrap();
    echo.order(|server| server.set_paused(crate::echo::SERVICE, true));
    let before = echo.stats().requests;
    connection.post(&[&request(POST, 4), &[1; 4]], FlowLimit::Ordinary).unwrap();
    for _ in 0..20 {
        assert_eq!(echo.stats().requests, before, "nothing is read");
    }
    echo.order(|server| server.set_paused(crate::echo::SERVICE, false));
    let mut event = Vec::new();
    next_event(&connection, &mut event);
    assert_eq!(event[24..], [1; 4]);
    drop(connection);
    echo.expect_empty();
}
