//! How long to wait before a retry, and when to give up. The caller passes the current time.

use std::time::{Duration, Instant};

/// The first wait. Each one after it is twice as long.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// A server that comes back is noticed within this time, however long it was away.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// The wait between two requests for a channel that does not exist.
pub(crate) const MISSING_WAIT: Duration = Duration::from_millis(200);
/// A connection that lasted this long counts as a success, even if it broke in the end.
pub(crate) const SETTLED: Duration = Duration::from_secs(2);

/// Waits between retries, within a window that begins with the first failure.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    window: Duration,
    min_wait: Duration,
    max_wait: Duration,
    wait: Duration,
    since: Option<Instant>,
}

impl Backoff {
    /// Waits that double up to half a second.
    pub(crate) fn new(window: Duration) -> Backoff {
        Backoff { window, min_wait: MIN_WAIT, max_wait: MAX_WAIT, wait: MIN_WAIT, since: None }
    }

    /// Waits that are all of the same length.
    pub(crate) fn steady(wait: Duration, window: Duration) -> Backoff {
        Backoff { window, min_wait: wait, max_wait: wait, wait, since: None }
    }

    /// Begins the window. Returns false if it had begun before.
    pub(crate) fn begins(&mut self, now: Instant) -> bool {
        let is_first = self.since.is_none();
        self.since.get_or_insert(now);
        is_first
    }

    /// The wait before the next try, or `None` at the end of the window. The failure after that begins a
    /// new window.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.window {
            self.succeeded();
            return None;
        }
        let wait = self.wait;
        self.wait = (wait * 2).min(self.max_wait);
        Some(wait)
    }

    pub(crate) fn succeeded(&mut self) {
        self.since = None;
        self.wait = self.min_wait;
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
        assert_eq!(backoff.failed(start + Duration::from_secs(60)), Some(MIN_WAIT));
    }

    #[test]
    fn steady_waits_are_all_the_same_and_end_with_the_window() {
        let start = Instant::now();
        let mut backoff = Backoff::steady(MISSING_WAIT, MISSING_WAIT * 5);
        assert!(backoff.begins(start) && !backoff.begins(start));
        let waits = (0..9).map_while(|tries| backoff.failed(start + MISSING_WAIT * tries));
        assert_eq!(waits.collect::<Vec<_>>(), [MISSING_WAIT; 5]);
        assert!(backoff.begins(start));
    }
}
