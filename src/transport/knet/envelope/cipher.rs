//! AES in CBC mode. The key schedule is computed once, and nothing is allocated for each packet.

use aes::{Aes128Dec, Aes128Enc, Aes192Dec, Aes192Enc, Aes256Dec, Aes256Enc};
use cbc::cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, BlockSizeUser,
    InnerIvInit, KeyInit, consts::U16,
};

use super::suite;

/// Bytes of a cipher block and of an initialisation vector.
pub(super) const BLOCK: usize = 16;

/// A cipher with its key, for both directions.
pub(super) enum Aes {
    Of128(Box<(Aes128Enc, Aes128Dec)>),
    Of192(Box<(Aes192Enc, Aes192Dec)>),
    Of256(Box<(Aes256Enc, Aes256Dec)>),
}

impl Aes {
    /// Creates a cipher from the first bytes of a key, as many as it needs. `None` if `cipher` is
    /// [`suite::Cipher::None`].
    pub(super) fn new(cipher: suite::Cipher, key: &[u8]) -> Option<Self> {
        fn both<E: KeyInit, D: KeyInit>(key: &[u8], length: usize) -> Option<Box<(E, D)>> {
            let key = key.get(..length)?;
            Some(Box::new((E::new_from_slice(key).ok()?, D::new_from_slice(key).ok()?)))
        }
        match cipher {
            suite::Cipher::None => None,
            suite::Cipher::Aes128 => both(key, 16).map(Self::Of128),
            suite::Cipher::Aes192 => both(key, 24).map(Self::Of192),
            suite::Cipher::Aes256 => both(key, 32).map(Self::Of256),
        }
    }

    /// Encrypts whole blocks in place.
    pub(super) fn encrypt(&self, iv: &[u8; BLOCK], blocks: &mut [u8]) {
        match self {
            Self::Of128(both) => encrypt(&both.0, iv, blocks),
            Self::Of192(both) => encrypt(&both.0, iv, blocks),
            Self::Of256(both) => encrypt(&both.0, iv, blocks),
        }
    }

    /// Decrypts whole blocks in place.
    pub(super) fn decrypt(&self, iv: &[u8; BLOCK], blocks: &mut [u8]) {
        match self {
            Self::Of128(both) => decrypt(&both.1, iv, blocks),
            Self::Of192(both) => decrypt(&both.1, iv, blocks),
            Self::Of256(both) => decrypt(&both.1, iv, blocks),
        }
    }
}

fn encrypt<C>(cipher: &C, iv: &[u8; BLOCK], blocks: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(blocks);
    debug_assert!(rest.is_empty(), "padded");
    cbc::Encryptor::inner_iv_init(cipher, iv.into()).encrypt_blocks(blocks);
}

fn decrypt<C>(cipher: &C, iv: &[u8; BLOCK], blocks: &mut [u8])
where
    C: BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>,
{
    let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(blocks);
    debug_assert!(rest.is_empty(), "whole blocks");
    cbc::Decryptor::inner_iv_init(cipher, iv.into()).decrypt_blocks(blocks);
}
