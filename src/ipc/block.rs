//! Consecutive messages of a queue, allocated and freed together.

use bytes::Bytes;

/// Memory for one message besides its bytes.
pub(super) const OVERHEAD: usize = size_of::<Item>();
/// Bytes and messages after which a new block is begun.
const BLOCK_BYTES: usize = 32 << 10;
const BLOCK_ITEMS: usize = 128;

/// A block of consecutive messages.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The copied bytes of all messages.
    pub(super) bytes: Vec<u8>,
    pub(super) items: Vec<Item>,
    /// Number of messages taken out.
    pub(super) taken: usize,
    /// Number of copied bytes taken out.
    pub(super) taken_bytes: usize,
}

/// One message: bytes in the block, followed by the shared payload.
#[derive(Debug)]
pub(super) struct Item {
    /// Number of its bytes in the block.
    pub(super) copied: usize,
    /// The shared payload; empty if all of the message was copied.
    pub(super) payload: Bytes,
    /// Whether it returns to its own sender.
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

    /// The messages not yet taken out: the memory of each that is not shared, and its payload.
    pub(super) fn rest(&self) -> impl Iterator<Item = (usize, &Bytes)> {
        self.items[self.taken..].iter().map(|item| (item.private(), &item.payload))
    }
}
