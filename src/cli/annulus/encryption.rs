//! The encryption of the cluster, as the database shows it.

use serde_json::json;

use super::table::{Tint, harmless, tinted};
use crate::cli::failure::Failure;
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::Map;
use crate::config::totem::cipher_and_hash;

/// Cipher and hash, each `none` if unused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Encryption {
    transport: String,
    cipher: String,
    hash: String,
}

impl Encryption {
    /// Reads the settings from the daemon, also from Corosync's.
    ///
    /// # Errors
    /// The daemon does not answer.
    pub(super) fn ask(site: &Site) -> Result<Self, Failure> {
        let mut given = std::collections::BTreeMap::new();
        for key in ["totem.transport", "totem.secauth", "totem.crypto_cipher", "totem.crypto_hash"] {
            let value = site.confdb(Map::Configuration).get_value(key)?;
            if let Some(text) = value.as_ref().and_then(|value| value.as_text()) {
                given.insert(key, harmless(text.as_bytes()));
            }
        }
        Ok(Self::of(|key| given.get(key).cloned()))
    }

    fn of(setting: impl Fn(&str) -> Option<String>) -> Self {
        let transport = setting("totem.transport").unwrap_or_else(|| "knet".to_owned());
        let (cipher, hash) = match transport.as_str() {
            "knet" => cipher_and_hash(setting),
            _ => ("none".to_owned(), "none".to_owned()),
        };
        Self { transport, cipher, hash }
    }

    /// The encryption in one line, for people.
    pub(super) fn text(&self, streams: &Streams<'_>) -> String {
        let Self { transport, cipher, hash } = self;
        let none = |what: &str| tinted(what, Tint::Bad, streams);
        let remedy = if transport == "knet" {
            "set crypto_cipher and crypto_hash".to_owned()
        } else {
            format!("transport {transport} has no encryption, knet has")
        };
        match (cipher.as_str(), hash.as_str()) {
            ("none", "none") => {
                format!("{}: who reaches the network can read and forge messages; {remedy}", none("NONE"))
            }
            ("none", hash) => format!(
                "{}, authenticated with {hash}: who reaches the network can read messages; {remedy}",
                none("NONE")
            ),
            (cipher, hash @ ("md5" | "sha1")) => {
                format!("{cipher}, authenticated with {}", none(&format!("the old {hash}")))
            }
            (cipher, hash) => format!("{cipher}, authenticated with {hash}"),
        }
    }

    /// The encryption as JSON, for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({ "cipher": self.cipher, "hash": self.hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(settings: &[(&str, &str)]) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = Streams::new(&mut out, &mut err);
        let find = |key: &str| {
            let found = settings.iter().find(|(name, _)| key == format!("totem.{name}"));
            found.map(|(_, value)| (*value).to_owned())
        };
        Encryption::of(find).text(&streams)
    }

    #[test]
    fn an_unencrypted_cluster_is_reported_as_readable() {
        for settings in
            [&[][..], &[("transport", "knet")], &[("secauth", "off")], &[("crypto_cipher", "none")]]
        {
            let told = said(settings);
            assert!(told.starts_with("NONE: who reaches the network can read and forge"), "{told}");
        }
        let udp = said(&[("transport", "udp"), ("secauth", "on")]);
        let remedy = "transport udp has no encryption, knet has";
        assert!(udp.starts_with("NONE") && udp.ends_with(remedy), "{udp}");
        assert!(said(&[("crypto_hash", "sha1")]).starts_with("NONE, authenticated with sha1: who reaches"));
        assert_eq!(said(&[("secauth", "on")]), "aes256, authenticated with sha256");
        let old = [("crypto_cipher", "aes128"), ("crypto_hash", "md5")];
        assert_eq!(said(&old), "aes128, authenticated with the old md5");
    }
}
