//! What tests are played: access units of numbered frames, made by the encoders that are built in. A frame's number is in its
//! pixels, where it survives coding: eight bars, each of which is white for a one and black for a zero.

use candle_core::{Device, Tensor};
use cutrickle_codec::{Backends, Coding, EncoderConfig, Samples};
use cutrickle_frame::{I420, VideoFrame};
use cutrickle_media::{AccessUnit, AudioCodec, Colour, Size, Ticks, Timestamp, Tracks, VideoCodec};

/// From one frame to the next.
pub const FRAME: Ticks = Ticks::new(3_000);
/// Where the clock of a clip begins.
const BEGIN: Timestamp = Timestamp::from_ticks(90_000);

const BARS: u32 = 8;
const BLACK: u8 = 30;
const WHITE: u8 = 220;

/// A stream for tests: `frames` frames, 30 a second, of which the first of each second is a keyframe.
pub struct Clip {
    pub size: Size,
    pub frames: usize,
    /// Opus, as long as the video.
    pub audio: bool,
}

impl Default for Clip {
    fn default() -> Self {
        Self { size: Size::new(128, 64), frames: 60, audio: false }
    }
}

impl Clip {
    pub fn of(frames: usize) -> Self {
        Self { frames, ..Self::default() }
    }

    pub fn tracks(&self) -> Tracks {
        let audio = self.audio.then_some(AudioCodec::Opus);
        Tracks { video: Some(VideoCodec::H264), audio, audio_channels: audio.map(|_| 1) }
    }

    /// Its access units, in the order of their timestamps.
    pub fn units(&self) -> Vec<AccessUnit> {
        let mut units = self.video();
        if self.audio {
            units.extend(self.audio());
            units.sort_by_key(|unit| unit.dts);
        }
        units
    }

    fn video(&self) -> Vec<AccessUnit> {
        let config = EncoderConfig {
            size: self.size,
            fps: 30.0,
            bitrate: 2_000_000,
            coding: Coding::default(),
            colour: Colour::BT601,
        };
        let mut encoder =
            Backends::builtin().open_video_encoder_named("openh264", config, &Device::Cpu).unwrap();
        let unit =
            |n| encoder.encode(&numbered(n as u8, self.size, BEGIN + FRAME * n as i64), n % 30 == 0).unwrap();
        (0..self.frames).map(unit).collect()
    }

    fn audio(&self) -> Vec<AccessUnit> {
        let length = self.frames * 48_000 / 30;
        let tone = |n| 0.5 * (n as f32 * 440.0 * std::f32::consts::TAU / 48_000.0).sin();
        let samples = Samples { sample_rate: 48_000, channels: vec![(0..length).map(tone).collect()] };
        let mut encoder = Backends::builtin().open_audio_encoder(AudioCodec::Opus, 1).unwrap();
        let mut packets = Vec::new();
        encoder.encode(&samples, BEGIN, &mut |packet| packets.push(packet)).unwrap();
        packets
    }
}

/// A frame that shows `number`.
pub fn numbered(number: u8, size: Size, at: Timestamp) -> VideoFrame {
    let mut picture = I420::new(size.width, size.height).unwrap();
    let [luma, ..] = picture.planes_mut();
    for (place, sample) in luma.data.iter_mut().enumerate() {
        let bar = (place % luma.width) as u32 * BARS / size.width;
        *sample = if number >> bar & 1 == 1 { WHITE } else { BLACK };
    }
    VideoFrame::from_i420(picture, Colour::BT601, at)
}

/// The number that a frame shows. It is looked for near the frame's top, where no banner is.
pub fn number(frame: &VideoFrame) -> u8 {
    let picture = frame.i420().unwrap();
    let [luma, ..] = picture.planes();
    let row = luma.height / 8 * luma.stride;
    let is_white = |bar: usize| luma.data[row + (2 * bar + 1) * luma.width / (2 * BARS as usize)] > 125;
    (0..BARS as usize).filter(|bar| is_white(*bar)).map(|bar| 1 << bar).sum()
}

/// A frame made from scratch that shows the number of `frame` with every bit of it turned, at a time of its own.
pub fn inverted(frame: &VideoFrame) -> cutrickle_pipeline::Result<VideoFrame> {
    let pixels = frame.tensor()?;
    let inverted = (Tensor::full(255u8, pixels.shape(), pixels.device())? - pixels)?;
    Ok(VideoFrame::from_tensor(inverted, Timestamp::ZERO)?)
}
