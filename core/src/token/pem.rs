//! PEM (RFC 7468) around keys.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::signature::RsaKeyPair;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// The DER of one key.
pub(super) enum Section {
    /// PKCS#8.
    Private(Zeroizing<Vec<u8>>),
    /// `SubjectPublicKeyInfo`.
    Public(Vec<u8>),
}

/// Why a text is not one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is not PEM, is encrypted, is something else, or is more than one key.
    NotPem,
    /// A private EC key in an older form than PKCS#8.
    NotPkcs8,
    /// PKCS#1 by its label, but none inside.
    Damaged,
}

pub(super) fn is_pem(text: &SecretString) -> bool {
    text.expose_secret().contains("-----BEGIN ")
}

/// The one key in a text. What `openssl genrsa` writes is taken in both forms: PKCS#8 from version 3 on, PKCS#1
/// (RFC 8017 appendix A.1.2) before.
pub(super) fn read(text: &SecretString) -> Result<Section, Unread> {
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.expose_secret().as_bytes());
    let mut sections = sections.map(|section| section.map(|(kind, der)| (kind, Zeroizing::new(der))));
    let (Some(Ok((kind, der))), None) = (sections.next(), sections.next()) else {
        return Err(Unread::NotPem);
    };
    match kind {
        SectionKind::PrivateKey => Ok(Section::Private(der)),
        SectionKind::PublicKey => Ok(Section::Public(der.to_vec())),
        SectionKind::RsaPrivateKey => pkcs8(&der).map(Section::Private).ok_or(Unread::Damaged),
        SectionKind::EcPrivateKey => Err(Unread::NotPkcs8),
        _ => Err(Unread::NotPem),
    }
}

/// PKCS#1 written as PKCS#8, so that one form is all there is from here on.
fn pkcs8(pkcs1: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let written: Pkcs8V1Der<'_> = RsaKeyPair::from_der(pkcs1).ok()?.as_der().ok()?;
    Some(Zeroizing::new(written.as_ref().to_vec()))
}
