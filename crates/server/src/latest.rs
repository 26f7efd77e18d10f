//! Readings that may be slow or hang, such as a driver's, for many callers at once. What is read is the
//! callers' business.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The latest reading of something. Readings are taken on a thread of their own, one at a time: however many
/// callers ask, a reading that hangs holds up one thread, and neither the runtime nor its end.
pub(crate) struct Latest<T>(Arc<Shared<T>>);

struct Shared<T> {
    name: &'static str,
    read: Box<dyn Fn() -> T + Send + Sync>,
    state: Mutex<State<T>>,
    taken: watch::Sender<()>,
}

struct State<T> {
    value: Option<(T, Instant)>,
    /// When the reading began that is under way.
    begun: Option<Instant>,
}

impl<T: Clone + Send + 'static> Latest<T> {
    /// The readings of `read`, on threads called `name`.
    pub(crate) fn new(name: &'static str, read: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State { value: None, begun: None });
        Self(Arc::new(Shared { name, read: Box::new(read), state, taken: watch::Sender::new(()) }))
    }

    /// A reading not older than `age`. Where there is none, one is taken, and waited for until it has lasted
    /// for `patience`: from then on callers get the previous one at once. `None` if there is no previous one.
    pub(crate) async fn get(&self, age: Duration, patience: Duration) -> Option<T> {
        // Before the reading begins, so that its end is not missed.
        let mut taken = self.0.taken.subscribe();
        let begun = match self.0.fresh_or_begun(age) {
            Ok(fresh) => return Some(fresh),
            Err(begun) => begun,
        };
        let deadline = begun.checked_add(patience).unwrap_or(begun);
        // The sender is not gone, as `self` has it: this ends with a reading, or when the time is up.
        let _ = tokio::time::timeout_at(deadline, taken.changed()).await;
        self.0.state().value.as_ref().map(|(value, _)| value.clone())
    }
}

impl<T: Clone + Send + 'static> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A value that is not older than `age`, or when the reading began that will bring one.
    fn fresh_or_begun(self: &Arc<Self>, age: Duration) -> Result<T, Instant> {
        let mut state = self.state();
        if let Some((value, at)) = &state.value
            && at.elapsed() <= age
        {
            return Ok(value.clone());
        }
        if let Some(begun) = state.begun {
            return Err(begun);
        }
        let (shared, now) = (Arc::clone(self), Instant::now());
        let thread = std::thread::Builder::new().name(self.name.into());
        match thread.spawn(move || shared.take()) {
            Ok(_) => state.begun = Some(now),
            Err(e) => {
                tracing::warn!("{}: a thread could not be started: {e}", self.name);
                self.taken.send_replace(());
            }
        }
        Err(now)
    }

    fn take(&self) {
        // The panic's hook has said why.
        let read = catch_unwind(AssertUnwindSafe(&self.read)).ok();
        let mut state = self.state();
        state.begun = None;
        if let Some(value) = read {
            state.value = Some((value, Instant::now()));
        }
        drop(state);
        self.taken.send_replace(());
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Latest").field(&self.0.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Counts its readings, each of which waits for the test's word.
    fn gated() -> (Latest<usize>, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (go, gate) = mpsc::channel();
        let (gate, begun) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&begun);
        let read = move || {
            let n = count.fetch_add(1, Ordering::SeqCst) + 1;
            gate.lock().unwrap().recv().unwrap();
            n
        };
        (Latest::new("gated", read), go, begun)
    }

    #[tokio::test]
    async fn a_reading_is_shared_by_all_who_ask_and_kept_for_its_age() {
        let (latest, go, begun) = gated();
        let asking: Vec<_> = (0..20)
            .map(|_| {
                let latest = latest.clone();
                tokio::spawn(async move { latest.get(LONG, LONG).await })
            })
            .collect();
        go.send(()).unwrap();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), Some(1));
        }
        assert_eq!(latest.get(LONG, Duration::ZERO).await, Some(1));
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        go.send(()).unwrap();
        assert_eq!(latest.get(Duration::ZERO, LONG).await, Some(2), "it was too old");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_hangs_costs_one_wait_and_one_thread_and_the_one_before_stays() {
        let (latest, go, begun) = gated();
        let patience = Duration::from_secs(1);
        let start = Instant::now();
        assert_eq!(latest.get(Duration::ZERO, patience).await, None);
        assert_eq!(start.elapsed().as_secs(), 1);
        for _ in 0..2_000 {
            assert_eq!(latest.get(Duration::ZERO, patience).await, None);
        }
        assert_eq!(start.elapsed().as_secs(), 1, "nobody else has waited");
        go.send(()).unwrap();
        while latest.get(LONG, Duration::ZERO).await != Some(1) {
            tokio::task::yield_now().await;
        }
        assert_eq!(latest.get(Duration::ZERO, patience).await, Some(1), "the next one hangs again");
        while begun.load(Ordering::SeqCst) != 2 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_reading_that_panics_is_none_and_the_next_may_succeed() {
        let calls = AtomicUsize::new(0);
        let latest = Latest::new("panics", move || {
            assert!(calls.fetch_add(1, Ordering::SeqCst) > 0, "as it is told to");
            7
        });
        assert_eq!(latest.get(LONG, LONG).await, None);
        assert_eq!(latest.get(LONG, LONG).await, Some(7));
    }
}
