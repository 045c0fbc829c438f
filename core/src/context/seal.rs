//! Sealing: AES-256-GCM (NIST SP 800-38D) around what a store keeps.
//!
//! Record: one version byte, 4 bytes of key id, 12 bytes of nonce, ciphertext and tag. The app and
//! the `jti` are associated data, so a record cannot be moved to another token.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::ContextKey;
use crate::entropy::{self, Entropy, EntropyUnavailable};

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// A seal key with its id. Random 96-bit nonces keep one key good for 2^32 records.
pub struct Sealer {
    id: [u8; KEY_ID_LEN],
    key: LessSafeKey,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({})", entropy::hex(&self.id))
    }
}

impl Sealer {
    /// Reads a key: 32 random bytes in unpadded base64url, as `sidegate keys generate seal` prints.
    ///
    /// # Errors
    /// A message that says the rule, never the key.
    pub fn from_text(text: &SecretString) -> Result<Self, &'static str> {
        const RULE: &str = "must be 32 bytes in base64url (43 characters), as `sidegate keys generate seal` prints";
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.expose_secret()).map_err(|_| RULE)?);
        if bytes.len() != 32 {
            return Err(RULE);
        }
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&digest::digest(&digest::SHA256, &bytes).as_ref()[..KEY_ID_LEN]);
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| RULE)?;
        Ok(Self { id, key: LessSafeKey::new(key) })
    }

    /// Seals `plaintext` for the token of `key`.
    ///
    /// # Errors
    /// [`EntropyUnavailable`] when there is no nonce to be had.
    pub fn seal(
        &self,
        key: ContextKey<'_>,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, EntropyUnavailable> {
        let nonce: [u8; NONCE_LEN] = entropy::bytes(entropy)?;
        let mut record = Vec::with_capacity(HEADER_LEN + plaintext.len() + AES_256_GCM.tag_len());
        record.push(VERSION);
        record.extend_from_slice(&self.id);
        record.extend_from_slice(&nonce);
        record.extend_from_slice(plaintext);
        let aad = Aad::from(key.associated_data());
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut record[HEADER_LEN..])
            .map_err(|_| EntropyUnavailable)?;
        record.extend_from_slice(tag.as_ref());
        Ok(record)
    }

    /// Opens a record of the token of `key`; `None` if it is another's, damaged, or sealed with another key.
    #[must_use]
    pub fn open(&self, key: ContextKey<'_>, record: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (header, sealed) = record.split_at_checked(HEADER_LEN)?;
        let (version, rest) = header.split_first()?;
        let (id, nonce) = rest.split_at_checked(KEY_ID_LEN)?;
        if *version != VERSION || id != self.id {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let length = self.key.open_in_place(nonce, Aad::from(key.associated_data()), &mut buffer).ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }
}

/// A new key, as text: 32 random bytes in unpadded base64url. Fit for sealing and for HS256.
///
/// # Errors
/// [`EntropyUnavailable`].
pub fn new_key(entropy: &dyn Entropy) -> Result<SecretString, EntropyUnavailable> {
    let random = Zeroizing::new(entropy::bytes::<32>(entropy)?);
    Ok(URL_SAFE_NO_PAD.encode(random.as_slice()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AppId, TokenId};

    struct Counting;
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
            bytes.fill(7);
            Ok(())
        }
    }

    fn sealer(first: &str) -> Sealer {
        Sealer::from_text(&format!("{first}{}", "A".repeat(42)).into()).expect("a key")
    }

    #[test]
    fn a_record_opens_for_its_owner_and_key_only() {
        let (app, token) = (AppId::parse("wapp_1").expect("id"), TokenId::parse("t1").expect("id"));
        let key = ContextKey { app: &app, token: &token };
        let record = sealer("A").seal(key, b"plain", &Counting).expect("sealed");
        assert_eq!(sealer("A").open(key, &record).as_deref().map(Vec::as_slice), Some(&b"plain"[..]));
        let other = TokenId::parse("t2").expect("id");
        assert!(sealer("A").open(ContextKey { token: &other, ..key }, &record).is_none());
        let other = AppId::parse("wapp_2").expect("id");
        assert!(sealer("A").open(ContextKey { app: &other, ..key }, &record).is_none());
        assert!(sealer("B").open(key, &record).is_none());
        for index in 0..record.len() {
            let mut damaged = record.clone();
            damaged[index] ^= 1;
            assert!(sealer("A").open(key, &damaged).is_none(), "byte {index}");
        }
        for length in 0..record.len() {
            assert!(sealer("A").open(key, &record[..length]).is_none(), "cut at {length}");
        }
    }

    #[test]
    fn keys_of_another_shape_are_refused() {
        for bad in ["", "short", &"A".repeat(44), "****"] {
            assert!(Sealer::from_text(&bad.into()).is_err(), "{bad}");
        }
    }
}
