//! Sealing: AES-256-GCM (NIST SP 800-38D) around what a store keeps.
//!
//! Record: one version byte, 4 bytes of key id, 12 bytes of nonce, ciphertext and tag. What it is
//! sealed for is associated data, so a record cannot be moved to another token or app.
//!
//! Keys change while records live: the first key of a [`Sealer`] seals, all of them open, and a
//! record says by its key id which one it needs.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::ContextKey;
use crate::entropy::{self, Entropy, EntropyUnavailable};
use crate::id::AppId;
use crate::session::SessionKey;

const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// What a record is sealed for: it opens for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedFor<'a> {
    /// The env and secrets of a token.
    Context(ContextKey<'a>),
    /// What a registry keeps of an app.
    App(&'a AppId),
    /// What a chat session is about.
    Session(SessionKey<'a>),
    /// What a visitor said of itself, by the app and the id under which that is kept.
    Contact {
        /// The app.
        app: &'a AppId,
        /// The contact's id.
        id: &'a str,
    },
}

impl<'a> From<SessionKey<'a>> for SealedFor<'a> {
    fn from(key: SessionKey<'a>) -> Self {
        Self::Session(key)
    }
}

impl<'a> From<ContextKey<'a>> for SealedFor<'a> {
    fn from(key: ContextKey<'a>) -> Self {
        Self::Context(key)
    }
}

impl SealedFor<'_> {
    /// No id is empty or can hold a NUL. So a context's pair reads in one way only, and what begins
    /// with a NUL is of another kind.
    fn associated_data(self) -> Vec<u8> {
        match self {
            Self::Context(key) => [key.app.as_str().as_bytes(), b"\0", key.token.as_str().as_bytes()].concat(),
            Self::Contact { app, id } => [b"\0contact\0", app.as_str().as_bytes(), b"\0", id.as_bytes()].concat(),
            Self::App(app) => [b"\0app\0", app.as_str().as_bytes()].concat(),
            Self::Session(key) => {
                [b"\0session\0", key.app.as_str().as_bytes(), b"\0", key.session.as_str().as_bytes()].concat()
            }
        }
    }
}

/// The seal keys: the first seals, all open.
pub struct Sealer {
    first: Key,
    others: Vec<Key>,
}

/// A seal key with its id: the first bytes of its SHA-256. Random 96-bit nonces keep one key good
/// for 2^32 records.
struct Key {
    id: KeyId,
    key: LessSafeKey,
}

type KeyId = [u8; KEY_ID_LEN];

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys().map(|key| entropy::hex(&key.id))).finish()
    }
}

impl Key {
    fn from_text(text: &SecretString) -> Result<Self, &'static str> {
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
}

/// The key id of a record, and what comes after it: nonce, ciphertext and tag. `None` if it is
/// none of ours.
fn split(record: &[u8]) -> Option<(KeyId, &[u8], &[u8])> {
    let (header, sealed) = record.split_first_chunk::<HEADER_LEN>()?;
    let (version, rest) = header.split_first()?;
    let (id, nonce) = rest.split_first_chunk::<KEY_ID_LEN>()?;
    (*version == VERSION).then_some((*id, nonce, sealed))
}

impl Sealer {
    /// Reads the key that seals: 32 random bytes in unpadded base64url, as `sidegate keys generate
    /// seal` prints.
    ///
    /// # Errors
    /// A message that says the rule, never the key.
    pub fn from_text(text: &SecretString) -> Result<Self, &'static str> {
        Ok(Self { first: Key::from_text(text)?, others: Vec::new() })
    }

    /// Adds a key that only opens.
    ///
    /// # Errors
    /// As [`Self::from_text`]; and if a key of this id is there already, because a record could then
    /// not say which of the two it needs.
    pub fn also_opens(&mut self, text: &SecretString) -> Result<(), &'static str> {
        let key = Key::from_text(text)?;
        if self.keys().any(|known| known.id == key.id) {
            return Err("has the id of another key; generate a new one");
        }
        self.others.push(key);
        Ok(())
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Whether a record names the key that seals. Says nothing of whether it can be opened.
    #[must_use]
    pub fn is_sealed_with_first(&self, record: &[u8]) -> bool {
        split(record).is_some_and(|(id, ..)| id == self.first.id)
    }

    /// Seals `plaintext` for `owner`, with the first key.
    ///
    /// # Errors
    /// [`EntropyUnavailable`] when there is no nonce to be had.
    pub fn seal<'a>(
        &self,
        owner: impl Into<SealedFor<'a>>,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, EntropyUnavailable> {
        let nonce: [u8; NONCE_LEN] = entropy::bytes(entropy)?;
        let mut record = Vec::with_capacity(HEADER_LEN + plaintext.len() + AES_256_GCM.tag_len());
        record.push(VERSION);
        record.extend_from_slice(&self.first.id);
        record.extend_from_slice(&nonce);
        record.extend_from_slice(plaintext);
        let aad = Aad::from(owner.into().associated_data());
        let tag = self
            .first
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut record[HEADER_LEN..])
            .map_err(|_| EntropyUnavailable)?;
        record.extend_from_slice(tag.as_ref());
        Ok(record)
    }

    /// Opens a record of `owner`; `None` if it is another's, damaged, or sealed with a key that is not
    /// here.
    #[must_use]
    pub fn open<'a>(&self, owner: impl Into<SealedFor<'a>>, record: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (id, nonce, sealed) = split(record)?;
        let opener = self.keys().find(|known| known.id == id)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(owner.into().associated_data());
        let length = opener.key.open_in_place(nonce, aad, &mut buffer).ok()?.len();
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
    use proptest::prelude::*;

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

    /// What is sealed already must open for ever.
    #[test]
    fn what_records_are_sealed_for_is_written_as_ever_and_in_one_way_only() {
        let (app, token) = (AppId::parse("app").expect("id"), TokenId::parse("t1").expect("id"));
        assert_eq!(SealedFor::from(ContextKey { app: &app, token: &token }).associated_data(), b"app\0t1");
        assert_eq!(SealedFor::App(&app).associated_data(), b"\0app\0app");
    }

    #[test]
    fn an_apps_record_opens_for_that_app_only() {
        let (app, other) = (AppId::parse("app").expect("id"), AppId::parse("other").expect("id"));
        let record = sealer("A").seal(SealedFor::App(&app), b"plain", &Counting).expect("sealed");
        let open = |owner: SealedFor<'_>| sealer("A").open(owner, &record).is_some();
        assert!(open(SealedFor::App(&app)) && !open(SealedFor::App(&other)));
        for token in ["app", "other"] {
            let token = TokenId::parse(token).expect("id");
            assert!(!open(ContextKey { app: &app, token: &token }.into()));
        }
    }

    #[test]
    fn keys_of_another_shape_are_refused() {
        for bad in ["", "short", &"A".repeat(44), "****"] {
            assert!(Sealer::from_text(&bad.into()).is_err(), "{bad}");
            assert!(sealer("A").also_opens(&bad.into()).is_err(), "{bad}");
        }
    }

    fn text(random: [u8; 32]) -> SecretString {
        URL_SAFE_NO_PAD.encode(random).into()
    }

    /// A ring of these keys, in order.
    fn ring(keys: &[[u8; 32]]) -> Sealer {
        let mut keys = keys.iter().map(|key| text(*key));
        let mut ring = Sealer::from_text(&keys.next().expect("a key")).expect("a key");
        keys.for_each(|key| ring.also_opens(&key).expect("a key"));
        ring
    }

    #[test]
    fn two_keys_of_one_id_are_refused() {
        let (one, other) = (*b"two seal keys with one id 024756", *b"two seal keys with one id 074441");
        let id = |key| Key::from_text(&text(key)).expect("a key").id;
        assert_eq!(id(one), id(other), "found by search");
        for key in [one, other] {
            assert!(ring(&[one]).also_opens(&text(key)).is_err());
            assert!(ring(&[[7; 32], one]).also_opens(&text(key)).is_err());
        }
    }

    #[test]
    fn debug_shows_ids_and_no_key() {
        let shown = format!("{:?}", ring(&[[0; 32], *b"two seal keys with one id 024756"]));
        // The second: `printf 'two seal keys with one id 024756' | sha256sum | head -c 8`.
        assert_eq!(shown, "[\"66687aad\", \"af9b7067\"]");
    }

    proptest! {
        #[test]
        fn a_ring_opens_what_any_of_its_keys_sealed_and_nothing_else(
            keys in proptest::collection::btree_set(any::<[u8; 32]>(), 2..6),
            plaintext in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let (app, token) = (AppId::parse("wapp_1").expect("id"), TokenId::parse("t1").expect("id"));
            let owner = ContextKey { app: &app, token: &token };
            let mut keys: Vec<_> = keys.into_iter().collect();
            let unknown = keys.pop().expect("two");
            let all = ring(&keys);
            for (index, key) in keys.iter().enumerate() {
                let record = ring(&[*key]).seal(owner, &plaintext, &Counting).expect("sealed");
                prop_assert_eq!(all.open(owner, &record), Some(Zeroizing::new(plaintext.clone())));
                prop_assert_eq!(all.is_sealed_with_first(&record), index == 0);
            }
            let record = ring(&[unknown]).seal(owner, &plaintext, &Counting).expect("sealed");
            prop_assert!(all.open(owner, &record).is_none() && !all.is_sealed_with_first(&record));
            let ours = all.seal(owner, &plaintext, &Counting).expect("sealed");
            prop_assert_eq!(ring(&keys[..1]).open(owner, &ours), Some(Zeroizing::new(plaintext)));
        }

        #[test]
        fn any_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let (app, token) = (AppId::parse("wapp_1").expect("id"), TokenId::parse("t1").expect("id"));
            let _ = sealer("A").is_sealed_with_first(&bytes);
            let opened = sealer("A").open(ContextKey { app: &app, token: &token }, &bytes);
            prop_assert!(opened.is_none());
        }
    }
}
