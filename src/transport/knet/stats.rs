//! Counters with libknet's names and counted as libknet 1.25 does, so that tools show the same.
//!
//! Sent packets count with the length of their datagram, received ones with that of the plain packet. A
//! packet counts as sent even if sending failed.

use std::time::Duration;

use super::arrival::DropReason;
use super::output::{Fault, PacketKind};
use crate::value::Value;

/// Packets and bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The number of packets.
    pub packets: u64,
    /// The sum of their lengths.
    pub bytes: u64,
}

impl Flow {
    pub(super) fn add(&mut self, packets: usize, bytes: usize) {
        self.packets += packets as u64;
        self.bytes += bytes as u64;
    }
}

/// Counters of one kind of packet on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindStats {
    /// Packets sent; bytes after encryption.
    pub sent: Flow,
    /// Packets received; bytes after decryption.
    pub received: Flow,
    /// Packets that the kernel refused to send.
    pub errors: u32,
    /// Packets sent again because the socket buffer was full.
    pub retries: u32,
}

/// The counters of a link to a host, `stats.knet.nodeN.linkL.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStats {
    /// Data packets; each fragment is a packet.
    pub data: KindStats,
    /// Pings, sent and received.
    pub ping: KindStats,
    /// Answers to pings.
    pub pong: KindStats,
    /// Probes of the path MTU. `received` includes answers, `sent` does not.
    pub pmtu: KindStats,
    /// Smallest latency in µs; `u32::MAX` before the first pong.
    pub latency_min: u32,
    /// Largest latency in µs.
    pub latency_max: u32,
    /// Mean latency in µs.
    pub latency_ave: u32,
    /// Number of pongs in the mean, at most `ping_precision`.
    pub latency_samples: u32,
    /// How often the link went down; begins with 1, because the link is not connected when it is enabled.
    pub down_count: u32,
    /// How often the link came up.
    pub up_count: u32,
    /// Whether the counters were cleared; tools then show 0 as the smallest latency for good.
    pub cleared: bool,
}

impl Default for LinkStats {
    fn default() -> Self {
        Self { down_count: 1, cleared: false, ..Self::CLEARED }
    }
}

impl LinkStats {
    /// Counters after `stats.clear.knet`.
    pub(super) const CLEARED: Self = Self {
        data: KindStats::ZERO,
        ping: KindStats::ZERO,
        pong: KindStats::ZERO,
        pmtu: KindStats::ZERO,
        latency_min: u32::MAX,
        latency_max: 0,
        latency_ave: 0,
        latency_samples: 0,
        down_count: 0,
        up_count: 0,
        cleared: true,
    };

    /// Counters of the link of this node to itself.
    pub(super) const LOOPBACK: Self = Self { up_count: 1, cleared: false, ..Self::CLEARED };

    /// Counts packets that are sent.
    pub(super) fn sent(&mut self, kind: PacketKind, packets: usize, bytes: usize) {
        match kind {
            PacketKind::Data => self.data.sent.add(packets, bytes),
            PacketKind::Ping => self.ping.sent.add(packets, bytes),
            PacketKind::Pong => self.pong.sent.add(packets, bytes),
            PacketKind::Probe => self.pmtu.sent.add(packets, bytes),
            PacketKind::ProbeReply => {}
        }
    }

    /// Counts a received packet.
    pub(super) fn received(&mut self, kind: PacketKind, bytes: usize) {
        self.of(kind).received.add(1, bytes);
    }

    /// Counts a packet that the kernel refused to send. One that was too long does not count as an error.
    pub(super) fn refused(&mut self, kind: PacketKind, fault: Fault) {
        match fault {
            Fault::TooLong(_) => {}
            Fault::Unreachable | Fault::Other(_) => self.of(kind).errors += 1,
        }
    }

    /// Counts a packet that had to be sent again.
    pub(super) fn retried(&mut self, kind: PacketKind) {
        self.of(kind).retries += 1;
    }

    fn of(&mut self, kind: PacketKind) -> &mut KindStats {
        match kind {
            PacketKind::Data => &mut self.data,
            PacketKind::Ping => &mut self.ping,
            PacketKind::Pong => &mut self.pong,
            PacketKind::Probe | PacketKind::ProbeReply => &mut self.pmtu,
        }
    }

    /// Counts a round trip in µs; the mean is taken over at most `precision` of them.
    pub(super) fn round_trip(&mut self, micros: u32, precision: u32) {
        self.latency_samples = self.latency_samples.saturating_add(1).min(precision.max(1));
        let (mean, samples) = (u64::from(self.latency_ave), u64::from(self.latency_samples));
        // The result is at most the larger of the two values, so it fits.
        self.latency_ave = ((mean * (samples - 1) + u64::from(micros)) / samples) as u32;
        self.latency_min = self.latency_min.min(micros);
        self.latency_max = self.latency_max.max(micros);
    }

    /// All statistics below `stats.knet.nodeN.linkL.`. `mtu` is in user bytes of a fragment.
    pub fn rows(&self, connected: bool, mtu: u32) -> [(&'static str, Value); 39] {
        let kinds = [&self.data, &self.ping, &self.pong, &self.pmtu];
        let total = |value: fn(&KindStats) -> u64| Value::U64(kinds.iter().map(|kind| value(kind)).sum());
        let retries = total(|kind| u64::from(kind.retries));
        let (wide, narrow) = (Value::U64, Value::U32);
        [
            ("enabled", Value::U8(1)),
            ("connected", Value::U8(connected.into())),
            ("mtu", narrow(mtu)),
            ("tx_data_packets", wide(self.data.sent.packets)),
            ("rx_data_packets", wide(self.data.received.packets)),
            ("tx_data_bytes", wide(self.data.sent.bytes)),
            ("rx_data_bytes", wide(self.data.received.bytes)),
            ("tx_ping_packets", wide(self.ping.sent.packets)),
            ("rx_ping_packets", wide(self.ping.received.packets)),
            ("tx_ping_bytes", wide(self.ping.sent.bytes)),
            ("rx_ping_bytes", wide(self.ping.received.bytes)),
            ("tx_pong_packets", wide(self.pong.sent.packets)),
            ("rx_pong_packets", wide(self.pong.received.packets)),
            ("tx_pong_bytes", wide(self.pong.sent.bytes)),
            ("rx_pong_bytes", wide(self.pong.received.bytes)),
            ("tx_pmtu_packets", wide(self.pmtu.sent.packets)),
            ("rx_pmtu_packets", wide(self.pmtu.received.packets)),
            ("tx_pmtu_bytes", wide(self.pmtu.sent.bytes)),
            ("rx_pmtu_bytes", wide(self.pmtu.received.bytes)),
            ("tx_total_packets", total(|kind| kind.sent.packets)),
            ("rx_total_packets", total(|kind| kind.received.packets)),
            ("tx_total_bytes", total(|kind| kind.sent.bytes)),
            ("rx_total_bytes", total(|kind| kind.received.bytes)),
            ("tx_total_errors", total(|kind| u64::from(kind.errors))),
            // Despite its name, this counts packets that were sent again.
            ("rx_total_retries", retries),
            ("tx_pmtu_errors", narrow(self.pmtu.errors)),
            ("tx_pmtu_retries", narrow(self.pmtu.retries)),
            ("tx_ping_errors", narrow(self.ping.errors)),
            ("tx_ping_retries", narrow(self.ping.retries)),
            ("tx_pong_errors", narrow(self.pong.errors)),
            ("tx_pong_retries", narrow(self.pong.retries)),
            ("tx_data_errors", narrow(self.data.errors)),
            ("tx_data_retries", narrow(self.data.retries)),
            ("latency_min", narrow(if self.cleared { 0 } else { self.latency_min })),
            ("latency_max", narrow(self.latency_max)),
            ("latency_ave", narrow(self.latency_ave)),
            ("latency_samples", narrow(self.latency_samples)),
            ("down_count", narrow(self.down_count)),
            ("up_count", narrow(self.up_count)),
        ]
    }
}

impl KindStats {
    const ZERO: Self = Self {
        sent: Flow { packets: 0, bytes: 0 },
        received: Flow { packets: 0, bytes: 0 },
        errors: 0,
        retries: 0,
    };
}

/// Minimum, mean and maximum of a duration, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The minimum; `u64::MAX` before the first value, and always 0 once it was cleared.
    pub min: u64,
    /// The mean of all values.
    pub ave: u64,
    /// The maximum of all values.
    pub max: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { min: u64::MAX, ave: 0, max: 0 }
    }
}

impl Times {
    const ZERO: Self = Self { min: 0, ave: 0, max: 0 };

    /// Adds a value to `before` earlier ones.
    pub(super) fn add(&mut self, took: Duration, before: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let sum = u128::from(self.ave) * u128::from(before) + u128::from(nanos);
        // The mean of u64 values fits into a u64.
        self.ave = (sum / (u128::from(before) + 1)) as u64;
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }
}

/// The counters of all links together, `stats.knet.handle.`. Bytes are counted in messages.
///
/// Source: libknet, `struct knet_handle_stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandleStats {
    /// Messages sent uncompressed although compression is configured: too short, or not shorter when
    /// compressed.
    pub tx_uncompressed_packets: u64,
    /// Messages sent compressed.
    pub tx_compressed_packets: u64,
    /// Bytes of these messages before compression.
    pub tx_compressed_original_bytes: u64,
    /// Bytes of these messages after compression.
    pub tx_compressed_size_bytes: u64,
    /// Time needed to compress a message.
    pub tx_compress_time: Times,
    /// Messages received compressed.
    pub rx_compressed_packets: u64,
    /// Bytes of these messages after decompression.
    pub rx_compressed_original_bytes: u64,
    /// Bytes of these messages as received.
    pub rx_compressed_size_bytes: u64,
    /// Time needed to decompress a message.
    pub rx_compress_time: Times,
    /// Packets of all kinds that were encrypted.
    pub tx_crypt_packets: u64,
    /// Bytes that encryption added to data packets.
    pub tx_crypt_byte_overhead: u64,
    /// Time needed to encrypt a data packet.
    pub tx_crypt_time: Times,
    /// Data packets that were decrypted.
    pub rx_crypt_packets: u64,
    /// Time needed to decrypt a data packet.
    pub rx_crypt_time: Times,
    /// Data packets that were encrypted, which is the number of values in the mean of `tx_crypt_time`.
    tx_crypt_data: u64,
}

impl HandleStats {
    /// Counters after `stats.clear.knet`.
    pub(super) fn cleared() -> Self {
        Self {
            tx_compress_time: Times::ZERO,
            rx_compress_time: Times::ZERO,
            tx_crypt_time: Times::ZERO,
            rx_crypt_time: Times::ZERO,
            ..Self::default()
        }
    }

    /// Counts a sealed packet; overhead and time are counted for data packets only.
    pub fn sealed(&mut self, kind: PacketKind, plain: usize, datagram: usize, took: Duration) {
        match kind {
            PacketKind::Data => {
                self.tx_crypt_time.add(took, self.tx_crypt_data);
                self.tx_crypt_data += 1;
                self.tx_crypt_byte_overhead += datagram.saturating_sub(plain) as u64;
            }
            PacketKind::Ping | PacketKind::Pong | PacketKind::Probe | PacketKind::ProbeReply => {}
        }
        self.tx_crypt_packets += 1;
    }

    /// Counts a received packet, given as it is after opening; only data packets count.
    pub fn opened(&mut self, plain: &[u8], took: Duration) {
        if plain.get(1) == Some(&0) {
            self.rx_crypt_time.add(took, self.rx_crypt_packets);
            self.rx_crypt_packets += 1;
        }
    }

    /// All statistics below `stats.knet.handle.`; all values are `u64`.
    pub fn rows(&self) -> [(&'static str, Value); 22] {
        [
            ("tx_uncompressed_packets", self.tx_uncompressed_packets),
            ("tx_compressed_packets", self.tx_compressed_packets),
            ("tx_compressed_original_bytes", self.tx_compressed_original_bytes),
            ("tx_compressed_size_bytes", self.tx_compressed_size_bytes),
            ("tx_compress_time_ave", self.tx_compress_time.ave),
            ("tx_compress_time_min", self.tx_compress_time.min),
            ("tx_compress_time_max", self.tx_compress_time.max),
            ("rx_compressed_packets", self.rx_compressed_packets),
            ("rx_compressed_original_bytes", self.rx_compressed_original_bytes),
            ("rx_compressed_size_bytes", self.rx_compressed_size_bytes),
            ("rx_compress_time_ave", self.rx_compress_time.ave),
            ("rx_compress_time_min", self.rx_compress_time.min),
            ("rx_compress_time_max", self.rx_compress_time.max),
            ("tx_crypt_packets", self.tx_crypt_packets),
            ("tx_crypt_byte_overhead", self.tx_crypt_byte_overhead),
            ("tx_crypt_time_ave", self.tx_crypt_time.ave),
            ("tx_crypt_time_min", self.tx_crypt_time.min),
            ("tx_crypt_time_max", self.tx_crypt_time.max),
            ("rx_crypt_packets", self.rx_crypt_packets),
            ("rx_crypt_time_ave", self.rx_crypt_time.ave),
            ("rx_crypt_time_min", self.rx_crypt_time.min),
            ("rx_crypt_time_max", self.rx_crypt_time.max),
        ]
        .map(|(name, value)| (name, Value::U64(value)))
    }
}

const REASONS: [DropReason; 8] = [
    DropReason::Malformed,
    DropReason::Foreign,
    DropReason::Unreachable,
    DropReason::Duplicate,
    DropReason::Fragment,
    DropReason::Compression,
    DropReason::NotForUs,
    DropReason::Flood,
];

/// Number of received packets and messages that were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; REASONS.len()]);

impl Drops {
    pub(super) fn add(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// The number of packets dropped for this reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// All reasons with their counters.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        REASONS.iter().map(|&reason| (reason, self.of(reason)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_of_libknet_occurs_once() {
        let link = LinkStats::default().rows(true, 1397);
        let names: BTreeSet<_> = link.iter().map(|&(name, _)| name).collect();
        assert_eq!(names.len(), 39);
        for way in ["tx", "rx"] {
            for kind in ["data", "ping", "pong", "pmtu", "total"] {
                for what in ["packets", "bytes"] {
                    assert!(names.contains(format!("{way}_{kind}_{what}").as_str()), "{way} {kind} {what}");
                }
            }
        }
        for kind in ["pmtu", "ping", "pong", "data"] {
            assert!(names.contains(format!("tx_{kind}_errors").as_str()), "{kind}");
            assert!(names.contains(format!("tx_{kind}_retries").as_str()), "{kind}");
        }
        for name in [
            "enabled",
            "connected",
            "mtu",
            "tx_total_errors",
            "rx_total_retries",
            "latency_min",
            "latency_max",
            "latency_ave",
            "latency_samples",
            "down_count",
            "up_count",
        ] {
            assert!(names.contains(name), "{name}");
        }
        let handle: BTreeSet<_> = HandleStats::default().rows().iter().map(|&(name, _)| name).collect();
        assert_eq!(handle.len(), 22);
    }

    #[test]
    fn a_new_link_has_one_down_count_and_no_minimum_latency() {
        let rows = LinkStats::default().rows(false, 0);
        let of = |name| rows.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
        assert_eq!(of("down_count"), Some(Value::U32(1)));
        assert_eq!(of("latency_min"), Some(Value::U32(u32::MAX)));
    }

    #[test]
    fn the_mean_latency_is_over_as_many_values_as_the_precision() {
        let mut stats = LinkStats::default();
        for micros in [100, 200, 600] {
            stats.round_trip(micros, 2);
        }
        // (100 + 200) / 2 = 150, then (150 + 600) / 2.
        assert_eq!((stats.latency_min, stats.latency_ave, stats.latency_max), (100, 375, 600));
        assert_eq!(stats.latency_samples, 2);
    }

    #[test]
    fn totals_count_no_sent_probe_replies_and_only_retries_of_sending() {
        let mut stats = LinkStats::default();
        stats.sent(PacketKind::Probe, 1, 1472);
        stats.sent(PacketKind::ProbeReply, 1, 64);
        stats.sent(PacketKind::Data, 3, 3000);
        stats.received(PacketKind::ProbeReply, 9);
        stats.retried(PacketKind::Data);
        stats.refused(PacketKind::Probe, Fault::TooLong(Some(1500)));
        stats.refused(PacketKind::Ping, Fault::Other(1));
        let rows = stats.rows(true, 1397);
        let of = |name| rows.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
        assert_eq!(of("tx_total_packets"), Some(Value::U64(4)));
        assert_eq!(of("tx_pmtu_bytes"), Some(Value::U64(1472)));
        assert_eq!(of("rx_pmtu_packets"), Some(Value::U64(1)));
        assert_eq!(of("rx_total_retries"), Some(Value::U64(1)));
        assert_eq!(of("tx_total_errors"), Some(Value::U64(1)));
    }
}
