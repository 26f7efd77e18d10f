//! An instance of a stage on its own thread, used by timeouts and parallel processing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use cutrickle_error::chain;
use cutrickle_frame::{AudioFrame, FrameId, VideoFrame};
use cutrickle_media::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::process::caught;
use crate::stage::{Finished, Running, Started};
use crate::{BoxError, Generated, Params, Result, Stage, StreamContext};

/// An instance on its own thread, which handles one request at a time. The thread ends when this is dropped,
/// or, if the processor is busy then, when it returns.
pub(super) struct Remote {
    asks: mpsc::Sender<Ask>,
    finished: mpsc::UnboundedReceiver<Finished>,
    unfinished: Arc<AtomicUsize>,
}

/// A request to an instance.
enum Ask {
    Video(VideoFrame, Reply<Started>),
    Audio(AudioFrame, Reply<Vec<AudioFrame>>),
    Generate(Timestamp, Reply<Generated>),
    Params(Params, Reply<()>),
    Stop(Reply<()>),
}

type Reply<T> = oneshot::Sender<Result<T>>;

/// The answer to one request. Dropping it does not cancel the request.
pub(super) struct Answer<T>(oneshot::Receiver<Result<T>>);

/// The number of requests that may wait behind the current one. Callers make one request at a time;
/// parameters may come before it, and the stop request while the thread is still busy.
const MAX_WAITING: usize = 3;

impl Remote {
    /// Starts an instance of `stage` on a thread with this name. Must be called on a tokio runtime, which the
    /// processor's futures then use.
    pub(super) async fn start<S: Stage>(stage: &S, name: &str, stream: &StreamContext) -> Result<Self> {
        let (stage, stream, runtime) = (stage.clone(), stream.clone(), Handle::try_current()?);
        let (asks, questions) = mpsc::channel(MAX_WAITING);
        // Bounded by the number of frames that the instance works on, which it limits itself.
        let (answers, finished) = mpsc::unbounded_channel();
        let (started, ready) = oneshot::channel();
        let unfinished = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&unfinished);
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let running = match runtime.block_on(caught(stage.start(&stream))) {
                Ok(running) => running,
                Err(e) => {
                    // The caller waiting for the start gets the error.
                    let _ = started.send(Err(e));
                    return;
                }
            };
            if started.send(Ok(())).is_ok() {
                let at_work = VecDeque::new();
                let thread = Thread { running, questions, answers, unfinished: counted, stream, at_work };
                runtime.block_on(thread.run());
            }
        })?;
        ready.await.map_err(|_| gone())??;
        Ok(Self { asks, finished, unfinished })
    }

    /// Whether the thread still has a request to finish.
    pub(super) fn is_busy(&self) -> bool {
        self.unfinished.load(Ordering::Acquire) > 0
    }

    /// Sends a frame. The answer tells whether it is finished or still at work.
    pub(super) fn video(&self, frame: VideoFrame) -> Result<Answer<Started>> {
        self.ask(|reply| Ask::Video(frame, reply))
    }

    pub(super) fn audio(&self, frame: AudioFrame) -> Result<Answer<Vec<AudioFrame>>> {
        self.ask(|reply| Ask::Audio(frame, reply))
    }

    pub(super) fn moment(&self, timestamp: Timestamp) -> Result<Answer<Generated>> {
        self.ask(|reply| Ask::Generate(timestamp, reply))
    }

    pub(super) fn params(&self, params: Params) -> Result<Answer<()>> {
        self.ask(|reply| Ask::Params(params, reply))
    }

    pub(super) fn end(&self) -> Result<Answer<()>> {
        self.ask(Ask::Stop)
    }

    /// Waits for the next answer to a frame at work. Cancel safe.
    pub(super) async fn next_finished(&mut self) -> Option<Finished> {
        self.finished.recv().await
    }

    /// Queues a request behind earlier ones, without waiting.
    fn ask<T>(&self, ask: impl FnOnce(Reply<T>) -> Ask) -> Result<Answer<T>> {
        let (reply, answer) = oneshot::channel();
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.asks.try_send(ask(reply)).map_err(|_| {
            self.unfinished.fetch_sub(1, Ordering::Relaxed);
            BoxError::from("a processor's thread is behind with what it is asked")
        })?;
        Ok(Answer(answer))
    }
}

impl<T> Future for Answer<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(gone())))
    }
}

fn gone() -> BoxError {
    "a processor's thread ended".into()
}

/// The state on the thread itself.
struct Thread<R> {
    running: R,
    questions: mpsc::Receiver<Ask>,
    answers: mpsc::UnboundedSender<Finished>,
    unfinished: Arc<AtomicUsize>,
    stream: StreamContext,
    at_work: VecDeque<FrameId>,
}

impl<R: Running> Thread<R> {
    async fn run(mut self) {
        loop {
            let ask = tokio::select! {
                biased;
                () = self.running.video_ready(), if !self.at_work.is_empty() => None,
                ask = self.questions.recv() => match ask {
                    Some(ask) => Some(ask),
                    None => return,
                },
            };
            match ask {
                None => self.finish().await,
                Some(ask) => self.answer(ask).await,
            }
        }
    }

    async fn finish(&mut self) {
        let finished = match caught(async { Ok(self.running.finish_video().await) }).await {
            Ok(None) => return,
            Ok(Some(finished)) => finished,
            // It is not known which frame failed, so the error goes to the one that has waited longest.
            Err(e) => match self.at_work.front() {
                Some(id) => Finished { id: *id, result: Err(e) },
                None => return self.stream.error(chain(&*e)),
            },
        };
        self.at_work.retain(|id| *id != finished.id);
        // If the stream has ended, nobody waits for the answer.
        let _ = self.answers.send(finished);
    }

    async fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Video(frame, reply) => {
                let id = frame.id();
                let started = caught(self.running.start_video(frame)).await;
                if let Ok(Started::AtWork) = started {
                    self.at_work.push_back(id);
                }
                self.reply(reply, started);
            }
            Ask::Audio(frame, reply) => {
                let answer = caught(self.running.process_audio(frame)).await;
                self.reply(reply, answer);
            }
            Ask::Generate(timestamp, reply) => {
                let answer = caught(self.running.generate(timestamp)).await;
                self.reply(reply, answer);
            }
            Ask::Params(params, reply) => {
                let answer = caught(self.running.update_params(&params)).await;
                self.reply(reply, answer);
            }
            Ask::Stop(reply) => {
                let answer = caught(self.running.stop()).await;
                self.reply(reply, answer);
            }
        }
    }

    fn reply<T>(&self, reply: Reply<T>, answer: Result<T>) {
        // Decremented before replying, because the receiver may send the next request at once.
        self.unfinished.fetch_sub(1, Ordering::Release);
        if let Err(Err(e)) = reply.send(answer) {
            // Nobody waited for the answer.
            self.stream.error(chain(&*e));
        }
    }
}
