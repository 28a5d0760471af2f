//! Messages in a row that wait together: so much is allocated, and freed, at a time.

use bytes::Bytes;

/// What one message costs beyond its bytes.
pub(super) const OVERHEAD: usize = size_of::<Item>();
/// Bytes and messages after which a new block is begun: so much is allocated, and freed, at a time.
const BLOCK_BYTES: usize = 32 << 10;
const BLOCK_ITEMS: usize = 128;

/// Some of the messages, in a row.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// What was copied, of all of them.
    pub(super) bytes: Vec<u8>,
    pub(super) items: Vec<Item>,
    /// How many messages have been taken.
    pub(super) taken: usize,
    /// How many of the bytes have been taken.
    pub(super) taken_bytes: usize,
}

/// A message that waits: bytes in the block, then the payload.
#[derive(Debug)]
pub(super) struct Item {
    /// How many bytes of it are in the block.
    pub(super) copied: usize,
    /// What was not copied; empty if all was.
    pub(super) payload: Bytes,
    /// It comes back to who sent it.
    pub(super) own: bool,
}

impl Item {
    pub(super) fn bytes(&self) -> usize {
        self.copied + self.payload.len()
    }

    pub(super) fn private(&self) -> usize {
        self.copied + OVERHEAD
    }

    pub(super) fn size(&self) -> usize {
        self.private() + self.payload.len()
    }
}

impl Block {
    pub(super) fn has_room_for(&self, copied: usize) -> bool {
        self.items.len() < BLOCK_ITEMS && self.bytes.len() + copied <= BLOCK_BYTES
    }

    /// Those that have not been taken: what each holds of its own, and its payload.
    pub(super) fn rest(&self) -> impl Iterator<Item = (usize, &Bytes)> {
        self.items[self.taken..].iter().map(|item| (item.private(), &item.payload))
    }
}
