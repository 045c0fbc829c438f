//! What becomes of an upstream's answer: passed as it comes, or read for whose it is.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sidegate_core::denial::Code;
use sidegate_core::dialect::{AnswerUse, sigmic};

use super::Failure;
use super::answer::UpstreamBody;
use super::head::{is_event_stream, is_stream, prepare_answer, remove_all};
use super::request::{AnswerBody, Forward, Refused};
use super::stream::{Streamed, UnderWay};

impl Forward<'_> {
    pub(super) async fn answer(
        &self,
        response: Response<UpstreamBody>,
        under_way: UnderWay,
    ) -> Result<Response<AnswerBody>, Refused> {
        let app = self.admission.permit().app();
        // The browser's credentials stop here, so a 401 is about the gate's own; a browser would
        // take it for its token's.
        if response.status() == StatusCode::UNAUTHORIZED && !app.pass.token {
            return Err(Failure::Unauthorized.into());
        }
        let answer_use = if response.status().is_success() { self.answer_use() } else { AnswerUse::Pass };
        let (mut head, body) = response.into_parts();
        let streams = answer_use == AnswerUse::Pass && is_stream(&head.headers);
        prepare_answer(&mut head.headers, app.pass, streams);
        let body = match answer_use {
            AnswerUse::Pass => {
                let idle = self.upstream().settings.idle_timeout;
                let events = is_event_stream(&head.headers);
                AnswerBody::Streamed(Box::new(Streamed::new(body, events, idle, self.ends_at, under_way)))
            }
            AnswerUse::RecordOwner => AnswerBody::Full(self.record_owner(body).await?),
            AnswerUse::FilterList => {
                keep_media_type_and_cookies(&mut head.headers);
                AnswerBody::Full(self.filter_list(body).await?)
            }
        };
        Ok(Response::from_parts(head, body))
    }

    async fn record_owner(&self, body: UpstreamBody) -> Result<Bytes, Refused> {
        let body = self.collect(body).await?;
        let conversation = sigmic::created_task(&body).ok_or(Failure::Unreadable)?;
        self.owners.record(self.owner(), &conversation).await.map_err(|_| Code::StoreUnavailable)?;
        Ok(body)
    }

    async fn filter_list(&self, body: UpstreamBody) -> Result<Bytes, Refused> {
        let body = self.collect(body).await?;
        let owned = self.owners.of(self.owner()).await.map_err(|_| Code::StoreUnavailable)?;
        let filtered = sigmic::filter_list(&body, owned.len() as u64, |id| owned.contains(id));
        Ok(filtered.ok_or(Failure::Unreadable)?.into())
    }

    async fn collect(&self, body: UpstreamBody) -> Result<Bytes, Failure> {
        body.collect(self.limits.read_answer, self.upstream().settings.idle_timeout).await
    }
}

/// The fields of a list that we cut down describe the whole of it: its length, a validator, links
/// to other pages, totals of all users.
fn keep_media_type_and_cookies(headers: &mut HeaderMap) {
    remove_all(headers, |name| name != CONTENT_TYPE && name != SET_COOKIE);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
