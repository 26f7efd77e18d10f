//! The processing thread: the user's code, one call at a time.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use cutrickle_frame::AudioFrame;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::egress::Item;
use crate::queue::{FrameQueue, Picture, Work};
use crate::stream::{Stream, one_line};
use crate::{BoxError, FrameProcessor, Result, StreamContext};

/// Runs a prototype's `initialize` on a thread of its own, where it may compute for as long as it likes. Gives the
/// initialised prototype back.
///
/// # Errors
/// The processor's own; a panic becomes one.
pub async fn initialize<P: FrameProcessor>(mut processor: P) -> Result<P> {
    let runtime = Handle::current();
    let (done, initialized) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("initialize".into()).spawn(move || {
        let result = guarded(&runtime, "initialize", processor.initialize()).map(|()| processor);
        // Nobody waits any more when the server went away meanwhile.
        let _ = done.send(result);
    })?;
    initialized.await?
}

/// Runs `processor` over `frames` until they end. Dropping the sender at its end is what ends the output.
pub(crate) fn run<P: FrameProcessor>(
    processor: P,
    stream: &Stream,
    frames: &FrameQueue,
    output: mpsc::Sender<Item>,
    runtime: Handle,
) {
    Processing { processor, stream, output, runtime }.run(frames);
}

struct Processing<'a, P> {
    processor: P,
    stream: &'a Stream,
    output: mpsc::Sender<Item>,
    runtime: Handle,
}

enum Next {
    Params,
    Work(Work),
    End,
}

impl<P: FrameProcessor> Processing<'_, P> {
    fn run(mut self, frames: &FrameQueue) {
        let context = StreamContext {
            id: self.stream.id.clone(),
            params: self.stream.params(),
            device: self.stream.options.device.clone(),
        };
        if let Err(e) = guarded(&self.runtime, "on_stream_start", self.processor.on_stream_start(&context)) {
            self.stream.fail(e);
        }
        loop {
            let next = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = self.stream.params_changed() => Next::Params,
                    work = frames.pop() => work.map_or(Next::End, Next::Work),
                }
            });
            match next {
                Next::Params => self.update_params(),
                Next::Work(Work::Video(picture)) => self.video(picture),
                Next::Work(Work::Audio(frame)) => self.audio(frame),
                Next::End => break,
            }
        }
        if let Err(e) = guarded(&self.runtime, "on_stream_stop", self.processor.on_stream_stop()) {
            self.stream.error(e);
        }
    }

    fn update_params(&mut self) {
        let params = self.stream.take_pending();
        if params.is_empty() {
            return;
        }
        let result = guarded(&self.runtime, "update_params", self.processor.update_params(&params));
        if let Err(e) = result {
            self.stream.error(e);
        }
    }

    fn video(&mut self, picture: Picture) {
        let Picture { frame, arrived } = picture;
        let timestamp = frame.timestamp();
        let frame = match frame.to(&self.stream.options.device) {
            Ok(frame) => frame,
            Err(e) => return self.failed(e),
        };
        let started = Instant::now();
        self.stream.recorder.processed.add(1);
        let result = guarded(&self.runtime, "process_video", self.processor.process_video(frame));
        self.stream.recorder.process.observe(started.elapsed().as_secs_f64());
        self.stream.processed(result.is_ok());
        match result {
            // A processor may build its answer from scratch: the picture's time is not its business.
            Ok(Some(frame)) => {
                let item = Item::Video { frame: frame.at(timestamp), arrived };
                // The encoder being slower than the processor is the processor being slow: pictures wait, and
                // are dropped, before it.
                if self.output.blocking_send(item).is_err() {
                    self.stream.recorder.dropped.add(1);
                }
            }
            Ok(None) => self.stream.recorder.withheld.add(1),
            Err(e) => self.failed(e),
        }
    }

    fn failed(&self, e: impl std::fmt::Display) {
        self.stream.recorder.failed.add(1);
        self.stream.error(e);
    }

    fn audio(&mut self, frame: AudioFrame) {
        match guarded(&self.runtime, "process_audio", self.processor.process_audio(frame)) {
            Ok(frames) => {
                for frame in frames {
                    if self.output.blocking_send(Item::Audio(frame)).is_err() {
                        return;
                    }
                }
            }
            Err(e) => self.stream.error(e),
        }
    }
}

/// Drives one of the user's futures on this thread. A panic becomes an error: it costs the frame, not the stream.
fn guarded<T>(runtime: &Handle, what: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    // The state that a panic leaves behind is the user's own, who is told in the trait's documentation.
    match catch_unwind(AssertUnwindSafe(|| runtime.block_on(future))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(format!("{what}: {}", one_line(&e)).into()),
        Err(panic) => Err(BoxError::from(format!("{what} panicked: {}", message(&*panic)))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}
