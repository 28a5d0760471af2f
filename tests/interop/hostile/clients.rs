//! Hostile local clients, one kind at a time, each as fast as it can; [`super::stalls`] runs them.
//!
//! They keep libqb's protocol or break it on purpose, against either daemon. Each runs inside a host in a process of
//! its own, with the user id of an ordinary user.

use super::requests::{Client, dial, handshake};
use annulus::ipc::{Connection, FlowLimit, IpcError};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A user whom no daemon admits.
pub(super) const REFUSED: u32 = 60_001;
/// A user whom the configuration admits.
pub(super) const ALLOWED: u32 = 60_002;

/// A kind of hostile client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Its name on the worker's command line.
    pub(super) name: &'static str,
    /// Its description in the table.
    pub(super) what: &'static str,
    pub(super) user: u32,
    threads: usize,
    /// Acts until the time is up, and returns how often it did.
    run: fn(Instant) -> u64,
}

/// All kinds of hostile clients, in the order of the table rows.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "nobody",
        what: "nobody (the noise of this machine)",
        user: ALLOWED,
        threads: 1,
        run: nobody,
    },
    Kind {
        name: "refused",
        what: "connects, by a user who is refused",
        user: REFUSED,
        threads: 4,
        run: connects,
    },
    Kind {
        name: "crowd",
        what: "200 connections made and closed at once",
        user: ALLOWED,
        threads: 1,
        run: crowd,
    },
    Kind { name: "churn", what: "connect, one request, close", user: ALLOWED, threads: 4, run: churn },
    Kind { name: "half", what: "handshakes half done and held", user: REFUSED, threads: 2, run: half },
    Kind {
        name: "doorbells",
        what: "doorbells without requests, 32 clients",
        user: ALLOWED,
        threads: 2,
        run: doorbells,
    },
    Kind { name: "requests", what: "requests to all services", user: ALLOWED, threads: 10, run: requests },
    Kind { name: "giant", what: "requests of 1 MiB", user: ALLOWED, threads: 2, run: giant },
    Kind {
        name: "slow",
        what: "multicasts that slow members do not read",
        user: ALLOWED,
        threads: 1,
        run: slow,
    },
    Kind { name: "herd", what: "multicasts of 1 MiB to 300 members", user: ALLOWED, threads: 1, run: herd },
    Kind {
        name: "trackers",
        what: "disconnects with 8000 trackers",
        user: ALLOWED,
        threads: 2,
        run: trackers,
    },
    Kind { name: "fanout", what: "sets of a key with 8000 trackers", user: ALLOWED, threads: 1, run: fanout },
    Kind { name: "corrupt", what: "rings corrupted and files cut", user: ALLOWED, threads: 2, run: corrupt },
    Kind { name: "files", what: "descriptors of large files passed", user: ALLOWED, threads: 2, run: files },
    Kind {
        name: "linger",
        what: "descriptors passed whose close waits",
        user: REFUSED,
        threads: 1,
        run: linger,
    },
];

/// Runs one kind of hostile client inside a host.
#[test]
#[ignore = "runs inside a host of the lab, started by the tests of stalls"]
fn worker() {
    let (Ok(name), Ok(ms)) = (std::env::var("STALL_CLIENT"), std::env::var("STALL_MS")) else {
        println!("skipped: it is started by the tests of stalls");
        return;
    };
    let time = Duration::from_millis(ms.parse().expect("a number"));
    if name == "stream" {
        println!("worker: {} messages", stream(Instant::now() + time));
        return;
    }
    let kind = KINDS.iter().find(|kind| kind.name == name).expect("a kind of client");
    let user = kind.user;
    // The ids apply to this thread and to those that it starts.
    let group = rustix::thread::Gid::from_raw(user);
    rustix::thread::set_thread_groups(&[]).expect("root");
    rustix::thread::set_thread_res_gid(group, group, group).expect("root");
    let id = rustix::thread::Uid::from_raw(user);
    rustix::thread::set_thread_res_uid(id, id, id).expect("root");
    let end = Instant::now() + time;
    let threads: Vec<_> = (0..kind.threads).map(|_| std::thread::spawn(move || (kind.run)(end))).collect();
    let times: u64 = threads.into_iter().map(|thread| thread.join().expect("the client ends")).sum();
    println!("worker: {times} times");
}

/// How often `step` succeeds until the time is up. After a failure, which means that the daemon refused, it pauses
/// briefly.
fn repeat<E>(end: Instant, mut step: impl FnMut() -> Result<(), E>) -> u64 {
    let mut times = 0;
    while Instant::now() < end {
        match step() {
            Ok(()) => times += 1,
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    times
}

fn nobody(end: Instant) -> u64 {
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    0
}

/// Connects, waits for the answer, and disconnects.
fn connects(end: Instant) -> u64 {
    let mut answer = vec![0; super::requests::RESPONSE];
    repeat(end, || {
        let mut stream = dial("cpg")?;
        stream.write_all(&handshake(1 << 20))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.read_exact(&mut answer)
    })
}

fn crowd(end: Instant) -> u64 {
    repeat(end, || {
        let connections: Vec<Connection> = (0..200).map_while(|_| Connection::connect("cmap").ok()).collect();
        if connections.is_empty() { Err(()) } else { Ok(()) }
    })
}

fn churn(end: Instant) -> u64 {
    repeat(end, || {
        let connection = Connection::connect("quorum").map_err(drop)?;
        connection.call(&[&head(0, 16)]).map(drop).map_err(drop)
    })
}

fn half(end: Instant) -> u64 {
    let mut held = Vec::new();
    repeat(end, || {
        held.retain_mut(|stream: &mut UnixStream| {
            matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
        });
        if held.len() >= 64 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut stream = dial("cpg")?;
        stream.write_all(&handshake(1 << 20)[..7])?;
        stream.set_nonblocking(true)?;
        held.push(stream);
        Ok::<(), std::io::Error>(())
    })
}

fn doorbells(end: Instant) -> u64 {
    let mut clients: Vec<UnixStream> = Vec::new();
    while clients.len() < 16 && Instant::now() < end {
        if let Ok(client) = Client::connect("cpg") {
            clients.push(client.into_stream());
        }
    }
    for client in &clients {
        client.set_nonblocking(true).expect("a socket");
    }
    repeat(end, || {
        let rung = clients.iter().filter(|client| (&**client).write(&[0]).is_ok()).count();
        if rung == 0 { Err(()) } else { Ok(()) }
    })
}

/// The header of a request.
pub(super) fn head(id: i32, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    bytes[..4].copy_from_slice(&id.to_le_bytes());
    bytes[8..12].copy_from_slice(&i32::try_from(size).expect("small").to_le_bytes());
    bytes
}

/// A request of the database with a key's name.
fn keyed(id: i32, key: &str, size: usize) -> Vec<u8> {
    let mut bytes = head(id, size);
    bytes[16..18].copy_from_slice(&u16::try_from(key.len()).expect("short").to_le_bytes());
    bytes[24..24 + key.len()].copy_from_slice(key.as_bytes());
    bytes
}

/// Each thread sends requests to one service, each to a different one.
fn requests(end: Instant) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut get = keyed(2, "totem.cluster_name", 288);
    get[280..288].copy_from_slice(&64_u64.to_le_bytes());
    let kinds = [
        ("cmap", get),
        ("cfg", head(6, 16)),
        ("quorum", head(0, 16)),
        ("votequorum", head(0, 24)),
        ("cpg", head(4, 16)),
    ];
    let (service, request) =
        &kinds[usize::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % kinds.len() as u64).expect("small")];
    let mut connection = None;
    repeat(end, || {
        if connection.is_none() {
            connection = Some(Connection::connect(service).map_err(drop)?);
        }
        let outcome = connection.as_ref().expect("just connected").call(&[request]).map(drop).map_err(drop);
        if outcome.is_err() {
            connection = None;
        }
        outcome
    })
}

/// Connects and joins the group whose name is this letter.
fn join(letter: u8) -> Result<Connection, ()> {
    let connection = Connection::connect("cpg").map_err(drop)?;
    let mut request = head(0, 168);
    request[16..20].copy_from_slice(&1_u32.to_le_bytes());
    request[24] = letter;
    request[152..156].copy_from_slice(&std::process::id().to_le_bytes());
    connection.call(&[&request]).map_err(drop)?;
    Ok(connection)
}

/// Multicasts; `false` means that the daemon is busy and the call must be repeated later.
fn multicast(connection: &Connection, payload: &[u8]) -> Result<bool, ()> {
    let mut request = head(2, 40);
    let size = i32::try_from(40 + payload.len()).expect("short");
    request[8..12].copy_from_slice(&size.to_le_bytes());
    request[32..36].copy_from_slice(&u32::try_from(payload.len()).expect("short").to_le_bytes());
    match connection.post(&[&request, payload], FlowLimit::Multicast) {
        Ok(()) => Ok(true),
        Err(IpcError::TryAgain) => Ok(false),
        Err(_) => Err(()),
    }
}

fn drain(connection: &Connection) {
    let mut event = Vec::new();
    while connection.try_event(&mut event).is_ok_and(|any| any) {}
}

fn giant(end: Instant) -> u64 {
    let payload = vec![7; (1 << 20) - 200];
    let mut connection = None;
    repeat(end, || {
        if connection.is_none() {
            connection = Some(join(b'g')?);
        }
        let outcome = multicast(connection.as_ref().expect("just joined"), &payload);
        drain(connection.as_ref().expect("just joined"));
        if outcome.is_err() {
            connection = None;
        }
        if outcome? { Ok(()) } else { Err(()) }
    })
}

fn slow(end: Instant) -> u64 {
    let payload = vec![7; 60_000];
    let (mut members, mut sender) = (Vec::new(), None);
    repeat(end, || {
        if members.len() < 20 {
            members.push(join(b's')?);
            return Ok(());
        }
        if sender.is_none() {
            sender = Some(join(b's')?);
        }
        let outcome = multicast(sender.as_ref().expect("just joined"), &payload);
        drain(sender.as_ref().expect("just joined"));
        if outcome.is_err() {
            sender = None;
            members.clear();
        }
        if outcome? { Ok(()) } else { Err(()) }
    })
}

/// Many members of one group, all of which read what they receive.
fn herd(end: Instant) -> u64 {
    let members: Vec<Connection> = (0..300).map_while(|_| join(b'h').ok()).collect();
    let payload = vec![7; (1 << 20) - 200];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < end {
                members.iter().for_each(drain);
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        repeat(end, || match members.first().map(|first| multicast(first, &payload)) {
            Some(Ok(true)) => Ok(()),
            Some(Ok(false) | Err(())) | None => Err(()),
        })
    })
}

/// Adds `count` trackers of everything below `prefix`.
fn track(connection: &Connection, prefix: &str, count: u64) -> Result<(), ()> {
    for inst in 0..count {
        let mut request = keyed(7, prefix, 296);
        request[280..284].copy_from_slice(&15_i32.to_le_bytes());
        request[288..296].copy_from_slice(&inst.to_le_bytes());
        connection.call(&[&request]).map_err(drop)?;
    }
    Ok(())
}

fn trackers(end: Instant) -> u64 {
    repeat(end, || {
        let connection = Connection::connect("cmap").map_err(drop)?;
        track(&connection, "hostile.", 8000)
    })
}

fn fanout(end: Instant) -> u64 {
    let Ok(tracking) = Connection::connect("cmap") else { return 0 };
    let Ok(setting) = Connection::connect("cmap") else { return 0 };
    if track(&tracking, "hostile.", 8000).is_err() {
        return 0;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < end {
                drain(&tracking);
                let _ = tracking.wait(Some(Duration::from_millis(10)));
            }
        });
        let mut number = 0_u32;
        repeat(end, || {
            number += 1;
            let mut request = keyed(0, "hostile.key", 300);
            request[280..288].copy_from_slice(&4_u64.to_le_bytes());
            request[288] = 6;
            request[296..300].copy_from_slice(&number.to_le_bytes());
            setting.call(&[&request]).map(drop)
        })
    })
}

fn corrupt(end: Instant) -> u64 {
    let mut number = 0_u32;
    repeat(end, || {
        let mut client = Client::connect("cpg").map_err(drop)?;
        number += 1;
        client.spoil(number);
        Ok::<(), ()>(())
    })
}

fn pass(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> std::io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)), "there is room for 64");
    rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Passes file descriptors of files whose last close frees 64 MiB.
fn files(end: Instant) -> u64 {
    repeat(end, || {
        let client = Client::connect("cpg").map_err(drop)?.into_stream();
        let file =
            File::from(rustix::fs::memfd_create("large", rustix::fs::MemfdFlags::CLOEXEC).map_err(drop)?);
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 64 << 20).map_err(drop)?;
        pass(&client, &[0], &[file.as_fd()]).map_err(drop)?;
        let null = File::open("/dev/null").map_err(drop)?;
        for _ in 0..16 {
            pass(&client, &[0], &[null.as_fd(); 64]).map_err(drop)?;
        }
        Ok::<(), ()>(())
    })
}

/// Passes TCP sockets with `SO_LINGER` and unsent bytes: whoever closes one last is blocked for two seconds.
fn linger(end: Instant) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("bound");
    let mut kept = Vec::new();
    let times = repeat(end, || {
        let socket = TcpStream::connect(address)?;
        kept.push(listener.accept()?);
        rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::from_secs(2)))?;
        socket.set_nonblocking(true)?;
        while (&socket).write(&[0; 65_536]).is_ok() {}
        let stream = dial("cpg")?;
        pass(&stream, &handshake(1 << 20), &[socket.as_fd()])?;
        drop(socket);
        std::thread::sleep(Duration::from_millis(50));
        Ok::<(), std::io::Error>(())
    });
    drop(kept);
    times
}

/// Keeps the token going round without a pause: a short message each millisecond, whose sender reads its own
/// messages.
fn stream(end: Instant) -> u64 {
    let mut connection = None;
    repeat(end, || {
        if connection.is_none() {
            connection = Some(join(b'k')?);
        }
        let outcome = multicast(connection.as_ref().expect("just joined"), &[1; 100]);
        drain(connection.as_ref().expect("just joined"));
        if outcome.is_err() {
            connection = None;
        }
        std::thread::sleep(Duration::from_millis(1));
        outcome.map(drop)
    })
}
