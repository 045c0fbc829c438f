//! Objects of the API.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;

use sidegate_core::clock::Timestamp;

use super::{ENTRY_COST, Memory, State};
use crate::store::lists::{self, List, Lists, Place};
use crate::store::objects::{PAGE, place_of};
use crate::store::{
    Answer, Changed, Counts, Cursor, Mark, Object, ObjectKind, ObjectQuery, Objects, Page, REMOVALS_ARE_TOLD,
    Unavailable, Usage,
};

type Key = (ObjectKind, String);

/// Objects, their lists, and what has changed.
#[derive(Debug, Default)]
pub(super) struct Kept {
    objects: BTreeMap<Key, Object>,
    lists: HashMap<List, BTreeSet<String>>,
    usage: HashMap<String, Counts>,
    changes: BTreeMap<u64, Key>,
    changed: HashMap<Key, u64>,
    last: u64,
    removed: Removed,
}

/// Marks and costs of removals, the first ones first: those that no sweep has seen, and the others with the
/// time of the first sweep that did.
#[derive(Debug, Default)]
struct Removed {
    new: Vec<(u64, usize)>,
    seen: VecDeque<(Timestamp, (u64, usize))>,
}

impl Kept {
    fn has_changed(&mut self, key: Key) {
        self.last += 1;
        self.changes.insert(self.last, key.clone());
        if let Some(before) = self.changed.insert(key, self.last) {
            self.changes.remove(&before);
        }
    }

    fn enlist(&mut self, object: &Object) {
        for list in List::all_of(object) {
            self.lists.entry(list).or_default().insert(object.id.clone());
        }
    }

    fn strike(&mut self, object: &Object) {
        for list in List::all_of(object) {
            if let Some(ids) = self.lists.get_mut(&list) {
                ids.remove(&object.id);
                if ids.is_empty() {
                    self.lists.remove(&list);
                }
            }
        }
    }

    /// Keeps an object in the place of the one of its id.
    fn put(&mut self, object: Object) {
        let key = (object.kind, object.id.clone());
        self.enlist(&object);
        self.has_changed(key.clone());
        self.objects.insert(key, object);
    }

    /// Forgets removals that were told for long enough; what they cost.
    pub(super) fn forget_removals(&mut self, now: Timestamp) -> usize {
        let Removed { new, seen } = &mut self.removed;
        seen.extend(new.drain(..).map(|removal| (now, removal)));
        let mut given_back = 0;
        while let Some((_, (mark, cost))) = seen.pop_front_if(|(at, _)| at.plus(REMOVALS_ARE_TOLD) <= now) {
            given_back += cost;
            // If it has come back, its last change has another mark.
            if let Some(key) = self.changes.remove(&mark) {
                self.changed.remove(&key);
            }
        }
        given_back
    }

    fn changed_since(&self, mark: Mark) -> Changed {
        // Only a store that has lost what it had knows earlier marks alone.
        let mut changed = Changed { ids: Vec::new(), mark: if mark.0 > self.last { Mark(0) } else { mark } };
        for (at, key) in self.changes.range((Bound::Excluded(changed.mark.0), Bound::Unbounded)).take(PAGE) {
            changed.ids.push(key.clone());
            changed.mark = Mark(*at);
        }
        changed
    }
}

fn removal_cost(object: &Object) -> usize {
    2 * (ENTRY_COST + object.id.len())
}

/// The object, its place in each list, its change and its usage.
fn cost(object: &Object) -> usize {
    let labels = object.labels.iter().map(|(name, value)| name.len() + value.len() + ENTRY_COST).sum::<usize>();
    let own = object.app.as_str().len() + object.parent.as_ref().map_or(0, String::len) + object.document.len();
    (4 + List::all_of(object).len()) * (ENTRY_COST + object.id.len()) + labels + own
}

impl State {
    /// Takes `cost` in the place of `given_back`, or nothing. Objects may be very many and stay for good, so
    /// half is kept free of them: callers of the API cannot stop the exchange.
    fn reserve_for_objects(&mut self, cost: usize, given_back: usize, capacity: usize) -> Result<(), Unavailable> {
        let within = |used: usize, most: usize| {
            used.saturating_sub(given_back).checked_add(cost).filter(|used| *used <= most).ok_or(Unavailable)
        };
        let (kept, used) = (within(self.kept_for_objects, capacity / 2)?, within(self.used, capacity)?);
        if cost > given_back + self.room_beside_contexts(capacity) {
            return Err(Unavailable);
        }
        (self.kept_for_objects, self.used) = (kept, used);
        Ok(())
    }

    fn give_back_of_objects(&mut self, cost: usize) {
        self.kept_for_objects -= cost;
        self.used -= cost;
    }

    pub(super) fn forget_removals(&mut self, now: Timestamp) {
        let cost = self.objects.forget_removals(now);
        self.give_back_of_objects(cost);
    }

    fn insert(&mut self, object: &Object, capacity: usize) -> Result<bool, Unavailable> {
        if self.objects.objects.contains_key(&(object.kind, object.id.clone())) {
            return Ok(false);
        }
        self.reserve_for_objects(cost(object), 0, capacity)?;
        self.objects.put(Object { revision: 1, ..object.clone() });
        Ok(true)
    }

    fn replace(&mut self, object: &Object, capacity: usize) -> Result<bool, Unavailable> {
        let known = self.objects.objects.get(&(object.kind, object.id.clone()));
        let same = |known: &&Object| known.revision == object.revision && known.app == object.app;
        let Some(known) = known.filter(same).cloned() else { return Ok(false) };
        self.reserve_for_objects(cost(object), cost(&known), capacity)?;
        self.objects.strike(&known);
        self.objects.put(Object { revision: object.revision + 1, ..object.clone() });
        Ok(true)
    }

    /// There is room for it: a removal costs less than what it removes.
    fn remove(&mut self, key: Key) -> bool {
        let Some(object) = self.objects.objects.remove(&key) else { return false };
        let rest = removal_cost(&object);
        self.give_back_of_objects(cost(&object) - rest);
        self.objects.strike(&object);
        if object.kind == ObjectKind::Widget {
            self.objects.usage.remove(&object.id);
        }
        self.objects.has_changed(key);
        self.objects.removed.new.push((self.objects.last, rest));
        true
    }
}

impl Objects for Memory {
    fn insert<'a>(&'a self, object: &'a Object) -> Answer<'a, bool> {
        Box::pin(async move { self.state().insert(object, self.capacity) })
    }

    fn replace<'a>(&'a self, object: &'a Object) -> Answer<'a, bool> {
        Box::pin(async move { self.state().replace(object, self.capacity) })
    }

    fn remove<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.state().remove((kind, id.to_owned()))) })
    }

    fn object<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, Option<Object>> {
        Box::pin(async move { Ok(self.state().objects.objects.get(&(kind, id.to_owned())).cloned()) })
    }

    fn objects<'a>(&'a self, query: &'a ObjectQuery<'a>) -> Answer<'a, Vec<Object>> {
        Box::pin(lists::page(self, query))
    }

    fn changed_since(&self, mark: Mark) -> Answer<'_, Changed> {
        Box::pin(async move { Ok(self.state().objects.changed_since(mark)) })
    }

    fn last_change(&self) -> Answer<'_, Mark> {
        Box::pin(async move { Ok(Mark(self.state().objects.last)) })
    }

    fn add_usage<'a>(&'a self, usage: &'a [Usage]) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut state = self.state();
            for (widget, counts) in Usage::by_widget(usage) {
                if state.objects.objects.contains_key(&(ObjectKind::Widget, widget.to_owned())) {
                    let known = state.objects.usage.entry(widget.to_owned()).or_default();
                    *known = known.plus(counts);
                }
            }
            Ok(())
        })
    }

    fn usage<'a>(&'a self, widget: &'a str) -> Answer<'a, Counts> {
        Box::pin(async move { Ok(self.state().objects.usage.get(widget).copied().unwrap_or_default()) })
    }

    fn objects_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(Object, Counts)>> {
        Box::pin(async move {
            let from = from.as_deref().map_or(Ok(Bound::Unbounded), |from| place_of(from).map(Bound::Excluded))?;
            let state = self.state();
            let page: Vec<_> = state.objects.objects.range((from, Bound::Unbounded)).take(PAGE).collect();
            let next = page.last().filter(|_| page.len() == PAGE).map(|(_, object)| object.cursor());
            let usage = |(kind, id): &Key| match kind {
                ObjectKind::Widget => state.objects.usage.get(id).copied().unwrap_or_default(),
                _ => Counts::default(),
            };
            let records = page.iter().map(|(key, object)| ((*object).clone(), usage(key))).collect();
            Ok(Page { records, next })
        })
    }
}

impl Lists for Memory {
    fn ids<'a>(&'a self, list: List, place: &'a Place, take: usize) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let state = self.state();
            let Some(ids) = state.objects.lists.get(&list) else { return Ok(Vec::new()) };
            let behind = Bound::Excluded(place.bound());
            Ok(if place.newest_first {
                ids.range((Bound::Unbounded, behind)).rev().take(take).cloned().collect()
            } else {
                ids.range((behind, Bound::Unbounded)).take(take).cloned().collect()
            })
        })
    }

    fn among(&self, list: List, mut ids: Vec<String>) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let state = self.state();
            let known = state.objects.lists.get(&list);
            ids.retain(|id| known.is_some_and(|known| known.contains(id)));
            Ok(ids)
        })
    }

    fn of_ids(&self, kind: ObjectKind, ids: Vec<String>) -> Answer<'_, Vec<Object>> {
        Box::pin(async move {
            let state = self.state();
            Ok(ids.into_iter().filter_map(|id| state.objects.objects.get(&(kind, id)).cloned()).collect())
        })
    }
}
