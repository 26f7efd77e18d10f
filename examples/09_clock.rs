//! Pictures and sound from nothing: a clock (UTC) that beeps each second, for a stream without `subscribe_url`.
//!
//!     cargo run --release --example 09_clock -- 8000

use std::time::{SystemTime, UNIX_EPOCH};

use cutrickle::prelude::*;

const FPS: u32 = 25;
const RATE: u32 = 48_000;
/// Left, top, width and height of each segment of a digit, and which of them a digit has, the first one's bit lowest.
const SEGMENTS: [[usize; 4]; 7] = [
    [8, 0, 16, 6],
    [2, 6, 6, 20],
    [24, 6, 6, 20],
    [8, 26, 16, 6],
    [2, 32, 6, 20],
    [24, 32, 6, 20],
    [8, 52, 16, 6],
];
const DIGITS: [u8; 10] = [0x77, 0x24, 0x5d, 0x6d, 0x2e, 0x6b, 0x7b, 0x25, 0x7f, 0x6f];

/// When the stream started, in 90 kHz ticks of the day's clock.
#[derive(Clone, Default)]
struct Clock(Option<i64>);

impl FrameProcessor for Clock {
    async fn process_video(&mut self, _: VideoFrame) -> Result<Option<VideoFrame>> {
        Ok(None) // A stream with an input is no clock.
    }

    async fn generate(&mut self, timestamp: i64) -> Result<Generated> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64 * 90;
        let now = *self.0.get_or_insert(since_1970 - timestamp) + timestamp;
        let seconds = (now / 90_000) as usize;
        let mut pixels = vec![0u8; 96 * 256];
        for (at, number) in [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].into_iter().enumerate() {
            for (left, digit) in [(16 + 80 * at, number / 10), (48 + 80 * at, number % 10)] {
                let lit = SEGMENTS.iter().enumerate().filter(|(n, _)| DIGITS[digit] >> n & 1 == 1);
                for (_, [x, y, width, height]) in lit {
                    (20 + y..20 + y + height)
                        .for_each(|row| pixels[row * 256 + left + x..][..*width].fill(255));
                }
            }
        }
        let picture = Tensor::from_vec(pixels, (96, 256, 1), &Device::Cpu)?;
        // A tenth of a second of 1 kHz at each second's beginning.
        let moment = |n| (now % 90_000) as f32 / 90_000.0 + n as f32 / RATE as f32;
        let beep =
            |t: f32| if t % 1.0 < 0.1 { 0.3 * (t * 1000.0 * std::f32::consts::TAU).sin() } else { 0.0 };
        let sound =
            Tensor::from_iter((0..RATE / FPS).map(|n| beep(moment(n))), &Device::Cpu)?.unsqueeze(0)?;
        let audio = vec![AudioFrame::from_tensor(sound, RATE, timestamp)?];
        Ok(Generated { video: Some(VideoFrame::from_tensor(picture, timestamp)?), audio })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8000".into()).parse()?;
    let server = StreamServer::builder(Clock::default()).target_fps(FPS).host("127.0.0.1").port(port);
    let server = server.build()?.bind().await?;
    println!("listening on http://{}", server.local_addr());
    server.run(std::future::pending()).await;
    Ok(())
}
