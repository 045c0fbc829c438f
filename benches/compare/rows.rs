//! The rows that sections are made of, as data.

use crate::Result;
use crate::flags::Flags;
use crate::stores;

/// The proxy that does nothing but forward, fastest of its kind.
pub(crate) const NGINX: &str = "nginx";
/// What an operator would otherwise build Sidegate's checks with.
pub(crate) const HAPROXY_JWT: &str = "haproxy-jwt";
/// The gate with every check of the main job.
pub(crate) const SIDEGATE: &str = "sidegate";

/// Program and Debian package, for `Section::needs`.
pub(crate) const NEEDS_HAPROXY: (&str, &str) = ("haproxy", "haproxy");

/// One proxy in one configuration. In `args` and `config`, `@name@` is filled in from `values` and then from
/// `Lab::values`: `@listen@`, `@upstream@`, `@config@` and so on.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) does: String,
    pub(crate) program: String,
    /// Makes the program print its version; empty if nothing does.
    pub(crate) version_arg: &'static str,
    pub(crate) args: Vec<String>,
    pub(crate) config: &'static str,
    /// Of nginx and HAProxy: `log`, and `more` for a setting that only one section needs.
    pub(crate) values: Vec<(&'static str, String)>,
    /// Cores that it may use, as taskset(1) writes them.
    pub(crate) cores: &'static str,
    /// Proven before the load.
    pub(crate) claims: &'static [Claim],
}

/// What a row does beyond forwarding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Refuses requests without a valid token, and keeps the token from the upstream.
    Token,
    /// Refuses other origins, answers preflights, puts CORS fields on.
    Origin,
    /// Injects three headers.
    Headers,
    /// Sets two fields in the JSON body.
    Body,
}

impl Row {
    pub(crate) fn named(self, name: &str, does: &str) -> Self {
        Self { name: name.to_owned(), does: does.to_owned(), ..self }
    }

    /// Another value for a name in the config.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, value.to_owned()));
        self
    }

    /// What stands for a name in the config; empty if nothing does.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// The rows of a section that the flags ask for.
pub(crate) fn wanted(rows: Vec<Row>, flags: &Flags) -> Result<Vec<Row>> {
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let rows: Vec<Row> = rows.into_iter().filter(|row| flags.wants(row)).collect();
    if rows.is_empty() {
        return Err(format!("--only names none of its rows, {}", names.join(", ")).into());
    }
    Ok(rows)
}

pub(crate) fn nginx() -> Row {
    Row {
        name: NGINX.to_owned(),
        does: "proxy_pass, no checks".to_owned(),
        program: "nginx".to_owned(),
        version_arg: "-v",
        args: words("-e stderr -c @config@"),
        config: include_str!("nginx.conf"),
        values: vec![("log", "access_log off;".to_owned()), ("more", String::new())],
        cores: "0",
        claims: &[],
    }
}

pub(crate) fn haproxy() -> Row {
    Row {
        name: "haproxy".to_owned(),
        does: "plain, no checks".to_owned(),
        program: "haproxy".to_owned(),
        version_arg: "-v",
        args: words("-db -f @config@"),
        config: include_str!("haproxy.conf"),
        values: vec![("log", "no log".to_owned()), ("more", String::new())],
        cores: "0",
        claims: &[],
    }
}

pub(crate) fn haproxy_jwt() -> Row {
    Row {
        config: include_str!("haproxy_jwt.conf"),
        claims: &[Claim::Token, Claim::Origin, Claim::Headers],
        ..haproxy().named(HAPROXY_JWT, "HS256, exp, origin, CORS, three headers").with("algorithm", "HS256")
    }
}

pub(crate) fn sidegate(flags: &Flags) -> Row {
    Row {
        name: SIDEGATE.to_owned(),
        does: "HS256, exp, origin, CORS, three headers, scoping, limits".to_owned(),
        program: flags.sidegate.display().to_string(),
        version_arg: "version",
        args: words("serve -c @config@"),
        config: include_str!("sidegate.toml"),
        values: vec![
            ("workers", "1".to_owned()),
            ("access", "false".to_owned()),
            ("store", stores::MEMORY.to_owned()),
            ("app", String::new()),
            ("origins", r#""@origin@""#.to_owned()),
            ("algorithm", "HS256".to_owned()),
            ("checks", include_str!("sidegate_checks.toml").to_owned()),
            ("body", String::new()),
        ],
        cores: "0",
        claims: &[Claim::Token, Claim::Origin, Claim::Headers],
    }
}

/// The same, and two fields in the body of each request.
pub(crate) fn sidegate_inject(flags: &Flags) -> Row {
    Row {
        claims: &[Claim::Token, Claim::Origin, Claim::Headers, Claim::Body],
        ..sidegate(flags)
            .named("sidegate-inject", "the same and two JSON fields in the body, one of them from the token")
            .with("body", include_str!("sidegate_body.toml"))
    }
}

/// The nearest to a bare pass-through that the gate can be brought to: its token check, scoping and route table
/// cannot be switched off.
pub(crate) fn sidegate_least(flags: &Flags) -> Row {
    Row {
        claims: &[Claim::Token],
        ..sidegate(flags)
            .named("sidegate-least", "HS256, exp, scoping, which cannot be switched off; nothing else")
            .with("origins", "")
            .with("checks", "")
    }
}

pub(crate) fn also(name: &str, command: &str) -> Row {
    let mut args = words(command);
    let program = if args.is_empty() { String::new() } else { args.remove(0) };
    Row {
        name: name.to_owned(),
        does: "given by --also".to_owned(),
        program,
        version_arg: "",
        args,
        config: "",
        values: Vec::new(),
        cores: "0",
        claims: &[],
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
