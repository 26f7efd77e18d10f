//! H.265 whose pictures are displayed in another order than they are decoded, and whose decoding may start in
//! the middle. The ffmpeg command makes the stream and the frames to compare with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod player;
mod stage;

use std::path::Path;
use std::process::Command;

use nvidia_video_codec_sdk::sys::cuviddec::cudaVideoCodec;
use player::{Player, Settings, Unit, units};
use stage::alone;

const STRICT: [(&str, &str); 1] = [("STAND_IN_STRICT_EXIT", "1")];
const PICTURES: usize = 36;

fn ffmpeg(arguments: &[&str]) {
    let mut command = Command::new("ffmpeg");
    assert!(command.args(["-v", "error", "-y"]).args(arguments).status().expect("ffmpeg").success());
}

/// The access units of a stream with a pyramid of B-frames, and its frames as NV12 in display order.
fn made(folder: &Path) -> (Vec<Unit>, Vec<Vec<u8>>) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (stream, raw) = (path("h265.ts"), path("h265.nv12"));
    let source = format!("testsrc2=size=320x180:rate=30,trim=end_frame={PICTURES}");
    // With open groups the first pictures after a keyframe refer to pictures before it.
    let options = "log-level=none:pools=none:frame-threads=1:keyint=12:min-keyint=12:scenecut=0:\
                   bframes=4:b-pyramid=1:open-gop=1:repeat-headers=1";
    let from = ["-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p"];
    ffmpeg(&[&from[..], &["-c:v", "libx265", "-x265-params", options, &stream]].concat());
    ffmpeg(&["-i", &stream, "-f", "rawvideo", "-pix_fmt", "nv12", &raw]);
    let pictures = std::fs::read(raw).unwrap().chunks(320 * 180 * 3 / 2).map(<[u8]>::to_vec).collect();
    (units(Path::new(&stream), PICTURES), pictures)
}

fn in_folder(name: &str, body: impl FnOnce(&Path)) {
    let folder = std::env::temp_dir().join(format!("stand-in-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    body(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
}

fn h265() -> Settings {
    Settings { codec: cudaVideoCodec::cudaVideoCodec_HEVC, ..Settings::default() }
}

#[test]
fn b_frames_are_displayed_in_their_order_and_no_later_than_the_stream_asks() {
    let name = "b_frames_are_displayed_in_their_order_and_no_later_than_the_stream_asks";
    alone(name, &STRICT, || {
        in_folder("order", |folder| {
            let (units, pictures) = made(folder);
            let mut player = Player::new(h265());
            for (i, unit) in units.iter().enumerate() {
                player.feed(unit);
                assert!(player.shown.len() + 2 > i, "{} after {i}", player.shown.len());
            }
            player.finish();
            let format = player.format.as_ref().unwrap();
            assert_eq!((format.display_area.right, format.display_area.bottom), (320, 180));
            assert!(format.coded_height > 180, "{}", format.coded_height);
            assert_eq!((player.shown.len(), pictures.len()), (PICTURES, PICTURES));
            let mut times: Vec<_> = units.iter().map(|unit| unit.timestamp).collect();
            times.sort_unstable();
            for ((shown, picture), at) in player.shown.iter().zip(&pictures).zip(times) {
                assert_eq!(shown.timestamp, at);
                assert!(shown.nv12 == *picture, "at {at}");
            }
            // Surfaces become free when nothing refers to them any longer, so the stream's minimum is enough.
            let used = player.decoded.iter().map(|(surface, ..)| surface).max().unwrap();
            assert!(*used < i32::from(format.min_num_decode_surfaces), "{used}");
            player.close();
        });
    })
    .is_clean();
}

/// The leading pictures that refer to pictures before the keyframe are left out. Everything after it is
/// there.
#[test]
fn decoding_starts_at_a_keyframe_in_an_open_group() {
    let name = "decoding_starts_at_a_keyframe_in_an_open_group";
    alone(name, &STRICT, || {
        in_folder("open", |folder| {
            let (units, pictures) = made(folder);
            let start = units.iter().skip(1).position(|unit| unit.keyframe).unwrap() + 1;
            let mut player = Player::new(h265());
            units[start - 3..].iter().for_each(|unit| player.feed(unit));
            player.finish();
            let at = units[start].timestamp;
            assert!(units[start..].iter().any(|unit| unit.timestamp < at), "no leading pictures");
            let later = units.iter().filter(|unit| unit.timestamp >= at).count();
            assert_eq!(player.shown.len(), later);
            for (shown, picture) in player.shown.iter().zip(&pictures[PICTURES - later..]) {
                assert!(shown.nv12 == *picture, "at {}", shown.timestamp);
            }
            player.close();
        });
    })
    .is_clean();
}
