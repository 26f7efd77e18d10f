//! Video and audio from nothing: a clock (UTC) that beeps each second, for a stream without `subscribe_url`.
//!
//!     cargo run --release --example 08_clock -- --port 8000

use std::time::{SystemTime, UNIX_EPOCH};

use cutrickle::prelude::*;

const FPS: u32 = 25;
const RATE: u32 = 48_000;
/// What is lit of 0 to 9 and of a colon: five rows of three rectangles, an octal digit a row.
const GLYPHS: [u16; 11] =
    [0o75557, 0o11111, 0o71747, 0o71717, 0o55711, 0o74717, 0o74757, 0o71111, 0o75757, 0o75717, 0o02020];

/// The time of day at which the stream started, as the span since 1970.
#[derive(Clone, Default)]
struct Clock(Option<Ticks>);

impl FrameProcessor for Clock {
    async fn process_video(&mut self, _: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(None) // A stream with an input is no clock.
    }

    async fn generate(&mut self, timestamp: Timestamp, _: &StreamContext) -> Result<Generated> {
        let since_start = timestamp.since_zero();
        let since_1970 = Ticks::from(SystemTime::now().duration_since(UNIX_EPOCH)?);
        let now = (*self.0.get_or_insert(since_1970 - since_start) + since_start).get();
        let seconds = (now / 90_000) as usize;
        let text = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let lit = |x: usize, y: usize| match x / 8 % 4 {
            3 => 0, // The gap between two digits.
            column => GLYPHS[usize::from(text.as_bytes()[x / 32] - b'0')] >> (14 - y / 16 * 3 - column) & 1,
        };
        let pixels: Vec<u8> = (0..80 * 256).map(|n| 255 * lit(n % 256, n / 256) as u8).collect();
        let picture = Tensor::from_vec(pixels, (80, 256, 1), &Device::Cpu)?;
        // A tenth of a second of 1 kHz at each second's beginning.
        let moment = |n| (now % 90_000) as f32 / 90_000.0 + n as f32 / RATE as f32;
        let beep =
            |t: f32| if t % 1.0 < 0.1 { 0.3 * (t * 1000.0 * std::f32::consts::TAU).sin() } else { 0.0 };
        let samples =
            Tensor::from_iter((0..RATE / FPS).map(|n| beep(moment(n))), &Device::Cpu)?.unsqueeze(0)?;
        let audio = vec![AudioFrame::from_tensor(samples, RATE, timestamp)?];
        Ok(Generated { video: Some(VideoFrame::from_tensor(picture, timestamp)?), audio })
    }
}

fn main() -> Result<()> {
    cutrickle::run_with(Clock::default(), |server| server.target_fps(FPS))
}
