//! What a customer's server sends to Sigmic's exchange, and what is kept of it.

use secrecy::ExposeSecret as _;
use serde_json::Value;
use sidegate_core::context::seal::Sealer;
use sidegate_core::context::{ContextKey, ContextLimits, SessionContext};
use sidegate_core::dialect::sigmic::parse_exchange;
use sidegate_core::duration::parse_lifetime;
use sidegate_core::entropy::{Entropy, EntropyUnavailable};
use sidegate_core::id::{AppId, TokenId};

use super::edits::edited;
use super::text::object;

const LIMITS: ContextLimits = ContextLimits { max_entries: 4, max_name: 8, max_value: 16, max_total: 48 };

/// The nonce is the same each time, so that an input that fails once fails again.
struct Fives;

impl Entropy for Fives {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        bytes.fill(5);
        Ok(())
    }
}

/// See `fuzz_targets/exchange.rs`.
pub fn exchange(data: &[u8]) {
    if let Some(context) = asked(data) {
        sealed(&context, data);
    }
    if let Some(context) = SessionContext::from_plaintext(data) {
        let plain = context.to_plaintext().expect("a plaintext");
        let again = SessionContext::from_plaintext(&plain).expect("a context");
        assert_eq!(again.to_plaintext().expect("a plaintext"), plain);
    }
}

/// What is asked for is what stands there, within its limits; what is secret is not shown.
fn asked(body: &[u8]) -> Option<SessionContext> {
    let wire = parse_exchange(body).ok()?;
    let said = object(body);
    assert_eq!(said["appId"], wire.credential.unverified_app);
    let secret = wire.credential.secret.expose_secret();
    assert_eq!(said["appSecret"], secret);
    let mut others = said.clone();
    others.remove("appSecret");
    let stands_elsewhere = Value::from(others).to_string().contains(secret);
    assert!(secret.len() < 24 || stands_elsewhere || !format!("{wire:?}").contains(secret));
    let asked = wire.into_request(&LIMITS).ok()?;
    assert_eq!(said["endUserId"], asked.subject.as_str());
    let lifetime = said.get("expiresIn").filter(|text| !text.is_null()).map(|text| text.as_str().expect("text"));
    assert_eq!(lifetime.map(parse_lifetime).transpose().ok().flatten(), asked.lifetime);
    let mut total = 0;
    for field in ["env", "secrets"] {
        let entries = said.get(field).and_then(Value::as_object).into_iter().flatten();
        for (name, value) in entries {
            let found = if field == "env" { asked.context.env(name) } else { asked.context.secret(name) };
            assert_eq!(found.map(|value| value.expose_secret()), value.as_str(), "{field}.{name}");
            let is_name = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
            assert!(
                (1..=LIMITS.max_name).contains(&name.len())
                    && name.chars().all(is_name)
                    && !name.starts_with(|first: char| first.is_ascii_digit())
            );
            let length = value.as_str().map_or(0, str::len);
            assert!(length <= LIMITS.max_value);
            total += name.len() + length;
        }
    }
    assert!(total <= LIMITS.max_total);
    Some(asked.context)
}

/// A record opens for its token, and for no other; changed, it opens for nobody.
fn sealed(context: &SessionContext, edits: &[u8]) {
    let sealer = Sealer::from_text(&"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into()).expect("a key");
    let [app, other] = ["wapp_1", "wapp_2"].map(|id| AppId::parse(id).expect("an id"));
    let [token, another] = ["t1", "t2"].map(|id| TokenId::parse(id).expect("an id"));
    let plain = context.to_plaintext().expect("a plaintext");
    let record = sealer.seal(ContextKey { app: &app, token: &token }, &plain, &Fives).expect("sealed");
    let open = |app, token, record: &[u8]| sealer.open(ContextKey { app, token }, record);
    assert_eq!(open(&app, &token, &record).as_ref(), Some(&plain));
    assert!(open(&other, &token, &record).is_none() && open(&app, &another, &record).is_none());
    let letters: String = record.iter().map(|byte| char::from(*byte)).collect();
    let changed: Vec<u8> = edited(&letters, edits).chars().filter_map(|letter| u8::try_from(letter).ok()).collect();
    assert_eq!(open(&app, &token, &changed).is_some(), changed == record);
}
