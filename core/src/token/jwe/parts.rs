//! A JWE as it arrives, cut into its five parts, and as it is put together.

use std::borrow::Cow;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::KeyManagement;
use crate::json;

/// The longest token that is read, in bytes. One with the documented claims has some 1,400.
pub const MAX_TOKEN: usize = 16 * 1024;

/// Bytes of a key of A256GCM.
pub(super) const CONTENT_KEY_LEN: usize = 32;

/// Bytes of its tag. A shorter one would be easier to guess; RFC 7518 section 5.3 knows no other.
const TAG_LEN: usize = 16;

/// The key of one token.
pub(super) type ContentKey = Zeroizing<[u8; CONTENT_KEY_LEN]>;

/// The number of one token: with random content keys it is never used twice for one.
pub(super) type Iv = [u8; NONCE_LEN];

/// A protected header (RFC 7516 section 4.1). `alg` and `enc` are compared with what is pinned. `typ` and `kid`
/// choose nothing. Whatever else exists (`zip`, `crit`, `jku`, `jwk`, `x5u`, …) would change how the token is read,
/// so it is refused, known or not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    enc: String,
    #[serde(default = "jwt")]
    cty: Cow<'static, str>,
    #[serde(default, rename = "typ")]
    _typ: String,
    #[serde(default, rename = "kid")]
    _kid: String,
}

const fn jwt() -> Cow<'static, str> {
    Cow::Borrowed("JWT")
}

/// A token whose parts are well formed; nothing in it is believed.
pub(super) struct Parts<'a> {
    header: &'a str,
    /// As wrapped with somebody's RSA key.
    pub(super) encrypted_key: Vec<u8>,
    iv: Iv,
    /// Ciphertext and tag, as AEADs have them.
    sealed: Vec<u8>,
}

impl<'a> Parts<'a> {
    /// Cuts a token: five parts in canonical, unpadded base64url, none empty, with a header that names what is
    /// pinned.
    pub(super) fn read(token: &'a str, pinned: KeyManagement) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let mut parts = token.split('.');
        let (header, encrypted_key, iv) = (parts.next()?, parts.next()?, parts.next()?);
        let (ciphertext, tag) = (parts.next()?, parts.next()?);
        if parts.next().is_some() || ciphertext.is_empty() || !names(header, pinned) {
            return None;
        }
        let decoded = |part| URL_SAFE_NO_PAD.decode(part).ok();
        let (encrypted_key, iv) = (decoded(encrypted_key)?, decoded(iv)?.try_into().ok()?);
        let (mut sealed, tag) = (decoded(ciphertext)?, decoded(tag)?);
        if tag.len() != TAG_LEN {
            return None;
        }
        sealed.extend_from_slice(&tag);
        Some(Self { header, encrypted_key, iv, sealed })
    }

    /// The text, if this key sealed it under this header.
    pub(super) fn open(&self, key: &ContentKey) -> Option<Zeroizing<Vec<u8>>> {
        let mut buffer = Zeroizing::new(self.sealed.clone());
        let nonce = Nonce::assume_unique_for_key(self.iv);
        let length = cipher(key).ok()?.open_in_place(nonce, associated(self.header), &mut buffer).ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }
}

/// Whether a header, in base64url, names this key management and our cipher. Ours is compared and not parsed.
fn names(header: &str, pinned: KeyManagement) -> bool {
    let parsed = || {
        let header: Header = json::read_object(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        Some(header.alg == pinned.name() && header.enc == "A256GCM" && header.cty == "JWT")
    };
    header == pinned.header() || parsed() == Some(true)
}

/// A compact token.
pub(super) fn write(
    header: &str,
    encrypted_key: &[u8],
    key: &ContentKey,
    iv: Iv,
    plaintext: &[u8],
) -> Result<String, Unspecified> {
    let mut sealed = Zeroizing::new(plaintext.to_vec());
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = cipher(key)?.seal_in_place_separate_tag(nonce, associated(header), &mut sealed)?;
    let mut token = header.to_owned();
    for part in [encrypted_key, &iv, &sealed, tag.as_ref()] {
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut token);
    }
    Ok(token)
}

fn cipher(key: &ContentKey) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&AES_256_GCM, key.as_slice()).map(LessSafeKey::new)
}

/// The header as it stands in the token is what the tag covers beside the text (RFC 7516 section 5.1, step 14).
fn associated(header: &str) -> Aad<&[u8]> {
    Aad::from(header.as_bytes())
}
