//! The sections of the bench, in the order in which they run. A new one is a file here and an entry in `ALL`.

mod algorithms;
mod curve;
mod durable;
mod exchange;
mod forward;
mod half_load;
mod identity;
mod inject;
mod logged;
mod streams;
mod vault;
mod widgets;
mod workers;

use crate::Result;
use crate::flags::Flags;
use crate::lab::Lab;
use crate::targets::Target;
use serde_json::{Map, Value};

const ALL: [&Section; 13] = [
    &forward::SECTION,
    &logged::SECTION,
    &inject::SECTION,
    &half_load::SECTION,
    &curve::SECTION,
    &workers::SECTION,
    &algorithms::SECTION,
    &streams::SECTION,
    &exchange::SECTION,
    &durable::SECTION,
    &vault::SECTION,
    &identity::SECTION,
    &widgets::SECTION,
];

/// One question that the bench answers, with its own table.
pub(crate) struct Section {
    /// For `--sections` and the JSON.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Programs and the Debian packages that bring them, beside those that every section uses.
    pub(crate) needs: &'static [(&'static str, &'static str)],
    pub(crate) run: fn(&Lab, &Flags, &Done) -> Result<Outcome>,
    /// What this section holds the gate to, read from the JSON of all sections that ran.
    pub(crate) targets: fn(&Done) -> Vec<Target>,
}

/// JSON of the sections that ran so far, by name.
pub(crate) type Done = Map<String, Value>;

/// What a section found out.
pub(crate) struct Outcome {
    /// The first line is the heading.
    pub(crate) table: Vec<Vec<String>>,
    /// What the rows do, and the conditions.
    pub(crate) note: String,
    pub(crate) json: Value,
}

/// The sections that the flags ask for.
pub(crate) fn chosen(flags: &Flags) -> Result<Vec<&'static Section>> {
    if let Some(name) = flags.sections.iter().find(|name| !ALL.iter().any(|section| section.name == **name)) {
        let names = ALL.map(|section| section.name).join(", ");
        return Err(format!("--sections: no section {name}; there are {names}").into());
    }
    let wanted = |section: &&Section| flags.sections.is_empty() || flags.sections.iter().any(|one| one == section.name);
    Ok(ALL.into_iter().filter(wanted).collect())
}

/// For `--help`.
pub(crate) fn list() -> String {
    let lines = ALL.map(|section| format!("  {:<16} {}", section.name, section.about));
    lines.join("\n")
}

/// The targets of all sections, of those that did not run as well.
pub(crate) fn targets(done: &Done) -> Vec<Target> {
    ALL.into_iter().flat_map(|section| (section.targets)(done)).collect()
}
