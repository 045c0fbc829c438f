//! Python's jwcrypto, a JOSE library apart from ours.

use std::process::Command;

use serde_json::Value;

const KEY: &str = "
import base64, json, sys
from jwcrypto import jwk, jws
def key(text):
    if text.startswith('-----'):
        return jwk.JWK.from_pem(text.encode())
    return jwk.JWK(kty='oct', k=base64.urlsafe_b64encode(text.encode()).rstrip(b'=').decode())
";

/// Runs a script with arguments; what it prints.
fn python(script: &str, args: &[&str]) -> String {
    let run = Command::new("/usr/bin/python3").args(["-c", &format!("{KEY}{script}")]).args(args).output();
    let run = run.expect("/usr/bin/python3 runs");
    let fault = String::from_utf8_lossy(&run.stderr);
    assert!(!fault.contains("No module named 'jwcrypto'"), "install the package python3-jwcrypto: {fault}");
    assert!(run.status.success(), "{fault}");
    String::from_utf8(run.stdout).expect("UTF-8").trim().to_owned()
}

/// Its verdict on a token: header and claims, or `null`. The key is a secret, or PEM.
pub fn verify(token: &str, algorithm: &str, key: &str) -> Value {
    let script = "
token = jws.JWS()
token.deserialize(sys.argv[1])
try:
    token.verify(key(sys.argv[3]), alg=sys.argv[2])
    print(json.dumps({'header': token.jose_header, 'claims': json.loads(token.payload)}))
except jws.InvalidJWSSignature:
    print('null')
";
    serde_json::from_str(&python(script, &[token, algorithm, key])).expect("JSON")
}

/// A token that it signs.
pub fn sign(header: &Value, claims: &Value, algorithm: &str, key: &str) -> String {
    let script = "
token = jws.JWS(sys.argv[2])
token.add_signature(key(sys.argv[4]), alg=sys.argv[3], protected=sys.argv[1])
print(token.serialize(compact=True))
";
    python(script, &[&header.to_string(), &claims.to_string(), algorithm, key])
}

/// A PEM key as a JWK.
pub fn jwk(key: &str) -> Value {
    serde_json::from_str(&python("print(key(sys.argv[1]).export_public())", &[key])).expect("JSON")
}

/// A token that is signed and then sealed. Whatever its headers name is done, even where nobody should.
pub fn nested(inner: &str, claims: &str, signs: &str, outer: &str, seals: &str) -> String {
    let script = "
token = jws.JWS(sys.argv[2])
token.add_signature(key(sys.argv[3]), alg='RS256', protected=sys.argv[1])
print(sealed(token.serialize(compact=True), sys.argv[4], sys.argv[5]))
";
    python(&format!("{SEALED}{script}"), &[inner, claims, signs, outer, seals])
}

/// A text that is sealed.
pub fn sealed(text: &str, outer: &str, seals: &str) -> String {
    let script = "print(sealed(sys.argv[1], sys.argv[2], sys.argv[3]))";
    python(&format!("{SEALED}{script}"), &[text, outer, seals])
}

/// So many bytes of one letter, deflated and sealed.
#[allow(dead_code, reason = "of two suites, that of attacks alone needs it")]
pub fn bomb(size: usize, outer: &str, seals: &str) -> String {
    let script = "print(sealed('x' * int(sys.argv[1]), sys.argv[2], sys.argv[3]))";
    python(&format!("{SEALED}{script}"), &[&size.to_string(), outer, seals])
}

const SEALED: &str = "
from jwcrypto import jwe
def sealed(text, header, pem):
    algs = jwe.default_allowed_algs + ['RSA1_5', 'RSA-OAEP', 'RSA-OAEP-256', 'dir']
    token = jwe.JWE(text.encode(), protected=header, algs=algs)
    token.add_recipient(key(pem))
    return token.serialize(compact=True)
";

/// What a sealed and signed token says: `{\"outer\", \"inner\", \"claims\"}`, its headers and claims.
pub fn opened(token: &str, opens: &str, checks: &str) -> Value {
    let script = "
from jwcrypto import jwe
outer = jwe.JWE()
outer.deserialize(sys.argv[1], key=key(sys.argv[2]))
inner = jws.JWS()
inner.deserialize(outer.payload.decode(), key=key(sys.argv[3]), alg='RS256')
print(json.dumps({'outer': outer.jose_header, 'inner': inner.jose_header, 'claims': json.loads(inner.payload)}))
";
    serde_json::from_str(&python(script, &[token, opens, checks])).expect("JSON")
}
