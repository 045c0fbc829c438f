//! Web origins (RFC 6454) and an app's allow-list of them.
//!
//! Browsers send the ASCII serialisation of an origin, so a listed origin is normalised once, at
//! load, and a request's `Origin` is then compared byte for byte. No normalising of what a client
//! sent means no trick with case, ports or dots.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The `Origin` header field of a request, as sent. Nothing here is believed; only compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOrigin<'a> {
    /// No `Origin` field.
    Absent,
    /// The text of the one `Origin` field, `null` included.
    Sent(&'a str),
    /// Several fields, or bytes that no origin has: matches nothing.
    Malformed,
}

/// One tuple origin in its ASCII serialisation: scheme, host and a port if not the default one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(Box<str>);

impl Origin {
    /// The ASCII serialisation, as a browser sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not an origin or a pattern of origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidOrigin(&'static str);

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidOrigin {}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    /// Reads `scheme://host[:port]` with scheme `http` or `https`, and normalises case, default
    /// ports and international names.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        const SHAPE: InvalidOrigin =
            InvalidOrigin("must be http:// or https://, a host, and a port if not the default");
        let authority = text.split_once("://").ok_or(SHAPE)?.1;
        if authority.is_empty() || authority.contains(['/', '\\', '?', '#', '@', '*', ' ', '\t', '\n', '\r']) {
            return Err(SHAPE);
        }
        let url = Url::parse(text).map_err(|_| SHAPE)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SHAPE);
        }
        let origin = url.origin().ascii_serialization();
        // By an escape or another form of the letter (`%2a`, `＊`) a host could get what a wildcard is written with.
        if origin.contains('*') { Err(SHAPE) } else { Ok(Self(origin.into())) }
    }
}

/// An entry of an allow-list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pattern {
    /// `*`: every tuple origin. Not `null`, which must be listed by name.
    Any,
    /// `null`: the opaque origin of sandboxed frames and local files.
    Null,
    /// Exactly this origin.
    Exact(Origin),
    /// `https://*.example.com`: exactly one label in place of the star.
    Wildcard { scheme: Box<str>, suffix: Box<str> },
}

impl Pattern {
    fn allows(&self, sent: &str) -> bool {
        match self {
            Self::Any => sent != "null" && sent.parse::<Origin>().is_ok_and(|origin| origin.as_str() == sent),
            Self::Null => sent == "null",
            Self::Exact(origin) => origin.as_str() == sent,
            Self::Wildcard { scheme, suffix } => {
                sent.strip_prefix(&**scheme).and_then(|rest| rest.strip_suffix(&**suffix)).is_some_and(is_label)
            }
        }
    }
}

/// One DNS label as browsers serialise it: lower-case letters, digits, hyphens within.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl FromStr for Pattern {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        let Some((scheme, base)) = text.split_once("://*.") else {
            return text.parse().map(Self::Exact);
        };
        let base: Origin = format!("{scheme}://{base}").parse()?;
        let (scheme, host) = base.as_str().split_once("://").unwrap_or_default();
        let name = host.split(':').next().unwrap_or_default();
        if !matches!(Host::parse(name), Ok(Host::Domain(_))) || !name.contains('.') {
            return Err(InvalidOrigin("a wildcard must stand before a domain of at least two labels"));
        }
        Ok(Self::Wildcard { scheme: format!("{scheme}://").into(), suffix: format!(".{host}").into() })
    }
}

/// An allow-list of origins. Empty means that origins are not checked (Sigmic, "Origin
/// Validation": leave `allowedOrigins` empty to skip).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginSet {
    written: Vec<String>,
    patterns: Vec<Pattern>,
}

impl OriginSet {
    /// Reads a list of origins, `*`, `null` and wildcards such as `https://*.example.com`.
    ///
    /// # Errors
    /// The index of the first bad entry, and what is wrong with it.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<Self, (usize, InvalidOrigin)> {
        let mut set = Self::default();
        for (index, entry) in entries.iter().enumerate() {
            let entry = entry.as_ref();
            set.patterns.push(entry.parse().map_err(|fault| (index, fault))?);
            set.written.push(entry.to_owned());
        }
        Ok(set)
    }

    /// Whether there is nothing to check against.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether each origin is named in full: no wildcard, no `null`, and not an empty list.
    #[must_use]
    pub fn is_enumerated(&self) -> bool {
        !self.is_empty() && self.patterns.iter().all(|pattern| matches!(pattern, Pattern::Exact(_)))
    }

    /// The entries as written, for the token's `allowedOrigins`.
    #[must_use]
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// Whether the list names this origin. An empty list names none: "not checked" is the
    /// caller's decision.
    #[must_use]
    pub fn contains(&self, sent: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.allows(sent))
    }
}

/// What any of many lists names: it answers preflights before the app is known. However many lists
/// there are, an exact origin is one look-up, and each wildcard is tried once.
#[derive(Clone, Debug, Default)]
pub struct OriginUnion {
    exact: HashSet<Box<str>>,
    others: HashSet<Pattern>,
}

impl OriginUnion {
    /// Adds the entries of a list.
    pub fn extend(&mut self, list: &OriginSet) {
        for pattern in &list.patterns {
            match pattern {
                Pattern::Exact(origin) => drop(self.exact.insert(origin.as_str().into())),
                other => drop(self.others.insert(other.clone())),
            }
        }
    }

    /// Whether any of the lists names this origin.
    #[must_use]
    pub fn contains(&self, sent: &str) -> bool {
        self.exact.contains(sent) || self.others.iter().any(|pattern| pattern.allows(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(entries: &[&str]) -> OriginSet {
        OriginSet::parse(entries).expect("a list")
    }

    #[test]
    fn a_union_names_what_any_of_its_lists_names() {
        let lists = [set(&["https://a.example"]), set(&["https://*.b.example", "null"]), set(&["https://a.example"])];
        let mut union = OriginUnion::default();
        lists.iter().for_each(|list| union.extend(list));
        for sent in ["https://a.example", "https://x.b.example", "null", "https://b.example", "https://c.example", ""] {
            assert_eq!(union.contains(sent), lists.iter().any(|list| list.contains(sent)), "{sent}");
        }
        assert_eq!((union.exact.len(), union.others.len()), (1, 2), "each is there once");
    }

    #[test]
    fn exact_means_exact() {
        let list = set(&["https://mysite.com", "http://localhost:3000"]);
        assert!(list.contains("https://mysite.com"));
        assert!(list.contains("http://localhost:3000"));
        for other in [
            "https://www.mysite.com",
            "http://mysite.com",
            "https://mysite.com:8443",
            "https://mysite.com.evil.io",
            "https://evilmysite.com",
            "https://mysite.co",
            "https://MYSITE.com",
            "https://mysite.com/",
            "null",
            "",
            "https://mysite.com.",
            "https://mysite.com:443",
            "https://user@mysite.com",
        ] {
            assert!(!list.contains(other), "{other}");
        }
    }

    #[test]
    fn a_listed_origin_is_normalised_as_browsers_serialise_it() {
        let list = set(&["HTTPS://Shop.Example.com:443", "https://bücher.example"]);
        assert!(list.contains("https://shop.example.com"));
        assert!(list.contains("https://xn--bcher-kva.example"));
    }

    /// It would be one for whoever reads the list anew, such as a browser that is told who may frame a page.
    #[test]
    fn a_wildcard_is_not_written_by_an_escape() {
        for bad in ["https://%2a.example.com", "https://＊.example.com", "https://a.%2A.example.com", "https://*"] {
            assert!(OriginSet::parse(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_exactly_one_label() {
        let list = set(&["https://*.preview.example.com", "https://*.dev.example.com:8443"]);
        assert!(list.contains("https://pr-7.preview.example.com"));
        assert!(list.contains("https://a.dev.example.com:8443"));
        for other in [
            "https://preview.example.com",
            "https://.preview.example.com",
            "https://a.b.preview.example.com",
            "https://evil.com/.preview.example.com",
            "https://evilpreview.example.com",
            "http://a.preview.example.com",
            "https://a.preview.example.com:444",
            "https://a@.preview.example.com",
            "https://-a.preview.example.com",
            "https://A.preview.example.com",
            "https://a.dev.example.com",
        ] {
            assert!(!list.contains(other), "{other}");
        }
    }

    #[test]
    fn star_takes_every_origin_but_null_and_nonsense() {
        let list = set(&["*"]);
        assert!(list.contains("https://anything.example"));
        for other in ["null", "", "https://a.example/path", "file://", "javascript:alert(1)"] {
            assert!(!list.contains(other), "{other}");
        }
        assert!(set(&["null"]).contains("null"));
    }

    #[test]
    fn bad_entries_are_refused_with_their_index() {
        for bad in [
            "",
            "example.com",
            "https://",
            "ftp://a.example",
            "https://a.example/",
            "https://a.example/x",
            "https://*",
            "https://*.com",
            "https://a.*.example.com",
            "https://*.1.2.3.4",
            "https://u:p@a.example",
            "https://a example",
            "https://a.example?x",
            "https://*.*.example.com",
            "NULL",
            "https://a.example:99999",
        ] {
            let fault = OriginSet::parse(&["https://ok.example", bad]);
            assert_eq!(fault.map_err(|(index, _)| index), Err(1), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in ".{0,40}") {
            let _ = OriginSet::parse(&[&text]);
            let _ = set(&["*", "https://*.example.com"]).contains(&text);
        }

        #[test]
        fn what_is_listed_in_ascii_form_is_what_matches(host in "[a-z][a-z0-9]{0,8}(\\.[a-z][a-z0-9]{1,6}){1,2}", port in 1_u16..) {
            let written = format!("https://{host}:{port}");
            let list = set(&[&written]);
            let sent = if port == 443 { format!("https://{host}") } else { written };
            prop_assert!(list.contains(&sent));
            prop_assert!(!list.contains(&format!("{sent}x")), "a suffix must not match");
        }
    }
}
