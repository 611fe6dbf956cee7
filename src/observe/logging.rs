//! Log lines: JSON or text, on standard error, so that a command's own output stays clean.

use std::io::IsTerminal as _;
use std::sync::{Arc, OnceLock};

use tracing_subscriber::EnvFilter;

use super::lines::{Fields, Line};
use super::output::{Output, ToOutput};
use crate::config::{Config, LogFormat};

/// The process's log, once it was started.
static OUTPUT: OnceLock<Arc<Output>> = OnceLock::new();

/// Starts logging for this process. Only the first call has an effect.
///
/// A panic is logged by its place alone: its message may repeat what it choked on.
pub fn start(config: &Config) {
    // `Config::load` checked the filter.
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let output = OUTPUT.get_or_init(|| Output::start(std::io::stderr()));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(ToOutput(output.clone()))
        .with_target(true);
    let started = match config.log_format {
        LogFormat::Json => builder.fmt_fields(Fields).event_format(Line).try_init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string);
            tracing::error!(place, "panic");
        }));
    }
}

/// Writes the lines that wait: before the process says something else there, and before it ends.
pub fn flush() {
    if let Some(output) = OUTPUT.get() {
        output.flush();
    }
}
