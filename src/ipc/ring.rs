//! The ring buffer: chunks in two files, header and data, between one writer and one reader.
//!
//! Source: libqb `lib/ringbuffer_int.h`, `lib/ringbuffer.c` (layout and rules, not code).
//!
//! Each side keeps its own index privately and only publishes it. The other side's index, every length and every mark
//! are input and are checked before use. Nothing that the peer writes can cause an access outside of the mapping, an
//! oversized copy or an endless loop.

use std::sync::atomic::{AtomicU32, Ordering};

use super::semaphore::Semaphore;
use super::shm::Mapping;

/// Length of the header struct, and of the shortest header file, in bytes.
pub(super) const HEADER: usize = 8248;
/// Length of the request ring buffer's header file: the struct and 4 bytes of user data.
pub(super) const REQUEST_HEADER: usize = 8252;

const WRITE_PT: usize = 0;
const READ_PT: usize = 4;
const WORD_SIZE: usize = 8;
const HEADER_PATH: usize = 12;
const DATA_PATH: usize = 4108;
const REF_COUNT: usize = 8204;
const SEMAPHORE: usize = 8208;
const SEMAPHORE_SHARED: usize = 8216;
const USER: usize = 8240;

/// Longest path in a header, including its NUL, in bytes.
pub(super) const PATH: usize = 4096;

const ALLOCATED: u32 = 0xA110_CED0;
const COMMITTED: u32 = 0xA1A1_A1A1;
const RECLAIMED: u32 = 0xD0D0_D0D0;

/// Marks a semaphore as shared between processes, for glibc.
const SHARED: u32 = 0x80;

/// Length of a chunk's header: its length and its mark, in bytes.
const CHUNK: usize = 8;
/// Bytes that always stay free, so that a full ring buffer differs from an empty one.
const SLACK: usize = 4;

/// Length of the data file for messages of up to `max` bytes.
pub(super) fn data_len(max: usize) -> usize {
    // libqb's rule, with libqb's page size on architectures where the page size varies.
    let page = if cfg!(any(target_arch = "arm", target_arch = "mips", target_arch = "sparc64")) {
        rustix::param::page_size().max(16_384)
    } else {
        rustix::param::page_size()
    };
    in_pages(max, page)
}

/// Length of the data file with this page size: whole pages, as it is mapped twice in a row.
const fn in_pages(max: usize, page: usize) -> usize {
    (max + CHUNK + SLACK + 1).next_multiple_of(page)
}

/// Why a ring buffer is unusable: its peer violated the rules, or truncated the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// A chunk that should be committed has another mark.
    #[error("chunk mark {0:#x} where a committed chunk should be")]
    Mark(u32),
    /// The length of a chunk is 0, or greater than that of the longest message.
    #[error("chunk of {bytes} bytes, where 1 to {limit} are possible")]
    Length {
        /// The length in the chunk, in bytes.
        bytes: u32,
        /// The longest message of this connection, in bytes.
        limit: usize,
    },
    /// The peer's index lies outside of the ring buffer.
    #[error("index {index} in a ring of {words} words")]
    Index {
        /// The index that the peer published.
        index: u32,
        /// The length of the ring buffer in words.
        words: u32,
    },
    /// The message is longer than the two sides have agreed on.
    #[error("message of {bytes} bytes, where {limit} are allowed")]
    TooLong {
        /// Length of the message, in bytes.
        bytes: usize,
        /// The longest message of this connection, in bytes.
        limit: usize,
    },
    /// A file was truncated while it was mapped.
    #[error("its file was truncated, or shared memory is full")]
    Torn,
}

/// The mapped header and data.
#[derive(Debug)]
pub(super) struct Memory {
    header: Mapping,
    data: Mapping,
    words: u32,
}

impl Memory {
    /// Takes two mappings: a header of at least [`HEADER`] bytes, and data with a length from [`data_len`].
    pub(super) fn new(header: Mapping, data: Mapping, data_len: usize) -> Self {
        let words = u32::try_from(data_len / 4).expect("rings are shorter than 16 GiB");
        Self { header, data, words }
    }

    /// Fills in the header of a new ring buffer.
    pub(super) fn initialise(&self, header_path: &[u8], data_path: &[u8]) {
        assert!(header_path.len() < PATH && data_path.len() < PATH, "paths are checked when they are made");
        self.header.u32(WORD_SIZE).store(self.words, Ordering::Relaxed);
        self.header.write(HEADER_PATH, header_path);
        self.header.write(DATA_PATH, data_path);
        self.header.u32(SEMAPHORE_SHARED).store(SHARED, Ordering::Relaxed);
        self.header.u32(REF_COUNT).store(1, Ordering::Release);
    }

    /// What a peer's header says about its data: length in words, and path.
    pub(super) fn described(header: &Mapping) -> (u32, Vec<u8>) {
        let words = header.u32(WORD_SIZE).load(Ordering::Acquire);
        let mut path = Vec::new();
        header.read(DATA_PATH, PATH, &mut path);
        path.truncate(path.iter().position(|&byte| byte == 0).unwrap_or(0));
        (words, path)
    }

    /// Number of processes that use the ring buffer, in libqb's sense: 2 once the client has mapped it.
    pub(super) fn ref_count(&self) -> &AtomicU32 {
        self.header.u32(REF_COUNT)
    }

    /// The user word: in a request ring buffer, the flow control state.
    pub(super) fn user(&self) -> &AtomicU32 {
        self.header.u32(USER)
    }

    /// Whether either file was truncated.
    pub(super) fn torn(&self) -> bool {
        self.header.torn() || self.data.torn()
    }

    fn semaphore(&self) -> Semaphore<'_> {
        let low = if cfg!(target_endian = "big") { SEMAPHORE + 4 } else { SEMAPHORE };
        Semaphore { both: self.header.u64(SEMAPHORE), value: self.header.u32(low) }
    }

    /// The word at `index`, which may exceed the length once.
    fn word(&self, index: u32) -> &AtomicU32 {
        self.data.u32(self.wrapped(index) as usize * 4)
    }

    fn wrapped(&self, index: u32) -> u32 {
        if index >= self.words { index - self.words } else { index }
    }

    /// Index of the chunk after one of `len` bytes at `index`.
    fn after(&self, index: u32, len: usize) -> u32 {
        let words = u32::try_from(len.div_ceil(4)).expect("chunks are shorter than the ring");
        self.wrapped(index + 2 + words)
    }

    fn bytes(&self) -> usize {
        self.words as usize * 4
    }
}

/// The writing end.
#[derive(Debug)]
pub(super) struct Writer {
    memory: Memory,
    index: u32,
    /// Longest message that may be written, as the reader has no room for a longer one.
    limit: usize,
}

impl Writer {
    pub(super) fn new(memory: Memory, limit: usize) -> Self {
        assert!(limit + CHUNK + SLACK <= memory.bytes(), "the longest message fits an empty ring");
        Self { memory, index: 0, limit }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Writes one chunk, given in pieces, without announcing it; [`Self::post`] does that. Returns `false`, and
    /// writes nothing, if there is no room now.
    pub(super) fn write(&mut self, pieces: &[&[u8]]) -> Result<bool, RingError> {
        let memory = &self.memory;
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        if len > self.limit {
            return Err(RingError::TooLong { bytes: len, limit: self.limit });
        }
        // Pairs with the Release in `Reader::read`: what the reader released may be overwritten.
        let theirs = memory.header.u32(READ_PT).load(Ordering::Acquire);
        if theirs >= memory.words {
            return Err(RingError::Index { index: theirs, words: memory.words });
        }
        if self.free(theirs) < len + CHUNK + SLACK {
            return if memory.torn() { Err(RingError::Torn) } else { Ok(false) };
        }
        let start = self.index;
        memory.word(start).store(0, Ordering::Relaxed);
        memory.word(start + 1).store(ALLOCATED, Ordering::Release);
        let mut at = memory.wrapped(start + 2) as usize * 4;
        for mut piece in pieces.iter().copied() {
            let room = memory.bytes() - at;
            if piece.len() >= room {
                let (first, rest) = piece.split_at(room);
                memory.data.write(at, first);
                (at, piece) = (0, rest);
            }
            memory.data.write(at, piece);
            at += piece.len();
        }
        memory.word(start).store(u32::try_from(len).expect("shorter than the ring"), Ordering::Relaxed);
        self.index = memory.after(start, len);
        memory.header.u32(WRITE_PT).store(self.index, Ordering::Release);
        // PUBLISH mark: pairs with the Acquire in `Reader::read`; length and payload are visible there.
        memory.word(start + 1).store(COMMITTED, Ordering::Release);
        if memory.torn() { Err(RingError::Torn) } else { Ok(true) }
    }

    /// Announces `n` chunks to the reader, waking it if it sleeps.
    pub(super) fn post(&self, n: u32) {
        self.memory.semaphore().post(n);
    }

    /// Free bytes. Equal indices mean empty, so no chunk may be written that would make them equal.
    fn free(&self, theirs: u32) -> usize {
        let (words, ours) = (self.memory.words, self.index);
        let free = match ours.cmp(&theirs) {
            std::cmp::Ordering::Greater => words - ours + theirs - 1,
            std::cmp::Ordering::Less => theirs - ours - 1,
            std::cmp::Ordering::Equal => words,
        };
        free as usize * 4
    }
}

/// The reading end.
#[derive(Debug)]
pub(super) struct Reader {
    memory: Memory,
    index: u32,
    /// Longest message that is accepted.
    limit: usize,
}

impl Reader {
    pub(super) fn new(memory: Memory, limit: usize) -> Self {
        assert!(limit + CHUNK + SLACK <= memory.bytes(), "the longest message fits an empty ring");
        Self { memory, index: 0, limit }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Waits for a chunk for at most `limit`, then reads it as [`Self::read`] does.
    pub(super) fn read_within(
        &mut self,
        limit: std::time::Duration,
        out: &mut Vec<u8>,
    ) -> Result<bool, RingError> {
        if self.memory.semaphore().wait(limit) { self.take(out).map(|()| true) } else { self.nothing() }
    }

    /// Reads the next chunk as a private copy that replaces the content of `out`. `false`: there is none.
    pub(super) fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, RingError> {
        if self.memory.semaphore().try_wait() { self.take(out).map(|()| true) } else { self.nothing() }
    }

    fn nothing(&self) -> Result<bool, RingError> {
        if self.memory.torn() { Err(RingError::Torn) } else { Ok(false) }
    }

    /// Called after the semaphore was decremented: copies the chunk out, and only then releases it.
    fn take(&mut self, out: &mut Vec<u8>) -> Result<(), RingError> {
        let memory = &self.memory;
        let start = self.index;
        // Pairs with PUBLISH mark in `Writer::write`.
        let mark = memory.word(start + 1).load(Ordering::Acquire);
        // Loaded once, as the peer may change it between check and use.
        let bytes = memory.word(start).load(Ordering::Relaxed);
        if memory.torn() {
            return Err(RingError::Torn);
        }
        if mark != COMMITTED {
            return Err(RingError::Mark(mark));
        }
        let len = bytes as usize;
        if len == 0 || len > self.limit {
            return Err(RingError::Length { bytes, limit: self.limit });
        }
        out.clear();
        let at = memory.wrapped(start + 2) as usize * 4;
        let first = len.min(memory.bytes() - at);
        memory.data.read(at, first, out);
        memory.data.read(0, len - first, out);
        if memory.torn() {
            return Err(RingError::Torn);
        }
        memory.word(start).store(0, Ordering::Relaxed);
        memory.word(start + 1).store(RECLAIMED, Ordering::Release);
        self.index = memory.after(start, len);
        // Pairs with the Acquire in `Writer::write`: the copy above is complete.
        memory.header.u32(READ_PT).store(self.index, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::VecDeque;
    use std::os::fd::AsFd;

    use proptest::prelude::*;

    use super::*;

    /// Both ends of a ring buffer for messages of up to `max` bytes, mapped as two processes would do.
    pub(in super::super) fn pair(max: usize) -> (Writer, Reader, std::fs::File, std::fs::File) {
        let header = tempfile::tempfile_in("/dev/shm").unwrap();
        let data = tempfile::tempfile_in("/dev/shm").unwrap();
        header.set_len(REQUEST_HEADER as u64).unwrap();
        data.set_len(data_len(max) as u64).unwrap();
        let map = || {
            let header = Mapping::new(header.as_fd(), REQUEST_HEADER, true).unwrap();
            let mapped = Mapping::new(data.as_fd(), data_len(max), true).unwrap();
            Memory::new(header, mapped, data_len(max))
        };
        let (ours, theirs) = (map(), map());
        ours.initialise(b"/dev/shm/qb-x-header", b"/dev/shm/qb-x-data");
        (Writer::new(theirs, max), Reader::new(ours, max), header, data)
    }

    #[test]
    fn sizes_are_libqbs() {
        for (max, len) in [(1_048_576, 1_052_672), (12_328, 16_384), (4083, 4096), (4084, 8192)] {
            assert_eq!(in_pages(max, 4096), len);
            assert_eq!(data_len(max), len.next_multiple_of(rustix::param::page_size()));
        }
    }

    /// As on arm64 with pages of 64 KiB, where 4096 bytes cannot be mapped twice in a row.
    #[test]
    fn ring_buffers_are_whole_pages_where_pages_are_longer() {
        assert_eq!(in_pages(12_328, 65_536), 65_536);
        assert_eq!(in_pages(1_048_576, 65_536), 1_114_112);
    }

    #[test]
    fn the_header_is_as_libqb_writes_it() {
        let (writer, ..) = pair(1_048_576);
        let header = &writer.memory().header;
        let mut bytes = Vec::new();
        header.read(0, REQUEST_HEADER, &mut bytes);
        assert_eq!(bytes[8..12], 0x40400_u32.to_ne_bytes());
        assert_eq!(bytes[0x2010..0x2020], [0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[0x200c..0x2010], 1_u32.to_ne_bytes());
        assert_eq!(Memory::described(header), (0x40400, b"/dev/shm/qb-x-data".to_vec()));
    }

    #[test]
    fn a_full_size_message_fits_an_empty_ring_at_every_position() {
        let max = 4083;
        let (mut writer, mut reader, ..) = pair(max);
        let big = vec![9; max];
        let mut out = Vec::new();
        for _ in 0..1100 {
            assert!(writer.write(&[&big]).unwrap());
            writer.post(1);
            assert!(reader.read(&mut out).unwrap());
            assert_eq!(out, big);
            // Moves the position forward by three words.
            assert!(writer.write(&[b"abc"]).unwrap());
            writer.post(1);
            assert!(reader.read(&mut out).unwrap());
            assert_eq!(out, b"abc");
        }
        assert!(!reader.read(&mut out).unwrap());
    }

    #[test]
    fn a_ring_buffer_holds_as_many_events_as_libqbs() {
        let (mut writer, ..) = pair(1_048_576);
        let event = [0; 1000];
        let mut fitted = 0;
        while writer.write(&[&event]).unwrap() {
            fitted += 1;
        }
        assert_eq!(fitted, 1044);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Any interleaving of writes (in pieces) and reads keeps order and content over many wrap-arounds.
        #[test]
        fn is_a_queue(steps in prop::collection::vec((1_usize..3000, 0_usize..3000, any::<bool>()), 1..400)) {
            let (mut writer, mut reader, ..) = pair(8000);
            let mut expected: VecDeque<Vec<u8>> = VecDeque::new();
            let mut out = Vec::new();
            let mut seed = 0_u8;
            for (len, cut, read) in steps {
                seed = seed.wrapping_add(1);
                let message: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
                let (a, b) = message.split_at(cut.min(len));
                if writer.write(&[a, b, b""]).unwrap() {
                    writer.post(1);
                    expected.push_back(message);
                } else {
                    prop_assert!(!expected.is_empty(), "an empty ring takes anything this small");
                }
                if read && let Some(first) = expected.pop_front() {
                    prop_assert!(reader.read(&mut out).unwrap());
                    prop_assert_eq!(&out, &first);
                }
            }
            for first in expected {
                prop_assert!(reader.read(&mut out).unwrap());
                prop_assert_eq!(&out, &first);
            }
            prop_assert!(!reader.read(&mut out).unwrap());
        }

        /// Whatever a peer writes to header and data, both ends return errors and stay inside the mapping.
        #[test]
        fn garbage_is_refused(
            words in prop::collection::vec((0_usize..4, any::<u32>()), 1..40),
            header in prop::collection::vec((0_usize..2062, any::<u32>()), 0..20),
        ) {
            let (mut writer, mut reader, ..) = pair(4083);
            let mut out = Vec::new();
            for (place, value) in words {
                let memory = writer.memory();
                for &(at, word) in &header {
                    memory.header.u32(at * 4).store(word, Ordering::Relaxed);
                }
                match place {
                    0 => memory.header.u32(READ_PT).store(value, Ordering::Relaxed),
                    1 => memory.header.u32(WRITE_PT).store(value, Ordering::Relaxed),
                    2 => memory.word(reader.index).store(value, Ordering::Relaxed),
                    _ => memory.header.u32(SEMAPHORE).store(value, Ordering::Relaxed),
                }
                memory.word(reader.index + 1).store(COMMITTED, Ordering::Relaxed);
                if let Ok(true) = reader.read(&mut out) {
                    prop_assert!(!out.is_empty() && out.len() <= 4083);
                }
                let _ = writer.write(&[&[1; 100]]);
                prop_assert!(writer.index < writer.memory.words && reader.index < reader.memory.words);
            }
        }
    }

    #[test]
    fn hostile_values_are_reported() {
        let (mut writer, mut reader, _header, data) = pair(4083);
        let mut out = Vec::new();
        writer.memory.header.u32(READ_PT).store(1024, Ordering::Relaxed);
        assert_eq!(writer.write(&[b"x"]), Err(RingError::Index { index: 1024, words: 1024 }));
        writer.memory.header.u32(READ_PT).store(0, Ordering::Relaxed);
        assert!(matches!(writer.write(&[&[0; 9000]]), Err(RingError::TooLong { .. })));

        writer.post(1);
        assert_eq!(reader.read(&mut out), Err(RingError::Mark(0)));
        writer.memory.word(1).store(COMMITTED, Ordering::Relaxed);
        writer.memory.word(0).store(u32::MAX, Ordering::Relaxed);
        writer.post(1);
        assert_eq!(reader.read(&mut out), Err(RingError::Length { bytes: u32::MAX, limit: 4083 }));

        data.set_len(0).unwrap();
        writer.post(1);
        assert_eq!(reader.read(&mut out), Err(RingError::Torn));
    }
}
