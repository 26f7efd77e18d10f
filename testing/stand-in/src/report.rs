//! Counts calls, collects wrong uses, and reports both at the end of the process, with what was left open.

use std::collections::BTreeMap;
use std::sync::{Mutex, Once};

use crate::driver;
use crate::pointer::Text;
use crate::settings::SETTINGS;
use crate::table::lock;

static CALLS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());
static WRONG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The exit status if anything was left open or used wrongly.
const STRICT: i32 = 86;

/// Counts a call and returns its number, starting at 1.
pub(crate) fn count(name: &'static str) -> u64 {
    let mut calls = lock(&CALLS);
    let calls = calls.entry(name).or_insert(0);
    *calls += 1;
    *calls
}

/// Records that a function was used in a way that is not allowed.
pub(crate) fn wrong(name: &str, what: &str) {
    eprintln!("stand-in: {name}: {what}");
    lock(&WRONG).push(format!("{name}: {what}"));
}

/// Makes sure that the report is written when the process ends.
pub(crate) fn at_exit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function takes and returns nothing, and the library is never unloaded.
        unsafe { libc::atexit(end) };
    });
}

/// How often a function has been called, for a test in the same process.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "named as the libraries' functions are")]
extern "C" fn standInCalls(name: Text) -> u64 {
    let name = name.get().unwrap_or_default();
    lock(&CALLS).get(name.as_str()).copied().unwrap_or(0)
}

/// How many wrong uses have been recorded.
#[unsafe(no_mangle)]
#[allow(non_snake_case, reason = "named as the libraries' functions are")]
extern "C" fn standInWrongUses() -> u64 {
    lock(&WRONG).len() as u64
}

extern "C" fn end() {
    let left = driver::left();
    let wrong = std::mem::take(&mut *lock(&WRONG));
    for (what, number) in left.iter().filter(|(_, number)| *number > 0) {
        eprintln!("stand-in: left at the end: {number} {what}");
    }
    let clean = wrong.is_empty() && left.iter().all(|(_, number)| *number == 0);
    if !clean {
        eprintln!("stand-in: {} wrong uses; STAND_IN_SEED={}", wrong.len(), SETTINGS.seed);
    }
    if let Some(path) = &SETTINGS.report
        && let Err(why) = std::fs::write(path, json(&left, &wrong))
    {
        eprintln!("stand-in: {}: {why}", path.display());
    }
    if SETTINGS.strict_exit && !clean {
        // SAFETY: this flushes what C code has written, and then only ends the process.
        unsafe {
            libc::fflush(std::ptr::null_mut());
            libc::_exit(STRICT);
        }
    }
}

fn json(left: &[(&'static str, usize)], wrong: &[String]) -> String {
    let calls = &*lock(&CALLS);
    let left: BTreeMap<_, _> = left.iter().copied().collect();
    let report = serde_json::json!({ "seed": SETTINGS.seed, "calls": calls, "left": left, "wrong": wrong });
    format!("{report:#}\n")
}
