//! Work that goes on beside a stream while its frames pass, and whose result comes later.

use std::fmt;
use std::future::Future;

use tokio::task::{JoinError, JoinSet};

/// Work beside a stream, one piece at a time unless it is [bounded](Self::bounded) otherwise. Frames do not
/// wait for it: a processor starts work with one frame, and takes the result with a later one.
///
/// Work that would be too much at a time is refused and counted, so a processor may start it with every
/// frame. Dropping this aborts what is at work. A clone has work of its own, which is none at first: each
/// stream's instance of a processor is a clone.
///
/// ```
/// use cutrickle_frame::{Canvas, VideoFrame};
/// use cutrickle_pipeline::{Background, FrameProcessor, Result, StreamContext};
///
/// /// Asks a service, which takes seconds.
/// async fn describe(frame: VideoFrame) -> String {
///     format!("{}x{}", frame.width(), frame.height()) // ...
/// }
///
/// #[derive(Clone, Default)]
/// struct Captions {
///     work: Background<String>,
///     caption: String,
/// }
///
/// impl FrameProcessor for Captions {
///     async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
///         self.work.start(describe(frame.clone()));
///         if let Some(caption) = self.work.ready() {
///             self.caption = caption;
///         }
///         let mut canvas = Canvas::over(&frame);
///         canvas.text(&self.caption, [16, 16], 24, [255; 4]);
///         Ok(Some(frame.draw(&canvas)?))
///     }
/// }
/// ```
pub struct Background<T: 'static> {
    /// Each piece of work with its number, counted from 0.
    at_work: JoinSet<(u64, T)>,
    limit: usize,
    /// The newest result that was not taken yet, with the number of its work.
    result: Option<(u64, T)>,
    started: u64,
    /// Work of lower numbers than this is older than a result that was taken.
    wanted: u64,
    refused: u64,
}

impl<T: Send + 'static> Background<T> {
    /// One piece of work at a time.
    pub fn new() -> Self {
        Self::bounded(1)
    }

    /// At most `limit` pieces of work at a time, at least one.
    pub fn bounded(limit: usize) -> Self {
        Self { at_work: JoinSet::new(), limit: limit.max(1), result: None, started: 0, wanted: 0, refused: 0 }
    }

    /// Starts `work` on tokio's threads, unless there is as much at work as there may be: then it is refused,
    /// and the answer is false. `work` should await and not compute for long, for which there is
    /// [`start_blocking`](Self::start_blocking).
    ///
    /// # Panics
    /// Outside of a tokio runtime. Processors are always called on one.
    pub fn start(&mut self, work: impl Future<Output = T> + Send + 'static) -> bool {
        let Some(number) = self.admit() else { return false };
        self.at_work.spawn(async move { (number, work.await) });
        true
    }

    /// The same for work that computes, such as a model's: it has a thread to itself. It cannot be aborted:
    /// when this is dropped it goes on to its end, and its result is forgotten.
    ///
    /// # Panics
    /// Outside of a tokio runtime. Processors are always called on one.
    pub fn start_blocking(&mut self, work: impl FnOnce() -> T + Send + 'static) -> bool {
        let Some(number) = self.admit() else { return false };
        self.at_work.spawn_blocking(move || (number, work()));
        true
    }

    /// The newest result that is there and was not taken yet, without waiting. Results of older work that
    /// come later are forgotten.
    pub fn ready(&mut self) -> Option<T> {
        self.collect();
        let (number, result) = self.result.take()?;
        self.wanted = number + 1;
        Some(result)
    }

    /// The next result. Waits for it where there is none yet; `None` where nothing is at work.
    pub async fn wait(&mut self) -> Option<T> {
        loop {
            if let Some(result) = self.ready() {
                return Some(result);
            }
            let ended = self.at_work.join_next().await?;
            self.keep(ended);
        }
    }

    /// Whether there is as much at work as there may be, so that more would be refused.
    pub fn is_busy(&mut self) -> bool {
        self.collect();
        self.at_work.len() >= self.limit
    }

    /// How often work was refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The number of a piece of work that may begin.
    fn admit(&mut self) -> Option<u64> {
        if self.is_busy() {
            self.refused += 1;
            return None;
        }
        self.started += 1;
        Some(self.started - 1)
    }

    /// Takes what has ended off the list of what is at work.
    fn collect(&mut self) {
        while let Some(ended) = self.at_work.try_join_next() {
            self.keep(ended);
        }
    }

    fn keep(&mut self, ended: Result<(u64, T), JoinError>) {
        match ended {
            Ok((number, _)) if number < self.wanted => {}
            Ok((number, result)) => {
                if self.result.as_ref().is_none_or(|(newest, _)| *newest < number) {
                    self.result = Some((number, result));
                }
            }
            Err(e) => tracing::warn!("work beside a stream: {e}"),
        }
    }
}

impl<T: Send + 'static> Default for Background<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The same bound, and nothing at work.
impl<T: Send + 'static> Clone for Background<T> {
    fn clone(&self) -> Self {
        Self::bounded(self.limit)
    }
}

impl<T> fmt::Debug for Background<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Background")
            .field("at_work", &self.at_work.len())
            .field("limit", &self.limit)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    /// Work that ends with what is sent, and the sender.
    fn work() -> (oneshot::Sender<u32>, impl Future<Output = u32> + Send + 'static) {
        let (end, ended) = oneshot::channel();
        (end, async move { ended.await.unwrap() })
    }

    /// Lets what can end do so.
    async fn idle<T: Send>(background: &mut Background<T>, at_work: usize) {
        let ended = async {
            loop {
                background.collect();
                if background.at_work.len() == at_work {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("work ends");
    }

    #[tokio::test]
    async fn a_result_is_there_when_its_work_has_ended_and_once() {
        let mut background = Background::new();
        let (end, first) = work();
        assert!(background.start(first));
        assert_eq!(background.ready(), None);
        end.send(7).unwrap();
        idle(&mut background, 0).await;
        assert_eq!((background.ready(), background.ready()), (Some(7), None));
    }

    #[tokio::test]
    async fn more_work_than_there_may_be_is_refused_and_counted() {
        let mut background = Background::bounded(2);
        let (first, second) = (work(), work());
        assert!(background.start(first.1) && !background.is_busy() && background.start(second.1));
        assert!(background.is_busy() && !background.start(async { 9 }) && !background.start_blocking(|| 9));
        assert_eq!(background.refused(), 2);
        first.0.send(1).unwrap();
        idle(&mut background, 1).await;
        assert!(
            background.start(async { 3 }),
            "what has ended does not count, though its result is still there"
        );
        assert_eq!(background.refused(), 2);
    }

    #[tokio::test]
    async fn of_several_results_the_newest_is_taken_and_older_ones_come_too_late() {
        let mut background = Background::bounded(3);
        let (first, second, third) = (work(), work(), work());
        assert!(background.start(first.1) && background.start(second.1) && background.start(third.1));
        second.0.send(2).unwrap();
        third.0.send(3).unwrap();
        idle(&mut background, 1).await;
        assert_eq!(background.ready(), Some(3));
        first.0.send(1).unwrap();
        idle(&mut background, 0).await;
        assert_eq!(background.ready(), None);
    }

    #[tokio::test]
    async fn a_result_can_be_waited_for_and_nothing_at_work_has_none() {
        let mut background = Background::new();
        assert_eq!(background.wait().await, None);
        assert!(background.start_blocking(|| 5));
        assert_eq!((background.wait().await, background.wait().await), (Some(5), None));
    }

    #[tokio::test]
    async fn work_that_panics_has_no_result_and_leaves_room_for_more() {
        let mut background = Background::new();
        assert!(background.start(async { panic!("as the test wants it") }));
        idle(&mut background, 0).await;
        assert_eq!(background.ready(), None);
        assert!(background.start(async { 1 }));
        assert_eq!(background.wait().await, Some(1));
    }

    #[tokio::test]
    async fn dropping_it_aborts_what_is_at_work_and_a_clone_has_none_of_it() {
        let (alive, gone) = oneshot::channel::<()>();
        let mut background = Background::new();
        assert!(background.start(async move {
            let _alive = alive;
            pending::<()>().await;
        }));
        let mut clone = background.clone();
        assert!(!clone.is_busy());
        drop(background);
        let gone = tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the work is aborted");
        assert!(gone.is_err(), "without having ended");
    }
}
