//! What apps of the dialect "chatbotkit" have beside: who translates what their widgets say.

use std::sync::Arc;

use secrecy::ExposeSecret as _;
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::chatbotkit::{TranslationList, TranslationService, Translator};

use super::layered::parsers::non_empty;
use super::layered::{Faults, Node, Reader, SecretSource};
use super::settings::Resolve;
use super::upstream::UpstreamSettings;

/// `[apps.translator]`: an upstream, or a file.
pub(super) fn read_translator(
    table: &Reader<'_>,
    dialect: Option<Dialect>,
    upstreams: &[&UpstreamSettings],
    resolve: &Resolve<'_>,
) -> Option<Translator> {
    if dialect != Some(Dialect::ChatBotKit) {
        if dialect.is_some() && table.node("translator").is_some() {
            table.problem("translator", "is for dialect \"chatbotkit\"");
        }
        return None;
    }
    let translator = table.table("translator")?;
    let read = match (translator.node("upstream"), translator.node("file")) {
        (Some(_), None) => read_service(&translator, upstreams).map(Translator::Service),
        (None, Some(_)) => {
            for key in ["path", "model"].into_iter().filter(|key| translator.node(key).is_some()) {
                translator.problem(key, "is for an upstream");
            }
            translator.optional("file", |node| list(node, resolve)).map(|list| Translator::List(Arc::new(list)))
        }
        _ => {
            let _ = (translator.node("path"), translator.node("model"));
            translator.problem("", "must have an upstream or a file, one of them");
            None
        }
    };
    translator.finish();
    read
}

fn read_service(translator: &Reader<'_>, upstreams: &[&UpstreamSettings]) -> Option<TranslationService> {
    let upstream = translator.required("upstream", non_empty);
    let path = translator.or("path", non_empty, "/v1/chat/completions".to_owned());
    let model = translator.required("model", non_empty);
    if upstream.as_ref().is_some_and(|name| !upstreams.iter().any(|known| known.name == *name)) {
        translator.problem("upstream", "is not the name of one of the [[upstreams]]");
    }
    if !path.starts_with('/') {
        translator.problem("path", "must begin with /");
    }
    Some(TranslationService { upstream: upstream?, path, model: model? })
}

/// A list of translations. The gate's files are read for its configuration alone.
fn list(node: &Node, resolve: &Resolve<'_>) -> Result<TranslationList, Faults> {
    let file = SecretSource::File(non_empty(node)?.into());
    let text = resolve(&file).map_err(|fault| format!("must be a file, for apps of the configuration: {fault}"))?;
    Ok(TranslationList::parse(text.expose_secret())?)
}
