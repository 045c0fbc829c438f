//! `sidegate check` and `sidegate config print`.

use super::{ConfigArgs, Exit};
use crate::config;
use crate::registry::Registry;

pub(super) fn check(args: ConfigArgs) -> Result<(), Exit> {
    let settings = args.load()?.settings;
    let (apps, upstreams) = (settings.apps.len(), settings.upstreams.len());
    for tls in [&settings.listen.tls, &settings.listen.private_tls].into_iter().flatten() {
        crate::http::server_config(tls).map_err(Exit::Usage)?;
    }
    let configured = settings.apps.into_iter().map(|configured| (configured.app, configured.upstream)).collect();
    Registry::new(&settings.upstreams, configured).map_err(|faults| Exit::Usage(faults.join("\n")))?;
    println!("The configuration is good: {apps} apps, {upstreams} upstreams.");
    Ok(())
}

pub(super) fn print(args: ConfigArgs) -> Result<(), Exit> {
    print!("{}", config::print(&args.load()?));
    Ok(())
}
