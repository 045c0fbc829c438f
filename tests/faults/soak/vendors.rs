//! What pages of the other vendors' widgets do.

use http::Method;
use serde_json::{Value, json};
use sidegate::system::System;
use sidegate_core::clock::Clock as _;
use sidegate_core::dialect::mitigate::{mint, new_jti};

use super::run::{Done, ELSEWHERE, Run, Want};
use super::world::{BOOTSTRAP, BOT, WORKFLOW, WORKSPACE};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Threads of ChatKit's: made, listed, read.
pub async fn orcheo(run: Run<'_>) -> Done {
    const GATEWAY: &str = "/api/chatkit";
    let asked = json!({ "workflow_id": WORKFLOW, "user": { "id": run.mark } });
    let token = text(&run.server("/api/chatkit/session", Some(BOOTSTRAP), &asked).await?["client_secret"]);
    let ask = |body: &Value| run.chat(Method::POST, GATEWAY, &token).json(body);
    let input = json!({ "content": [{ "type": "input_text", "text": run.mark }], "attachments": [] });
    let create = json!({ "type": "threads.create", "params": { "input": input } });
    let answer = run.page("create", Want::ok(), ask(&create)).await?;
    run.own("create", &answer.text, 1)?;
    let Some(thread) = answer.text.split("\"id\":\"").find_map(|rest| rest.strip_prefix("thr_")) else {
        return run.wrong(format!("no thread: {}", answer.text));
    };
    let thread = format!("thr_{}", thread.split('"').next().unwrap_or_default());
    let answer = run.page("list", Want::ok(), ask(&json!({ "type": "threads.list", "params": {} }))).await?;
    run.own("list", &answer.text, answer.json()["data"].as_array().map_or(0, Vec::len))?;
    let read = json!({ "type": "threads.get_by_id", "params": { "thread_id": thread } });
    let answer = run.page("read", Want::ok(), ask(&read)).await?;
    run.own("read", &answer.text, 1)?;
    let foreign = json!({ "workflow_id": WORKFLOW, "user": { "id": run.stranger() } });
    let foreign = text(&run.server("/api/chatkit/session", Some(BOOTSTRAP), &foreign).await?["client_secret"]);
    let request = run.chat(Method::POST, GATEWAY, &foreign).json(&read);
    run.page("a stranger's", Want { status: 404, ..Want::ok() }, request).await?;
    run.page("no token", Want { status: 401, ..Want::ok() }, run.chat(Method::POST, GATEWAY, "a.b.c").json(&read))
        .await?;
    run.page("elsewhere", Want { status: 403, ..Want::ok() }.from(ELSEWHERE), ask(&read)).await?;
    Ok(())
}

/// A session of Chat9's: opened with an identity token, used, and held to where it was opened.
pub async fn chat9(run: Run<'_>) -> Done {
    let path = format!("/v1/apps/{BOT}/identity-tokens");
    let identity = text(&run.server(&path, Some(BOOTSTRAP), &json!({ "user_id": run.mark })).await?["identity_token"]);
    let init = run.public(Method::POST, "/widget/session/init");
    let init = init.json(&json!({ "bot_id": BOT, "identity_token": identity }));
    let opened = run.page("init", Want::ok(), init).await?.json();
    if opened["mode"] != "identified" {
        return run.wrong(format!("not identified: {opened}"));
    }
    let query = format!("?bot_id={BOT}&session_id={}", text(&opened["session_id"]));
    let say = run.public(Method::POST, &format!("/widget/chat{query}")).json(&json!({ "message": run.mark }));
    if let Some(answer) = run.faulty("say", true, say).await? {
        run.own("say", &answer.text, 1)?;
    }
    let history = || run.public(Method::GET, &format!("/widget/history{query}"));
    if let Some(answer) = run.faulty("history", true, history()).await? {
        run.own("history", &answer.text, 1)?;
    }
    run.page("elsewhere", Want { status: 403, ..Want::ok() }.from(ELSEWHERE), history()).await?;
    Ok(())
}

/// A visitor of Mitigate's, with an identity token that is good once.
pub async fn mitigate(run: Run<'_>) -> Done {
    let session = format!("/api/v1/workspaces/{WORKSPACE}/session");
    let (user, jti) = (run.mark.parse().expect("an id"), new_jti(&System).expect("an id"));
    let made = mint(&run.world.minting, &user, None, &jti, System.now(), &System);
    let identity = made.expect("a token").0;
    let enter = || run.public(Method::POST, &session).json(&json!({ "token": identity }));
    let entered = run.page("enter", Want::ok(), enter()).await?.json();
    run.page("enter again", Want::refusal(401, "IDENTITY_INVALID"), enter()).await?;
    let token = text(&entered["token"]);
    let chat = |body: &Value| run.chat(Method::POST, "/api/v1/chats", &token).json(body);
    run.faulty("chat", true, chat(&json!({ "prompt": run.mark }))).await?;
    let begun = run.page("chat", Want::ok(), chat(&json!({ "prompt": run.mark }))).await?;
    run.own("chat", &begun.text, 1)?;
    let more = json!({ "prompt": "more", "chat_id": begun.json()["chat_id"] });
    run.own("more", &run.page("more", Want::ok(), chat(&more)).await?.text, 1)?;
    let foreign = json!({ "prompt": "more", "chat_id": "chat_of_nobody" });
    run.page("a stranger's", Want::refusal(404, "NOT_FOUND"), chat(&foreign)).await?;
    Ok(())
}

/// A session of ChatBotKit's: for its own conversation alone.
pub async fn chatbotkit(run: Run<'_>) -> Done {
    let path = format!("/api/v1/integration/widget/{}/session/create", run.world.widget);
    let open = || run.public(Method::POST, &path).json(&json!({ "meta": { "who": run.mark } }));
    let (one, other) = (run.page("open", Want::ok(), open()).await?, run.page("open", Want::ok(), open()).await?);
    let (one, other) = (one.json(), other.json());
    let token = text(&one["token"]);
    let say = |conversation: &Value| {
        let path = format!("/api/v1/conversation/{}/complete", text(conversation));
        run.chat(Method::POST, &path, &token).json(&json!({ "text": run.mark }))
    };
    if let Some(answer) = run.faulty("say", false, say(&one["conversationId"])).await? {
        run.own("say", &answer.text, 1)?;
    }
    run.page("another", Want::refusal(404, "NOT_FOUND"), say(&other["conversationId"])).await?;
    run.page("elsewhere", Want::refusal(403, "ORIGIN_NOT_ALLOWED").from(ELSEWHERE), say(&one["conversationId"]))
        .await?;
    run.page("elsewhere", Want::refusal(403, "ORIGIN_NOT_ALLOWED").from(ELSEWHERE), open()).await?;
    Ok(())
}
