//! What becomes of an upstream's answer: passed as it comes, or read for whose it is.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Body as _;
use sidegate_core::denial::Code;
use sidegate_core::dialect::chatbotkit::frame_ancestors;
use sidegate_core::dialect::{AnswerUse, Dialect, chat9, orcheo};
use sidegate_core::ending::Ending;
use tokio::time::Instant;

use super::answer::UpstreamBody;
use super::head::{is_event_stream, is_html, is_stream, prepare_answer, remove_all};
use super::request::{AnswerBody, Forward, Refused};
use super::stream::{BrokenOff, Kind, Leash, Naming, Pauses, Recorder, Streamed, UnderWay};
use super::watch::Watch;
use super::{Failure, MediaType};
use crate::sessions::{Closing, Live};
use crate::store::Owner;

impl Forward<'_> {
    pub(super) async fn answer(
        &self,
        response: Response<UpstreamBody>,
        answer_use: AnswerUse,
        under_way: UnderWay,
    ) -> Result<Response<AnswerBody>, Refused> {
        let app = self.admission.permit().app();
        // The browser's credentials stop here, so a 401 is about the gate's own; a browser would
        // take it for its token's.
        if response.status() == StatusCode::UNAUTHORIZED && !app.pass.token {
            return Err(Failure::Unauthorized.into());
        }
        let watches = answer_use == AnswerUse::WatchEnd && !self.admission.session().is_some_and(Live::is_closed);
        let reads = watches || (response.status().is_success() && answer_use != AnswerUse::WatchEnd);
        let answer_use = if reads { answer_use } else { AnswerUse::Pass };
        let (mut head, body) = response.into_parts();
        let passes = match answer_use {
            AnswerUse::Pass | AnswerUse::RecordOwnerOfStream | AnswerUse::AsAsked => true,
            AnswerUse::WatchEnd => is_event_stream(&head.headers),
            AnswerUse::RecordOwnerIfNamed => MediaType::of(&head.headers) != MediaType::Json,
            AnswerUse::RecordOwner | AnswerUse::RecordUpload | AnswerUse::FilterList => false,
        };
        let streams = passes && is_stream(&head.headers);
        prepare_answer(&mut head.headers, app.pass, streams);
        self.hold_frame(&mut head.headers);
        let body = match answer_use {
            // What is still to be asked was not asked, so there is nothing to record.
            AnswerUse::Pass | AnswerUse::AsAsked => self.handed_on(&head.headers, body, under_way),
            AnswerUse::RecordOwnerIfNamed if passes => self.handed_on(&head.headers, body, under_way),
            // In boxes, as what these await would make room in every request.
            AnswerUse::WatchEnd => Box::pin(self.watched(head.status, &head.headers, body, under_way)).await?,
            AnswerUse::RecordOwnerOfStream => Box::pin(self.named(&head.headers, body, under_way)).await?,
            AnswerUse::RecordOwner => AnswerBody::Full(Box::pin(self.record_owner(body)).await?),
            AnswerUse::RecordOwnerIfNamed => {
                AnswerBody::Full(Box::pin(self.record_owner_if_named(&head.headers, body)).await?)
            }
            AnswerUse::RecordUpload => {
                keep_media_type_and_cookies(&mut head.headers);
                AnswerBody::Full(Box::pin(self.record_upload(body)).await?)
            }
            AnswerUse::FilterList => {
                keep_media_type_and_cookies(&mut head.headers);
                AnswerBody::Full(Box::pin(self.filter_list(body)).await?)
            }
        };
        if let (Some(tether), AnswerBody::Full(bytes)) = (self.admission.tether(), &body) {
            tether.sent(bytes.len());
        }
        Ok(Response::from_parts(head, body))
    }

    /// A widget's pages may be shown by those of the app's list and its own alone; what the upstream says holds beside that.
    fn hold_frame(&self, headers: &mut HeaderMap) {
        if self.dialect() != Dialect::ChatBotKit || !is_html(headers) {
            return;
        }
        let of_widget =
            self.admission.widget().and_then(|served| served.serving().ok()).map(|serving| &serving.origins);
        // Of several policies a browser heeds each.
        for list in std::iter::once(&self.admission.permit().app().origins).chain(of_widget) {
            let policy = frame_ancestors(list).and_then(|policy| HeaderValue::try_from(policy).ok());
            headers.extend(policy.map(|policy| (CONTENT_SECURITY_POLICY, policy)));
        }
    }

    /// A body as it comes; what is there already needs nobody who watches over it.
    fn handed_on(&self, headers: &HeaderMap, mut body: UpstreamBody, under_way: UnderWay) -> AnswerBody {
        match body.take_whole() {
            Some(whole) => AnswerBody::Full(whole),
            None => self.streamed(headers, Bytes::new(), body, under_way),
        }
    }

    fn streamed(&self, headers: &HeaderMap, first: Bytes, body: UpstreamBody, under_way: UnderWay) -> AnswerBody {
        AnswerBody::Streamed(Box::new(self.stream(headers, first, body, under_way)))
    }

    fn stream(&self, headers: &HeaderMap, first: Bytes, body: UpstreamBody, under_way: UnderWay) -> Streamed {
        let endless = body.size_hint().exact().is_none();
        let leash = endless.then(|| self.leash());
        let (kind, settings) = (Kind::of(headers), &self.upstream().settings);
        // Nothing can be put into what has a length, or a coding.
        let takes_comments = leash.is_some() && matches!(kind, Kind::Events(_));
        let pauses = Pauses::new(settings.idle_timeout, settings.keep_alive.filter(|_| takes_comments));
        Streamed::new(first, body, kind, pauses, leash, under_way)
            .read_on_for(settings.read_on)
            .tethered(self.admission.tether())
    }

    /// What ends a stream that begins now: the end of its token, of what its leash lets one last, or of what admitted it.
    pub(super) fn leash(&self) -> Leash {
        // One that ends beyond all time has no end.
        let lasts = self.admission.permit().leash().stream.and_then(|lasts| Instant::now().checked_add(lasts));
        let (ends_at, why) = match lasts.filter(|lasts| *lasts < self.ends_at) {
            Some(ends_at) => (ends_at, Ending::TimeUsedUp),
            None => (self.ends_at, Ending::Expired),
        };
        Leash { ends_at, why, held: self.leashes.hold(self.admission.grounds()) }
    }

    /// An answer that may say that the session has ended: it is closed before that is passed on.
    async fn watched(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        mut body: UpstreamBody,
        under_way: UnderWay,
    ) -> Result<AnswerBody, Refused> {
        let session = self.admission.session().ok_or(Code::Internal)?;
        let closing = self.closing(session);
        // It was asked for without a coding.
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(Failure::Unreadable.into());
        }
        if is_event_stream(headers) {
            let streamed = self.stream(headers, Bytes::new(), body, under_way);
            return Ok(AnswerBody::Streamed(Box::new(streamed.watched(Watch::new(closing)))));
        }
        let (idle, most) = (self.upstream().settings.idle_timeout, self.limits.read_answer);
        let first = body.read_until(most.saturating_mul(2), idle, |read| read.len() > most).await?;
        if first.len() > most {
            // A long transcript. That its session has ended, the next request finds out.
            return Ok(self.streamed(headers, first, body, under_way));
        }
        if chat9::ends(status, &first) && closing.await.is_err() {
            tracing::warn!("a chat has ended, and its session could not be closed");
        }
        Ok(AnswerBody::Full(first))
    }

    /// What closes a session, and so ends its other streams.
    fn closing(&self, session: &Live) -> Closing {
        let closing = session.closing(self.store, &self.admission.permit().app().id);
        let (leashes, session) = (Rc::clone(self.leashes), session.id().digest());
        Box::pin(async move {
            let closed = closing.await;
            if closed.is_ok() {
                leashes.closed(&session);
            }
            closed
        })
    }

    /// A stream that names a new conversation, of which nothing passes before that has its owner. What goes wrong before
    /// anything is said is a refusal.
    async fn named(&self, headers: &HeaderMap, body: UpstreamBody, under_way: UnderWay) -> Result<AnswerBody, Refused> {
        // It was asked for without a coding.
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(Failure::Unreadable.into());
        }
        let naming = Naming::new(self.limits.read_answer, self.recorder());
        let mut streamed = Box::new(self.stream(headers, Bytes::new(), body, under_way).naming(naming));
        match streamed.begun().await {
            Ok(()) => Ok(AnswerBody::Streamed(streamed)),
            Err(BrokenOff::Upstream(failure)) => Err(failure.into()),
            Err(BrokenOff::Store | BrokenOff::Ended(_)) => Err(Code::StoreUnavailable.into()),
        }
    }

    fn recorder(&self) -> Recorder {
        let (store, owner) = (Arc::clone(self.store), self.owner());
        let (app, end_user) = (owner.app.clone(), owner.end_user.clone());
        Box::new(move |conversation| {
            let (store, app, end_user) = (Arc::clone(&store), app.clone(), end_user.clone());
            Box::pin(async move { store.record(Owner { app: &app, end_user: &end_user }, &conversation).await })
        })
    }

    async fn record_owner(&self, body: UpstreamBody) -> Result<Bytes, Refused> {
        let body = self.collect(body).await?;
        let conversation = self.dialect().created(&body).ok_or(Failure::Unreadable)?;
        self.store.record(self.owner(), &conversation).await.map_err(|_| Code::StoreUnavailable)?;
        Ok(body)
    }

    /// An answer that may name a conversation. One that names none is nobody's: it cannot be asked for again.
    async fn record_owner_if_named(&self, headers: &HeaderMap, body: UpstreamBody) -> Result<Bytes, Refused> {
        // It was asked for without a coding.
        if headers.contains_key(CONTENT_ENCODING) {
            return Err(Failure::Unreadable.into());
        }
        let body = self.collect(body).await?;
        if let Some(conversation) = self.dialect().created(&body) {
            self.store.record(self.owner(), &conversation).await.map_err(|_| Code::StoreUnavailable)?;
        }
        Ok(body)
    }

    async fn record_upload(&self, body: UpstreamBody) -> Result<Bytes, Refused> {
        let body = self.collect(body).await?;
        let (attachment, kept) = orcheo::uploaded(&body).ok_or(Failure::Unreadable)?;
        if self.scopes() {
            self.store.record(self.owner(), &attachment).await.map_err(|_| Code::StoreUnavailable)?;
        }
        Ok(kept.into())
    }

    async fn filter_list(&self, body: UpstreamBody) -> Result<Bytes, Refused> {
        let body = self.collect(body).await?;
        let owned = self.store.of(self.owner()).await.map_err(|_| Code::StoreUnavailable)?;
        let filtered = self.dialect().filter_list(&body, owned.len() as u64, |id| owned.contains(id));
        Ok(filtered.ok_or(Failure::Unreadable)?.into())
    }

    async fn collect(&self, body: UpstreamBody) -> Result<Bytes, Failure> {
        body.collect(self.limits.read_answer, self.upstream().settings.idle_timeout).await
    }
}

/// The fields of an answer that we cut down describe the whole of it: its length, a validator, links
/// to other pages, totals of all users.
fn keep_media_type_and_cookies(headers: &mut HeaderMap) {
    remove_all(headers, |name| name != CONTENT_TYPE && name != SET_COOKIE);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
