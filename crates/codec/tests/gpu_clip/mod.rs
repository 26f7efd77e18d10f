//! The device and the clips that the tests of the GPU path share.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use candle_core::Device;
use cutrickle_codec::{Coding, EncoderConfig, VideoUnit};
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
    let units = units_of(&clip());
    assert!(units.len() > 100, "{} pictures in the clip", units.len());
    units
}

fn units_of(bytes: &[u8]) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut sink = |event| {
        if let Event::Unit(unit) = event
            && unit.codec.kind() == TrackKind::Video
        {
            units.push(Unit { data: unit.data.to_vec(), timestamp: unit.pts, keyframe: unit.keyframe });
        }
    };
    let mut demuxer = Demuxer::new();
    demuxer.push(bytes, &mut sink);
    demuxer.end_segment(&mut sink);
    units
}

/// The clips of `ci/clips.sh`, in the folder that `CUTRICKLE_CLIPS` names or made anew.
static CLIPS: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(folder) = std::env::var_os("CUTRICKLE_CLIPS") {
        return folder.into();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/clips.sh");
    let made = Command::new("bash").arg(script).arg(&folder).status().unwrap();
    assert!(made.success(), "ci/clips.sh needs ffmpeg with libx264, libx265 and libaom");
    folder
});

/// The coded pictures of one of them, and its bytes as ffmpeg's decoder gives them.
pub fn made(name: &str) -> (Vec<Unit>, Vec<u8>) {
    let path = CLIPS.join(name);
    (units_of(&std::fs::read(&path).unwrap()), std::fs::read(path.with_extension("yuv")).unwrap())
}

/// An encoder for pictures like `frame`.
pub fn encoder_for(frame: &VideoFrame) -> EncoderConfig {
    EncoderConfig {
        width: frame.width(),
        height: frame.height(),
        fps: 30.0,
        bitrate: 6_000_000,
        coding: Coding::default(),
        colour: Colour::BT709,
    }
}
