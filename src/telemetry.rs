//! Log lines: JSON or text on standard output, written by a thread of their own so that a stalled
//! reader of the log never stalls a worker (lines are then dropped, and counted by the library).

use std::io::BufWriter;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_core::callsite::rebuild_interest_cache;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::config::{LogFormat, Settings};

/// Bytes of lines that are written at once, at most.
const BUFFER: usize = 64 * 1024;

/// Which lines are written. Asked when a place that writes any is first reached, and once more when it changes: a line
/// costs nothing for it.
#[derive(Clone)]
pub struct Levels(Arc<ArcSwap<Targets>>);

impl Levels {
    fn new(level: Level) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(targets(level))))
    }

    /// Writes our own lines from this level on.
    pub fn set(&self, level: Level) {
        self.0.store(Arc::new(targets(level)));
        rebuild_interest_cache();
    }
}

/// Libraries may log heads and bodies below `warn`, and so are held to it.
fn targets(level: Level) -> Targets {
    let targets = Targets::new().with_default(LevelFilter::WARN);
    targets.with_target("sidegate", level).with_target("access", LevelFilter::INFO)
}

impl<S: Subscriber> Filter<S> for Levels {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        Filter::enabled(&**self.0.load(), metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        Filter::<S>::callsite_enabled(&**self.0.load(), metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&**self.0.load())
    }
}

/// What runs while logging does.
pub struct Logging {
    /// Which lines are written.
    pub levels: Levels,
    /// Lines that are still queued are written when it is dropped.
    _flush: WorkerGuard,
}

/// Starts logging for the whole process.
pub fn start(settings: &Settings) -> Logging {
    // The thread flushes as soon as no more lines wait: a single line leaves at once, a burst in one write.
    let stdout = BufWriter::with_capacity(BUFFER, std::io::stdout());
    let (writer, flush) = tracing_appender::non_blocking(stdout);
    let levels = Levels::new(settings.log_level);
    let layer = match settings.log_format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(writer).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(writer).boxed(),
    };
    // A second start in one process (tests, the demo) keeps the first one's writer.
    let _ = tracing_subscriber::registry().with(layer.with_filter(levels.clone())).try_init();
    Logging { levels, _flush: flush }
}
