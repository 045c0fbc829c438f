//! Widgets and blueprints as objects of the registry.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sidegate_core::clock::Timestamp;
use sidegate_core::denial::Denial;
use sidegate_core::dialect::chatbotkit::{Blueprint, Fields, Patch, Widget, Wire, from_document, to_document};
use sidegate_core::id::{AppId, ObjectId};

use crate::store::{Object, ObjectKind, Unavailable};

/// What is kept as a document of its own.
pub trait Kept: Serialize + DeserializeOwned + Send {
    /// Which kind of object.
    const KIND: ObjectKind;

    /// A new one.
    fn new(id: ObjectId, app: AppId, now: Timestamp, fields: Fields) -> Self;

    /// Reads what is asked for in one.
    ///
    /// # Errors
    /// As [`Patch::parse`].
    fn parse(body: &[u8]) -> Result<Patch, Denial>;

    /// Its id, and whose it is.
    fn key(&self) -> (&ObjectId, &AppId);

    /// Its settings.
    fn fields(&self) -> &Fields;

    /// The same with other settings.
    #[must_use]
    fn with(self, fields: Fields) -> Self;

    /// The same, changed now.
    #[must_use]
    fn touched(self, now: Timestamp) -> Self;

    /// As customers see it.
    fn wire(&self) -> Wire<'_>;

    /// As the registry keeps it.
    ///
    /// # Errors
    /// As [`to_document`].
    fn object(&self, revision: u64) -> Result<Object, Denial> {
        let (id, app) = self.key();
        let fields = self.fields();
        Ok(Object {
            kind: Self::KIND,
            id: id.as_str().to_owned(),
            app: app.clone(),
            revision,
            parent: fields.blueprint_id.clone().filter(|id| !id.is_empty()),
            labels: fields.labels(),
            document: to_document(self)?,
        })
    }

    /// From what the registry keeps.
    ///
    /// # Errors
    /// [`Unavailable`] if it cannot be read.
    fn read(kept: &Object) -> Result<Self, Unavailable> {
        from_document(&kept.document).ok_or_else(|| {
            tracing::error!(kind = kept.kind.name(), id = kept.id, "an object of the registry cannot be read");
            Unavailable
        })
    }
}

impl Kept for Widget {
    const KIND: ObjectKind = ObjectKind::Widget;

    fn new(id: ObjectId, app: AppId, now: Timestamp, fields: Fields) -> Self {
        Self { id, app, created_at: now, updated_at: now, disabled: false, fields, files: Default::default() }
    }

    fn parse(body: &[u8]) -> Result<Patch, Denial> {
        Patch::parse(body)
    }

    fn key(&self) -> (&ObjectId, &AppId) {
        (&self.id, &self.app)
    }

    fn fields(&self) -> &Fields {
        &self.fields
    }

    fn with(self, fields: Fields) -> Self {
        Self { fields, ..self }
    }

    fn touched(self, now: Timestamp) -> Self {
        Self { updated_at: now.max(self.updated_at), ..self }
    }

    fn wire(&self) -> Wire<'_> {
        self.to_wire()
    }
}

impl Kept for Blueprint {
    const KIND: ObjectKind = ObjectKind::Blueprint;

    fn new(id: ObjectId, app: AppId, now: Timestamp, fields: Fields) -> Self {
        Self { id, app, created_at: now, updated_at: now, fields }
    }

    fn parse(body: &[u8]) -> Result<Patch, Denial> {
        Patch::parse_blueprint(body)
    }

    fn key(&self) -> (&ObjectId, &AppId) {
        (&self.id, &self.app)
    }

    fn fields(&self) -> &Fields {
        &self.fields
    }

    fn with(self, fields: Fields) -> Self {
        Self { fields, ..self }
    }

    fn touched(self, now: Timestamp) -> Self {
        Self { updated_at: now.max(self.updated_at), ..self }
    }

    fn wire(&self) -> Wire<'_> {
        self.to_wire()
    }
}
