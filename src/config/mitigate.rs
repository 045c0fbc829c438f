//! What apps of the dialect "mitigate" have beside: the workspace's keys, its visitors, and how its widget looks.

use secrecy::SecretString;
use sidegate_core::dialect::Dialect;
use sidegate_core::dialect::mitigate::{
    Challenge, Display, DisplayMode, Locale, MintingKeys, Modes, PrivacyPolicyUrl, Workspace, WorkspaceKeys,
};
use sidegate_core::secret::SecretDigest;
use sidegate_core::session::Mode;
use sidegate_core::token::jwe::{DecryptionKeys, EncryptionKey, KeyManagement};
use sidegate_core::token::{Algorithm, KeyRing, VerifyingKeys};

use super::layered::Reader;
use super::layered::parsers::{integer, list, non_empty, one_of, parsed};
use super::settings::{KeyUses, Resolve, secret};
use super::upstream::UpstreamSettings;

/// `[apps.identity]`, `[apps.widget]` and `[apps.challenge]`.
pub(super) fn read_widget(
    table: &Reader<'_>,
    dialect: Option<Dialect>,
    app: &str,
    upstreams: &[&UpstreamSettings],
    resolve: &Resolve<'_>,
    uses: &mut KeyUses,
) -> Workspace {
    if dialect != Some(Dialect::Mitigate) {
        for key in ["widget", "challenge"] {
            if dialect.is_some() && table.node(key).is_some() {
                table.problem(key, "is for dialect \"mitigate\"");
            }
        }
        return Workspace::default();
    }
    let (keys, minting) = read_keys(table, app, resolve, uses);
    let challenge = read_challenge(table, upstreams, resolve);
    let widget = table.section("widget");
    let of_keys = if keys.is_some() { vec![Mode::Identified] } else { Vec::new() };
    let modes = widget.or("modes", list(one_of(&Mode::ALL.map(|mode| (mode.name(), mode)))), of_keys);
    if modes.is_empty() {
        widget.problem("modes", "must have one or more of \"identified\", \"guest\" and \"anonymous\"");
    }
    if modes.contains(&Mode::Identified) && keys.is_none() && table.node("identity").is_none() {
        widget.problem("modes", "\"identified\" needs the keys of [apps.identity]");
    }
    let has = |mode| modes.contains(&mode);
    let modes = Modes { identified: has(Mode::Identified), guest: has(Mode::Guest), anonymous: has(Mode::Anonymous) };
    let workspace = Workspace {
        keys,
        minting,
        challenge,
        modes,
        privacy_policy_url: widget.optional("privacy_policy_url", parsed::<PrivacyPolicyUrl>()),
        locale: widget.or("locale", one_of(&Locale::ALL.map(|locale| (locale.name(), locale))), Locale::default()),
        display: Display {
            mode: widget.or("display_mode", one_of(DISPLAY_MODES), DisplayMode::default()),
            position_bottom_px: widget.optional("position_bottom_px", integer(0..=10_000)),
            position_right_px: widget.optional("position_right_px", integer(0..=10_000)),
        },
    };
    widget.finish();
    workspace
}

const DISPLAY_MODES: &[(&str, DisplayMode)] = &[("modal", DisplayMode::Modal), ("fullscreen", DisplayMode::Fullscreen)];

/// What opens and checks identity tokens, and what makes them. One side alone will do.
fn read_keys(
    table: &Reader<'_>,
    app: &str,
    resolve: &Resolve<'_>,
    uses: &mut KeyUses,
) -> (Option<WorkspaceKeys>, Option<MintingKeys>) {
    let identity = table.section("identity");
    let management = identity.or(
        "management",
        one_of(&KeyManagement::ALL.map(|management| (management.name(), management))),
        KeyManagement::RsaOaep,
    );
    let opens = identity.or("encryption_keys", list(secret(resolve)), Vec::new());
    let checks = identity.or("signing_keys", list(secret(resolve)), Vec::new());
    let keys = match (opens.as_slice(), checks.as_slice()) {
        ([], []) => None,
        (_, []) => missing(&identity, "signing_keys", "must be there where encryption_keys are"),
        ([], _) => missing(&identity, "encryption_keys", "must be there where signing_keys are"),
        _ => workspace_keys(&identity, management, &opens, &checks),
    };
    let signs = identity.optional("mint_signing_key", secret(resolve));
    let seals = identity.optional("mint_encryption_key", secret(resolve));
    let minting = match (signs, seals) {
        (Some(signs), Some(seals)) => minting_keys(&identity, management, &signs, &seals),
        (None, None) => None,
        (Some(_), None) => missing(&identity, "mint_encryption_key", "must be there beside mint_signing_key"),
        (None, Some(_)) => missing(&identity, "mint_signing_key", "must be there beside mint_encryption_key"),
    };
    if let (Some(keys), Some(minting)) = (&keys, &minting)
        && let Err(fault) = keys.check_apart(minting)
    {
        identity.problem("mint_signing_key", &fault.to_string());
    }
    for fingerprint in workspace_fingerprints(keys.as_ref(), minting.as_ref()) {
        if let Err(clash) = uses.claim_workspace_key(fingerprint, app) {
            identity.problem("encryption_keys", &clash);
        }
    }
    identity.finish();
    (keys, minting)
}

/// Digests of all keys of a workspace; one key may come twice.
pub fn workspace_fingerprints<'a>(
    keys: Option<&'a WorkspaceKeys>,
    minting: Option<&'a MintingKeys>,
) -> impl Iterator<Item = &'a SecretDigest> {
    let of_keys = keys.into_iter().flat_map(|keys| keys.signing_fingerprints().chain(keys.encryption_fingerprints()));
    let of_minting =
        minting.into_iter().flat_map(|keys| keys.signing_fingerprints().chain(keys.encryption_fingerprints()));
    of_keys.chain(of_minting)
}

fn missing<T>(table: &Reader<'_>, key: &'static str, rule: &str) -> Option<T> {
    table.problem(key, rule);
    None
}

fn workspace_keys(
    identity: &Reader<'_>,
    management: KeyManagement,
    opens: &[SecretString],
    checks: &[SecretString],
) -> Option<WorkspaceKeys> {
    const TWO: &str = "must be one key, or two during a rotation";
    let [current, others @ ..] = opens else { return None };
    if others.len() > 1 || checks.len() > 2 {
        return missing(identity, if others.len() > 1 { "encryption_keys" } else { "signing_keys" }, TWO);
    }
    let decryption = DecryptionKeys::new(management, current, others.first());
    let decryption = decryption.map_err(|fault| identity.problem("encryption_keys", &fault.to_string()));
    let mut verifying = VerifyingKeys::new(Algorithm::Rs256);
    for key in checks {
        if let Err(fault) = verifying.add(key) {
            identity.problem("signing_keys", &fault.to_string());
        }
    }
    let keys = WorkspaceKeys::new(decryption.ok()?, verifying);
    keys.map_err(|fault| identity.problem("signing_keys", &fault.to_string())).ok()
}

fn minting_keys(
    identity: &Reader<'_>,
    management: KeyManagement,
    signs: &SecretString,
    seals: &SecretString,
) -> Option<MintingKeys> {
    let ring = KeyRing::new(Algorithm::Rs256, signs);
    let ring = ring.map_err(|fault| identity.problem("mint_signing_key", &fault.to_string()));
    let seals = EncryptionKey::new(management, seals);
    let seals = seals.map_err(|fault| identity.problem("mint_encryption_key", &fault.to_string()));
    let minting = MintingKeys::new(ring.ok()?, seals.ok()?);
    minting.map_err(|fault| identity.problem("mint_signing_key", &fault.to_string())).ok()
}

/// Who is asked whether a visitor whom nobody vouches for is no program.
fn read_challenge(table: &Reader<'_>, upstreams: &[&UpstreamSettings], resolve: &Resolve<'_>) -> Option<Challenge> {
    let challenge = table.table("challenge")?;
    let upstream = challenge.required("upstream", non_empty);
    let path = challenge.or("path", non_empty, "/turnstile/v0/siteverify".to_owned());
    let secret = challenge.required("secret", secret(resolve));
    if upstream.as_ref().is_some_and(|name| !upstreams.iter().any(|known| known.name == *name)) {
        challenge.problem("upstream", "is not the name of one of the [[upstreams]]");
    }
    if !path.starts_with('/') {
        challenge.problem("path", "must begin with /");
    }
    challenge.finish();
    Some(Challenge { upstream: upstream?, path, secret: secret? })
}
