//! Data beside the pictures: JSON lines that a processor emits, sent in batches.
//!
//! A line never waits for the network: what the publishing side does not take in time makes room for newer lines, and
//! is counted.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use cutrickle_error::chain;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::Error;
use crate::documents::Documents;
use crate::metrics::Counter;
use crate::stream::Stream;

/// Longest line, its end included: what readers of the data channel accept.
const MOST_LINE: usize = 64 << 10;
/// Lines go out together this long after the first of them.
const BATCH: Duration = Duration::from_millis(333);
/// After so long without a line an empty batch shows that the channel lives.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// Bytes of lines that may wait for the publisher: at least one batch of the longest lines, and seconds of usual ones.
const MOST_WAITING: usize = 1 << 20;

/// Where a processor puts its data. Cheap to clone; all clones are the same stream's.
#[derive(Clone)]
pub(crate) struct Emitter(Option<Arc<Lines>>);

/// Lines on their way to the publisher.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Lines that were taken from a processor, and those of them that nobody will see.
    pub(crate) emitted: Counter,
    pub(crate) dropped: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Bytes>,
    bytes: usize,
}

impl Emitter {
    /// An emitter whose lines nobody reads.
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
        if line.len() > MOST_LINE {
            let length = line.len();
            return Err(Error::invalid(format!(
                "a line of data of {length} bytes: at most {MOST_LINE} are allowed"
            )));
        }
        lines.push(line.into());
        Ok(())
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Emitter" } else { "Emitter(nowhere)" })
    }
}

impl Lines {
    // Taken once per line by the processor and once per batch by the publisher: never contended.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: Bytes) {
        let mut waiting = self.waiting();
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        while waiting.bytes > MOST_WAITING {
            let Some(oldest) = waiting.lines.pop_front() else { break };
            waiting.bytes -= oldest.len();
            self.dropped.add(1);
        }
        drop(waiting);
        self.emitted.add(1);
        self.arrived.notify_one();
    }

    /// Everything that waits, as the body of a segment, and how many lines that is.
    fn take(&self) -> (Bytes, u64) {
        let taken = std::mem::take(&mut *self.waiting());
        let mut body = BytesMut::with_capacity(taken.bytes);
        for line in &taken.lines {
            body.put_slice(line);
        }
        (body.freeze(), taken.lines.len() as u64)
    }
}

/// Publishes a stream's data until its media have ended, then what is left, and closes the channel.
pub(crate) async fn run(stream: Arc<Stream>, lines: Arc<Lines>, mut documents: Documents) {
    let mut finished = false;
    while !finished {
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
        let (body, count) = lines.take();
        // At the end there is nothing to keep alive.
        if finished && count == 0 {
            break;
        }
        // An empty line is an empty batch to a reader of lines, and yet a byte that wakes the channel's readers.
        let body = if count == 0 { Bytes::from_static(b"\n") } else { body };
        if let Err(e) = documents.send(body).await {
            lines.dropped.add(count);
            stream.error(format_args!("data: {}", chain(&e)));
        }
    }
    if let Err(e) = documents.close().await {
        stream.error(format_args!("ending the data: {}", chain(&e)));
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
        // Two quotes and the line's end come to it.
        emitter.emit(&"x".repeat(MOST_LINE - 3)).unwrap();
        let error = emitter.emit(&"x".repeat(MOST_LINE - 2)).unwrap_err();
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
        assert!(body.len() <= MOST_WAITING && body.ends_with(b"\n999999\n"));
        assert_eq!(kept + lines.dropped.get(), lines.emitted.get());
    }

    #[test]
    fn without_a_reader_emitting_costs_nothing_and_succeeds() {
        Emitter::nowhere().emit(&"x".repeat(2 * MOST_LINE)).unwrap();
    }
}
