//! The device and the clip that the tests of the GPU path share.

use std::path::PathBuf;

use candle_core::Device;
use cutrickle_codec::{EncoderConfig, VideoUnit};
use cutrickle_frame::{Colour, VideoFrame};
use cutrickle_mpegts::{Demuxer, Event, TrackKind};

/// The first CUDA device.
pub fn device() -> Device {
    cutrickle_frame::cuda_device(0).expect("these tests need a device")
}

/// The clip that ships with the project: its file, wherever the tests were started.
fn clip() -> Vec<u8> {
    let root = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(PathBuf::new, |at| PathBuf::from(at).join("../.."));
    std::fs::read(root.join("assets/clip/big-buck-bunny.ts")).unwrap()
}

/// One coded picture.
pub struct Unit {
    pub data: Vec<u8>,
    pub timestamp: i64,
    pub keyframe: bool,
}

impl Unit {
    pub fn borrow(&self) -> VideoUnit<'_> {
        VideoUnit { data: &self.data, timestamp: self.timestamp, keyframe: self.keyframe, damaged: false }
    }
}

/// Its pictures, coded.
pub fn units() -> Vec<Unit> {
    let mut units = Vec::new();
    let mut sink = |event| {
        if let Event::Unit(unit) = event
            && unit.codec.kind() == TrackKind::Video
        {
            let timestamp = i64::try_from(unit.pts).unwrap();
            units.push(Unit { data: unit.data.to_vec(), timestamp, keyframe: unit.keyframe });
        }
    };
    let mut demuxer = Demuxer::new();
    demuxer.push(&clip(), &mut sink);
    demuxer.end_segment(&mut sink);
    assert!(units.len() > 100, "{} pictures in the clip", units.len());
    units
}

/// An encoder for pictures like `frame`.
pub fn encoder_for(frame: &VideoFrame) -> EncoderConfig {
    EncoderConfig {
        width: frame.width(),
        height: frame.height(),
        fps: 30.0,
        bitrate: 6_000_000,
        colour: Colour::BT709,
    }
}
