//! Requirements of encryption: a transport that supports it, and a key that only the nodes know.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::config::error::{ConfigError, reason};
use crate::config::hint::explain;
use crate::config::key::{Key, KeyError, LEAST, MOST};
use crate::config::map::{Map, Origin, Value};
use crate::config::totem::{Crypto, DEFAULT_KEYFILE, TransportKind};
use crate::secret::Secret;

/// Mode bits that let users other than the owner and the group read or change a file.
const OTHERS: u32 = 0o006;

/// Returns the key, if one is needed. Refuses encryption on a transport without it, and a key that is missing or that
/// anybody may read.
///
/// Corosync reads the key first, so that without a key on udpu it asks for one.
pub(super) fn key(map: &Map, crypto: &Crypto, transport: TransportKind) -> Result<Option<Key>, ConfigError> {
    if crypto.is_off() {
        return Ok(None);
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
    let key = read_key(map, crypto).map_err(|error| {
        let hint = error.hint.clone();
        error.hint([hint, Some(wanted)].into_iter().flatten().collect::<Vec<_>>().join("\n"))
    })?;
    Ok(Some(key))
}

/// The settings that ask for encryption, for an error text.
pub(super) fn wanted_by(map: &Map) -> String {
    let silent = matches!(map.entry("totem.crypto_cipher"), Some(entry) if entry.origin == Origin::Default);
    if silent {
        return "corosync.toml says nothing of encryption, which means crypto_cipher = \"aes256\" and crypto_hash = \
                \"sha256\"; crypto_cipher = \"none\" switches it off"
            .to_owned();
    }
    let given = ["totem.secauth", "totem.crypto_cipher", "totem.crypto_hash"].into_iter().filter(|name| {
        let word = map.text(name);
        word.is_some_and(|word| !matches!(word.as_ref(), "off" | "none"))
    });
    let lines: Vec<String> = given.map(|name| explain(map, name)).collect();
    lines.join("\n")
}

fn read_key(map: &Map, crypto: &Crypto) -> Result<Key, ConfigError> {
    if let (None, Some(entry)) = (&crypto.keyfile, map.entry("totem.key")) {
        let refused = |message| {
            let remedy = format!(
                "{}\na key has {LEAST} to {MOST} bytes, its closing NUL counted; better, leave totem.key out and \
                 make a key file on one node: annulus keygen",
                explain(map, "totem.key")
            );
            Err(ConfigError::rule(message).hint(remedy))
        };
        let mut key = match &entry.value {
            Value::Text(text) => text.clone(),
            // A file cannot contain such a value.
            other => other.to_string().into_bytes(),
        };
        key.push(0); // the terminating NUL is part of the key
        return match Key::new(Secret::new(key).bytes()) {
            Ok(key) => Ok(key),
            Err(KeyError::Short(_)) => refused("key is too short"),
            Err(KeyError::Long(_)) => refused("key is too long"),
        };
    }
    key_of_file(Path::new(crypto.keyfile.as_deref().unwrap_or(DEFAULT_KEYFILE)), map)
}

/// The first 4096 bytes of a file as a key.
fn key_of_file(path: &Path, map: &Map) -> Result<Key, ConfigError> {
    let shown = path.display();
    let place = || explain(map, "totem.keyfile");
    let make = |force: &str| {
        let output =
            if path == Path::new(DEFAULT_KEYFILE) { String::new() } else { format!(" --output {shown}") };
        format!("make one on one node and copy it to the others: annulus keygen{force}{output}")
    };
    let refused = |what: &str, why: std::io::Error| {
        let remedy = if why.kind() == std::io::ErrorKind::NotFound {
            format!("\n{}", make(""))
        } else {
            String::new()
        };
        ConfigError::rule(format!("Could not {what} {shown}: {}", reason(&why))).hint(place() + &remedy)
    };
    // Opening a pipe without a writer then gives an empty file instead of blocking.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(|why| refused("open", why))?;
    let about = file.metadata().map_err(|why| refused("read", why))?;
    let mut key = Vec::with_capacity(MOST);
    file.take(MOST as u64).read_to_end(&mut key).map_err(|why| refused("read", why))?;
    let key = Key::new(Secret::new(key).bytes()).map_err(|error| {
        let (KeyError::Short(bytes) | KeyError::Long(bytes)) = error;
        ConfigError::rule(format!(
            "Could only read {} bits of minimum {} bits from {shown}.",
            bytes * 8,
            LEAST * 8
        ))
        .hint(format!("{}\n{}", place(), make(" --force")))
    })?;
    // Corosync does not check the mode.
    if about.mode() & OTHERS != 0 {
        let message = format!(
            "Every user of this host can read or change the key file {shown} (mode {:04o}).",
            about.mode() & 0o7777
        );
        return Err(ConfigError::rule(message).hint(format!(
            "{}\nchmod 400 {shown}; and if somebody may have read it, {}",
            place(),
            make(" --force")
        )));
    }
    Ok(key)
}
