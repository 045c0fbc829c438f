//! A widget as sessions are opened with it, and for how long that may be believed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quick_cache::Weighter;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::chatbotkit::{Fields, Serving, Widget, effective};
use sidegate_core::id::ObjectId;
use tokio::time::Instant;

use super::kept::Kept as _;
use crate::store::{ObjectKind, Objects, Unavailable};

/// What was read so long ago is read again, beside the request that finds it. Changes are heard of sooner.
const FRESH: Duration = Duration::from_secs(60);

/// A widget with what its blueprint says.
#[derive(Debug)]
pub struct Served {
    /// As it is kept.
    pub widget: Widget,
    /// What holds for it; `None` if its blueprint is gone, which may have said more about who may use it.
    whole: Option<Whole>,
    /// About how many bytes that is.
    weight: u64,
}

#[derive(Debug)]
struct Whole {
    fields: Fields,
    serving: Serving,
}

/// A widget that is at hand.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) served: Arc<Served>,
    read_at: Instant,
    /// Whether somebody reads it again.
    reading: Arc<AtomicBool>,
}

impl Known {
    pub(super) fn now(served: Served) -> Self {
        Self { served: served.into(), read_at: Instant::now(), reading: Arc::default() }
    }

    /// Whether the caller must read it again: it is old, and nobody else does.
    pub(super) fn is_due(&self) -> bool {
        self.read_at.elapsed() > FRESH && !self.reading.swap(true, Ordering::AcqRel)
    }

    /// It could not be read again: another one may try.
    pub(super) fn stays(&self) {
        self.reading.store(false, Ordering::Release);
    }

    pub(super) fn follows(&self, blueprint: &str) -> bool {
        self.served.widget.fields.blueprint_id.as_deref() == Some(blueprint)
    }
}

/// The cache has a bound in bytes.
#[derive(Clone)]
pub(super) struct Weigh;

impl Weighter<ObjectId, Known> for Weigh {
    fn weight(&self, _: &ObjectId, known: &Known) -> u64 {
        known.served.weight
    }
}

impl Served {
    /// Reads a widget, and its blueprint if it has one.
    pub(super) async fn read(registry: &dyn Objects, id: &ObjectId) -> Result<Option<Self>, Unavailable> {
        let Some(kept) = registry.object(ObjectKind::Widget, id.as_str()).await? else { return Ok(None) };
        let widget = Widget::read(&kept)?;
        let fields = match widget.fields.blueprint_id.as_deref().filter(|id| !id.is_empty()) {
            None => Some(effective(&widget, None)),
            // One of another app is none.
            Some(id) => match registry.object(ObjectKind::Blueprint, id).await? {
                Some(kept) if kept.app == widget.app => {
                    Some(effective(&widget, Some(&super::kept::Kept::read(&kept)?)))
                }
                _ => None,
            },
        };
        let whole = |fields: Fields| Serving::of(&fields).map(|serving| Whole { fields, serving });
        let whole = fields.map(whole).transpose().map_err(|_| Unavailable)?;
        // It is there as it is kept, and as it holds.
        let weight = 512 + 2 * kept.document.len() as u64;
        Ok(Some(Self { widget, whole, weight }))
    }

    /// What serving its sessions needs.
    ///
    /// # Errors
    /// [`Code::WidgetNotReady`] if its blueprint is gone.
    pub fn serving(&self) -> Result<&Serving, Denial> {
        self.whole.as_ref().map(|whole| &whole.serving).ok_or_else(|| Code::WidgetNotReady.into())
    }

    /// What holds for it, its blueprint's settings included.
    ///
    /// # Errors
    /// [`Code::WidgetNotReady`] if its blueprint is gone.
    pub fn fields(&self) -> Result<&Fields, Denial> {
        self.whole.as_ref().map(|whole| &whole.fields).ok_or_else(|| Code::WidgetNotReady.into())
    }
}
