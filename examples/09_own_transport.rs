//! A transport of one's own, access units over TCP: a source and a sink, and nothing else has to know of it. Here one stream
//! reads a file and sends it, and another one receives, inverts and writes it.
//!
//!     cargo run --release --example 09_own_transport -- in.ts out.mp4

use cutrickle::ends::{Coded, Input, Output, Sink, SinkEnd, Source};
use cutrickle::prelude::*;
use cutrickle::processors::{Invert, Passthrough};
use cutrickle::{AccessUnit, AudioCodec, Codec, Ends, FileSink, FileSource, InputInfo, MetricsRegistry};
use cutrickle::{Queueing, Session, StreamOptions, Tracks, VideoCodec};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a message is, by its first byte.
const SEGMENT: u8 = 0;
const VIDEO: u8 = 1;
const AUDIO: u8 = 2;
/// No unit is longer: a length beyond it did not come from the other side.
const MAX_UNIT: u32 = 64 << 20;

struct TcpSink(TcpStream);

impl Sink for TcpSink {
    async fn run(mut self, mut output: Output) -> Result<SinkEnd> {
        let outlet = output.outlet();
        while let Some(coded) = output.next().await {
            let mut message = Vec::new();
            match &coded {
                Coded::Segment(tracks) => {
                    let video = VideoCodec::ALL.iter().position(|codec| tracks.video == Some(*codec));
                    let audio = AudioCodec::ALL.iter().position(|codec| tracks.audio == Some(*codec));
                    let number = |place: Option<usize>| place.map_or(u8::MAX, |place| place as u8);
                    message.extend([SEGMENT, number(video), number(audio)]);
                }
                Coded::Unit(unit) => {
                    let kind = if unit.codec.is_video() { VIDEO } else { AUDIO };
                    message.extend([kind, u8::from(unit.keyframe)]);
                    message.extend(unit.pts.ticks().to_be_bytes());
                    message.extend(u32::try_from(unit.data.len())?.to_be_bytes());
                    message.extend(&unit.data);
                }
            }
            self.0.write_all(&message).await?;
            outlet.sent(message.len() as u64);
        }
        self.0.shutdown().await?;
        Ok(SinkEnd::Done)
    }
}

struct TcpSource(TcpStream);

impl Source for TcpSource {
    async fn run(self, mut input: Input) -> Result<()> {
        let mut from = BufReader::new(self.0);
        let mut tracks = Tracks::default();
        // Where the other side closes the connection, the input has ended.
        while let Ok(kind) = from.read_u8().await {
            let codec = match kind {
                SEGMENT => {
                    let video = VideoCodec::ALL.get(usize::from(from.read_u8().await?)).copied();
                    let audio = AudioCodec::ALL.get(usize::from(from.read_u8().await?)).copied();
                    tracks = Tracks { video, audio, audio_channels: None };
                    input.tracks(tracks, InputInfo::of(&tracks));
                    continue;
                }
                VIDEO => tracks.video.map(Codec::from),
                _ => tracks.audio.map(Codec::from),
            };
            let (keyframe, at) = (from.read_u8().await? != 0, Timestamp::from_ticks(from.read_i64().await?));
            let size = from.read_u32().await?;
            let codec = codec.filter(|_| size <= MAX_UNIT).ok_or("a unit of no track, or too long")?;
            let mut data = vec![0; size as usize];
            from.read_exact(&mut data).await?;
            input.received(data.len());
            input.unit(AccessUnit::new(codec, at, keyframe, data.into())).await;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut paths = std::env::args().skip(1);
    let (Some(from), Some(to)) = (paths.next(), paths.next()) else {
        return Err("usage: 09_own_transport IN OUT".into());
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (near, far) = tokio::try_join!(TcpStream::connect(listener.local_addr()?), listener.accept())?;
    let sending = Ends::new().with_source(FileSource::open(from).await?.0).with_sink(TcpSink(near));
    let receiving = Ends::new().with_source(TcpSource(far.0)).with_sink(FileSink::create(to).await?);
    let (metrics, mut options) = (MetricsRegistry::new()?, StreamOptions::default());
    options.queueing = Queueing::Lossless; // Both ends can wait, so no frame is dropped.
    let sender = Session::start(&Passthrough, "sender", Params::new(), sending, options.clone(), &metrics)?;
    let receiver = Session::start(&Invert, "receiver", Params::new(), receiving, options, &metrics)?;
    tokio::join!(sender.ended(), receiver.ended());
    println!("{} frames, {:?}", receiver.metrics().frames_out, receiver.status().last_error);
    Ok(())
}
