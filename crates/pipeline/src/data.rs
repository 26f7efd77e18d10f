//! The data channel: JSON lines emitted by a processor, sent in batches.
//!
//! A line never waits for the network. Lines that are not published in time make room for newer ones, and are
//! counted.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cutrickle_error::chain;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::Error;
use crate::ends::DocumentQueue;
use crate::metrics::Counter;
use crate::stream::Stream;

/// The longest line in bytes, including its newline; readers of the data channel accept no more.
const MAX_LINE: usize = 64 << 10;
/// How long after the first line of a batch it is sent.
const BATCH: Duration = Duration::from_millis(333);
/// After this long without a line, an empty batch shows that the channel is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// How many bytes of lines may wait for the publisher, which also bounds the memory they use: at least one
/// batch of the longest lines, and seconds of usual ones.
const MAX_WAITING: usize = 1 << 20;

/// The processor's handle for emitting data. Cheap to clone; all clones belong to the same stream.
#[derive(Clone)]
pub(crate) struct Emitter(Option<Arc<Lines>>);

/// Lines on their way to the publisher.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Lines accepted from the processor, and how many of them were lost.
    pub(crate) emitted: Counter,
    pub(crate) dropped: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The lines one after another, each with its newline, so that a line uses only its own bytes.
    text: VecDeque<u8>,
    lines: u64,
}

impl Emitter {
    /// An emitter whose lines are discarded.
    pub(crate) fn nowhere() -> Self {
        Self(None)
    }

    pub(crate) fn to(lines: &Arc<Lines>) -> Self {
        Self(Some(Arc::clone(lines)))
    }

    pub(crate) fn emit(&self, value: &impl Serialize) -> Result<(), Error> {
        let Some(lines) = &self.0 else { return Ok(()) };
        let mut line = serde_json::to_vec(value)
            .map_err(|e| Error::invalid("data that is emitted must be JSON").because(e))?;
        line.push(b'\n');
        if line.len() > MAX_LINE {
            let length = line.len();
            return Err(Error::invalid(format!(
                "a line of data of {length} bytes: at most {MAX_LINE} are allowed"
            )));
        }
        lines.push(&line);
        Ok(())
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Emitter" } else { "Emitter(nowhere)" })
    }
}

impl Lines {
    // Locked once per line by the processor and once per batch by the publisher; never contended.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        let mut dropped = 0;
        while waiting.text.len().saturating_add(line.len()) > MAX_WAITING {
            let Some(end) = waiting.text.iter().position(|byte| *byte == b'\n') else { break };
            waiting.text.drain(..=end);
            dropped += 1;
        }
        if waiting.text.capacity().saturating_sub(waiting.text.len()) < line.len() {
            // Double the capacity, but not beyond the limit on waiting bytes.
            let length = waiting.text.len();
            let doubled = waiting.text.capacity().saturating_mul(2).min(MAX_WAITING);
            waiting.text.reserve_exact(doubled.saturating_sub(length).max(line.len()));
        }
        waiting.text.extend(line);
        waiting.lines = waiting.lines.saturating_add(1).saturating_sub(dropped);
        drop(waiting);
        self.dropped.add(dropped);
        self.emitted.add(1);
        self.arrived.notify_one();
    }

    /// Takes all waiting lines as the body of a segment, with their number.
    fn take(&self) -> (Bytes, u64) {
        let taken = std::mem::take(&mut *self.waiting());
        (Bytes::from(Vec::from(taken.text)), taken.lines)
    }
}

/// Publishes a stream's data until its media have ended, then the remaining lines.
pub(crate) async fn run(stream: Arc<Stream>, lines: Arc<Lines>, channel: DocumentQueue) {
    let mut finished = false;
    while !finished && !channel.is_closed() {
        let silent = Instant::now() + KEEP_ALIVE;
        tokio::select! {
            () = lines.arrived.notified() => {
                let due = Instant::now() + BATCH;
                tokio::select! {
                    () = sleep_until(due) => {}
                    () = stream.media_ended() => finished = true,
                }
            }
            () = sleep_until(silent) => {}
            () = stream.media_ended() => finished = true,
        }
        if channel.is_closed() {
            break;
        }
        let (body, count) = lines.take();
        // At the end, there is no channel to keep alive.
        if finished && count == 0 {
            break;
        }
        let batch = Batch { lines: &lines, count, delivered: false };
        // Readers of lines see an empty line as an empty batch, but its byte still wakes the channel's
        // readers.
        let body = if count == 0 { Bytes::from_static(b"\n") } else { body };
        match channel.send(body).await {
            Ok(()) => batch.delivered(),
            Err(_) if channel.is_closed() => break,
            Err(e) => stream.error(format_args!("data: {}", chain(&*e))),
        }
    }
    // If the channel accepts nothing more, lines emitted until the end are counted as dropped.
    stream.media_ended().await;
    lines.dropped.add(lines.take().1);
}

/// Lines on their way to the server. They count as dropped unless the server is known to have them, even if
/// sending is cancelled.
struct Batch<'a> {
    lines: &'a Lines,
    count: u64,
    delivered: bool,
}

impl Batch<'_> {
    fn delivered(mut self) {
        self.delivered = true;
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.delivered {
            self.lines.dropped.add(self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_batch_is_the_lines_in_order_each_with_its_end() {
        let lines = Arc::new(Lines::default());
        let emitter = Emitter::to(&lines);
        emitter.emit(&json!({"n": 1, "text": "two\nlines"})).unwrap();
        emitter.emit(&json!([2])).unwrap();
        assert_eq!(lines.take(), (Bytes::from_static(b"{\"n\":1,\"text\":\"two\\nlines\"}\n[2]\n"), 2));
        assert_eq!(lines.take(), (Bytes::new(), 0));
    }

    #[test]
    fn a_line_that_no_reader_takes_is_refused_to_its_emitter() {
        let lines = Arc::new(Lines::default());
        let emitter = Emitter::to(&lines);
        // Two quotes and the newline are added.
        emitter.emit(&"x".repeat(MAX_LINE - 3)).unwrap();
        let error = emitter.emit(&"x".repeat(MAX_LINE - 2)).unwrap_err();
        assert!(error.is_invalid() && error.to_string().contains("65537 bytes"), "{error}");
        assert_eq!(lines.emitted.get(), 1);
    }

    #[test]
    fn when_nobody_takes_them_the_oldest_lines_go_and_are_counted() {
        let lines = Arc::new(Lines::default());
        let emitter = Emitter::to(&lines);
        for n in 0..1_000_000u32 {
            emitter.emit(&n).unwrap();
        }
        let (body, kept) = lines.take();
        assert!(body.len() <= MAX_WAITING && body.ends_with(b"\n999999\n"));
        assert_eq!(kept + lines.dropped.get(), lines.emitted.get());
    }

    #[test]
    fn the_shortest_lines_take_no_more_memory_than_the_longest() {
        for line in ["", "x", &"x".repeat(MAX_LINE - 3)] {
            let lines = Arc::new(Lines::default());
            let emitter = Emitter::to(&lines);
            for _ in 0..2 * MAX_WAITING / (line.len() + 3) {
                emitter.emit(&line).unwrap();
                assert!(lines.waiting().text.capacity() <= MAX_WAITING);
            }
            let (body, kept) = lines.take();
            assert!(body.len() > MAX_WAITING - MAX_LINE && lines.dropped.get() > 0);
            assert_eq!(body.iter().filter(|byte| **byte == b'\n').count() as u64, kept);
            assert_eq!(kept + lines.dropped.get(), lines.emitted.get());
        }
    }

    #[test]
    fn without_a_reader_emitting_costs_nothing_and_succeeds() {
        Emitter::nowhere().emit(&"x".repeat(2 * MAX_LINE)).unwrap();
    }
}
