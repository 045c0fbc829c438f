//! Routes: those that there are, and paths that look like them.

use super::*;

#[test]
fn the_vendors_routes_are_found_below_both_prefixes() {
    for (index, operation) in Operation::ALL.iter().copied().enumerate() {
        assert_eq!(operation as usize, index);
        let path = operation.template().replace("{id}", "cv1").replace("{message}", "m1").replace("{channel}", "ch1");
        let found = find(&path).expect("a route");
        assert_eq!(found.0, operation);
        assert_eq!(found.1.is_some_and(|id| id.as_str() == "cv1"), path.contains("conversation/cv1"), "{path}");
        let channel = find(&path).and_then(|(_, id)| id).filter(|id| id.as_str() == "ch1");
        assert_eq!(channel.is_some(), operation == Operation::PublishChannel, "{path}");
        let short = find(path.trim_start_matches("/api")).map(|(operation, _)| operation);
        assert_eq!(short, Some(operation).filter(|operation| *operation != Operation::Initiate), "{path}");
        let method = if operation.needs_token() { "POST" } else { "GET" };
        assert_eq!((operation.allow(), operation.answer_use()), (method, AnswerUse::Pass));
    }
}

#[test]
fn nothing_else_is_a_chat_route() {
    for path in [
        "/api/v1/conversation/cv1/message/list",
        "/api/v1/conversation/cv1/message/create",
        "/api/v1/conversation/complete",
        "/api/v1/conversation/cv1",
        "/api/v1/conversation/cv1/",
        "/api/v1/conversation//complete",
        "/api/v1/conversation/cv1//complete",
        "/api/v1/conversation/cv1/complete/",
        "/api/v1/conversation/../complete",
        "/api/v1/conversation/cv%31/complete",
        "/api/v1/conversation/cv1/Complete",
        "/api/v1/conversation/cv1/dispatch",
        "/api/v1/conversation/cv1/delete",
        "/api/v1/conversation/cv1/session/create",
        "/api/v1/conversation/cv1/message/m1",
        "/api/v1/conversation/cv1/message//upvote",
        "/api/v1/conversation/cv1/message/../upvote",
        "/api/v1/conversation/cv1/message/m1/delete",
        "/api/v1/conversation/cv1/message/m1/upvote/",
        "/api/v1/conversation/cv1/message/a/b/upvote",
        "/v1/conversation/cv1/initiate",
        "/api/v1/channel/publish",
        "/api/v1/channel/../publish",
        "/api/v1/channel/ch1/subscribe",
        "/api/v1/url/unfurl/",
        "/API/v1/url/unfurl",
        "/api/v2/url/unfurl",
        "//api/v1/url/unfurl",
        "/api/api/v1/url/unfurl",
        "/api/v1",
        "/",
        "",
    ] {
        assert_eq!(find(path), None, "{path}");
    }
}

#[test]
fn a_page_says_what_it_says_and_not_who_answers() {
    let sent = br#"{"text":"hi","entities":[],"functions":[],"attachments":[],"extensions":{},"botId":"b","Text":1}"#;
    for operation in [Operation::Initiate, Operation::Complete, Operation::Send, Operation::Receive] {
        assert_eq!(operation.owned_fields(), ["extensions"]);
        assert_eq!(operation.surplus(sent), ["Text", "botId", "extensions"]);
    }
    assert!(Operation::Upvote.surplus(sent).is_empty() && Operation::Send.surplus(b"[]").is_empty());
    for operation in Operation::ALL {
        let expected = match operation {
            Operation::UploadAttachment => BodyUse::JsonOrForm,
            Operation::Frame | Operation::Script => BodyUse::None,
            Operation::Unfurl => BodyUse::Decide,
            _ => BodyUse::Json,
        };
        assert_eq!(operation.body_use(), expected);
    }
    assert!(!Operation::UpsertContact.owned_fields().contains(&"email"));
}

#[test]
fn a_page_finds_its_widget() {
    for prefix in ["/api/v1", "/v1"] {
        let session = SessionRoute::of(&format!("{prefix}/integration/widget/cw1/session/create")).expect("a route");
        assert_eq!(session.widget.as_str(), "cw1");
        let languages = LanguagesRoute::of(&format!("{prefix}/integration/widget/cw1/languages")).expect("a route");
        assert_eq!(languages.widget.as_str(), "cw1");
        let bot = ApiSessionRoute::of(&format!("{prefix}/bot/b1/session/create")).expect("a route");
        assert_eq!(bot, ApiSessionRoute::Bot("b1".parse().expect("an id")));
        let conversation = ApiSessionRoute::of(&format!("{prefix}/conversation/cv1/session/create")).expect("a route");
        assert_eq!(conversation, ApiSessionRoute::Conversation("cv1".parse().expect("an id")));
    }
    assert_eq!(framed("/integrations/widget/cw1/frame"), Some("cw1".parse().expect("an id")));
    assert!(LanguagesRoute::of(&LanguagesRoute::TEMPLATE.replace("{id}", "cw1")).is_some());
    assert!(SessionRoute::of(&SessionRoute::TEMPLATE.replace("{id}", "cw1")).is_some());
}

#[test]
fn paths_that_look_like_a_widgets_are_none() {
    for path in [
        "/api/v1/integration/widget/session/create",
        "/api/v1/integration/widget//session/create",
        "/api/v1/integration/widget/../session/create",
        "/api/v1/integration/widget/cw%31/session/create",
        "/api/v1/integration/widget/cw1/session/create/",
        "/api/v1/integration/widget/cw1/x/session/create",
        "/api/v1/integration/widget/cw1/fetch",
        "/api/v1/bot//session/create",
        "/api/v1/bot/b1/session/create/",
        "/api/v1/conversation/../session/create",
        "/api/v1/dataset/d1/session/create",
        "/integrations/widget/cw1/session/create",
        "/integrations/widget//frame",
        "/integrations/widget/a/b/frame",
        "/integrations/widget/../frame",
        "/integrations/widget/frame",
        "/integrations/widget/cw1/frame/",
        "/integrations/widget/v1.js",
        "/integrations/widget/v2.js/",
        "/api/v1/integrations/widget/cw1/frame",
    ] {
        assert_eq!((SessionRoute::of(path), LanguagesRoute::of(path), framed(path)), (None, None, None), "{path}");
        assert_eq!((ApiSessionRoute::of(path), find(path)), (None, None), "{path}");
    }
}

#[test]
fn a_frames_query_goes_on_without_the_session() {
    assert_eq!(frame_query("open=true&session=a.b.c&Session=x&layout=y&%73ession=1"), "open=true&layout=y");
    assert_eq!((frame_query(""), frame_query("session=a")), (String::new(), String::new()));
}
