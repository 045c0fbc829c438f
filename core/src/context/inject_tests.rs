use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

use super::super::{ContextLimits, SessionContext};
use super::*;
use crate::denial::Code;
use crate::id::{AppId, EndUserId};

fn context(env: &[(&str, &str)]) -> SessionContext {
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let limits = ContextLimits { max_entries: 9, max_name: 99, max_value: 999, max_total: 9999 };
    SessionContext::new(env, Vec::new(), &limits).expect("a context")
}

fn compile(source: &InjectionSource) -> Result<Injection, Vec<InjectionFault>> {
    let app = AppId::parse("wapp_1").expect("id");
    Injection::compile(source, Scope { app: Some(&app), service: &BTreeMap::new(), visitor: &[] })
}

fn headers(pairs: &[(&str, &str)]) -> InjectionSource {
    let headers = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    InjectionSource { headers, ..InjectionSource::default() }
}

fn with<T>(context: &SessionContext, run: impl FnOnce(Values<'_>) -> T) -> T {
    let subject = EndUserId::parse("user-1").expect("id");
    run(Values { subject: &subject, context: Some(context), of_nobody: false })
}

fn body(pointer: &str, value: Value, env: &[(&str, &str)], sent: &str) -> Result<String, Denial> {
    let source = InjectionSource { body: BTreeMap::from([(pointer.into(), value)]), ..InjectionSource::default() };
    let injection = compile(&source).expect("compiles");
    let out = with(&context(env), |values| injection.apply_body(values, &[], None, sent.as_bytes()))?;
    Ok(String::from_utf8(out.expect("an object")).expect("UTF-8"))
}

#[test]
fn headers_are_set_or_stripped() {
    let injection = compile(&headers(&[("X-Tenant", "{{env.TENANT?}}"), ("X-User", "{{claims.sub}}")])).expect("ok");
    let mut sent = HeaderMap::new();
    sent.append("x-tenant", HeaderValue::from_static("forged"));
    sent.append("x-tenant", HeaderValue::from_static("twice"));
    with(&context(&[("TENANT", "acme")]), |values| injection.apply_headers(values, &mut sent)).expect("applied");
    assert_eq!(sent.get_all("x-tenant").iter().collect::<Vec<_>>(), ["acme"]);
    assert_eq!(sent["x-user"], "user-1");
    with(&context(&[]), |values| injection.apply_headers(values, &mut sent)).expect("applied");
    assert!(!sent.contains_key("x-tenant"));
}

#[test]
fn a_value_cannot_split_a_header() {
    let injection = compile(&headers(&[("X-Tenant", "{{env.T}}")])).expect("ok");
    for bad in ["a\r\nX-Admin: 1", "a\nb", "a\0", "a\u{85}b", "a\u{7f}", " a", "a "] {
        let applied = with(&context(&[("T", bad)]), |values| injection.apply_headers(values, &mut HeaderMap::new()));
        assert_eq!(applied.map_err(|denial| denial.code), Err(Code::ContextUnresolved), "{bad:?}");
    }
}

#[test]
fn body_fields_are_set_in_place_of_the_clients() {
    let servers = json!([{ "name": "db", "headers": { "Authorization": "Bearer {{mcp.T}}" } }]);
    let out = body("/mcp_servers", servers, &[("T", "a\"b\\")], r#"{"message":"hi","mcp_servers":"evil"}"#);
    assert_eq!(
        out.as_deref(),
        Ok(r#"{"message":"hi","mcp_servers":[{"headers":{"Authorization":"Bearer a\"b\\"},"name":"db"}]}"#)
    );
}

#[test]
fn optional_values_leave_their_member_out_and_strip_the_clients() {
    assert_eq!(body("/x", json!("{{env.A?}}"), &[], r#"{"x":1,"y":2}"#).as_deref(), Ok(r#"{"y":2}"#));
    assert_eq!(body("/x", json!({"a": "{{env.A?}}", "b": 1}), &[], "{}").as_deref(), Ok(r#"{"x":{"b":1}}"#));
    assert_eq!(body("/x", json!("{{env.A}}"), &[], "{}").map_err(|denial| denial.code), Err(Code::ContextUnresolved));
}

#[test]
fn values_in_a_url_are_percent_encoded() {
    let out = body("/u", json!("https://mcp.example.com/t/{{env.A}}?q={{env.A}}"), &[("A", "../a b&c=d#é")], "{}");
    let encoded = "..%2Fa%20b%26c%3Dd%23%C3%A9";
    assert_eq!(out, Ok(format!(r#"{{"u":"https://mcp.example.com/t/{encoded}?q={encoded}"}}"#)));
}

#[test]
fn a_value_cannot_climb_a_urls_path() {
    for bad in [".", ".."] {
        let out = body("/u", json!("https://mcp.example.com/t/{{env.A}}/x"), &[("A", bad)], "{}");
        assert_eq!(out.map_err(|denial| denial.code), Err(Code::ContextUnresolved));
    }
}

#[test]
fn a_value_cannot_climb_where_a_dot_or_a_slash_is_written_in_another_way() {
    for (template, bad) in
        [("/a/%2e{{env.A}}/x", "."), ("/a/{{env.A}}%2E", "."), ("/a\\{{env.A}}\\x", ".."), ("/a/.\t{{env.A}}", "")]
    {
        let out = body("/u", json!(format!("https://mcp.example.com{template}")), &[("A", bad)], "{}");
        assert_eq!(out.map_err(|denial| denial.code), Err(Code::ContextUnresolved), "{template}");
    }
    for good in ["...", "a..", "%2e", ".e"] {
        assert!(body("/u", json!("https://mcp.example.com/a/{{env.A}}"), &[("A", good)], "{}").is_ok(), "{good}");
    }
}

/// Who reads by RFC 3986 and who reads as a browser find the same host, or there is none.
#[test]
fn a_value_that_is_a_url_has_one_host_for_every_reader() {
    let body = BTreeMap::from([("/s".to_owned(), json!({ "url": "{{env.H}}" }))]);
    let allowed_hosts = vec!["a.example.com".into()];
    let injection = compile(&InjectionSource { body, allowed_hosts, ..InjectionSource::default() }).expect("ok");
    let render = |url: &str| with(&context(&[("H", url)]), |values| injection.apply_body(values, &[], None, b"{}"));
    for good in ["https://a.example.com/x?y#z", "https://A.example.com:8443", "wss://a.example.com/"] {
        assert!(render(good).is_ok(), "{good}");
    }
    for bad in [
        "https://a.example.com\\@evil.example/",
        "https://a.example.com\\.evil.example/",
        "https://evil.example@a.example.com/",
        "https://%61.example.com/",
        "https://a.example.com:/",
        "https:a.example.com/",
        "https:/\\a.example.com/",
        " https://a.example.com/",
        "https://a.exa\tmple.com/",
        "https://ａ.example.com/",
        "//a.example.com/",
        "a.example.com",
        "",
    ] {
        assert!(render(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_placeholder_in_a_host_needs_allowed_hosts() {
    let body = BTreeMap::from([("/u".to_owned(), json!("https://{{env.H}}.example.com/x"))]);
    let mut source = InjectionSource { body, ..InjectionSource::default() };
    assert!(compile(&source).is_err());
    source.allowed_hosts = vec!["a.example.com".into()];
    let injection = compile(&source).expect("ok");
    let render = |host: &str| with(&context(&[("H", host)]), |values| injection.apply_body(values, &[], None, b"{}"));
    assert!(render("a").is_ok());
    for bad in ["b", "evil.com/", "a.example.com@evil.com/", "a.example.com#", "evil.com\\"] {
        assert!(render(bad).is_err(), "{bad}");
    }
}

/// Browsers and many servers take the first name behind any number of slashes for the host.
#[test]
fn a_url_without_a_host_of_its_own_has_a_placeholder_in_its_host() {
    for url in [
        "https:///mcp.{{env.H}}/x",
        "https:////{{env.H}}",
        "https://?{{env.H}}",
        "https:// /{{env.H}}",
        "https://\\/{{env.H}}",
    ] {
        let body = BTreeMap::from([("/u".to_owned(), json!(url))]);
        let mut source = InjectionSource { body, ..InjectionSource::default() };
        assert!(compile(&source).is_err(), "{url}");
        source.allowed_hosts = vec!["a.example.com".into()];
        let injection = compile(&source).expect("ok");
        let goes = with(&context(&[("H", "a.example.com")]), |values| injection.apply_body(values, &[], None, b"{}"));
        assert!(goes.is_err(), "{url}");
    }
}

#[test]
fn query_parameters_of_ours_replace_the_clients() {
    let source =
        InjectionSource { query: BTreeMap::from([("tenant".into(), "{{env.T}}".into())]), ..Default::default() };
    let injection = compile(&source).expect("ok");
    let out = with(&context(&[("T", "a&b")]), |values| {
        injection.apply_query(values, Some("x=1&tenant=evil&%74enant=2&y=%20"))
    });
    assert_eq!(out, Ok(Some("x=1&y=%20&tenant=a%26b".into())));
}

#[test]
fn other_spellings_of_a_query_parameter_are_removed() {
    let source = InjectionSource { query: BTreeMap::from([("user_id".into(), "7".into())]), ..Default::default() };
    let injection = compile(&source).expect("ok");
    for spelling in
        ["USER_ID=1", "userId=1", "user_id[]=1", "user_id%5B0%5D=1", "x=1;user_id=1", "user%5fid", ";user-id"]
    {
        let out = with(&context(&[]), |values| injection.apply_query(values, Some(spelling)));
        assert_eq!(out, Ok(Some("user_id=7".into())), "{spelling}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let mut source = headers(&[("Host", "x"), ("bad name", "x"), ("X-A", "{{nope.X}}"), ("X-B", "a\nb")]);
    source.body.insert("no-slash".into(), json!(1));
    source.body.insert("/~2".into(), json!(1));
    assert_eq!(compile(&source).expect_err("faults").len(), 6);
}

#[test]
fn a_placeholder_for_a_whole_url_needs_allowed_hosts() {
    let body = BTreeMap::from([("/servers".to_owned(), json!([{ "url": "{{env.U}}" }]))]);
    let mut source = InjectionSource { body, ..InjectionSource::default() };
    assert!(compile(&source).is_err());
    source.allowed_hosts = vec!["a.example.com".into()];
    let injection = compile(&source).expect("ok");
    let render = |url: &str| with(&context(&[("U", url)]), |values| injection.apply_body(values, &[], None, b"{}"));
    assert!(render("https://a.example.com/x?y=1").is_ok());
    for bad in ["https://evil.com/", "https://a.example.com@evil.com/", "a.example.com", "", "file:///etc/passwd"] {
        assert!(render(bad).is_err(), "{bad}");
    }
    for good in
        ["http://a.example.com", "https://A.example.com:8443/x", "wss://a.example.com?y#z", "https://a.example.com/é"]
    {
        assert!(render(good).is_ok(), "{good}");
    }
    // Some readers of these find the host that is allowed, others another one, a file, or none.
    for two_fold in [
        "https://a.example.com\\@evil.com/",
        "https://evil.com\t@a.example.com/",
        "https://user@a.example.com/",
        "https:a.example.com/",
        "https:\\\\a.example.com/",
        "file://a.example.com/etc/passwd",
        "https://a.example.com:/",
        "https://a.example.com:+80/",
        "https://ａ.example.com/",
        " https://a.example.com/",
    ] {
        assert!(render(two_fold).is_err(), "{two_fold}");
    }
}

#[test]
fn owned_members_of_the_client_are_removed() {
    let out = with(&context(&[]), |values| {
        Injection::default().apply_body(values, &["env"], None, br#"{"ENV":1,"env":{"A":1},"m":2}"#)
    });
    assert_eq!(out.expect("resolved").expect("an object"), br#"{"m":2}"#);
}

proptest! {
    #[test]
    fn a_value_never_changes_the_structure_of_a_body(value in ".{0,40}") {
        let out = body("/x", json!(["{{env.A}}"]), &[("A", &value)], r#"{"y":1}"#).expect("rendered");
        let read: Value = serde_json::from_str(&out).expect("JSON");
        prop_assert_eq!(read, json!({"y": 1, "x": [value]}));
    }
}

#[test]
fn a_field_within_another_field_is_refused() {
    let pointers = |all: &[&str]| {
        let body = all.iter().map(|pointer| ((*pointer).to_owned(), json!(1))).collect();
        compile(&InjectionSource { body, ..InjectionSource::default() })
            .map_err(|faults| (faults[0].0, faults[0].1.clone()))
            .err()
    };
    assert_eq!(pointers(&["/a", "/a/b"]), Some(("body", "/a/b".to_owned())));
    assert_eq!(pointers(&["/a/b/c", "/a/b"]), Some(("body", "/a/b/c".to_owned())));
    assert_eq!(pointers(&["/a~1b", "/a~1b/c~0"]), Some(("body", "/a~1b/c~0".to_owned())));
    assert_eq!(pointers(&["/a/b", "/a/c", "/ab"]), None);
}
