//! The device and the clips that the tests of the GPU path share.
#![allow(dead_code, reason = "each test file uses only some of these")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use candle_core::Device;
use cutrickle_codec::{Backends, Coding, EncoderConfig, VideoDecoder};
use cutrickle_frame::VideoFrame;
use cutrickle_media::{AccessUnit, Colour, Size, VideoCodec};
use cutrickle_mpegts::{Demuxer, Event};

/// The first CUDA device.
pub fn device() -> Device {
    cutrickle_frame::cuda_device(0).expect("these tests need a device")
}

/// Opens the decoder for frames on `device`.
pub fn open_decoder(codec: VideoCodec, device: &Device) -> Box<dyn VideoDecoder> {
    Backends::builtin().open_video_decoder(codec, device).unwrap()
}

/// The file of the clip that ships with the project, in whatever folder the tests were started.
fn clip() -> Vec<u8> {
    let root = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(PathBuf::new, |at| PathBuf::from(at).join("../.."));
    std::fs::read(root.join("crates/cli/assets/clip/big-buck-bunny.ts")).unwrap()
}

/// The video access units of that clip.
pub fn units() -> Vec<AccessUnit> {
    let units = units_of(&clip());
    assert!(units.len() > 100, "{} access units in the clip", units.len());
    units
}

fn units_of(bytes: &[u8]) -> Vec<AccessUnit> {
    let mut units = Vec::new();
    let mut sink = |event| {
        if let Event::Unit(unit) = event
            && unit.codec.is_video()
        {
            units.push(unit);
        }
    };
    let mut demuxer = Demuxer::new();
    demuxer.push(bytes, &mut sink);
    demuxer.end_segment(&mut sink);
    units
}

/// The folder with the clips of `ci/clips.sh`. It is the one that `CUTRICKLE_CLIPS` names; without that
/// variable the script is run.
static CLIPS: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(folder) = std::env::var_os("CUTRICKLE_CLIPS") {
        return folder.into();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/clips.sh");
    let made = Command::new("bash").arg(script).arg(&folder).status().unwrap();
    assert!(made.success(), "ci/clips.sh needs ffmpeg with libx264 and libx265");
    folder
});

/// The video access units of one of these clips, and the samples that ffmpeg's decoder makes of them.
pub fn made(name: &str) -> (Vec<AccessUnit>, Vec<u8>) {
    let path = CLIPS.join(name);
    (units_of(&std::fs::read(&path).unwrap()), std::fs::read(path.with_extension("yuv")).unwrap())
}

/// The configuration of an encoder for frames like this one.
pub fn encoder_for(frame: &VideoFrame) -> EncoderConfig {
    EncoderConfig {
        size: Size::new(frame.width(), frame.height()),
        fps: 30.0,
        bitrate: 6_000_000,
        coding: Coding::default(),
        colour: Colour::BT709,
    }
}
