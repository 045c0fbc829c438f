//! Certificates for the tests: an authority, a server at 127.0.0.1, and a client.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// PEM texts.
pub struct Certificates {
    pub authority: String,
    pub server: (String, String),
    pub client: (String, String),
}

pub fn certificates() -> Certificates {
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("an authority");
    let issue = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = certificate.signed_by(&key, &authority).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    };
    Certificates { authority: authority.pem(), server: issue("127.0.0.1"), client: issue("client") }
}
