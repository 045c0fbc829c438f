//! `sidegate check` and `sidegate config print`.

use super::{ConfigArgs, Exit};
use crate::assemble::Prepared;
use crate::config;

pub(super) fn check(args: ConfigArgs) -> Result<(), Exit> {
    let settings = args.load()?.settings;
    let (apps, upstreams) = (settings.apps.len(), settings.upstreams.len());
    Prepared::new(settings, None).map_err(|faults| Exit::Usage(faults.join("\n")))?;
    println!("The configuration is good: {apps} apps, {upstreams} upstreams.");
    Ok(())
}

pub(super) fn print(args: ConfigArgs) -> Result<(), Exit> {
    print!("{}", config::print(&args.load()?));
    Ok(())
}
