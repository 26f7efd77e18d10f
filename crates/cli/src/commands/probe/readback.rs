//! Reads what was recorded: which frame came when, and where the tones are among them.

use std::collections::HashMap;

use candle_core::Device;
use cutrickle_codec::{AudioDecoder, Backends, VideoDecoder};
use cutrickle_error::chain;
use cutrickle_frame::{Origin, VideoFrame};
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Size, Timestamp, VideoCodec};
use cutrickle_mpegts::{Demuxer, Event};
use cutrickle_worker::Failure;
use tokio::time::Instant;

use super::audio::Onsets;
use super::receive::Recording;
use super::source::{Source, Wanted};
use super::stamp;

/// One frame of the output.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// The number that is drawn into it.
    pub number: u32,
    /// Its timestamp in the output.
    pub timestamp: Timestamp,
    /// When its last byte arrived.
    pub at: Instant,
}

/// What came out of the worker.
#[derive(Debug, Default)]
pub struct Output {
    /// The frames, in display order.
    pub frames: Vec<Frame>,
    /// How many frames had no readable number, and how many units could not be decoded.
    pub unreadable: u32,
    /// The size of the last frame.
    pub size: Option<Size>,
    /// When tones begin.
    pub onsets: Vec<Timestamp>,
    /// The codecs.
    pub codecs: Vec<Codec>,
}

/// Calls `each` with every access unit and the time at which it was complete.
fn units(recording: &Recording, mut each: impl FnMut(AccessUnit, Instant)) {
    let mut demuxer = Demuxer::new();
    for chunks in &recording.segments {
        for chunk in chunks {
            demuxer.push(&chunk.bytes, &mut |event| {
                if let Event::Unit(unit) = event {
                    each(unit, chunk.at);
                }
            });
        }
        demuxer.end_segment(&mut |event| {
            if let (Event::Unit(unit), Some(last)) = (event, chunks.last()) {
                each(unit, last.at);
            }
        });
    }
}

/// When each frame of the unprocessed stream arrived, by number.
pub fn arrivals(recording: &Recording, wanted: &Wanted) -> HashMap<u32, Instant> {
    let mut arrivals = HashMap::new();
    units(recording, |unit, at| {
        if let Some(number) = wanted.number_at(unit.pts).filter(|_| unit.codec.is_video()) {
            arrivals.insert(number, at);
        }
    });
    arrivals
}

/// Decodes the output and reads its numbers.
///
/// # Errors
/// This build has no decoder for what the worker sent.
pub fn output(recording: &Recording, source: &Source) -> Result<Output, Failure> {
    let mut reader = Reader::new(source);
    let mut failed = None;
    units(recording, |unit, at| {
        if failed.is_none() {
            failed = reader.unit(&unit, at).err();
        }
    });
    match failed {
        Some(failure) => Err(failure),
        None => reader.end(),
    }
}

struct Reader<'a> {
    source: &'a Source,
    backends: Backends,
    output: Output,
    onsets: Onsets,
    arrived: HashMap<Timestamp, Instant>,
    video: Option<Box<dyn VideoDecoder>>,
    audio: Option<(AudioCodec, Box<dyn AudioDecoder>)>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source) -> Self {
        Self {
            source,
            backends: Backends::builtin(),
            output: Output::default(),
            onsets: Onsets::default(),
            arrived: HashMap::new(),
            video: None,
            audio: None,
        }
    }

    fn unit(&mut self, unit: &AccessUnit, at: Instant) -> Result<(), Failure> {
        if !self.output.codecs.contains(&unit.codec) {
            self.output.codecs.push(unit.codec);
        }
        match unit.codec {
            Codec::Video(codec) => self.video(codec, unit, at),
            Codec::Audio(codec) => self.audio(codec, unit),
        }
    }

    fn video(&mut self, codec: VideoCodec, unit: &AccessUnit, at: Instant) -> Result<(), Failure> {
        let Self { output, arrived, source, backends, video, .. } = self;
        let decoder = match video {
            Some(decoder) => decoder,
            none => none.insert(backends.open_video_decoder(codec, &Device::Cpu)?),
        };
        arrived.insert(unit.pts, at);
        let mut take = |frame| output.take(&frame, arrived, source);
        if let Err(error) = decoder.decode(unit, Origin::now(), &mut take) {
            tracing::debug!(error = %chain(&error), "a unit of the output was left out");
            output.unreadable += 1;
        }
        Ok(())
    }

    fn audio(&mut self, codec: AudioCodec, unit: &AccessUnit) -> Result<(), Failure> {
        if self.audio.as_ref().is_none_or(|(known, _)| *known != codec) {
            self.audio = Some((codec, self.backends.open_audio_decoder(codec)?));
        }
        if let Some((_, decoder)) = &mut self.audio {
            match decoder.decode(&unit.data) {
                Ok(samples) => self.onsets.push(unit.pts, &samples),
                Err(error) => tracing::debug!(error = %chain(&error), "a packet of audio was left out"),
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Output, Failure> {
        let Self { output, arrived, source, video, .. } = &mut self;
        if let Some(decoder) = video {
            decoder.flush(&mut |frame| output.take(&frame, arrived, source))?;
        }
        Ok(Output { onsets: self.onsets.found(), ..self.output })
    }
}

impl Output {
    fn take(&mut self, frame: &VideoFrame, arrived: &HashMap<Timestamp, Instant>, source: &Source) {
        self.size = Some(Size::new(frame.width(), frame.height()));
        let number =
            frame.i420().ok().and_then(|picture| stamp::read(&picture, &source.layout, source.wanted.size));
        let timestamp = frame.timestamp();
        match (number, arrived.get(&timestamp)) {
            (Some(number), Some(at)) => self.frames.push(Frame { number, timestamp, at: *at }),
            _ => self.unreadable += 1,
        }
    }
}
