//! Templates in their places: a header field, a URL, a JSON value. Each place encodes or refuses,
//! so that no value can change the structure around it.

use http::HeaderValue;
use serde_json::Value;
use url::Url;

use super::template::{Scope, Template, Values};
use crate::denial::{Code, Denial};

/// A header field's value.
#[derive(Clone, Debug)]
pub enum HeaderTemplate {
    /// Known at load.
    Fixed(HeaderValue),
    /// Filled for each request.
    Filled(Template),
}

impl HeaderTemplate {
    /// Parses a header template.
    ///
    /// # Errors
    /// As [`Template::parse`], and for literal text that no header field may hold.
    pub fn parse(text: &str, scope: Scope<'_>) -> Result<Self, String> {
        let template = Template::parse(text, scope)?;
        match template.as_literal() {
            Some(literal) => header_value(literal).map(Self::Fixed).ok_or_else(|| "holds a control character".into()),
            None => Ok(Self::Filled(template)),
        }
    }

    /// The value for one request; `None` leaves the field out.
    ///
    /// # Errors
    /// [`Code::ContextUnresolved`] for a missing value, one with a control character, or spaces around the whole.
    pub fn render(&self, values: Values<'_>) -> Result<Option<HeaderValue>, Denial> {
        let template = match self {
            Self::Fixed(value) => return Ok(Some(value.clone())),
            Self::Filled(template) => template,
        };
        let Some(text) = template.render(values, as_it_is)? else {
            return Ok(None);
        };
        // A reader drops outer spaces (RFC 9110 section 5.5), and so would take one end user for another.
        let value = header_value(&text).filter(|_| text.trim() == text.as_str()).ok_or_else(|| {
            Denial::because(Code::ContextUnresolved, "A value of this token may not stand in a header")
        })?;
        Ok(Some(value))
    }

    pub(crate) const fn template(&self) -> Option<&Template> {
        match self {
            Self::Fixed(_) => None,
            Self::Filled(template) => Some(template),
        }
    }
}

/// Visible text and UTF-8 without control characters (RFC 9110 section 5.5), never shown by Debug.
fn header_value(text: &str) -> Option<HeaderValue> {
    if text.chars().any(char::is_control) {
        return None;
    }
    let mut value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn as_it_is(value: &str, out: &mut String) {
    out.push_str(value);
}

/// Appends `value` percent-encoded: all but RFC 3986's unreserved characters.
pub fn percent_encode(value: &str, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// A URL with placeholders in its path or query; in its host, or for the whole of it, only if hosts
/// are listed.
#[derive(Clone, Debug)]
pub struct UrlTemplate {
    template: Template,
    encode: fn(&str, &mut String),
    /// Checked after filling; `None` where the host is written out.
    hosts: Option<Vec<String>>,
}

impl UrlTemplate {
    fn new(template: Template, allowed_hosts: &[String]) -> Result<Self, String> {
        let after_scheme = template.leading_literal().split_once("://").map_or("", |(_, rest)| rest);
        // Of an empty one some readers take what comes behind the next slash for the host (the URL standard).
        let authority = after_scheme.split_once(['/', '?', '#']).map_or("", |(authority, _)| authority);
        let odd = |letter: char| letter.is_control() || letter.is_whitespace() || letter == '\\';
        let is_written = !authority.is_empty() && !authority.contains(odd);
        let host_is_written = is_written || template.as_literal().is_some();
        if !host_is_written && allowed_hosts.is_empty() {
            return Err("a placeholder may stand in a URL's host only if `allowed_hosts` lists the hosts".into());
        }
        // A value that is the URL itself cannot be encoded; its host is checked all the same.
        let encode = if template.leading_literal().is_empty() { as_it_is } else { percent_encode };
        Ok(Self { template, encode, hosts: (!host_is_written).then(|| allowed_hosts.to_vec()) })
    }

    fn render(&self, values: Values<'_>) -> Result<Option<zeroize::Zeroizing<String>>, Denial> {
        let Some(text) = self.template.render(values, self.encode)? else {
            return Ok(None);
        };
        if has_dot_segment(&text) {
            return Err(Denial::because(Code::ContextUnresolved, "A value of this token would change a URL's path"));
        }
        if self.hosts.as_ref().is_some_and(|hosts| !hosts.iter().any(|host| leads_to(&text, host))) {
            return Err(Denial::because(
                Code::ContextUnresolved,
                "A value of this token leads to a host that is not allowed",
            ));
        }
        Ok(Some(text))
    }
}

/// Whether every reader of a URL finds this host in it. They differ on what a user in front of a host, a backslash, a
/// space or another script leads to (RFC 3986, the URL standard): so scheme, host and port must stand as they are.
fn leads_to(url: &str, host: &str) -> bool {
    let rest = ["https://", "http://", "wss://", "ws://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let Some((found, port)) = authority.split_at_checked(host.len()) else { return false };
    let port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let plain = |letter: char| !letter.is_control() && !letter.is_whitespace() && letter != '\\';
    !host.is_empty() && found.eq_ignore_ascii_case(host) && port && url.chars().all(plain) && Url::parse(url).is_ok()
}

/// Digits alone: `parse` would take a sign as well.
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Whether a path goes up or stays, by whatever a reader takes for `.` and `..` (URL Standard, "URL path segment"): an
/// escaped dot, segments between backslashes; tabs, line ends and space around the whole count for nothing.
fn has_dot_segment(url: &str) -> bool {
    let is_dots = |segment: &str| {
        let may_be = !segment.is_empty() && segment.bytes().all(|byte| b".%2eE\t\n\r".contains(&byte));
        may_be && matches!(&*segment.replace(['\t', '\n', '\r'], "").to_lowercase().replace("%2e", "."), "." | "..")
    };
    url.trim_matches(|letter: char| letter <= ' ').split(['/', '\\', '?', '#']).any(is_dots)
}

/// A JSON value whose strings may be templates.
#[derive(Clone, Debug)]
pub enum JsonTemplate {
    /// JSON text, known at load. Never printed: it may hold service secrets.
    Fixed(secrecy::SecretString),
    /// A string to fill.
    Text(Template),
    /// A string that begins as a URL does.
    Url(UrlTemplate),
    /// An array with something to fill in it.
    Array(Vec<Self>),
    /// An object with something to fill in it; names are fixed.
    Object(Vec<(String, Self)>),
}

impl JsonTemplate {
    /// Compiles a value from the config.
    ///
    /// # Errors
    /// As [`Template::parse`], and for a placeholder in a URL's host without `allowed_hosts`.
    pub fn compile(value: &Value, scope: Scope<'_>, allowed_hosts: &[String]) -> Result<Self, String> {
        let compiled = match value {
            Value::String(text) => Self::compile_text(text, scope, allowed_hosts)?,
            Value::Array(items) => Self::Array(
                items.iter().map(|item| Self::compile(item, scope, allowed_hosts)).collect::<Result<_, _>>()?,
            ),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), Self::compile_member(name, value, scope, allowed_hosts)?)))
                    .collect::<Result<_, String>>()?,
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::Fixed(value.to_string().into()),
        };
        Ok(compiled)
    }

    /// A member named `url` leads somewhere, also if a placeholder stands for the whole of it.
    fn compile_member(name: &str, value: &Value, scope: Scope<'_>, allowed_hosts: &[String]) -> Result<Self, String> {
        match value {
            Value::String(text) if name.eq_ignore_ascii_case("url") && text.trim_start().starts_with("{{") => {
                let template = Template::parse(text, scope)?;
                match template.as_literal() {
                    Some(literal) => Ok(Self::Fixed(quote(literal).into())),
                    None => UrlTemplate::new(template, allowed_hosts).map(Self::Url),
                }
            }
            _ => Self::compile(value, scope, allowed_hosts),
        }
    }

    fn compile_text(text: &str, scope: Scope<'_>, allowed_hosts: &[String]) -> Result<Self, String> {
        let template = Template::parse(text, scope)?;
        if let Some(literal) = template.as_literal() {
            return Ok(Self::Fixed(quote(literal).into()));
        }
        let scheme = template.leading_literal().split_once("://").map_or("", |(scheme, _)| scheme);
        let is_url = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
        if is_url { UrlTemplate::new(template, allowed_hosts).map(Self::Url) } else { Ok(Self::Text(template)) }
    }

    /// The JSON text for one request; `None` leaves the value out.
    ///
    /// # Errors
    /// [`Code::ContextUnresolved`].
    pub fn render(&self, values: Values<'_>) -> Result<Option<String>, Denial> {
        use secrecy::ExposeSecret as _;
        Ok(match self {
            Self::Fixed(json) => Some(json.expose_secret().to_owned()),
            Self::Text(template) => template.render(values, as_it_is)?.map(|text| quote(&text)),
            Self::Url(url) => url.render(values)?.map(|text| quote(&text)),
            Self::Array(items) => {
                let items = items.iter().filter_map(|item| item.render(values).transpose());
                Some(format!("[{}]", items.collect::<Result<Vec<_>, _>>()?.join(",")))
            }
            Self::Object(members) => {
                let members = members.iter().filter_map(|(name, value)| {
                    let value = value.render(values).transpose()?;
                    Some(value.map(|value| format!("{}:{value}", quote(name))))
                });
                Some(format!("{{{}}}", members.collect::<Result<Vec<_>, _>>()?.join(",")))
            }
        })
    }

    pub(crate) fn any(&self, test: fn(&Template) -> bool) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Text(template) => test(template),
            Self::Url(url) => test(&url.template),
            Self::Array(items) => items.iter().any(|item| item.any(test)),
            Self::Object(members) => members.iter().any(|(_, value)| value.any(test)),
        }
    }
}

/// A JSON string literal (RFC 8259 section 7).
fn quote(text: &str) -> String {
    Value::from(text).to_string()
}
