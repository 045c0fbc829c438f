//! JSON that two readers take for two things, or that costs its reader more than its sender; at every place that
//! reads some. (Rewritten bodies one by one: `injection_body` in `tests/it`.) And heads that are too much.

use std::net::SocketAddr;

use crate::dialects::{BOT, WORKSPACE, held, lay, widget};
use crate::siege::{Faults, Siege, within_one};
use crate::support::admin::BOOTSTRAP;
use crate::support::gate::{APP, SECRET, SHOP};
use crate::support::raw::Raw;

/// A place that reads JSON.
struct Place {
    name: &'static str,
    address: SocketAddr,
    path: String,
    /// What is shown there.
    bearer: String,
    /// Members of an object that would be taken.
    members: String,
    /// Whether it is a visitor's.
    page: bool,
}

async fn places(siege: &Siege) -> Vec<Place> {
    let gate = &siege.gate;
    let held = held(siege).await;
    let widget = widget(gate, false).await;
    let of = |dialect: &str| held.iter().find(|held| held.dialect == dialect).expect("a dialect");
    let public = |name, path: String, bearer: &str, members: &str| Place {
        name,
        address: gate.public,
        path,
        bearer: bearer.to_owned(),
        members: members.to_owned(),
        page: true,
    };
    let private = |name, path: &str, members: String| Place {
        name,
        address: gate.private,
        path: path.to_owned(),
        bearer: BOOTSTRAP.to_owned(),
        members,
        page: false,
    };
    let exchange = format!(r#""appId":"{APP}","appSecret":"{SECRET}","endUserId":"ada""#);
    let orcheo = r#""type":"threads.list","params":{}"#;
    let app = r#""id":"wapp_new","dialect":"sigmic","upstream":"chat""#.to_owned();
    vec![
        public("a task", "/api/v1/tasks".into(), &siege.token, r#""message":"hi""#),
        public("ChatKit", "/api/chatkit".into(), &of("orcheo").secret, orcheo),
        public("a bot's session", "/widget/session/init".into(), "x", &format!(r#""bot_id":"{BOT}""#)),
        public("a bot", of("chat9").path.replace("{secret}", &of("chat9").secret), "x", r#""message":"hi""#),
        public("a workspace's session", format!("/api/v1/workspaces/{WORKSPACE}/session"), "x", r#""token":null"#),
        public("a chat", "/api/v1/chats".into(), &of("mitigate").secret, r#""prompt":"hi""#),
        public(
            "a widget's session",
            format!("/api/v1/integration/widget/{widget}/session/create"),
            "x",
            r#""meta":{}"#,
        ),
        public("a conversation", of("chatbotkit").path.clone(), &of("chatbotkit").secret, r#""text":"hi""#),
        private("an exchange", "/api/v1/auth/token", exchange),
        private("a token of Orcheo's", "/api/chatkit/session", r#""user":{"id":"ada"}"#.into()),
        private("a service token", "/admin/v1/service-tokens", r#""scopes":["admin:tokens:read"]"#.into()),
        private("an app", "/admin/v1/apps", app),
        private("a widget", "/api/v1/integration/widget/create", r#""botId":"bot_1""#.into()),
        private("a revocation", "/admin/v1/revocations", format!(r#""app":"{APP}""#)),
    ]
}

/// Bodies that nobody takes; `M` stands for good members.
fn bodies(members: &str) -> Vec<(&'static str, Vec<u8>)> {
    let text = |name, text: String| (name, text.replace('M', members).into_bytes());
    let deep =
        |open: &str, close: &str, count: usize| format!("{{\"x\":{}1{},M}}", open.repeat(count), close.repeat(count));
    let (first, _) = members.split_once(':').expect("a member");
    let escaped = format!("\"\\u{:04x}{}", first.as_bytes()[1], &first[2..]);
    vec![
        text("lists of great depth", deep("[", "]", 40_000)),
        text("objects of great depth", deep("{\"x\":", "}", 8_000)),
        text("lists below the limit of others", deep("[", "]", 120)),
        text("lists that never end", format!("{{\"x\":{}", "[".repeat(100_000))),
        text("objects that never end", "{\"x\":".repeat(20_000)),
        text("a text that never ends", format!("{{M,\"x\":\"{}", "a".repeat(100_000))),
        text("a name twice", format!("{{M,{members}}}")),
        text("a name twice, once in escapes", format!("{{M,{escaped}:null}}")),
        text("an unknown name twice", "{\"x\":1,\"x\":2,M}".into()),
        text("a name twice, deep inside", "{\"x\":[{\"y\":{\"z\":1,\"z\":1}}],M}".into()),
        text("a lone surrogate for a name", "{\"\\ud800\":1,M}".into()),
        text("a lone surrogate in a text", "{\"x\":\"\\ud800\",M}".into()),
        text("surrogates in another order", "{\"x\":\"\\udc00\\ud800\",M}".into()),
        text("an escape that is none", "{\"x\":\"\\x41\",M}".into()),
        text("a raw NUL", "{\"x\":\"\0\",M}".into()),
        text("a raw line's end", "{\"x\":\"\n\",M}".into()),
        text("a NUL behind it", "{M}\0".into()),
        text("a number beyond all", "{\"x\":1e400,M}".into()),
        text("a number below all", "{\"x\":-1e400,M}".into()),
        text("a number of a million", format!("{{\"x\":1e{},M}}", "9".repeat(1_000))),
        text("a zero in front", "{\"x\":01,M}".into()),
        text("hexadecimal", "{\"x\":0x1,M}".into()),
        text("a plus sign", "{\"x\":+1,M}".into()),
        text("infinity", "{\"x\":Infinity,M}".into()),
        text("NaN", "{\"x\":NaN,M}".into()),
        text("a dot without digits", "{\"x\":1.,M}".into()),
        text("a comma too many", "{M,}".into()),
        text("a comma too few", "{M \"x\":1}".into()),
        text("a comment", "{M/**/}".into()),
        text("a comment's line", "{M//\n}".into()),
        text("single quotes", "{'x':1,M}".into()),
        text("no quotes", "{x:1,M}".into()),
        text("two values", "{M}{M}".into()),
        text("a value and more", "{M}x".into()),
        text("a byte order mark", "\u{feff}{M}".into()),
        text("a record separator", "\u{1e}{M}".into()),
        text("a prefix against hijacking", ")]}',\n{M}".into()),
        text("a list", "[{M}]".into()),
        text("a text", "\"x\"".into()),
        text("a number", "1".into()),
        text("a form", "x=1&y=2".into()),
        ("no UTF-8", [b"{\"x\":\"\xff\",", members.as_bytes(), b"}"].concat()),
        ("UTF-8 in too many bytes", [b"{\"x\":\"\xc0\xaf\",", members.as_bytes(), b"}"].concat()),
        ("a surrogate in UTF-8", [b"{\"x\":\"\xed\xa0\x80\",", members.as_bytes(), b"}"].concat()),
        ("UTF-16", format!("{{{members}}}").encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ]
}

fn request(place: &Place, fields: &str, body: &[u8]) -> Vec<u8> {
    let (address, path, bearer) = (place.address, &place.path, &place.bearer);
    let origin = if place.page { format!("Origin: {SHOP}\r\n") } else { String::new() };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {bearer}\r\n{origin}{fields}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn ask(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut raw = Raw::connect(address).await;
    raw.send(request).await;
    raw.answer_or_end().await.map_or((0, String::new()), |answer| (answer.status, answer.body))
}

#[tokio::test]
async fn no_ambiguous_body_is_read_anywhere() {
    let siege = lay(|gate| gate).await;
    let places = places(&siege).await;
    siege.forget().await;
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for place in &places {
                for (name, body) in bodies(&place.members) {
                    let fields = "Content-Type: application/json\r\n";
                    let got = ask(place.address, &request(place, fields, &body)).await;
                    let refused = matches!(got.0, 400 | 413 | 422);
                    faults.check(refused, || format!("{name} at {}: {got:?}", place.name));
                }
            }
        })
        .await;
    faults.none();
}

/// A media type, a charset or a coding that makes other text of the same bytes.
#[tokio::test]
async fn no_body_of_another_kind_is_read_anywhere() {
    let siege = lay(|gate| gate).await;
    let places = places(&siege).await;
    siege.forget().await;
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for place in &places {
                let body = format!("{{{}}}", place.members);
                for fields in [
                    "Content-Type: text/plain\r\n",
                    "Content-Type: application/x-www-form-urlencoded\r\n",
                    "Content-Type: text/plain; charset=application/json\r\n",
                    "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
                    "Content-Type: application/json\r\nContent-Encoding: br, gzip, deflate\r\n",
                    "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
                    "Content-Type: text/plain\r\nContent-Type: application/json\r\n",
                    "Content-Type: application/jsonx\r\n",
                    "Content-Type:\r\n",
                    "Content-Type: application/json, text/html\r\n",
                ] {
                    let got = ask(place.address, &request(place, fields, body.as_bytes())).await;
                    faults.check(matches!(got.0, 400 | 415 | 422), || format!("{fields:?} at {}: {got:?}", place.name));
                }
            }
        })
        .await;
    faults.none();
}

/// Longer than a body may be, or only announced.
#[tokio::test]
async fn no_body_is_read_without_end() {
    let siege = lay(|gate| gate.set("listen.body_timeout=200ms")).await;
    let places = places(&siege).await;
    siege.forget().await;
    let mut faults = Faults::default();
    siege
        .rounds(async || {
            for place in &places {
                let large = format!("{{{},\"x\":\"{}\"}}", place.members, "x".repeat(3 << 20));
                let length = format!("Content-Length: {}\r\n", u64::MAX);
                let whole = request(place, "Content-Type: application/json\r\n", large.as_bytes());
                let announced = request(place, "Content-Type: application/json\r\n", b"");
                let announced = String::from_utf8(announced).expect("text").replace("Content-Length: 0\r\n", &length);
                let chunked = announced.replace(&length, "Transfer-Encoding: chunked\r\n");
                let endless = format!("{chunked}fffffffffffffff0\r\n{large}");
                let single = format!("{chunked}{}", "1\r\n \r\n".repeat(1 << 20));
                for request in [whole, announced.into_bytes(), endless.into_bytes(), single.into_bytes()] {
                    let got = ask(place.address, &request).await;
                    faults.check(matches!(got.0, 0 | 400 | 408 | 413), || format!("{}: {got:?}", place.name));
                }
            }
        })
        .await;
    faults.none();
}

#[tokio::test]
async fn no_head_is_read_without_end() {
    let siege = Siege::lay().await;
    let mut faults = Faults::default();
    let many = |count: usize, field: &str| field.repeat(count);
    let rows = [
        ("a field of a megabyte", format!("X-A: {}\r\n", "a".repeat(1 << 20)), 431),
        ("a name of a megabyte", format!("{}: a\r\n", "a".repeat(1 << 20)), 431),
        ("ten thousand fields", many(10_000, "X-A: 1\r\n"), 431),
        ("a hundred thousand empty fields", many(100_000, "a:\r\n"), 431),
        ("two hundred fields of one name", many(200, "X-A: 1\r\n"), 431),
        ("a cookie of a megabyte", format!("Cookie: {}\r\n", "a=b; ".repeat(200_000)), 431),
        ("a list of a megabyte", format!("Connection: {}\r\n", "close, ".repeat(150_000)), 431),
        ("a range of a megabyte", format!("Range: bytes=0-{}\r\n", ",0-".repeat(300_000)), 431),
    ];
    siege
        .rounds(async || {
            for (name, fields, status) in &rows {
                let got = within_one(&siege.gate, siege.get("/api/v1/tasks", fields)).await;
                let got = got.map_or(0, |answer| answer.status);
                faults.check(got == *status, || format!("{name}: {got}"));
            }
            let target = format!("/api/v1/tasks?{}", "a".repeat(1 << 20));
            let got = within_one(&siege.gate, siege.get(&target, "")).await.map_or(0, |answer| answer.status);
            faults.check(matches!(got, 414 | 431), || format!("a target of a megabyte: {got}"));
        })
        .await;
    faults.none();
}
