//! What is counted of the whole handle, under the names of `stats.knet.handle.`.

/// Counters of messages that were compressed or not; bytes are those of messages.
///
/// Source: libknet, `struct knet_handle_stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandleStats {
    /// Messages sent as they are although compression is configured: too short, or not shorter compressed.
    pub tx_uncompressed_packets: u64,
    /// Messages sent compressed.
    pub tx_compressed_packets: u64,
    /// Their bytes before.
    pub tx_compressed_original_bytes: u64,
    /// Their bytes after.
    pub tx_compressed_size_bytes: u64,
    /// Messages received compressed.
    pub rx_compressed_packets: u64,
    /// Their bytes once decompressed.
    pub rx_compressed_original_bytes: u64,
    /// Their bytes as received.
    pub rx_compressed_size_bytes: u64,
}
