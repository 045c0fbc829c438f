//! Commands that work on the store of a running gate, from a process of their own.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::reload::reload;
use crate::support::gate::{APP, Builder, Gate, SEAL_KEY, json_of};
use crate::support::program::{Program, Run, program};
use crate::support::upstream::Upstream;
use crate::support::wire::within;

const NEW_KEY: &str = "bmV3LXNlYWwta2V5LW9mLXRoZS10ZXN0cy0wMTIzNDU";
const TASKS: &str = "/api/v1/tasks";

/// A gate whose store is at `path`, and whose requests carry a value of their token's context.
fn builder(upstream: &Upstream, path: &Path) -> Builder {
    Gate::builder(upstream)
        .set(&format!("store.path={}", path.display()))
        .app("inject.headers = { X-Tenant = \"{{env.TENANT}}\" }")
}

/// A command with the configuration of such a gate.
fn command(args: &[&str], builder: &Builder, path: &Path) -> Program {
    program(args).config(&builder.config()).set(&format!("store.path={}", path.display()))
}

fn report(run: &Run) -> Value {
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    serde_json::from_str(&run.out).expect("JSON")
}

async fn tenant(upstream: &Upstream, gate: &Gate, token: &str) -> (u16, String) {
    upstream.take();
    let answer = gate.chat(Method::GET, TASKS, token).send().await.expect("an answer");
    let forwarded = upstream.take();
    (
        answer.status().as_u16(),
        forwarded.first().map(|request| request.header("x-tenant").to_owned()).unwrap_or_default(),
    )
}

#[tokio::test]
async fn contexts_are_sealed_anew_under_a_running_gate_and_the_old_key_can_go() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("a.db");
    let keys = format!("store.seal_keys=[{{ value = \"{NEW_KEY}\" }}, {{ value = \"{SEAL_KEY}\" }}]");
    let gate = builder(&upstream, &path).set(&keys).start().await;
    let new = gate.token("ada").env("TENANT", "new").mint().await;
    drop(gate);
    let gate = builder(&upstream, &path).start().await;
    let old = gate.token("ada").env("TENANT", "old").mint().await;
    drop(gate);
    let gate = builder(&upstream, &path).set(&keys).start().await;
    let rekey = || command(&["store", "rekey"], &builder(&upstream, &path), &path).set(&keys).run();
    let first = report(&rekey());
    assert_eq!((&first["seen"], &first["resealed"], &first["current"]), (&json!(2), &json!(1), &json!(1)), "{first}");
    assert_eq!(report(&rekey())["current"], 2);
    for (token, value) in [(&old, "old"), (&new, "new")] {
        assert_eq!(tenant(&upstream, &gate, token).await, (200, value.to_owned()));
    }
    drop(gate);
    let alone = format!("store.seal_keys=[{{ value = \"{NEW_KEY}\" }}]");
    let gate = builder(&upstream, &path).set(&alone).start().await;
    for (token, value) in [(&old, "old"), (&new, "new")] {
        assert_eq!(tenant(&upstream, &gate, token).await, (200, value.to_owned()));
    }
}

#[tokio::test]
async fn the_old_key_can_go_by_a_reload_of_the_gate_that_has_used_it() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("a.db");
    let builder = builder(&upstream, &path).set("reload.watch=false");
    let (old, gate) = (builder.config(), builder.start().await);
    let tokens = [gate.token("ada").env("TENANT", "1").mint().await, gate.token("ada").env("TENANT", "2").mint().await];
    assert_eq!(tenant(&upstream, &gate, &tokens[0]).await, (200, "1".to_owned()));
    let both = old.replace("seal_keys = [", &format!("seal_keys = [{{ value = \"{NEW_KEY}\" }}, "));
    reload(&gate, &both).await;
    let path = format!("store.path={}", path.display());
    assert_eq!(report(&program(&["store", "rekey"]).config(&both).set(&path).run())["resealed"], 2);
    reload(&gate, &old.replace(SEAL_KEY, NEW_KEY)).await;
    for (token, value) in tokens.iter().zip(["1", "2"]) {
        assert_eq!(tenant(&upstream, &gate, token).await, (200, value.to_owned()));
    }
}

#[tokio::test]
async fn a_backup_of_a_running_gate_makes_another_one_of_it() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let (path, other) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let gate = builder(&upstream, &path).app("scoping = \"gate\"").start().await;
    let token = gate.token("ada").env("TENANT", "acme").mint().await;
    let task = gate.create_task(&token).await;
    let create = ["service-token", "create", "--scope", "admin:revoke"];
    let secret = report(&command(&create, &builder(&upstream, &path), &path).run())["secret"].take();
    let backup = command(&["store", "export"], &builder(&upstream, &path), &path).run();
    assert_eq!(backup.code, 0, "{}", backup.err);
    let secret = secret.as_str().expect("a secret");
    assert!(!backup.out.contains("acme") && !backup.out.contains(secret), "contexts stay sealed");
    drop(gate);
    let import = || command(&["store", "import", "-"], &builder(&upstream, &other), &other).input(&backup.out).run();
    assert_eq!(report(&import())["imported"], 3);
    let again = report(&import());
    assert_eq!((&again["imported"], &again["present"]), (&json!(0), &json!(3)), "{again}");
    let cut = backup.out.trim_end().rsplit_once('\n').expect("lines").0.to_owned();
    let empty = folder.path().join("c.db");
    let refused = command(&["store", "import", "-"], &builder(&upstream, &empty), &empty).input(&cut).run();
    assert_eq!(refused.code, 1, "{}", refused.out);
    let gate = builder(&upstream, &other).app("scoping = \"gate\"").start().await;
    let answer = gate.chat(Method::GET, &format!("{TASKS}/{task}"), &token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let revoke = gate.private(Method::POST, "/admin/v1/revocations").bearer_auth(secret);
    let answer = revoke.json(&json!({ "app": APP })).send().await.expect("an answer");
    assert_eq!(answer.status(), 201, "the service token is there as well");
}

/// Waits until this is so: within a second, the documents say.
async fn until(holds: impl AsyncFn() -> bool) {
    within(async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_command_revokes_the_running_gate_refuses_and_one_that_starts_later() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("a.db");
    let gate = builder(&upstream, &path).start().await;
    let (ada, other) = (gate.token("ada").env("TENANT", "a"), gate.token("grace").env("TENANT", "b"));
    let (ada, grace) = (ada.mint().await, other.mint().await);
    let run = command(&["revoke", "--token"], &builder(&upstream, &path), &path).input(&ada).run();
    assert_eq!(report(&run)["revoked"]["kind"], "token");
    until(async || tenant(&upstream, &gate, &ada).await.0 == 401).await;
    assert_eq!(tenant(&upstream, &gate, &grace).await, (200, "b".to_owned()));
    let revoke = ["revoke", "--app", APP, "--end-user", "grace"];
    assert_eq!(command(&revoke, &builder(&upstream, &path), &path).run().code, 0);
    until(async || tenant(&upstream, &gate, &grace).await.0 == 401).await;
    drop(gate);
    let gate = builder(&upstream, &path).start().await;
    for token in [&ada, &grace] {
        assert_eq!(tenant(&upstream, &gate, token).await.0, 401, "also after a restart");
    }
    let unknown = command(&["revoke", "--app", "nobody"], &builder(&upstream, &path), &path).run();
    assert_eq!((unknown.code, unknown.err.trim()), (1, "sidegate: There is no such app"));
}

#[tokio::test]
async fn a_service_token_that_a_command_makes_is_good_at_the_running_gate() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("a.db");
    let gate = builder(&upstream, &path).start().await;
    let run = |args: &[&str]| command(args, &builder(&upstream, &path), &path).run();
    let create = ["service-token", "create", "--id", "ops", "--scope", "admin:tokens:read", "--expires-in", "1d"];
    let made = report(&run(&create));
    let secret = made["secret"].as_str().expect("a secret");
    let list = async || {
        let request = gate.private(Method::GET, "/admin/v1/service-tokens").bearer_auth(secret);
        request.send().await.expect("an answer")
    };
    until(async || list().await.status() == 200).await;
    assert_eq!(json_of(list().await).await["service_tokens"][0]["id"], "ops");
    let shown = run(&["service-token", "show", "ops"]);
    assert!(report(&shown)["expires_at"].is_string() && !shown.out.contains("secret\""), "{}", shown.out);
    assert_eq!(report(&run(&["service-token", "list"]))["service_tokens"][0]["scopes"], json!(["admin:tokens:read"]));
    assert_eq!(run(&create).code, 1, "the name is taken");
    let revoked = report(&run(&["service-token", "revoke", "ops", "--reason", "test"]));
    assert_eq!(revoked["revocation_reason"], "test");
    until(async || list().await.status() == 403).await;
    let memory = run(&["service-token", "list", "--set", "store.state=memory"]);
    assert_eq!(memory.code, 2, "{}", memory.err);
}
