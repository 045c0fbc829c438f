//! What an app's API does with its widgets and blueprints.

use std::sync::Arc;

use sidegate_core::clock::Timestamp;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chatbotkit::{Blueprint, FileType, LanguageMap, ListQuery, Order, Patch, Widget};
use sidegate_core::entropy::Entropy;
use sidegate_core::id::{AppId, FileId, ObjectId};

use super::languages::{object, read};
use super::{Kept, TRIES, Widgets};
use crate::store::{Counts, Object, ObjectKind, ObjectQuery};

/// Widgets and blueprints as their app sees and changes them.
#[derive(Clone)]
pub struct Account {
    /// The app.
    pub app: AppId,
    /// All widgets.
    pub widgets: Arc<Widgets>,
    /// The time.
    pub now: Timestamp,
    /// Where ids come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Account {
    /// Makes a widget or a blueprint; its id.
    ///
    /// # Errors
    /// As [`Kept::parse`]; [`Code::InvalidRequest`] if it names a blueprint that is not there;
    /// [`Code::StoreUnavailable`].
    pub async fn create<K: Kept>(&self, body: &[u8]) -> Result<ObjectId, Denial> {
        let patch = K::parse(body)?;
        self.check_blueprint(&patch).await?;
        let fields = Default::default();
        let id = self.new_id()?;
        let made = K::new(id.clone(), self.app.clone(), self.now, fields);
        let fields = made.fields().apply(&patch)?;
        self.insert(made.with(fields)).await?;
        Ok(id)
    }

    /// One of an id.
    ///
    /// # Errors
    /// [`Code::NotFound`]; [`Code::NotAuthorized`] for one of another app; [`Code::StoreUnavailable`].
    pub async fn fetch<K: Kept>(&self, id: &ObjectId) -> Result<K, Denial> {
        Ok(K::read(&self.object::<K>(id).await?)?)
    }

    /// Changes some of its settings.
    ///
    /// # Errors
    /// As [`Self::fetch`] and [`Self::create`]; [`Code::Conflict`] if it is changed all the time.
    pub async fn update<K: Kept>(&self, id: &ObjectId, body: &[u8]) -> Result<(), Denial> {
        let patch = K::parse(body)?;
        self.object::<K>(id).await?;
        self.check_blueprint(&patch).await?;
        self.change(id, |kept: K| {
            let fields = kept.fields().apply(&patch)?;
            Ok(kept.with(fields))
        })
        .await
    }

    /// A page of them.
    ///
    /// # Errors
    /// [`Code::StoreUnavailable`].
    pub async fn list<K: Kept>(&self, query: &ListQuery) -> Result<Vec<K>, Denial> {
        let asked = ObjectQuery {
            kind: K::KIND,
            app: &self.app,
            after: query.cursor.as_ref().map(ObjectId::as_str),
            newest_first: query.order == Order::Desc,
            parent: query.blueprint.as_ref().map(ObjectId::as_str),
            labels: &query.meta,
            take: query.take,
        };
        let found = self.widgets.registry().objects(&asked).await?;
        Ok(found.iter().map(K::read).collect::<Result<_, _>>()?)
    }

    /// Removes a widget for good.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn delete_widget(&self, id: &ObjectId) -> Result<(), Denial> {
        self.object::<Widget>(id).await?;
        let map = self.widgets.registry().remove(ObjectKind::LanguageMap, id.as_str()).await;
        self.remove(ObjectKind::Widget, id).await?;
        if map.is_err() {
            tracing::warn!("the texts of a widget that was deleted could not be removed");
        }
        Ok(())
    }

    /// Removes a blueprint that no widget follows.
    ///
    /// # Errors
    /// As [`Self::fetch`]; [`Code::Conflict`] while a widget follows it.
    pub async fn delete_blueprint(&self, id: &ObjectId) -> Result<(), Denial> {
        self.object::<Blueprint>(id).await?;
        let query = ListQuery { blueprint: Some(id.clone()), take: 1, ..ListQuery::default() };
        if !self.list::<Widget>(&query).await?.is_empty() {
            return Err(Denial::because(Code::Conflict, "Widgets follow this blueprint"));
        }
        self.remove(ObjectKind::Blueprint, id).await
    }

    /// A widget with the same settings, blueprint and files, and counters of its own; its id.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn clone_widget(&self, id: &ObjectId) -> Result<ObjectId, Denial> {
        let source: Widget = self.fetch(id).await?;
        let made = Widget::new(self.new_id()?, self.app.clone(), self.now, source.fields);
        let copy = made.id.clone();
        self.insert(Widget { files: source.files, ..made }).await?;
        Ok(copy)
    }

    /// Lets a widget open sessions, or none; open ones end with their next request.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub async fn switch(&self, id: &ObjectId, disabled: bool) -> Result<(), Denial> {
        self.change(id, |widget: Widget| Ok(Widget { disabled, ..widget })).await
    }

    /// Asks for what a widget says to be translated anew. What there is serves until that is done.
    ///
    /// # Errors
    /// As [`Self::update`]; [`Code::Overloaded`] if too many setups wait.
    pub async fn set_up(&self, id: &ObjectId) -> Result<(), Denial> {
        self.object::<Widget>(id).await?;
        self.mark_stale(id).await?;
        self.widgets.setups.add(id)
    }

    /// Notes in what is kept that a setup was asked for: so replicas know whose is the later one.
    async fn mark_stale(&self, id: &ObjectId) -> Result<(), Denial> {
        let registry = self.widgets.registry();
        for _ in 0..TRIES {
            let kept = registry.object(ObjectKind::LanguageMap, id.as_str()).await?;
            let revision = kept.as_ref().map_or(1, |kept| kept.revision);
            let map = kept.as_ref().map_or_else(LanguageMap::default, read).to_be_made();
            let marked = object(id, &self.app, revision, &map)?;
            let written =
                if kept.is_some() { registry.replace(&marked).await? } else { registry.insert(&marked).await? };
            if written {
                self.widgets.forget(ObjectKind::LanguageMap, id.as_str());
                return Ok(());
            }
        }
        Err(Code::Conflict.into())
    }

    /// Notes that a widget shows a file, as what.
    ///
    /// # Errors
    /// As [`Self::update`]; [`Code::InvalidRequest`] if it shows too many.
    pub async fn attach(&self, id: &ObjectId, file: &FileId, kind: FileType) -> Result<(), Denial> {
        self.change(id, |mut widget: Widget| {
            widget.files.insert(file.clone(), kind);
            if widget.files.len() > MOST_FILES {
                return Err(Denial::because(Code::InvalidRequest, format!("a widget has at most {MOST_FILES} files")));
            }
            Ok(widget)
        })
        .await
    }

    /// Notes that a widget no longer shows a file; as what it did.
    ///
    /// # Errors
    /// As [`Self::update`]; [`Code::NotFound`] if it did not.
    pub async fn detach(&self, id: &ObjectId, file: &FileId) -> Result<FileType, Denial> {
        let shown: Widget = self.fetch(id).await?;
        let kind = *shown.files.get(file).ok_or(Code::NotFound)?;
        self.change(id, |mut widget: Widget| {
            widget.files.remove(file);
            Ok(widget)
        })
        .await?;
        Ok(kind)
    }

    /// How much a widget was used: what is written down, and what was counted here since.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub async fn usage(&self, id: &ObjectId) -> Result<Counts, Denial> {
        self.object::<Widget>(id).await?;
        Ok(self.widgets.tally.of(id, self.widgets.registry()).await?)
    }

    fn new_id(&self) -> Result<ObjectId, Denial> {
        ObjectId::new(self.now, &*self.entropy).map_err(|_| Code::Internal.into())
    }

    /// A blueprint that a widget is to follow must be there, and of the same app.
    async fn check_blueprint(&self, patch: &Patch) -> Result<(), Denial> {
        let Some(id) = patch.blueprint_id() else { return Ok(()) };
        let found = match ObjectId::parse(id) {
            Ok(id) => self.widgets.registry().object(ObjectKind::Blueprint, id.as_str()).await?,
            Err(_) => None,
        };
        let is_there = found.is_some_and(|kept| kept.app == self.app);
        let refused = || Denial::because(Code::InvalidRequest, "blueprintId names no blueprint");
        if is_there { Ok(()) } else { Err(refused()) }
    }

    async fn object<K: Kept>(&self, id: &ObjectId) -> Result<Object, Denial> {
        let kept = self.widgets.registry().object(K::KIND, id.as_str()).await?.ok_or(Code::NotFound)?;
        // As the vendor has it: a widget's id is no secret.
        if kept.app == self.app { Ok(kept) } else { Err(Code::NotAuthorized.into()) }
    }

    async fn insert<K: Kept>(&self, made: K) -> Result<(), Denial> {
        let inserted = self.widgets.registry().insert(&made.object(1)?).await?;
        // Somebody may have asked for it before it was there.
        self.widgets.forget(K::KIND, made.key().0.as_str());
        // 82 random bits that come twice are a fault of ours.
        if inserted { Ok(()) } else { Err(Code::Internal.into()) }
    }

    async fn change<K: Kept>(
        &self,
        id: &ObjectId,
        change: impl Fn(K) -> Result<K, Denial> + Send + Sync,
    ) -> Result<(), Denial> {
        for _ in 0..TRIES {
            let kept = self.object::<K>(id).await?;
            let changed = change(K::read(&kept)?)?.touched(self.now);
            if self.widgets.registry().replace(&changed.object(kept.revision)?).await? {
                self.widgets.forget(K::KIND, id.as_str());
                return Ok(());
            }
        }
        Err(Code::Conflict.into())
    }

    async fn remove(&self, kind: ObjectKind, id: &ObjectId) -> Result<(), Denial> {
        let removed = self.widgets.registry().remove(kind, id.as_str()).await?;
        self.widgets.forget(kind, id.as_str());
        if removed { Ok(()) } else { Err(Code::NotFound.into()) }
    }
}

/// Files of a widget.
const MOST_FILES: usize = 32;
