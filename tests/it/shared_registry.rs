//! Gates over one PostgreSQL: what one of them makes or revokes, all know; and what becomes of them when
//! it goes away and comes back.

use std::time::Duration;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::gate::{APP, Builder, Gate, json_of, sidegate};
use crate::support::postgres::{ADMIN, PASSWORD, PostgresServer};
use crate::support::program::{Program, program};
use crate::support::redis::{RedisServer, until};
use crate::support::tls::certificates;
use crate::support::upstream::Upstream;

const TOKENS: &str = "/admin/v1/service-tokens";
const BOOTSTRAP: &str = "bootstrap-0123456789abcdef0123456789abcdef";

/// Whatever happens, an answer is there by then: more than what the settings allow.
const BEARABLE: Duration = Duration::from_secs(6);

fn builder(server: &PostgresServer, upstream: &Upstream) -> Builder {
    let gate = Gate::builder(upstream).toml(&format!("[admin]\nbootstrap_token = {{ value = \"{BOOTSTRAP}\" }}"));
    server.share(gate).set("store.postgres.timeout=1s")
}

async fn call(gate: &Gate, secret: &str, method: Method, path: &str, body: Value) -> Response {
    let request = gate.private(method, path).bearer_auth(secret).json(&body);
    tokio::time::timeout(BEARABLE, request.send()).await.expect("in time").expect("an answer")
}

async fn list(gate: &Gate, secret: &str) -> Response {
    let request = gate.private(Method::GET, TOKENS).bearer_auth(secret).send();
    tokio::time::timeout(BEARABLE, request).await.expect("in time").expect("an answer")
}

/// Revokes an app's tokens: the state is asked, the registry is not.
async fn revoke(gate: &Gate, secret: &str) -> u16 {
    let body = json!({ "app": APP, "end_user": "nobody" });
    call(gate, secret, Method::POST, "/admin/v1/revocations", body).await.status().as_u16()
}

/// Makes a service token; its secret.
async fn create(gate: &Gate, id: &str) -> String {
    let body = json!({ "id": id, "scopes": ["admin:tokens:read", "admin:revoke"] });
    let answer = call(gate, BOOTSTRAP, Method::POST, TOKENS, body).await;
    assert_eq!(answer.status(), 201);
    json_of(answer).await["secret"].as_str().expect("a secret").to_owned()
}

async fn assert_unavailable(answer: Response) {
    let (status, problem) = (answer.status().as_u16(), json_of(answer).await);
    assert_eq!((status, &problem["code"]), (503, &json!("STORE_UNAVAILABLE")));
}

async fn readiness(gate: &Gate) -> (u16, Value) {
    let answer = gate.ops("/readyz").send().await.expect("an answer");
    (answer.status().as_u16(), json_of(answer).await["checks"]["registry"].take())
}

/// An exchange and chat.
async fn assert_serves(gate: &Gate, end_user: &str) {
    let token = gate.token(end_user).mint().await;
    let task = gate.create_task(&token).await;
    let answer = gate.chat(Method::GET, &format!("/api/v1/tasks/{task}"), &token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn what_one_gate_makes_or_revokes_the_other_knows() {
    let (server, upstream) = (PostgresServer::start(), Upstream::start().await);
    let (one, other) = (builder(&server, &upstream).start().await, builder(&server, &upstream).start().await);
    let secret = create(&one, "ops").await;
    until("it is good at the other", async || list(&other, &secret).await.status() == 200).await;
    assert_eq!(json_of(list(&other, &secret).await).await["service_tokens"][0]["id"], "ops");
    assert_eq!(
        call(&other, BOOTSTRAP, Method::POST, TOKENS, json!({ "id": "ops", "scopes": ["admin:revoke"] }))
            .await
            .status(),
        409
    );
    let revoked = call(&other, BOOTSTRAP, Method::DELETE, &format!("{TOKENS}/ops"), json!({})).await;
    assert_eq!(revoked.status(), 200);
    until("it is refused at the one", async || list(&one, &secret).await.status() == 403).await;
    assert_eq!(readiness(&one).await, (200, json!("ok")));
    one.wait_for_line("service tokens of the registry are kept in PostgreSQL").await;
}

/// Of the variables that PostgreSQL's own programs know, none changes where the gate goes, as whom, or
/// whether it verifies the server.
#[tokio::test]
async fn the_environment_means_nothing() {
    let (made, folder) = (certificates(), tempfile::tempdir().expect("a folder"));
    let authority = folder.path().join("ca.crt");
    std::fs::write(&authority, &made.authority).expect("written");
    let (server, upstream) = (PostgresServer::builder().tls(&made.server).start(), Upstream::start().await);
    let mut command = sidegate();
    for (name, value) in [
        ("PGHOST", "192.0.2.1"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGPASSWORD", "wrong"),
        ("PGPASSFILE", "/nowhere"),
        ("PGDATABASE", "nowhere"),
        ("PGSSLMODE", "disable"),
        ("PGSSLROOTCERT", "/nowhere"),
        ("PGAPPNAME", "another"),
    ] {
        command.env(name, value);
    }
    let gate = builder(&server, &upstream).command(command).set("store.postgres.tls=true");
    let gate = gate.set(&format!("store.postgres.ca={}", authority.display())).start().await;
    create(&gate, "ops").await;
    let over = "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'sidegate'";
    let rows = server.sql(over).await;
    assert!(!rows.is_empty() && rows.iter().all(|row| row.get::<bool, _>(0)), "all connections have TLS");
    // Without a password of its own the gate does not take the environment's.
    let run = program(&["service-token", "list"]).env("PGPASSWORD", PASSWORD).env("PGUSER", ADMIN);
    let run = run.set("store.registry=postgres").set(&format!("store.postgres.url={}", server.url())).run();
    assert_eq!((run.code, run.err.trim()), (1, "sidegate: store.postgres.password: PostgreSQL wants one"));
    assert!(!gate.output().contains(PASSWORD));
}

#[tokio::test]
async fn without_authorities_of_its_own_the_systems_are_taken() {
    let (made, folder) = (certificates(), tempfile::tempdir().expect("a folder"));
    let authority = folder.path().join("ca.crt");
    std::fs::write(&authority, &made.authority).expect("written");
    let server = PostgresServer::builder().tls(&made.server).start();
    let list = || {
        let settings = server.settings_of_a_gate();
        let run = settings.iter().fold(program(&["service-token", "list"]), |run, setting| run.set(setting));
        run.set("store.postgres.tls=true").set("store.state=memory")
    };
    // Where OpenSSL, too, would look for them.
    let run = list().env("SSL_CERT_FILE", &authority.display().to_string()).run();
    assert_eq!(run.code, 0, "{}", run.err);
    let run = list().run();
    assert!(run.code == 1 && run.err.contains("store.postgres.url: TLS with 127.0.0.1:"), "{}", run.err);
}

#[tokio::test]
async fn a_server_that_is_killed_and_restarted_is_missed_by_those_who_need_it_alone() {
    let (mut server, upstream) = (PostgresServer::start(), Upstream::start().await);
    let gate = builder(&server, &upstream).start().await;
    let secret = create(&gate, "ops").await;
    assert_eq!(list(&gate, &secret).await.status(), 200);
    server.kill();
    assert_unavailable(list(&gate, &secret).await).await;
    let body = json!({ "id": "late", "scopes": ["admin:revoke"] });
    assert_unavailable(call(&gate, BOOTSTRAP, Method::POST, TOKENS, body).await).await;
    assert_serves(&gate, "ada").await;
    until("it is noticed", async || readiness(&gate).await == (200, json!("unavailable"))).await;
    server.revive();
    until("the service token is good again", async || list(&gate, &secret).await.status() == 200).await;
    assert_serves(&gate, "grace").await;
    create(&gate, "later").await;
    until("it is ready", async || readiness(&gate).await == (200, json!("ok"))).await;
    gate.wait_for_line("the registry can be written again").await;
    for line in ["the registry cannot be read", "the registry can be read again", "the registry cannot be written"] {
        assert_eq!(gate.output().matches(line).count(), 1, "{line}: {}", gate.output());
    }
}

/// What was revoked elsewhere meanwhile must not pass.
#[tokio::test]
async fn service_tokens_are_refused_when_the_registry_has_been_silent_for_long() {
    let (server, upstream) = (PostgresServer::start(), Upstream::start().await);
    let gate = builder(&server, &upstream).start().await;
    let secret = create(&gate, "ops").await;
    server.freeze();
    assert_eq!(revoke(&gate, &secret).await, 201, "for some seconds it may go on");
    assert_unavailable(list(&gate, BOOTSTRAP).await).await;
    until("it is refused", async || revoke(&gate, &secret).await == 503).await;
    assert_unavailable(list(&gate, "sgst_unknown").await).await;
    assert_eq!(revoke(&gate, BOOTSTRAP).await, 201, "nobody revokes the configuration's");
    assert_eq!(readiness(&gate).await, (200, json!("unavailable")));
    assert_serves(&gate, "ada").await;
    gate.wait_for_line("the registry is silent").await;
    server.thaw();
    until("it is good again", async || revoke(&gate, &secret).await == 201).await;
    gate.wait_for_line("the registry answers again").await;
    assert_eq!(readiness(&gate).await, (200, json!("ok")));
}

#[tokio::test]
async fn the_state_may_be_in_redis_meanwhile() {
    let (server, redis, upstream) = (PostgresServer::start(), RedisServer::start(), Upstream::start().await);
    let gate = redis.share(builder(&server, &upstream)).start().await;
    let secret = create(&gate, "ops").await;
    assert_eq!(revoke(&gate, &secret).await, 201);
    assert_serves(&gate, "ada").await;
    let kept = "select id from sidegate.entries where kind = 'service_token'";
    let ids: Vec<String> = server.sql(kept).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(ids, ["ops"]);
    let keys: Vec<String> = redis.command(&["KEYS", "*"]).await;
    assert!(!keys.is_empty() && keys.iter().all(|key| !key.contains("entr") && !key.contains("ops")), "{keys:?}");
}

fn command(server: &PostgresServer, args: &[&str]) -> Program {
    let run = server.settings_of_a_gate().iter().fold(program(args), |run, setting| run.set(setting));
    // By the other way to the same server.
    run.set(&format!("store.postgres.url={}", server.socket_url()))
}

/// Commands that need the registry alone do without the state.
#[tokio::test]
async fn commands_reach_a_registry_whose_state_they_cannot() {
    let server = PostgresServer::start();
    let in_memory = |args: &[&str]| command(&server, args).set("store.state=memory").run();
    let made = in_memory(&["service-token", "create", "--id", "ops", "--scope", "admin:revoke"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let listed = in_memory(&["service-token", "list"]);
    assert!(listed.code == 0 && listed.out.contains("\"ops\""), "{}{}", listed.out, listed.err);
    for args in [&["revoke", "--all"][..], &["store", "export"]] {
        let refused = in_memory(args);
        assert!(refused.code == 2 && refused.err.contains("store.state: \"memory\""), "{}", refused.err);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = format!("store.path={}", folder.path().join("a.db").display());
    let exported = command(&server, &["store", "export"]).set(&path).run();
    assert!(exported.code == 0 && exported.out.contains("\"ops\""), "{}{}", exported.out, exported.err);
    let other = PostgresServer::start();
    let imported = command(&other, &["store", "import", "-"]).set(&path).input(&exported.out).run();
    assert_eq!(imported.code, 0, "{}{}", imported.out, imported.err);
    assert!(command(&other, &["service-token", "list"]).set(&path).run().out.contains("\"ops\""));
}
