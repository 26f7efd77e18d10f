//! The processing thread: the user's code, one call at a time.

use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use candle_core::Device;
use cutrickle_error::chain;
use cutrickle_frame::{AudioFrame, VideoFrame};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::egress::Item;
use crate::generate::Grid;
use crate::gpu::{ProcessTimer, TimedPicture};
use crate::panics;
use crate::queue::{FrameQueue, Picture, Work};
use crate::stream::Stream;
use crate::{BoxError, EndReason, Finished, FrameProcessor, Generated, Result, Started, StreamContext};

/// Runs a prototype's `initialize` on a thread of its own, where it may compute for as long as it likes. Gives the
/// initialised prototype back.
///
/// # Errors
/// The processor's own; a panic becomes one.
pub async fn initialize<P: FrameProcessor>(mut processor: P, device: &Device) -> Result<P> {
    let (runtime, device) = (Handle::current(), device.clone());
    let (done, initialized) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("initialize".into()).spawn(move || {
        let result = guarded(&runtime, "initialize", processor.initialize(&device)).map(|()| processor);
        // Nobody waits any more when the server went away meanwhile.
        let _ = done.send(result);
    })?;
    initialized.await?
}

/// Runs `processor` over `frames` until they end. Dropping the sender at its end is what ends the output.
pub(crate) fn run<P: FrameProcessor>(
    processor: P,
    stream: &Arc<Stream>,
    frames: &FrameQueue,
    output: mpsc::Sender<Item>,
    runtime: Handle,
) {
    Processing {
        processor,
        stream,
        output,
        runtime,
        at_work: VecDeque::new(),
        timer: ProcessTimer::on(&stream.options.device),
    }
    .run(frames);
}

struct Processing<'a, P> {
    processor: P,
    stream: &'a Arc<Stream>,
    output: mpsc::Sender<Item>,
    runtime: Handle,
    /// Pictures that the processor has been given and not answered, oldest first.
    at_work: VecDeque<AtWork>,
    timer: ProcessTimer,
}

/// A picture in the processor's hands.
struct AtWork {
    timestamp: i64,
    arrived: Instant,
    started: Instant,
    _timed: TimedPicture,
}

enum Next {
    Params,
    /// The answer to a picture at work.
    Finished,
    Work(Work),
    /// A stream without input makes the picture of this moment.
    Moment(i64),
    End,
}

impl<P: FrameProcessor> Processing<'_, P> {
    fn run(mut self, frames: &FrameQueue) {
        let context = StreamContext::of(self.stream);
        match guarded(&self.runtime, "on_stream_start", self.processor.on_stream_start(&context)) {
            Ok(()) => self.work(frames),
            Err(e) => {
                self.stream.fail(EndReason::ProcessorFailed, e);
                self.give_up(frames);
            }
        }
        if let Err(e) = guarded(&self.runtime, "on_stream_stop", self.processor.on_stream_stop()) {
            self.stream.error(e);
        }
    }

    /// Nothing reaches a processor that could not start.
    fn give_up(&self, frames: &FrameQueue) {
        while let Some(work) = self.runtime.block_on(frames.pop()) {
            if let Work::Video(_) = work {
                self.stream.recorder.dropped.add(1);
            }
        }
    }

    fn work(&mut self, frames: &FrameQueue) {
        let started = tokio::time::Instant::now();
        let mut grid = (!self.stream.ends.input).then(Grid::default);
        let mut due = None;
        loop {
            if let (Some(grid), None) = (&mut grid, due) {
                due = Some(grid.next(ticks(started.elapsed()), self.stream.most_fps()));
            }
            let next = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = self.processor.video_ready(), if !self.at_work.is_empty() => Next::Finished,
                    () = self.stream.params_changed() => Next::Params,
                    work = frames.pop() => work.map_or(Next::End, Next::Work),
                    moment = reached(started, due) => Next::Moment(moment),
                }
            });
            match next {
                Next::Params => self.update_params(),
                Next::Finished => self.finish(),
                Next::Work(Work::Video(picture)) => self.video(picture),
                Next::Work(Work::Audio(frame)) => self.audio(frame),
                Next::Moment(timestamp) => {
                    due = None;
                    self.generate(timestamp);
                }
                Next::End => break,
            }
        }
        while !self.at_work.is_empty() {
            self.runtime.block_on(self.processor.video_ready());
            self.finish();
        }
    }

    fn update_params(&mut self) {
        let (processor, runtime) = (&mut self.processor, &self.runtime);
        self.stream.hand_over_params(|params| runtime.block_on(caught(processor.update_params(params))));
    }

    fn video(&mut self, picture: Picture) {
        let Picture { frame, arrived } = picture;
        let timestamp = frame.timestamp();
        let frame = match frame.to(&self.stream.options.device) {
            Ok(frame) => frame,
            Err(e) => return self.failed(chain(&e)),
        };
        let started = Instant::now();
        self.stream.recorder.wait.observe(started.saturating_duration_since(arrived).as_secs_f64());
        let at_work = AtWork { timestamp, arrived, started, _timed: self.timer.begin() };
        self.stream.recorder.processed.add(1);
        match guarded(&self.runtime, "process_video", self.processor.start_video(frame)) {
            Ok(started) => {
                self.at_work.push_back(at_work);
                if let Started::Done(frame) = started {
                    self.finished(Finished { timestamp, result: Ok(frame) });
                }
            }
            Err(e) => self.answered(&at_work, Err(e)),
        }
    }

    /// Takes an answer that is ready.
    fn finish(&mut self) {
        let finish = async { Ok(self.processor.finish_video().await) };
        match guarded(&self.runtime, "finish_video", finish) {
            Ok(Some(finished)) => self.finished(finished),
            Ok(None) => {}
            // Which picture it was cannot be known: the one that has waited longest bears it.
            Err(e) => match self.at_work.pop_front() {
                Some(at_work) => self.answered(&at_work, Err(e)),
                None => self.stream.error(e),
            },
        }
    }

    fn finished(&mut self, Finished { timestamp, result }: Finished) {
        let Some(place) = self.at_work.iter().position(|at_work| at_work.timestamp == timestamp) else {
            return self.stream.error("finish_video: an answer to a picture that is not at work");
        };
        // Pictures come out in order: what is older was lost in the processor.
        let lost = if let Ok(Some(_)) = &result { place } else { 0 };
        for _ in self.at_work.drain(..lost) {
            self.stream.recorder.failed.add(1);
            self.stream.error("finish_video: a picture was not answered");
        }
        if let Some(at_work) = self.at_work.remove(place - lost) {
            self.answered(&at_work, result.map_err(|e| format!("process_video: {}", chain(&*e)).into()));
        }
    }

    fn answered(&mut self, of: &AtWork, result: Result<Option<VideoFrame>>) {
        self.stream.recorder.process.observe(of.started.elapsed().as_secs_f64());
        self.done(result.is_ok());
        match result {
            // A processor may build its answer from scratch: the picture's time is not its business.
            Ok(Some(frame)) => self.send(frame.at(of.timestamp), of.arrived),
            Ok(None) => self.stream.recorder.withheld.add(1),
            Err(e) => self.failed(e),
        }
    }

    fn generate(&mut self, timestamp: i64) {
        let arrived = Instant::now();
        self.stream.input_seen();
        let result = guarded(&self.runtime, "generate", self.processor.generate(timestamp));
        self.done(result.is_ok());
        match result {
            Ok(Generated { video, audio }) => {
                self.send_sound(audio);
                if let Some(frame) = video {
                    self.stream.recorder.picture_in(arrived);
                    self.stream.recorder.processed.add(1);
                    self.stream.recorder.process.observe(arrived.elapsed().as_secs_f64());
                    self.send(frame.at(timestamp), arrived);
                }
            }
            Err(e) => self.stream.error(e),
        }
    }

    fn done(&self, ok: bool) {
        self.stream.processed(ok);
        if ok && !self.stream.ends.output {
            // Nothing else shows that such a stream gets on.
            self.stream.output_seen();
        }
    }

    fn send(&self, frame: VideoFrame, arrived: Instant) {
        // The encoder being slower than the processor is the processor being slow: pictures wait, and are dropped,
        // before it.
        if self.output.blocking_send(Item::Video { frame, arrived }).is_err() {
            self.stream.recorder.dropped.add(1);
        }
    }

    fn send_sound(&self, frames: Vec<AudioFrame>) {
        for frame in frames {
            if self.output.blocking_send(Item::Audio(frame)).is_err() {
                return;
            }
        }
    }

    fn failed(&self, e: impl std::fmt::Display) {
        self.stream.recorder.failed.add(1);
        self.stream.error(e);
    }

    fn audio(&mut self, frame: AudioFrame) {
        match guarded(&self.runtime, "process_audio", self.processor.process_audio(frame)) {
            Ok(frames) => self.send_sound(frames),
            Err(e) => self.stream.error(e),
        }
    }
}

/// Waits for a moment of a stream that started at `started`; for ever where there is none.
async fn reached(started: tokio::time::Instant, due: Option<i64>) -> i64 {
    match due {
        Some(due) => {
            let nanos = u64::try_from(due.saturating_mul(100_000) / 9).unwrap_or_default();
            tokio::time::sleep_until(started + Duration::from_nanos(nanos)).await;
            due
        }
        None => std::future::pending().await,
    }
}

/// In 90 kHz ticks.
fn ticks(time: Duration) -> i64 {
    i64::try_from(time.as_nanos() * 9 / 100_000).unwrap_or(i64::MAX)
}

/// Drives one of the user's futures on this thread. A panic becomes an error: it costs the frame, not the stream.
fn guarded<T>(runtime: &Handle, what: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    runtime.block_on(caught(future)).map_err(|e| format!("{what}: {}", chain(&*e)).into())
}

/// The user's future with a panic made an error.
pub(crate) async fn caught<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match panics::catch(|| future.as_mut().poll(cx)) {
        Ok(poll) => poll,
        Err(panic) => Poll::Ready(Err(BoxError::from(format!("panicked: {}", message(&*panic))))),
    })
    .await
}

pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}
