//! Lists of objects: for each filter that a query may have, the ids of those that pass it, in order. What
//! passes several filters stands in several lists, which are read side by side.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;

use aws_lc_rs::digest::{Context, SHA256};
use sidegate_core::id::AppId;

use super::{Answer, Object, ObjectKind, ObjectQuery, Unavailable};

/// Ids of each list that are compared in one step, where there are several lists.
const STEP: usize = 256;

/// The name of a list: the same size whatever it is about, so that every index takes it. Should two lists
/// ever share one, it is longer than it need be, no more: whoever reads it looks at the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct List(pub(super) [u8; 16]);

impl List {
    /// The list of all that an app has of a kind; less of it with further parts.
    fn new(kind: ObjectKind, app: &AppId, further: &[&str]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [kind.name(), app.as_str()].iter().chain(further) {
            // With its length before it no part can look like two.
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut name = [0; 16];
        name.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Self(name)
    }

    fn of_parent(kind: ObjectKind, app: &AppId, parent: &str) -> Self {
        Self::new(kind, app, &["parent", parent])
    }

    fn of_label(kind: ObjectKind, app: &AppId, (name, value): &(String, String)) -> Self {
        Self::new(kind, app, &["label", name, value])
    }

    /// All in which an object stands.
    pub(super) fn all_of(object: &Object) -> BTreeSet<Self> {
        let (kind, app) = (object.kind, &object.app);
        let parent = object.parent.iter().map(|parent| Self::of_parent(kind, app, parent));
        let labels = object.labels.iter().map(|label| Self::of_label(kind, app, label));
        std::iter::once(Self::new(kind, app, &[])).chain(parent).chain(labels).collect()
    }

    /// Those in all of which an object must stand.
    fn asked_for(query: &ObjectQuery<'_>) -> BTreeSet<Self> {
        let parent = query.parent.map(|parent| Self::of_parent(query.kind, query.app, parent));
        let labels = query.labels.iter().map(|label| Self::of_label(query.kind, query.app, label));
        let filters: BTreeSet<_> = parent.into_iter().chain(labels).collect();
        if filters.is_empty() { BTreeSet::from([Self::new(query.kind, query.app, &[])]) } else { filters }
    }
}

/// Which lists an object leaves and which it joins when `new` comes in the place of `old`.
pub(super) fn moves(old: &Object, new: &Object) -> (Vec<List>, Vec<List>) {
    let (old, new) = (List::all_of(old), List::all_of(new));
    (old.difference(&new).copied().collect(), new.difference(&old).copied().collect())
}

/// What an engine does for lists.
pub(super) trait Lists: Sync {
    /// The next ids of a list, at most so many.
    fn ids<'a>(&'a self, list: List, place: &'a Place, take: usize) -> Answer<'a, Vec<String>>;

    /// The objects of some ids, in any order; without those that are gone.
    fn of_ids(&self, kind: ObjectKind, ids: Vec<String>) -> Answer<'_, Vec<Object>>;
}

/// Where to go on in lists, and which way.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) from: Bound<String>,
    pub(super) newest_first: bool,
}

impl Place {
    fn compare(&self, one: &str, other: &str) -> Ordering {
        if self.newest_first { other.cmp(one) } else { one.cmp(other) }
    }

    /// For a comparison in SQL that an index answers: the first id that may come, and one that must not.
    pub(super) fn limits(&self) -> (String, String) {
        match &self.from {
            Bound::Included(id) => (id.clone(), String::new()),
            Bound::Excluded(id) => (id.clone(), id.clone()),
            // No id is greater than the last character, or empty.
            Bound::Unbounded if self.newest_first => (char::MAX.to_string(), String::new()),
            Bound::Unbounded => Default::default(),
        }
    }
}

/// The page that a query asks for.
pub(super) async fn page(store: &impl Lists, query: &ObjectQuery<'_>) -> Result<Vec<Object>, Unavailable> {
    let lists = List::asked_for(query);
    let from = query.after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.to_owned()));
    let mut place = Place { from, newest_first: query.newest_first };
    let mut found = Vec::new();
    while found.len() < query.take {
        let (ids, next) = step(store, &lists, &place, query.take - found.len()).await?;
        if !ids.is_empty() {
            let mut objects = store.of_ids(query.kind, ids).await?;
            // They are as they are now, which their lists may not be.
            objects.retain(|object| object.is_asked_for(query));
            objects.sort_by(|one, other| place.compare(&one.id, &other.id));
            found.append(&mut objects);
        }
        match next {
            Some(next) => place.from = next,
            None => break,
        }
    }
    Ok(found)
}

/// The next ids that stand in all lists, at most so many, and where to go on; it may be none that are found.
async fn step(
    store: &impl Lists,
    lists: &BTreeSet<List>,
    place: &Place,
    most: usize,
) -> Result<(Vec<String>, Option<Bound<String>>), Unavailable> {
    let take = if lists.len() == 1 { most } else { STEP };
    let mut columns = Vec::with_capacity(lists.len());
    for list in lists {
        columns.push(store.ids(*list, place, take).await?);
    }
    let next = next(&columns, place, take);
    let Some((first, others)) = columns.split_first_mut() else { return Ok((Vec::new(), None)) };
    first.retain(|id| others.iter().all(|ids| ids.binary_search_by(|known| place.compare(known, id)).is_ok()));
    let mut ids = std::mem::take(first);
    if ids.len() <= most {
        return Ok((ids, next));
    }
    ids.truncate(most);
    let last = ids.last().cloned().map(Bound::Excluded);
    Ok((ids, last))
}

/// Where to go on behind these ids; nowhere if a list has come to its end.
fn next(columns: &[Vec<String>], place: &Place, take: usize) -> Option<Bound<String>> {
    let order = |one: &&String, other: &&String| place.compare(one, other);
    let begins: Vec<_> = columns.iter().map(|ids| ids.first()).collect::<Option<_>>()?;
    // The list that has come least far: the others may have more up to there, but it has not.
    let shortest = columns.iter().min_by(|one, other| match (one.last(), other.last()) {
        (Some(one), Some(other)) => place.compare(one, other),
        (one, other) => one.is_some().cmp(&other.is_some()),
    })?;
    let last = shortest.last().filter(|_| shortest.len() == take)?;
    // Where one begins later, nothing before that stands in all.
    let begin = begins.into_iter().max_by(order)?;
    let passed = place.compare(begin, last) == Ordering::Greater;
    Some(if passed { Bound::Included(begin.clone()) } else { Bound::Excluded(last.clone()) })
}
