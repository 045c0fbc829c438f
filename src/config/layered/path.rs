//! Dotted key paths as shown to people: `apps[0].token.ttl`, `apps[0].body."/mcp_servers"`.

/// The path of `key` inside the table at `parent`. Keys that are not bare TOML keys are quoted.
pub(super) fn child(parent: &str, key: &str) -> String {
    let key = quoted(key);
    if parent.is_empty() { key } else { format!("{parent}.{key}") }
}

/// The path of the element `index`, from 0, of the array at `parent`.
pub(super) fn element(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// `tail` (a path relative to `parent`, such as `[2]` or `env`) appended to `parent`.
pub(super) fn join(parent: &str, tail: &str) -> String {
    if parent.is_empty() || tail.is_empty() || tail.starts_with('[') {
        format!("{parent}{tail}")
    } else {
        format!("{parent}.{tail}")
    }
}

/// The key as TOML writes it: bare where possible, else a basic string.
pub(super) fn quoted(key: &str) -> String {
    if is_bare(key) { key.to_owned() } else { basic_string(key) }
}

/// True for a key that TOML allows without quotes.
pub(super) fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// A TOML basic string on one line.
pub(super) fn basic_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `text` with control characters escaped, so that it stays on one line of a terminal or log.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::{child, element, join};

    #[test]
    fn paths_read_like_toml() {
        assert_eq!(child("", "listen"), "listen");
        assert_eq!(child(&element("apps", 0), "token"), "apps[0].token");
        assert_eq!(child("body", "/mcp.servers"), r#"body."/mcp.servers""#);
        assert_eq!(child("", "a\nb"), r#""a\nb""#);
        assert_eq!(join("a", "[2]"), "a[2]");
        assert_eq!(join("a", "env"), "a.env");
        assert_eq!(join("a", ""), "a");
    }
}
