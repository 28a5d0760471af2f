//! A file mapped into memory that another process maps too.
//!
//! Its content may change at any moment and is controlled by the other side, so it is accessed through atomics only:
//! there is never a `&[u8]` or `&T` to it. Offsets always come from this side.
#![allow(unsafe_code, reason = "maps memory shared with another process")]

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags};

use super::sigbus::Guard;

/// A shared mapping of the first bytes of a file.
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
    guard: Option<Guard>,
}

// SAFETY: the memory is reached through atomics only, from any thread, and is unmapped only by `drop`.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("len", &self.len).field("torn", &self.torn()).finish_non_exhaustive()
    }
}

impl Mapping {
    /// Maps `len` bytes of `file`, which must be at least that long at this time.
    ///
    /// `guarded`: the file belongs to an untrusted process; its truncation is survived.
    pub(super) fn new(file: BorrowedFd<'_>, len: usize, guarded: bool) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice; nothing else refers to it.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )?
        };
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut mapping = Self { start, len, guard: None };
        if guarded {
            mapping.guard = Some(Guard::register(start.as_ptr() as usize, len)?);
        }
        Ok(mapping)
    }

    /// Whether the file was truncated; data read since then is zeros.
    pub(super) fn torn(&self) -> bool {
        self.guard.as_ref().is_some_and(Guard::torn)
    }

    /// The aligned 32-bit word at a byte offset.
    pub(super) fn u32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.len, "word outside of the mapping");
        // SAFETY: inside the mapping and aligned, as just checked and because mappings begin at a page;
        // shared memory may be accessed by atomics at any time.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    /// The aligned 64-bit word at a byte offset.
    pub(super) fn u64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.len, "double word outside of the mapping");
        // SAFETY: as in `u32`.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    fn u8(&self, offset: usize) -> &AtomicU8 {
        assert!(offset < self.len, "byte outside of the mapping");
        // SAFETY: inside the mapping, as just checked.
        unsafe { AtomicU8::from_ptr(self.start.as_ptr().add(offset)) }
    }

    /// Appends a private copy of `len` bytes from `offset` on to `out`.
    pub(super) fn read(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        assert!(offset <= self.len && len <= self.len - offset, "read outside of the mapping");
        out.reserve(len);
        let (head, words, tail) = split(offset, len);
        out.extend((0..head).map(|i| self.u8(offset + i).load(Ordering::Relaxed)));
        let from = offset + head;
        let at = out.len();
        // SAFETY: `words * 8` bytes from `from` on are inside the mapping and aligned; the room for them in
        // `out` was reserved, and the length is set after they were written.
        unsafe {
            let to = out.as_mut_ptr().add(at);
            let source = self.start.as_ptr().add(from).cast::<u64>();
            for i in 0..words {
                let word = AtomicU64::from_ptr(source.add(i)).load(Ordering::Relaxed);
                to.add(i * 8).cast::<u64>().write_unaligned(word);
            }
            out.set_len(at + words * 8);
        }
        let from = from + words * 8;
        out.extend((0..tail).map(|i| self.u8(from + i).load(Ordering::Relaxed)));
    }

    /// Copies `bytes` into the mapping at `offset`.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.len && bytes.len() <= self.len - offset, "write outside of the mapping");
        let (head, words, _) = split(offset, bytes.len());
        let (first, rest) = bytes.split_at(head);
        for (i, &byte) in first.iter().enumerate() {
            self.u8(offset + i).store(byte, Ordering::Relaxed);
        }
        let to = offset + head;
        let (middle, last) = rest.split_at(words * 8);
        // SAFETY: `words * 8` bytes from `to` on are inside the mapping and aligned; `middle` has as many.
        unsafe {
            let target = self.start.as_ptr().add(to).cast::<u64>();
            for i in 0..words {
                let word = middle.as_ptr().add(i * 8).cast::<u64>().read_unaligned();
                AtomicU64::from_ptr(target.add(i)).store(word, Ordering::Relaxed);
            }
        }
        let to = to + words * 8;
        for (i, &byte) in last.iter().enumerate() {
            self.u8(to + i).store(byte, Ordering::Relaxed);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Unregistered before the address can be reused by another mapping.
        self.guard = None;
        // SAFETY: this is the whole mapping, and every access borrows `self`.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// How `len` bytes at `offset` divide into bytes up to an 8-byte boundary, 64-bit words, and the rest.
fn split(offset: usize, len: usize) -> (usize, usize, usize) {
    let head = (offset.next_multiple_of(8) - offset).min(len);
    (head, (len - head) / 8, (len - head) % 8)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use proptest::prelude::*;

    use super::*;

    fn mapped(len: usize, guarded: bool) -> (std::fs::File, Mapping) {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(len as u64).unwrap();
        let mapping = Mapping::new(file.as_fd(), len, guarded).unwrap();
        (file, mapping)
    }

    proptest! {
        #[test]
        fn copies_at_any_offset_and_length(offset in 0_usize..64, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (_file, mapping) = mapped(4096, false);
            mapping.write(offset, &bytes);
            let mut out = vec![7];
            mapping.read(offset, bytes.len(), &mut out);
            prop_assert_eq!(&out[1..], &bytes[..]);
            // The bytes around it are unchanged.
            out.clear();
            mapping.read(offset + bytes.len(), 16, &mut out);
            prop_assert_eq!(out, [0; 16]);
        }
    }

    #[test]
    fn a_truncated_file_reads_as_zeros_and_is_marked() {
        let (file, mapping) = mapped(8192, true);
        let (_other_file, other) = mapped(8192, true);
        mapping.write(5000, b"here");
        file.set_len(0).unwrap();
        assert!(!mapping.torn());
        let mut out = Vec::new();
        mapping.read(5000, 4, &mut out);
        assert_eq!(out, [0; 4]);
        assert!(mapping.torn());
        mapping.write(0, b"still harmless");
        assert!(!other.torn());
    }

    #[test]
    #[should_panic(expected = "outside of the mapping")]
    fn an_offset_outside_of_the_mapping_panics() {
        let (_file, mapping) = mapped(4096, false);
        mapping.write(4090, &[0; 8]);
    }
}
