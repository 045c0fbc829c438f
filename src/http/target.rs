//! Which app a URL names: by the prefix `/apps/{id}`, by a host name that is one app's alone, by the id in a
//! workspace's path, or, where a token is asked for, by a workflow, and in a widget's routes by `bot_id`. What a
//! browser shows beside it changes nothing about that, so the app's own list of origins decides from the first,
//! preflights included.

use std::sync::Arc;

use http::Uri;
use http::request::Parts;
use sidegate_core::denial::{Code, Denial};
use sidegate_core::dialect::{Dialect, chat9, mitigate, orcheo};

use super::head;
use crate::registry::{Registered, Registry};

pub(super) const PREFIX: &str = "/apps/";

/// The app, if the URL names one. The prefix is cut off, so that routes look the same without it.
///
/// # Errors
/// [`Code::NotFound`] for an app that is not there, or two that contradict each other.
pub(super) fn named(parts: &mut Parts, registry: &Registry) -> Result<Option<Arc<Registered>>, Denial> {
    let by_host = if registry.has_hosts() {
        head::host(parts).and_then(|authority| registry.of_host(authority.host())).cloned()
    } else {
        None
    };
    let by_prefix = by_prefix(parts, registry)?;
    let named = match (by_host, by_prefix) {
        (Some(host), Some(prefix)) if !Arc::ptr_eq(&host, &prefix) => return Err(Code::NotFound.into()),
        (host, prefix) => prefix.or(host),
    };
    if let Some((_, workspace)) = mitigate::WorkspaceRoute::of(parts.uri.path()) {
        let found = registry.app(workspace.as_str()).filter(|found| found.is_meant_by(named.as_ref()));
        let found = found.filter(|found| found.app.dialect == Dialect::Mitigate).ok_or(Code::NotFound)?;
        return Ok(Some(Arc::clone(found)));
    }
    if named.is_some() {
        return Ok(named);
    }
    if chat9::is_widget(parts.uri.path()) {
        return Ok(bot(parts.uri.query(), registry));
    }
    if orcheo::TokenRoute::of(parts.uri.path()).is_none() {
        return Ok(None);
    }
    // A workflow that is none is refused later, with what its page may read.
    let workflow = orcheo::asked_workflow(parts.uri.query()).ok().flatten();
    Ok(match workflow {
        Some(id) => registry.of_workflow(&id).cloned(),
        None => registry.only_issuer().cloned(),
    })
}

/// The bot that a widget's query names. What names none is refused later, with what its page may read.
fn bot(query: Option<&str>, registry: &Registry) -> Option<Arc<Registered>> {
    let query = chat9::Query::parse(query).ok()?;
    let found = registry.app(query.unverified_bot.as_deref()?)?;
    (found.app.dialect == Dialect::Chat9).then(|| Arc::clone(found))
}

/// The app whose prefix a path has; it is cut off.
///
/// # Errors
/// [`Code::NotFound`] for an app that is not there.
pub(super) fn by_prefix(parts: &mut Parts, registry: &Registry) -> Result<Option<Arc<Registered>>, Denial> {
    if parts.uri.path().starts_with(PREFIX) { cut(parts, registry).map(Some) } else { Ok(None) }
}

/// Cuts the prefix off.
fn cut(parts: &mut Parts, registry: &Registry) -> Result<Arc<Registered>, Denial> {
    let gone = |_| Code::NotFound;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let named = target.strip_prefix(PREFIX).and_then(|rest| rest.split_at_checked(rest.find('/')?));
    let (id, rest) = named.ok_or(Code::NotFound)?;
    let registered = registry.app(id).cloned().ok_or(Code::NotFound)?;
    let rest = rest.parse().map_err(|_| Code::NotFound)?;
    let mut changed = parts.uri.clone().into_parts();
    changed.path_and_query = Some(rest);
    parts.uri = Uri::from_parts(changed).map_err(gone)?;
    Ok(registered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_off(target: &str) -> Option<String> {
        let registry = Registry::new(&[], Vec::new(), None).expect("a registry");
        let mut parts = http::Request::builder().uri(target).body(()).expect("a request").into_parts().0;
        named(&mut parts, &registry).ok().map(|_| parts.uri.to_string())
    }

    #[test]
    fn what_names_no_app_stays_as_it_is_and_an_unknown_app_is_not_found() {
        assert_eq!(cut_off("/api/chatkit?a=/apps/x/").as_deref(), Some("/api/chatkit?a=/apps/x/"));
        assert_eq!(cut_off("/apps").as_deref(), Some("/apps"));
        for unknown in ["/apps/", "/apps/x", "/apps/x/", "/apps//api/chatkit", "/apps/x/api/chatkit", "/apps/x?/"] {
            assert_eq!(cut_off(unknown), None, "{unknown}");
        }
    }
}
