//! Tokens that are forged, or written so that two readers differ on them (RFC 8725). Most are signed with the
//! app's own key: what only its holder can make is held to the same rules. (Claims, algorithms, and the public
//! key for a secret: `tokens`, `algorithms` and `crosscheck` in `tests/it`.)

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::siege::{Faults, Siege, TIMES, within_one};
use crate::support::cases::cases;
use crate::support::gate::{APP, SECRET, SHOP, SIGNING_KEY};
use crate::support::openssl::{KeyPair, options};
use crate::support::raw::page;
use crate::support::{forge, jwcrypto};

const MALLORY: &str = "a-key-that-mallory-has-made-0123456789abcdef";
const WORKSPACE: &str = "ws_k3v9x1m7q2";

#[derive(Deserialize)]
struct Row {
    name: String,
    /// The header's text; `{UPSTREAM}` is a server's URL, `{JWK}` mallory's key.
    #[serde(default = "header")]
    header: String,
    /// The payload's text; `{MEMBERS}` are good claims.
    #[serde(default = "payload")]
    payload: String,
    #[serde(default = "key")]
    key: String,
    /// What is signed: `{H}` and `{P}` are header and payload, as [`Parts::fill`] writes them.
    #[serde(default = "input")]
    input: String,
    /// `{I}` is what is signed, `{S}` the signature.
    #[serde(default = "token")]
    token: String,
    #[serde(default = "unauthorized")]
    status: u16,
}

fn header() -> String {
    r#"{"alg":"HS256" }"#.into()
}

fn payload() -> String {
    "{{MEMBERS}}".into()
}

fn key() -> String {
    SIGNING_KEY.into()
}

fn input() -> String {
    "{H}.{P}".into()
}

fn token() -> String {
    "{I}.{S}".into()
}

fn unauthorized() -> u16 {
    401
}

/// The parts of a token, by their letters.
#[derive(Default)]
struct Parts(Vec<(char, String)>);

impl Parts {
    /// Puts them into a text: `{H}` as it is, `{H~}` with bits set that no byte is made of, `{H=}` padded, `{H+}`
    /// in the other alphabet.
    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (letter, part) in &self.0 {
            text = text.replace(&format!("{{{letter}}}"), part);
            for (mark, spoil) in [('~', loose as fn(&str) -> String), ('=', padded), ('+', standard)] {
                let place = format!("{{{letter}{mark}}}");
                if text.contains(&place) {
                    text = text.replace(&place, &spoil(part));
                }
            }
        }
        text
    }
}

fn loose(part: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    assert!(!part.len().is_multiple_of(4), "no bits are left over in {part}");
    let (rest, last) = part.split_at(part.len() - 1);
    let at = ALPHABET.iter().position(|letter| *letter == last.as_bytes()[0]).expect("base64url");
    format!("{rest}{}", char::from(ALPHABET[at + 1]))
}

fn padded(part: &str) -> String {
    assert!(!part.len().is_multiple_of(4), "no padding belongs to {part}");
    format!("{part}{}", "=".repeat(4 - part.len() % 4))
}

fn standard(part: &str) -> String {
    let other = part.replace('-', "+").replace('_', "/");
    assert_ne!(other, part, "the alphabets agree on it");
    other
}

impl Row {
    fn forged(&self, upstream: &str) -> String {
        let claims = forge::claims().to_string();
        let mut payload = self.payload.replace("{MEMBERS}", &claims[1..claims.len() - 1]);
        while self.payload == "{{MEMBERS}}" && payload.len().is_multiple_of(3) {
            payload.push(' ');
        }
        let jwk = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(MALLORY), "alg": "HS256" });
        let header = self.header.replace("{UPSTREAM}", upstream).replace("{JWK}", &jwk.to_string());
        let parts = vec![('H', URL_SAFE_NO_PAD.encode(header)), ('P', URL_SAFE_NO_PAD.encode(payload))];
        let mut parts = Parts(parts);
        let input = parts.fill(&self.input);
        parts.0.extend([('S', signature(input.as_bytes(), self.key.as_bytes())), ('I', input)]);
        parts.fill(&self.token)
    }
}

fn signature(input: &[u8], key: &[u8]) -> String {
    crypto::sign(input, &EncodingKey::from_secret(key), Algorithm::HS256).expect("a signature")
}

fn asking(siege: &Siege, token: &str) -> String {
    format!("GET /api/v1/tasks HTTP/1.1\r\n{}\r\n", page(&siege.gate, token))
}

#[tokio::test]
async fn no_forged_or_ambiguous_token_is_admitted() {
    let siege = Siege::lay().await;
    let rows: Vec<Row> = cases("attacks/tokens.json");
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for row in rows.iter().flat_map(|row| std::iter::repeat_n(row, TIMES)) {
                let answer = within_one(&siege.gate, asking(&siege, &row.forged(&siege.upstream.url()))).await;
                let answer = answer.map_or((0, String::new()), |answer| (answer.status, answer.body));
                // What does not even begin as a token does is refused before it is read.
                let codes = ["\"INVALID_TOKEN\"", "\"INVALID_AUTH_FORMAT\""];
                let named = answer.0 != 401 || codes.iter().any(|code| answer.1.contains(code));
                let refused = answer.0 == row.status && named;
                faults.check(refused, || format!("{}: {answer:?}", row.name));
            }
        })
        .await;
    faults.none();
}

/// What mallory may know or guess is no key.
#[tokio::test]
async fn nothing_that_is_known_signs_a_token() {
    let siege = Siege::lay().await;
    let claims = forge::claims().to_string();
    let input = forge::unsigned(forge::HEADER, &claims);
    let digest = sidegate_core::secret::SecretDigest::of(&SECRET.into()).to_string();
    let address = siege.gate.public.to_string();
    let known = ["", "\0", "null", "undefined", "secret", APP, SHOP, SECRET, &digest, &address, "HS256", &claims];
    siege
        .rounds(async || {
            for key in known.iter().map(|key| key.as_bytes()).chain([&[0; 32][..], &[0; 64], &[0xff; 32]]) {
                let forged = format!("{input}.{}", signature(&input.clone().into_bytes(), key));
                let answer = within_one(&siege.gate, asking(&siege, &forged)).await.expect("an answer");
                assert_eq!(answer.status, 401, "{key:?}");
            }
        })
        .await;
}

/// Whatever form of a public key is taken for a secret.
#[tokio::test]
async fn no_form_of_a_public_key_is_a_secret() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let pair = KeyPair::new(options(algorithm));
        let key = format!("key = {{ value = {} }}", json!(pair.private));
        let siege = Siege::with(|gate| gate.token(&format!("algorithm = \"{algorithm}\"")).token(&key)).await;
        let lines: String = pair.public.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(&lines).expect("base64");
        let jwk = jwcrypto::jwk(&pair.public);
        let member = ["n", "x"].iter().find_map(|name| jwk[*name].as_str()).expect("a member");
        let bare = URL_SAFE_NO_PAD.decode(member).expect("base64url");
        let crlf = pair.public.replace('\n', "\r\n");
        let forms: [&[u8]; 9] = [
            pair.public.as_bytes(),
            pair.public.trim_end().as_bytes(),
            crlf.as_bytes(),
            lines.as_bytes(),
            &der,
            &jwk.to_string().into_bytes(),
            member.as_bytes(),
            &bare,
            b"",
        ];
        for form in forms {
            for named in ["HS256", "HS512", algorithm, "none"] {
                let header = json!({ "alg": named, "typ": "JWT" }).to_string();
                let input = forge::unsigned(&header, &forge::claims().to_string());
                let forged = format!("{input}.{}", signature(input.as_bytes(), form));
                let answer = within_one(&siege.gate, asking(&siege, &forged)).await.expect("an answer");
                assert_eq!(answer.status, 401, "{algorithm}, {named}");
            }
        }
        siege.is_well().await;
    }
}

/// Two readers may take one or the other.
#[tokio::test]
async fn two_tokens_in_one_request_are_none() {
    let siege = Siege::lay().await;
    let good = format!("Authorization: Bearer {}\r\n", siege.token);
    let bad = format!("Authorization: Bearer {}\r\n", forge::token_of(APP, MALLORY, &json!({})));
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for fields in [
                format!("{good}{bad}"),
                format!("{bad}{good}"),
                format!("{good}{good}"),
                good.replace("\r\n", &format!(", {}", &bad["Authorization: ".len()..])),
                good.replace("\r\n", ",\r\n"),
                good.replace("Bearer ", "Bearer Bearer "),
                good.replace("Bearer ", "Basic "),
                good.replace("Bearer ", "Bearer"),
                good.replace("Bearer ", ""),
                good.replace("Bearer ", "Bearer,"),
                good.replace("Bearer ", "Bearer \""),
                good.replace("Authorization", "Proxy-Authorization"),
                good.replace("Authorization: Bearer ", "Cookie: token="),
                good.replace("Authorization", "X_Authorization"),
                good.replace("Authorization", "X-Authorization"),
            ] {
                let request = siege.get("/api/v1/tasks", "").replace(&good, &fields);
                let answer = within_one(&siege.gate, request).await.expect("an answer");
                faults.check(answer.status == 401, || format!("{fields}: {answer:?}"));
            }
        })
        .await;
    faults.none();
}

/// A token of some kilobytes that would be some megabytes, and its key is the workspace's own, which is public.
#[tokio::test]
async fn a_sealed_token_is_never_inflated() {
    let (signing, sealing) = (KeyPair::new(options("RS256")), KeyPair::new(options("RS256")));
    let key = |pem: &str| format!("[{{ value = {} }}]", json!(pem));
    let app = format!(
        "[[apps]]\nid = \"{WORKSPACE}\"\ndialect = \"mitigate\"\nupstream = \"chat\"\norigins = [\"{SHOP}\"]\n\
         token.key = {{ value = \"{MALLORY}\" }}\nidentity.encryption_keys = {}\nidentity.signing_keys = {}\n\
         limits = {{ exchange = [] }}",
        key(&sealing.private),
        key(&signing.public)
    );
    let siege = Siege::with(|gate| gate.toml(&app)).await;
    let bombs: Vec<String> = [(1, "DEF"), (3 << 20, "DEF"), (48 << 20, "DEF"), (3 << 20, "def"), (3 << 20, "GZ")]
        .iter()
        .map(|(size, zip)| {
            let header = json!({ "alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF" }).to_string();
            let bomb = jwcrypto::bomb(*size, &header, &sealing.public);
            let (_, sealed) = bomb.split_once('.').expect("a header");
            let header = header.replace("DEF", zip);
            if *zip == "DEF" { bomb } else { format!("{}.{sealed}", URL_SAFE_NO_PAD.encode(header)) }
        })
        .collect();
    let path = format!("/api/v1/workspaces/{WORKSPACE}/session");
    siege
        .rounds(async || {
            for bomb in bombs.iter().flat_map(|bomb| std::iter::repeat_n(bomb, 10)) {
                let body = json!({ "token": bomb }).to_string();
                let answer = within_one(&siege.gate, siege.post(&path, "application/json", &body)).await;
                let answer = answer.expect("an answer");
                let refusal: Value = serde_json::from_str(&answer.body).expect("JSON");
                // The largest is too large before anything is made of it.
                let expected = [(401, json!("IDENTITY_INVALID")), (413, json!("PAYLOAD_TOO_LARGE"))];
                assert!(expected.contains(&(answer.status, refusal["code"].clone())), "{}: {answer:?}", bomb.len());
            }
        })
        .await;
}
