//! Signing keys that are not taken: the report says what is expected, and never the key.

use crate::support::openssl::{KeyPair, openssl, options};
use crate::support::program::{Run, program};

const PASSPHRASE: [&str; 3] = ["-aes256", "-pass", "pass:canary"];

/// An app with these keys: its `[apps.token]` table.
fn app(id: &str, token: &str) -> String {
    format!("[[apps]]\nid = \"{id}\"\ndialect = \"sigmic\"\nupstream = \"chat\"\n[apps.token]\n{token}\n")
}

fn check(apps: &str) -> Run {
    let upstream = "[[upstreams]]\nname = \"chat\"\nurl = \"https://chat.example.com\"\n";
    program(&["check"]).config(&format!("{upstream}{apps}")).run()
}

/// A line of the table.
fn setting(name: &str, key: &str) -> String {
    let value = format!("{{ value = {} }}", serde_json::json!(key));
    if name == "retired_keys" { format!("{name} = [{value}]") } else { format!("{name} = {value}") }
}

fn token(algorithm: &str, name: &str, key: &str) -> String {
    format!("algorithm = \"{algorithm}\"\n{}", setting(name, key))
}

/// Asserts a refusal with these words and without a line of any key.
fn assert_refused(run: &Run, words: &str, keys: &[&str]) {
    assert!(run.code == 2 && run.err.contains(words), "{words}: {}", run.err);
    for line in keys.iter().flat_map(|key| key.lines()).filter(|line| !line.starts_with("-----")) {
        assert!(!run.err.contains(line), "{}", run.err);
    }
}

fn genpkey(options: &[&str]) -> String {
    String::from_utf8(openssl(&[&["genpkey"], options].concat())).expect("PEM")
}

fn rsa(bits: u32) -> String {
    genpkey(&["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")])
}

#[test]
fn an_unknown_algorithm_is_one_problem_with_a_suggestion() {
    let pair = KeyPair::new(options("RS256"));
    let run = check(&app("wapp_1", &token("RS265", "key", &pair.private)));
    let expected =
        "apps[0].token.algorithm: must be one of \"HS256\", \"RS256\", \"ES256\", \"EdDSA\"; did you mean \"RS256\"?";
    assert_refused(&run, expected, &[&pair.private]);
    assert_eq!(run.err.lines().count(), 1, "{}", run.err);
}

#[test]
fn rsa_keys_are_neither_weak_nor_slow() {
    for bits in [1024, 2047, 4104] {
        let pair = KeyPair::of(rsa(bits));
        let expected = "must be an RSA key of 2048 to 4096 bits for RS256";
        let run = check(&app("wapp_1", &token("RS256", "key", &pair.private)));
        assert_refused(&run, &format!("apps[0].token.key: {expected}"), &[&pair.private]);
        let good = KeyPair::new(options("RS256"));
        let table = format!("{}\n{}", token("RS256", "key", &good.private), setting("retired_keys", &pair.public));
        let run = check(&app("wapp_1", &table));
        assert_refused(
            &run,
            &format!("apps[0].token.retired_keys: entry 1: {expected}"),
            &[&good.private, &pair.public],
        );
    }
}

#[test]
fn a_key_of_another_kind_is_told_what_is_expected() {
    let curve = |name| genpkey(&["-algorithm", "EC", "-pkeyopt", &format!("ec_paramgen_curve:{name}")]);
    let others = [
        curve("P-384"),
        curve("secp256k1"),
        genpkey(&["-algorithm", "ED448"]),
        genpkey(&["-algorithm", "X25519"]),
        genpkey(&["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"]),
    ];
    let algorithms = [("RS256", "an RSA key"), ("ES256", "an EC key on the curve P-256"), ("EdDSA", "an Ed25519 key")];
    for (algorithm, expected) in algorithms {
        let fitting = algorithms.iter().filter(|(other, _)| *other != algorithm);
        let wrong = fitting.map(|(other, _)| genpkey(options(other))).chain(others.iter().cloned());
        for key in wrong {
            let run = check(&app("wapp_1", &token(algorithm, "key", &key)));
            assert_refused(&run, &format!("apps[0].token.key: must be {expected}"), &[&key]);
        }
    }
}

#[test]
fn a_key_in_another_form_is_told_how_to_be_converted() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let pair = KeyPair::new(options(algorithm));
        let refused = |key: &str, words: &str| {
            assert_refused(&check(&app("wapp_1", &token(algorithm, "key", key))), words, &[key, &pair.private]);
        };
        refused(&pair.public, "is a public key; signing takes the private one");
        refused(&genpkey(&[options(algorithm), &PASSPHRASE].concat()), "must be one key in PEM without a passphrase");
        refused("canary-0123456789abcdef0123456789", "must be one key in PEM");
        refused(&format!("{}{}", pair.private, pair.public), "must be one key in PEM");
        if algorithm == "ES256" {
            refused(&pair.traditional(), "`openssl pkcs8 -topk8 -nocrypt` converts it");
        }
    }
}

/// As `openssl genrsa` wrote it before version 3.
#[test]
fn an_rsa_key_may_stand_in_its_older_form() {
    let pair = KeyPair::new(options("RS256"));
    let run = check(&app("wapp_1", &token("RS256", "key", &pair.traditional())));
    assert_eq!(run.code, 0, "{}", run.err);
    let run = check(&app("wapp_1", &token("ES256", "key", &pair.traditional())));
    assert_refused(&run, "must be an EC key on the curve P-256 for ES256", &[&pair.private]);
}

/// A public key would be a secret that everyone knows.
#[test]
fn a_key_in_pem_needs_its_algorithm() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let pair = KeyPair::new(options(algorithm));
        for key in [&pair.private, &pair.public] {
            let run = check(&app("wapp_1", &setting("key", key)));
            assert_refused(&run, "is a key in PEM, but `algorithm` is \"HS256\"", &[key]);
        }
    }
}

#[test]
fn one_key_for_two_apps_is_refused_however_it_is_written() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let (pair, other) = (KeyPair::new(options(algorithm)), KeyPair::new(options(algorithm)));
        let first = app("wapp_1", &token(algorithm, "key", &pair.private));
        let commented = format!("# the key of today\n{}", pair.private.replace('\n', "\r\n"));
        let retired = format!("{}\n{}", token(algorithm, "key", &other.private), setting("retired_keys", &pair.public));
        for second in [token(algorithm, "key", &pair.private), token(algorithm, "key", &commented), retired] {
            let run = check(&format!("{first}{}", app("wapp_2", &second)));
            assert_refused(&run, "the same key also serves app wapp_1", &[&pair.private, &pair.public, &other.private]);
        }
        let run = check(&format!("{first}{}", app("wapp_2", &token(algorithm, "key", &other.private))));
        assert_eq!(run.code, 0, "{}", run.err);
    }
}

#[test]
fn the_printed_configuration_shows_no_key() {
    let pair = KeyPair::new(options("ES256"));
    let upstream = "[[upstreams]]\nname = \"chat\"\nurl = \"https://chat.example.com\"\n";
    let config = format!("{upstream}{}", app("wapp_1", &token("ES256", "key", &pair.private)));
    let run = program(&["config", "print"]).config(&config).run();
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.contains("\"ES256\""), "{}", run.out);
    assert!(pair.private.lines().all(|line| !run.out.contains(line)), "{}", run.out);
}
