//! The key of one direction of a TLS 1.3 connection, and the numbers of its records.

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305};
use ring::aead::{LessSafeKey, Nonce, UnboundKey};
use rustls::ConnectionTrafficSecrets;

/// Records that one key may protect before a new one is begun: 2^24 of AES-GCM (RFC 8446, 5.5);
/// those of `ChaCha20` could be more, but a new key in so many costs nothing.
pub(super) const RECORDS_A_KEY: u64 = 1 << 24;
/// Bytes that a record is longer than what it protects: the authentication tag.
pub(super) const TAG_LEN: usize = 16;

/// A key that numbers what it protects.
pub(super) struct Key {
    aead: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Key {
    /// From what rustls hands out, and the number of the next record. `None` where it is of a
    /// cipher that TLS 1.3 with ring does not have.
    pub(super) fn new(secrets: &ConnectionTrafficSecrets, sequence: u64) -> Option<Self> {
        let (algorithm, key, iv): (&'static Algorithm, _, _) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return None,
        };
        Some(Self {
            aead: LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?),
            iv: iv.as_ref().try_into().ok()?,
            sequence,
        })
    }

    /// The number of the next record.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Encrypts in place and returns the tag. `None` where the cipher refuses the length.
    #[inline]
    pub(super) fn seal(&mut self, header: &[u8], content: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let nonce = self.next_nonce();
        let sealed = self
            .aead
            .seal_in_place_separate_tag(nonce, Aad::from(header), content);
        sealed.ok()?.as_ref().try_into().ok()
    }

    /// Decrypts in place. `None` where the bytes are not what the peer has sent.
    #[inline]
    pub(super) fn open<'a>(&mut self, header: &[u8], sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let nonce = self.next_nonce();
        self.aead
            .open_in_place(nonce, Aad::from(header), sealed)
            .ok()
    }

    /// RFC 8446, 5.3: the number of the record, padded to the left, exclusive or the vector.
    #[inline]
    fn next_nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key of record {}", self.sequence)
    }
}
