//! Objects of the API: a text for each, its revision before it; a sorted set for each list, all of whose scores
//! are the same, so that the server keeps its ids in order; another set with what has changed, by number.

use redis::{ScriptInvocation, cmd};
use serde::{Deserialize, Serialize};
use sidegate_core::id::AppId;

use super::Redis;
use crate::store::lists::{self, List, Lists, Place, moves};
use crate::store::objects::{PAGE, REMOVE_TRIES};
use crate::store::use_counts::MOST;
use crate::store::{
    Answer, Changed, Counts, Cursor, Mark, Object, ObjectKind, ObjectQuery, Objects, Page, REMOVALS_ARE_TOLD,
    Unavailable, Usage,
};

/// What is kept of an object behind its revision.
#[derive(Serialize, Deserialize)]
struct Kept {
    app: AppId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    labels: Vec<(String, String)>,
    document: String,
}

impl Redis {
    /// Writes an object if the one that stands there has this revision; 0 is none.
    async fn write_object(
        &self,
        object: &Object,
        expected: u64,
        left: &[List],
        joined: &[List],
    ) -> Result<bool, Unavailable> {
        let Object { kind, id, app, parent, labels, document, .. } = object.clone();
        let kept = serde_json::to_string(&Kept { app, parent, labels, document }).map_err(|_| Unavailable)?;
        let mut script = self.scripts.write_object.key(self.keys.object(kind, &id));
        self.add_change_keys(&mut script);
        self.add_lists(&mut script, left);
        self.add_lists(&mut script, joined);
        script.arg(expected).arg(kept).arg(&id).arg(name(kind, &id)).arg(left.len());
        self.link.run(&script).await.map_err(|_| Unavailable)
    }

    async fn remove_object(&self, known: &Object) -> Result<bool, Unavailable> {
        let mut script = self.scripts.remove_object.key(self.keys.object(known.kind, &known.id));
        self.add_change_keys(&mut script);
        script.key(self.keys.object_usage(known.kind, &known.id));
        self.add_lists(&mut script, &Vec::from_iter(List::all_of(known)));
        script.arg(known.revision).arg(&known.id).arg(name(known.kind, &known.id));
        script.arg(REMOVALS_ARE_TOLD.as_secs() * 1_000);
        self.link.run(&script).await.map_err(|_| Unavailable)
    }

    fn add_change_keys(&self, script: &mut ScriptInvocation<'_>) {
        script.key(self.keys.last_change()).key(self.keys.object_changes()).key(self.keys.object_removals());
    }

    fn add_lists(&self, script: &mut ScriptInvocation<'_>, lists: &[List]) {
        for list in lists {
            script.key(self.keys.object_list(*list));
        }
    }

    async fn texts(&self, keys: &[String]) -> Result<Vec<Option<String>>, Unavailable> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.link.call(cmd("MGET").arg(keys)).await.map_err(|_| Unavailable)
    }
}

impl Objects for Redis {
    fn insert<'a>(&'a self, object: &'a Object) -> Answer<'a, bool> {
        Box::pin(async move { self.write_object(object, 0, &[], &Vec::from_iter(List::all_of(object))).await })
    }

    fn replace<'a>(&'a self, object: &'a Object) -> Answer<'a, bool> {
        Box::pin(async move {
            // Its lists follow from what it says, so those of a revision are known for good.
            let known = self.object(object.kind, &object.id).await?;
            let same = |known: &Object| known.revision == object.revision && known.app == object.app;
            let Some(known) = known.filter(same) else { return Ok(false) };
            let (left, joined) = moves(&known, object);
            self.write_object(object, object.revision, &left, &joined).await
        })
    }

    fn remove<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            for _ in 0..REMOVE_TRIES {
                let Some(known) = self.object(kind, id).await? else { return Ok(false) };
                if self.remove_object(&known).await? {
                    return Ok(true);
                }
            }
            Err(Unavailable)
        })
    }

    fn object<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, Option<Object>> {
        Box::pin(async move {
            let text: Option<String> =
                self.link.call(cmd("GET").arg(self.keys.object(kind, id))).await.map_err(|_| Unavailable)?;
            text.map(|text| parse(kind, id, &text).ok_or(Unavailable)).transpose()
        })
    }

    fn objects<'a>(&'a self, query: &'a ObjectQuery<'a>) -> Answer<'a, Vec<Object>> {
        Box::pin(lists::page(self, query))
    }

    fn changed_since(&self, mark: Mark) -> Answer<'_, Changed> {
        Box::pin(async move {
            let mut script = self.scripts.changed_objects.key(self.keys.last_change());
            script.key(self.keys.object_changes()).arg(mark.0).arg(PAGE);
            let (since, changes): (u64, Vec<(String, u64)>) = self.link.run(&script).await.map_err(|_| Unavailable)?;
            let mark = Mark(changes.last().map_or(since, |(_, at)| *at));
            let ids = changes.iter().map(|(name, _)| named(name)).collect::<Option<_>>().ok_or(Unavailable)?;
            Ok(Changed { ids, mark })
        })
    }

    fn last_change(&self) -> Answer<'_, Mark> {
        Box::pin(async move {
            let last: Option<u64> =
                self.link.call(cmd("GET").arg(self.keys.last_change())).await.map_err(|_| Unavailable)?;
            Ok(Mark(last.unwrap_or_default()))
        })
    }

    fn add_usage<'a>(&'a self, usage: &'a [Usage]) -> Answer<'a, ()> {
        Box::pin(async move {
            let usage = Usage::by_widget(usage);
            let mut script = self.scripts.add_usage.prepare_invoke();
            script.arg(MOST).arg(Counts::default().numbers().len());
            for (widget, counts) in usage {
                script.key(self.keys.object(ObjectKind::Widget, widget));
                script.key(self.keys.object_usage(ObjectKind::Widget, widget));
                script.arg(&counts.numbers());
            }
            self.link.run(&script).await.map_err(|_| Unavailable)
        })
    }

    fn usage<'a>(&'a self, widget: &'a str) -> Answer<'a, Counts> {
        Box::pin(async move {
            let key = self.keys.object_usage(ObjectKind::Widget, widget);
            let text: Option<String> = self.link.call(cmd("GET").arg(key)).await.map_err(|_| Unavailable)?;
            text.map_or(Ok(Counts::default()), |text| counts_of(&text).ok_or(Unavailable))
        })
    }

    fn objects_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(Object, Counts)>> {
        Box::pin(async move {
            let cursor = from.map_or(Ok(0), |cursor| cursor.parse()).map_err(|_| Unavailable)?;
            let (next, mut keys) = self.scan(&self.keys.any_object(), cursor).await?;
            keys.retain(|key| self.keys.of_object(key).is_some());
            let ids: Vec<_> = keys.iter().filter_map(|key| self.keys.of_object(key)).collect();
            let usage: Vec<_> = ids.iter().map(|(kind, id)| self.keys.object_usage(*kind, id)).collect();
            let (texts, usage) = (self.texts(&keys).await?, self.texts(&usage).await?);
            let records = ids.iter().zip(texts).zip(usage).filter_map(|(((kind, id), text), usage)| {
                let counts = usage.as_deref().and_then(counts_of).unwrap_or_default();
                // What is gone meanwhile is passed over, but nothing that is there.
                text.map(|text| parse(*kind, id, &text).map(|object| (object, counts)).ok_or(Unavailable))
            });
            Ok(Page { records: records.collect::<Result<_, _>>()?, next: (next != 0).then(|| next.to_string()) })
        })
    }
}

impl Lists for Redis {
    fn ids<'a>(&'a self, list: List, place: &'a Place, take: usize) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let (begin, end) = if place.newest_first { ("+", "-") } else { ("-", "+") };
            let from = place.after.as_ref().map_or_else(|| begin.to_owned(), |after| format!("({after}"));
            let mut command = cmd("ZRANGE");
            command.arg(self.keys.object_list(list)).arg(from).arg(end).arg("BYLEX");
            if place.newest_first {
                command.arg("REV");
            }
            command.arg("LIMIT").arg(0).arg(take);
            self.link.call(&command).await.map_err(|_| Unavailable)
        })
    }

    fn among(&self, list: List, mut ids: Vec<String>) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            let mut command = cmd("ZMSCORE");
            command.arg(self.keys.object_list(list)).arg(&ids);
            let scores: Vec<Option<f64>> = self.link.call(&command).await.map_err(|_| Unavailable)?;
            let mut scores = scores.into_iter();
            ids.retain(|_| scores.next().flatten().is_some());
            Ok(ids)
        })
    }

    fn of_ids(&self, kind: ObjectKind, ids: Vec<String>) -> Answer<'_, Vec<Object>> {
        Box::pin(async move {
            let keys: Vec<_> = ids.iter().map(|id| self.keys.object(kind, id)).collect();
            let texts = self.texts(&keys).await?;
            let there = ids.iter().zip(texts).filter_map(|(id, text)| Some((id, text?)));
            there.map(|(id, text)| parse(kind, id, &text).ok_or(Unavailable)).collect()
        })
    }
}

/// An object's name among changes.
fn name(kind: ObjectKind, id: &str) -> String {
    format!("{}:{id}", kind.name())
}

fn named(name: &str) -> Option<(ObjectKind, String)> {
    let (kind, id) = name.split_once(':')?;
    Some((ObjectKind::from_name(kind)?, id.to_owned()))
}

/// `None` if it is not as we write it.
fn parse(kind: ObjectKind, id: &str, text: &str) -> Option<Object> {
    let (revision, kept) = text.split_once(' ')?;
    let Kept { app, parent, labels, document } = serde_json::from_str(kept).ok()?;
    Some(Object { kind, id: id.to_owned(), app, revision: revision.parse().ok()?, parent, labels, document })
}

fn counts_of(text: &str) -> Option<Counts> {
    let counts: Vec<_> = text.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    counts.try_into().ok().map(Counts::from_numbers)
}
