//! A line on stderr that says what a long-running command is doing, where stderr is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress line; invisible where stderr is no terminal.
pub fn line(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // A template that does not parse would be a defect of this line alone: the default style still shows all.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed_precise} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
