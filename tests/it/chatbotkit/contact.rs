//! Who visitors say to be, where a widget asks for it.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{OPEN, answers, create_path, json_of, last, opened, page, refused, say, shop, text, with_lines};
use crate::support::admin::done;
use crate::support::clock::FakeClock;
use crate::support::gate::{Builder, Gate, SEAL_KEY, sidegate};
use crate::support::program::program;
use crate::support::redis::until;
use crate::support::upstream::Upstream;

async fn started() -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    answers(&upstream, "Hello");
    let gate = telling(&upstream).start().await;
    (upstream, gate)
}

/// A gate that tells the upstream of contacts.
fn telling(upstream: &Upstream) -> Builder {
    let lines = format!(
        "{OPEN}\n[apps.inject.headers]\nX-Contact = \"{{{{user.contact_id?}}}}\"\nX-Email = \"{{{{unverified.email?}}}}\"\n\
         X-Phone = \"{{{{unverified.phone?}}}}\"\n"
    );
    with_lines(upstream, &lines)
}

/// What the upstream is told of the contact of a session: id, address, number.
async fn told(upstream: &Upstream, gate: &Gate, session: &Value) -> [Option<String>; 3] {
    say(gate, session, "complete", &json!({ "text": "hi" })).await;
    let headers = last(upstream).headers;
    ["x-contact", "x-email", "x-phone"]
        .map(|name| headers.get(name).map(|value| value.to_str().expect("text").to_owned()))
}

#[tokio::test]
async fn a_contact_is_the_same_in_all_its_conversations() {
    let (upstream, gate) = started().await;
    let id = shop(&gate, json!({ "contactCollection": true })).await;
    let asked = |email: &str| json!({ "contact": { "name": "Ada", "email": email, "phone": "(415) 555-2671" } });
    let first = opened(&gate, &id, &asked("ada@example.com")).await;
    let second = opened(&gate, &id, &json!({ "contact": { "email": "ADA@example.com" } })).await;
    let bob = opened(&gate, &id, &asked("bob@example.com")).await;
    let [contact, email, phone] = told(&upstream, &gate, &first).await;
    assert_eq!((email.as_deref(), phone.as_deref()), (Some("ada@example.com"), Some("+14155552671")));
    assert_eq!(told(&upstream, &gate, &second).await[0], contact);
    assert_ne!(told(&upstream, &gate, &bob).await[0], contact);
}

#[tokio::test]
async fn a_widget_that_does_not_ask_learns_nothing() {
    let (upstream, gate) = started().await;
    let id = shop(&gate, json!({})).await;
    let session = opened(&gate, &id, &json!({ "contact": { "email": "ada@example.com" } })).await;
    assert_eq!(told(&upstream, &gate, &session).await, [const { None }; 3]);
}

/// Asks to go on with a conversation, with a token of it or without.
async fn go_on(
    gate: &Gate,
    widget: &str,
    token: Option<&Value>,
    email: Option<&str>,
    conversation: &Value,
) -> Response {
    let mut body = json!({ "conversationId": conversation });
    if let Some(email) = email {
        body["contact"] = json!({ "email": email });
    }
    let request = page(gate, Method::POST, &create_path(widget)).json(&body);
    let request = token.into_iter().fold(request, |request, token| request.bearer_auth(text(token)));
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn a_contact_goes_on_with_a_conversation_of_its_own_and_nobody_elses() {
    let (upstream, gate) = started().await;
    let id = shop(&gate, json!({ "contactCollection": true })).await;
    let other = shop(&gate, json!({ "contactCollection": true })).await;
    let ada = Some("ada@example.com");
    let first = opened(&gate, &id, &json!({ "contact": { "email": "ada@example.com", "name": "Ada" } })).await;
    let (token, existing) = (Some(&first["token"]), &first["conversationId"]);
    let second = json_of(go_on(&gate, &id, token, ada, existing).await).await;
    assert_eq!((&second["conversationId"], second["token"] == first["token"]), (existing, false));
    assert_eq!(say(&gate, &second, "complete", &json!({ "text": "hi" })).await.status(), 200);
    upstream.take();
    let another = opened(&gate, &id, &json!({ "contact": { "email": "ada@example.com" } })).await;
    let unknown = json!("cnone");
    for (widget, token, email, conversation) in [
        // Who knows address and conversation is not the contact yet.
        (&id, None, ada, existing),
        (&id, Some(&another["token"]), ada, existing),
        (&id, token, Some("bob@example.com"), existing),
        (&id, token, None, existing),
        (&id, token, ada, &unknown),
        (&other, token, ada, existing),
    ] {
        refused(go_on(&gate, widget, token, email, conversation).await, 404, "NOT_FOUND", "NOT_FOUND").await;
    }
}

#[tokio::test]
async fn contacts_are_sealed_anew_and_stay_who_they_are() {
    const NEW_KEY: &str = "bmV3LXNlYWwta2V5LW9mLXRoZS10ZXN0cy0wMTIzNDU";
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    answers(&upstream, "Hello");
    let path = format!("store.path={}", folder.path().join("a.db").display());
    let keys = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| format!("{{ value = \"{key}\" }}")).collect();
        format!("store.seal_keys=[{}]", keys.join(", "))
    };
    let start = |sealed: String| telling(&upstream).set(&path).set(&sealed).start();
    let gate = start(keys(&[SEAL_KEY])).await;
    let id = shop(&gate, json!({ "contactCollection": true })).await;
    let ada = json!({ "contact": { "name": "Ada", "email": "ada@example.com", "phone": "(415) 555-2671" } });
    let first = opened(&gate, &id, &ada).await;
    let before = told(&upstream, &gate, &first).await;
    gate.signal("TERM");
    gate.wait().await;
    let both = keys(&[NEW_KEY, SEAL_KEY]);
    let rekey = program(&["store", "rekey"]).config(&telling(&upstream).config()).set(&path).set(&both).run();
    assert_eq!(rekey.code, 0, "{}{}", rekey.out, rekey.err);
    let report: Value = serde_json::from_str(&rekey.out).expect("JSON");
    assert_eq!((&report["unreadable"], &report["seen"]), (&json!(0), &report["resealed"]), "{report}");
    // The old key has gone: the record opens, and a second visit finds it again.
    let gate = start(keys(&[NEW_KEY])).await;
    let second = opened(&gate, &id, &json!({ "contact": { "email": "ada@example.com" } })).await;
    let after = told(&upstream, &gate, &second).await;
    assert_eq!(after[0], before[0]);
    let on = go_on(&gate, &id, Some(&first["token"]), Some("ada@example.com"), &first["conversationId"]).await;
    assert_eq!(json_of(on).await["conversationId"], first["conversationId"]);
}

#[tokio::test]
async fn a_revoked_token_proves_no_conversation_when_it_is_over_either() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    answers(&upstream, "Hello");
    let clock = FakeClock::new(folder.path(), 0);
    let mut command = sidegate();
    clock.rule(&mut command);
    let gate = telling(&upstream).command(command).start().await;
    let id = shop(&gate, json!({ "contactCollection": true })).await;
    let (email, contact) = (Some("ada@example.com"), json!({ "contact": { "email": "ada@example.com" } }));
    let (revoked, other) = (opened(&gate, &id, &contact).await, opened(&gate, &id, &contact).await);
    let kept = done(&gate, Method::POST, "/admin/v1/revocations", json!({ "token": revoked["token"] })).await;
    assert_eq!(kept["revoked"]["kind"], "id", "the session, which outlives its token");
    let again = async |session: &Value| {
        go_on(&gate, &id, Some(&session["token"]), email, &session["conversationId"]).await.status().as_u16()
    };
    until("it is revoked", async || again(&revoked).await == 404).await;
    clock.set(2 * 24 * 3_600);
    assert_eq!((again(&revoked).await, again(&other).await), (404, 200));
}
