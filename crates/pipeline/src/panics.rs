//! Catches a processor's panics, and limits how many are printed.
//!
//! The standard library prints every panic, caught or not: 30 backtraces a second for a processor that panics
//! on every frame. Here, the first one is printed, then at most one a minute, with the number of panics in
//! between. What happens to the frame is decided by the callers.

use std::any::Any;
use std::cell::Cell;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// The minimum time between two printed panics.
const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// Runs the user's code and returns a panic as `Err`. The state that a panic leaves behind is the user's
/// responsibility, as documented in the trait.
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

/// While this exists, the thread is running the user's code.
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

/// Installs a panic hook in front of the existing one. The existing hook gets every panic of other code, and
/// those panics of the user's code that are printed. A hook that the program sets later replaces both.
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
                // Written to stderr and not logged, because the panic may have come from within the logger.
                let _ = writeln!(
                    std::io::stderr(),
                    "processors panicked {unsaid} times since the last panic that was printed"
                );
            }
        }
        print(panic);
    }));
}

/// When a panic was last printed, and how many were suppressed since.
struct Printed {
    last: Option<Instant>,
    unsaid: u64,
}

impl Printed {
    /// Decides whether to print the panic at `now`; if so, returns how many were suppressed before it.
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
