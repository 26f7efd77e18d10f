//! The log of a command: standard error, filtered as `--log` says.

use std::io::IsTerminal;

use cutrickle_error::chain;
use tracing_subscriber::EnvFilter;

use crate::Failure;

/// Sends the log to standard error: what passes `filter`, or `default` where there is none. Both are filters
/// as in RUST_LOG: `info`, or `cutrickle_pipeline=debug`. Where the program has set up a subscriber of its
/// own, that one stays.
///
/// # Errors
/// A malformed filter.
pub fn init_log(filter: Option<&str>, default: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter.unwrap_or(default))
        .map_err(|e| Failure::usage(format!("--log: {}", chain(&e))))?;
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(allows_colours())
        // It would write to standard error what standard error did not take, and panic.
        .log_internal_errors(false)
        .try_init();
    Ok(())
}

/// Whether the log may have colours: it goes to a terminal, and `NO_COLOR` is not set
/// (<https://no-color.org>).
fn allows_colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
