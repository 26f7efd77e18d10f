//! What has been written to a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use cutrickle_media::{AccessUnit, Ticks, Timestamp, TrackKind};

/// What a [`FileSink`](crate::FileSink) has written so far. Clones tell the same, from any thread.
#[derive(Debug, Clone, Default)]
pub struct Written(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    units: AtomicU64,
    frames: AtomicU64,
    ticks: AtomicI64,
}

impl Written {
    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Access units, of video and of audio.
    pub fn units(&self) -> u64 {
        self.0.units.load(Ordering::Relaxed)
    }

    /// Access units of video: one for each frame.
    pub fn frames(&self) -> u64 {
        self.0.frames.load(Ordering::Relaxed)
    }

    /// How long it plays: the longer one of its tracks.
    pub fn duration(&self) -> Ticks {
        Ticks::new(self.0.ticks.load(Ordering::Relaxed))
    }
}

/// The one who counts for a [`Written`].
#[derive(Debug, Default)]
pub(crate) struct Tally {
    written: Written,
    video: Span,
    audio: Span,
}

/// The time that a track covers.
#[derive(Debug, Default)]
struct Span {
    ends: Option<(Timestamp, Timestamp)>,
    /// From the last unit but one to the last, which is how long the last one is taken to be.
    step: Ticks,
}

impl Tally {
    pub(crate) fn written(&self) -> Written {
        self.written.clone()
    }

    /// The file is so many bytes long.
    pub(crate) fn reached(&self, bytes: u64) {
        self.written.0.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn unit(&mut self, unit: &AccessUnit) {
        let counts = &self.written.0;
        counts.units.fetch_add(1, Ordering::Relaxed);
        match unit.codec.kind() {
            TrackKind::Video => {
                counts.frames.fetch_add(1, Ordering::Relaxed);
                self.video.reach(unit.pts);
            }
            TrackKind::Audio => self.audio.reach(unit.pts),
        }
        let longer = self.video.duration().max(self.audio.duration());
        counts.ticks.store(longer.get(), Ordering::Relaxed);
    }
}

impl Span {
    fn reach(&mut self, at: Timestamp) {
        let (first, last) = self.ends.unwrap_or((at, at));
        self.step = at - last;
        self.ends = Some((first, at));
    }

    fn duration(&self) -> Ticks {
        self.ends.map_or(Ticks::ZERO, |(first, last)| last - first + self.step)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cutrickle_media::{AudioCodec, Codec, VideoCodec};

    use super::*;

    #[test]
    fn the_last_frame_counts_as_long_as_the_one_before_it() {
        let mut tally = Tally::default();
        let written = tally.written();
        let mut unit = |codec: Codec, ticks| {
            tally.unit(&AccessUnit::new(codec, Timestamp::from_ticks(ticks), true, Bytes::new()));
        };
        for frame in 0..30 {
            unit(VideoCodec::H264.into(), 500 + frame * 3_000);
        }
        unit(AudioCodec::Aac.into(), 0);
        unit(AudioCodec::Aac.into(), 1_920);
        assert_eq!((written.frames(), written.units()), (30, 32));
        assert_eq!(written.duration(), Ticks::PER_SECOND);
    }
}
