//! A stream through backends that were added from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use candle_core::Device;
use cutrickle_codec::{Backends, Coding, EncoderConfig, Role, Row, RunsOn};
use cutrickle_frame::{I420, VideoFrame};
use cutrickle_media::{AccessUnit, Colour, Size, Timestamp, Tracks, VideoCodec};
use cutrickle_own_backend::{NAME, decoder, encoder, unit};
use cutrickle_pipeline::compose::from_fn;
use cutrickle_pipeline::ends::{Coded, memory};
use cutrickle_pipeline::{Ends, MetricsRegistry, Params, Queueing, Session, StreamOptions, StreamStatus};

fn at(n: i64) -> Timestamp {
    Timestamp::from_ticks(n * 3000)
}

/// Runs `units` of `codec` through a stream with these backends, whose output is to be `wanted`. Gives what came out.
async fn play(
    backends: Backends,
    codec: VideoCodec,
    wanted: VideoCodec,
    units: Vec<AccessUnit>,
) -> (StreamStatus, Vec<AccessUnit>) {
    let mut options = StreamOptions::default();
    options.backends = backends;
    options.coding.codec = wanted;
    options.queueing = Queueing::Lossless;
    let ((feed, source), (sink, mut output)) = (memory::source(1), memory::sink(64));
    let ends = Ends::new().with_source(source).with_sink(sink);
    let (untouched, metrics) = (from_fn(|frame| Ok(Some(frame))), MetricsRegistry::new().unwrap());
    let session = Session::start(&untouched, "test", Params::new(), ends, options, &metrics).unwrap();
    tokio::spawn(async move {
        feed.tracks(Tracks { video: Some(codec), ..Tracks::default() }).await.unwrap();
        for unit in units {
            feed.unit(unit).await.unwrap();
        }
    });
    let all = async {
        let mut out = Vec::new();
        while let Some(coded) = output.next().await {
            if let Coded::Unit(unit) = coded {
                out.push(unit);
            }
        }
        session.ended().await;
        out
    };
    let out = tokio::time::timeout(Duration::from_secs(60), all).await.expect("the stream ends");
    (session.status(), out)
}

/// Ten units of the toy, each of another grey.
fn greys() -> Vec<AccessUnit> {
    (0..10).map(|n| unit(64, 48, 100 + n, at(n.into()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_runs_through_a_decoder_and_an_encoder_that_were_added_and_the_status_names_them() {
    let backends = Backends::builtin().with_video_decoder(decoder()).with_video_encoder(encoder());
    let (status, out) = play(backends, VideoCodec::H265, VideoCodec::H265, greys()).await;
    assert_eq!(status.last_error, None);
    assert_eq!(out, greys(), "the toy loses nothing");
    assert_eq!(status.backends.video_decode.as_deref(), Some(NAME));
    assert_eq!(status.backends.video_encode.as_deref(), Some(NAME));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_added_decoder_works_beside_the_encoder_that_is_built_in() {
    let backends = Backends::builtin().with_video_decoder(decoder());
    let (status, out) = play(backends, VideoCodec::H265, VideoCodec::H264, greys()).await;
    assert_eq!((status.last_error, out.len()), (None, 10));
    assert_eq!(status.backends.video_decode.as_deref(), Some(NAME));
    assert_eq!(status.backends.video_encode.as_deref(), Some("openh264"));
    let mut decoder = Backends::builtin().open_video_decoder(VideoCodec::H264, &Device::Cpu).unwrap();
    let mut greys = Vec::new();
    for unit in &out {
        let origin = cutrickle_frame::Origin::now();
        decoder
            .decode(unit, origin, &mut |frame| greys.push(frame.i420().unwrap().planes()[0].data[0]))
            .unwrap();
    }
    assert!(greys.iter().zip(100u8..).all(|(shown, sent)| shown.abs_diff(sent) <= 3), "{greys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_added_decoder_does_not_take_a_stream_the_one_that_is_built_in_does() {
    // The toy's decoder again, for H.264 and cheaper than any other: it refuses the first unit.
    let open: std::sync::Arc<OpenDecoder> = std::sync::Arc::new(|_: VideoCodec, device: &Device| {
        Backends::none().with_video_decoder(decoder()).open_video_decoder(VideoCodec::H265, device)
    });
    let eager = cutrickle_codec::VideoDecoderBackend::new(NAME, [VideoCodec::H264], RunsOn::Cpu, 0, open);
    let config = EncoderConfig {
        size: Size::new(64, 48),
        fps: 30.0,
        bitrate: 500_000,
        coding: Coding::default(),
        colour: Colour::BT709,
    };
    let mut encoder = Backends::builtin().open_video_encoder(config, &Device::Cpu).unwrap();
    let frame = |n| VideoFrame::from_i420(I420::new(64, 48).unwrap(), Colour::BT709, at(n));
    let units = (0..10).map(|n| encoder.encode(&frame(n), n == 0).unwrap()).collect();
    let backends = Backends::builtin().with_video_decoder(eager);
    assert_eq!(backends.first_video_decoder(VideoCodec::H264, &Device::Cpu), Some(NAME));
    let (status, out) = play(backends, VideoCodec::H264, VideoCodec::H264, units).await;
    assert_eq!((status.last_error, out.len()), (None, 10));
    assert_eq!(status.backends.video_decode.as_deref(), Some("openh264"));
}

/// Opens a decoder.
type OpenDecoder = dyn Fn(VideoCodec, &Device) -> cutrickle_codec::Result<Box<dyn cutrickle_codec::VideoDecoder>>
    + Send
    + Sync;

#[test]
fn an_added_backend_stands_in_the_table_and_is_called_by_its_name() {
    let backends = Backends::builtin().with_video_decoder(decoder()).with_video_encoder(encoder());
    for role in [Role::VideoDecode, Role::VideoEncode] {
        let row = Row { role, name: NAME.into(), codecs: "H.265".into(), runs_on: RunsOn::Cpu };
        assert!(backends.rows().contains(&row), "{:?}", backends.rows());
    }
    let named = backends.open_video_decoder_named(NAME, VideoCodec::H265, &Device::Cpu).unwrap();
    assert_eq!(named.backend(), NAME);
    assert!(backends.check_video_encoder(VideoCodec::H265, &Device::Cpu).is_ok());
    assert!(!backends.is_on_gpu(NAME));
}
