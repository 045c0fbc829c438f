//! Pages of a map, in the order of its keys.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::str::FromStr;

use crate::store::{Cursor, Page, Unavailable};

/// Entries on a page.
const PAGE: usize = 256;

/// The page behind `from`, which is the last key of the page before: two ids, and no id of a key has
/// a space in it.
pub(super) fn page<A, B, V, T>(
    map: &BTreeMap<(A, B), V>,
    from: Option<&str>,
    entry: impl Fn(&(A, B), &V) -> T,
) -> Result<Page<T>, Unavailable>
where
    A: Ord + FromStr + Borrow<str>,
    B: Ord + FromStr + Borrow<str>,
{
    let start = from.map_or(Ok(Bound::Unbounded), |cursor| key(cursor).map(Bound::Excluded).ok_or(Unavailable))?;
    let mut rest = map.range((start, Bound::Unbounded));
    let (mut records, mut last) = (Vec::new(), None);
    for (key, value) in rest.by_ref().take(PAGE) {
        records.push(entry(key, value));
        last = Some(key);
    }
    let more = rest.next().is_some();
    Ok(Page { records, next: last.filter(|_| more).map(cursor) })
}

fn cursor<A: Borrow<str>, B: Borrow<str>>((first, second): &(A, B)) -> Cursor {
    format!("{} {}", first.borrow(), second.borrow())
}

fn key<A: FromStr, B: FromStr>(cursor: &str) -> Option<(A, B)> {
    let (first, second) = cursor.split_once(' ')?;
    first.parse().ok().zip(second.parse().ok())
}
