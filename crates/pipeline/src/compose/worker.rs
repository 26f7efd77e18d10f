//! A processor on a thread of its own: what time-outs and parallel work stand on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use cutrickle_error::chain;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::process::caught;
use crate::{BoxError, FrameProcessor, Result, StreamContext};

/// A clone of a processor on a thread of its own, which does what it is asked one thing at a time. The thread ends when
/// the worker is dropped, or when the processor comes back after that.
pub(super) struct Worker<P> {
    jobs: SyncSender<Job<P>>,
    unfinished: Arc<AtomicUsize>,
    /// What an answer that nobody waits for is told to.
    context: Option<StreamContext>,
}

type Job<P> = Box<dyn FnOnce(&mut P, &Handle) + Send>;

/// The answer to one call. Dropping it leaves the call to itself.
pub(super) struct Call<T>(oneshot::Receiver<Result<T>>);

/// Jobs beside the one that the thread is at. Callers ask one thing of a worker at a time, and its end while it may still
/// be at another.
const MOST_WAITING: usize = 2;

impl<P: FrameProcessor> Worker<P> {
    /// Starts the thread. Must be called on a tokio runtime, which the processor's futures then use.
    pub(super) fn start(mut processor: P, name: &str, context: Option<StreamContext>) -> Result<Self> {
        let runtime = Handle::try_current()?;
        let (jobs, queue) = sync_channel::<Job<P>>(MOST_WAITING);
        std::thread::Builder::new().name(name.into()).spawn(move || {
            while let Ok(job) = queue.recv() {
                job(&mut processor, &runtime);
            }
        })?;
        Ok(Self { jobs, unfinished: Arc::default(), context })
    }

    /// Whether the thread has not come back from something that it was asked.
    pub(super) fn is_busy(&self) -> bool {
        self.unfinished.load(Ordering::Acquire) > 0
    }

    /// Asks for `work` after what was asked before. Never waits.
    ///
    /// # Errors
    /// More is asked than the thread gets done.
    pub(super) fn call<T, W>(&self, work: W) -> Result<Call<T>>
    where
        T: Send + 'static,
        W: AsyncFnOnce(&mut P) -> Result<T> + Send + 'static,
    {
        let (answer, call) = oneshot::channel();
        let (unfinished, context) = (Arc::clone(&self.unfinished), self.context.clone());
        let job: Job<P> = Box::new(move |processor, runtime| {
            let result = runtime.block_on(caught(work(processor)));
            // Before the answer: who has it may ask for the next thing at once.
            unfinished.fetch_sub(1, Ordering::Release);
            if let (Err(Err(e)), Some(context)) = (answer.send(result), context) {
                context.error(chain(&*e));
            }
        });
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.jobs.try_send(job).map_err(|_| {
            self.unfinished.fetch_sub(1, Ordering::Relaxed);
            BoxError::from("a processor's thread does not get done what it is asked")
        })?;
        Ok(Call(call))
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(cx);
        answer.map(|answer| answer.unwrap_or_else(|_| Err("a processor's thread ended".into())))
    }
}
