//! Processors whose calls go on only while several of them do, and come back in the wrong order: a stage that works at fewer
//! frames at a time than it says hangs, and one that does not put them in order is found out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};

use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::compose::{
    Compose, DynProcessor, buffered, every, from_fn, parallel, switch, with_overlay, with_timeout,
};
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext};
use tokio::sync::watch;

use super::{DEADLINE, Untouched, inverted, number};

/// Calls in a group.
pub const SIZE: usize = 3;

/// How a processor works at several frames at a time.
#[derive(Debug, Clone, Copy)]
pub enum Several {
    /// On threads of their own.
    Parallel,
    /// In futures on the stream's thread.
    Buffered,
}

/// A stage of which a part works at [`SIZE`] frames at a time.
pub struct Composition {
    pub name: &'static str,
    pub stage: DynProcessor,
    /// Every so many frames are given to the part, which inverts them. The others pass.
    pub interval: usize,
    most: Arc<AtomicUsize>,
}

impl Composition {
    /// The most calls that there were at a time.
    pub fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    /// The numbers that `frames` frames show when they come out.
    pub fn expected(&self, frames: usize) -> Vec<u8> {
        (0..frames).map(|n| if n % self.interval == 0 { !(n as u8) } else { n as u8 }).collect()
    }
}

/// Such a part by itself, and within every combinator.
pub fn compositions(several: Several) -> Vec<Composition> {
    let around = |name, interval, wrap: fn(DynProcessor) -> DynProcessor| {
        let (part, most) = part(several, interval);
        Composition { name, stage: wrap(part), interval, most }
    };
    vec![
        around("alone", 1, |part| part),
        around("every", 2, |part| every(2, part).boxed()),
        around("with_timeout", 1, |part| with_timeout(part, DEADLINE).boxed()),
        around("switch", 1, |part| switch("which").case("this", part).case("that", Untouched).boxed()),
        around("with_overlay", 1, |part| with_overlay(part).boxed()),
        around("named", 1, |part| part.named("part").boxed()),
        around("then", 1, |part| Untouched.then(part).then(Untouched).boxed()),
        around("all of them", 2, |part| {
            let chosen = switch("which").case("this", Untouched.then(part).then(Untouched).named("part"));
            with_overlay(with_timeout(every(2, chosen), DEADLINE)).boxed()
        }),
    ]
}

fn part(several: Several, interval: usize) -> (DynProcessor, Arc<AtomicUsize>) {
    let calls = Calls::default();
    let most = Arc::clone(&calls.most);
    let part = match several {
        Several::Parallel => {
            let meeting = Arc::new(Threads {
                barrier: Barrier::new(SIZE),
                back: Mutex::default(),
                came: Condvar::new(),
            });
            let meet = move |frame: VideoFrame| {
                let _call = calls.enter();
                meeting.meet(usize::from(number(&frame)) / interval);
                inverted(&frame).map(Some)
            };
            parallel(from_fn(meet), SIZE).boxed()
        }
        Several::Buffered => {
            let barrier = Arc::new(tokio::sync::Barrier::new(SIZE));
            let back = watch::Sender::new(HashSet::new());
            buffered(Futures { calls, interval, barrier, back }, SIZE).boxed()
        }
    };
    (part, most)
}

/// Counts calls.
#[derive(Clone, Default)]
struct Calls {
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Call(Arc<AtomicUsize>);

impl Calls {
    fn enter(&self) -> Call {
        self.most.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Call(Arc::clone(&self.inside))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether the call of this place comes back after the next one.
fn follows_next(place: usize) -> bool {
    place % SIZE != SIZE - 1
}

struct Threads {
    barrier: Barrier,
    /// The places of the calls that are through.
    back: Mutex<HashSet<usize>>,
    came: Condvar,
}

impl Threads {
    fn meet(&self, place: usize) {
        self.barrier.wait();
        let back = self.back.lock().unwrap();
        let waits = |back: &mut HashSet<usize>| follows_next(place) && !back.contains(&(place + 1));
        self.came.wait_while(back, waits).unwrap().insert(place);
        self.came.notify_all();
    }
}

#[derive(Clone)]
struct Futures {
    calls: Calls,
    interval: usize,
    barrier: Arc<tokio::sync::Barrier>,
    /// The places of the calls that are through.
    back: watch::Sender<HashSet<usize>>,
}

impl FrameProcessor for Futures {
    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        let _call = self.calls.enter();
        let place = usize::from(number(&frame)) / self.interval;
        self.barrier.wait().await;
        if follows_next(place) {
            self.back.subscribe().wait_for(|back| back.contains(&(place + 1))).await?;
        }
        self.back.send_modify(|back| {
            back.insert(place);
        });
        inverted(&frame).map(Some)
    }
}
