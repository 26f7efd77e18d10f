//! The threads of one stream, started by name and watched until the last one ends.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::stream::Stream;
use crate::{EndReason, Error, gpu};

/// Starts a stream's threads. They are watched and not joined: a processor that never returns keeps its
/// thread, but must not keep anything else.
pub(crate) struct Threads {
    stream: Arc<Stream>,
    running: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

/// Held by a running thread; reports if the thread ends by a panic.
struct Running {
    stream: Arc<Stream>,
    name: &'static str,
    _running: mpsc::Sender<()>,
}

impl Threads {
    pub(crate) fn new(stream: &Arc<Stream>) -> Self {
        let (running, ended) = mpsc::channel(1);
        Self { stream: Arc::clone(stream), running, ended }
    }

    /// Starts the thread for the stage with this name.
    pub(crate) fn spawn(&self, name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        #[cfg(test)]
        if tests::REFUSED.get() == Some(name) {
            return Err(Error::failed(format!("starting the {name} thread")));
        }
        let running = Running { stream: Arc::clone(&self.stream), name, _running: self.running.clone() };
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || {
                let _running = running;
                gpu::begin_stage(name);
                run();
            })
            .map(drop)
            .map_err(|e| Error::failed(format!("starting the {name} thread")).because(e))
    }

    /// Waits until every thread has ended.
    pub(crate) async fn ended(mut self) {
        drop(self.running);
        while self.ended.recv().await.is_some() {}
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stream.fail(EndReason::Internal, format_args!("the {} thread panicked", self.name));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// The stage whose thread cannot be started, as on a machine with too many threads.
        pub(crate) static REFUSED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }
}
