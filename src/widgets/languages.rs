//! What widgets say in their languages, as pages get it: made when it is first asked for, and kept at hand while neither
//! the widget, its blueprint nor its translations change.

use std::sync::{Arc, Weak};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sidegate_core::denial::Denial;
use sidegate_core::dialect::chatbotkit::{LanguageMap, LanguagesAnswer, from_document, languages_answer, to_document};
use sidegate_core::id::{AppId, ObjectId};

use super::{Served, Widgets};
use crate::store::{Object, ObjectKind};

/// Bytes of answers that are kept at hand.
const KEPT: u64 = 64 * 1024 * 1024;
/// For a first guess at the number of answers.
const TYPICAL: usize = 8 * 1024;

/// The answers that were asked for lately.
pub(super) struct Answers(Cache<ObjectId, Ready, Cost>);

/// An answer, and the widget as it was when that was made: whatever changes, the widget is read anew. It is not held by
/// this, but no other one takes its place in memory.
#[derive(Clone)]
struct Ready {
    of: Weak<Served>,
    answer: Arc<LanguagesAnswer>,
}

impl Ready {
    fn is_of(&self, served: &Arc<Served>) -> bool {
        std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(served))
    }
}

#[derive(Clone)]
struct Cost;

impl Weighter<ObjectId, Ready> for Cost {
    fn weight(&self, _: &ObjectId, ready: &Ready) -> u64 {
        (ready.answer.body.len() + TYPICAL) as u64
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self(Cache::with_weighter(1_024, KEPT, Cost))
    }
}

impl Widgets {
    /// What a widget says in its languages.
    ///
    /// # Errors
    /// As [`Served::fields`]; [`Code::StoreUnavailable`](sidegate_core::denial::Code::StoreUnavailable).
    pub async fn languages(&self, served: &Arc<Served>) -> Result<Arc<LanguagesAnswer>, Denial> {
        let id = &served.widget.id;
        if let Some(ready) = self.answers.0.get(id).filter(|ready| ready.is_of(served)) {
            return Ok(ready.answer);
        }
        let kept = self.registry.object(ObjectKind::LanguageMap, id.as_str()).await?;
        let answer = Arc::new(languages_answer(served.fields()?, kept.as_ref().map(read).as_ref())?);
        self.answers.0.insert(id.clone(), Ready { of: Arc::downgrade(served), answer: Arc::clone(&answer) });
        Ok(answer)
    }
}

/// A map from what the registry keeps. One that cannot be read is as one without translations: a setup makes it anew.
pub(super) fn read(kept: &Object) -> LanguageMap {
    from_document(&kept.document).unwrap_or_else(|| {
        tracing::error!(id = kept.id, "the translations of a widget cannot be read");
        LanguageMap::default()
    })
}

/// What the map of a widget whose setup is not over is found by.
pub(super) fn waits() -> (String, String) {
    ("setup".to_owned(), "waits".to_owned())
}

/// A map as the registry keeps it.
///
/// # Errors
/// As [`to_document`].
pub(super) fn object(widget: &ObjectId, app: &AppId, revision: u64, map: &LanguageMap) -> Result<Object, Denial> {
    Ok(Object {
        kind: ObjectKind::LanguageMap,
        id: widget.as_str().to_owned(),
        app: app.clone(),
        revision,
        parent: None,
        labels: if map.is_stale() { vec![waits()] } else { Vec::new() },
        document: to_document(map)?,
    })
}
