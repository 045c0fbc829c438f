//! Lists: a page as JSON, or all from the cursor on as lines, a table or events, read page by page as they are taken.

use axum::body::Body;
use axum::extract::RawQuery;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::try_unfold;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue};
use sidegate_core::denial::Denial;
use sidegate_core::dialect::chatbotkit::{
    ListFormat, ListQuery, Wire, csv_header, csv_row, json_page, jsonl_item, sse_item,
};

use super::{Of, Reads, reply};
use crate::http::admin::Answered;
use crate::widgets::{Account, Kept};

pub(super) async fn list<K: Kept + 'static>(
    Of(account): Reads,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answered {
    let query = ListQuery::parse(query.as_deref())?;
    let format = ListFormat::of(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    // The first page is read before anything is answered: a refusal has a status of its own.
    let first: Vec<K> = account.list(&query).await?;
    let mut response = match format {
        ListFormat::Json => {
            let items: Vec<_> = first.iter().map(Kept::wire).collect();
            reply(json_page(&items, first.last().map(|last| last.key().0)))?
        }
        ListFormat::Jsonl => whole(account, query, first, format, ("", jsonl_item)),
        ListFormat::EventStream => whole(account, query, first, format, ("", sse_item)),
        ListFormat::Csv => whole(account, query, first, format, (&csv_header(), csv_row)),
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// What is to be read next, and how it is written.
struct Rest<K> {
    account: Account,
    /// `None` behind the last page.
    query: Option<ListQuery>,
    /// What was read, and not written yet.
    read: Option<Vec<K>>,
}

/// The whole list, from its first page on.
fn whole<K: Kept + 'static>(
    account: Account,
    query: ListQuery,
    first: Vec<K>,
    format: ListFormat,
    (head, item): (&str, fn(&Wire<'_>) -> String),
) -> Response {
    let rest = Rest { account, query: Some(query), read: Some(first) };
    let head = Bytes::from(head.to_owned());
    let pages = try_unfold((head, rest), move |(head, rest)| async move {
        let Some((page, rest)) = rest.next().await? else { return Ok::<_, axum::BoxError>(None) };
        let text: String = page.iter().map(|kept| item(&kept.wire())).collect();
        Ok(Some((Bytes::from([&head, text.as_bytes()].concat()), (Bytes::new(), rest))))
    });
    let fields = [(CONTENT_TYPE, format.content_type()), (CACHE_CONTROL, "no-store")];
    (fields, Body::from_stream(pages)).into_response()
}

impl<K: Kept> Rest<K> {
    /// The next page; `None` behind the last.
    async fn next(mut self) -> Result<Option<(Vec<K>, Self)>, Broken> {
        let Some(query) = self.query.take() else { return Ok(None) };
        let page = match self.read.take() {
            Some(page) => page,
            None => self.account.list(&query).await.map_err(|Denial { message, .. }| Broken(message.into_owned()))?,
        };
        let last = page.last().filter(|_| page.len() == query.take).map(|last| last.key().0.clone());
        self.query = last.map(|last| ListQuery { cursor: Some(last), ..query });
        Ok(Some((page, self)))
    }
}

/// A list that cannot be read to its end breaks off: nobody takes it for the whole.
#[derive(Debug)]
struct Broken(String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}
