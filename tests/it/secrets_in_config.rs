//! A configuration that is refused is explained without the secrets in it, wherever they stand.

use crate::support::program::program;

const SEAL_KEY: &str = "canary-seal-key";
const SERVICE_KEY: &str = "canary-service-key";
const APP_SECRET: &str = "wsec_canary-app-secret";
const SECRET: &str = "canary-in-the-wrong-place";

#[test]
fn a_refused_configuration_repeats_no_secret() {
    let config = format!(
        r#"
[store]
seal_keys = "{SEAL_KEY}"
seal_kyes = [{{ value = "{SEAL_KEY}" }}]
[[upstreams]]
name = "chat"
url = "https://user:{SERVICE_KEY}@chat.example.com"
headers = {{ Authorization = "Bearer {SERVICE_KEY} {{{{service.X}}}}" }}
service = {{ KEY = "{SERVICE_KEY}", OTHER = {{ valeu = "{SERVICE_KEY}" }}, MORE = {{ file = "/nowhere" }} }}
[[apps]]
id = "{APP_SECRET} "
dialect = "{SECRET}"
upstream = "{SECRET}"
secret_digests = ["{APP_SECRET}"]
origins = ["{SECRET}"]
pass = ["{SECRET}"]
token = {{ key = {{ value = "{SECRET}" }}, ttl = "{SECRET}" }}
inject.headers = {{ X-A = "{SECRET} {{{{env.A" }}
limits.chat = "{SECRET}"
"#
    );
    for command in [&["check"][..], &["config", "print"], &["serve"]] {
        let run = program(command).config(&config).set(&format!("log.level={SECRET}")).run();
        assert_eq!(run.code, 2);
        assert!(run.err.lines().count() > 10, "{}", run.err);
        let said = run.out + &run.err;
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn a_secret_in_text_that_is_no_toml_is_not_repeated() {
    let run = program(&["check"]).config(&format!("[store]\nseal_keys = [{{ value = {SEAL_KEY} }}]\n")).run();
    assert_eq!(run.code, 2);
    assert!(run.err.contains("FILE1:2") && !run.err.contains(SEAL_KEY), "{}", run.err);
}
