//! A hostile local client: mutated handshakes, requests and shared memory.
//!
//! It accesses libqb's ring buffers by plain reads and writes of their files, which are the same pages that the
//! daemon has mapped.

use super::Random;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

/// Length of the answer to a handshake, in bytes.
pub(super) const RESPONSE: usize = 12_328;
/// Offsets of the fields in the header file of a ring buffer.
const WRITE_PT: u64 = 0;
const READ_PT: u64 = 4;
const WORDS: u64 = 8;
const REF_COUNT: u64 = 8204;
const SEMAPHORE: u64 = 8208;
const COMMITTED: u32 = 0xA1A1_A1A1;

/// A connection that was made correctly, in order to break the rules afterwards.
pub(super) struct Client {
    stream: UnixStream,
    header: File,
    data: File,
    words: u32,
    write_pt: u32,
}

pub(super) fn dial(service: &str) -> std::io::Result<UnixStream> {
    let mut name = [0_u8; 107];
    name[..service.len()].copy_from_slice(service.as_bytes());
    let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

pub(super) fn handshake(size: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    bytes.extend((-1_i32).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(24_i32.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(size.to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}

fn base_name(response: &[u8], at: usize) -> String {
    let field = &response[at..at + 4096];
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

impl Client {
    pub(super) fn connect(service: &str) -> Result<Self, String> {
        let mut stream = dial(service).map_err(|error| format!("{service}: {error}"))?;
        stream.write_all(&handshake(1 << 20)).map_err(|error| format!("{service}: {error}"))?;
        let mut response = vec![0; RESPONSE];
        stream.read_exact(&mut response).map_err(|error| format!("{service}: {error}"))?;
        let error = i32::from_le_bytes(response[16..20].try_into().expect("four bytes"));
        if error != 0 {
            return Err(format!("{service}: refused with {error}"));
        }
        let base = base_name(&response, 40);
        let open = |suffix: &str| {
            let path = format!("{base}-{suffix}");
            File::options().read(true).write(true).open(&path).map_err(|error| format!("{path}: {error}"))
        };
        let (header, data) = (open("header")?, open("data")?);
        for ring in [40, 4136, 8232] {
            let path = format!("{}-header", base_name(&response, ring));
            let file = File::options()
                .read(true)
                .write(true)
                .open(&path)
                .map_err(|error| format!("{path}: {error}"))?;
            file.write_all_at(&2_i32.to_le_bytes(), REF_COUNT).map_err(|error| error.to_string())?;
        }
        let mut client = Self { stream, header, data, words: 0, write_pt: 0 };
        client.words = client.word(WORDS);
        if client.words == 0 {
            return Err("the ring has no words".to_owned());
        }
        Ok(client)
    }

    /// Gives up all but the socket; the ring buffers stay as they are.
    pub(super) fn into_stream(self) -> UnixStream {
        self.stream
    }

    /// Damages the ring buffers in one of several ways, and sends a doorbell byte.
    pub(super) fn spoil(&mut self, way: u32) {
        match way % 5 {
            0 => self.set_word(SEMAPHORE, u32::MAX / 2),
            1 => {
                let _ = self.header.set_len(0);
            }
            2 => {
                let _ = self.data.set_len(0);
            }
            3 => self.set_word(WRITE_PT, u32::MAX),
            _ => self.set_word(SEMAPHORE, 1000),
        }
        let lengths = [16, u32::MAX, 1 << 20];
        self.send(&[0xff; 64], lengths[way as usize % lengths.len()], COMMITTED);
    }

    fn word(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        // A header that the daemon has removed reads as zero; the next send then fails.
        let _ = self.header.read_at(&mut bytes, at);
        u32::from_le_bytes(bytes)
    }

    fn set_word(&self, at: u64, value: u32) {
        let _ = self.header.write_at(&value.to_le_bytes(), at);
    }

    fn put(&self, index: u32, bytes: &[u8]) {
        let ring = u64::from(self.words) * 4;
        let start = u64::from(index % self.words) * 4;
        let first = usize::try_from(ring - start).expect("fits").min(bytes.len());
        let _ = self.data.write_at(&bytes[..first], start);
        let _ = self.data.write_at(&bytes[first..], 0);
    }

    /// Puts one chunk into the request ring buffer whose header claims `length` bytes, and sends a doorbell byte.
    fn send(&mut self, bytes: &[u8], length: u32, magic: u32) -> bool {
        let room = usize::try_from(self.words).expect("fits") * 4 - 16;
        let bytes = &bytes[..bytes.len().min(room)];
        self.put(self.write_pt + 2, bytes);
        self.put(self.write_pt, &length.to_le_bytes());
        self.put(self.write_pt + 1, &magic.to_le_bytes());
        let words = u32::try_from(bytes.len().div_ceil(4)).expect("a ring is small") + 2;
        self.write_pt = (self.write_pt + words) % self.words;
        self.set_word(WRITE_PT, self.write_pt);
        self.set_word(SEMAPHORE, self.word(SEMAPHORE).wrapping_add(1));
        self.stream.write_all(&[0x28]).is_ok()
    }

    /// Whether the daemon read the request and keeps the connection.
    fn settled(&mut self) -> bool {
        let end = Instant::now() + Duration::from_millis(20);
        while self.word(SEMAPHORE) != 0 {
            if Instant::now() > end {
                return false;
            }
            std::thread::yield_now();
        }
        let _ = self.stream.set_nonblocking(true);
        let mut bells = [0; 512];
        let open = match self.stream.read(&mut bells) {
            Ok(count) => count > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        let _ = self.stream.set_nonblocking(false);
        open
    }
}

/// A request (id, bytes) as a correct client makes it. The sizes are those of the service's structures.
fn good_request(service: &str, random: &mut Random) -> Vec<u8> {
    let (id, size) = match service {
        "cpg" => [
            (0, 168),
            (1, 160),
            (2, 40 + 64),
            (3, 152),
            (4, 16),
            (5, 160),
            (6, 24),
            (7, 24),
            (8, 16),
            (9, 152),
            (10, 32),
            (11, 24),
            (12, 56 + 64),
        ][random.below(13)],
        _ => (i32::try_from(random.below(14)).expect("small"), [16, 24, 32, 280, 288, 600][random.below(6)]),
    };
    let mut bytes = vec![0; size];
    bytes[..4].copy_from_slice(&id.to_le_bytes());
    bytes[8..12].copy_from_slice(&i32::try_from(size).expect("small").to_le_bytes());
    if service == "cpg" {
        match id {
            0 | 1 | 3 | 5 => {
                bytes[16..20].copy_from_slice(&3_u32.to_le_bytes());
                bytes[24..27].copy_from_slice(b"odd");
            }
            _ => {}
        }
        if id == 0 || id == 1 {
            bytes[152..156].copy_from_slice(&std::process::id().to_le_bytes());
        }
        if id == 5 {
            bytes[152..156].copy_from_slice(&3_u32.to_le_bytes());
        }
        if id == 2 || id == 12 {
            bytes[32..36].copy_from_slice(&64_u32.to_le_bytes());
        }
        if id == 12 {
            bytes[40..44].copy_from_slice(&64_u32.to_le_bytes());
            bytes[48..52].copy_from_slice(&(1 + random.below(3) as u32).to_le_bytes());
        }
    }
    bytes
}

/// An incorrect handshake. Returns whether anything was sent.
fn odd_handshake(service: &str, random: &mut Random) -> bool {
    let Ok(mut stream) = dial(service) else { return false };
    let mut bytes = handshake(match random.below(4) {
        0 => u32::MAX,
        1 => random.next() as u32,
        2 => 0,
        _ => 1 << 20,
    });
    for _ in 0..random.below(3) {
        random.mutate(&mut bytes);
    }
    let sent = stream.write_all(&bytes).is_ok();
    match random.below(4) {
        // Disconnects at once, while the answer is under way.
        0 => {}
        // Sends a doorbell byte for a ring buffer that was never opened.
        1 => {
            let _ = stream.write_all(&[0; 64]);
        }
        _ => {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(2)));
            let mut answer = vec![0; RESPONSE];
            let _ = stream.read(&mut answer);
        }
    }
    sent
}

/// Turns a request that ends a node, which root may send, into a query.
fn spare(service: &str, bytes: &mut [u8]) {
    const KILL_NODE: i32 = 2;
    const TRY_SHUTDOWN: i32 = 3;
    if service == "cfg"
        && let Some(id) = bytes.first_chunk::<4>()
        && [KILL_NODE, TRY_SHUTDOWN].contains(&i32::from_le_bytes(*id))
    {
        bytes[0] = 0;
    }
}

/// One violation of the ring buffer's rules, or a well-formed request with odd contents.
fn odd_request(client: &mut Client, service: &str, random: &mut Random) -> bool {
    let mut bytes = good_request(service, random);
    spare(service, &mut bytes);
    match random.below(10) {
        0 => {
            // A correct request, so that odd ones also come from a client that is in a group.
        }
        1 => {
            let size = random.awkward() as u32;
            bytes[8..12].copy_from_slice(&size.to_le_bytes());
        }
        2 => {
            let id = random.awkward() as u32;
            bytes[..4].copy_from_slice(&id.to_le_bytes());
        }
        3 => {
            let (at, value) = (
                [WRITE_PT, READ_PT, WORDS, REF_COUNT, SEMAPHORE, SEMAPHORE + 4, SEMAPHORE + 8, 8240]
                    [random.below(8)],
                random.awkward() as u32,
            );
            client.set_word(at, value);
        }
        4 => {
            let magic = [0xA110_CED0, 0xD0D0_D0D0, random.next() as u32][random.below(3)];
            return client.send(&bytes, bytes.len() as u32, magic);
        }
        5 => {
            let length = random.awkward() as u32;
            return client.send(&bytes, length, COMMITTED);
        }
        6 => {
            let _ = client.header.set_len([0, 4, 8208, 8252, 1 << 20][random.below(5)]);
        }
        7 => {
            let _ = client.data.set_len([0, 4096, 4 << 20][random.below(3)]);
        }
        _ => {
            for _ in 0..=random.below(3) {
                random.mutate(&mut bytes);
            }
        }
    }
    spare(service, &mut bytes);
    let length = bytes.len() as u32;
    client.send(&bytes, length, COMMITTED)
}

/// Runs inside a host: sends hostile handshakes and requests to its daemon.
#[test]
#[ignore = "runs inside a host of the lab, started by mutated_requests"]
fn worker() {
    let Some(count) =
        std::env::var("HOSTILE_COUNT").ok().map(|value| value.parse::<u64>().expect("a number"))
    else {
        println!("skipped: it is started by mutated_requests");
        return;
    };
    let mut random = Random::new(count);
    let services: Vec<&str> = ["cpg", "cfg", "cmap", "quorum", "votequorum"]
        .into_iter()
        .filter(|service| dial(service).is_ok())
        .collect();
    assert!(services.contains(&"cpg"), "the daemon does not answer on cpg");
    let (mut handshakes, mut requests, mut connections) = (0, 0, 0);
    let mut client: Option<(Client, &str)> = None;
    while handshakes + requests < count {
        if random.below(4) == 0 {
            handshakes += u64::from(odd_handshake(services[random.below(services.len())], &mut random));
            continue;
        }
        let (mut one, service) = match client.take() {
            Some(client) => client,
            None => {
                let service =
                    if random.below(2) == 0 { "cpg" } else { services[random.below(services.len())] };
                let one = Client::connect(service).expect("a client that keeps the handshake is let in");
                connections += 1;
                (one, service)
            }
        };
        let sent = odd_request(&mut one, service, &mut random);
        requests += u64::from(sent);
        // A quarter of the connections end while the request is unread.
        if sent && random.below(4) != 0 && one.settled() {
            client = Some((one, service));
        }
    }
    println!(
        "worker: {handshakes} odd handshakes and {requests} odd requests over {connections} connections to {services:?}"
    );
}
