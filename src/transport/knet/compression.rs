//! Compression of whole messages: with the configured model when sending, with any supported model when
//! receiving.
//!
//! LZO, xz and bzip2 are refused: no peer sends them unless configured to, and their decoders are large. No
//! message expands beyond [`MESSAGE`] bytes, and the memory for each host is limited.
//! Source: libknet, `compress.c`; the numbers of the models are part of the wire format.

use std::fmt;
use std::io::Cursor;

use bytes::Bytes;
use lz4_flex::block::{self as lz4, CompressTable};
use miniz_oxide::deflate::core::{self as deflate, CompressorOxide, TDEFLFlush, TDEFLStatus};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{self as inflate, DecompressorOxide, inflate_flags};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, FrameCompressor, MatchGeneratorDriver};

use super::arrival::DropReason;
use super::filter;
use super::settings::{Compression, Settings};
use super::sizes::MESSAGE;
use super::stats::HandleStats;
use crate::ids::Destination;

const ZLIB: u8 = 1;
const LZ4: u8 = 2;
const LZ4HC: u8 = 3;
const ZSTD: u8 = 7;

/// Threshold that is used if the settings say 0. Source: libknet, `KNET_COMPRESS_THRESHOLD`.
const THRESHOLD: usize = 100;

/// zlib level that is used if the settings say 0, which for zlib itself means no compression.
const ZLIB_LEVEL: u8 = 1;

/// Largest window accepted in a zstd frame, in bytes; a message of [`MESSAGE`] bytes needs no larger one.
const ZSTD_WINDOW: u64 = 128 * 1024;

/// Compresses outgoing messages.
pub(super) struct Compressor {
    threshold: usize,
    model: Model,
    /// The message with its destination written into it.
    plain: Vec<u8>,
    /// The compressed message.
    packed: Vec<u8>,
}

enum Model {
    None,
    Zlib(Box<CompressorOxide>),
    Lz4(u8, CompressTable),
    Zstd(Box<FrameCompressor<Cursor<Vec<u8>>, Vec<u8>, MatchGeneratorDriver>>),
}

impl Compressor {
    pub(super) fn new(settings: &Settings) -> Self {
        let model = match settings.compression {
            Compression::None => Model::None,
            Compression::Zlib => {
                let level = settings.compression_level.clamp(0, 9) as u8;
                let level = if level == 0 { ZLIB_LEVEL } else { level };
                let mut compressor = Box::<CompressorOxide>::default();
                compressor.set_compression_level_raw(level);
                Model::Zlib(compressor)
            }
            Compression::Lz4 => Model::Lz4(LZ4, CompressTable::default()),
            Compression::Lz4Hc => Model::Lz4(LZ4HC, CompressTable::default()),
            Compression::Zstd => Model::Zstd(Box::new(FrameCompressor::new(CompressionLevel::Fastest))),
        };
        let threshold = match settings.compression_threshold {
            0 => THRESHOLD,
            threshold => threshold,
        };
        Self { threshold, model, plain: Vec::new(), packed: Vec::new() }
    }

    /// Writes the destination into the message and compresses it. Returns the result and the number of the
    /// model; `None` if the message is to be sent uncompressed.
    pub(super) fn compress(
        &mut self,
        to: Destination,
        message: &[u8],
        stats: &mut HandleStats,
    ) -> Option<(u8, &[u8])> {
        if matches!(self.model, Model::None) {
            return None;
        }
        if message.len() > self.threshold {
            self.plain.clear();
            self.plain.extend_from_slice(message);
            filter::set_target(&mut self.plain, to);
            if let Some(id) = self.pack()
                && self.packed.len() < message.len()
            {
                stats.tx_compressed_packets += 1;
                stats.tx_compressed_original_bytes += message.len() as u64;
                stats.tx_compressed_size_bytes += self.packed.len() as u64;
                return Some((id, &self.packed));
            }
        }
        stats.tx_uncompressed_packets += 1;
        None
    }

    /// Compresses `plain` into `packed`. Returns `None` if the result is not shorter.
    fn pack(&mut self) -> Option<u8> {
        let Self { model, plain, packed, .. } = self;
        match model {
            Model::None => None,
            Model::Zlib(compressor) => {
                compressor.reset();
                packed.resize(plain.len(), 0);
                let (status, _, len) = deflate::compress(compressor, plain, packed, TDEFLFlush::Finish);
                packed.truncate(len);
                (status == TDEFLStatus::Done).then_some(ZLIB)
            }
            Model::Lz4(id, table) => {
                packed.resize(lz4::get_maximum_output_size(plain.len()), 0);
                let len = lz4::compress_into_with_table(plain, packed, table).ok()?;
                packed.truncate(len);
                Some(*id)
            }
            Model::Zstd(compressor) => {
                packed.clear();
                compressor.set_source(Cursor::new(std::mem::take(plain)));
                compressor.set_drain(std::mem::take(packed));
                compressor.compress();
                *plain = compressor.take_source()?.into_inner();
                *packed = compressor.take_drain()?;
                Some(ZSTD)
            }
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

/// Decompresses the messages of one host. Its buffers are allocated when the host first sends such a message.
#[derive(Default)]
pub(super) struct Decompressor {
    /// Space for a message; empty until it is needed.
    out: Vec<u8>,
    zlib: Option<Box<DecompressorOxide>>,
    zstd: Option<Box<FrameDecoder>>,
}

impl Decompressor {
    /// Whether messages of this model can be decompressed.
    pub(super) const fn knows(&self, model: u8) -> bool {
        matches!(model, ZLIB | LZ4 | LZ4HC | ZSTD)
    }

    /// Decompresses a message.
    ///
    /// # Errors
    /// [`DropReason::Compression`] if the message is damaged, not of this model, or too long.
    pub(super) fn decompress(
        &mut self,
        model: u8,
        packed: &[u8],
        stats: &mut HandleStats,
    ) -> Result<Bytes, DropReason> {
        self.out.resize(MESSAGE, 0);
        let len = match model {
            ZLIB => self.inflate(packed),
            LZ4 | LZ4HC => lz4::decompress_into(packed, &mut self.out).ok(),
            ZSTD => self.unzstd(packed),
            _ => None,
        };
        let message = len.and_then(|len| self.out.get(..len)).ok_or(DropReason::Compression)?;
        stats.rx_compressed_packets += 1;
        stats.rx_compressed_original_bytes += message.len() as u64;
        stats.rx_compressed_size_bytes += packed.len() as u64;
        Ok(Bytes::copy_from_slice(message))
    }

    fn inflate(&mut self, packed: &[u8]) -> Option<usize> {
        let state = self.zlib.get_or_insert_default();
        state.init();
        let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
            | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let (status, _, len) = inflate::decompress(state, packed, &mut self.out, 0, flags);
        (status == TINFLStatus::Done).then_some(len)
    }

    fn unzstd(&mut self, mut packed: &[u8]) -> Option<usize> {
        let decoder = self.zstd.get_or_insert_with(|| {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(ZSTD_WINDOW);
            Box::new(decoder)
        });
        decoder.init(&mut packed).ok()?;
        let mut len = 0;
        loop {
            // A block expands to at most 128 KiB.
            let finished = decoder.decode_blocks(&mut packed, BlockDecodingStrategy::UptoBlocks(1)).ok()?;
            len += std::io::Read::read(decoder, &mut self.out[len..]).ok()?;
            if finished {
                return (decoder.can_collect() == 0).then_some(len);
            }
        }
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
