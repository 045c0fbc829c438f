//! "Did you mean": the candidate that differs by few enough typing slips to be meant.

/// The closest of `candidates` to `given`. Case, `-` and `_` do not count as differences; otherwise
/// one slip per three letters is allowed (at least one, and never every letter of the candidate).
pub(super) fn closest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let given = folded(given);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&given, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance < candidate.len() && *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}

fn folded(key: &str) -> String {
    key.to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        let keys = ["origins", "id", "max_ttl", "ttl"];
        for (given, expected) in [
            ("orgins", Some("origins")),
            ("max-ttl", Some("max_ttl")),
            ("ID", Some("id")),
            ("tlt", Some("ttl")),
            ("upstream", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(given, keys).as_deref(), expected, "{given}");
        }
    }
}
