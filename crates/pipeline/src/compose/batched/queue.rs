//! The queue of frames of many streams, which decides when enough of them wait for a batch.

use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use candle_core::Tensor;
use prometheus::Histogram;
use tokio::sync::oneshot;

use super::Limits;
use crate::Result;

/// A frame waiting for the model.
#[derive(Debug)]
pub(super) struct Request {
    /// The stream it belongs to.
    pub(super) member: u64,
    pub(super) pixels: Tensor,
    pub(super) arrived: Instant,
    /// The histogram that counts the size of its batch.
    pub(super) sizes: Option<Histogram>,
    pub(super) answer: oneshot::Sender<Result<Tensor>>,
}

/// The waiting frames. A stream adds one and awaits the answer, so there are never more frames than streams.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Request>,
    /// The number of streams so far.
    members: u64,
    /// The streams whose next frame is worth waiting for: all except those that a batch has waited for in
    /// vain and that have not sent a frame since.
    expected: HashSet<u64>,
    closed: bool,
}

impl Queue {
    // Held to push a frame or to take a batch, never while the model computes.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, request: Request) {
        let mut state = self.state();
        state.expected.insert(request.member);
        state.waiting.push_back(request);
        drop(state);
        self.changed.notify_one();
    }

    /// Adds a stream and returns its number.
    pub(super) fn join(&self) -> u64 {
        let mut state = self.state();
        let member = state.members;
        state.members += 1;
        state.expected.insert(member);
        member
    }

    /// Removes a stream, so that no batch waits for it any more.
    pub(super) fn leave(&self, member: u64) {
        self.state().expected.remove(&member);
        self.changed.notify_one();
    }

    /// Closes the queue; no more streams will join.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next batch: frames of one shape on one device. Returns `None` at the end.
    pub(super) fn batch(&self, limits: Limits) -> Option<Vec<Request>> {
        let mut state = self.state();
        loop {
            match state.remaining(limits, Instant::now()) {
                Some(Duration::ZERO) => return Some(state.take(limits.frames)),
                Some(remaining) => {
                    let waited = self.changed.wait_timeout(state, remaining);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                None if state.closed => return None,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl State {
    /// How long the next batch may still wait; `None` if no frame is waiting.
    fn remaining(&mut self, limits: Limits, now: Instant) -> Option<Duration> {
        self.waiting.retain(|request| !request.answer.is_closed());
        let oldest = self.waiting.front()?;
        let alike = self.waiting.iter().filter(|request| is_alike(request, oldest)).count();
        if alike >= limits.frames || self.waiting.len() >= self.expected.len() {
            return Some(Duration::ZERO);
        }
        let remaining = limits.wait.saturating_sub(now.saturating_duration_since(oldest.arrived));
        if remaining.is_zero() {
            self.expected = self.waiting.iter().map(|request| request.member).collect();
        }
        Some(remaining)
    }

    /// Takes the oldest frame and those like it, oldest first.
    fn take(&mut self, most: usize) -> Vec<Request> {
        let mut batch: Vec<Request> = Vec::new();
        let mut place = 0;
        while batch.len() < most && place < self.waiting.len() {
            let fits = match (batch.first(), self.waiting.get(place)) {
                (Some(first), Some(request)) => is_alike(request, first),
                _ => true,
            };
            if fits {
                batch.extend(self.waiting.remove(place));
            } else {
                place += 1;
            }
        }
        batch
    }
}

fn is_alike(one: &Request, other: &Request) -> bool {
    one.pixels.dims() == other.pixels.dims()
        && one.pixels.dtype() == other.pixels.dtype()
        && one.pixels.device().same_device(other.pixels.device())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    type Answer = oneshot::Receiver<Result<Tensor>>;

    const LIMITS: Limits = Limits { frames: 3, wait: Duration::from_millis(10) };

    fn request(member: u64, width: usize, arrived: Instant) -> (Request, Answer) {
        let (answer, answered) = oneshot::channel();
        let pixels = Tensor::zeros((2, width, 3), DType::U8, &Device::Cpu).unwrap();
        (Request { member, pixels, arrived, sizes: None, answer }, answered)
    }

    /// A state with `members` streams, the first of which have sent frames of these widths, all at `at`.
    fn state(members: u64, at: Instant, widths: &[usize]) -> (State, Vec<Answer>) {
        let requests = (0..).zip(widths).map(|(member, width)| request(member, *width, at));
        let (waiting, answers): (Vec<_>, Vec<_>) = requests.unzip();
        let expected = (0..members).collect();
        (State { waiting: waiting.into(), members, expected, closed: false }, answers)
    }

    fn widths(batch: &[Request]) -> Vec<usize> {
        batch.iter().map(|request| request.pixels.dims()[1]).collect()
    }

    #[test]
    fn a_batch_begins_when_it_is_full_or_everyone_is_there_or_the_oldest_waited_long_enough() {
        let at = Instant::now();
        let (mut some, _answers) = state(8, at, &[4, 4]);
        assert_eq!(some.remaining(LIMITS, at + Duration::from_millis(4)), Some(Duration::from_millis(6)));
        assert_eq!(some.remaining(LIMITS, at + Duration::from_millis(11)), Some(Duration::ZERO));
        let (mut all, _answers) = state(2, at, &[4, 4]);
        assert_eq!(all.remaining(LIMITS, at), Some(Duration::ZERO), "nobody is left to wait for");
        let (mut full, _answers) = state(8, at, &[4, 6, 4, 4]);
        assert_eq!(full.remaining(LIMITS, at), Some(Duration::ZERO));
        let (mut none, _answers) = state(8, at, &[]);
        assert_eq!(none.remaining(LIMITS, at), None);
    }

    #[test]
    fn a_stream_that_was_waited_for_in_vain_is_not_waited_for_until_it_sends_again() {
        let at = Instant::now();
        let (both, _answers) = state(2, at, &[4]);
        let queue = Queue { state: Mutex::new(both), ..Queue::default() };
        let mut state = queue.state();
        let late = at + LIMITS.wait;
        assert_eq!(state.remaining(LIMITS, late), Some(Duration::ZERO));
        state.take(3);
        let (quick, _answer) = request(0, 4, late);
        state.waiting.push_back(quick);
        assert_eq!(state.remaining(LIMITS, late), Some(Duration::ZERO), "not again");
        state.take(3);
        drop(state);
        let (slow, _answer) = request(1, 4, late);
        queue.push(slow);
        assert_eq!(queue.state().remaining(LIMITS, late), Some(LIMITS.wait), "the quick one may come");
    }

    #[test]
    fn the_longest_wait_that_can_be_asked_for_is_one() {
        let at = Instant::now();
        let (mut some, _answers) = state(2, at, &[4]);
        assert_eq!(some.remaining(Limits { frames: 3, wait: Duration::MAX }, at), Some(Duration::MAX));
    }

    #[test]
    fn the_oldest_picture_decides_the_shape_and_the_others_keep_their_order() {
        let (mut state, _answers) = state(8, Instant::now(), &[4, 6, 4, 8, 4, 4, 6]);
        assert_eq!(widths(&state.take(3)), [4, 4, 4]);
        assert_eq!(widths(&state.take(3)), [6, 6]);
        assert_eq!(widths(&state.take(3)), [8]);
        assert_eq!(widths(&state.take(3)), [4]);
    }

    #[test]
    fn a_picture_whose_stream_is_gone_is_left_out() {
        let at = Instant::now();
        let (mut state, mut answers) = state(8, at, &[4, 4]);
        answers.remove(0);
        state.remaining(LIMITS, at);
        assert_eq!(state.waiting.len(), 1);
    }
}
