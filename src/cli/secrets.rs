//! `sidegate app new-secret` and `sidegate keys generate`.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use secrecy::ExposeSecret;
use sidegate_core::context::seal;
use sidegate_core::secret::{SecretDigest, new_app_secret as random_app_secret};
use sidegate_core::token::Algorithm;

use super::Exit;
use crate::system::{System, new_rsa_pair, new_signing_key};

/// What a key is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum KeyKind {
    /// Signs an app's tokens (`apps.token.key`)
    Hs256,
    /// Seals env and secrets (`store.seal_keys`)
    Seal,
}

pub(super) fn new_app_secret() -> Result<(), Exit> {
    let secret = random_app_secret(&System).map_err(|fault| Exit::Failure(fault.to_string()))?;
    println!("secret  {}", secret.expose_secret());
    println!("digest  {}", SecretDigest::of(&secret));
    eprintln!("Give the secret to the customer's server; put the digest into the app's secret_digests.");
    Ok(())
}

pub(super) fn generate_key(kind: KeyKind, algorithm: Named) -> Result<(), Exit> {
    let key = match kind {
        KeyKind::Hs256 => new_signing_key(algorithm.0),
        KeyKind::Seal => seal::new_key(&System),
    };
    let key = key.map_err(|fault| Exit::Failure(fault.to_string()))?;
    println!("{}", key.expose_secret());
    match kind {
        KeyKind::Hs256 => eprintln!("For one app's token.key. Give every app its own."),
        KeyKind::Seal => eprintln!("For store.seal_keys: the first seals, all open."),
    }
    Ok(())
}

/// Which key goes where stands above each, for whoever pastes it.
pub(super) fn generate_workspace() -> Result<(), Exit> {
    let pair = || new_rsa_pair().map_err(|fault| Exit::Failure(fault.to_string()));
    let (signing, sealing) = (pair()?, pair()?);
    for (text, key) in [
        (
            "The customer's website signs identity tokens (mint_signing_key, where the gate makes them)",
            &signing.private,
        ),
        ("The gate checks them: one of the app's identity.signing_keys", &signing.public),
        ("The customer's website seals them (mint_encryption_key, where the gate makes them)", &sealing.public),
        ("The gate opens them: one of the app's identity.encryption_keys", &sealing.private),
    ] {
        println!("# {text}\n{}\n", key.expose_secret());
    }
    eprintln!("Four keys: two are private. Give each only to whom it is for.");
    Ok(())
}

/// An [`Algorithm`] on the command line, by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named(Algorithm);

impl ValueEnum for Named {
    fn value_variants<'a>() -> &'a [Self] {
        const { &[Self(Algorithm::ALL[0]), Self(Algorithm::ALL[1]), Self(Algorithm::ALL[2]), Self(Algorithm::ALL[3])] }
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}
