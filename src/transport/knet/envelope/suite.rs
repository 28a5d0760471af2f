//! The ciphers and hashes of Corosync's knet, with their names in its configuration.

use crate::transport::knet::Sizes;

/// How packets are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// Packets are not encrypted.
    #[default]
    None,
    /// AES in CBC mode with a key of 16 bytes.
    Aes128,
    /// AES in CBC mode with a key of 24 bytes.
    Aes192,
    /// AES in CBC mode with a key of 32 bytes.
    Aes256,
}

/// How packets are authenticated: HMAC with this hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Hash {
    /// Packets are not authenticated.
    #[default]
    None,
    /// HMAC-MD5; weak, for old clusters only.
    Md5,
    /// HMAC-SHA-1; weak, for old clusters only.
    Sha1,
    /// HMAC-SHA-256, with a code of 32 bytes.
    Sha256,
    /// HMAC-SHA-384, with a code of 48 bytes.
    Sha384,
    /// HMAC-SHA-512, with a code of 64 bytes.
    Sha512,
}

impl Cipher {
    /// The cipher with this name in the configuration. Source: corosync.conf(5), `crypto_cipher`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "aes128" => Self::Aes128,
            "aes192" => Self::Aes192,
            "aes256" => Self::Aes256,
            _ => return None,
        })
    }

    /// The cipher's name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Aes128 => "aes128",
            Self::Aes192 => "aes192",
            Self::Aes256 => "aes256",
        }
    }
}

impl Hash {
    /// The hash with this name in the configuration. Source: corosync.conf(5), `crypto_hash`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    /// The hash's name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the authentication code in bytes.
    pub const fn length(self) -> usize {
        match self {
            Self::None => 0,
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A cipher and a hash, with which packets are sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Suite {
    /// The cipher. A cipher without a hash is refused.
    pub cipher: Cipher,
    /// The hash with which packets are authenticated.
    pub hash: Hash,
}

impl Suite {
    /// No encryption and no authentication; needs no key.
    pub const CLEAR: Self = Self { cipher: Cipher::None, hash: Hash::None };

    /// Whether packets are neither encrypted nor authenticated, so that no key is needed.
    pub fn is_clear(self) -> bool {
        self == Self::CLEAR
    }

    /// What sealing with this suite adds to a packet.
    pub const fn sizes(self) -> Sizes {
        let mac = self.hash.length();
        match self.cipher {
            Cipher::None => Sizes { salt: 0, mac, block: 0 },
            Cipher::Aes128 | Cipher::Aes192 | Cipher::Aes256 => Sizes { salt: 16, mac, block: 16 },
        }
    }
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.cipher.name(), self.hash.name())
    }
}
