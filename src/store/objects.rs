//! What an API keeps for its callers, such as widgets: documents by id, very many of them, in lists.

use std::collections::BTreeMap;

use sidegate_core::id::AppId;

use super::use_counts::MOST;
use super::{Answer, Cursor, Mark, Page, Unavailable};

/// Objects of apps, and how much those that are widgets were used. Every list is read from an index: what a
/// call costs does not depend on how many objects there are. All replicas that share a registry share them.
pub trait Objects: Send + Sync {
    /// Adds an object; whether its id was free: it is unique among those of its kind, of whichever app. Its
    /// revision is ignored: it begins at 1.
    fn insert<'a>(&'a self, object: &'a Object) -> Answer<'a, bool>;

    /// Puts the object with its labels in the place of the one of its id, if that still has its revision;
    /// whether it had. The revision grows by one; the app stays.
    fn replace<'a>(&'a self, object: &'a Object) -> Answer<'a, bool>;

    /// Removes an object for good, and its usage; whether it was there.
    fn remove<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, bool>;

    /// The object of an id.
    fn object<'a>(&'a self, kind: ObjectKind, id: &'a str) -> Answer<'a, Option<Object>>;

    /// A page of a list, in the order of ids.
    fn objects<'a>(&'a self, query: &'a ObjectQuery<'a>) -> Answer<'a, Vec<Object>>;

    /// Those that were written or removed after `mark`, in order, some hundreds at most; [`Mark::default`] is
    /// before the first. Each is told at least once, whoever writes meanwhile; a removal for
    /// [`REMOVALS_ARE_TOLD`] at least. If the mark stays there is nothing new, else more may follow. One that
    /// goes back says that the store has lost what it had: whoever keeps objects at hand forgets them.
    fn changed_since(&self, mark: Mark) -> Answer<'_, Changed>;

    /// The mark of the latest change, for whoever has nothing at hand yet.
    fn last_change(&self) -> Answer<'_, Mark>;

    /// Adds to what is kept: counts add up. All of it is kept or nothing; what is of no widget is dropped.
    fn add_usage<'a>(&'a self, usage: &'a [Usage]) -> Answer<'a, ()>;

    /// How much a widget was used; zeros if nothing is known of it.
    fn usage<'a>(&'a self, widget: &'a str) -> Answer<'a, Counts>;

    /// Some objects of any kind, and how much they were used; pages as those of [`super::Vault::page`].
    fn objects_page(&self, from: Option<Cursor>) -> Answer<'_, Page<(Object, Counts)>>;
}

/// For how long a removal is told at least.
pub const REMOVALS_ARE_TOLD: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

/// Changes that are told at once, and objects on a page of all.
pub(super) const PAGE: usize = 256;

/// How often a removal is begun anew because the object has changed meanwhile.
pub(super) const REMOVE_TRIES: u32 = 16;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A widget that pages embed.
    Widget,
    /// A group of widgets.
    Blueprint,
    /// Whom a visitor said to be.
    Contact,
    /// Texts of widgets, by language.
    LanguageMap,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Widget, Self::Blueprint, Self::Contact, Self::LanguageMap];

    /// Its name in a store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Widget => "widget",
            Self::Blueprint => "blueprint",
            Self::Contact => "contact",
            Self::LanguageMap => "language_map",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Its id: letters, digits, `-` and `_`. That of a widget or a blueprint begins with the time, so the latest
    /// comes last.
    pub id: String,
    /// Whose it is.
    pub app: AppId,
    /// How often it has been written.
    pub revision: u64,
    /// The object that it belongs to, as a widget to its blueprint.
    pub parent: Option<String>,
    /// By what it is found in lists, a value for each name. They may hold any text.
    pub labels: Vec<(String, String)>,
    /// What it says; nothing here reads it.
    pub document: String,
}

impl Object {
    /// Whether a query asks for it, wherever its page begins.
    pub(super) fn is_asked_for(&self, query: &ObjectQuery<'_>) -> bool {
        let of_parent = query.parent.is_none_or(|parent| self.parent.as_deref() == Some(parent));
        let labelled = query.labels.iter().all(|label| self.labels.contains(label));
        self.kind == query.kind && self.app == *query.app && of_parent && labelled
    }

    /// Its labels in one text, for stores.
    pub(super) fn labels_as_json(&self) -> String {
        // Texts always have a form in JSON.
        serde_json::to_string(&self.labels).unwrap_or_default()
    }

    /// Its place among all of them.
    pub(super) fn cursor(&self) -> Cursor {
        format!("{} {}", self.kind.name(), self.id)
    }
}

/// What [`Object::cursor`] says.
pub(super) fn place_of(cursor: &str) -> Result<(ObjectKind, String), Unavailable> {
    let (kind, id) = cursor.split_once(' ').ok_or(Unavailable)?;
    Ok((ObjectKind::from_name(kind).ok_or(Unavailable)?, id.to_owned()))
}

/// Which objects are on a page.
#[derive(Clone, Copy, Debug)]
pub struct ObjectQuery<'a> {
    /// Of this kind.
    pub kind: ObjectKind,
    /// Of this app.
    pub app: &'a AppId,
    /// Behind this id, whether or not there is an object of it.
    pub after: Option<&'a str>,
    /// The greatest ids first.
    pub newest_first: bool,
    /// Of this parent.
    pub parent: Option<&'a str>,
    /// With all of these labels.
    pub labels: &'a [(String, String)],
    /// How many at most.
    pub take: usize,
}

/// Some objects that have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Which, in the order in which they changed last.
    pub ids: Vec<(ObjectKind, String)>,
    /// Where to go on.
    pub mark: Mark,
}

impl Changed {
    /// What a page of changes after `mark` says, each with its place; `None` if one cannot be read.
    pub(super) fn read(
        mut changes: impl Iterator<Item = Option<((ObjectKind, String), Mark)>>,
        mark: Mark,
    ) -> Option<Self> {
        changes.try_fold(Self { ids: Vec::new(), mark }, |mut changed, change| {
            let (id, at) = change?;
            changed.ids.push(id);
            changed.mark = at;
            Some(changed)
        })
    }
}

/// Usage of a widget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Its id.
    pub widget: String,
    /// How much.
    pub counts: Counts,
}

/// How much something was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions that were opened.
    pub sessions: u64,
    /// Messages that were sent on.
    pub messages: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Bytes that came back.
    pub bytes: u64,
}

impl Usage {
    /// What was counted of each widget, together, in the order of ids.
    pub(super) fn by_widget(usage: &[Self]) -> BTreeMap<&str, Counts> {
        let mut all = BTreeMap::<_, Counts>::new();
        for Self { widget, counts } in usage {
            let known = all.entry(widget.as_str()).or_default();
            *known = known.plus(*counts);
        }
        all
    }
}

impl Counts {
    /// In the order in which stores keep them, none beyond what each of them holds exactly.
    pub(super) fn numbers(self) -> [u64; 4] {
        [self.sessions, self.messages, self.refused, self.bytes].map(|count| count.min(MOST))
    }

    /// From [`Self::numbers`].
    pub(super) const fn from_numbers([sessions, messages, refused, bytes]: [u64; 4]) -> Self {
        Self { sessions, messages, refused, bytes }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (mine, others) = (self.numbers(), other.numbers());
        Self::from_numbers(std::array::from_fn(|place| (mine[place] + others[place]).min(MOST)))
    }
}
