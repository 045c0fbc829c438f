//! Lists of objects: for each filter that a query may have, the ids of those that pass it, in order. What
//! passes several filters stands in several lists: the shortest is read, and what it has looked for in the others.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use aws_lc_rs::digest::{Context, SHA256};
use sidegate_core::id::AppId;

use super::{Answer, Object, ObjectKind, ObjectQuery, Unavailable};

/// Ids that are looked at in one step, where there are several lists.
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
    /// The next ids of a list, at most so many, in order.
    fn ids<'a>(&'a self, list: List, place: &'a Place, take: usize) -> Answer<'a, Vec<String>>;

    /// Which of some ids stand in a list, in any order.
    fn among(&self, list: List, ids: Vec<String>) -> Answer<'_, Vec<String>>;

    /// The objects of some ids, in any order; without those that are gone.
    fn of_ids(&self, kind: ObjectKind, ids: Vec<String>) -> Answer<'_, Vec<Object>>;
}

/// Where to go on in lists, and which way.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) after: Option<String>,
    pub(super) newest_first: bool,
}

impl Place {
    fn compare(&self, one: &str, other: &str) -> Ordering {
        if self.newest_first { other.cmp(one) } else { one.cmp(other) }
    }

    /// A text behind which all that come have their ids, for a comparison that an index answers.
    pub(super) fn bound(&self) -> String {
        match &self.after {
            Some(after) => after.clone(),
            // No id is greater than the last character, or empty.
            None if self.newest_first => char::MAX.to_string(),
            None => String::new(),
        }
    }
}

/// The page that a query asks for.
pub(super) async fn page(store: &impl Lists, query: &ObjectQuery<'_>) -> Result<Vec<Object>, Unavailable> {
    let lists = List::asked_for(query);
    let mut place = Place { after: query.after.map(str::to_owned), newest_first: query.newest_first };
    let mut found = Vec::new();
    while found.len() < query.take {
        let Step { ids, next } = step(store, &lists, &place, query.take - found.len()).await?;
        if !ids.is_empty() {
            let mut objects = store.of_ids(query.kind, ids).await?;
            // They are as they are now, which their lists may not be.
            objects.retain(|object| object.is_asked_for(query));
            objects.sort_by(|one, other| place.compare(&one.id, &other.id));
            found.append(&mut objects);
        }
        if next.is_none() {
            break;
        }
        place.after = next;
    }
    Ok(found)
}

/// Some ids that stand in all lists, which may be none, and behind which id to go on, if there may be more.
struct Step {
    ids: Vec<String>,
    next: Option<String>,
}

/// At most so many of them.
async fn step(store: &impl Lists, lists: &BTreeSet<List>, place: &Place, most: usize) -> Result<Step, Unavailable> {
    let take = if lists.len() == 1 { most } else { STEP };
    let mut columns = Vec::with_capacity(lists.len());
    for list in lists {
        columns.push((*list, store.ids(*list, place, take).await?));
    }
    // What stands in all lists stands in the one that has come furthest: there is the least to look at.
    let Some((furthest, mut ids)) = columns.into_iter().min_by(|(_, one), (_, other)| reach(place, take, one, other))
    else {
        return Ok(Step { ids: Vec::new(), next: None });
    };
    let mut next = ids.last().filter(|_| ids.len() == take).cloned();
    for list in lists.iter().filter(|list| **list != furthest) {
        if !ids.is_empty() {
            ids = store.among(*list, ids).await?;
        }
    }
    if ids.len() > most {
        ids.sort_by(|one, other| place.compare(one, other));
        ids.truncate(most);
        next = ids.last().cloned();
    }
    Ok(Step { ids, next })
}

/// Of the next ids of two lists, those come first that reach further: to the end, or as far as they go.
fn reach(place: &Place, take: usize, one: &[String], other: &[String]) -> Ordering {
    let ends = |ids: &[String]| ids.len() < take;
    match (ends(one), ends(other), one.last(), other.last()) {
        (false, false, Some(one), Some(other)) => place.compare(other, one),
        _ => ends(other).cmp(&ends(one)).then(one.len().cmp(&other.len())),
    }
}
