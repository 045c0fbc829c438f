//! The `openssl` command: keys and signatures apart from our libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::forge;

/// A key pair in files.
pub struct KeyPair {
    folder: tempfile::TempDir,
    /// The private key, in PEM.
    pub private: String,
    /// The public half, in PEM.
    pub public: String,
}

/// `genpkey` options for an algorithm's keys.
pub fn options(algorithm: &str) -> &'static [&'static str] {
    match algorithm {
        "RS256" => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "ES256" => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        _ => &["-algorithm", "ED25519"],
    }
}

/// Runs it; what it prints.
pub fn openssl(args: &[&str]) -> Vec<u8> {
    let run = Command::new("openssl").args(args).output().expect("openssl runs");
    assert!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&run.stderr));
    run.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

impl KeyPair {
    /// A new pair, as `genpkey` makes it.
    pub fn new(options: &[&str]) -> Self {
        Self::of(String::from_utf8(openssl(&[&["genpkey"], options].concat())).expect("PEM"))
    }

    /// The pair of a private key.
    pub fn of(private: String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("private.pem");
        std::fs::write(&path, &private).expect("written");
        let public = String::from_utf8(openssl(&["pkey", "-in", text(&path), "-pubout"])).expect("PEM");
        std::fs::write(folder.path().join("public.pem"), &public).expect("written");
        Self { folder, private, public }
    }

    /// The private key in the form that was usual before PKCS#8.
    pub fn traditional(&self) -> String {
        String::from_utf8(openssl(&["pkey", "-in", &self.path("private.pem"), "-traditional"])).expect("PEM")
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }

    fn path(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    /// A token with this header and payload.
    pub fn sign(&self, algorithm: &str, header: &str, payload: &str) -> String {
        let input = forge::unsigned(header, payload);
        let (file, key) = (self.file("input", input.as_bytes()), self.path("private.pem"));
        let signature = match algorithm {
            "EdDSA" => openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", text(&file)]),
            "ES256" => raw(&openssl(&["dgst", "-sha256", "-sign", &key, text(&file)])),
            _ => openssl(&["dgst", "-sha256", "-sign", &key, text(&file)]),
        };
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Asserts that the public half verifies a token.
    pub fn verify(&self, algorithm: &str, token: &str) {
        let (input, signature) = token.rsplit_once('.').expect("a signature");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let signature = if algorithm == "ES256" { asn1(&signature) } else { signature };
        let (file, signature) = (self.file("input", input.as_bytes()), self.file("signature", &signature));
        let (key, file, signature) = (self.path("public.pem"), text(&file), text(&signature));
        let said = match algorithm {
            "EdDSA" => {
                openssl(&["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", &key, "-in", file, "-sigfile", signature])
            }
            _ => openssl(&["dgst", "-sha256", "-verify", &key, "-signature", signature, file]),
        };
        assert!(String::from_utf8_lossy(&said).contains("erifi"), "{said:?}");
    }
}

/// The same token of ES256 with its other signature: `r`, and the order of P-256 (SEC 2, section 2.4.2) less `s`.
pub fn mirrored(token: &str) -> String {
    const ORDER: [u64; 4] = [0xffff_ffff_0000_0000, u64::MAX, 0xbce6_faad_a717_9e84, 0xf3b9_cac2_fc63_2551];
    let (input, signature) = token.rsplit_once('.').expect("a signature");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut borrowed = false;
    for (place, order) in signature[32..].chunks_exact_mut(8).zip(ORDER).rev() {
        let (less, first) = order.overflowing_sub(u64::from_be_bytes((&*place).try_into().expect("8 bytes")));
        let (less, second) = less.overflowing_sub(borrowed.into());
        borrowed = first || second;
        place.copy_from_slice(&less.to_be_bytes());
    }
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// An ECDSA signature of ASN.1, `SEQUENCE { r INTEGER, s INTEGER }`, as RFC 7518 section 3.4 has it:
/// two integers of 32 bytes.
fn raw(asn1: &[u8]) -> Vec<u8> {
    let mut rest = &asn1[2..];
    let mut integers = Vec::new();
    for _ in 0..2 {
        let (integer, more) = rest[2..].split_at(usize::from(rest[1]));
        let digits = integer.strip_prefix(&[0]).unwrap_or(integer);
        integers.resize(integers.len() + 32 - digits.len(), 0);
        integers.extend_from_slice(digits);
        rest = more;
    }
    integers
}

/// The way back.
fn asn1(raw: &[u8]) -> Vec<u8> {
    let mut integers = Vec::new();
    for half in raw.chunks(32) {
        let mut digits: Vec<u8> = half.iter().copied().skip_while(|byte| *byte == 0).collect();
        if digits[0] >= 0x80 {
            digits.insert(0, 0);
        }
        integers.extend([2, u8::try_from(digits.len()).expect("short")]);
        integers.extend(digits);
    }
    [&[0x30, u8::try_from(integers.len()).expect("short")], &*integers].concat()
}
