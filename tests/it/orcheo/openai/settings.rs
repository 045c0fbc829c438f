//! Apps of this vendor in the configuration and in the registry.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    APP, KEY, SETTINGS, SITE, START, answer, app, page, secret_of, sent, server, session, with_apps, workflows,
};
use crate::orcheo::BOOTSTRAP;
use crate::support::gate::{SHOP, json_of};
use crate::support::program::program;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn mistakes_are_told_by_their_rules() {
    let upstream = Upstream::start().await;
    let good = format!("{}{SETTINGS}", app(APP, &workflows(), ""));
    let config = |text: &str| with_apps(&upstream, text).config();
    let run = program(&["check"]).config(&config(&good)).run();
    assert_eq!(run.code, 0, "{}", run.err);
    for (from, to, message) in [
        ("wf_2", "0b6ad1a8-5b0e-4a39-8a52-3cf4cf64a3d1", "workflows[1].id: must be `wf_` and letters and digits"),
        ("vendor = \"openai\"", "", "workflows[0].id: must be a UUID"),
        ("vendor = \"openai\"", "", "trade.session: is for vendor = \"openai\""),
        ("vendor = \"openai\"", "", "workflows[0].version: unknown key"),
        (
            "expires_after = \"10m\"",
            "expires_after = \"2d\"",
            "trade.session.expires_after: must be whole seconds from 1s",
        ),
        ("= 10\n", "= 0\n", "session.max_requests_per_minute: must be an integer from 1 to 1000000"),
        ("plan = \"pro\"", "plan = [1]", "state_variables.plan: must be a string, a number, true or false"),
        ("max_file_size = 25", "max_file_size = 513", "file_upload.max_file_size: must be an integer from 1 to 512"),
        ("max_files = 3", "max_file = 3", "file_upload.max_file: unknown key"),
        (
            "expires_after = \"2m\"",
            "expires_after = \"5s\"",
            "trade.realtime.expires_after: must be whole seconds from 10s",
        ),
        (
            "type = \"realtime\"",
            "type = \"chat\"",
            "trade.realtime.type: must be one of \"realtime\", \"transcription\"",
        ),
        ("model =", "session = { model = \"x\" }\nmodel =", "realtime.session.model: stands beside `session`"),
    ] {
        assert!(good.contains(from), "{from}");
        let run = program(&["check"]).config(&config(&good.replacen(from, to, 1))).run();
        assert!(run.code == 2 && run.err.contains(message), "{message}: {}", run.err);
        assert!(!run.err.contains("canary"));
    }
}

#[tokio::test]
async fn the_key_may_stand_where_the_vendors_own_clients_look() {
    let upstream = Upstream::start().await;
    let text = app(APP, &workflows(), "").replace(&format!("credential = {{ value = \"{KEY}\" }}"), "");
    let config = with_apps(&upstream, &text).config();
    let without = program(&["check"]).config(&config).run();
    assert!(without.code == 2 && without.err.contains("trade.credential: is required"), "{}", without.err);
    assert_eq!(program(&["check"]).config(&config).env("OPENAI_API_KEY", KEY).run().code, 0);
    let other = program(&["check"]).config(&config).env("ORCHEO_SERVICE_TOKEN", KEY).run();
    assert_eq!(other.code, 2, "that of another vendor");
}

#[tokio::test]
async fn an_app_of_the_registry_is_shown_without_what_may_be_secret_and_keeps_it() {
    let upstream = Upstream::start().await;
    let gate = with_apps(&upstream, "").start().await;
    let tools = json!([{ "type": "mcp", "authorization": "canary-of-a-tool" }]);
    let settings = json!({
        "id": "kept", "dialect": "orcheo", "upstream": "openai", "authority": "upstream", "vendor": "openai",
        "origins": [SHOP], "workflows": [{ "id": "wf_9", "version": "1" }],
        "authorize": { "kind": "secret", "header": "X-Site", "end_user_header": "X-User",
            "secret_digests": [sidegate_core::secret::SecretDigest::of(&SITE.into())] },
        "trade": { "credential": { "value": KEY }, "session": { "expires_after": "5m" },
            "realtime": { "type": "realtime", "model": "m", "session": { "tools": tools } } },
    });
    let created = sent(server(&gate, "/admin/v1/apps", BOOTSTRAP, &settings)).await;
    let (status, created) = (created.status(), json_of(created).await);
    assert_eq!(status, 201, "{created}");
    let shown = json!({ "session": { "expires_after": "5m" }, "realtime": null });
    assert_eq!(created["settings"]["trade"], shown);
    let put = gate.private(Method::PUT, "/admin/v1/apps/kept").bearer_auth(BOOTSTRAP).json(&created["settings"]);
    let put = json_of(sent(put).await).await;
    assert_eq!(put["settings"]["trade"], shown);
    let secret: Value = json!({ "value": "ek_r", "expires_at": super::LATE, "session": {} });
    upstream.once(super::CLIENT_SECRETS, answer(&secret));
    let got = sent(server(&gate, super::CLIENT_SECRETS, BOOTSTRAP, &json!({}))).await;
    assert_eq!(got.status(), 200);
    assert_eq!(upstream.take()[0].json()["session"]["tools"][0]["authorization"], "canary-of-a-tool", "it is kept");
    upstream.once(super::SESSIONS, answer(&session("cksess_1", "ek_1")));
    assert_eq!(secret_of(page(&gate, START, "ada")).await, "ek_1");
    assert_eq!(upstream.take()[0].header("authorization"), format!("Bearer {KEY}"));
    let mut without = put["settings"].clone();
    without["trade"].as_object_mut().expect("a table").remove("realtime");
    let put = gate.private(Method::PUT, "/admin/v1/apps/kept").bearer_auth(BOOTSTRAP).json(&without);
    assert!(json_of(sent(put).await).await["settings"]["trade"].get("realtime").is_none());
    assert!(!gate.output().contains("canary"));
}
