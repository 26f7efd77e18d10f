//! Whoever watches a stream's output: reads its channel to the end, and demuxes it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutrickle_media::{AccessUnit, Codec, Timestamp, TrackKind};
use cutrickle_mpegts::{Demuxer, Event, Program};
use cutrickle_trickle::{ClientConfig, Start, Subscriber};
use tokio::sync::watch;

use super::DEADLINE;

/// What has come out so far.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub bytes: Vec<u8>,
    /// What each unit is coded in, when it is shown, and whether it is a keyframe.
    pub units: Vec<(Codec, Timestamp, bool)>,
    pub programs: Vec<Program>,
    /// Units of video, and of audio.
    pub frames: usize,
    pub packets: usize,
    pub segments: usize,
}

impl Seen {
    /// When the units of one kind are shown.
    pub fn times(&self, kind: TrackKind) -> Vec<Timestamp> {
        self.units.iter().filter(|(codec, ..)| codec.kind() == kind).map(|(_, pts, _)| *pts).collect()
    }
}

/// How far a viewer has come.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    frames: usize,
    packets: usize,
    /// The newest video, and the newest audio.
    last: [Timestamp; 2],
}

/// Reads a channel to its end.
pub struct Viewer {
    seen: watch::Receiver<Counts>,
    all: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Viewer {
    pub fn new(url: &str) -> Self {
        // Viewers outlast every outage.
        let retry_window = Duration::from_secs(600);
        let config = ClientConfig { missing_grace: DEADLINE, retry_window, ..ClientConfig::default() };
        let mut subscriber = Subscriber::new(url, Start::Seq(0), config).unwrap();
        let (counts, seen) = watch::channel(Counts::default());
        let all = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&all);
        let task = tokio::spawn(async move {
            let mut demuxer = Demuxer::new();
            let count = |event: Event| {
                let mut all = shared.lock().unwrap();
                match event {
                    Event::Program(program) => all.programs.push(program),
                    Event::Unit(AccessUnit { codec, pts, keyframe, .. }) => {
                        all.units.push((codec, pts, keyframe));
                        if codec.is_video() {
                            all.frames += 1
                        } else {
                            all.packets += 1
                        }
                        let (frames, packets) = (all.frames, all.packets);
                        counts.send_modify(|counts| {
                            *counts = Counts { frames, packets, ..*counts };
                            let last = &mut counts.last[usize::from(codec.is_audio())];
                            *last = pts.max(*last);
                        });
                    }
                }
            };
            while let Some(mut segment) = subscriber.next().await.unwrap() {
                shared.lock().unwrap().segments += 1;
                while let Some(bytes) = segment.chunk().await {
                    shared.lock().unwrap().bytes.extend_from_slice(&bytes);
                    demuxer.push(&bytes, &mut |event| count(event));
                }
                demuxer.end_segment(&mut |event| count(event));
            }
        });
        Self { seen, all, task }
    }

    async fn until(&self, what: &str, enough: impl FnMut(&Counts) -> bool) {
        let mut seen = self.seen.clone();
        let waited = tokio::time::timeout(DEADLINE, seen.wait_for(enough)).await;
        match waited {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => panic!("the output ended before {what}"),
            Err(_) => panic!("no {what} within {DEADLINE:?}"),
        }
    }

    /// Waits until `n` frames have come out in all.
    pub async fn frames(&self, n: usize) {
        self.until(&format!("frame {n}"), |counts| counts.frames >= n).await;
    }

    /// Waits until `n` packets of audio have come out in all.
    pub async fn packets(&self, n: usize) {
        self.until(&format!("packet {n} of audio"), |counts| counts.packets >= n).await;
    }

    /// Waits until the last unit of `segment` has come out: that of its video or, where it has none, of its audio.
    pub async fn reaches(&self, segment: &[u8]) {
        let mut last = [None; 2];
        let mut demuxer = Demuxer::new();
        let mut note = |event: Event| {
            if let Event::Unit(unit) = event {
                let last = &mut last[usize::from(unit.codec.is_audio())];
                *last = Some(last.map_or(unit.pts, |pts: Timestamp| pts.max(unit.pts)));
            }
        };
        demuxer.push(segment, &mut note);
        demuxer.end_segment(&mut note);
        let [video, audio] = last;
        self.until("the last unit", |counts| match (video, audio) {
            (Some(pts), _) => counts.last[0] >= pts,
            (None, Some(pts)) => counts.last[1] >= pts,
            (None, None) => panic!("a segment without units"),
        })
        .await;
    }

    pub fn seen(&self) -> Seen {
        self.all.lock().unwrap().clone()
    }

    /// Waits for the end of the channel.
    pub async fn end(self) -> Seen {
        tokio::time::timeout(DEADLINE, self.task).await.expect("the output ends").unwrap();
        self.all.lock().unwrap().clone()
    }
}
