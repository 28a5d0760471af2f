use proptest::prelude::*;

use super::*;
use crate::ids::NodeId;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn node(id: u32) -> NodeId {
    NodeId::new(id).unwrap()
}

fn settings(compression: Compression) -> Settings {
    Settings { compression, ..Settings::bare(node(1)) }
}

/// A totem header for node 2 and 387 identical bytes: the message of the captured examples.
fn message() -> Vec<u8> {
    [&hex("70c00301 00 01000000 02000000")[..], &[b'A'; 387]].concat()
}

fn decompress(model: u8, packed: &[u8]) -> Result<Bytes, DropReason> {
    Decompressor::default().decompress(model, packed, &mut HandleStats::default())
}

const REFUSED: Result<Bytes, DropReason> = Err(DropReason::Compression);
const MODELS: [Compression; 4] = [Compression::Zlib, Compression::Lz4, Compression::Lz4Hc, Compression::Zstd];

/// Compressed by zlib 1.2.13 (as libknet sent it), liblz4 1.9.4 and libzstd 1.5.4.
#[test]
fn messages_compressed_by_the_c_libraries_are_understood() {
    let zlib = hex("78012b38c0ccc8c0c8c0c0c004c48ea360a043000061da637b");
    let lz4 = hex("ef70c00301000100000002000000410100ff6b504141414141");
    let zstd = hex("28b52ffd609000ad00007070c003010001000000020000004101007f2a5002");
    for (model, packed) in [(ZLIB, zlib), (LZ4, lz4.clone()), (LZ4HC, lz4), (ZSTD, zstd)] {
        let mut stats = HandleStats::default();
        let mut decompressor = Decompressor::default();
        let plain = message();
        for _ in 0..2 {
            let message = decompressor.decompress(model, &packed, &mut stats).unwrap();
            assert_eq!(message, plain);
        }
        assert_eq!(stats.rx_compressed_packets, 2);
        assert_eq!(stats.rx_compressed_original_bytes, 800);
        assert_eq!(stats.rx_compressed_size_bytes, 2 * packed.len() as u64);
    }
}

#[test]
fn each_model_decompresses_what_it_compressed() {
    for (compression, id) in MODELS.into_iter().zip([1, 2, 3, 7]) {
        let mut compressor = Compressor::new(&settings(compression));
        let mut stats = HandleStats::default();
        let mut decompressor = Decompressor::default();
        for len in [101, 400, 5000, 65_535, 65_536] {
            let mut message = message();
            message.resize(len, 7);
            let to = Destination::Node(node(3));
            let (model, packed) = compressor.compress(to, &message, &mut stats).unwrap();
            assert_eq!(model, id);
            assert!(packed.len() < 100 + len / 200, "{} of {len}", packed.len());
            let found = decompressor.decompress(model, packed, &mut stats).unwrap();
            filter::set_target(&mut message, to);
            assert_eq!(found, message);
        }
        assert_eq!(stats.tx_compressed_packets, 5);
        assert_eq!(stats.tx_compressed_original_bytes, 101 + 400 + 5000 + 65_535 + 65_536);
        assert_eq!(stats.tx_compressed_size_bytes, stats.rx_compressed_size_bytes);
        assert_eq!(stats.tx_uncompressed_packets, 0);
    }
}

#[test]
fn a_message_that_is_short_or_would_grow_is_sent_uncompressed() {
    let noise: Vec<u8> = (0..400_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for compression in MODELS {
        let mut compressor = Compressor::new(&settings(compression));
        let mut stats = HandleStats::default();
        assert_eq!(compressor.compress(Destination::All, &message()[..100], &mut stats), None);
        assert_eq!(compressor.compress(Destination::All, &noise, &mut stats), None);
        assert_eq!(stats.tx_uncompressed_packets, 2);
        assert_eq!(stats.tx_compressed_packets, 0);
    }
    let mut stats = HandleStats::default();
    let mut none = Compressor::new(&settings(Compression::None));
    assert_eq!(none.compress(Destination::All, &message(), &mut stats), None);
    assert_eq!(stats, HandleStats::default());
}

#[test]
fn models_without_a_decoder_are_refused() {
    let decompressor = Decompressor::default();
    for model in (0..=255).filter(|model| ![1, 2, 3, 7].contains(model)) {
        assert!(!decompressor.knows(model));
        assert_eq!(decompress(model, &[1, 2, 3]), REFUSED);
    }
}

/// Messages of 65537 zeros, and of 70000 for zstd, as compressed by the C libraries.
#[test]
fn no_message_expands_past_the_maximum_length() {
    let zeros = |len: usize| {
        let mut plain = vec![0; len];
        plain[..13].copy_from_slice(&message()[..13]);
        plain
    };
    let zlib = |len| miniz_oxide::deflate::compress_to_vec_zlib(&zeros(len), 9);
    let lz4 = |len| lz4::compress(&zeros(len));
    let zstd = |len| ruzstd::encoding::compress_to_vec(&zeros(len)[..], CompressionLevel::Fastest);
    assert_eq!(decompress(ZLIB, &zlib(65_536)).unwrap(), zeros(65_536));
    assert_eq!(decompress(LZ4, &lz4(65_536)).unwrap(), zeros(65_536));
    assert_eq!(decompress(ZSTD, &zstd(65_536)).unwrap(), zeros(65_536));
    for len in [65_537, 66_000, 200_000, 2_000_000] {
        assert_eq!(decompress(ZLIB, &zlib(len)), REFUSED);
        assert_eq!(decompress(LZ4, &lz4(len)), REFUSED);
        assert_eq!(decompress(ZSTD, &zstd(len)), REFUSED);
    }
    assert_eq!(decompress(ZSTD, &hex("28b52ffda07011010055000010000001006b1139c002")), REFUSED);
}

/// A window of 128 MiB, for which a decoder would allocate memory; then endless blocks that expand to 128 KiB
/// each.
#[test]
fn a_zstd_frame_that_asks_for_much_memory_is_refused() {
    assert_eq!(decompress(ZSTD, &hex("28b52ffd 00 88 010000")), REFUSED);
    let mut bomb = hex("28b52ffd 00 38");
    for _ in 0..20_000 {
        bomb.extend_from_slice(&[0x02, 0x00, 0x10, 0x41]); // a run of 131072 bytes
    }
    assert_eq!(decompress(ZSTD, &bomb), REFUSED);
    // Endless empty blocks cost no more than their bytes.
    let mut idle = hex("28b52ffd 00 38");
    idle.resize(65_000, 0);
    assert_eq!(decompress(ZSTD, &idle), REFUSED);
}

#[test]
fn damaged_messages_are_refused_and_the_next_one_is_understood() {
    for compression in MODELS {
        let mut compressor = Compressor::new(&settings(compression));
        let mut stats = HandleStats::default();
        let (model, packed) = compressor.compress(Destination::All, &message(), &mut stats).unwrap();
        let mut decompressor = Decompressor::default();
        for len in 0..packed.len() {
            // LZ4 has no end mark: a truncated message may decompress to a shorter one.
            if let Ok(found) = decompressor.decompress(model, &packed[..len], &mut stats) {
                assert!(matches!(model, LZ4 | LZ4HC) && found.len() < 400, "{model} {len}");
            }
        }
        let mut expected = message();
        filter::set_target(&mut expected, Destination::All);
        assert_eq!(decompressor.decompress(model, packed, &mut stats).unwrap(), expected);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_decompress_to_a_message(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        compression in prop::sample::select(MODELS.to_vec()),
    ) {
        let mut compressor = Compressor::new(&settings(compression));
        let mut stats = HandleStats::default();
        let text = [message(), bytes.clone(), message()].concat();
        if let Some((model, packed)) = compressor.compress(Destination::All, &text, &mut stats) {
            let mut packed = packed.to_vec();
            for (at, byte) in flips {
                let at = at.index(packed.len());
                packed[at] = byte;
            }
            for bytes in [&packed, &bytes] {
                match Decompressor::default().decompress(model, bytes, &mut stats) {
                    Ok(message) => prop_assert!(message.len() <= MESSAGE),
                    Err(reason) => prop_assert_eq!(reason, DropReason::Compression),
                }
            }
        }
    }
}
