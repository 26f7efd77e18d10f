//! Reads what was recorded: which picture came when, and where the tones lie among them.

use std::collections::HashMap;

use cutrickle_codec::{AudioDecoder, AudioFormat, VideoCodec, VideoDecoder, VideoUnit, audio, open};
use cutrickle_error::chain;
use cutrickle_frame::VideoFrame;
use cutrickle_mpegts::{AccessUnit, Codec, Demuxer, Event};
use tokio::time::Instant;

use super::receive::Recording;
use super::sound::Onsets;
use super::source::{Source, Wanted};
use super::stamp;
use crate::failure::Failure;

/// One picture of the output.
#[derive(Debug, Clone, Copy)]
pub struct Picture {
    /// The number that it carries.
    pub number: u32,
    /// Its time in the output, in 90 kHz ticks.
    pub timestamp: i64,
    /// When its last byte arrived.
    pub at: Instant,
}

/// What came out of the worker.
#[derive(Debug, Default)]
pub struct Output {
    /// The pictures in display order.
    pub pictures: Vec<Picture>,
    /// Pictures without a readable number, and units that no picture could be made of.
    pub unreadable: u32,
    /// Width and height of the last picture.
    pub size: Option<(u32, u32)>,
    /// Where tones begin, in 90 kHz ticks.
    pub onsets: Vec<i64>,
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

/// When each picture of the untouched stream arrived, by number.
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
    output: Output,
    onsets: Onsets,
    arrived: HashMap<i64, Instant>,
    video: Option<Box<dyn VideoDecoder>>,
    sound: Option<(AudioFormat, Box<dyn AudioDecoder>)>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source) -> Self {
        Self {
            source,
            output: Output::default(),
            onsets: Onsets::default(),
            arrived: HashMap::new(),
            video: None,
            sound: None,
        }
    }

    fn unit(&mut self, unit: &AccessUnit, at: Instant) -> Result<(), Failure> {
        if !self.output.codecs.contains(&unit.codec) {
            self.output.codecs.push(unit.codec);
        }
        match unit.codec {
            Codec::H264 => self.picture(VideoCodec::H264, unit, at),
            Codec::H265 => self.picture(VideoCodec::H265, unit, at),
            Codec::Aac => self.sound(AudioFormat::Aac, unit),
            Codec::Opus => self.sound(AudioFormat::Opus, unit),
        }
    }

    fn picture(&mut self, codec: VideoCodec, unit: &AccessUnit, at: Instant) -> Result<(), Failure> {
        let decoder = match &mut self.video {
            Some(decoder) => decoder,
            none => none.insert(open::host_video_decoder(codec)?),
        };
        self.arrived.insert(unit.pts, at);
        let unit = VideoUnit {
            data: &unit.data,
            timestamp: unit.pts,
            keyframe: unit.keyframe,
            damaged: unit.damaged,
        };
        let Self { output, arrived, source, .. } = self;
        if let Err(error) = decoder.decode(&unit, &mut |frame| output.take(&frame, arrived, source)) {
            tracing::debug!(error = %chain(&error), "a unit of the output was left out");
            output.unreadable += 1;
        }
        Ok(())
    }

    fn sound(&mut self, format: AudioFormat, unit: &AccessUnit) -> Result<(), Failure> {
        if self.sound.as_ref().is_none_or(|(known, _)| *known != format) {
            self.sound = Some((format, audio::decoder(format)?));
        }
        if let Some((_, decoder)) = &mut self.sound {
            match decoder.decode(&unit.data) {
                Ok(samples) => self.onsets.push(unit.pts, &samples),
                Err(error) => tracing::debug!(error = %chain(&error), "a packet of sound was left out"),
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
    fn take(&mut self, frame: &VideoFrame, arrived: &HashMap<i64, Instant>, source: &Source) {
        self.size = Some((frame.width(), frame.height()));
        let Source { layout, wanted, .. } = source;
        let number = frame.i420().ok().and_then(|p| stamp::read(&p, layout, (wanted.width, wanted.height)));
        let timestamp = frame.timestamp();
        match (number, arrived.get(&timestamp)) {
            (Some(number), Some(at)) => self.pictures.push(Picture { number, timestamp, at: *at }),
            _ => self.unreadable += 1,
        }
    }
}
