//! The processing thread, which runs the user's code, one call at a time.

use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use candle_core::Device;
use cutrickle_error::chain;
use cutrickle_frame::{AudioFrame, Origin, VideoFrame};
use cutrickle_media::{Ticks, Timestamp};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::egress::Item;
use crate::generate::Grid;
use crate::gpu::{ProcessTimer, TimedPicture};
use crate::panics;
use crate::queue::{FrameQueue, Work};
use crate::stage::{Finished, Running, Started};
use crate::stream::Stream;
use crate::{BoxError, EndReason, Generated, Result, Stage, StreamContext};

/// Runs a prototype's `initialize` on its own thread, where it may compute as long as needed, and returns the
/// initialised prototype.
///
/// # Errors
/// Fails if the processor does; a panic becomes an error.
pub async fn initialize<S: Stage>(mut stage: S, device: &Device) -> Result<S> {
    let (runtime, device) = (Handle::current(), device.clone());
    let (done, initialized) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("initialize".into()).spawn(move || {
        let result = guarded(&runtime, "initialize", stage.initialize(&device)).map(|()| stage);
        // If the server has gone in the meantime, nobody waits for the result.
        let _ = done.send(result);
    })?;
    initialized.await?
}

/// Runs an instance of `stage` on `frames` until they end. Dropping the sender then ends the output.
pub(crate) fn run<S: Stage>(
    stage: &S,
    stream: &Arc<Stream>,
    frames: &FrameQueue,
    output: mpsc::Sender<Item>,
    runtime: Handle,
) {
    let context = StreamContext::of(stream);
    match guarded(&runtime, "on_stream_start", stage.start(&context)) {
        Ok(running) => {
            let timer = ProcessTimer::on(&stream.options.device);
            let at_work = VecDeque::new();
            Processing { running, stream, output, runtime, at_work, timer }.run(frames);
        }
        Err(e) => {
            stream.fail(EndReason::ProcessorFailed, e);
            give_up(stream, frames, &runtime);
        }
    }
}

/// Drops all frames of a processor that could not start.
fn give_up(stream: &Stream, frames: &FrameQueue, runtime: &Handle) {
    while let Some(work) = runtime.block_on(frames.pop()) {
        if let Work::Video(_) = work {
            stream.recorder.counts.frames_dropped.add(1);
        }
    }
}

struct Processing<'a, R> {
    running: R,
    stream: &'a Arc<Stream>,
    output: mpsc::Sender<Item>,
    runtime: Handle,
    /// Frames that the processor has received and not answered, oldest first.
    at_work: VecDeque<AtWork>,
    timer: ProcessTimer,
}

/// A frame that the processor is working on.
struct AtWork {
    timestamp: Timestamp,
    origin: Origin,
    started: Instant,
    _timed: TimedPicture,
}

enum Next {
    Params,
    /// A frame at work has an answer.
    Finished,
    Work(Work),
    /// In a stream without input, it is time to generate a frame.
    Moment(Ticks),
    End,
}

impl<R: Running> Processing<'_, R> {
    fn run(mut self, frames: &FrameQueue) {
        self.work(frames);
        if let Err(e) = guarded(&self.runtime, "on_stream_stop", self.running.stop()) {
            self.stream.error(e);
        }
    }

    fn work(&mut self, frames: &FrameQueue) {
        let started = tokio::time::Instant::now();
        let mut grid = (!self.stream.ends.input).then(Grid::default);
        let mut due = None;
        loop {
            if let (Some(grid), None) = (&mut grid, due) {
                due = Some(grid.next(started.elapsed().into(), self.stream.max_fps()));
            }
            let next = self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = self.running.video_ready(), if !self.at_work.is_empty() => Next::Finished,
                    () = self.stream.params_changed() => Next::Params,
                    work = frames.pop() => work.map_or(Next::End, Next::Work),
                    moment = reached(started, due) => Next::Moment(moment),
                }
            });
            match next {
                Next::Params => self.update_params(),
                Next::Finished => self.finish(),
                Next::Work(Work::Video(frame)) => self.video(frame),
                Next::Work(Work::Audio(frame)) => self.audio(frame),
                Next::Moment(moment) => {
                    due = None;
                    self.generate(Timestamp::ZERO + moment);
                }
                Next::End => break,
            }
        }
        while !self.at_work.is_empty() {
            self.runtime.block_on(self.running.video_ready());
            self.finish();
        }
    }

    fn update_params(&mut self) {
        let (running, runtime) = (&mut self.running, &self.runtime);
        self.stream.hand_over_params(|params| runtime.block_on(caught(running.update_params(params))));
    }

    fn video(&mut self, frame: VideoFrame) {
        let (timestamp, origin) = (frame.timestamp(), frame.origin());
        let frame = match frame.to(&self.stream.options.device) {
            Ok(frame) => frame,
            Err(e) => return self.failed(chain(&e)),
        };
        let started = Instant::now();
        let waited = started.saturating_duration_since(origin.arrived());
        self.stream.recorder.wait.observe(waited.as_secs_f64());
        let at_work = AtWork { timestamp, origin, started, _timed: self.timer.begin() };
        self.stream.recorder.counts.frames_processed.add(1);
        match guarded(&self.runtime, "process_video", self.running.start_video(frame)) {
            Ok(Started::Done(answer)) => {
                if answer.is_some() {
                    // Frames come out in order, so earlier frames without an answer were lost in the
                    // processor.
                    self.lost(self.at_work.len());
                }
                self.answered(&at_work, Ok(answer));
            }
            Ok(Started::AtWork) => self.at_work.push_back(at_work),
            Err(e) => self.answered(&at_work, Err(e)),
        }
    }

    /// Takes an answer that is ready.
    fn finish(&mut self) {
        let finish = async { Ok(self.running.finish_video().await) };
        match guarded(&self.runtime, "finish_video", finish) {
            Ok(Some(finished)) => self.finished(finished),
            Ok(None) => {}
            // It is not known which frame failed, so the error goes to the one that has waited longest.
            Err(e) => match self.at_work.pop_front() {
                Some(at_work) => self.answered(&at_work, Err(e)),
                None => self.stream.error(e),
            },
        }
    }

    fn finished(&mut self, Finished { id, result }: Finished) {
        let Some(place) = self.at_work.iter().position(|at_work| at_work.origin.id() == id) else {
            return self.stream.error("finish_video: an answer to a frame that is not at work");
        };
        let lost = if let Ok(Some(_)) = &result { place } else { 0 };
        self.lost(lost);
        if let Some(at_work) = self.at_work.remove(place - lost) {
            self.answered(&at_work, result.map_err(|e| format!("process_video: {}", chain(&*e)).into()));
        }
    }

    /// Counts the oldest `count` frames at work as lost.
    fn lost(&mut self, count: usize) {
        for _ in self.at_work.drain(..count) {
            self.stream.recorder.counts.frames_failed.add(1);
            self.stream.error("finish_video: a frame was not answered");
        }
    }

    fn answered(&self, of: &AtWork, result: Result<Option<VideoFrame>>) {
        self.stream.recorder.process.observe(of.started.elapsed().as_secs_f64());
        self.done(result.is_ok());
        match result {
            // A processor may build its answer from scratch, so the frame's identity and time are restored
            // here.
            Ok(Some(frame)) => self.send(frame.at(of.timestamp).of(of.origin)),
            Ok(None) => self.stream.recorder.counts.frames_withheld.add(1),
            Err(e) => self.failed(e),
        }
    }

    fn generate(&mut self, timestamp: Timestamp) {
        let origin = Origin::now();
        self.stream.input_seen();
        let result = guarded(&self.runtime, "generate", self.running.generate(timestamp));
        self.done(result.is_ok());
        match result {
            Ok(Generated { video, audio }) => {
                self.send_audio(audio);
                if let Some(frame) = video {
                    self.stream.recorder.frame_in(origin.arrived());
                    self.stream.recorder.counts.frames_processed.add(1);
                    self.stream.recorder.process.observe(origin.arrived().elapsed().as_secs_f64());
                    self.send(frame.at(timestamp).of(origin));
                }
            }
            Err(e) => self.stream.error(e),
        }
    }

    fn done(&self, ok: bool) {
        self.stream.processed(ok);
        if ok && !self.stream.ends.output {
            // Nothing else shows that such a stream is making progress.
            self.stream.output_seen();
        }
    }

    fn send(&self, frame: VideoFrame) {
        // An encoder that is slower than the processor makes the processor wait, so that frames wait and are
        // dropped in front of the processor.
        if self.output.blocking_send(Item::Video(frame)).is_err() {
            self.stream.recorder.counts.frames_dropped.add(1);
        }
    }

    fn send_audio(&self, frames: Vec<AudioFrame>) {
        for frame in frames {
            if self.output.blocking_send(Item::Audio(frame)).is_err() {
                return;
            }
        }
    }

    fn failed(&self, e: impl std::fmt::Display) {
        self.stream.recorder.counts.frames_failed.add(1);
        self.stream.error(e);
    }

    fn audio(&mut self, frame: AudioFrame) {
        match guarded(&self.runtime, "process_audio", self.running.process_audio(frame)) {
            Ok(frames) => self.send_audio(frames),
            Err(e) => self.stream.error(e),
        }
    }
}

/// Waits for a moment of a stream that started at `started`, or for ever if there is none.
async fn reached(started: tokio::time::Instant, due: Option<Ticks>) -> Ticks {
    match due {
        Some(due) => {
            tokio::time::sleep_until(started + due.duration()).await;
            due
        }
        None => std::future::pending().await,
    }
}

/// Drives a future of the user on this thread. A panic becomes an error, which costs the frame and not the
/// stream.
fn guarded<T>(runtime: &Handle, what: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    runtime.block_on(caught(future)).map_err(|e| format!("{what}: {}", chain(&*e)).into())
}

/// Turns a panic of the user's future into an error.
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
