//! The settings in the environment, which are read once.

use std::collections::HashMap;
use std::env;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The settings that the crate's documentation lists.
pub(crate) struct Settings {
    pub(crate) devices: usize,
    pub(crate) capability: (i32, i32),
    pub(crate) memory: u64,
    pub(crate) decoder: bool,
    pub(crate) encoder: bool,
    pub(crate) encoder_sessions: usize,
    pub(crate) seed: u64,
    pub(crate) delay: Duration,
    /// The codes to fail with, by function and by the number of the call, starting at 1.
    pub(crate) failures: HashMap<(String, u64), i32>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) strict_exit: bool,
}

pub(crate) static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let (major, minor) = variable::<String>("STAND_IN_CAPABILITY")
        .and_then(|text| {
            let (major, minor) = text.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
        .unwrap_or((8, 9));
    Settings {
        devices: variable("STAND_IN_DEVICES").unwrap_or(1),
        capability: (major, minor),
        memory: variable::<u64>("STAND_IN_MEMORY_MB").unwrap_or(8192) << 20,
        decoder: variable("STAND_IN_NVDEC").unwrap_or(1) != 0,
        encoder: variable("STAND_IN_NVENC").unwrap_or(0) != 0,
        encoder_sessions: variable("STAND_IN_NVENC_SESSIONS").unwrap_or(8),
        seed: variable("STAND_IN_SEED").unwrap_or_else(any_seed),
        delay: Duration::from_micros(variable("STAND_IN_DELAY_US").unwrap_or(2000)),
        failures: variable::<String>("STAND_IN_FAIL").map(|text| failures(&text)).unwrap_or_default(),
        report: variable("STAND_IN_REPORT"),
        strict_exit: variable("STAND_IN_STRICT_EXIT").unwrap_or(0) != 0,
    }
});

/// The value of a variable, if it is set.
///
/// A value that cannot be parsed ends the process, because running with the default would test something
/// else.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    let value = text.parse().ok();
    if value.is_none() {
        eprintln!("stand-in: {name}={text} cannot be read");
        std::process::abort();
    }
    value
}

fn failures(text: &str) -> HashMap<(String, u64), i32> {
    let parse = |entry: &str| {
        let (call, code) = entry.split_once('=')?;
        let (name, at) = call.split_once(':')?;
        Some(((name.trim().to_owned(), at.parse().ok()?), code.parse().ok()?))
    };
    text.split(',')
        .map(|entry| {
            parse(entry).unwrap_or_else(|| {
                eprintln!("stand-in: STAND_IN_FAIL={text}: {entry:?} is not name:n=code");
                std::process::abort();
            })
        })
        .collect()
}

fn any_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.subsec_nanos().into())
}
