//! Single keys from the environment and from flags: which key path a name means.

use std::collections::BTreeMap;

use super::path;

/// A key path from one variable or flag, or why there is none.
pub(super) type Keys = Result<Vec<String>, &'static str>;

/// `SIDEGATE__LISTEN__PUBLIC` is `listen.public` for the prefix `SIDEGATE`; `None` if the name does
/// not start with the prefix and two underscores.
pub(super) fn environment_keys(prefix: &str, name: &str) -> Option<Keys> {
    let rest = name.strip_prefix(prefix)?.strip_prefix("__")?;
    let keys: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    Some(if keys.iter().any(String::is_empty) {
        Err("names no key; write two underscores between keys and none around them")
    } else {
        Ok(keys)
    })
}

/// `a.b=value` into its key text and its value text, at the first `=`.
pub(super) fn split_flag(flag: &str) -> Option<(&str, &str)> {
    flag.split_once('=').map(|(key, value)| (key.trim(), value))
}

/// `a.b` as a key path. Quoted keys and array elements are not for flags.
pub(super) fn flag_keys(key: &str) -> Keys {
    if key.contains('[') {
        return Err(NO_ELEMENTS);
    }
    let keys: Vec<String> = key.split('.').map(str::to_owned).collect();
    if keys.iter().all(|key| path::is_bare(key)) {
        Ok(keys)
    } else {
        Err("must be key=value, with keys of letters, digits, '-' and '_' separated by '.'")
    }
}

/// The complaint when a path leads into an array.
pub(super) const NO_ELEMENTS: &str =
    "leads into an array; its elements can be set only in a file, or the array be replaced as a whole";

/// Remembers which path was set by which name, to refuse two names for one path (`A__B`, `A__b`),
/// between which the order of the environment would decide.
#[derive(Default)]
pub(super) struct Claimed(BTreeMap<Vec<String>, String>);

impl Claimed {
    /// Claims `keys` for `name`; the earlier owner if there is one.
    pub(super) fn claim(&mut self, keys: &[String], name: &str) -> Option<String> {
        self.0.insert(keys.to_vec(), name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{environment_keys, flag_keys};

    #[test]
    fn environment_names() {
        let keys = |name| environment_keys("SIDEGATE", name);
        assert_eq!(keys("SIDEGATE__LISTEN__PUBLIC_URL"), Some(Ok(vec!["listen".into(), "public_url".into()])));
        assert_eq!(keys("SIDEGATE_SERVICE_HOST"), None, "what Kubernetes sets is not ours");
        assert_eq!(keys("OTHER__LISTEN"), None);
        for broken in ["SIDEGATE__", "SIDEGATE__A____B", "SIDEGATE__A__"] {
            assert!(keys(broken).is_some_and(|keys| keys.is_err()), "{broken}");
        }
    }

    #[test]
    fn flag_keys_are_bare_and_dotted() {
        assert_eq!(flag_keys("a.b-c"), Ok(vec!["a".into(), "b-c".into()]));
        for broken in ["", "a.", ".a", "a b", "apps[0].id", "a.\"b\""] {
            assert!(flag_keys(broken).is_err(), "{broken}");
        }
    }
}
