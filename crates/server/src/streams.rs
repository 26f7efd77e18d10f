//! The streams that a worker runs: at most `capacity` at a time, each in its slot from the moment that its
//! start is accepted until it has ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutrickle_pipeline::{EndReason, Metrics, Session, StreamState, StreamStatus};
use tokio::sync::watch;

use crate::ended::Ended;
use crate::refusal::Refusal;

/// The running streams by name, and those that have ended.
#[derive(Debug)]
pub(crate) struct Streams {
    capacity: usize,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    taken: BTreeMap<String, Arc<Slot>>,
    ended: Ended,
    started: u64,
    closed: bool,
}

/// What a worker's streams have counted. A stream is either among those that run or among those that have
/// ended, never in both or in neither, so that sums of the two never decrease.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// The streams that run.
    pub(crate) running: Vec<(String, Metrics, StreamState)>,
    /// The streams that have ended and are remembered.
    pub(crate) ended: Vec<(String, Metrics)>,
    /// What all streams have counted, from the worker's start.
    pub(crate) all: Metrics,
    pub(crate) started: u64,
    pub(crate) ended_by_reason: Vec<(EndReason, u64)>,
}

/// A stream that is asked about.
#[derive(Debug)]
pub(crate) enum Meant {
    /// It is being started.
    Starting,
    Running(Arc<Session>),
    /// It has ended with this status.
    Ended(Box<StreamStatus>),
}

/// A stream's place.
#[derive(Debug)]
pub(crate) struct Slot {
    id: String,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone)]
enum State {
    Starting,
    Running(Arc<Session>),
    Gone,
}

impl Streams {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, slots: Mutex::default() })
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes a slot, or says why there is none. It is checked and taken under one lock: of two starts at once
    /// for the last slot, one gets it.
    pub(crate) fn reserve(self: &Arc<Self>, id: &str) -> Result<Reservation, Refusal> {
        let mut slots = self.slots();
        if slots.closed {
            return Err(Refusal::unavailable("shutting down"));
        }
        if slots.taken.contains_key(id) {
            return Err(Refusal::unavailable(format_args!("stream {id} is running already")));
        }
        if slots.taken.len() >= self.capacity {
            return Err(Refusal::unavailable(format_args!(
                "at capacity: {} of {} streams running",
                slots.taken.len(),
                self.capacity
            )));
        }
        let slot = Arc::new(Slot { id: id.to_owned(), state: watch::Sender::new(State::Starting) });
        slots.taken.insert(id.to_owned(), Arc::clone(&slot));
        Ok(Reservation { streams: Arc::clone(self), slot: Some(slot) })
    }

    /// The stream of that name; without a name the only one, if there is one.
    ///
    /// # Errors
    /// Several run, and none was named.
    pub(crate) fn find(&self, id: Option<&str>) -> Result<Option<Arc<Slot>>, Refusal> {
        let slots = self.slots();
        let found = match id {
            Some(id) => slots.taken.get(id),
            None if slots.taken.len() > 1 => {
                let names: Vec<_> = slots.taken.keys().map(String::as_str).collect();
                return Err(Refusal::ambiguous(&names));
            }
            None => slots.taken.values().next(),
        };
        Ok(found.map(Arc::clone))
    }

    /// The stream that a question is about: the one of that name, running or ended; without a name the only
    /// one that runs, or where none does, the one that ended last. `None` where several run, or none of that
    /// name is known.
    pub(crate) fn meant(&self, id: Option<&str>) -> Option<Meant> {
        let slots = self.slots();
        let slot = match id {
            Some(id) => slots.taken.get(id),
            None if slots.taken.len() > 1 => return None,
            None => slots.taken.values().next(),
        };
        if let Some(slot) = slot {
            return Some(slot.session().map_or(Meant::Starting, Meant::Running));
        }
        let ended = match id {
            Some(id) => slots.ended.find(id),
            None => slots.ended.newest(),
        };
        ended.map(|last| Meant::Ended(Box::new(last.clone())))
    }

    /// The streams that run, by name.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        self.slots().taken.values().filter_map(|slot| slot.session()).collect()
    }

    /// The state of every stream that has a slot.
    pub(crate) fn states(&self) -> Vec<StreamState> {
        self.slots().taken.values().map(|slot| slot.stream_state()).collect()
    }

    /// The last status of the newest stream that has ended.
    pub(crate) fn last(&self) -> Option<StreamStatus> {
        self.slots().ended.newest().cloned()
    }

    /// The last status of the stream of that name, if it has ended and is remembered.
    pub(crate) fn ended(&self, id: &str) -> Option<StreamStatus> {
        self.slots().ended.find(id).cloned()
    }

    /// Everything that was counted, at one moment.
    pub(crate) fn counts(&self) -> Counts {
        let slots = self.slots();
        let sessions = slots.taken.values().filter_map(|slot| slot.session());
        let running: Vec<_> =
            sessions.map(|session| (session.id().to_owned(), session.metrics(), session.state())).collect();
        let mut all = slots.ended.totals();
        for (_, metrics, _) in &running {
            all.take_in(*metrics);
        }
        Counts {
            running,
            ended: slots.ended.kept().map(|last| (last.stream_id.clone(), last.metrics)).collect(),
            all,
            started: slots.started,
            ended_by_reason: slots.ended.by_reason().collect(),
        }
    }

    /// Refuses new streams, ends those that run, and waits for it.
    pub(crate) async fn close(&self) {
        let slots: Vec<_> = {
            let mut slots = self.slots();
            slots.closed = true;
            slots.taken.values().map(Arc::clone).collect()
        };
        for slot in &slots {
            slot.ask_to_stop();
        }
        for slot in slots {
            slot.stop().await;
        }
    }

    /// Frees the slot of a stream that has ended, or did not come to be.
    fn release(&self, slot: &Slot, ended: Option<&Session>) -> Option<StreamStatus> {
        let mut slots = self.slots();
        slots.taken.remove(&slot.id);
        // Asked under the lock: what an abandoned thread counts after this is not counted anywhere.
        let last = ended.map(Session::status);
        if let Some(last) = &last {
            slots.ended.add(last.clone());
        }
        drop(slots);
        slot.state.send_replace(State::Gone);
        last
    }
}

impl Slot {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The stream, once it runs.
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        match &*self.state.borrow() {
            State::Running(session) => Some(Arc::clone(session)),
            State::Starting | State::Gone => None,
        }
    }

    /// A stream that is being started is loading.
    fn stream_state(&self) -> StreamState {
        self.session().map_or(StreamState::Loading, |session| session.state())
    }

    fn ask_to_stop(&self) {
        if let Some(session) = self.session() {
            session.stop();
        }
    }

    /// Ends the stream and waits until its slot is free. One that is still being started is ended as soon as
    /// it runs.
    pub(crate) async fn stop(&self) {
        let mut state = self.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Running(session) => session.stop(),
                State::Starting => {}
                State::Gone => return,
            }
            if state.changed().await.is_err() {
                return;
            }
        }
    }
}

/// A slot that waits for its stream. Dropped without one, it is free again.
#[derive(Debug)]
pub(crate) struct Reservation {
    streams: Arc<Streams>,
    slot: Option<Arc<Slot>>,
}

impl Reservation {
    /// Puts the stream in; the slot frees itself when the stream ends. Must be called on a tokio runtime.
    pub(crate) fn fill(mut self, session: Session) {
        let Some(slot) = self.slot.take() else { return };
        let streams = Arc::clone(&self.streams);
        let session = Arc::new(session);
        streams.slots().started += 1;
        slot.state.send_replace(State::Running(Arc::clone(&session)));
        tokio::spawn(async move {
            session.ended().await;
            streams.release(&slot, Some(&session));
        });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.streams.release(&slot, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_that_is_dropped_frees_its_slot() {
        let streams = Streams::new(1);
        let first = streams.reserve("a").unwrap();
        assert!(streams.reserve("b").is_err());
        drop(first);
        assert!(streams.states().is_empty());
        assert!(streams.reserve("b").is_ok());
    }

    #[test]
    fn of_several_streams_one_has_to_be_named() {
        let streams = Streams::new(2);
        let _a = streams.reserve("a").unwrap();
        assert_eq!(streams.find(None).unwrap().unwrap().id(), "a");
        let _b = streams.reserve("b").unwrap();
        assert!(streams.find(None).is_err());
        assert_eq!(streams.find(Some("b")).unwrap().unwrap().id(), "b");
        assert!(streams.find(Some("c")).unwrap().is_none());
    }

    #[test]
    fn two_streams_cannot_have_one_name() {
        let streams = Streams::new(2);
        let _first = streams.reserve("a").unwrap();
        assert!(streams.reserve("a").is_err());
        assert!(streams.reserve("b").is_ok());
    }

    #[test]
    fn of_many_starts_at_once_as_many_win_as_there_are_slots() {
        let streams = Streams::new(3);
        let go = std::sync::Barrier::new(16);
        let won: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..16)
                .map(|n| {
                    let (streams, go) = (&streams, &go);
                    scope.spawn(move || {
                        go.wait();
                        streams.reserve(&n.to_string()).ok()
                    })
                })
                .collect();
            starts.into_iter().filter_map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(won.len(), 3);
    }

    #[tokio::test]
    async fn a_stop_during_a_start_that_fails_ends_with_the_start() {
        let streams = Streams::new(1);
        let reservation = streams.reserve("a").unwrap();
        let slot = streams.find(None).unwrap().unwrap();
        let stop = tokio::spawn(async move { slot.stop().await });
        drop(reservation);
        stop.await.unwrap();
        assert!(streams.find(None).unwrap().is_none());
    }

    #[tokio::test]
    async fn no_stream_starts_once_closed() {
        let streams = Streams::new(1);
        streams.close().await;
        assert!(streams.reserve("a").is_err());
    }
}
