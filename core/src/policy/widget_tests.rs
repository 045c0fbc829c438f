use std::sync::Arc;

use super::*;
use crate::clock::Timestamp;
use crate::dialect::Dialect;
use crate::dialect::chatbotkit::{Fields, Patch};
use crate::dialect::orcheo::Workspaces;
use crate::leash::Leash;
use crate::origin::{OriginSet, RequestOrigin};
use crate::policy::{Moment, admit};
use crate::revocation::RevocationList;
use crate::token::Claims;

const SHOP: &str = "https://shop.example.com";
const OWN: &str = "https://gate.example.com";

fn app() -> App {
    App::new("acc_1".parse().expect("an id"), Dialect::ChatBotKit)
}

fn serving(fields: &str) -> Serving {
    let patch = Patch::parse(fields.as_bytes()).expect("a patch");
    Serving::of(&Fields::default().apply(&patch).expect("fields")).expect("settings")
}

fn from(origin: &str) -> Provenance<'_> {
    Provenance { origin: RequestOrigin::Sent(origin), same_origin: false }
}

const NOWHERE: Provenance<'_> = Provenance { origin: RequestOrigin::Absent, same_origin: false };

fn asked(app: &App, fields: &str, from: Provenance<'_>) -> Result<(), Code> {
    let own: Origin = OWN.parse().expect("an origin");
    check_widget(app, &serving(fields), from, Some(&own)).map_err(|denial| denial.code)
}

#[test]
fn a_widget_without_a_list_takes_all_and_one_with_a_list_takes_it_and_the_frame() {
    let listed = r#"{"origin":"https://shop.example.com, https://*.example.org"}"#;
    for origin in [SHOP, "https://evil.example"] {
        assert_eq!(asked(&app(), "{}", from(origin)), Ok(()), "{origin}");
    }
    for (origin, expected) in [
        (SHOP, Ok(())),
        ("https://a.example.org", Ok(())),
        (OWN, Ok(())),
        ("https://shop.example.com.evil.example", Err(Code::OriginNotAllowed)),
        ("http://shop.example.com", Err(Code::OriginNotAllowed)),
        ("null", Err(Code::OriginNotAllowed)),
    ] {
        assert_eq!(asked(&app(), listed, from(origin)), expected, "{origin}");
    }
    assert_eq!(asked(&app(), listed, NOWHERE), Err(Code::OriginNotAllowed));
    assert_eq!(asked(&App { allow_missing_origin: true, ..app() }, listed, NOWHERE), Ok(()));
}

#[test]
fn the_lists_of_app_and_widget_must_both_let_a_page_in() {
    let origins = OriginSet::parse(&[SHOP.to_owned()]).expect("a list");
    let app = App { origins, ..app() };
    assert_eq!(asked(&app, "{}", from(SHOP)), Ok(()));
    assert_eq!(asked(&app, "{}", from("https://a.example.org")), Err(Code::OriginNotAllowed));
    assert_eq!(asked(&app, r#"{"origin":"https://a.example.org"}"#, from(SHOP)), Err(Code::OriginNotAllowed));
    assert_eq!(asked(&app, r#"{"origin":"*"}"#, from(SHOP)), Ok(()));
}

fn permit(features: &[&str]) -> Permit {
    let details = serde_json::json!({ "conversationId": "conv_1", "features": features });
    let claims = Claims {
        app: app().id,
        subject: "s1".parse().expect("an id"),
        origins: Vec::new(),
        id: Some("s1".parse().expect("an id")),
        workflow: None,
        workspaces: Workspaces::default(),
        leash: Leash::default(),
        details: details.as_object().cloned().expect("an object"),
        issued_at: Timestamp::from_seconds(100),
        not_before: None,
        expires_at: Timestamp::from_seconds(200),
    };
    let (revoked, now) = (RevocationList::default(), Timestamp::from_seconds(150));
    let moment = Moment { now, revoked: &revoked, own_origin: None };
    admit(&Arc::new(app()), Arc::new(claims), "text", from(SHOP), moment).expect("a permit")
}

#[test]
fn a_token_reaches_its_conversation_from_where_it_was_opened_and_what_the_widget_has() {
    let own = "conv_1".parse().expect("an id");
    let other = "conv_2".parse().expect("an id");
    let channel = "conv_1-f1".parse().expect("an id");
    let (files, none) = (r#"{"attachments":true,"unfurl":true}"#, "{}");
    let complete = (Operation::Complete, Some(&own), Some(SHOP), SHOP, none, &[][..]);
    for ((operation, conversation, opened_from, origin, fields, features), expected) in [
        (complete, Ok(())),
        ((Operation::Complete, Some(&other), Some(SHOP), SHOP, none, &[][..]), Err(Code::NotFound)),
        ((Operation::Complete, Some(&own), Some(SHOP), "https://b.example", none, &[]), Err(Code::OriginNotAllowed)),
        ((Operation::Complete, Some(&own), None, "https://b.example", none, &[]), Ok(())),
        ((Operation::UploadAttachment, Some(&own), None, SHOP, files, &["attachments"]), Ok(())),
        ((Operation::UploadAttachment, Some(&own), None, SHOP, files, &["math"]), Err(Code::FeatureDisabled)),
        ((Operation::UploadAttachment, Some(&own), None, SHOP, none, &["attachments"]), Err(Code::FeatureDisabled)),
        ((Operation::PublishChannel, Some(&channel), None, SHOP, none, &[]), Ok(())),
        ((Operation::PublishChannel, Some(&own), None, SHOP, none, &[]), Err(Code::NotFound)),
        ((Operation::PublishChannel, Some(&other), None, SHOP, none, &[]), Err(Code::NotFound)),
        ((Operation::Complete, Some(&channel), None, SHOP, none, &[]), Err(Code::NotFound)),
        ((Operation::Unfurl, None, None, SHOP, files, &[]), Ok(())),
        ((Operation::Unfurl, None, None, SHOP, none, &[]), Err(Code::FeatureDisabled)),
        ((Operation::UpsertContact, Some(&own), None, SHOP, r#"{"contactCollection":true}"#, &[]), Ok(())),
        ((Operation::UpsertContact, Some(&own), None, SHOP, none, &[]), Err(Code::FeatureDisabled)),
    ] {
        let call = ConversationCall { operation, conversation, opened_from };
        let checked = check_conversation(&permit(features), &serving(fields), call, from(origin), None);
        assert_eq!(checked.map_err(|denial| denial.code), expected, "{operation:?} {origin}");
    }
    // A page's session goes on in the frame, and not the other way round.
    let frame: Origin = OWN.parse().expect("an origin");
    for (opened_from, origin, expected) in [(SHOP, OWN, Ok(())), (OWN, SHOP, Err(Code::OriginNotAllowed))] {
        let call = ConversationCall { operation: Operation::Send, conversation: None, opened_from: Some(opened_from) };
        let checked = check_conversation(&permit(&[]), &serving(none), call, from(origin), Some(&frame));
        assert_eq!(checked.map_err(|denial| denial.code), expected, "{opened_from} {origin}");
    }
}
