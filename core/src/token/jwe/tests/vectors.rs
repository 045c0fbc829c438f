//! The RFCs' own examples. Their keys come as JWK, which is read here alone.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Vector {
    source: String,
    plaintext: String,
    key: Jwk,
    token: String,
}

#[derive(Deserialize)]
struct Jwk {
    n: String,
    e: String,
    d: String,
    p: String,
    q: String,
    dp: String,
    dq: String,
    qi: String,
}

impl Jwk {
    /// PKCS#1 (RFC 8017 appendix A.1.2).
    fn pem(&self) -> String {
        let numbers = [&self.n, &self.e, &self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi];
        let mut body = element(2, &[0]);
        for number in numbers {
            let bytes = URL_SAFE_NO_PAD.decode(number).expect("base64url");
            let positive = if bytes[0] < 0x80 { bytes } else { [vec![0], bytes].concat() };
            body.extend(element(2, &positive));
        }
        pem("RSA PRIVATE KEY", &element(0x30, &body))
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).expect("short").to_be_bytes();
    let length = match content.len() {
        0..0x80 => vec![low],
        0x80..0x100 => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag], &*length, content].concat()
}

#[test]
fn the_examples_of_the_rfcs_are_opened() {
    let vectors = include_str!("../../../../../tests/fixtures/mitigate/jwe_vectors.json");
    let vectors: Vec<Vector> = serde_json::from_str(vectors).expect("vectors");
    assert_eq!(vectors.len(), 2);
    for Vector { source, plaintext, key, token } in vectors {
        let opened = keys(&key.pem()).open(&token).unwrap_or_else(|| panic!("{source}"));
        assert_eq!(*opened, plaintext.as_bytes(), "{source}");
        let other = DecryptionKeys::new(KeyManagement::RsaOaep256, &key.pem().into(), None).expect("a key");
        assert!(other.open(&token).is_none(), "{source}");
    }
}
