//! What the upstream answers that the gate must read: new threads, lists of them, new attachments.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::ConversationId;
use crate::sse;

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    thread: Option<Named<'a>>,
}

/// What the beginning of an event stream says of the thread that it creates.
#[derive(Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Not yet known: more must be read.
    Incomplete,
    /// This thread was created.
    Created(ConversationId),
    /// An event came that would have to follow a thread's creation, or one that cannot be read.
    None,
}

/// Reads the events at the beginning of a stream (HTML standard, section 9.2.6) up to `thread.created`.
/// `error`, `notice`, `stream_options` and `progress_update` name no thread and may stand before it.
#[must_use]
pub fn beginning(stream: &[u8]) -> Beginning {
    let mut rest = stream;
    while let Some((event, behind)) = sse::split_event(rest) {
        rest = behind;
        let data = sse::data(event);
        if data.is_empty() {
            continue;
        }
        let Ok(event) = serde_json::from_slice::<Event<'_>>(&data) else { return Beginning::None };
        match &*event.kind {
            "thread.created" => {
                let id = event.thread.and_then(|thread| ConversationId::parse(&thread.id).ok());
                return id.map_or(Beginning::None, Beginning::Created);
            }
            "error" | "notice" | "stream_options" | "progress_update" => {}
            _ => return Beginning::None,
        }
    }
    Beginning::Incomplete
}

/// The id in the answer to `attachments.create`.
#[must_use]
pub fn created_attachment(body: &[u8]) -> Option<ConversationId> {
    let created: Named<'_> = serde_json::from_slice(body).ok()?;
    ConversationId::parse(&created.id).ok()
}

/// A page of `threads.list`.
#[derive(Deserialize, Serialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    #[serde(default)]
    has_more: bool,
    /// Where the next page begins: the last thread of this one, whoever's it is. It must pass, or the
    /// pages behind it could not be asked for; the gate refuses every other use of it.
    #[serde(borrow, default)]
    after: Option<std::borrow::Cow<'a, str>>,
}

/// The page with only the threads that `owned` names, byte for byte; `None` if the answer is not of
/// that shape.
#[must_use]
pub fn filter_list(body: &[u8], owned: impl Fn(&ConversationId) -> bool) -> Option<Vec<u8>> {
    let mut page: Page<'_> = serde_json::from_slice(body).ok()?;
    let mut mine = Vec::with_capacity(page.data.len());
    for item in page.data {
        let thread: Named<'_> = serde_json::from_str(item.get()).ok()?;
        if ConversationId::parse(&thread.id).is_ok_and(|id| owned(&id)) {
            mine.push(item);
        }
    }
    page.data = mine;
    serde_json::to_vec(&page).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_tells_its_thread_as_soon_as_it_can() {
        let stream = b"data: {\"type\":\"stream_options\"}\n\n: comment\n\ndata: {\"type\":\"thread.created\",\ndata: \"thread\":{\"id\":\"thr_1\"}}\n\ndata: {";
        let whole = stream.len() - "data: {".len();
        for cut in 0..whole {
            assert_eq!(beginning(&stream[..cut]), Beginning::Incomplete, "{cut}");
        }
        assert_eq!(beginning(stream), Beginning::Created("thr_1".parse().expect("id")));
        let carriage = stream.iter().map(|byte| if *byte == b'\n' { b'\r' } else { *byte }).collect::<Vec<_>>();
        assert_eq!(beginning(&carriage), Beginning::Created("thr_1".parse().expect("id")));
        for none in [
            "data: {\"type\":\"thread.item.done\",\"item\":{}}\n\n",
            "data: {\"type\":\"thread.created\",\"thread\":{\"id\":\"../x\"}}\n\n",
            "data: {\"type\":\"thread.created\"}\n\n",
            "data: nothing\n\n",
        ] {
            assert_eq!(beginning(none.as_bytes()), Beginning::None, "{none}");
        }
    }

    #[test]
    fn only_owned_threads_stay_in_a_list() {
        let page = br#"{"data":[{"id":"a","n":1.0},{"id":"b"},{"id":"../c"}],"has_more":true,"after":"b"}"#;
        let filtered = filter_list(page, |id| id.as_str() == "a").expect("a page");
        assert_eq!(
            String::from_utf8(filtered).expect("UTF-8"),
            r#"{"data":[{"id":"a","n":1.0}],"has_more":true,"after":"b"}"#
        );
        for bad in [&b""[..], b"[]", br#"{"data":[{}]}"#, br#"{"data":{}}"#] {
            assert_eq!(filter_list(bad, |_| true), None);
        }
    }
}
