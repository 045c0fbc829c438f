//! What apps whose tokens OpenAI makes have beside: `[apps.trade.session]` and `[apps.trade.realtime]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use sidegate_core::dialect::orcheo::openai::{RealtimeSettings, RealtimeType, SessionSettings, range};

use super::layered::parsers::{boolean, duration, integer, non_empty, one_of};
use super::layered::{Faults, Node, Reader, Value, to_json};

/// `[apps.trade.session]`.
pub(super) fn read_session(trade: &Reader<'_>) -> SessionSettings {
    let table = trade.section("session");
    let upload = table.section("file_upload");
    let history = table.section("history");
    let settings = SessionSettings {
        expires_after: table.optional("expires_after", seconds(range::SECONDS)),
        requests_per_minute: table.optional("max_requests_per_minute", integer(range::REQUESTS)),
        state_variables: read_variables(&table),
        tracing: table.optional("tracing", boolean),
        thread_titling: table.optional("automatic_thread_titling", boolean),
        file_upload: upload.optional("enabled", boolean),
        max_file_size: upload.optional("max_file_size", integer(range::FILE_SIZE)),
        max_files: upload.optional("max_files", integer(range::FILES)),
        history: history.optional("enabled", boolean),
        recent_threads: history.optional("recent_threads", integer(range::THREADS)),
    };
    upload.finish();
    history.finish();
    table.finish();
    settings
}

/// `[apps.trade.realtime]`; `None` without it.
pub(super) fn read_realtime(trade: &Reader<'_>) -> Option<RealtimeSettings> {
    let table = trade.table("realtime")?;
    let expires_after = table.optional("expires_after", seconds(range::REALTIME_SECONDS));
    let kind = table.required("type", one_of(&RealtimeType::ALL.map(|kind| (kind.name(), kind))));
    let model = table.optional("model", non_empty);
    let mut session: Map<String, Json> = table.map_of("session", to_json).into_iter().collect();
    for (name, key) in [("type", "`type`"), ("model", "`model`")] {
        if session.contains_key(name) {
            table.problem_in("session", name, &format!("stands beside `session`, as {key}"));
        }
    }
    session.extend(kind.map(|kind| ("type".to_owned(), kind.name().into())));
    session.extend(model.map(|model| ("model".to_owned(), model.into())));
    let settings = RealtimeSettings { expires_after, session };
    if kind.is_some()
        && let Err(fault) = settings.check()
    {
        table.problem("session", &fault.message);
    }
    table.finish();
    Some(settings)
}

fn read_variables(table: &Reader<'_>) -> Map<String, Json> {
    let variables: Map<_, _> = table.map_of("state_variables", scalar).into_iter().collect();
    for name in variables.keys().filter(|name| !range::VARIABLE_NAME.contains(&name.chars().count())) {
        table.problem_in("state_variables", name, "its name must have 1 to 64 characters");
    }
    variables
}

fn scalar(node: &Node) -> Result<Json, Faults> {
    match node.value {
        Value::String(_) | Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => to_json(node),
        Value::Array(_) | Value::Table(_) => Err("must be a string, a number, true or false".into()),
    }
}

/// A time span such as `"10m"`, in whole seconds.
fn seconds(range: RangeInclusive<u32>) -> impl Fn(&Node) -> Result<u32, Faults> {
    move |node| {
        let span = duration(node)?;
        let whole = u32::try_from(span.as_secs()).ok().filter(|seconds| span == Duration::from_secs((*seconds).into()));
        whole
            .filter(|seconds| range.contains(seconds))
            .ok_or_else(|| format!("must be whole seconds from {}s to {}s", range.start(), range.end()).into())
    }
}
