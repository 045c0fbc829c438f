//! Key pairs for tests, as the config has them.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What signs or decrypts, and its public half, in PEM.
pub(crate) struct Pair {
    pub(crate) private: String,
    pub(crate) public: String,
}

/// Three RSA keys, made once.
pub(crate) static RSA: LazyLock<[Pair; 3]> = LazyLock::new(|| [(); 3].map(|()| Pair::rsa(KeySize::Rsa2048)));

impl Pair {
    pub(crate) fn of(private: &[u8], public: &[u8]) -> Self {
        Self { private: pem("PRIVATE KEY", private), public: pem("PUBLIC KEY", public) }
    }

    pub(crate) fn rsa(size: KeySize) -> Self {
        let key = RsaKeyPair::generate(size).expect("a key");
        let private: Pkcs8V1Der<'_> = key.as_der().expect("DER");
        Self::of(private.as_ref(), key.public_key().as_der().expect("DER").as_ref())
    }

    /// The private key, one of RSA, in the form that was usual before PKCS#8, which is PKCS#1 in an envelope
    /// (RFC 8017 appendix A.1.2, RFC 5208 section 5).
    pub(crate) fn traditional(&self) -> String {
        pem("RSA PRIVATE KEY", &der(&self.private)[26..])
    }
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

pub(crate) fn der(pem: &str) -> Vec<u8> {
    STANDARD.decode(pem.lines().nth(1).expect("a line")).expect("base64")
}
