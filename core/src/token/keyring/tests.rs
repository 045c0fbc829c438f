//! Rings of every algorithm, with jsonwebtoken as the other side: it reads keys and signs by itself.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _,
};
use jsonwebtoken::{DecodingKey, EncodingKey, crypto};
use serde_json::{Value, json};

use super::*;
use crate::token::UnverifiedToken;
use crate::token::pairs::{Pair, der, pem};

static OURS: LazyLock<[Pair; 4]> = LazyLock::new(|| Algorithm::ALL.map(new_pair));

fn ours(algorithm: Algorithm) -> &'static Pair {
    &OURS[algorithm as usize]
}

/// HS256 has the same text for both halves.
fn new_pair(algorithm: Algorithm) -> Pair {
    match algorithm {
        Algorithm::Hs256 => Pair { private: "0123456789abcdef".repeat(2), public: "0123456789abcdef".repeat(2) },
        Algorithm::Rs256 => Pair::rsa(KeySize::Rsa2048),
        Algorithm::Es256 => ec_pair(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::EdDsa => {
            let key = Ed25519KeyPair::generate().expect("a key");
            Pair::of(key.to_pkcs8v1().expect("DER").as_ref(), key.public_key().as_der().expect("DER").as_ref())
        }
    }
}

fn ec_pair(curve: &'static EcdsaSigningAlgorithm) -> Pair {
    let key = EcdsaKeyPair::generate(curve).expect("a key");
    Pair::of(key.to_pkcs8v1().expect("DER").as_ref(), key.public_key().as_der().expect("DER").as_ref())
}

fn ring(algorithm: Algorithm, key: &str) -> KeyRing {
    KeyRing::new(algorithm, &key.into()).expect("a key")
}

fn fault(algorithm: Algorithm, key: &str) -> InvalidKey {
    KeyRing::new(algorithm, &key.into()).expect_err("refused")
}

fn verifies(token: &str, keys: &KeyRing) -> bool {
    UnverifiedToken::<Value>::parse(token).and_then(|token| token.verify(keys.verifying())).is_ok()
}

/// The part of a token that is signed.
fn input(header: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(r#"{"sub":"u"}"#))
}

/// What jsonwebtoken signs with it.
fn signature(input: &str, algorithm: Algorithm, private: &str) -> String {
    let private = private.as_bytes();
    let (key, algorithm) = match algorithm {
        Algorithm::Hs256 => (Ok(EncodingKey::from_secret(private)), jsonwebtoken::Algorithm::HS256),
        Algorithm::Rs256 => (EncodingKey::from_rsa_pem(private), jsonwebtoken::Algorithm::RS256),
        Algorithm::Es256 => (EncodingKey::from_ec_pem(private), jsonwebtoken::Algorithm::ES256),
        Algorithm::EdDsa => (EncodingKey::from_ed_pem(private), jsonwebtoken::Algorithm::EdDSA),
    };
    crypto::sign(input.as_bytes(), &key.expect("a key"), algorithm).expect("a signature")
}

fn signed(header: &str, algorithm: Algorithm, private: &str) -> String {
    let input = input(header);
    let signature = signature(&input, algorithm, private);
    format!("{input}.{signature}")
}

#[test]
fn jsonwebtoken_verifies_what_a_ring_signs() {
    for algorithm in Algorithm::ALL {
        let Pair { private, public } = ours(algorithm);
        let token = ring(algorithm, private).sign(&json!({ "sub": "u" })).expect("signed");
        let (key, name) = match algorithm {
            Algorithm::Hs256 => (Ok(DecodingKey::from_secret(public.as_bytes())), jsonwebtoken::Algorithm::HS256),
            Algorithm::Rs256 => (DecodingKey::from_rsa_pem(public.as_bytes()), jsonwebtoken::Algorithm::RS256),
            Algorithm::Es256 => (DecodingKey::from_ec_pem(public.as_bytes()), jsonwebtoken::Algorithm::ES256),
            Algorithm::EdDsa => (DecodingKey::from_ed_pem(public.as_bytes()), jsonwebtoken::Algorithm::EdDSA),
        };
        let (input, signature) = token.rsplit_once('.').expect("a signature");
        assert!(crypto::verify(signature, input.as_bytes(), &key.expect("a key"), name).expect("a verdict"));
        assert!(verifies(&token, &ring(algorithm, private)), "{algorithm}");
        assert!(!verifies(&token, &ring(algorithm, &other(algorithm).private)), "{algorithm}");
    }
}

fn other(algorithm: Algorithm) -> Pair {
    match algorithm {
        Algorithm::Hs256 => Pair { private: "another-".repeat(4), public: "another-".repeat(4) },
        _ => new_pair(algorithm),
    }
}

#[test]
fn a_header_may_say_more_but_chooses_nothing() {
    for algorithm in Algorithm::ALL {
        let private = &ours(algorithm).private;
        for more in
            ["", r#","typ":"JWT""#, r#","kid":"1","jku":"https://evil","x5u":"https://evil","jwk":{"kty":"oct"}"#]
        {
            let token = signed(&format!(r#"{{"alg":"{algorithm}"{more}}}"#), algorithm, private);
            assert!(verifies(&token, &ring(algorithm, private)), "{algorithm} {more}");
        }
        for more in [r#","crit":["exp"]"#, r#","crit":[]"#, r#","alg":"none""#] {
            let token = signed(&format!(r#"{{"alg":"{algorithm}"{more}}}"#), algorithm, private);
            assert!(!verifies(&token, &ring(algorithm, private)), "{algorithm} {more}");
        }
    }
}

/// Every header with every signature that somebody without our private key, or with another of our
/// keys, can make.
#[test]
fn no_algorithm_passes_for_another() {
    let named = ["HS256", "RS256", "ES256", "EdDSA", "none", "None", "HS384", "PS256", "ES384", "Ed25519", "rs256", ""];
    for pinned in Algorithm::ALL {
        let keys = ring(pinned, &ours(pinned).private);
        for name in named {
            let header = format!(r#"{{"alg":"{name}","typ":"JWT"}}"#);
            for forged in forgeries(pinned, &header) {
                assert!(!verifies(&forged, &keys), "{pinned} {forged}");
            }
            let genuine = signed(&header, pinned, &ours(pinned).private);
            assert_eq!(verifies(&genuine, &keys), name == pinned.name(), "{pinned} {name}");
        }
    }
}

fn forgeries(pinned: Algorithm, header: &str) -> Vec<String> {
    let mut made: Vec<_> = ["", "AA", &"A".repeat(43), &"A".repeat(86), &"A".repeat(342)]
        .iter()
        .map(|signature| format!("{}.{signature}", input(header)))
        .collect();
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != pinned) {
        made.push(signed(header, algorithm, &ours(algorithm).private));
        made.push(signed(header, algorithm, &other(algorithm).private));
    }
    if pinned != Algorithm::Hs256 {
        made.extend(hmacs_of_public(header, &ours(pinned).public));
    }
    made
}

/// HMACs with what everybody knows of a key pair as the secret.
fn hmacs_of_public(header: &str, public: &str) -> Vec<String> {
    let der = der(public);
    let raw = &der[der.len() - 32..];
    let secrets =
        [public.as_bytes(), public.trim_end().as_bytes(), public.lines().nth(1).expect("a line").as_bytes(), &der, raw];
    let hmac = |secret: &&[u8]| {
        let input = input(header);
        let key = EncodingKey::from_secret(secret);
        let signature = crypto::sign(input.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).expect("a signature");
        format!("{input}.{signature}")
    };
    secrets.iter().map(hmac).collect()
}

#[test]
fn any_change_of_a_signature_breaks_it() {
    for algorithm in Algorithm::ALL {
        let keys = ring(algorithm, &ours(algorithm).private);
        let token = keys.sign(&json!({ "sub": "u" })).expect("signed");
        let begin = token.rfind('.').expect("a signature") + 1;
        for index in begin..token.len() {
            let mut changed = token.clone();
            let turned = if token.as_bytes()[index] == b'A' { "B" } else { "A" };
            changed.replace_range(index..=index, turned);
            assert!(!verifies(&changed, &keys), "{algorithm} {index}");
        }
        for bad in [&token[..token.len() - 1], &format!("{token}A"), &format!("{token}AA"), &format!("{token}=")] {
            assert!(!verifies(bad, &keys), "{algorithm} {bad}");
        }
    }
}

#[test]
fn a_retired_key_verifies_with_its_public_half_alone() {
    for algorithm in Algorithm::ALL {
        let Pair { private, public } = ours(algorithm);
        let token = ring(algorithm, private).sign(&json!({ "sub": "u" })).expect("signed");
        for retired in [private, public] {
            let mut keys = ring(algorithm, &other(algorithm).private);
            assert!(!verifies(&token, &keys), "{algorithm}");
            keys.retire(&retired.as_str().into()).expect("a key");
            assert!(verifies(&token, &keys), "{algorithm}");
            assert_eq!(format!("{keys:?}"), format!("KeyRing(2 {algorithm} keys)"));
        }
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let p384 = ec_pair(&ECDSA_P384_SHA384_FIXED_SIGNING);
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        for wrong in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa].map(ours).into_iter().chain([&p384]) {
            let fits = wrong.public == ours(algorithm).public;
            for key in [&wrong.private, &wrong.public] {
                let retired = ring(algorithm, &ours(algorithm).private).retire(&key.as_str().into());
                assert_eq!(retired, if fits { Ok(()) } else { Err(InvalidKey::Kind(algorithm)) });
            }
        }
        assert_eq!(fault(algorithm, &ours(algorithm).public), InvalidKey::Public);
    }
    assert_eq!(InvalidKey::Kind(Algorithm::Es256).to_string(), "must be an EC key on the curve P-256 for ES256");
}

#[test]
fn a_text_that_is_not_one_key_is_refused() {
    let private = &ours(Algorithm::Rs256).private;
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let not_pem = InvalidKey::NotPem(algorithm);
        for bad in ["", "x", &"x".repeat(64), &format!("{private}{private}"), &private.replace("-----END", "END")] {
            assert_eq!(fault(algorithm, bad), not_pem, "{bad}");
        }
        for label in ["ENCRYPTED PRIVATE KEY", "CERTIFICATE", "RSA PUBLIC KEY"] {
            assert_eq!(fault(algorithm, &pem(label, &der(private))), not_pem, "{label}");
        }
        assert_eq!(fault(algorithm, &pem("EC PRIVATE KEY", &der(private))), InvalidKey::NotPkcs8);
        // PKCS#8 under the label of PKCS#1.
        assert_eq!(fault(algorithm, &pem("RSA PRIVATE KEY", &der(private))), InvalidKey::Kind(algorithm));
        for garbage in [&[][..], &[0x30], &[0x30, 0x80], &der(private)[..40], &[0xff; 64]] {
            for label in ["PRIVATE KEY", "RSA PRIVATE KEY"] {
                assert_eq!(fault(algorithm, &pem(label, garbage)), InvalidKey::Kind(algorithm));
            }
        }
    }
}

#[test]
fn an_rsa_key_may_stand_in_its_older_form() {
    let pair = ours(Algorithm::Rs256);
    let token = ring(Algorithm::Rs256, &pair.traditional()).sign(&json!({ "sub": "u" })).expect("signed");
    assert!(verifies(&token, &ring(Algorithm::Rs256, &pair.private)));
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        assert_eq!(fault(algorithm, &pair.traditional()), InvalidKey::Kind(algorithm));
    }
}

#[test]
fn the_members_of_a_header_may_stand_in_the_other_order() {
    for algorithm in Algorithm::ALL {
        let keys = ring(algorithm, &ours(algorithm).private);
        let token = keys.sign_typ_first(&json!({ "sub": "u" })).expect("signed");
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().expect("a header")).expect("base64url");
        assert_eq!(header, format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#).as_bytes());
        assert!(verifies(&token, &keys), "{algorithm}");
    }
}

/// Otherwise an operator who forgets the algorithm would make a public key the secret.
#[test]
fn pem_is_no_hs256_key() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        for key in [&ours(algorithm).private, &ours(algorithm).public] {
            assert_eq!(fault(Algorithm::Hs256, key), InvalidKey::PemForHs256);
            assert_eq!(fault(Algorithm::Hs256, &format!(" \r\n{}", key.trim_end())), InvalidKey::PemForHs256);
        }
    }
}

#[test]
fn a_fingerprint_is_of_the_key_however_it_is_written() {
    let of = |ring: &KeyRing| ring.fingerprints().map(ToString::to_string).collect::<Vec<_>>();
    for algorithm in Algorithm::ALL {
        let Pair { private, public } = ours(algorithm);
        let mut keys = ring(algorithm, private);
        keys.retire(&public.as_str().into()).expect("a key");
        keys.retire(&other(algorithm).private.as_str().into()).expect("a key");
        let [one, same, other] = of(&keys).try_into().expect("three");
        assert_eq!(one, same, "{algorithm}");
        assert_ne!(one, other, "{algorithm}");
        if algorithm != Algorithm::Hs256 {
            let wrapped = private.replace("KEY-----\n", "KEY-----\r\n\n");
            assert_eq!(of(&ring(algorithm, &format!("a comment\n{wrapped}"))), [&*one]);
        }
        if algorithm == Algorithm::Rs256 {
            assert_eq!(of(&ring(algorithm, &ours(algorithm).traditional())), [one]);
        }
    }
}
