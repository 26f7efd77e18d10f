//! A processor's panics: caught, and printed seldom enough that they flood nothing.
//!
//! The standard library prints each panic where it happens, caught or not: 30 backtraces a second for a processor that
//! panics at every frame. Here the first is printed, and later at most one a minute, with how many there were
//! meanwhile. What becomes of a frame whose processor panicked is the callers' to say.

use std::any::Any;
use std::cell::Cell;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// From one printed panic to the next.
const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// Runs the user's code. A panic is its `Err`; the state that it leaves behind is the user's own, who is told in the
/// trait's documentation.
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(install);
    let _users = Users::enter();
    catch_unwind(AssertUnwindSafe(run))
}

thread_local! {
    /// How many calls of the user's code are on this thread's stack.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// While it lives, this thread runs the user's code.
struct Users;

impl Users {
    fn enter() -> Self {
        CALLS.set(CALLS.get().saturating_add(1));
        Self
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        CALLS.set(CALLS.get().saturating_sub(1));
    }
}

/// Puts a hook before the one that is there, which gets every panic of other code, and of the user's as many as are
/// printed. A hook that the program sets later replaces both.
fn install() {
    static PRINTED: Mutex<Printed> = Mutex::new(Printed { last: None, unsaid: 0 });
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if CALLS.try_with(Cell::get).unwrap_or(0) > 0 {
            let Some(unsaid) = PRINTED.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now())
            else {
                return;
            };
            if unsaid > 0 {
                // Not by the log: the panic may have come from within it.
                let _ = writeln!(
                    std::io::stderr(),
                    "processors panicked {unsaid} times since the last panic that was printed"
                );
            }
        }
        print(panic);
    }));
}

/// What was printed, and what was not.
struct Printed {
    last: Option<Instant>,
    unsaid: u64,
}

impl Printed {
    /// Whether the panic at `now` is printed: with how many that were not.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < MIN_INTERVAL) {
            self.unsaid = self.unsaid.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_panic_is_printed_and_then_one_a_minute_with_the_count() {
        let mut printed = Printed { last: None, unsaid: 0 };
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        assert_eq!(printed.admit(at(0)), Some(0));
        assert!((1..=1800).all(|n| printed.admit(at(n * 33)).is_none()));
        assert_eq!(printed.admit(at(60_000)), Some(1800));
        assert_eq!(printed.admit(at(60_033)), None);
        assert_eq!(printed.admit(at(200_000)), Some(1));
    }
}
