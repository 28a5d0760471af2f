//! The transports of the lab, and their notation in one word: `udp`, `udpu`, `knet2+aes256+sha256+active`.

use std::fmt;
use std::str::FromStr;

/// The number of networks that each host is on, and so the largest number of links.
pub(crate) const NETWORKS: usize = 2;

/// How the daemons of the hosts communicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// The ring's datagrams are multicast by UDP.
    Udp,
    /// The ring's datagrams are sent to each member by UDP.
    Udpu,
    /// Links to each other host, encrypted or clear.
    Knet(Knet),
}

impl Transport {
    /// The most common knet configuration: two links, encrypted.
    pub(crate) const SEALED: Self = Self::Knet(Knet { links: 2, crypto: Some(Crypto::USUAL), mode: None });

    /// Its name in corosync.conf.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Udpu => "udpu",
            Self::Knet(_) => "knet",
        }
    }

    /// A transport to change to: one that differs from this one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Udp | Self::Knet(_) => Self::Udpu,
            Self::Udpu => Self::Udp,
        }
    }

    /// The number of links.
    pub(crate) const fn links(self) -> usize {
        match self {
            Self::Udp | Self::Udpu => 1,
            Self::Knet(knet) => knet.links,
        }
    }

    /// Cipher and hash, if it is encrypted.
    pub(crate) const fn crypto(self) -> Option<Crypto> {
        match self {
            Self::Udp | Self::Udpu => None,
            Self::Knet(knet) => knet.crypto,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        let Self::Knet(knet) = self else { return Ok(()) };
        if knet.links > 1 {
            write!(f, "{}", knet.links)?;
        }
        if let Some(crypto) = knet.crypto {
            write!(f, "+{}+{}", crypto.cipher, crypto.hash)?;
        }
        knet.mode.map_or(Ok(()), |mode| write!(f, "+{mode}"))
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "udp" => return Ok(Self::Udp),
            "udpu" => return Ok(Self::Udpu),
            _ => {}
        }
        let wrong = || {
            format!(
                "{text:?} is no transport: udp, udpu, or knet, how many links if not one, cipher and hash if any, and \
                 link mode if not the default, as in knet2+aes256+sha256+active"
            )
        };
        let mut words = text.split('+').peekable();
        let links = match words.next().and_then(|word| word.strip_prefix("knet")) {
            Some("") => 1,
            Some(number) => {
                number.parse().ok().filter(|links| (2..=NETWORKS).contains(links)).ok_or_else(wrong)?
            }
            None => return Err(wrong()),
        };
        let known = |list: &'static [&'static str], word: &str| list.iter().copied().find(|one| *one == word);
        let mut crypto = None;
        if let Some(cipher) = words.peek().and_then(|word| known(&CIPHERS, word)) {
            words.next();
            let hash = words.next().and_then(|word| known(&HASHES, word)).ok_or_else(wrong)?;
            crypto = Some(Crypto { cipher, hash });
        }
        let mode = match words.next() {
            Some(word) => Some(known(&MODES, word).ok_or_else(wrong)?),
            None => None,
        };
        if words.next().is_some() {
            return Err(wrong());
        }
        Ok(Self::Knet(Knet { links, crypto, mode }))
    }
}

/// The configurable settings of knet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Knet {
    /// Number of links; link L of each host is on network L.
    pub(crate) links: usize,
    /// Cipher and hash; `None` if the links are clear.
    pub(crate) crypto: Option<Crypto>,
    /// `link_mode`; `None` if it is not configured.
    pub(crate) mode: Option<&'static str>,
}

/// A cipher and a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crypto {
    /// The value of `crypto_cipher`.
    pub(crate) cipher: &'static str,
    /// The value of `crypto_hash`.
    pub(crate) hash: &'static str,
}

impl Crypto {
    /// The algorithms that pcs and crmsh configure.
    pub(crate) const USUAL: Self = Self { cipher: "aes256", hash: "sha256" };
}

/// All ciphers that corosync.conf can name.
pub(crate) const CIPHERS: [&str; 4] = ["none", "aes128", "aes192", "aes256"];
/// All hashes except `none`, which means clear and is not written.
pub(crate) const HASHES: [&str; 5] = ["md5", "sha1", "sha256", "sha384", "sha512"];
/// All modes of using more than one link.
pub(crate) const MODES: [&str; 3] = ["passive", "active", "rr"];

#[test]
fn transport_names_are_parsed_and_written() {
    for word in ["udp", "udpu", "knet", "knet2", "knet+aes256+sha256", "knet2+none+md5+rr", "knet2+passive"] {
        let transport: Transport = word.parse().unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(transport.to_string(), word);
    }
    assert_eq!(Transport::SEALED.to_string(), "knet2+aes256+sha256");
    for wrong in
        ["", "knet0", "knet1", "knet9", "knet+aes256", "knet+sha256", "knet2+active+rr", "udpu+active"]
    {
        assert!(wrong.parse::<Transport>().is_err(), "{wrong}");
    }
}
