//! The asset routes: which of the CDN's files a page may have through the gate, and links in them.

use std::fmt;

/// The template of both routes, for logs.
pub const ASSET_TEMPLATE: &str = "/api/chatkit/assets/{path}";

/// The methods of both, for `Allow` and preflights.
pub const ASSET_METHODS: &str = "GET, HEAD";

const PREFIX: &str = "/api/chatkit/assets/";
/// What scripts and pages of the CDN name absolutely.
const ROOT_PREFIX: &str = "/assets/ck1/";
const DEPLOYMENT: &str = "/deployments/chatkit/";

/// Longer than any name of a file; in bytes.
const LONGEST: usize = 1_024;

/// A path below the CDN's base URL: in one of the two folders, whoever reads it and however often it
/// is decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssetPath(String);

impl AssetPath {
    /// The path to ask for; `None` where `path`, of a request's target, could be read as leading
    /// elsewhere: see [`is_plain`].
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (folder, rest) = split(path)?;
        (is_plain(rest) && path.len() <= LONGEST).then(|| Self(format!("{folder}{rest}")))
    }

    /// It begins with `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AssetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a path is one of the asset routes', whatever follows.
#[must_use]
pub fn is_asset(path: &str) -> bool {
    split(path).is_some()
}

/// The CDN's folder, and what follows the route's prefix.
fn split(path: &str) -> Option<(&'static str, &str)> {
    if let Some(rest) = path.strip_prefix(ROOT_PREFIX) {
        return Some((ROOT_PREFIX, rest));
    }
    let rest = path.strip_prefix(PREFIX)?;
    Some(rest.strip_prefix("ck1/").map_or((DEPLOYMENT, rest), |rest| (ROOT_PREFIX, rest)))
}

/// Whether all readers of a path, or of a part of it between slashes, take it for the same: names
/// without anything that separates, that could be decoded into what does, or that goes up. Names of
/// dots alone are refused, and with them any `%2e`; so are `%25`, `;`, `:`, backslashes, empty names,
/// and whatever is not printable ASCII.
#[must_use]
pub fn is_plain(path: &str) -> bool {
    path.split('/').all(|name| !name.bytes().all(|byte| byte == b'.') && is_plain_name(name.as_bytes()))
}

fn is_plain_name(mut name: &[u8]) -> bool {
    while let Some((first, rest)) = name.split_first() {
        name = match (first, rest) {
            (b'%', [high, low, rest @ ..]) if decoded(*high, *low).is_some_and(is_harmless) => rest,
            (b'%', _) => return false,
            (byte, rest) if is_written(*byte) => rest,
            _ => return false,
        };
    }
    true
}

/// The byte of two hexadecimal digits.
fn decoded(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// What may stand there as it is.
const fn is_written(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b'@'
        )
}

/// What may stand there encoded.
const fn is_harmless(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\' | b'.' | b'%' | b'?' | b'#' | b':' | b';')
}

/// A page of the CDN with its absolute links to `/assets/ck1/` led through the gate; `None` if it has
/// none. Nothing else is touched: no script or check is taken out.
#[must_use]
pub fn rewritten(html: &[u8]) -> Option<Vec<u8>> {
    /// Goes in front of a link's path.
    const INSERTED: &[u8] = b"/api/chatkit";
    let mut out = Vec::new();
    let mut copied = 0;
    for start in links(html) {
        out.extend_from_slice(&html[copied..start]);
        out.extend_from_slice(INSERTED);
        copied = start;
    }
    (copied > 0).then(|| {
        out.extend_from_slice(&html[copied..]);
        out
    })
}

/// Where the paths of `href="/assets/ck1/…` and `src="/assets/ck1/…` begin, in either kind of quotes.
fn links(html: &[u8]) -> impl Iterator<Item = usize> {
    let quotes = html.iter().enumerate().filter(|(_, byte)| matches!(byte, b'"' | b'\''));
    quotes.map(|(quote, _)| quote + 1).filter(|start| {
        let before = &html[..start - 1];
        html[*start..].starts_with(ROOT_PREFIX.as_bytes()) && (before.ends_with(b"href=") || before.ends_with(b"src="))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn upstream(path: &str) -> Option<String> {
        AssetPath::parse(path).map(|path| path.0)
    }

    #[test]
    fn each_route_has_its_folder() {
        for (path, expected) in [
            ("/api/chatkit/assets/chatkit.js", "/deployments/chatkit/chatkit.js"),
            ("/api/chatkit/assets/a/b-1.css", "/deployments/chatkit/a/b-1.css"),
            ("/api/chatkit/assets/ck1/index-Ab_1.js", "/assets/ck1/index-Ab_1.js"),
            ("/assets/ck1/fonts/%5Bid%5d.woff2", "/assets/ck1/fonts/%5Bid%5d.woff2"),
            ("/api/chatkit/assets/ck1", "/deployments/chatkit/ck1"),
            ("/api/chatkit/assets/a..b/..c", "/deployments/chatkit/a..b/..c"),
        ] {
            assert_eq!(upstream(path).as_deref(), Some(expected));
        }
        for path in ["/api/chatkit", "/api/chatkit/assets", "/api/chatkit/assetsx/a", "/assets/ck2/a", "/assets/a", "/"]
        {
            assert!(!is_asset(path), "{path}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_asset() {
        for rest in [
            "",
            ".",
            "..",
            "../x",
            "a/..",
            "a/../b",
            "...",
            "%2e%2e/x",
            "%2E%2e/x",
            ".%2e/x",
            "%252e%252e/x",
            "a%2f..%2fb",
            "a%5cb",
            "a\\b",
            "..\\x",
            "a//b",
            "a/",
            "/a",
            "%00",
            "a%0d%0ab",
            "a%7f",
            "a\u{7f}",
            "%c0%ae%c0%ae/x",
            "\u{ff0e}",
            "https://evil.example/x",
            "https:/x",
            "%3a",
            "..;/x",
            "a;b",
            "%3b",
            "%3fa",
            "%23a",
            "a%",
            "a%2",
            "a%zz",
            "a b",
            "..%20/x",
            "a\"b",
            "<a>",
            "[a]",
            "{a}",
            "a|b",
            "a^b",
            "a`b",
        ] {
            for prefix in [PREFIX, ROOT_PREFIX, "/api/chatkit/assets/ck1/"] {
                assert_eq!(upstream(&format!("{prefix}{rest}")), None, "{prefix}{rest}");
            }
        }
        assert_eq!(upstream(&format!("{PREFIX}{}", "a".repeat(LONGEST))), None);
    }

    /// What a lenient reader may make of a path: decoded once more each round, backslashes taken for
    /// slashes, parameters dropped, dots resolved.
    fn resolved(path: &str, rounds: usize) -> String {
        let mut path = path.as_bytes().to_vec();
        for _ in 0..rounds {
            let mut out = Vec::new();
            let mut rest = &*path;
            while let Some((first, after)) = rest.split_first() {
                let byte = match after {
                    [high, low, ..] if *first == b'%' => decoded(*high, *low),
                    _ => None,
                };
                rest = if byte.is_some() { &after[2..] } else { after };
                out.push(byte.unwrap_or(*first));
            }
            path = out;
        }
        let text = String::from_utf8_lossy(&path).replace('\\', "/");
        let mut names: Vec<&str> = Vec::new();
        for name in text.split(['?', '#']).next().unwrap_or_default().split('/') {
            match name.split(';').next().unwrap_or_default() {
                ".." => drop(names.pop()),
                "" | "." => {}
                name => names.push(name),
            }
        }
        format!("/{}", names.join("/"))
    }

    proptest! {
        #[test]
        fn no_accepted_path_leads_out_of_the_two_folders(
            prefix in prop::sample::select(vec![PREFIX, ROOT_PREFIX, "/api/chatkit/assets/ck1/", "/assets/", "/"]),
            rest in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        "/", ".", "..", "\\", "%", "%2e", "%2F", "%5c", "%25", "%252e", ";", "?", "#", ":", "@", "a", "ck1",
                        "\0", "\n", "//evil.example", "%00", "%c0%ae", "~", "x.js", "%20",
                    ]).prop_map(str::to_owned),
                    "\\PC{0,3}",
                    "[a-z0-9.%/]{0,6}",
                ],
                0..8,
            ),
        ) {
            let path = format!("{prefix}{}", rest.concat());
            if let Some(accepted) = upstream(&path) {
                let inside = |path: &str| [DEPLOYMENT, ROOT_PREFIX].iter().any(|folder| path.starts_with(folder));
                for rounds in 0..4 {
                    prop_assert!(inside(&resolved(&accepted, rounds)), "{path} -> {accepted}, {rounds}");
                }
                let url = Url::parse(&format!("https://cdn.example{accepted}")).expect("a URL");
                prop_assert!(url.host_str() == Some("cdn.example") && url.path() == accepted && url.query().is_none());
            }
        }

        #[test]
        fn only_links_grow(html in "[a-z \"'=/]{0,40}", tail in "(src=\"/assets/ck1/x\"|href='/assets/ck1/|/assets/ck1/){0,3}") {
            let html = format!("{html}{tail}");
            let out = rewritten(html.as_bytes()).map_or(html.clone(), |out| String::from_utf8(out).expect("UTF-8"));
            prop_assert_eq!(out.replace("=\"/api/chatkit/assets/ck1/", "=\"/assets/ck1/").replace("='/api/chatkit/assets/ck1/", "='/assets/ck1/"), html);
        }
    }

    #[test]
    fn links_to_the_root_lead_through_the_gate_and_nothing_else_changes() {
        let html = b"<script src=\"/assets/ck1/a.js\"></script><link href='/assets/ck1/a.css'><a href=\"/assets/ck2/\">\
            <img src=\"https://x/assets/ck1/\"> \"/assets/ck1/\" src=/assets/ck1/ content=\"/assets/ck1/b\"<script>verify()</script>\xff";
        let expected =
            b"<script src=\"/api/chatkit/assets/ck1/a.js\"></script><link href='/api/chatkit/assets/ck1/a.css'>\
            <a href=\"/assets/ck2/\"><img src=\"https://x/assets/ck1/\"> \"/assets/ck1/\" src=/assets/ck1/ \
            content=\"/assets/ck1/b\"<script>verify()</script>\xff";
        assert_eq!(rewritten(html), Some(expected.to_vec()));
        assert_eq!(rewritten(b"<a href=\"/assets/\">"), None);
    }
}
