//! One stream from start to end: what runs, and in which order it ends.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutrickle_trickle::{ClientConfig, Publisher, Start, Subscriber};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use crate::compose::Part;
use crate::data::Lines;
use crate::documents::Documents;
use crate::egress::{self, Chunk, Item};
use crate::lateness::Lateness;
use crate::queue::{CodedQueue, FrameQueue};
use crate::stream::{Announced, Ends, Stream};
use crate::threads::Threads;
use crate::updates::Parameters;
use crate::{
    EndReason, Error, FrameProcessor, Metrics, MetricsRegistry, Params, StreamOptions, StreamParams,
    StreamState, StreamStatus, Verdict, control, data, decode, events, ingress, process, publish, state,
};

/// What a stream is started with.
#[derive(Debug, Clone, Default)]
pub struct StreamRequest {
    /// The stream's name; unique among a worker's streams.
    pub id: String,
    /// Where input comes from; none for a stream without input.
    pub subscribe_url: Option<String>,
    /// Where output goes; none for a stream without output.
    pub publish_url: Option<String>,
    /// Where parameters come from, beside [`Session::update_params`].
    pub control_url: Option<String>,
    /// Where events and heartbeats go.
    pub events_url: Option<String>,
    /// Where the data goes that the processor emits.
    pub data_url: Option<String>,
    /// The framework's own parameters and the processor's, as they came.
    pub params: Params,
}

/// A running stream. Dropping it stops it.
pub struct Session {
    stream: Arc<Stream>,
}

/// How long events and data may take to go out after the media have ended: a little longer than closing
/// a channel may.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Chunks between the encoder and the network: one each picture, one each packet of sound, about two seconds.
const MOST_CHUNKS: usize = 160;

impl Session {
    /// Where the stream's tensors are.
    pub fn device(&self) -> &candle_core::Device {
        &self.stream.options.device
    }

    /// Starts a stream with a clone of `prototype`. Returns at once; the stream goes on in threads and tasks of
    /// its own. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: a malformed URL, no URL at all, a parameter of the wrong type, or one of a name that no part of
    /// the processor takes. Otherwise a thread that could not be started.
    pub fn start<P: FrameProcessor>(
        prototype: &P,
        request: StreamRequest,
        options: StreamOptions,
        metrics: &MetricsRegistry,
    ) -> Result<Self, Error> {
        let mut processor = prototype.clone();
        let takes_audio = processor.takes_audio();
        let Parts { stream, threads, tasks, frames, items } =
            Parts::start(request, options, metrics, prototype.parts(), takes_audio)?;
        let (shared, runtime) = (Arc::clone(&stream), Handle::current());
        let started = threads.spawn("process", move || {
            process::run(processor, &shared, &frames, items, runtime);
        });
        if started.is_err() {
            stream.stop(EndReason::Internal);
        }
        supervise(&stream, threads, tasks);
        started.map(|()| Self { stream })
    }

    /// The stream's name.
    pub fn id(&self) -> &str {
        &self.stream.id
    }

    /// New parameters, all of which come into force or none. They wait for the processor to take its own, before its next
    /// frame; the framework's own, where they come alone, take effect with the next picture.
    ///
    /// # Errors
    /// [`Error::is_invalid`]: one of the framework's own is of the wrong type, or no part of the processor takes a parameter
    /// of that name; nothing is changed then. What the processor itself refuses is for the [`Verdict`] to say.
    pub fn update_params(&self, params: Params) -> Result<Verdict, Error> {
        let answer = self.stream.update_params(params)?;
        Ok(Verdict::new(answer, Arc::clone(&self.stream)))
    }

    /// What the stream's state is.
    pub fn state(&self) -> StreamState {
        self.stream.state().state
    }

    /// How the stream is doing.
    pub fn status(&self) -> StreamStatus {
        self.stream.status()
    }

    /// The stream's figures.
    pub fn metrics(&self) -> Metrics {
        self.stream.metrics()
    }

    /// Asks the stream to end: what is in flight is flushed, channels are closed in order, hooks run.
    pub fn stop(&self) {
        self.stream.stop(EndReason::Stopped);
    }

    /// Waits until the stream has ended, by itself or by [`stop`](Self::stop).
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

/// Both ends of a stream, running, with a gap where the processor belongs.
pub(crate) struct Parts {
    pub(crate) stream: Arc<Stream>,
    pub(crate) threads: Threads,
    /// What comes in.
    pub(crate) frames: Arc<FrameQueue>,
    /// What goes out.
    pub(crate) items: mpsc::Sender<Item>,
    pub(crate) tasks: Tasks,
}

/// The tasks that a stream's end waits for.
pub(crate) struct Tasks {
    /// Publishes the media.
    media: JoinHandle<()>,
    /// Events and data, which end after the media.
    side: JoinSet<()>,
}

impl Parts {
    pub(crate) fn start(
        request: StreamRequest,
        options: StreamOptions,
        metrics: &MetricsRegistry,
        parts: Vec<Part>,
        takes_audio: bool,
    ) -> Result<Self, Error> {
        let mut params = request.params;
        if request.subscribe_url.is_none() && request.publish_url.is_none() && request.data_url.is_none() {
            return Err(Error::invalid(
                "none of `subscribe_url`, `publish_url` and `data_url`: a stream needs one of them",
            ));
        }
        let settings = StreamParams::take_from(&mut params)?;
        let trickle = |retry_window| ClientConfig { retry_window, ..options.trickle.clone() };
        let parameters = Parameters::new(settings, params, parts)?;
        let subscriber = |field, url: Option<String>| {
            url.map(|url| Subscriber::new(&url, Start::Current, trickle(options.retry.input)))
                .transpose()
                .map_err(|e| Error::invalid(field).because(e))
        };
        let publisher = |field, url: Option<String>, content| {
            url.map(|url| Publisher::new(&url, content, trickle(options.retry.output)))
                .transpose()
                .map_err(|e| Error::invalid(field).because(e))
        };
        let input = subscriber("`subscribe_url`", request.subscribe_url)?;
        let control = subscriber("`control_url`", request.control_url)?;
        let output = publisher("`publish_url`", request.publish_url, "video/MP2T")?;
        let events = publisher("`events_url`", request.events_url, "application/json")?;
        let data = publisher("`data_url`", request.data_url, "application/jsonl")?;

        let (event_sender, event_queue) = events::queue();
        let lines = data.as_ref().map(|_| Arc::new(Lines::default()));
        let ends = Ends {
            input: input.is_some(),
            output: output.is_some(),
            events: events.as_ref().map(|_| event_sender),
            data: lines.clone(),
        };
        let stream = Arc::new(Stream::new(request.id, parameters, options, metrics, ends));
        let threads = Threads::new(&stream);
        let frames = queue(&stream);
        // Sound that nobody processes must not wait for pictures that somebody does.
        let passing = (!takes_audio && input.is_some()).then(|| queue(&stream));
        let sound = passing.as_ref().unwrap_or(&frames);
        let started = start_output(&stream, &threads, output, passing.clone())
            .and_then(|output| start_input(&stream, &threads, input, &frames, sound).map(|()| output));
        let (items, media) = started.inspect_err(|_| {
            // What was started ends by itself once the stream is stopped and nothing comes any more.
            stream.stop(EndReason::Internal);
            sound.close();
        })?;
        let mut side = JoinSet::new();
        if let Some(publisher) = events {
            side.spawn(events::run(Arc::clone(&stream), event_queue, Documents::new(publisher)));
        }
        if let (Some(publisher), Some(lines)) = (data, lines) {
            side.spawn(data::run(Arc::clone(&stream), lines, Documents::new(publisher)));
        }
        if let Some(subscriber) = control {
            tokio::spawn(control::run(Arc::clone(&stream), subscriber));
        }
        Ok(Self { stream, threads, frames, items, tasks: Tasks { media, side } })
    }
}

fn queue(stream: &Arc<Stream>) -> Arc<FrameQueue> {
    let lateness = Lateness::of(&stream.options);
    let dropped = Arc::clone(&stream.recorder.dropped);
    Arc::new(FrameQueue::new(lateness, stream.options.max_queue_size, dropped))
}

/// Starts what fills `frames` with pictures, and `sound`, which may be the same, with sound.
fn start_input(
    stream: &Arc<Stream>,
    threads: &Threads,
    subscriber: Option<Subscriber>,
    frames: &Arc<FrameQueue>,
    sound: &Arc<FrameQueue>,
) -> Result<(), Error> {
    let (shared, queue) = (Arc::clone(stream), Arc::clone(frames));
    let Some(subscriber) = subscriber else {
        // Nothing comes but what the processor makes, until the stream is stopped.
        stream.announce(Announced { video: true, ..Announced::default() });
        tokio::spawn(async move {
            shared.stopped().await;
            queue.close();
        });
        return Ok(());
    };
    let dropped = Arc::clone(&stream.recorder.dropped);
    let units = Arc::new(CodedQueue::new(Lateness::of(&stream.options), dropped));
    let (coded, runtime) = (Arc::clone(&units), Handle::current());
    threads.spawn("decode", move || decode::run(&shared, &coded, &queue, &runtime))?;
    let (sound, frames) = (Arc::clone(sound), Arc::clone(frames));
    tokio::spawn(ingress::run(Arc::clone(stream), subscriber, units, sound, frames));
    Ok(())
}

fn start_output(
    stream: &Arc<Stream>,
    threads: &Threads,
    publisher: Option<Publisher>,
    passing: Option<Arc<FrameQueue>>,
) -> Result<(mpsc::Sender<Item>, JoinHandle<()>), Error> {
    let (items, item_queue) = mpsc::channel::<Item>(Lateness::of(&stream.options).max_processed());
    let Some(publisher) = publisher else {
        return Ok((items, tokio::spawn(discard(Arc::clone(stream), item_queue, passing))));
    };
    let (chunks, chunk_queue) = mpsc::channel::<Chunk>(MOST_CHUNKS);
    let (shared, runtime) = (Arc::clone(stream), Handle::current());
    threads.spawn("encode", move || egress::run(shared, item_queue, passing.as_deref(), chunks, &runtime))?;
    Ok((items, tokio::spawn(publish::run(Arc::clone(stream), publisher, chunk_queue))))
}

/// Takes what a stream without output puts out, so that it is counted and need not be encoded.
async fn discard(stream: Arc<Stream>, mut items: mpsc::Receiver<Item>, passing: Option<Arc<FrameQueue>>) {
    if let Some(passing) = passing {
        tokio::spawn(async move { while passing.pop().await.is_some() {} });
    }
    while let Some(item) = items.recv().await {
        if let Item::Video { arrived, .. } = item {
            stream.recorder.picture_out(arrived, Instant::now());
        }
    }
}

/// Waits for everything to end, and marks the stream's end. From the moment that it was asked to end there is a
/// deadline, after which what is left is abandoned: a processor that never returns must not hold its slot.
pub(crate) fn supervise(stream: &Arc<Stream>, threads: Threads, tasks: Tasks) {
    tokio::spawn(state::watch(Arc::clone(stream)));
    let stream = Arc::clone(stream);
    let Tasks { media, mut side } = tasks;
    let abort = media.abort_handle();
    tokio::spawn(async move {
        let all = async {
            threads.ended().await;
            if media.await.is_err() {
                stream.fail(EndReason::Internal, "the publishing task panicked");
            }
        };
        let deadline = async {
            stream.stopped().await;
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
    use cutrickle_trickle::{Server, ServerConfig};

    use super::*;
    use crate::Result;
    use crate::threads::tests::REFUSED;

    #[derive(Clone)]
    struct Untouched;

    impl FrameProcessor for Untouched {
        async fn process_video(&mut self, frame: VideoFrame) -> Result<Option<VideoFrame>> {
            Ok(Some(frame))
        }
    }

    #[tokio::test]
    async fn a_start_that_fails_midway_leaves_nothing_running() {
        let server = Server::bind(([127, 0, 0, 1], 0).into(), ServerConfig::default()).await.unwrap();
        let (base, service) = (server.url(), server.service());
        tokio::spawn(server.run(std::future::pending()));
        let input = service.publisher("in", "video/MP2T").unwrap();
        for stage in ["encode", "decode", "process"] {
            let request = StreamRequest {
                subscribe_url: Some(format!("{base}in")),
                publish_url: Some(format!("{base}out")),
                ..StreamRequest::default()
            };
            let metrics = MetricsRegistry::new().unwrap();
            let before = Handle::current().metrics().num_alive_tasks();
            REFUSED.set(Some(stage));
            let error = Session::start(&Untouched, request, StreamOptions::default(), &metrics).unwrap_err();
            REFUSED.set(None);
            assert_eq!(error.to_string(), format!("starting the {stage} thread"));
            let ended = async {
                while Handle::current().metrics().num_alive_tasks() > before {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), ended).await.expect("all of it ends");
        }
        input.close();
    }
}
