//! The command line.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talking to the terminal is this module's work")]

mod app;
mod config;
mod demo;
mod drain;
mod health;
mod lifecycle;
mod mint;
mod private_file;
mod revoke;
mod secrets;
mod serve;
mod service_token;
mod store;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Input, Loaded, load};

/// The side gate for embedded chat.
///
/// Servers trade a credential for a short-lived widget token; browsers chat through the gate with
/// that token; the gate checks token, Origin and limits, injects per-user env and secrets, and
/// streams the chat to the upstream chat service.
#[derive(Debug, Parser)]
#[command(name = "sidegate", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 it failed, or is not healthy; 2 the command line or the configuration is wrong.\n\
     Start with: sidegate demo";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate; SIGHUP, or a change of a file, makes it read its configuration anew
    Serve(serve::ServeArgs),
    /// Check the configuration without starting: every mistake at once, each with file and line
    Check(ConfigArgs),
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Run a gate, a customer's server, a chat service and two pages on loopback, to try it all
    Demo(demo::DemoArgs),
    /// Work on apps: those of the registry, and new secrets for those of the configuration
    #[command(subcommand)]
    App(app::AppCommand),
    /// Work on keys
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Work on tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Work on service tokens, which callers of the gate's own API show
    #[command(subcommand)]
    ServiceToken(service_token::ServiceTokenCommand),
    /// Refuse tokens from now on, within a second on every replica: one, an end user's, an app's or all
    Revoke(revoke::RevokeArgs),
    /// Work on the store of the running gates: new seal keys, backups
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Ask a running gate whether it is ready (for HEALTHCHECK)
    Health(health::HealthArgs),
    /// Tell a running gate to stop accepting, finish what is under way and end (for preStop); waits for it
    Drain(drain::DrainArgs),
    /// Have a running gate start the program anew, which takes over without a failed request
    Upgrade(drain::ToldArgs),
    /// Have a running gate read its configuration anew; every mistake at once if it refuses, and then it goes on as it was
    Reload(drain::ToldArgs),
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the merged settings, secrets redacted, each with the place it comes from
    Print(ConfigArgs),
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Print a new random key: 256 bits in base64url, the private key of a pair in PEM, or all keys of a workspace
    Generate {
        /// What it is for; both kinds are 32 random bytes in base64url
        #[arg(value_enum, default_value_t = secrets::KeyKind::Hs256)]
        kind: secrets::KeyKind,
        /// How an app's tokens are signed; all but HS256 have key pairs
        #[arg(long, ignore_case = true, default_value = "HS256", conflicts_with = "kind")]
        algorithm: secrets::Named,
        /// The two RSA pairs of a workspace (mitigate): one signs identity tokens, one seals them
        #[arg(long, conflicts_with_all = ["kind", "algorithm"])]
        workspace: bool,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Show what a widget token says; with --config also whether its app would take it
    Inspect(token::InspectArgs),
    /// Make a token that the vendor lets its customer sign (chat9): what POST /v1/apps/{app}/identity-tokens makes
    Mint(mint::MintArgs),
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, Args)]
struct ConfigArgs {
    /// A configuration file; later ones are laid over earlier ones
    #[arg(short, long = "config", value_name = "FILE")]
    config: Vec<PathBuf>,
    /// One setting, laid over files and environment, such as listen.public=127.0.0.1:9000
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    fn input(self) -> Input {
        Input::from_process(self.config, self.set)
    }

    fn load(self) -> Result<Loaded, Exit> {
        load(&self.input()).map_err(|problems| Exit::Usage(problems.to_string()))
    }
}

/// How a command ends when it does not succeed.
enum Exit {
    /// Exit code 1.
    Failure(String),
    /// Exit code 2.
    Usage(String),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    install_crypto();
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit::Failure(message)) => {
            eprintln!("sidegate: {message}");
            ExitCode::from(1)
        }
        Err(Exit::Usage(message)) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<(), Exit> {
    match command {
        Command::Serve(args) => serve::serve(args),
        Command::Check(args) => config::check(args),
        Command::Config(ConfigCommand::Print(args)) => config::print(args),
        Command::Demo(args) => demo::demo(&args),
        Command::App(command) => app::run(command),
        Command::Keys(KeysCommand::Generate { workspace: true, .. }) => secrets::generate_workspace(),
        Command::Keys(KeysCommand::Generate { kind, algorithm, .. }) => secrets::generate_key(kind, algorithm),
        Command::Token(TokenCommand::Inspect(args)) => token::inspect(args),
        Command::Token(TokenCommand::Mint(args)) => mint::mint(args),
        Command::ServiceToken(command) => service_token::run(command),
        Command::Revoke(args) => revoke::revoke(args),
        Command::Store(command) => store::run(command),
        Command::Health(args) => health::health(args),
        Command::Drain(args) => drain::drain(args),
        Command::Upgrade(args) => drain::upgrade(args),
        Command::Reload(args) => drain::reload(args),
        Command::Version => {
            println!("sidegate {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    }
}

/// TLS chooses its cryptography at first use; choosing it here makes it certain.
fn install_crypto() {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
