//! A line on standard error that shows what a long-running command is doing.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress line. It is only visible if standard error is a terminal.
pub fn line(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // If the template did not parse, the default style would still show everything.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// A progress bar for work of a known length. It is only visible if standard error is a terminal.
pub fn bar(what: &str, length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    // As above.
    let template = "{prefix} {wide_bar} {percent:>3} % {elapsed_precise} (+{eta_precise}) {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}
