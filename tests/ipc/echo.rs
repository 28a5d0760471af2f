//! The echo service that all tests talk to (see protocol.h), running in a thread.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use annulus::ids::{ConnId, Piece, ServiceId};
use annulus::ipc::wire::{RequestHeader, ResponseHeader};
use annulus::ipc::{Admission, Credentials, Endpoint, Flow, Incoming, Options, Refusal, Server, Stats};
use annulus::time::Instant;
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags};

pub(crate) const ECHO: i32 = 1;
pub(crate) const POST: i32 = 2;
pub(crate) const BURST: i32 = 3;
pub(crate) const COUNT: i32 = 4;
pub(crate) const TICK: i32 = 5;
/// As [`POST`], but one of several pieces of a message (`PART`), or the last one (`LAST`).
pub(crate) const PART: i32 = 6;
pub(crate) const LAST: i32 = 7;
/// Sends an event with the request's payload to every client.
pub(crate) const TELL_ALL: i32 = 8;

/// Lets one test run at a time, as the tests count the descriptors and mappings of this process.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A name that no other test and no other run uses.
pub(crate) fn unique(what: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("annulus-test-{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

type Order = Box<dyn FnOnce(&mut Server) + Send>;

/// An echo server in a thread, with its ring buffer files in a directory of its own.
pub(crate) struct Echo {
    pub(crate) name: String,
    pub(crate) directory: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    pub(crate) closed: Arc<AtomicU64>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) const SERVICE: ServiceId = ServiceId(2);

struct Everybody;

impl Admission for Everybody {
    fn admit(&self, _: ServiceId, _: &Credentials) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Echo {
    pub(crate) fn start(what: &str) -> Self {
        Self::with(what, |_| {}, Box::new(Everybody))
    }

    pub(crate) fn with(
        what: &str,
        change: impl FnOnce(&mut Options),
        admission: Box<dyn Admission + Send>,
    ) -> Self {
        let (name, directory) = (unique(what), tempfile::tempdir_in("/dev/shm").unwrap());
        // Clients of other users must be able to enter, as they can enter /dev/shm.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let mut options = Options { directory: directory.path().into(), ..Options::default() };
        change(&mut options);
        let endpoint = Endpoint { service: SERVICE, name: name.clone() };
        let mut server = Server::bind(options, vec![endpoint]).unwrap();
        let (stop, closed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (orders, receiver) = channel::<Order>();
        let thread = std::thread::spawn({
            let (stop, closed) = (Arc::clone(&stop), Arc::clone(&closed));
            move || {
                let start = std::time::Instant::now();
                let now = || Instant::from_micros(start.elapsed().as_micros() as u64);
                let mut service = Service::default();
                let mut buf = Vec::new();
                while !stop.load(Ordering::Acquire) {
                    let until = server.deadline().map_or(Duration::from_millis(5), |at| at.since(now()));
                    let until = until.min(Duration::from_millis(5));
                    let wait = rustix::time::Timespec { tv_sec: 0, tv_nsec: until.subsec_nanos().into() };
                    let fd = server.as_fd();
                    rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait)).unwrap();
                    while let Ok(order) = receiver.try_recv() {
                        order(&mut server);
                    }
                    while let Some(incoming) = server.next(now(), &*admission, &mut buf) {
                        if let Incoming::Closed { .. } = incoming {
                            closed.fetch_add(1, Ordering::Release);
                        }
                        service.handle(&mut server, incoming, &buf);
                    }
                    server.flush();
                }
            }
        });
        Self { name, directory, stop, closed, orders, thread: Some(thread) }
    }

    /// Runs a function on the server, in its thread, and returns the result.
    pub(crate) fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Server) -> T + Send + 'static,
    ) -> T {
        let (sender, receiver) = channel();
        self.orders.send(Box::new(move |server| sender.send(order(server)).unwrap())).unwrap();
        receiver.recv().unwrap()
    }

    pub(crate) fn set_flow(&self, flow: Flow) {
        self.order(move |server| server.set_flow(SERVICE, flow));
    }

    pub(crate) fn stats(&self) -> Stats {
        self.order(|server| *server.stats())
    }

    pub(crate) fn connections(&self) -> usize {
        self.order(|server| server.connections())
    }

    /// Waits until no client is connected, and checks that nothing of them is left.
    pub(crate) fn expect_empty(&self) {
        wait_until("the last connection is gone", || self.connections() == 0);
        assert_eq!(entries(self.directory.path()), 0, "ring files are left over");
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let place = self.directory.path().to_str().unwrap();
        assert!(!maps.contains(place), "mappings are left over");
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let result = self.thread.take().unwrap().join();
        assert!(result.is_ok() || std::thread::panicking(), "the server panicked");
    }
}

/// Time limit of any operation on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn entries(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

pub(crate) fn open_descriptors() -> usize {
    entries(Path::new("/proc/self/fd"))
}

/// The requests as the server carries them out; server.c does the same.
#[derive(Default)]
struct Service {
    ticks: i32,
}

impl Service {
    fn handle(&mut self, server: &mut Server, incoming: Incoming, request: &[u8]) {
        let Incoming::Request { conn } = incoming else { return };
        let header = RequestHeader::read(request).unwrap();
        assert_eq!(header.size as usize, request.len());
        let payload = &request[RequestHeader::LEN..];
        let header_id = header.id;
        match header_id {
            ECHO => server.reply(conn, &response(ECHO, payload)),
            POST | PART | LAST => {
                let header = event_header(payload);
                let piece = match header_id {
                    PART => Piece::Part,
                    LAST => Piece::Last,
                    _ => Piece::Whole,
                };
                server.echo(conn, &header, &Bytes::copy_from_slice(payload), piece);
            }
            TELL_ALL => {
                let shared = Bytes::copy_from_slice(payload);
                let everybody: Vec<ConnId> = server.clients().map(|client| client.conn).collect();
                for one in everybody {
                    server.event(one, &event_header(payload), &shared);
                }
            }
            BURST => {
                let number = |at| u32::from_ne_bytes(payload[at..at + 4].try_into().unwrap());
                server.reply(conn, &response(BURST, &[]));
                let mut body = vec![0; number(4) as usize - ResponseHeader::LEN];
                for i in 0..number(0) {
                    body[..4].copy_from_slice(&i.to_ne_bytes());
                    event(server, conn, &body);
                }
            }
            COUNT => {
                let header = ResponseHeader { id: COUNT, size: 24, error: self.ticks };
                server.reply(conn, &header.to_bytes());
            }
            TICK => self.ticks += 1,
            _ => server.close(conn),
        }
    }
}

fn event(server: &mut Server, conn: ConnId, payload: &[u8]) {
    server.event(conn, &event_header(payload), &Bytes::copy_from_slice(payload));
}

fn event_header(payload: &[u8]) -> [u8; ResponseHeader::LEN] {
    ResponseHeader { id: 100, size: (ResponseHeader::LEN + payload.len()) as i32, error: 0 }.to_bytes()
}

/// A response with a payload.
pub(crate) fn response(id: i32, payload: &[u8]) -> Vec<u8> {
    let header = ResponseHeader { id, size: (ResponseHeader::LEN + payload.len()) as i32, error: 0 };
    [&header.to_bytes(), payload].concat()
}

/// The header of a request with a payload of `len` bytes.
pub(crate) fn request(id: i32, len: usize) -> [u8; 16] {
    RequestHeader { id, size: (RequestHeader::LEN + len) as i32 }.to_bytes()
}

/// The payload that asks for a burst.
pub(crate) fn burst(count: u32, size: u32) -> [u8; 8] {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&count.to_ne_bytes());
    payload[4..].copy_from_slice(&size.to_ne_bytes());
    payload
}
