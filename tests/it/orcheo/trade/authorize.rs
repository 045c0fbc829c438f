//! The app's rule on who of a page's visitors may have a token.

use super::*;
use crate::support::jwcrypto;
use sidegate_core::secret::SecretDigest;

fn digest(secret: &str) -> String {
    SecretDigest::of(&secret.into()).to_string()
}

#[tokio::test]
async fn a_secret_in_a_header_lets_a_visitor_have_one_and_may_say_who_it_is() {
    let rule = |more: &str| {
        let digest = digest("site-key");
        format!("authorize = {{ kind = \"secret\", header = \"X-Site-Key\", secret_digests = [\"{digest}\"]{more} }}")
    };
    let (upstream, gate) = started(&rule("")).await;
    let shown = |gate: &Gate, key: &str| ask(gate, "").header("x-site-key", key).header("x-end-user-id", "ada");
    token_of(shown(&gate, "site-key")).await;
    assert!(users(&upstream.take())[0].starts_with("anon-"), "a page's word for who it is counts for nothing");
    assert_eq!(refused(sent(shown(&gate, "site-ke")).await, 403).await, "sidegate.not_authorized");
    assert_eq!(refused(sent(ask(&gate, "")).await, 401).await, "auth.missing_token");
    let twice = shown(&gate, "site-key").header("x-site-key", "site-key");
    assert_eq!(refused(sent(twice).await, 401).await, "auth.invalid_scheme");
    assert_eq!(upstream.take().len(), 0);

    let (upstream, gate) = started(&rule(", end_user_header = \"X-End-User-Id\"")).await;
    token_of(shown(&gate, "site-key")).await;
    assert_eq!(users(&upstream.take()), ["ada"]);
}

#[tokio::test]
async fn a_secret_cookie_is_taken_from_listed_pages_only() {
    let digest = digest("cookie-secret");
    let rule = format!("authorize = {{ kind = \"secret\", cookie = \"gate\", secret_digests = [\"{digest}\"] }}");
    let (upstream, gate) = started(&rule).await;
    let answer = sent(ask(&gate, "").header("cookie", "a=b; gate=cookie-secret")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
    assert_eq!(upstream.take().len(), 1);
    let elsewhere = gate.public(Method::POST, TOKEN).header("cookie", "gate=cookie-secret");
    let evil = elsewhere.try_clone().expect("a copy").header("origin", "https://evil.example");
    for request in [evil, elsewhere] {
        let answer = sent(request).await;
        for field in ["access-control-allow-origin", "access-control-allow-credentials"] {
            assert!(!answer.headers().contains_key(field));
        }
        assert_eq!(refused(answer, 403).await, "sidegate.origin_not_allowed");
    }
    for cookie in ["gate=wrong", "gate=cookie-secret2"] {
        let answer = sent(ask(&gate, "").header("cookie", cookie)).await;
        assert_eq!(refused(answer, 403).await, "sidegate.not_authorized");
    }
    let twice = sent(ask(&gate, "").header("cookie", "gate=cookie-secret; gate=x")).await;
    assert_eq!(refused(twice, 401).await, "auth.invalid_scheme");
    assert_eq!(upstream.take().len(), 0);
}

#[tokio::test]
async fn a_login_of_the_customers_own_says_who_it_is() {
    let rule = format!(
        "authorize = {{ kind = \"jwt\", algorithm = \"HS256\", keys = [{{ value = \"{LOGIN_KEY}\" }}], \
         issuer = \"https://login.example.com\", audience = \"chat\", claim = \"email\" }}"
    );
    let (upstream, gate) = started(&rule).await;
    let claims = json!({
        "iss": "https://login.example.com", "aud": ["web", "chat"], "email": "ada@example.com",
        "exp": forge::now() + 60,
    });
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": "../../etc/passwd", "jku": "https://evil.example" });
    let login = jwcrypto::sign(&header, &claims, "HS256", LOGIN_KEY);
    token_of(ask(&gate, "").bearer_auth(&login)).await;
    assert_eq!(users(&upstream.take()), ["ada@example.com"]);
    let mut over = claims.clone();
    over["exp"] = (forge::now() - 6).into();
    let mut elsewhere = claims.clone();
    elsewhere["aud"] = "web".into();
    for (claims, key) in
        [(&over, LOGIN_KEY), (&elsewhere, LOGIN_KEY), (&claims, "another-key-of-enough-bytes-0123456789abcd")]
    {
        let login = jwcrypto::sign(&json!({ "alg": "HS256", "typ": "JWT" }), claims, "HS256", key);
        let answer = sent(ask(&gate, "").bearer_auth(login)).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
        assert_eq!(refused(answer, 403).await, "sidegate.not_authorized");
    }
    let unsigned = forge::unsigned("{\"alg\":\"none\",\"typ\":\"JWT\"}", &claims.to_string());
    assert_eq!(refused(sent(ask(&gate, "").bearer_auth(unsigned)).await, 403).await, "sidegate.not_authorized");
    assert_eq!(upstream.take().len(), 0);
}

/// A gate that asks `site`, the customer's server.
async fn asking(site: &Upstream, more: &str) -> (Upstream, Gate) {
    let upstream = Upstream::start().await;
    upstream.on(SESSION, Behaviour::answer(made("eyJ.first.token", 300)));
    let rule = format!("authorize = {{ kind = \"request\", upstream = \"site\", path = \"/whoami\"{more} }}");
    let site = format!("[[upstreams]]\nname = \"site\"\nurl = \"{}/base\"", site.url());
    let gate = builder(&upstream, &rule).toml(&site).start().await;
    (upstream, gate)
}

fn yes(end_user: &str) -> Behaviour {
    Behaviour::answer(Reply::new(204, "").header("x-end-user-id", end_user))
}

#[tokio::test]
async fn the_customers_server_is_asked_each_time() {
    let site = Upstream::start().await;
    let (upstream, gate) = asking(&site, "").await;
    site.on("/base/whoami", yes("ada"));
    let request = || ask(&gate, "").header("cookie", "session=1; other=2").header("x-end-user-id", "eve");
    for _ in 0..3 {
        token_of(request().header("authorization", "Bearer page")).await;
    }
    assert_eq!(users(&upstream.take()), ["ada"], "the token is shared, the question is not");
    let asked = site.take();
    assert_eq!(asked.len(), 3);
    assert_eq!((&asked[0].method, asked[0].header("cookie")), (&Method::GET, "session=1; other=2"));
    for absent in ["authorization", "x-end-user-id", "origin"] {
        assert_eq!(asked[0].header(absent), "", "{absent}");
    }
    site.on("/base/whoami", Behaviour::answer(Reply::new(401, "")));
    assert_eq!(refused(sent(request()).await, 401).await, "auth.missing_token", "a token at hand is no login");
    site.on("/base/whoami", yes("bob"));
    token_of(request()).await;
    assert_eq!(users(&upstream.take()), ["bob"]);
    site.on("/base/whoami", Behaviour::answer(Reply::new(200, "")));
    token_of(request()).await;
    assert!(users(&upstream.take())[0].starts_with("anon-"));
}

#[tokio::test]
async fn one_address_makes_the_gate_ask_so_often_and_no_more() {
    let site = Upstream::start().await;
    let upstream = Upstream::start().await;
    let rule = "authorize = { kind = \"request\", upstream = \"site\", path = \"/whoami\" }\nlimits.authorize = \"2/h per address\"";
    let table = format!("[[upstreams]]\nname = \"site\"\nurl = \"{}\"", site.url());
    let gate = builder(&upstream, rule).toml(&table).start().await;
    site.on("/whoami", Behaviour::answer(Reply::new(401, "")));
    for _ in 0..2 {
        assert_eq!(refused(sent(ask(&gate, "")).await, 401).await, "auth.missing_token");
    }
    let answer = sent(ask(&gate, "")).await;
    assert_eq!(answer.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(refused(answer, 429).await, "chatkit.rate_limit.ip");
    assert_eq!(site.count(), 2);
}

#[tokio::test]
async fn what_the_customers_server_does_not_say_is_no_yes() {
    let site = Upstream::start().await;
    let (upstream, gate) = asking(&site, ", cookie = \"session\"").await;
    let unavailable = "sidegate.authorization_unavailable";
    for (behaviour, status, code) in [
        (Behaviour::answer(Reply::new(403, "")), 403, "sidegate.not_authorized"),
        (Behaviour::answer(Reply::new(500, "canary")), 502, unavailable),
        (Behaviour::answer(Reply::new(302, "").header("location", "/login")), 502, unavailable),
        (Behaviour::answer(Reply::new(404, "")), 502, unavailable),
        (Behaviour::reset(), 502, unavailable),
        (Behaviour::garbage("nonsense\r\n\r\n"), 502, unavailable),
        (yes(&"x".repeat(257)), 502, unavailable),
        (
            Behaviour::answer(Reply::new(204, "").header("x-end-user-id", "a").header("x-end-user-id", "b")),
            502,
            unavailable,
        ),
    ] {
        site.on("/base/whoami", behaviour);
        let answer = sent(ask(&gate, "").header("cookie", "session=1")).await;
        assert_eq!(answer.headers()["access-control-allow-credentials"], "true");
        assert_eq!(refused(answer, status).await, code);
    }
    let before = site.count();
    for cookie in ["other=1", "session="] {
        let answer = sent(ask(&gate, "").header("cookie", cookie)).await;
        assert_eq!(refused(answer, 401).await, "auth.missing_token");
    }
    assert_eq!(site.count(), before, "nobody is asked about a visitor without the cookie");
    site.stop().await;
    let answer = sent(ask(&gate, "").header("cookie", "session=1")).await;
    assert_eq!(refused(answer, 502).await, unavailable);
    assert_eq!(upstream.count(), 0);
}
