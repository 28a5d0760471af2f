//! What is counted, under libknet's names and as libknet 1.25 counts it, so that tools agree.
//!
//! Sent packets count their datagram, received ones their plain packet; a packet counts as sent even if that failed.

use std::time::Duration;

use super::arrival::DropReason;
use super::output::{Fault, PacketKind};
use crate::value::Value;

/// Packets and bytes one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// How many packets.
    pub packets: u64,
    /// Sum of their lengths.
    pub bytes: u64,
}

impl Flow {
    pub(super) fn add(&mut self, packets: usize, bytes: usize) {
        self.packets += packets as u64;
        self.bytes += bytes as u64;
    }
}

/// One kind of packet on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindStats {
    /// Sent, bytes after encryption.
    pub sent: Flow,
    /// Received, bytes after decryption.
    pub received: Flow,
    /// Refused by the kernel.
    pub errors: u32,
    /// Sent again because the socket buffer was full.
    pub retries: u32,
}

/// The counters of a link to a host, `stats.knet.nodeN.linkL.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStats {
    /// Data; packets are fragments.
    pub data: KindStats,
    /// Pings.
    pub ping: KindStats,
    /// Answers to pings.
    pub pong: KindStats,
    /// Probes of the path MTU; `received` counts answers too, `sent` does not.
    pub pmtu: KindStats,
    /// Least latency in µs; `u32::MAX` before the first pong.
    pub latency_min: u32,
    /// Most in µs.
    pub latency_max: u32,
    /// Mean in µs.
    pub latency_ave: u32,
    /// Pongs that the mean is over, at most `ping_precision`.
    pub latency_samples: u32,
    /// Times it went down; begins with 1, because it is not connected when it is enabled.
    pub down_count: u32,
    /// Times it came up.
    pub up_count: u32,
    /// Tools are shown 0 as the least latency for ever.
    pub cleared: bool,
}

impl Default for LinkStats {
    fn default() -> Self {
        Self { down_count: 1, cleared: false, ..Self::CLEARED }
    }
}

impl LinkStats {
    /// As after `stats.clear.knet`.
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

    /// As of the link of this node to itself.
    pub(super) const LOOPBACK: Self = Self { up_count: 1, cleared: false, ..Self::CLEARED };

    /// Counts packets that leave.
    pub(super) fn sent(&mut self, kind: PacketKind, packets: usize, bytes: usize) {
        match kind {
            PacketKind::Data => self.data.sent.add(packets, bytes),
            PacketKind::Ping => self.ping.sent.add(packets, bytes),
            PacketKind::Pong => self.pong.sent.add(packets, bytes),
            PacketKind::Probe => self.pmtu.sent.add(packets, bytes),
            PacketKind::ProbeReply => {}
        }
    }

    /// Counts a packet that came.
    pub(super) fn received(&mut self, kind: PacketKind, bytes: usize) {
        self.of(kind).received.add(1, bytes);
    }

    /// Counts a packet that the kernel refused. That it was too long is no error.
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

    /// Counts a round trip of this many µs; the mean is over at most `precision` of them.
    pub(super) fn round_trip(&mut self, micros: u32, precision: u32) {
        self.latency_samples = self.latency_samples.saturating_add(1).min(precision.max(1));
        let (mean, samples) = (u64::from(self.latency_ave), u64::from(self.latency_samples));
        // At most the larger of the two, so it fits.
        self.latency_ave = ((mean * (samples - 1) + u64::from(micros)) / samples) as u32;
        self.latency_min = self.latency_min.min(micros);
        self.latency_max = self.latency_max.max(micros);
    }

    /// Every key below `stats.knet.nodeN.linkL.`. `mtu` is in user bytes of a fragment.
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
            // So named, yet it is what was sent again.
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

/// Least, mean and most of a duration, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Least; `u64::MAX` before the first, 0 for ever once it was cleared.
    pub min: u64,
    /// Mean.
    pub ave: u64,
    /// Most.
    pub max: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { min: u64::MAX, ave: 0, max: 0 }
    }
}

impl Times {
    const ZERO: Self = Self { min: 0, ave: 0, max: 0 };

    /// Counts one more, after `before` others.
    pub(super) fn add(&mut self, took: Duration, before: u64) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let sum = u128::from(self.ave) * u128::from(before) + u128::from(nanos);
        // A mean of u64 fits.
        self.ave = (sum / (u128::from(before) + 1)) as u64;
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }
}

/// The counters of all links together, `stats.knet.handle.`. Bytes are those of messages.
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
    /// How long it took.
    pub tx_compress_time: Times,
    /// Messages received compressed.
    pub rx_compressed_packets: u64,
    /// Their bytes once decompressed.
    pub rx_compressed_original_bytes: u64,
    /// Their bytes as received.
    pub rx_compressed_size_bytes: u64,
    /// How long it took.
    pub rx_compress_time: Times,
    /// Packets of every kind encrypted.
    pub tx_crypt_packets: u64,
    /// Bytes that this added to packets of data.
    pub tx_crypt_byte_overhead: u64,
    /// How long it took for packets of data.
    pub tx_crypt_time: Times,
    /// Packets of data decrypted.
    pub rx_crypt_packets: u64,
    /// How long it took.
    pub rx_crypt_time: Times,
    /// Packets of data encrypted; what the mean of their time is over.
    tx_crypt_data: u64,
}

impl HandleStats {
    /// As after `stats.clear.knet`.
    pub(super) fn cleared() -> Self {
        Self {
            tx_compress_time: Times::ZERO,
            rx_compress_time: Times::ZERO,
            tx_crypt_time: Times::ZERO,
            rx_crypt_time: Times::ZERO,
            ..Self::default()
        }
    }

    /// Counts a packet that was sealed; the overhead and the time are counted for data alone.
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

    /// Counts a packet that was opened, which is this now.
    pub fn opened(&mut self, plain: &[u8], took: Duration) {
        if plain.get(1) == Some(&0) {
            self.rx_crypt_time.add(took, self.rx_crypt_packets);
            self.rx_crypt_packets += 1;
        }
    }

    /// Every key below `stats.knet.handle.`; all are `u64`.
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

/// Received packets and messages that were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; REASONS.len()]);

impl Drops {
    pub(super) fn add(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// How many for this reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// All reasons with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        REASONS.iter().map(|&reason| (reason, self.of(reason)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_names_of_libknet_are_there_once() {
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
    fn a_fresh_link_counts_one_fall_and_no_least_latency() {
        let rows = LinkStats::default().rows(false, 0);
        let of = |name| rows.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone());
        assert_eq!(of("down_count"), Some(Value::U32(1)));
        assert_eq!(of("latency_min"), Some(Value::U32(u32::MAX)));
    }

    #[test]
    fn the_mean_latency_is_over_the_last_values_of_the_precision() {
        let mut stats = LinkStats::default();
        for micros in [100, 200, 600] {
            stats.round_trip(micros, 2);
        }
        // (100 + 200) / 2 = 150, then (150 + 600) / 2.
        assert_eq!((stats.latency_min, stats.latency_ave, stats.latency_max), (100, 375, 600));
        assert_eq!(stats.latency_samples, 2);
    }

    #[test]
    fn totals_leave_out_answers_to_probes_and_retries_are_those_of_sending() {
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
