//! How long to wait before trying again, and when to give up. Time comes in as an argument.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
/// However long a server is away, it is found within this of its return.
const LONGEST: Duration = Duration::from_millis(500);

/// A connection that has lasted this long counts as a success, even if it then fails.
pub(crate) const SETTLED: Duration = Duration::from_secs(2);

/// Doubling waits within a window that begins with the first failure.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    window: Duration,
    since: Option<Instant>,
    wait: Duration,
}

impl Backoff {
    pub(crate) fn new(window: Duration) -> Backoff {
        Backoff { window, since: None, wait: FIRST }
    }

    /// The wait before the next try; `None` when the window is over. The window then begins anew.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.window {
            self.succeeded();
            return None;
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(LONGEST);
        Some(wait)
    }

    pub(crate) fn succeeded(&mut self) {
        self.since = None;
        self.wait = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_second_and_end_with_the_window() {
        let start = Instant::now();
        let mut backoff = Backoff::new(Duration::from_secs(30));
        let mut now = start;
        let mut waits = Vec::new();
        while let Some(wait) = backoff.failed(now) {
            waits.push(wait.as_millis());
            now += wait;
        }
        assert_eq!(&waits[..7], [100, 200, 400, 500, 500, 500, 500]);
        let tried_for = now - start;
        assert!((30..=31).contains(&tried_for.as_secs()), "{tried_for:?}");
    }

    #[test]
    fn a_success_begins_a_new_window() {
        let start = Instant::now();
        let mut backoff = Backoff::new(Duration::from_secs(1));
        assert!(backoff.failed(start).is_some());
        backoff.succeeded();
        assert_eq!(backoff.failed(start + Duration::from_secs(60)), Some(FIRST));
    }
}
