//! What encryption adds to a packet, and how large fragments may be on a path of a given MTU.
//!
//! Sizes are in bytes. "Plain" is a packet before encryption, "datagram" the UDP payload.

use std::net::IpAddr;

/// Longest header of a plain packet, a ping's; MTU arithmetic counts it for every packet.
pub(super) const HEADER: usize = 26;

/// Longest message, in bytes; also once decompressed. Source: libknet, `KNET_MAX_PACKET_SIZE`.
pub(super) const MESSAGE: usize = 65536;

/// Unused bytes in front of each plain packet that is to be sent: for the initialisation vector.
pub(super) const ROOM: usize = 16;

/// Bytes behind each plain packet that it can grow by without moving: a block of padding and the longest MAC.
pub(super) const TAIL: usize = 16 + 64;

/// What the envelope adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Initialisation vector in front; 16 with a cipher, else 0.
    pub salt: usize,
    /// Message authentication code behind; 0 without a hash.
    pub mac: usize,
    /// Block of the cipher that the packet is padded to; 0 without a cipher.
    pub block: usize,
}

impl Sizes {
    /// Nothing is encrypted or authenticated.
    pub const CLEAR: Self = Self { salt: 0, mac: 0, block: 0 };

    /// The datagram of a plain packet.
    pub const fn datagram(self, plain: usize) -> usize {
        let padded = if self.block == 0 { plain } else { plain + self.block - plain % self.block };
        padded + self.salt + self.mac
    }

    /// The user bytes of a fragment whose datagram has at most this size; 0 if there is no room.
    pub const fn fragment(self, datagram: usize) -> usize {
        let mut plain = datagram.saturating_sub(self.salt + self.mac);
        if self.block != 0 {
            plain = (plain - plain % self.block).saturating_sub(1);
        }
        plain.saturating_sub(HEADER)
    }

    /// The fragment size that every path carries: used while nothing is known.
    pub const fn floor(self) -> usize {
        self.fragment(576 - 40 - 28)
    }
}

/// Bytes of IP and UDP header in front of a datagram to this address.
pub(super) const fn overhead(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 20 + 8,
        IpAddr::V6(_) => 40 + 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table was read off libknet 1.25: floor, IPv4 at first, IPv4 1500, IPv6 1500, IPv4 9000, loopback.
    #[test]
    fn fragments_are_as_large_as_those_of_libknet() {
        let aes = |mac| Sizes { salt: 16, mac, block: 16 };
        let rows = [
            (Sizes::CLEAR, [482, 522, 1446, 1426, 8946, 65481]),
            (Sizes { salt: 0, mac: 32, block: 0 }, [450, 490, 1414, 1394, 8914, 65449]),
            (aes(20), [437, 485, 1397, 1381, 8901, 65429]),
            (aes(32), [421, 469, 1397, 1365, 8885, 65429]),
            (aes(48), [405, 453, 1381, 1349, 8869, 65413]),
            (aes(64), [389, 437, 1365, 1333, 8853, 65397]),
        ];
        for (sizes, expected) in rows {
            let found = [
                sizes.floor(),
                sizes.fragment(576 - 28),
                sizes.fragment(1500 - 28),
                sizes.fragment(1500 - 48),
                sizes.fragment(9000 - 28),
                sizes.fragment(65535 - 28),
            ];
            assert_eq!(found, expected, "{sizes:?}");
        }
    }

    #[test]
    fn a_ping_grows_as_libknets_does() {
        assert_eq!(Sizes { salt: 16, mac: 32, block: 16 }.datagram(26), 80);
        assert_eq!(Sizes { salt: 0, mac: 32, block: 0 }.datagram(26), 58);
        assert_eq!(Sizes { salt: 16, mac: 64, block: 16 }.datagram(9), 96);
    }
}
