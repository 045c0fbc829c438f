//! Keys, and tokens that they seal and open.

mod attacks;
mod forge;
mod vectors;

use aws_lc_rs::rsa::KeySize;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use self::forge::Forgery;
use super::*;
use crate::entropy::{Entropy, EntropyUnavailable};
use crate::token::pairs::{Pair, RSA, der, pem};

const HEADER: &str = r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#;
const TEXT: &[u8] = b"header.claims.signature";

/// Bytes that differ from call to call.
struct Counting(std::sync::atomic::AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        bytes.fill_with(|| self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        Ok(())
    }
}

struct Nothing;

impl Entropy for Nothing {
    fn fill(&self, _: &mut [u8]) -> Result<(), EntropyUnavailable> {
        Err(EntropyUnavailable)
    }
}

fn counting() -> Counting {
    Counting(7.into())
}

fn keys(private: &str) -> DecryptionKeys {
    DecryptionKeys::new(KeyManagement::RsaOaep, &private.into(), None).expect("a key")
}

fn sealed(pair: &Pair) -> String {
    let key = EncryptionKey::new(KeyManagement::RsaOaep, &pair.public.as_str().into()).expect("a key");
    key.seal(TEXT, &counting()).expect("a token")
}

fn opens(keys: &DecryptionKeys, token: &str) -> bool {
    keys.open(token).is_some_and(|text| *text == TEXT)
}

#[test]
fn our_headers_are_what_they_say() {
    for management in KeyManagement::ALL {
        let json = format!(r#"{{"alg":"{management}","enc":"A256GCM"}}"#);
        assert_eq!(management.header(), URL_SAFE_NO_PAD.encode(json));
    }
}

#[test]
fn what_is_sealed_is_opened_by_its_recipient_alone() {
    for management in KeyManagement::ALL {
        for from in [&RSA[0].public, &RSA[0].private, &RSA[0].traditional()] {
            let key = EncryptionKey::new(management, &from.as_str().into()).expect("a key");
            let token = key.seal(TEXT, &counting()).expect("a token");
            assert_eq!(token.split('.').map(str::len).collect::<Vec<_>>()[1..], [342, 16, 31, 22]);
            for opener in KeyManagement::ALL {
                let ours =
                    |pair: &Pair| DecryptionKeys::new(opener, &pair.private.as_str().into(), None).expect("a key");
                assert_eq!(opens(&ours(&RSA[0]), &token), opener == management);
                assert!(!opens(&ours(&RSA[1]), &token));
            }
        }
    }
}

#[test]
fn no_two_tokens_have_a_part_in_common_but_the_header() {
    let (one, other) = (sealed(&RSA[0]), Forgery::default().token());
    let pairs: Vec<_> = one.split('.').zip(other.split('.')).collect();
    assert!(pairs[0].0 == pairs[0].1 && pairs[1..].iter().all(|(one, other)| one != other));
}

#[test]
fn without_randomness_nothing_is_sealed() {
    let key = EncryptionKey::new(KeyManagement::RsaOaep, &RSA[0].public.as_str().into()).expect("a key");
    assert!(key.seal(TEXT, &Nothing).is_err());
}

#[test]
fn both_keys_of_a_rotation_open() {
    let [new, old, other] = &*RSA;
    let (current, previous) = (new.private.as_str().into(), old.traditional().into());
    let keys = DecryptionKeys::new(KeyManagement::RsaOaep, &current, Some(&previous)).expect("keys");
    assert_eq!([new, old, other].map(|pair| opens(&keys, &sealed(pair))), [true, true, false]);
    assert_eq!(format!("{keys:?}"), "DecryptionKeys(2 RSA-OAEP)");
}

/// Two keys of different sizes, too: the length says which one is meant.
#[test]
fn keys_have_2048_to_4096_bits() {
    let (large, huge) = (Pair::rsa(KeySize::Rsa3072), Pair::rsa(KeySize::Rsa8192));
    let previous = large.private.as_str().into();
    let keys = DecryptionKeys::new(KeyManagement::RsaOaep, &RSA[0].private.as_str().into(), Some(&previous));
    let keys = keys.expect("keys");
    assert!(opens(&keys, &sealed(&RSA[0])) && opens(&keys, &sealed(&large)));
    for text in [&huge.private, &huge.public, &huge.traditional()] {
        let fault = EncryptionKey::new(KeyManagement::RsaOaep, &text.as_str().into()).expect_err("too large");
        assert_eq!(fault, InvalidJweKey::Kind);
    }
}

#[test]
fn what_is_no_private_rsa_key_is_refused() {
    let fault = |text: &str| {
        let refused = DecryptionKeys::new(KeyManagement::RsaOaep, &text.into(), None).expect_err("refused");
        assert!(!refused.to_string().contains(text) || text.is_empty());
        refused
    };
    let Pair { private, public } = &RSA[0];
    assert_eq!(fault(public), InvalidJweKey::Public);
    for bad in ["", "x", &format!("{private}{private}"), &pem("ENCRYPTED PRIVATE KEY", &der(private))] {
        assert_eq!(fault(bad), InvalidJweKey::NotPem);
    }
    for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
        assert_eq!(fault(&pem(label, &[0x30, 0])), InvalidJweKey::Kind);
    }
    let bad = EncryptionKey::new(KeyManagement::RsaOaep, &pem("PUBLIC KEY", &[0x30, 0]).into());
    assert_eq!(bad.expect_err("refused"), InvalidJweKey::Kind);
}

#[test]
fn a_fingerprint_is_of_the_key_whatever_it_is_for() {
    let Pair { private, public } = &RSA[0];
    let signing = crate::token::KeyRing::new(crate::token::Algorithm::Rs256, &private.as_str().into()).expect("a ring");
    let encryption = EncryptionKey::new(KeyManagement::RsaOaep256, &public.as_str().into()).expect("a key");
    for keys in [keys(private), keys(&RSA[0].traditional())] {
        assert!(keys.fingerprints().eq(signing.fingerprints()));
        assert!(keys.fingerprints().eq([encryption.fingerprint()]));
    }
    assert!(!keys(&RSA[1].private).fingerprints().eq(signing.fingerprints()));
}

proptest! {
    #[test]
    fn any_text_is_refused_without_panic(text in r"[A-Za-z0-9_.=-]{0,120}") {
        prop_assert!(keys(&RSA[0].private).open(&text).is_none());
    }

    #[test]
    fn any_text_is_opened_as_it_was_sealed(text in proptest::collection::vec(any::<u8>(), 1..2000)) {
        let key = EncryptionKey::new(KeyManagement::RsaOaep, &RSA[0].public.as_str().into()).expect("a key");
        let token = key.seal(&text, &counting()).expect("a token");
        let opened = keys(&RSA[0].private).open(&token);
        prop_assert_eq!(opened.as_deref(), Some(&text));
    }
}
