//! `[assets]`: ChatKit's files, and how they are kept.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::layered::parsers::{boolean, bytes, duration, non_empty};
use super::layered::{Faults, Node, Reader};
use super::orcheo;
use super::settings::Resolve;
use super::upstream::{UpstreamSettings, base_url, parse_base_url};

/// Where the files are if nothing else is configured, as the vendor has it.
const CDN: &str = "https://cdn.platform.openai.com/";

/// Name lookup, TCP and TLS, as the vendor has it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The asset proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct AssetSettings {
    /// Whether it is served, where an app needs it.
    pub enabled: bool,
    /// Below it are the folders `deployments/chatkit/` and `assets/ck1/`.
    pub base_url: Uri,
    /// Certificate authorities for it, PEM, instead of the system's.
    pub ca: Option<PathBuf>,
    /// Bytes of all that is kept.
    pub memory: usize,
    /// Bytes of one file.
    pub max_asset: usize,
    /// For how long beyond its time a file may stand in for one that cannot be fetched.
    pub stale_if_error: Duration,
}

impl AssetSettings {
    /// The CDN as an upstream, which takes `max_requests` at once and `within` for each.
    #[must_use]
    pub fn upstream(&self, max_requests: usize, within: Duration) -> UpstreamSettings {
        UpstreamSettings {
            ca: self.ca.clone(),
            connect_timeout: CONNECT_TIMEOUT,
            first_byte_timeout: within,
            idle_timeout: within,
            keep_alive: None,
            max_requests,
            ..UpstreamSettings::new("of assets.base_url", vec![self.base_url.clone()])
        }
    }
}

pub(super) fn read_assets(table: Reader<'_>, resolve: &Resolve<'_>) -> Option<AssetSettings> {
    let enabled = table.required("enabled", boolean);
    let base_url = read_base_url(&table, resolve);
    let ca = table.optional("ca", non_empty).map(PathBuf::from);
    let memory = table.required("memory", bytes);
    let max_asset = table.required("max_asset", bytes);
    let stale_if_error = table.required("stale_if_error", duration_or_none);
    if let (Some(memory), Some(max_asset)) = (memory, max_asset)
        && max_asset > memory / 2
    {
        table.problem("max_asset", "must not be larger than half of assets.memory");
    }
    table.finish();
    Some(AssetSettings {
        enabled: enabled?,
        base_url: base_url?,
        ca,
        memory: memory?,
        max_asset: max_asset?,
        stale_if_error: stale_if_error?,
    })
}

/// A span as all others, or `"0s"`: none.
fn duration_or_none(node: &Node) -> Result<Duration, Faults> {
    if node.as_text() == Some("0s") { Ok(Duration::ZERO) } else { duration(node) }
}

/// The setting, else what the backend's own environment says, else the vendor's CDN.
fn read_base_url(table: &Reader<'_>, resolve: &Resolve<'_>) -> Option<Uri> {
    if table.node("base_url").is_some() {
        return table.optional("base_url", |node: &Node| -> Result<_, Faults> { base_url(node) });
    }
    let named = orcheo::plain(resolve, "CDN_BASE_URL");
    let parsed = parse_base_url(named.as_deref().unwrap_or(CDN));
    parsed.map_err(|rule| table.problem("base_url", &format!("ORCHEO_CHATKIT_CDN_BASE_URL {rule}"))).ok()
}
