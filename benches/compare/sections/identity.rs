//! What it costs to let in a visitor whom an identity token vouches for (Mitigate: a JWS in a JWE, good once), beside the
//! private RSA operation that opening one takes at the least. The gate has one core; the same core does nothing but such
//! operations before each round.

mod once;

use super::{Done, Outcome, Section};
use crate::Result;
use crate::flags::{Effort, Flags};
use crate::lab::{Lab, PROXY_CORE, Proxy};
use crate::rounds::Entrants;
use crate::rows::{Row, SIDEGATE};
use crate::stats::spread;
use crate::stores;
use crate::targets::{Bound, Target, median};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::ExposeSecret as _;
use serde_json::json;
use sidegate::system::{RsaPair, System, new_rsa_pair};
use sidegate_core::clock::Clock as _;
use sidegate_core::dialect::mitigate::{MintingKeys, mint, new_jti};
use sidegate_core::token::jwe::{EncryptionKey, KeyManagement};
use sidegate_core::token::{Algorithm, KeyRing};
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const SECTION: Section = Section {
    name: "identity",
    about: "a visitor with an identity token (JWS in JWE), next to the RSA operation that it takes",
    needs: &[],
    run,
    targets,
};

/// The share of raw operations that must be left.
const SHARE: f64 = 0.85;

/// The customer's website, and who opens what it seals.
struct Workspace {
    website: RsaPair,
    platform: RsaPair,
    minting: MintingKeys,
}

fn run(lab: &Lab, flags: &Flags, _: &Done) -> Result<Outcome> {
    let effort = flags.effort.fewer_rounds();
    let workspace = Workspace::new()?;
    let prove = |_: &Row, proxy: &Proxy, _: &Lab| once::check(proxy.address, &workspace.token()?);
    let mut entrants = Entrants::proven(vec![row(flags, &workspace)], lab, flags, &prove)?;
    let mut raw = Vec::new();
    entrants.rounds(effort.rounds, |entrant| {
        let rate = raw_per_second(Duration::from_secs(1))?;
        raw.push(rate);
        let tokens = (0..for_round(rate, effort)).map(|_| workspace.token()).collect::<Result<Vec<_>>>()?;
        let address = entrant.proxy.address;
        entrant.sample(|| once::run(address, &tokens))
    })?;
    let raw = spread(raw.into_iter());
    let mut outcome = entrants.outcome(effort, &[]);
    outcome.note = format!(
        "{}\nthe core alone: {:.0} ({:.0} to {:.0}) private operations/s with RSA-2048 (aws-lc)",
        outcome.note, raw.median, raw.low, raw.high
    );
    outcome.json[RAW] = json!(raw.median);
    Ok(outcome)
}

const RAW: &str = "raw_per_second";

fn targets(done: &Done) -> Vec<Target> {
    let let_in = median(done, SECTION.name, "requests_per_second", SIDEGATE);
    let raw = done.get(SECTION.name).and_then(|section| section[RAW].as_f64());
    let share = let_in.zip(raw).map(|(let_in, raw)| let_in / raw);
    vec![Target::ratio("identity: visitors let in to raw RSA-2048 private operations", Bound::AtLeast(SHARE), share)]
}

/// About what the gate can let in in a round's time: each token is good once.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
fn for_round(raw_per_second: f64, effort: Effort) -> usize {
    (raw_per_second * f64::from(effort.seconds)) as usize
}

impl Workspace {
    fn new() -> Result<Self> {
        let (website, platform) = (new_rsa_pair()?, new_rsa_pair()?);
        let signing = KeyRing::new(Algorithm::Rs256, &website.private).map_err(|fault| fault.to_string())?;
        let minting = MintingKeys::new(signing, EncryptionKey::new(KeyManagement::RsaOaep, &platform.public)?)?;
        Ok(Self { website, platform, minting })
    }

    /// As the customer's website makes it: with an access token, good for ten minutes.
    fn token(&self) -> Result<String> {
        let told = |denial: sidegate_core::denial::Denial| denial.message.into_owned();
        let (user, jti) = ("ada".parse()?, new_jti(&System).map_err(told)?);
        let access_token = Some("at-0123456789abcdef0123456789abcdef".into());
        let made = mint(&self.minting, &user, access_token.as_ref(), &jti, System.now(), &System);
        Ok(made.map_err(told)?.0)
    }
}

fn row(flags: &Flags, workspace: &Workspace) -> Row {
    Row { config: include_str!("identity/sidegate.toml"), ..super::exchange::sidegate(flags) }
        .named(
            SIDEGATE,
            "an identity token each: opened, verified, used up; a session kept (memory store), a token signed",
        )
        .with("store", stores::MEMORY)
        .with("opens", workspace.platform.private.expose_secret())
        .with("checks", workspace.website.public.expose_secret())
}

/// Private operations that the proxies' core does when it does nothing else: signatures, which have one each, and hardly
/// anything beside.
fn raw_per_second(time: Duration) -> Result<f64> {
    let work = thread::spawn(move || -> std::result::Result<f64, String> {
        pin_thread(PROXY_CORE)?;
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| "no key")?;
        let (random, mut signature) = (SystemRandom::new(), vec![0; key.public_modulus_len()]);
        let (begin, mut count) = (Instant::now(), 0.0);
        while begin.elapsed() < time {
            key.sign(&RSA_PKCS1_SHA256, &random, &[7; 32], &mut signature).map_err(|_| "no signature")?;
            count += 1.0;
        }
        Ok(count / begin.elapsed().as_secs_f64())
    });
    Ok(work.join().map_err(|_| "the thread failed")??)
}

/// Moves this thread alone.
fn pin_thread(core: &str) -> std::result::Result<(), String> {
    let this = fs::read_link("/proc/thread-self").map_err(|fault| fault.to_string())?;
    let id = this.file_name().and_then(|name| name.to_str()).ok_or("no thread id")?.to_owned();
    let status = Command::new("taskset").args(["--cpu-list", "--pid", core, &id]).stdout(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err("taskset failed".to_owned()) }
}
