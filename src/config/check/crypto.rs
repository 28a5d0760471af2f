//! What encryption needs: a transport that has it, and a key. Nothing of the key is kept.

use std::fs::File;
use std::io::Read;

use crate::config::error::{ConfigError, reason};
use crate::config::hint::explain;
use crate::config::map::Map;
use crate::config::totem::{Crypto, TransportKind};

/// Bytes of a key. Source: corosync `include/corosync/totem/totem.h`.
const LEAST: usize = 128;
const MOST: usize = 4096;

/// Refuses encryption on a transport that has none, and a key that is not there.
///
/// Corosync looks at the key first, so that who has none on udpu is told to make one.
pub(super) fn check(map: &Map, crypto: &Crypto, transport: TransportKind) -> Result<(), ConfigError> {
    if crypto.cipher == "none" && crypto.hash == "none" {
        return Ok(());
    }
    let wanted = wanted_by(map);
    if transport != TransportKind::Knet {
        let message = "crypto_cipher & crypto_hash are only valid for the Knet transport.";
        return Err(ConfigError::in_config(message).hint(format!(
            "{wanted}\n{}\ntransport {} has no encryption, everything is sent in the clear: set secauth to off, \
             crypto_cipher and crypto_hash to none",
            explain(map, "totem.transport"),
            transport.name()
        )));
    }
    check_key(map, crypto).map_err(|error| {
        let hint = error.hint.clone();
        error.hint([hint, Some(wanted)].into_iter().flatten().collect::<Vec<_>>().join("\n"))
    })
}

/// The settings that ask for encryption.
pub(super) fn wanted_by(map: &Map) -> String {
    let given = ["totem.secauth", "totem.crypto_cipher", "totem.crypto_hash"].into_iter().filter(|name| {
        let word = map.text(name);
        word.is_some_and(|word| !matches!(word.as_ref(), "off" | "none"))
    });
    let lines: Vec<String> = given.map(|name| explain(map, name)).collect();
    lines.join("\n")
}

fn check_key(map: &Map, crypto: &Crypto) -> Result<(), ConfigError> {
    if let (None, Some(key)) = (&crypto.keyfile, &crypto.key) {
        let refused = |message| Err(ConfigError::rule(message).hint(explain(map, "totem.key")));
        // The closing NUL counts.
        return match key.len() + 1 {
            0..LEAST => refused("key is too short"),
            LEAST..=MOST => Ok(()),
            _ => refused("key is too long"),
        };
    }
    let path = crypto.keyfile.as_deref().unwrap_or("/etc/corosync/authkey");
    let place = || explain(map, "totem.keyfile");
    let refused = |what: &str, why: std::io::Error| {
        ConfigError::rule(format!("Could not {what} {path}: {}", reason(&why))).hint(place())
    };
    let file = File::open(path).map_err(|why| refused("open", why))?;
    let mut key = Vec::new();
    file.take(MOST as u64).read_to_end(&mut key).map_err(|why| refused("read", why))?;
    if key.len() < LEAST {
        return Err(ConfigError::rule(format!(
            "Could only read {} bits of minimum {} bits from {path}.",
            key.len() * 8,
            LEAST * 8
        ))
        .hint(place()));
    }
    Ok(())
}
