//! The stream that is sent: numbered frames of a clip, with grain, and the audio that goes with them, encoded
//! and packed before the measurement begins.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use candle_core::Device;
use cutrickle_codec::{Backends, Coding, EncoderConfig, VideoDecoder};
use cutrickle_error::chain;
use cutrickle_frame::{I420, Origin, Scaler, VideoFrame};
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Size, Ticks, Timestamp, VideoCodec};
use cutrickle_mpegts::{Demuxer, Event, MuxProgram, Muxer};
use cutrickle_worker::Failure;

use super::audio;
use super::stamp::{self, Layout};

/// The timestamp of the first frame: late enough that no timestamp before it is negative.
const START: Timestamp = Timestamp::from_ticks(900_000);
/// A packet of audio is complete when its last sample is, which is 20 ms after its first.
const PACKET_DURATION: Ticks = Ticks::from_millis(20);
/// The standard deviation of the grain in luma: that of a good camera indoors.
const GRAIN: f32 = 4.0;
/// What live cameras and gateways send: 2.8 Mbit/s at 720p30.
const BITS_PER_PIXEL: f64 = 0.1;

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The size of the frames.
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
    /// The duration of the stream in seconds.
    pub seconds: u32,
}

impl Wanted {
    /// How many frames the stream has.
    pub fn frames(&self) -> u32 {
        self.fps.saturating_mul(self.seconds)
    }

    fn bitrate(&self) -> u32 {
        let pixels = f64::from(self.size.width) * f64::from(self.size.height);
        (pixels * f64::from(self.fps) * BITS_PER_PIXEL).max(200_000.0) as u32
    }

    /// The timestamp of frame `number`.
    pub fn timestamp(&self, number: u32) -> Timestamp {
        START + Ticks::PER_SECOND * i64::from(number) / i64::from(self.fps.max(1))
    }

    /// The number of the frame that was sent with `timestamp`.
    pub fn number_at(&self, timestamp: Timestamp) -> Option<u32> {
        let half_a_frame = Ticks::PER_SECOND / 2 / i64::from(self.fps.max(1));
        let number = (timestamp - START + half_a_frame) * i64::from(self.fps) / Ticks::PER_SECOND.get();
        u32::try_from(number.get()).ok().filter(|number| *number < self.frames())
    }
}

/// Bytes that are sent at the same time.
#[derive(Debug, Clone)]
pub struct Unit {
    /// When they are due, counted from the start of the stream.
    pub due: Duration,
    /// Whether a segment begins with them.
    pub begins_segment: bool,
    /// The number of the frame, if they are one.
    pub frame: Option<u32>,
    /// Transport packets.
    pub bytes: Bytes,
}

/// A stream that is ready to be sent.
#[derive(Debug)]
pub struct Source {
    /// What was asked for.
    pub wanted: Wanted,
    /// Its bytes, in the order in which they are due.
    pub units: Vec<Unit>,
    /// Where the numbers are in its frames.
    pub layout: Layout,
    /// How far each tone is from its frame in this stream.
    pub audio_offsets: Vec<Ticks>,
}

impl Source {
    /// Encodes what is wanted from the frames of `clip` (MPEG-TS), which is repeated as often as needed.
    /// `progress` is called with the number of each frame.
    ///
    /// # Errors
    /// The size leaves no room for the number, or the encoder does not take it; the clip has no frame.
    pub fn prepare(clip: &[u8], wanted: Wanted, progress: impl Fn(u32)) -> Result<Self, Failure> {
        let Size { width, height } = wanted.size;
        let layout = Layout::of_source(wanted.size).ok_or_else(|| {
            Failure::usage(format!("--width {width} --height {height}: too small for a readable number"))
        })?;
        if wanted.frames() >= stamp::NUMBERS {
            return Err(Failure::usage(format!(
                "{} pictures are more than can be numbered",
                wanted.frames()
            )));
        }
        let backends = Backends::builtin();
        let (mut packets, audio_offsets) = packets(&wanted, &backends)?;
        let program = MuxProgram::new(Some(VideoCodec::H264), Some(AudioCodec::Opus))?;
        let mut muxer = Muxer::new(program.with_opus_channels(1));
        let mut units = Vec::new();
        let mut out = BytesMut::new();
        let mut clip = Clip::new(clip, &backends)?;
        let mut grain = Grain::new(width as usize * height as usize);
        let mut scaler = Scaler::new(width, height);
        let mut encoder = None;
        for number in 0..wanted.frames() {
            let timestamp = wanted.timestamp(number);
            while let Some(packet) = packets.pop_front_if(|packet| packet.pts + PACKET_DURATION <= timestamp)
            {
                muxer.write_unit(&packet, &mut out)?;
                let (due, bytes) = (due(packet.pts + PACKET_DURATION), out.split().freeze());
                units.push(Unit { due, begins_segment: false, frame: None, bytes });
            }
            let frame = clip.next()?;
            let mut picture = scaler.fill(&*frame.i420()?)?;
            grain.add(&mut picture);
            stamp::write(&mut picture, &layout, number);
            let encoder = match &mut encoder {
                Some(encoder) => encoder,
                none => {
                    let config = EncoderConfig {
                        size: wanted.size,
                        fps: f64::from(wanted.fps),
                        bitrate: wanted.bitrate(),
                        coding: Coding::default(),
                        colour: frame.colour(),
                    };
                    none.insert(backends.open_video_encoder(config, &Device::Cpu)?)
                }
            };
            let begins_segment = number % wanted.fps.max(1) == 0;
            let frame = VideoFrame::from_i420(picture, frame.colour(), timestamp);
            let encoded = encoder.encode(&frame, begins_segment)?;
            if begins_segment {
                muxer.begin_segment(&mut out);
            }
            muxer.write_unit(&encoded, &mut out)?;
            let (due, bytes) = (due(timestamp), out.split().freeze());
            units.push(Unit { due, begins_segment, frame: Some(number), bytes });
            progress(number);
        }
        Ok(Self { wanted, units, layout, audio_offsets })
    }
}

fn due(timestamp: Timestamp) -> Duration {
    (timestamp - START).duration()
}

/// The packets of the tones, and how far each tone is from its frame once they are decoded.
fn packets(wanted: &Wanted, backends: &Backends) -> Result<(VecDeque<AccessUnit>, Vec<Ticks>), Failure> {
    let mut encoder = backends.open_audio_encoder(AudioCodec::Opus, 1)?;
    let mut packets = VecDeque::new();
    for (timestamp, samples) in audio::tones(START, wanted.seconds) {
        encoder.encode(&samples, timestamp, &mut |packet| packets.push_back(packet))?;
    }
    let mut decoder = backends.open_audio_decoder(AudioCodec::Opus)?;
    let mut onsets = audio::Onsets::default();
    for packet in &packets {
        onsets.push(packet.pts, &decoder.decode(&packet.data)?);
    }
    let whole_seconds = (0..wanted.seconds).map(|second| wanted.timestamp(second * wanted.fps));
    Ok((packets, audio::offsets(whole_seconds, &onsets.found())))
}

/// The frames of a transport stream, repeated without end.
struct Clip<'a> {
    backends: &'a Backends,
    units: Vec<AccessUnit>,
    codec: VideoCodec,
    next: usize,
    decoder: Box<dyn VideoDecoder>,
    ready: VecDeque<VideoFrame>,
    /// How many frames were returned since the beginning of the clip.
    frames: usize,
}

impl<'a> Clip<'a> {
    fn new(clip: &[u8], backends: &'a Backends) -> Result<Self, Failure> {
        let mut units = Vec::new();
        let mut take = |event| match event {
            Event::Unit(unit) if unit.codec.is_video() => units.push(unit),
            _ => {}
        };
        let mut demuxer = Demuxer::new();
        demuxer.push(clip, &mut take);
        demuxer.end_segment(&mut take);
        let Some(Codec::Video(codec)) = units.first().map(|unit| unit.codec) else {
            return Err(Failure::usage("the clip is no MPEG transport stream with H.264 video"));
        };
        let decoder = backends.open_video_decoder(codec, &Device::Cpu)?;
        Ok(Self { backends, units, codec, next: 0, decoder, ready: VecDeque::new(), frames: 0 })
    }

    fn next(&mut self) -> Result<VideoFrame, Failure> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                self.frames += 1;
                return Ok(frame);
            }
            let Self { units, decoder, ready, .. } = self;
            let Some(unit) = units.get(self.next) else {
                decoder.flush(&mut |frame| ready.push_back(frame))?;
                if self.frames + ready.len() == 0 {
                    return Err(Failure::usage("no picture of the clip can be decoded"));
                }
                self.decoder = self.backends.open_video_decoder(self.codec, &Device::Cpu)?;
                (self.next, self.frames) = (0, 0);
                continue;
            };
            self.next += 1;
            if let Err(error) = decoder.decode(unit, Origin::now(), &mut |frame| ready.push_back(frame)) {
                tracing::debug!(error = %chain(&error), "a unit of the clip was left out");
            }
        }
    }
}

/// Noise such as that of a camera. It is different for each frame, but the same in every run.
struct Grain {
    noise: Vec<i8>,
    random: u64,
}

/// How many samples of noise there are in addition to those of one frame, so that each frame can begin at a
/// place of its own.
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
    fn the_number_of_a_frame_follows_from_its_timestamp() {
        for fps in [24, 25, 30, 50, 60] {
            let wanted = Wanted { size: Size::new(320, 240), fps, seconds: 10 };
            for number in 0..wanted.frames() {
                assert_eq!(wanted.number_at(wanted.timestamp(number)), Some(number), "{fps} fps");
            }
            assert_eq!(wanted.number_at(wanted.timestamp(wanted.frames())), None);
            assert_eq!(wanted.number_at(Timestamp::ZERO), None);
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
