//! A JWT of the customer's own (RFC 7519), from its login for example.

use std::fmt;

use http::HeaderMap;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::{Map, Value};

use super::Carrier;
use crate::clock::Timestamp;
use crate::denial::{Code, Denial};
use crate::id::EndUserId;
use crate::token::{CLOCK_LEEWAY, UnverifiedToken, VerifyingKeys};

/// Who shows such a JWT may have a token.
#[derive(Clone, Debug)]
pub struct JwtRule {
    /// Where it stands.
    pub carrier: Carrier,
    /// What verifies it.
    pub keys: VerifyingKeys,
    /// Its `iss`, if that is asked for.
    pub issuer: Option<String>,
    /// One of its `aud`, if that is asked for; a JWT with `aud` is refused without (RFC 7519 section 4.1.3).
    pub audience: Option<String>,
    /// The claim that names the end user.
    pub claim: String,
}

impl JwtRule {
    /// The end user, if the JWT is right: signature, `exp`, which must be there, `nbf`, `iss`, `aud`.
    ///
    /// # Errors
    /// [`Code::AuthRequired`] without one, else [`Code::NotAuthorized`].
    pub(super) fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<EndUserId, Denial> {
        let text = self.carrier.shown(headers)?.ok_or(Code::AuthRequired)?;
        let claims = UnverifiedToken::<Claims>::parse(text).and_then(|token| token.verify(&self.keys));
        let claims = claims.map_err(|_| Code::NotAuthorized)?;
        self.end_user(&claims, now).ok_or_else(|| Code::NotAuthorized.into())
    }

    fn end_user(&self, Claims(claims): &Claims, now: Timestamp) -> Option<EndUserId> {
        let expires_at = date(claims.get("exp")?)?;
        let not_before = claims.get("nbf").map_or(Some(Timestamp::from_seconds(0)), date)?;
        if now >= expires_at.plus(CLOCK_LEEWAY) || now.plus(CLOCK_LEEWAY) < not_before {
            return None;
        }
        let issued_by = |issuer: &String| claims.get("iss").and_then(Value::as_str) == Some(issuer.as_str());
        let known = self.issuer.as_ref().is_none_or(issued_by) && self.is_for_us(claims.get("aud"));
        claims.get(&self.claim)?.as_str().filter(|_| known)?.parse().ok()
    }

    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        match (&self.audience, audience) {
            (None, audience) => audience.is_none(),
            (Some(ours), Some(Value::String(audience))) => audience == ours,
            (Some(ours), Some(Value::Array(list))) => list.iter().any(|audience| audience.as_str() == Some(ours)),
            (Some(_), _) => false,
        }
    }
}

/// A `NumericDate`: seconds since the epoch, which may have a fraction.
fn date(value: &Value) -> Option<Timestamp> {
    // Until the year 9999.
    const LAST: f64 = 253_402_300_799.0;
    let seconds = value.as_f64().filter(|seconds| (0.0..=LAST).contains(seconds))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    Some(Timestamp::from_seconds(seconds as u64))
}

/// Claims, each of which stands there once.
#[derive(Debug)]
struct Claims(Map<String, Value>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once)
    }
}

struct Once;

impl<'de> Visitor<'de> for Once {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without duplicate names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Claims, A::Error> {
        let mut claims = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if claims.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("a claim stands there twice"));
            }
        }
        Ok(Claims(claims))
    }
}
