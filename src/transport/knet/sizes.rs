//! What encryption adds to a packet, and the fragment size for a given path MTU.
//!
//! Sizes are in bytes. "Plain" means a packet before encryption, "datagram" a UDP payload.

use std::net::IpAddr;

/// Longest header of a plain packet, that of a ping; MTU calculations use it for every packet.
pub(super) const HEADER: usize = 26;

/// Longest message in bytes, also after decompression. Source: libknet, `KNET_MAX_PACKET_SIZE`.
pub(super) const MESSAGE: usize = 65536;

/// Unused bytes in front of each plain packet to be sent, for the initialisation vector.
pub(super) const ROOM: usize = 16;

/// Capacity behind each plain packet, so that it is not reallocated: a block of padding and the longest MAC.
pub(super) const TAIL: usize = 16 + 64;

/// What the envelope adds to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Length of the initialisation vector in front: 16 with a cipher, else 0.
    pub salt: usize,
    /// Length of the authentication code behind; 0 without a hash.
    pub mac: usize,
    /// Block size of the cipher, to which the packet is padded; 0 without a cipher.
    pub block: usize,
}

impl Sizes {
    /// No encryption and no authentication.
    pub const CLEAR: Self = Self { salt: 0, mac: 0, block: 0 };

    /// The length of the datagram for a plain packet of this length.
    pub const fn datagram(self, plain: usize) -> usize {
        let padded = if self.block == 0 { plain } else { plain + self.block - plain % self.block };
        padded + self.salt + self.mac
    }

    /// The number of user bytes in a fragment whose datagram has at most this length; 0 if there is no room.
    pub const fn fragment(self, datagram: usize) -> usize {
        let mut plain = datagram.saturating_sub(self.salt + self.mac);
        if self.block != 0 {
            plain = (plain - plain % self.block).saturating_sub(1);
        }
        plain.saturating_sub(HEADER)
    }

    /// The fragment size that every path carries; used while the path MTU is unknown.
    pub const fn floor(self) -> usize {
        self.fragment(576 - 40 - 28)
    }
}

/// Length of the IP and UDP headers in front of a datagram to this address.
pub(super) const fn overhead(address: IpAddr) -> usize {
    match address {
        IpAddr::V4(_) => 20 + 8,
        IpAddr::V6(_) => 40 + 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values were obtained from libknet 1.25: floor, IPv4 initially, IPv4 1500, IPv6 1500, IPv4 9000,
    /// loopback.
    #[test]
    fn fragment_sizes_are_those_of_libknet() {
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
    fn sealed_pings_are_as_long_as_those_of_libknet() {
        assert_eq!(Sizes { salt: 16, mac: 32, block: 16 }.datagram(26), 80);
        assert_eq!(Sizes { salt: 0, mac: 32, block: 0 }.datagram(26), 58);
        assert_eq!(Sizes { salt: 16, mac: 64, block: 16 }.datagram(9), 96);
    }
}
