//! The rows of the table, as data. A new row is one more `Row` in `all`.

use crate::Result;
use crate::flags::Flags;

/// The proxy that does nothing but forward, fastest of its kind.
pub(crate) const NGINX: &str = "nginx";
/// What an operator would otherwise build Sidegate's checks with.
pub(crate) const HAPROXY_JWT: &str = "haproxy-jwt";

/// One proxy in one configuration. In `args` and `config`, `@listen@`, `@upstream@`, `@config@` and the other names of
/// `Lab::values` are filled in.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) does: &'static str,
    pub(crate) program: String,
    /// Debian's package with the program.
    pub(crate) package: &'static str,
    /// Makes the program print its version; empty if nothing does.
    pub(crate) version_arg: &'static str,
    pub(crate) args: Vec<String>,
    pub(crate) config: &'static str,
    /// Checks token and Origin, injects headers, answers CORS: proven before the load.
    pub(crate) guards: bool,
}

/// The rows that the flags ask for, in table order.
pub(crate) fn chosen(flags: &Flags) -> Result<Vec<Row>> {
    let rows = all(flags);
    if let Some(name) = flags.only.iter().find(|name| !rows.iter().any(|row| row.name == **name)) {
        return Err(format!("--only: no row {name}").into());
    }
    Ok(rows.into_iter().filter(|row| flags.only.is_empty() || flags.only.contains(&row.name)).collect())
}

fn all(flags: &Flags) -> Vec<Row> {
    let mut rows = vec![nginx(), haproxy(), haproxy_jwt(), sidegate(flags.sidegate.display().to_string())];
    rows.extend(flags.also.iter().map(|(name, command)| also(name, command)));
    rows
}

fn nginx() -> Row {
    Row {
        name: NGINX.to_owned(),
        does: "proxy_pass, no checks",
        program: "nginx".to_owned(),
        package: "nginx",
        version_arg: "-v",
        args: words("-e stderr -c @config@"),
        config: include_str!("nginx.conf"),
        guards: false,
    }
}

fn haproxy() -> Row {
    Row {
        name: "haproxy".to_owned(),
        does: "plain, no checks",
        program: "haproxy".to_owned(),
        package: "haproxy",
        version_arg: "-v",
        args: words("-db -f @config@"),
        config: include_str!("haproxy.conf"),
        guards: false,
    }
}

fn haproxy_jwt() -> Row {
    Row {
        name: HAPROXY_JWT.to_owned(),
        does: "HS256, exp, origin, CORS, three headers",
        config: include_str!("haproxy_jwt.conf"),
        guards: true,
        ..haproxy()
    }
}

fn sidegate(program: String) -> Row {
    Row {
        name: "sidegate".to_owned(),
        does: "HS256, exp, origin, CORS, three headers, scoping, limits",
        program,
        package: "(build it: cargo build --release)",
        version_arg: "version",
        args: words("serve -c @config@"),
        config: include_str!("sidegate.toml"),
        guards: true,
    }
}

fn also(name: &str, command: &str) -> Row {
    let mut args = words(command);
    let program = if args.is_empty() { String::new() } else { args.remove(0) };
    Row {
        name: name.to_owned(),
        does: "given by --also",
        program,
        package: "(given by --also)",
        version_arg: "",
        args,
        config: "",
        guards: false,
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
