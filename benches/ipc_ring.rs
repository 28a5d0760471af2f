//! Shared-memory IPC between two threads, as between a client library and the daemon: a request with its
//! reply, and requests that are returned as events.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use annulus::ids::ServiceId;
use annulus::ipc::wire::{RequestHeader, ResponseHeader};
use annulus::ipc::{
    Admission, Connection, Credentials, Endpoint, FlowLimit, Incoming, IpcError, Options, Refusal, Server,
};
use annulus::time::Instant;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rustix::event::{PollFd, PollFlags, Timespec};

const ECHO: i32 = 1;
const POST: i32 = 2;
/// Number of messages in one round of the stream.
const STREAM: usize = 200;

struct Everybody;

impl Admission for Everybody {
    fn admit(&self, _: ServiceId, _: &Credentials) -> Result<(), Refusal> {
        Ok(())
    }
}

/// A server that answers `ECHO` and turns `POST` into an event, in its own thread.
struct Echo {
    name: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start() -> Self {
        let name = format!("annulus-bench-{}", std::process::id());
        let endpoint = Endpoint { service: ServiceId::CPG, name: name.clone() };
        let server = Server::bind(Options::default(), vec![endpoint]).expect("a free name");
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || serve(server, &stop)
        });
        Self { name, stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server did not panic");
        }
    }
}

fn serve(mut server: Server, stop: &AtomicBool) {
    let start = std::time::Instant::now();
    let mut request = Vec::new();
    while !stop.load(Ordering::Acquire) {
        let wait = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        let fd = server.as_fd();
        rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait)).expect("poll");
        let now = Instant::from_micros(start.elapsed().as_micros() as u64);
        while let Some(incoming) = server.next(now, &Everybody, &mut request) {
            let Incoming::Request { conn } = incoming else { continue };
            let id = RequestHeader::read(&request).expect("checked by the server").id;
            let payload = &request[RequestHeader::LEN..];
            let header = ResponseHeader { id, size: (ResponseHeader::LEN + payload.len()) as i32, error: 1 };
            if id == ECHO {
                server.reply(conn, &[&header.to_bytes()[..], payload].concat());
            } else {
                server.event(conn, &header.to_bytes(), &Bytes::copy_from_slice(payload));
            }
        }
        server.flush();
    }
}

fn header(id: i32, payload: usize) -> [u8; RequestHeader::LEN] {
    RequestHeader { id, size: (RequestHeader::LEN + payload) as i32 }.to_bytes()
}

fn ipc_ring(c: &mut Criterion) {
    let echo = Echo::start();
    let connection = Connection::connect(&echo.name).expect("the server listens");

    let mut group = c.benchmark_group("ipc call");
    for size in [64, 4096, 65_536] {
        let (payload, mut answer) = (vec![7; size], Vec::new());
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                let request = [&header(ECHO, size)[..], &payload];
                connection.call_into(&request, &mut answer).expect("an answer");
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("ipc stream");
    for size in [64, 4096] {
        let (payload, mut event) = (vec![7; size], Vec::new());
        group.throughput(Throughput::Elements(STREAM as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                for _ in 0..STREAM {
                    while let Err(error) =
                        connection.post(&[&header(POST, size), &payload], FlowLimit::Multicast)
                    {
                        assert!(matches!(error, IpcError::TryAgain), "{error}");
                        std::thread::yield_now();
                    }
                }
                for _ in 0..STREAM {
                    while !connection.try_event(&mut event).expect("events") {
                        connection.wait(Some(Duration::from_secs(1))).expect("the server is there");
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ipc_ring);
criterion_main!(benches);
