//! A transport of one's own: access units over a TCP connection, each behind a header. Whatever can be a source and a sink
//! carries streams, and nothing else has to know of it. Here one stream reads a file and sends it, and another one
//! receives, inverts and writes it.
//!
//!     cargo run --release --example 09_own_transport -- in.ts out.mp4

use cutrickle::bytes::Bytes;
use cutrickle::ends::{Coded, Input, Output, Sink, SinkEnd, Source};
use cutrickle::prelude::*;
use cutrickle::processors::{Invert, Passthrough};
use cutrickle::{
    AccessUnit, Codec, Ends, FileSink, FileSource, InputInfo, MetricsRegistry, Queueing, Session,
};
use cutrickle::{StreamOptions, Tracks};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the first byte of a header means: a segment with these tracks begins, or a unit of one of the codecs.
const SEGMENT: u8 = 0;
const CODECS: [Codec; 4] = [Codec::H264, Codec::H265, Codec::AAC, Codec::OPUS];
/// No unit is longer: a length beyond it did not come from the other side.
const MAX_UNIT: u32 = 64 << 20;

struct TcpSink(TcpStream);

impl Sink for TcpSink {
    async fn run(mut self, mut output: Output) -> Result<SinkEnd> {
        let number = |codec| CODECS.iter().position(|known| *known == codec).map_or(0, |at| at as u8 + 1);
        let outlet = output.outlet();
        while let Some(coded) = output.next().await {
            let mut message = Vec::new();
            match &coded {
                Coded::Segment(Tracks { video, audio, audio_channels }) => {
                    let video = video.map_or(0, |codec| number(codec.into()));
                    let audio = audio.map_or(0, |codec| number(codec.into()));
                    message.extend([SEGMENT, video, audio, audio_channels.unwrap_or(0)]);
                }
                Coded::Unit(unit) => {
                    message.extend([number(unit.codec), u8::from(unit.keyframe)]);
                    message.extend(unit.pts.ticks().to_be_bytes());
                    message.extend(unit.dts.ticks().to_be_bytes());
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
        let codec = |number: u8| CODECS.get(usize::from(number).wrapping_sub(1)).copied();
        let mut announced = None;
        loop {
            let kind = match from.read_u8().await {
                Err(_) => return Ok(()), // The other side has closed the connection: the input has ended.
                Ok(kind) => kind,
            };
            if kind == SEGMENT {
                let (video, audio, channels) =
                    (from.read_u8().await?, from.read_u8().await?, from.read_u8().await?);
                let video =
                    codec(video).and_then(|codec| if let Codec::Video(it) = codec { Some(it) } else { None });
                let audio =
                    codec(audio).and_then(|codec| if let Codec::Audio(it) = codec { Some(it) } else { None });
                let tracks =
                    Tracks { video, audio, audio_channels: Some(channels).filter(|count| *count > 0) };
                if announced.replace(tracks) != Some(tracks) {
                    input.tracks(tracks, InputInfo::of(&tracks));
                }
                continue;
            }
            let codec = codec(kind).ok_or_else(|| format!("a message of kind {kind}"))?;
            let keyframe = from.read_u8().await? != 0;
            let (pts, dts) = (from.read_i64().await?, from.read_i64().await?);
            let size = from.read_u32().await?;
            if size > MAX_UNIT {
                return Err(format!("a unit of {size} bytes").into());
            }
            let mut data = vec![0; size as usize];
            from.read_exact(&mut data).await?;
            let unit = AccessUnit::new(codec, Timestamp::from_ticks(pts), keyframe, Bytes::from(data));
            input.received(unit.data.len());
            input.unit(AccessUnit { dts: Timestamp::from_ticks(dts), ..unit }).await;
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut paths = std::env::args().skip(1);
    let (Some(from), Some(to)) = (paths.next(), paths.next()) else {
        return Err("usage: 09_own_transport IN OUT".into());
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
    let sending = Ends::new().with_source(FileSource::open(from).await?.0).with_sink(TcpSink(near?));
    let receiving = Ends::new().with_source(TcpSource(far?.0)).with_sink(FileSink::create(to).await?);

    let metrics = MetricsRegistry::new()?;
    let mut options = StreamOptions::default();
    options.queueing = Queueing::Lossless; // Both ends can wait, so no frame is dropped.
    let sender = Session::start(&Passthrough, "sender", Params::new(), sending, options.clone(), &metrics)?;
    let receiver = Session::start(&Invert, "receiver", Params::new(), receiving, options, &metrics)?;
    tokio::join!(sender.ended(), receiver.ended());
    for session in [&sender, &receiver] {
        if session.status().end_reason.is_some_and(|reason| reason.is_error()) {
            return Err(session.status().last_error.unwrap_or_default().into());
        }
    }
    println!("{} frames", receiver.metrics().frames_out);
    Ok(())
}
