//! `sidegate demo`: the gate and everything around it, on loopback.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use sidegate_core::clock::Clock;
use sidegate_core::context::seal::new_key;
use sidegate_core::secret::{SecretDigest, new_app_secret};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Exit;
use super::serve::{control_runtime, signals, wait};
use crate::app::{Sidegate, StartError};
use crate::config::{Input, Loaded, Settings, load};
use crate::demo::customer::{self, Link, User};
use crate::demo::upstream;
use crate::sockets::{Addresses, Inherited, Sockets};
use crate::system::System;
use crate::telemetry;

const CONFIG: &str = include_str!("../../config/demo.toml");
const APP: &str = "wapp_demo";

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Take any free ports instead of 8080 to 8082 and 8090 to 8092
    #[arg(long)]
    any_port: bool,
    /// Also log each request
    #[arg(long)]
    log: bool,
}

/// The sockets of everything around the gate, bound before anything starts.
struct Stage {
    page: TcpListener,
    other_page: TcpListener,
    chat: TcpListener,
}

/// What the demo makes up at each start.
struct Secrets {
    app: SecretString,
    chat_key: SecretString,
    signing_key: SecretString,
    seal_key: SecretString,
}

pub(super) fn demo(args: &DemoArgs) -> Result<(), Exit> {
    control_runtime()?.block_on(run(args))
}

async fn run(args: &DemoArgs) -> Result<(), Exit> {
    let port = |port: u16| if args.any_port { 0 } else { port };
    let stage =
        Stage { page: bind(port(8090)).await?, other_page: bind(port(8091)).await?, chat: bind(port(8092)).await? };
    let secrets = Secrets::new().map_err(|fault| Exit::Failure(fault.to_string()))?;
    let loaded = configure(args, &stage, &secrets)?;
    let _logging = telemetry::start(&loaded.settings);
    let gate = start(loaded.settings).await.map_err(|fault| Exit::Failure(fault.to_string()))?;
    let (mut terminate, mut interrupt) = signals()?;
    let (stop, stopped) = watch::channel(());
    let (page, other_page) = (url(&stage.page)?, url(&stage.other_page)?);
    print_tour(gate.addresses, &page, &other_page, &secrets.app);
    start_cast(stage, &secrets, gate.addresses, &page, &other_page, &stopped);
    wait(&mut terminate, &mut interrupt).await;
    drop(stop);
    gate.stop().await;
    Ok(())
}

async fn start(settings: Settings) -> Result<Sidegate, StartError> {
    let sockets = Sockets::bind(&settings.listen, Inherited::default()).await?;
    let mut gate = Sidegate::start(settings, sockets).await?;
    gate.accept();
    Ok(gate)
}

async fn bind(port: u16) -> Result<TcpListener, Exit> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|fault| {
        Exit::Failure(format!("cannot listen on {address}: {fault}; `sidegate demo --any-port` takes free ports"))
    })
}

fn url(listener: &TcpListener) -> Result<String, Exit> {
    let address = listener.local_addr().map_err(|fault| Exit::Failure(fault.to_string()))?;
    Ok(format!("http://{address}"))
}

impl Secrets {
    fn new() -> Result<Self, sidegate_core::entropy::EntropyUnavailable> {
        Ok(Self {
            app: new_app_secret(&System)?,
            chat_key: new_key(&System)?,
            signing_key: new_key(&System)?,
            seal_key: new_key(&System)?,
        })
    }
}

/// The demo's config file with its real addresses and secrets.
fn configure(args: &DemoArgs, stage: &Stage, secrets: &Secrets) -> Result<Loaded, Exit> {
    let text = CONFIG
        .replace("http://127.0.0.1:8092", &url(&stage.chat)?)
        .replace("http://127.0.0.1:8090", &url(&stage.page)?)
        .replace(&format!("sha256:{}", "0".repeat(64)), &SecretDigest::of(&secrets.app).to_string());
    let variable = |name: &str, value: &SecretString| (name.to_owned(), value.expose_secret().to_owned());
    let port = |port: u16| if args.any_port { 0 } else { port };
    let input = Input {
        documents: vec![("config/demo.toml".into(), text)],
        environment: vec![
            variable("DEMO_CHAT_KEY", &secrets.chat_key),
            variable("DEMO_SIGNING_KEY", &secrets.signing_key),
            variable("DEMO_SEAL_KEY", &secrets.seal_key),
        ],
        flags: vec![
            format!("listen.public=127.0.0.1:{}", port(8080)),
            format!("listen.private=127.0.0.1:{}", port(8081)),
            format!("listen.ops=127.0.0.1:{}", port(8082)),
            "store.state=memory".to_owned(),
            "store.seal_keys=[{ env = \"DEMO_SEAL_KEY\" }]".to_owned(),
            "log.format=text".to_owned(),
            format!("log.level={}", if args.log { "info" } else { "warn" }),
            format!("log.access={}", args.log),
        ],
        files: Vec::new(),
    };
    load(&input).map_err(|problems| Exit::Usage(problems.to_string()))
}

fn start_cast(
    stage: Stage,
    secrets: &Secrets,
    gate: Addresses,
    page: &str,
    other_page: &str,
    stopped: &watch::Receiver<()>,
) {
    let customer = |links: Vec<Link>| customer::Settings {
        private: gate.private,
        gate_url: format!("http://{}", gate.public),
        app_id: APP.to_owned(),
        app_secret: secrets.app.clone(),
        users: User::demo(),
        links,
    };
    let link = |label: &str, href: &str| vec![Link { label: label.to_owned(), href: href.to_owned() }];
    let here = customer(link("The same page on an origin that the app does not list", other_page));
    let elsewhere = customer(link("The same page on the allowed origin", page));
    let now = || System.now().rfc3339_millis().unwrap_or_default();
    let chat = upstream::Settings::new(secrets.chat_key.clone(), now);
    spawn(upstream::serve(stage.chat, chat, until(stopped)));
    spawn(customer::serve(stage.page, here, until(stopped)));
    spawn(customer::serve(stage.other_page, elsewhere, until(stopped)));
}

fn spawn(server: impl Future<Output = std::io::Result<()>> + Send + 'static) {
    tokio::spawn(async {
        if let Err(fault) = server.await {
            tracing::error!(error = %fault, "a server of the demo ended");
        }
    });
}

/// Resolves when the sender is dropped.
fn until(stopped: &watch::Receiver<()>) -> impl Future<Output = ()> + Send + 'static {
    let mut stopped = stopped.clone();
    async move { while stopped.changed().await.is_ok() {} }
}

fn print_tour(gate: Addresses, page: &str, other_page: &str, secret: &SecretString) {
    let Addresses { public, private, ops } = gate;
    let secret = secret.expose_secret();
    println!(
        r#"Sidegate demo: everything on loopback, secrets made for this run only. Ctrl-C ends it.

  chat page, allowed origin   {page}
  chat page, refused origin   {other_page}
  gate for browsers           http://{public}
  gate for servers            http://{private}
  health and metrics          http://{ops}/readyz  http://{ops}/metrics

The same by hand. A server trades its secret for a token:

  TOKEN=$(curl -s http://{private}/api/v1/auth/token -H 'Content-Type: application/json' \
    -d '{{"appId":"{APP}","appSecret":"{secret}","endUserId":"ada","env":{{"TENANT":"acme"}},"secrets":{{"API_TOKEN":"sk-ada"}}}}' \
    | sed 's/.*"token":"\([^"]*\)".*/\1/')

A page on the allowed origin creates a task and streams the answer:

  TASK=$(curl -s http://{public}/api/v1/tasks -H "Authorization: Bearer $TOKEN" -H 'Origin: {page}' \
    -H 'Content-Type: application/json' -d '{{"message":"Hello"}}' | sed 's/.*"id":"\([^"]*\)".*/\1/')
  curl -N http://{public}/api/v1/tasks/$TASK/stream -H "Authorization: Bearer $TOKEN" -H 'Origin: {page}'

A page elsewhere gets nowhere:

  curl -i http://{public}/api/v1/tasks -H "Authorization: Bearer $TOKEN" -H 'Origin: {other_page}'
"#
    );
}
