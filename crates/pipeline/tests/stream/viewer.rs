//! Whoever watches a stream's output: takes everything that its sink is given.

use std::sync::{Arc, Mutex};

use candle_core::Device;
use cutrickle_codec::Backends;
use cutrickle_frame::{Origin, VideoFrame};
use cutrickle_media::{AccessUnit, TrackKind, Tracks, VideoCodec};
use cutrickle_pipeline::ends::Coded;
use cutrickle_pipeline::ends::memory::MemoryOutput;
use tokio::sync::watch;

use super::{number, within};

/// What has come out so far.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub units: Vec<AccessUnit>,
    /// The tracks of each segment, and how many units came before it.
    pub segments: Vec<(Tracks, usize)>,
}

impl Seen {
    pub fn of(&self, kind: TrackKind) -> Vec<&AccessUnit> {
        self.units.iter().filter(|unit| unit.codec.kind() == kind).collect()
    }

    /// Units of video.
    pub fn frames(&self) -> usize {
        self.of(TrackKind::Video).len()
    }

    /// Units of audio.
    pub fn packets(&self) -> usize {
        self.of(TrackKind::Audio).len()
    }

    /// The video, decoded.
    pub fn decoded(&self) -> Vec<VideoFrame> {
        let mut decoder =
            Backends::builtin().open_video_decoder_named("openh264", VideoCodec::H264, &Device::Cpu).unwrap();
        let mut frames = Vec::new();
        for unit in self.of(TrackKind::Video) {
            decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame)).unwrap();
        }
        decoder.flush(&mut |frame| frames.push(frame)).unwrap();
        assert_eq!(frames.len(), self.frames(), "what comes out can be decoded");
        frames
    }

    /// The numbers that the frames show.
    pub fn numbers(&self) -> Vec<u8> {
        self.decoded().iter().map(number).collect()
    }
}

/// Takes the output to its end.
pub struct Viewer {
    all: Arc<Mutex<Seen>>,
    /// Units of video, and of audio.
    counts: watch::Receiver<[usize; 2]>,
    task: tokio::task::JoinHandle<()>,
}

impl Viewer {
    pub fn new(mut output: MemoryOutput) -> Self {
        let all = Arc::new(Mutex::new(Seen::default()));
        let (count, counts) = watch::channel([0; 2]);
        let shared = Arc::clone(&all);
        let task = tokio::spawn(async move {
            while let Some(coded) = output.next().await {
                let mut all = shared.lock().unwrap();
                match coded {
                    Coded::Segment(tracks) => {
                        let before = all.units.len();
                        all.segments.push((tracks, before));
                    }
                    Coded::Unit(unit) => {
                        let kind = usize::from(unit.codec.is_audio());
                        all.units.push(unit);
                        count.send_modify(|counts| counts[kind] += 1);
                    }
                }
            }
        });
        Self { all, counts, task }
    }

    async fn until(&self, what: &str, enough: impl FnMut(&[usize; 2]) -> bool) {
        let mut counts = self.counts.clone();
        within(what, counts.wait_for(enough))
            .await
            .unwrap_or_else(|_| panic!("the output ended before {what}"));
    }

    /// Waits until `n` frames have come out in all.
    pub async fn frames(&self, n: usize) {
        self.until(&format!("frame {n}"), |[frames, _]| *frames >= n).await;
    }

    /// Waits until `n` packets of audio have come out in all.
    pub async fn packets(&self, n: usize) {
        self.until(&format!("packet {n} of audio"), |[_, packets]| *packets >= n).await;
    }

    pub fn seen(&self) -> Seen {
        self.all.lock().unwrap().clone()
    }

    /// Waits for the end of the output.
    pub async fn end(self) -> Seen {
        within("the end of the output", self.task).await.unwrap();
        self.all.lock().unwrap().clone()
    }
}
