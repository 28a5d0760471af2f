//! The next key of this node's transport: made, stored beside the key in use, accepted for incoming packets, then
//! adopted.

use crate::config::key::{Key, USUAL};
use crate::ids::NodeId;
use crate::transport::knet::Crypto;
use crate::transport::knet::envelope::{Cipher, Envelope, Suite};
use crate::transport::{self, Transport};

/// The state of a key change; see the module. The key in use is part of the transport's settings.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// A key that is being stored.
    storing: Option<Key>,
    /// A key stored beside the one in use. Packets encrypted with it are accepted.
    staged: Option<Key>,
}

impl Keys {
    /// Takes over a key that lay beside the one in use when the daemon started.
    pub(super) fn found(&mut self, key: Key, crypto: Option<&Crypto>, transport: &mut Transport) {
        if crypto.is_some_and(|crypto| crypto.key == key) {
            return;
        }
        tracing::warn!(
            target: "annulus::node", key = %key.fingerprint(),
            "a new key lies beside the one in use: a change of the key was not finished. This node goes over to it as \
             soon as it hears another that uses it"
        );
        if let Err(why) = self.let_in(key, crypto, transport) {
            tracing::error!(target: "annulus::node", "the new key is not used: {why}");
        }
    }

    /// Makes a new key for all nodes. Returns it with the fingerprint of the key that it is to replace.
    ///
    /// # Errors
    /// A text: why no key can be made now.
    pub(super) fn make(
        crypto: Option<&Crypto>,
        hosts: &[NodeId],
        members: &[NodeId],
    ) -> Result<(Key, u64), String> {
        let in_use = rotatable(crypto, hosts, members)?;
        let mut bytes = zeroize::Zeroizing::new([0; USUAL]);
        transport::random(bytes.as_mut_slice())
            .map_err(|error| format!("no random bytes from the kernel: {error}"))?;
        let key = Key::new(bytes.as_slice()).map_err(|error| error.to_string())?;
        Ok((key, in_use.key.fingerprint().0))
    }

    /// Handles a key that another node offers in place of the one with this fingerprint. `Ok`: it is to be stored.
    ///
    /// # Errors
    /// A text: why the key cannot be used here.
    pub(super) fn offered(
        &mut self,
        key: Key,
        in_use: u64,
        crypto: Option<&Crypto>,
        hosts: &[NodeId],
        members: &[NodeId],
    ) -> Result<(), String> {
        let own = rotatable(crypto, hosts, members)?.key.fingerprint();
        if own.0 != in_use {
            return Err(format!(
                "it uses the key {own}, and the node that offers a new one the key {in_use:016x}: the last change of the \
                 key is not finished; give all nodes the same key file and reload"
            ));
        }
        self.storing = Some(key);
        Ok(())
    }

    /// Handles the result of storing this key. `None`: another key is awaited, or none.
    ///
    /// # Errors
    /// A text: why the key cannot be used.
    pub(super) fn stored(
        &mut self,
        key: &Key,
        outcome: Result<(), String>,
        crypto: Option<&Crypto>,
        transport: &mut Transport,
    ) -> Option<Result<(), String>> {
        let key = self.storing.take_if(|storing| storing == key)?;
        Some(outcome.and_then(|()| self.let_in(key, crypto, transport)))
    }

    /// Makes the stored key the one in use. Returns `false` if there is none.
    pub(super) fn keep(&mut self, crypto: &mut Crypto) -> bool {
        match self.staged.take() {
            Some(key) => {
                crypto.key = key;
                true
            }
            None => false,
        }
    }

    /// Gives up the stored key. Returns whether to remove it from disk, which is so unless it is in use already
    /// because another node uses it.
    pub(super) fn discard(&mut self, transport: &mut Transport) -> bool {
        self.storing = None;
        if self.is_followed(transport) {
            return false;
        }
        if self.staged.take().is_some() {
            transport.envelope(Envelope::abandon);
        }
        true
    }

    /// Gives up the stored key because the transport was prepared for another one from the configuration. Returns
    /// whether there was one.
    pub(super) fn superseded(&mut self) -> bool {
        let storing = self.storing.take().is_some();
        self.staged.take().is_some() || storing
    }

    /// Whether a stored key is in use because another node uses it.
    pub(super) fn is_followed(&self, transport: &mut Transport) -> bool {
        self.staged.is_some() && transport.envelope(|envelope| envelope.is_prepared()) == Some(false)
    }

    /// The fingerprints of the key in use and of the one beside it; cipher and hash.
    pub(super) fn seen(&self, crypto: Option<&Crypto>) -> (u64, Option<u64>, String) {
        let next = self.staged.as_ref().map(|key| key.fingerprint().0);
        crypto.map_or_else(
            || (0, next, Suite::CLEAR.to_string()),
            |crypto| (crypto.key.fingerprint().0, next, crypto.suite.to_string()),
        )
    }

    fn let_in(&mut self, key: Key, crypto: Option<&Crypto>, transport: &mut Transport) -> Result<(), String> {
        let Some(crypto) = crypto else { return Err("nothing is encrypted".to_owned()) };
        transport
            .envelope(|envelope| envelope.prepare(crypto.suite, Some(&key)))
            .ok_or_else(|| "this transport has no encryption".to_owned())?
            .map_err(|error| error.to_string())?;
        self.staged = Some(key);
        Ok(())
    }
}

/// The encryption in use, if its key may be replaced through the ring; otherwise a text why not.
fn rotatable<'a>(
    crypto: Option<&'a Crypto>,
    hosts: &[NodeId],
    members: &[NodeId],
) -> Result<&'a Crypto, String> {
    let Some(crypto) = crypto.filter(|crypto| crypto.suite.cipher != Cipher::None) else {
        return Err("packets are not encrypted, so that everybody could read a new key on its way. Give all nodes a key \
                    file by hand, set crypto_cipher and crypto_hash, and reload"
            .to_owned());
    };
    let away: Vec<String> =
        hosts.iter().filter(|host| !members.contains(host)).map(ToString::to_string).collect();
    if !away.is_empty() {
        return Err(format!(
            "these nodes of the node list are not on the ring and would be left with the old key: {}. Start them, or \
             take them out of the node list and reload",
            away.join(" ")
        ));
    }
    Ok(crypto)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::knet::envelope::Hash;

    fn node(id: u32) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn crypto(cipher: Cipher) -> Crypto {
        Crypto { suite: Suite { cipher, hash: Hash::Sha256 }, key: Key::new(&[3; 128]).unwrap() }
    }

    #[test]
    fn a_key_is_made_only_for_an_encrypted_ring_of_all_hosts() {
        let both = [node(1), node(2)];
        for (crypto, members, why) in [
            (None, &both[..], "not encrypted"),
            (Some(crypto(Cipher::None)), &both, "not encrypted"),
            (Some(crypto(Cipher::Aes256)), &both[..1], "left with the old key: 2. Start them"),
        ] {
            let told = Keys::make(crypto.as_ref(), &both, members).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn every_new_key_is_different() {
        let old = crypto(Cipher::Aes256);
        let make = || Keys::make(Some(&old), &[node(1)], &[node(1)]).unwrap();
        let (key, in_use) = make();
        assert_eq!(in_use, old.key.fingerprint().0);
        assert_eq!(key.bytes().len(), USUAL);
        assert_ne!(key, make().0);
    }

    #[test]
    fn an_offer_to_replace_a_key_not_in_use_is_refused() {
        let old = crypto(Cipher::Aes256);
        let new = Key::new(&[4; 128]).unwrap();
        let mut keys = Keys::default();
        let mut offered = |print| keys.offered(new.clone(), print, Some(&old), &[node(1)], &[node(1)]);
        let why = offered(7).unwrap_err();
        assert!(why.contains("last change of the key is not finished"), "{why}");
        offered(old.key.fingerprint().0).unwrap();
    }
}
