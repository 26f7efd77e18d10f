//! One stream from start to end: what runs, and in which order it ends.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutrickle_error::chain;
use cutrickle_media::{Tracks, VideoCodec};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::compose::Part;
use crate::data::Lines;
use crate::egress::{self, Item};
use crate::ends::{Channel, Chunks, Control, DocumentQueue, Documents, Ends, Input, Output, SinkEnd, Task};
use crate::lateness::Lateness;
use crate::queue::{CodedQueue, FrameQueue};
use crate::stream::{Attached, Stream};
use crate::threads::Threads;
use crate::updates::Parameters;
use crate::{
    EndReason, Error, Metrics, MetricsRegistry, Params, Result, Stage, StreamOptions, StreamParams,
    StreamState, StreamStatus, Verdict, data, decode, events, process, state,
};

/// A running stream. Dropping it stops the stream.
pub struct Session {
    stream: Arc<Stream>,
}

/// How long events and data may take to be sent after the media have ended; a little longer than closing a
/// channel may take.
const LAST_WORDS: Duration = Duration::from_secs(3);

impl Session {
    /// Starts a stream called `id` between `ends`, with an instance of `stage`. `params` are the framework's
    /// own and the processor's. Returns at once; the stream runs in its own threads and tasks. Must be called
    /// on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::is_invalid`] if there is no usable end, or for a parameter of the wrong type or that no part
    /// of the processor accepts. Also fails if a thread cannot be started.
    pub fn start<S: Stage>(
        stage: &S,
        id: impl Into<String>,
        params: Params,
        ends: Ends,
        options: StreamOptions,
        metrics: &MetricsRegistry,
    ) -> Result<Self, Error> {
        let stage = stage.clone();
        let parts =
            Parts::start(id.into(), params, ends, options, metrics, stage.parts(), stage.takes_audio());
        let Parts { stream, threads, tasks, frames, items } = parts?;
        let (shared, runtime) = (Arc::clone(&stream), Handle::current());
        let started = threads.spawn("process", move || {
            process::run(&stage, &shared, &frames, items, runtime);
        });
        if started.is_err() {
            stream.stop(EndReason::Internal);
        }
        supervise(&stream, threads, tasks);
        started.map(|()| Self { stream })
    }

    /// The device of the stream's tensors.
    pub fn device(&self) -> &candle_core::Device {
        &self.stream.options.device
    }

    /// The stream's name.
    pub fn id(&self) -> &str {
        &self.stream.id
    }

    /// Updates parameters: either all of them take effect or none. They take effect when the processor
    /// accepts its own, before its next frame; the framework's own parameters alone take effect with the next
    /// frame.
    ///
    /// # Errors
    /// [`Error::is_invalid`] if one of the framework's own has the wrong type, or if no part of the processor
    /// accepts a parameter with that name; nothing is changed then. The [`Verdict`] tells whether the
    /// processor itself rejects them.
    pub fn update_params(&self, params: Params) -> Result<Verdict, Error> {
        let answer = self.stream.update_params(params)?;
        Ok(Verdict::new(answer, Arc::clone(&self.stream)))
    }

    /// The stream's state.
    pub fn state(&self) -> StreamState {
        self.stream.state().state
    }

    /// The stream's status.
    pub fn status(&self) -> StreamStatus {
        self.stream.status()
    }

    /// The stream's metrics.
    pub fn metrics(&self) -> Metrics {
        self.stream.metrics()
    }

    /// Asks the stream to stop: what is in flight is flushed, channels are closed in order, and hooks run.
    pub fn stop(&self) {
        self.stream.stop(EndReason::Stopped);
    }

    /// Waits until the stream has ended, by itself or after [`stop`](Self::stop).
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let stream = Arc::clone(&self.stream);
        async move { stream.ended().await }
    }

    /// Whether the stream has ended.
    pub fn is_ended(&self) -> bool {
        self.stream.outcome().is_some()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stream.stop(EndReason::Stopped);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.stream.id).finish_non_exhaustive()
    }
}

/// Both ends of a running stream, without the processor between them.
pub(crate) struct Parts {
    pub(crate) stream: Arc<Stream>,
    pub(crate) threads: Threads,
    /// The input for the processor.
    pub(crate) frames: Arc<FrameQueue>,
    /// The output of the processor.
    pub(crate) items: mpsc::Sender<Item>,
    pub(crate) tasks: Tasks,
}

/// The tasks that the end of a stream waits for.
pub(crate) struct Tasks {
    /// Serves the sink.
    media: JoinHandle<()>,
    /// Events and data, which end after the media.
    side: JoinSet<()>,
}

impl Parts {
    pub(crate) fn start(
        id: String,
        mut params: Params,
        ends: Ends,
        options: StreamOptions,
        metrics: &MetricsRegistry,
        parts: Vec<Part>,
        takes_audio: bool,
    ) -> Result<Self, Error> {
        if ends.are_missing() {
            return Err(Error::invalid("a stream needs an input, an output, or a data channel"));
        }
        let settings = StreamParams::take_from(&mut params)?;
        let parameters = Parameters::new(settings, params, parts)?;
        let Ends { source, sink, control, events, data } = ends;

        let (event_sender, event_queue) = events::queue();
        let lines = data.as_ref().map(|_| Arc::new(Lines::default()));
        let attached = Attached {
            input: source.is_some(),
            output: sink.is_some(),
            events: events.as_ref().map(|_| event_sender),
            data: lines.clone(),
        };
        let stream = Arc::new(Stream::new(id, parameters, options, metrics, attached));
        let threads = Threads::new(&stream);
        let frames = queue(&stream);
        // Audio that bypasses the processor must not wait for video that does not.
        let bypass = (!takes_audio && source.is_some()).then(|| queue(&stream));
        let audio = bypass.as_ref().unwrap_or(&frames);
        let started = start_output(&stream, &threads, sink, bypass.clone())
            .and_then(|output| start_input(&stream, &threads, source, &frames, audio).map(|()| output));
        let (items, media) = started.inspect_err(|_| {
            // What was started ends by itself once the stream is stopped and nothing arrives any more.
            stream.stop(EndReason::Internal);
            audio.close();
        })?;
        let mut side = JoinSet::new();
        if let Some(sink) = events {
            let (channel, documents) = DocumentQueue::new(&stream, Channel::Events);
            side.spawn(events::run(Arc::clone(&stream), event_queue, channel));
            side.spawn(serve_documents(Arc::clone(&stream), sink, documents, Channel::Events));
        }
        if let (Some(sink), Some(lines)) = (data, lines) {
            let (channel, documents) = DocumentQueue::new(&stream, Channel::Data);
            side.spawn(data::run(Arc::clone(&stream), lines, channel));
            side.spawn(serve_documents(Arc::clone(&stream), sink, documents, Channel::Data));
        }
        if let Some(control) = control {
            tokio::spawn(listen(Arc::clone(&stream), control));
        }
        Ok(Self { stream, threads, frames, items, tasks: Tasks { media, side } })
    }
}

fn queue(stream: &Arc<Stream>) -> Arc<FrameQueue> {
    let lateness = Lateness::of(&stream.options);
    let dropped = stream.recorder.counts.frames_dropped.clone();
    Arc::new(FrameQueue::new(lateness, stream.options.max_queue_size, dropped))
}

/// Starts the threads and tasks that fill `frames` with video and `audio`, which may be the same queue, with
/// audio.
fn start_input(
    stream: &Arc<Stream>,
    threads: &Threads,
    source: Option<Task<Input, ()>>,
    frames: &Arc<FrameQueue>,
    audio: &Arc<FrameQueue>,
) -> Result<(), Error> {
    let (shared, queue) = (Arc::clone(stream), Arc::clone(frames));
    let Some(source) = source else {
        // There is only what the processor generates, until the stream is stopped.
        stream.announce(Tracks { video: Some(VideoCodec::H264), ..Tracks::default() });
        tokio::spawn(async move {
            shared.stopped().await;
            queue.close();
        });
        return Ok(());
    };
    let dropped = stream.recorder.counts.frames_dropped.clone();
    let units = Arc::new(CodedQueue::new(Lateness::of(&stream.options), dropped));
    let (coded, runtime) = (Arc::clone(&units), Handle::current());
    threads.spawn("decode", move || decode::run(&shared, &coded, &queue, &runtime))?;
    let filling =
        Filling { stream: Arc::clone(stream), units, frames: Arc::clone(frames), audio: Arc::clone(audio) };
    tokio::spawn(filling.run(source));
    Ok(())
}

/// The task that runs the source. However it ends, the queues it fills are closed.
struct Filling {
    stream: Arc<Stream>,
    units: Arc<CodedQueue>,
    frames: Arc<FrameQueue>,
    audio: Arc<FrameQueue>,
}

impl Filling {
    async fn run(self, source: Task<Input, ()>) {
        let input = Input::new(Arc::clone(&self.stream), Arc::clone(&self.units), Arc::clone(&self.audio));
        tokio::select! {
            () = self.stream.stopped() => {
                // A caller who stops a stream does not want to wait for frames that a slow processor has yet
                // to see.
                self.units.discard();
                self.frames.discard();
                self.audio.discard();
            }
            ended = source(input) => match ended {
                // The end of the input ends the stream; what is in flight gets as much time as after a
                // `stop`.
                Ok(()) => self.stream.stop(EndReason::InputEnded),
                Err(e) => self.stream.fail(EndReason::InputFailed, format_args!("input: {}", chain(&*e))),
            },
        }
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.units.close();
        // A queue that audio shares with video is the decoder's to close, once it has caught up.
        if !Arc::ptr_eq(&self.audio, &self.frames) {
            self.audio.close();
        }
        if std::thread::panicking() {
            self.stream.fail(EndReason::Internal, "the source panicked");
        }
    }
}

fn start_output(
    stream: &Arc<Stream>,
    threads: &Threads,
    sink: Option<Task<Output, SinkEnd>>,
    bypass: Option<Arc<FrameQueue>>,
) -> Result<(mpsc::Sender<Item>, JoinHandle<()>), Error> {
    let (items, item_queue) = mpsc::channel::<Item>(Lateness::of(&stream.options).max_processed());
    let Some(sink) = sink else {
        return Ok((items, tokio::spawn(discard(Arc::clone(stream), item_queue, bypass))));
    };
    let (chunks, output) = Chunks::new(stream);
    let (shared, runtime) = (Arc::clone(stream), Handle::current());
    threads.spawn("encode", move || egress::run(shared, item_queue, bypass.as_deref(), chunks, &runtime))?;
    let stream = Arc::clone(stream);
    let media = tokio::spawn(async move { served(&stream, Channel::Output, sink(output).await) });
    Ok((items, media))
}

async fn serve_documents(
    stream: Arc<Stream>,
    sink: Task<Documents, SinkEnd>,
    documents: Documents,
    channel: Channel,
) {
    served(&stream, channel, sink(documents).await);
}

/// Applies the end of a sink to its stream.
fn served(stream: &Stream, channel: Channel, ended: Result<SinkEnd>) {
    match ended {
        Ok(SinkEnd::Done) => {}
        Ok(SinkEnd::Closed) => stream.stop(EndReason::OutputClosed),
        Err(e) => stream.fail(EndReason::OutputFailed, format_args!("{}: {}", channel.name(), chain(&*e))),
    }
}

/// Runs until the control channel ends, which ends the stream, or until the stream is asked to stop.
async fn listen(stream: Arc<Stream>, control: Task<Control, ()>) {
    tokio::select! {
        () = stream.stopped() => {}
        ended = control(Control { stream: Arc::clone(&stream) }) => match ended {
            Ok(()) => stream.stop(EndReason::InputEnded),
            Err(e) => stream.fail(EndReason::InputFailed, format_args!("control: {}", chain(&*e))),
        },
    }
}

/// Consumes the output of a stream without a sink, so that it is counted but not encoded.
async fn discard(stream: Arc<Stream>, mut items: mpsc::Receiver<Item>, bypass: Option<Arc<FrameQueue>>) {
    if let Some(bypass) = bypass {
        tokio::spawn(async move { while bypass.pop().await.is_some() {} });
    }
    while let Some(item) = items.recv().await {
        if let Item::Video(frame) = item {
            stream.recorder.frame_out(frame.arrived(), Instant::now());
        }
    }
}

/// Waits until everything has ended, and marks the end of the stream. Once the stream was asked to stop, a
/// deadline applies, after which the rest is abandoned, because a processor that never returns must not hold
/// its slot.
pub(crate) fn supervise(stream: &Arc<Stream>, threads: Threads, tasks: Tasks) {
    tokio::spawn(state::watch(Arc::clone(stream)));
    let stream = Arc::clone(stream);
    let Tasks { media, mut side } = tasks;
    let abort = media.abort_handle();
    tokio::spawn(async move {
        let all = async {
            threads.ended().await;
            if media.await.is_err() {
                stream.fail(EndReason::Internal, "the sink panicked");
            }
        };
        let deadline = async {
            stream.stopped().await;
            if stream.options.queueing == crate::Queueing::Lossless
                && stream.end_cause().0 == EndReason::InputEnded
            {
                // Everything that arrived must be processed, however long it takes.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(stream.options.stop_deadline).await;
        };
        tokio::select! {
            () = all => {}
            () = deadline => {
                abort.abort();
                let deadline = stream.options.stop_deadline;
                stream.fail(EndReason::Abandoned, format_args!("not ended within {deadline:?}: abandoned"));
            }
        }
        stream.end_media();
        let flushed = async { while side.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS, flushed).await.is_err() {
            stream.error("events or data could not be flushed: abandoned");
        }
        stream.end();
    });
}

#[cfg(test)]
mod tests {
    use cutrickle_frame::VideoFrame;

    use super::*;
    use crate::ends::memory;
    use crate::threads::tests::REFUSED;
    use crate::{FrameProcessor, Result, StreamContext};

    #[derive(Clone)]
    struct Untouched;

    impl FrameProcessor for Untouched {
        async fn process_video(
            &mut self,
            frame: VideoFrame,
            _: &StreamContext,
        ) -> Result<Option<VideoFrame>> {
            Ok(Some(frame))
        }
    }

    #[tokio::test]
    async fn a_start_that_fails_midway_leaves_nothing_running() {
        for stage in ["encode", "decode", "process"] {
            let ((_feed, source), (sink, _output)) = (memory::source(1), memory::sink(1));
            let ends = Ends::new().with_source(source).with_sink(sink);
            let (metrics, options) = (MetricsRegistry::new().unwrap(), StreamOptions::default());
            let before = Handle::current().metrics().num_alive_tasks();
            REFUSED.set(Some(stage));
            let error =
                Session::start(&Untouched, "test", Params::new(), ends, options, &metrics).unwrap_err();
            REFUSED.set(None);
            assert_eq!(error.to_string(), format!("starting the {stage} thread"));
            let ended = async {
                while Handle::current().metrics().num_alive_tasks() > before {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), ended).await.expect("all of it ends");
        }
    }
}
