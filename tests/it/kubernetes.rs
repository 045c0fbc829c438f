//! What `deploy/kubernetes` promises. No cluster is asked: the manifests are read, and the gate that they configure
//! checks its configuration.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::program::program;

const FILES: [&str; 2] = ["sidecar.yaml", "standalone.yaml"];

/// The documents of a file, by Python's YAML.
fn documents(name: &str) -> Vec<Value> {
    const SCRIPT: &str = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let root = env!("CARGO_MANIFEST_DIR");
    let python = format!("{root}/target/test-clients/schemathesis/bin/python");
    let run = Command::new(&python).args(["-c", SCRIPT, &format!("{root}/deploy/kubernetes/{name}")]).output();
    let run = run.unwrap_or_else(|fault| panic!("{python}: {fault}; `scripts/setup.sh test` installs it"));
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).expect("JSON")
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The pod's template, and the gate's container in it.
fn pod_and_gate(documents: &[Value]) -> (&Value, &Value) {
    let pod = &of_kind(documents, "Deployment")["spec"]["template"]["spec"];
    let mut containers = each(&pod["initContainers"]).chain(each(&pod["containers"]));
    (pod, containers.find(|container| container["name"] == "sidegate").expect("the gate"))
}

fn config(documents: &[Value]) -> String {
    of_kind(documents, "ConfigMap")["data"]["sidegate.toml"].as_str().expect("a configuration").to_owned()
}

#[test]
fn the_configurations_are_good_with_secrets_from_files() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let seal = "c2VhbC1rZXktb2YtdGhlLXRlc3RzLTAxMjM0NTY3ODk";
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for (name, text) in [
        ("seal", seal),
        ("redis", "redis-password"),
        ("chat", "chat-key"),
        ("signing", "signing-key-0123456789abcdef0123456789"),
        ("tls.crt", cert.as_str()),
        ("ca.crt", cert.as_str()),
        ("tls.key", key.as_str()),
    ] {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    for file in FILES {
        let config = config(&documents(file));
        assert!(!config.contains("{ value") && !config.contains("{ env"), "{file}: secrets come as files");
        let here = folder.path().display().to_string();
        let config = config.replace("/run/secrets/sidegate-tls", &here).replace("/run/secrets/sidegate", &here);
        let run = program(&["check"]).config(&config).run();
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{file}");
        assert_eq!(run.out, "The configuration is good: 1 apps, 1 upstreams.\n");
    }
}

#[test]
fn the_gate_has_no_rights_and_writes_nothing_but_its_socket() {
    for file in FILES {
        let documents = documents(file);
        let (pod, gate) = pod_and_gate(&documents);
        assert_eq!(pod["automountServiceAccountToken"], false, "{file}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["runAsUser"], 65_532);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let expected = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(gate["securityContext"], expected);
        let writable: Vec<_> = each(&gate["volumeMounts"]).filter(|mount| mount["readOnly"] != true).collect();
        assert_eq!(writable, [&json!({ "name": "run", "mountPath": "/run/sidegate" })]);
        for mount in each(&gate["volumeMounts"]) {
            assert!(each(&pod["volumes"]).any(|volume| volume["name"] == mount["name"]), "{file}: {mount}");
        }
        assert!(config(&documents).contains("control = \"/run/sidegate/control.sock\""));
    }
}

#[test]
fn probes_ask_the_ops_listener_and_ports_are_those_of_the_configuration() {
    for file in FILES {
        let documents = documents(file);
        let (_, gate) = pod_and_gate(&documents);
        for (probe, path) in [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")] {
            assert_eq!(gate[probe]["httpGet"], json!({ "path": path, "port": "ops" }), "{file}: {probe}");
        }
        let config = config(&documents);
        for port in each(&gate["ports"]) {
            let listener = if port["name"] == "chat" { "public" } else { port["name"].as_str().expect("a name") };
            let expected = format!("{listener} = \"0.0.0.0:{}\"", port["containerPort"]);
            assert!(config.contains(&expected), "{file}: no {expected}");
        }
        for port in each(&of_kind(&documents, "Service")["spec"]["ports"]) {
            assert!(each(&gate["ports"]).any(|known| known["name"] == port["targetPort"]), "{file}: {port}");
        }
    }
}

#[test]
fn there_is_time_to_drain() {
    for (file, drain) in [("sidecar.yaml", 25), ("standalone.yaml", 25 + 5)] {
        let documents = documents(file);
        let (pod, gate) = pod_and_gate(&documents);
        assert!(config(&documents).contains("drain_timeout = \"25s\""));
        assert!(pod["terminationGracePeriodSeconds"].as_u64().expect("seconds") > drain, "{file}");
        if file == "sidecar.yaml" {
            assert_eq!(gate["restartPolicy"], "Always");
            assert_eq!(gate["lifecycle"], Value::Null, "its SIGTERM comes when the backend has ended");
            continue;
        }
        let command = &gate["lifecycle"]["preStop"]["exec"]["command"];
        let expected = ["drain", "--control", "/run/sidegate/control.sock", "--delay", "5s", "--no-wait"];
        assert!(each(command).skip(1).filter_map(Value::as_str).eq(expected), "{command}");
        let matched = &of_kind(&documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"];
        assert_eq!(matched, &of_kind(&documents, "Deployment")["spec"]["template"]["metadata"]["labels"]);
    }
}
