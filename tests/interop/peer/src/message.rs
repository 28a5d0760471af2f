//! Contents of the messages: sizes drawn from a seed, and bytes that contain sender, number and checksum.
//!
//! A message of at least [`HEAD`] bytes starts with a head: magic, sender, number, length, CRC of the rest. A shorter
//! one is the first bytes of its number, so that it, too, differs from its neighbours.

/// Length of the head in bytes.
pub const HEAD: usize = 28;
const MAGIC: u32 = 0x41_4e_4e_55;
/// Set in the sender field of the last message of a sender.
const FINAL: u32 = 1 << 31;

/// A mark: it is not one of a sender's numbered messages, and is not logged. A client that has been delivered the
/// marks of all senders has been delivered everything that was sent before them.
pub const MARK: &[u8] = b"mark, not a message";

/// A cut starts with these bytes; its tag follows. It is logged, and is the same place of the order in every log.
pub const CUT: &[u8] = b"cut, not a message: ";

/// A small random generator (splitmix64): the same seed gives the same messages on every machine.
pub struct Random(u64);

impl Random {
    /// Starts the generator at `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    fn between(&mut self, low: usize, high: usize) -> usize {
        low + usize::try_from(self.next() % (high - low + 1) as u64).expect("below a usize")
    }
}

/// Makes the messages of one sender.
pub struct Maker {
    random: Random,
    noise: Vec<u8>,
    node: u32,
    min: usize,
    max: usize,
    buffer: Vec<u8>,
}

impl Maker {
    /// Makes messages of `min..=max` bytes from `node`.
    pub fn new(seed: u64, node: u32, min: usize, max: usize) -> Self {
        let mut random = Random::new(seed ^ (u64::from(node) << 32));
        let noise = (0..max.div_ceil(8) + 4096).flat_map(|_| random.next().to_le_bytes()).collect();
        Self { random, noise, node, min, max, buffer: Vec::with_capacity(max) }
    }

    /// Most messages of a cluster are small: 90 % have up to 256 bytes, 9 % up to 4000, 0.9 % up to 60,000, 0.1 % up
    /// to the largest. The first two have the smallest and the largest size.
    fn size(&mut self, number: u64) -> usize {
        let size = match (number, self.random.next() % 1000) {
            (0, _) => self.min,
            (1, _) => self.max,
            (_, 0..900) => self.random.between(1, 256),
            (_, 900..990) => self.random.between(257, 4000),
            (_, 990..999) => self.random.between(4001, 60_000),
            (_, _) => self.random.between(60_001, self.max.max(60_001)),
        };
        size.clamp(self.min, self.max)
    }

    /// Message `number`; `last` marks the last one of the sender (which is never shorter than the head).
    pub fn message(&mut self, number: u64, last: bool) -> &[u8] {
        let size = if last { self.size(number).max(HEAD) } else { self.size(number) };
        self.buffer.clear();
        if size < HEAD {
            self.buffer.extend(number.to_le_bytes().iter().chain([0xa5; HEAD].iter()).take(size));
            return &self.buffer;
        }
        let start = usize::try_from(number % 4096).expect("small");
        let body = &self.noise[start..start + size - HEAD];
        self.buffer.extend(MAGIC.to_le_bytes());
        self.buffer.extend((self.node | if last { FINAL } else { 0 }).to_le_bytes());
        self.buffer.extend(number.to_le_bytes());
        self.buffer.extend((size as u64).to_le_bytes());
        self.buffer.extend(crc32fast::hash(body).to_le_bytes());
        self.buffer.extend(body);
        &self.buffer
    }
}

/// What a received message contains about itself.
pub struct Reading {
    /// Its number, if it is long enough to have a head.
    pub number: Option<u64>,
    /// Whether it is the last message of its sender.
    pub last: bool,
}

/// Reads a message and checks its head and checksum; the error says what is wrong.
pub fn read(node: u32, bytes: &[u8]) -> Result<Reading, String> {
    if bytes.len() < HEAD {
        return Ok(Reading { number: None, last: false });
    }
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let number = long(8);
    if word(0) != MAGIC {
        return Err(format!("a message of {} bytes from node {node} has no head", bytes.len()));
    }
    if word(4) & !FINAL != node {
        return Err(format!("message {number} from node {node} says it is from node {}", word(4) & !FINAL));
    }
    if long(16) != bytes.len() as u64 {
        return Err(format!("message {number} from node {node} has {} bytes, not {}", bytes.len(), long(16)));
    }
    if word(24) != crc32fast::hash(&bytes[HEAD..]) {
        return Err(format!("message {number} from node {node} arrived with changed bytes"));
    }
    Ok(Reading { number: Some(number), last: word(4) & FINAL != 0 })
}
