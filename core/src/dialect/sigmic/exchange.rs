//! The body of `POST /api/v1/auth/token` (seeds/003, "Exchange Credentials for a JWT").

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::context::{ContextLimits, SessionContext, printable};
use crate::credential::AppCredential;
use crate::denial::{Code, Denial};
use crate::duration::parse_lifetime;
use crate::id::EndUserId;
use crate::json;
use crate::leash::Leash;
use crate::policy::ExchangeRequest;

/// The parsed body: the credential to check first, and what is asked for.
#[derive(Debug)]
pub struct Wire {
    /// `appId` and `appSecret`.
    pub credential: AppCredential,
    end_user_id: EndUserId,
    expires_in: Field,
    env: Field,
    secrets: Field,
    leash: Option<Value>,
}

#[derive(serde::Deserialize)]
struct Body {
    #[serde(default, rename = "appId")]
    app_id: Field,
    #[serde(default, rename = "appSecret")]
    app_secret: Field,
    #[serde(default, rename = "endUserId")]
    end_user_id: Field,
    #[serde(default, rename = "expiresIn")]
    expires_in: Field,
    #[serde(default)]
    env: Field,
    #[serde(default)]
    secrets: Field,
    /// Ours: the vendor has none.
    #[serde(default)]
    leash: Option<Value>,
}

/// Reads the body; fields of other names are ignored, as the vendor does.
///
/// # Errors
/// [`Code::InvalidRequest`] if it is no JSON object, [`Code::MissingCredentials`],
/// [`Code::MissingEndUserId`].
pub fn parse_exchange(body: &[u8]) -> Result<Wire, Denial> {
    let unreadable =
        |fault: json::InvalidJson| Denial::because(Code::InvalidRequest, format!("The body is refused: {fault}"));
    let body = json::check_object(body).map_err(unreadable)?;
    let body: Body = serde_json::from_str(body).map_err(|fault| unreadable(fault.into()))?;
    let (Some(app), Some(secret)) = (body.app_id.into_text(), body.app_secret.into_text()) else {
        return Err(Code::MissingCredentials.into());
    };
    let end_user_id = body.end_user_id.into_text().ok_or(Code::MissingEndUserId)?;
    let end_user_id = EndUserId::parse(end_user_id.expose_secret())
        .map_err(|rule| Denial::because(Code::InvalidRequest, format!("endUserId {rule}")))?;
    Ok(Wire {
        credential: AppCredential { unverified_app: app.expose_secret().to_owned(), secret },
        end_user_id,
        expires_in: body.expires_in,
        env: body.env,
        secrets: body.secrets,
        leash: body.leash,
    })
}

impl Wire {
    /// What is asked for, once the caller is known.
    ///
    /// # Errors
    /// [`Code::InvalidExpiresIn`], [`Code::InvalidEnv`], [`Code::InvalidRequest`] for the leash.
    pub fn into_request(self, limits: &ContextLimits) -> Result<ExchangeRequest, Denial> {
        let lifetime = match self.expires_in {
            Field::Absent => None,
            Field::Text(text) => Some(parse_lifetime(text.expose_secret()).map_err(|_| Code::InvalidExpiresIn)?),
            Field::Object(_) | Field::Other => return Err(Code::InvalidExpiresIn.into()),
        };
        let context =
            SessionContext::new(self.env.into_entries("env")?, self.secrets.into_entries("secrets")?, limits)?;
        let leash = Leash::asked(self.leash)?;
        let (workflow, details) = (None, Map::new());
        Ok(ExchangeRequest { subject: self.end_user_id, lifetime, context, workflow, leash, details })
    }
}

/// A field, whatever stands in it. Text goes straight into a type that cannot be printed: which
/// field holds the secret is not known before the whole body is read. `null` counts as absent.
#[derive(Debug, Default)]
enum Field {
    #[default]
    Absent,
    Text(SecretString),
    Object(Vec<(String, Field)>),
    Other,
}

impl Field {
    fn into_text(self) -> Option<SecretString> {
        match self {
            Self::Text(text) if !text.expose_secret().is_empty() => Some(text),
            _ => None,
        }
    }

    /// The entries of `env` or `secrets`.
    fn into_entries(self, field: &str) -> Result<Vec<(String, SecretString)>, Denial> {
        let entries = match self {
            Self::Absent => return Ok(Vec::new()),
            Self::Text(_) | Self::Other => return Err(invalid_env(format!("{field} must be an object of strings"))),
            Self::Object(entries) => entries,
        };
        entries
            .into_iter()
            .map(|(name, value)| match value {
                Self::Text(value) => Ok((name, value)),
                Self::Absent | Self::Object(_) | Self::Other => {
                    Err(invalid_env(format!("{field}: the value of \"{}\" must be a string", printable(&name))))
                }
            })
            .collect()
    }
}

fn invalid_env(message: String) -> Denial {
    Denial::because(Code::InvalidEnv, message)
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(text.into()))
    }
    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Absent)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
        Ok(Field::Other)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Field, E> {
        Ok(Field::Other)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Field, E> {
        Ok(Field::Other)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Other)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Field, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Field, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = members.next_entry()? {
            entries.push(entry);
        }
        Ok(Field::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ContextLimits = ContextLimits { max_entries: 8, max_name: 64, max_value: 64, max_total: 256 };

    fn outcome(body: &str) -> Result<ExchangeRequest, Code> {
        parse_exchange(body.as_bytes()).and_then(|wire| wire.into_request(&LIMITS)).map_err(|denial| denial.code)
    }

    fn with(fields: &str) -> String {
        format!(r#"{{"appId":"wapp_1","appSecret":"wsec_1","endUserId":"u1"{fields}}}"#)
    }

    #[test]
    fn reads_the_documented_request() {
        let request = outcome(&with(r#","expiresIn":"30m","env":{"TENANT":"acme"},"secrets":{"T":"s"},"more":[1]"#));
        let request = request.expect("a request");
        assert_eq!(request.subject.as_str(), "u1");
        assert_eq!(request.lifetime.map(|span| span.as_secs()), Some(1_800));
        assert_eq!(request.context.env("TENANT").map(ExposeSecret::expose_secret), Some("acme"));
        assert_eq!(request.context.secret("T").map(ExposeSecret::expose_secret), Some("s"));
    }

    #[test]
    fn null_is_absent() {
        let request = outcome(&with(r#","expiresIn":null,"env":null,"secrets":null"#)).expect("a request");
        assert!(request.lifetime.is_none() && request.context.is_empty());
    }

    #[test]
    fn each_fault_has_its_code() {
        for (body, code) in [
            ("", Code::InvalidRequest),
            ("[]", Code::InvalidRequest),
            (r#"{"appId":"a","appId":"b"}"#, Code::InvalidRequest),
            ("{}", Code::MissingCredentials),
            (r#"{"appId":"a","endUserId":"u"}"#, Code::MissingCredentials),
            (r#"{"appSecret":"a","endUserId":"u"}"#, Code::MissingCredentials),
            (r#"{"appId":"","appSecret":"s","endUserId":"u"}"#, Code::MissingCredentials),
            (r#"{"appId":7,"appSecret":"s","endUserId":"u"}"#, Code::MissingCredentials),
            (r#"{"appId":"a","appSecret":"s"}"#, Code::MissingEndUserId),
            (r#"{"appId":"a","appSecret":"s","endUserId":""}"#, Code::MissingEndUserId),
            (r#"{"appId":"a","appSecret":"s","endUserId":null}"#, Code::MissingEndUserId),
            (r#"{"appId":"a","appSecret":"s","endUserId":"a\nb"}"#, Code::InvalidRequest),
            (&with(r#","expiresIn":3600"#), Code::InvalidExpiresIn),
            (&with(r#","expiresIn":"0s""#), Code::InvalidExpiresIn),
            (&with(r#","expiresIn":"""#), Code::InvalidExpiresIn),
            (&with(r#","env":[]"#), Code::InvalidEnv),
            (&with(r#","env":"x""#), Code::InvalidEnv),
            (&with(r#","env":{"A":1}"#), Code::InvalidEnv),
            (&with(r#","secrets":{"A":null}"#), Code::InvalidEnv),
            (&with(r#","secrets":{"1A":"x"}"#), Code::InvalidEnv),
            (&with(r#","secrets":{"A":{"B":"c"}}"#), Code::InvalidEnv),
        ] {
            assert_eq!(outcome(body).err(), Some(code), "{body}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let wire = parse_exchange(with(r#","secrets":{"A":"canary"}"#).as_bytes()).expect("read");
        let shown = format!("{wire:?}");
        assert!(!shown.contains("canary") && !shown.contains("wsec_1"), "{shown}");
    }
}
