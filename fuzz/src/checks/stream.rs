//! Event streams and answers that are read as they pass.

use serde_json::Value;
use serde_json::value::RawValue;
use sidegate_core::dialect::orcheo::{Beginning, beginning, created_attachment, filter_list};
use sidegate_core::id::ConversationId;
use sidegate_core::sse::{data as data_of, end_of_event, split_event};

/// As much of a stream as is cut everywhere.
const MOST: usize = 512;

/// See `fuzz_targets/stream.rs`.
pub fn stream(data: &[u8]) {
    let stream = &data[..data.len().min(MOST)];
    let mut rest = stream;
    let mut found = Vec::new();
    while let Some((event, behind)) = split_event(rest) {
        assert!(event.len() + behind.len() < rest.len() && rest.starts_with(event) && rest.ends_with(behind));
        found.push(data_of(event));
        rest = behind;
    }
    found.retain(|data| !data.is_empty());
    assert_eq!(found, dispatched(stream));
    for cut in 0..stream.len() {
        cut_in_two(stream, cut);
    }
    list(data);
}

/// The data of each event, read line by line as the HTML standard has it (9.2.6), but for the space behind a colon.
fn dispatched(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut events, mut lines): (Vec<Vec<u8>>, Vec<Vec<u8>>) = Default::default();
    let mut line: Vec<u8> = Vec::new();
    let mut bytes = stream.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if !matches!(byte, b'\r' | b'\n') {
            line.push(byte);
            continue;
        }
        let _ = bytes.next_if(|next| byte == b'\r' && *next == b'\n');
        if line.is_empty() {
            events.push(std::mem::take(&mut lines).join(&b'\n'));
        }
        let line = std::mem::take(&mut line);
        let field = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line);
        lines.extend(field.strip_prefix(b"data:").map(<[u8]>::to_vec));
    }
    events.retain(|data| !data.is_empty());
    events
}

/// What was looked through need not be again, and what is known of a beginning stays so.
fn cut_in_two(stream: &[u8], cut: usize) {
    let head = &stream[..cut];
    if end_of_event(head, 0).is_none() {
        assert_eq!(end_of_event(stream, cut.saturating_sub(3)), end_of_event(stream, 0), "cut at {cut}");
    }
    let early = beginning(head);
    assert!(early == Beginning::Incomplete || early == beginning(stream), "cut at {cut}");
}

/// A list has items of one's own, byte for byte, and no others.
fn list(body: &[u8]) {
    let owned = |id: &ConversationId| id.as_str().len().is_multiple_of(2);
    let all = filter_list(body, |_| true);
    let Some(mine) = filter_list(body, owned) else { return assert!(all.is_none()) };
    let items = items(&mine);
    for item in &items {
        let id = id_of(item).expect("an id");
        assert!(owned(&id), "{item}");
        assert!(body.windows(item.len()).any(|part| part == item.as_bytes()), "{item}");
        assert!(created_attachment(item.as_bytes()).is_some_and(|created| created == id), "{item}");
    }
    assert_eq!(filter_list(&mine, owned).as_ref(), Some(&mine));
    assert!(filter_list(&mine, |_| false).is_some_and(|none| self::items(&none).is_empty()));
    let all = self::items(&all.expect("a list"));
    let expected: Vec<_> = all.into_iter().filter(|item| id_of(item).is_some_and(|id| owned(&id))).collect();
    assert_eq!(items, expected);
}

fn items(page: &[u8]) -> Vec<String> {
    let page: Page<'_> = serde_json::from_slice(page).expect("a page");
    page.data.iter().map(|item| item.get().to_owned()).collect()
}

#[derive(serde::Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// The id of an object, or of a list that serde takes for one.
fn id_of(item: &str) -> Option<ConversationId> {
    let item: Value = serde_json::from_str(item).ok()?;
    let id = item.get("id").or_else(|| item.get(0))?;
    ConversationId::parse(id.as_str()?).ok()
}
