//! The stream that is sent: numbered pictures of a clip, with grain, and the sound that goes with them, encoded and
//! packed before the measurement begins.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cutrickle_codec::{AudioFormat, Coding, EncoderConfig, VideoCodec, VideoDecoder, VideoUnit, audio, open};
use cutrickle_error::chain;
use cutrickle_frame::{I420, Scaler, VideoFrame};
use cutrickle_mpegts::{AccessUnit, Codec, Demuxer, Event, MuxProgram, Muxer, TrackKind};

use super::sound;
use super::stamp::{self, Layout};
use crate::failure::Failure;

/// Timestamp of the first picture, in 90 kHz ticks: late enough that no stamp before it is negative.
const START: i64 = 900_000;
/// A packet of sound is there when its last sample is: 20 ms after its first.
const SOUND_LASTS: i64 = 1_800;
/// Standard deviation of the grain in luma: that of a good camera indoors.
const GRAIN: f32 = 4.0;
/// What live cameras and gateways send: 2.8 Mbit/s at 720p30.
const BITS_PER_PIXEL: f64 = 0.1;

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures per second.
    pub fps: u32,
    /// Length.
    pub seconds: u32,
}

impl Wanted {
    /// How many pictures that is.
    pub fn pictures(&self) -> u32 {
        self.fps.saturating_mul(self.seconds)
    }

    fn bitrate(&self) -> u32 {
        let pixels = f64::from(self.width) * f64::from(self.height);
        (pixels * f64::from(self.fps) * BITS_PER_PIXEL).max(200_000.0) as u32
    }

    /// The time of picture `number`, in 90 kHz ticks.
    pub fn timestamp(&self, number: u32) -> i64 {
        START + i64::from(number) * 90_000 / i64::from(self.fps.max(1))
    }

    /// The picture at `timestamp`, as the stream was sent.
    pub fn number_at(&self, timestamp: i64) -> Option<u32> {
        let half_a_picture = 45_000 / i64::from(self.fps.max(1));
        let number = (timestamp - START + half_a_picture) * i64::from(self.fps) / 90_000;
        u32::try_from(number).ok().filter(|number| *number < self.pictures())
    }
}

/// Bytes to send at once.
#[derive(Debug, Clone)]
pub struct Unit {
    /// When, after the first.
    pub due: Duration,
    /// Whether a segment begins with it.
    pub begins_segment: bool,
    /// The number of the picture, if it is one.
    pub picture: Option<u32>,
    /// Transport packets.
    pub bytes: Bytes,
}

/// A stream that is ready to be sent.
#[derive(Debug)]
pub struct Source {
    /// What it is.
    pub wanted: Wanted,
    /// Its bytes in the order they are due.
    pub units: Vec<Unit>,
    /// Where the numbers lie in its pictures.
    pub layout: Layout,
    /// How far each tone lies from its picture in this stream, in 90 kHz ticks.
    pub sound_offsets: Vec<i64>,
}

impl Source {
    /// Encodes what is wanted from the pictures of `clip` (MPEG-TS), again and again. `progress` hears the number of
    /// each picture.
    ///
    /// # Errors
    /// A size that leaves no room for the number or that the encoder does not take; a clip without a picture.
    pub fn prepare(clip: &[u8], wanted: Wanted, progress: impl Fn(u32)) -> Result<Self, Failure> {
        let (width, height) = (wanted.width, wanted.height);
        let layout = Layout::of_source(width, height).ok_or_else(|| {
            Failure::usage(format!("--width {width} --height {height}: too small for a readable number"))
        })?;
        if wanted.pictures() >= stamp::NUMBERS {
            return Err(Failure::usage(format!(
                "{} pictures are more than can be numbered",
                wanted.pictures()
            )));
        }
        let (sounds, sound_offsets) = sounds(&wanted)?;
        let mut sounds = sounds.into_iter().peekable();
        let mut muxer =
            Muxer::new(MuxProgram::new(Some(Codec::H264), Some(Codec::Opus))?.with_opus_channels(1));
        let mut units = Vec::new();
        let mut out = BytesMut::new();
        let mut clip = Clip::new(clip)?;
        let mut grain = Grain::new(width as usize * height as usize);
        let mut scaler = Scaler::new(width, height);
        let mut encoder = None;
        for number in 0..wanted.pictures() {
            let timestamp = wanted.timestamp(number);
            while let Some(sound) = sounds.next_if(|sound| sound.timestamp + SOUND_LASTS <= timestamp) {
                let at = sound.timestamp;
                muxer.write_unit(TrackKind::Audio, at, at, true, &sound.data, &mut out)?;
                let bytes = out.split().freeze();
                units.push(Unit { due: due(at + SOUND_LASTS), begins_segment: false, picture: None, bytes });
            }
            let frame = clip.next()?;
            let mut picture = scaler.fill(&*frame.i420()?)?;
            grain.add(&mut picture);
            stamp::write(&mut picture, &layout, number);
            let encoder = match &mut encoder {
                Some(encoder) => encoder,
                none => none.insert(open::host_video_encoder(EncoderConfig {
                    width,
                    height,
                    fps: f64::from(wanted.fps),
                    bitrate: wanted.bitrate(),
                    coding: Coding::default(),
                    colour: frame.colour(),
                })?),
            };
            let begins_segment = number % wanted.fps.max(1) == 0;
            let frame = VideoFrame::from_i420(picture, frame.colour(), timestamp);
            let encoded = encoder.encode(&frame, begins_segment)?;
            if begins_segment {
                muxer.begin_segment(&mut out);
            }
            let keyframe = encoded.keyframe;
            muxer.write_unit(TrackKind::Video, timestamp, timestamp, keyframe, &encoded.data, &mut out)?;
            let bytes = out.split().freeze();
            units.push(Unit { due: due(timestamp), begins_segment, picture: Some(number), bytes });
            progress(number);
        }
        Ok(Self { wanted, units, layout, sound_offsets })
    }
}

fn due(timestamp: i64) -> Duration {
    Duration::from_micros(u64::try_from((timestamp - START).max(0) * 100 / 9).unwrap_or_default())
}

/// The packets of the tones, and how far each tone lies from its picture once they are decoded.
fn sounds(wanted: &Wanted) -> Result<(VecDeque<cutrickle_codec::EncodedAudio>, Vec<i64>), Failure> {
    let mut encoder = audio::encoder(AudioFormat::Opus, 1)?;
    let mut packets = VecDeque::new();
    for (timestamp, samples) in sound::tones(START, wanted.seconds) {
        encoder.encode(&samples, timestamp, &mut |packet| packets.push_back(packet))?;
    }
    let mut decoder = audio::decoder(AudioFormat::Opus)?;
    let mut onsets = sound::Onsets::default();
    for packet in &packets {
        onsets.push(packet.timestamp, &decoder.decode(&packet.data)?);
    }
    let whole_seconds = (0..wanted.seconds).map(|second| wanted.timestamp(second * wanted.fps));
    Ok((packets, sound::offsets(whole_seconds, &onsets.found())))
}

/// The pictures of a transport stream, without end.
struct Clip {
    units: Vec<AccessUnit>,
    codec: VideoCodec,
    next: usize,
    decoder: Box<dyn VideoDecoder>,
    ready: VecDeque<VideoFrame>,
    /// Pictures since the clip's beginning.
    pictures: usize,
}

impl Clip {
    fn new(clip: &[u8]) -> Result<Self, Failure> {
        let mut units = Vec::new();
        let mut take = |event| match event {
            Event::Unit(unit) if unit.codec.is_video() => units.push(unit),
            _ => {}
        };
        let mut demuxer = Demuxer::new();
        demuxer.push(clip, &mut take);
        demuxer.end_segment(&mut take);
        let codec = match units.first().map(|unit| unit.codec) {
            Some(Codec::H265) => VideoCodec::H265,
            Some(_) => VideoCodec::H264,
            None => return Err(Failure::usage("the clip is no MPEG transport stream with H.264 video")),
        };
        let decoder = open::host_video_decoder(codec)?;
        Ok(Self { units, codec, next: 0, decoder, ready: VecDeque::new(), pictures: 0 })
    }

    fn next(&mut self) -> Result<VideoFrame, Failure> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.pictures += 1;
                return Ok(frame);
            }
            let Self { units, decoder, ready, .. } = self;
            let Some(unit) = units.get(self.next) else {
                decoder.flush(&mut |frame| ready.push_back(frame))?;
                if self.pictures + ready.len() == 0 {
                    return Err(Failure::usage("no picture of the clip can be decoded"));
                }
                self.decoder = open::host_video_decoder(self.codec)?;
                (self.next, self.pictures) = (0, 0);
                continue;
            };
            self.next += 1;
            let unit = VideoUnit {
                data: &unit.data,
                timestamp: unit.pts,
                keyframe: unit.keyframe,
                damaged: unit.damaged,
            };
            if let Err(error) = decoder.decode(&unit, &mut |frame| ready.push_back(frame)) {
                tracing::debug!(error = %chain(&error), "a unit of the clip was left out");
            }
        }
    }
}

/// Noise such as a camera's: the same on every run, another on each picture.
struct Grain {
    noise: Vec<i8>,
    random: u64,
}

/// Pictures begin anywhere in so much more noise than one of them needs.
const SPARE_NOISE: usize = 1 << 16;

impl Grain {
    fn new(pixels: usize) -> Self {
        let mut grain = Self { noise: Vec::new(), random: 0x9E37_79B9_7F4A_7C15 };
        // The sum of eight bytes is close to normally distributed; each has a variance of (256^2 - 1) / 12.
        let scale = GRAIN / (8.0f32 * 65_535.0 / 12.0).sqrt();
        let noise = (0..pixels + SPARE_NOISE).map(|_| {
            let sum: i32 = grain.random().to_le_bytes().into_iter().map(i32::from).sum();
            ((sum as f32 - 1_020.0) * scale).round() as i8
        });
        let noise = noise.collect();
        Self { noise, ..grain }
    }

    /// Marsaglia's xorshift with the triple 13, 7, 17.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn add(&mut self, picture: &mut I420) {
        let skipped = self.random() as usize % SPARE_NOISE;
        let [luma, ..] = picture.planes_mut();
        for (sample, noise) in luma.data.iter_mut().zip(self.noise.iter().skip(skipped)) {
            *sample = sample.saturating_add_signed(*noise);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_timestamps_are_two_names_of_a_picture() {
        for fps in [24, 25, 30, 50, 60] {
            let wanted = Wanted { width: 320, height: 240, fps, seconds: 10 };
            for number in 0..wanted.pictures() {
                assert_eq!(wanted.number_at(wanted.timestamp(number)), Some(number), "{fps} fps");
            }
            assert_eq!(wanted.number_at(wanted.timestamp(wanted.pictures())), None);
            assert_eq!(wanted.number_at(0), None);
        }
    }

    #[test]
    fn grain_has_the_wanted_deviation_and_no_mean() {
        let mut picture = I420::new(640, 480).unwrap();
        let [luma, ..] = picture.planes_mut();
        luma.data.fill(128);
        Grain::new(640 * 480).add(&mut picture);
        let noise: Vec<f64> = picture.planes()[0].data.iter().map(|luma| f64::from(*luma) - 128.0).collect();
        let mean = noise.iter().sum::<f64>() / noise.len() as f64;
        let variance = noise.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / noise.len() as f64;
        assert!(mean.abs() < 0.1 && (variance.sqrt() - 4.0).abs() < 0.2, "{mean} {}", variance.sqrt());
    }
}
