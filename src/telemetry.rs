//! Log lines: JSON or text on standard output, written by a thread of their own so that a stalled
//! reader of the log never stalls a worker (lines are then dropped, and counted by the library).

use std::io::BufWriter;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::{LogFormat, Settings};

/// Bytes of lines that are written at once, at most.
const BUFFER: usize = 64 * 1024;

/// Starts logging for the whole process; lines are flushed when the guard is dropped. The level is
/// for our own lines: libraries may log heads and bodies below `warn`, and so are held to it.
pub fn start(settings: &Settings) -> WorkerGuard {
    // The thread flushes as soon as no more lines wait: a single line leaves at once, a burst in one write.
    let stdout = BufWriter::with_capacity(BUFFER, std::io::stdout());
    let (writer, guard) = tracing_appender::non_blocking(stdout);
    let targets = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("sidegate", settings.log_level)
        .with_target("access", LevelFilter::INFO);
    let layer = match settings.log_format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(writer).boxed(),
    };
    // A second start in one process (tests, the demo) keeps the first one's writer.
    let _ = tracing_subscriber::registry().with(layer.with_filter(targets)).try_init();
    guard
}
