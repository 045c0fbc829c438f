//! A worker's share of setups: translates what a widget says, language by language, and keeps what comes. Whatever
//! fails, the widget goes on with the texts that it has.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sidegate_core::denial::Denial;
use sidegate_core::dialect::chatbotkit::{Texts, TranslationService, Translator, default_texts, languages};
use sidegate_core::id::ObjectId;

use super::languages::{object, read};
use super::{Served, Setups, TRIES};
use crate::forward::{Call, Client, Failure};
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::registry::Registered;
use crate::store::ObjectKind;

/// How long one language may take, all attempts together: models write slowly.
const LANGUAGE_TIME: Duration = Duration::from_secs(120);

/// How often a language is asked for, and how long after a failure.
const ATTEMPTS: u32 = 2;
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes of an answer.
const MAX_ANSWER: usize = 1024 * 1024;

/// What a worker translates with.
#[derive(Clone)]
pub struct Translations {
    /// What all workers share.
    pub gate: Arc<Gate>,
    /// This worker's connections.
    pub client: Rc<Client>,
    /// This worker's counters.
    pub metrics: Arc<Metrics>,
}

impl Translations {
    /// Runs setups as they are asked for, one after the other, until the task is aborted; each with what there is
    /// `now`.
    pub async fn run(setups: Arc<Setups>, now: impl Fn() -> Self) {
        loop {
            let job = setups.next().await;
            let this = now();
            // In a task of its own: a fault ends it, and not all that come after.
            let ended = tokio::task::spawn_local(async move {
                if this.set_up(&job.widget).await.is_err() {
                    tracing::warn!("the translations of a widget could not be kept");
                }
            });
            let _ = ended.await;
        }
    }

    /// Translates what a widget says now.
    async fn set_up(&self, id: &ObjectId) -> Result<(), Denial> {
        let registry = self.gate.widgets.registry();
        // As it stands in the registry: what is at hand may be older than what was asked for.
        let Some(served) = Served::read(registry, id).await? else { return Ok(()) };
        let Some(kept) = registry.object(ObjectKind::LanguageMap, id.as_str()).await? else { return Ok(()) };
        let found = self.gate.registry.load().app(served.widget.app.as_str()).cloned();
        let (Some(registered), Ok(fields)) = (found, served.fields()) else { return Ok(()) };
        let (setup, texts) = (read(&kept).asked(), default_texts(fields));
        let in_language = |language| {
            let (registered, texts) = (&registered, &texts);
            async move { (String::from(language), self.translated(registered, texts, language).await) }
        };
        let translated = join_all(languages(fields).into_iter().map(in_language)).await;
        self.keep(id, setup, &texts, translated).await
    }

    /// The texts in a language, as far as there are such.
    async fn translated(&self, registered: &Registered, texts: &Texts, language: &str) -> Texts {
        let failure = match &registered.app.translator {
            None => return Texts::new(),
            Some(Translator::List(list)) => return list.translations(texts, language),
            Some(Translator::Service(service)) => {
                let Ok(_place) = self.gate.widgets.setups.places.acquire().await else { return Texts::new() };
                let asking = self.ask(registered, service, texts, language);
                match tokio::time::timeout(LANGUAGE_TIME, asking).await {
                    Ok(Ok(translated)) => return translated,
                    Ok(Err(failure)) => failure,
                    Err(_) => Failure::ResponseTimeout,
                }
            }
        };
        self.metrics.failure(failure);
        let (app, error) = (registered.app.id.as_str(), failure.error_type());
        tracing::warn!(
            app,
            language,
            error,
            "the texts of a widget could not be translated; they are shown as they are"
        );
        Texts::new()
    }

    /// Asks until there is an answer, or another attempt would do no better.
    async fn ask(
        &self,
        registered: &Registered,
        service: &TranslationService,
        texts: &Texts,
        language: &str,
    ) -> Result<Texts, Failure> {
        let question = service.question(texts, language);
        let mut attempts = 1;
        loop {
            let answered = self.ask_once(registered, service, &question).await;
            let failure = match answered {
                Ok(body) => return TranslationService::read(&body, texts).ok_or(Failure::Unreadable),
                Err(failure) => failure,
            };
            if attempts == ATTEMPTS || !may_pass(failure) {
                return Err(failure);
            }
            attempts += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_once(
        &self,
        registered: &Registered,
        service: &TranslationService,
        question: &[u8],
    ) -> Result<bytes::Bytes, Failure> {
        let upstream = registered.translator.as_ref().ok_or(Failure::Unavailable)?;
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, json.clone()), (ACCEPT, json)]);
        let body = Some(question.to_vec().into());
        let call = Call { method: Method::POST, path: &service.path, query: None, headers, body, limit: MAX_ANSWER };
        let answer = self.client.call(upstream, call).await?;
        match answer.status() {
            status if status.is_success() => Ok(answer.into_body()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Unauthorized),
            StatusCode::TOO_MANY_REQUESTS => Err(Failure::Unavailable),
            status if status.is_server_error() => Err(Failure::Unavailable),
            _ => Err(Failure::Unreadable),
        }
    }

    /// Puts what was made into the place of what was there, unless the widget is gone or a later setup was quicker.
    async fn keep(
        &self,
        id: &ObjectId,
        setup: u64,
        texts: &Texts,
        translated: Vec<(String, Texts)>,
    ) -> Result<(), Denial> {
        let widgets = &self.gate.widgets;
        for _ in 0..TRIES {
            let kept = widgets.registry().object(ObjectKind::LanguageMap, id.as_str()).await?;
            let Some(kept) = kept else { return Ok(()) };
            let Some(made) = read(&kept).with(setup, texts, translated.clone()) else { return Ok(()) };
            if widgets.registry().replace(&object(id, &kept.app, kept.revision, &made)?).await? {
                widgets.forget(ObjectKind::LanguageMap, id.as_str());
                return Ok(());
            }
        }
        Err(sidegate_core::denial::Code::Conflict.into())
    }
}

/// Whether what failed may go well a moment later.
const fn may_pass(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::ConnectionRefused
            | Failure::ConnectionTimeout
            | Failure::Terminated
            | Failure::Incomplete
            | Failure::Unavailable
            | Failure::Busy
            | Failure::Exhausted
    )
}
