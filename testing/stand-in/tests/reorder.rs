//! Streams whose pictures are displayed in another order than they are decoded, and streams that change their
//! size. The ffmpeg command makes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod player;
mod stage;

use std::process::{Command, Stdio};

use player::{Player, Settings, Unit, nv12, reference, units};
use stage::alone;

const STRICT: [(&str, &str); 1] = [("STAND_IN_STRICT_EXIT", "1")];

/// Encodes a test pattern and returns its access units. Returns `None` if ffmpeg is missing, but fails in CI.
fn encoded(size: &str, options: &[&str]) -> Option<Vec<Unit>> {
    let quiet =
        || Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if quiet().is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "ffmpeg is missing");
        return None;
    }
    let file = std::env::temp_dir().join(format!("stand-in-{}-{size}.ts", std::process::id()));
    let source = format!("testsrc2=size={size}:rate=30,trim=end_frame=24");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p"]);
    let made = ffmpeg.args(["-c:v", "libx264", "-threads", "1"]).args(options).arg(&file).status().unwrap();
    assert!(made.success());
    let units = units(&file, 24);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(units.len(), 24);
    Some(units)
}

#[test]
fn b_frames_are_displayed_in_their_order_and_no_later_than_the_stream_asks() {
    let name = "b_frames_are_displayed_in_their_order_and_no_later_than_the_stream_asks";
    let outcome = alone(name, &STRICT, || {
        // In this pyramid two pictures may precede one that is displayed before them.
        let options =
            ["-bf", "3", "-b_strategy", "0", "-x264-params", "b-pyramid=normal:keyint=12:scenecut=0"];
        let Some(units) = encoded("320x180", &options) else { return player::skip() };
        let mut player = Player::new(Settings::default());
        for (i, unit) in units.iter().enumerate() {
            player.feed(unit);
            assert!(player.shown.len() + 2 > i, "{} after {i}", player.shown.len());
        }
        player.finish();
        let format = player.format.as_ref().unwrap();
        assert_eq!((format.coded_width, format.coded_height), (320, 192));
        assert_eq!((format.display_area.right, format.display_area.bottom), (320, 180));
        assert_eq!(player.shown.len(), 24);
        for (shown, (timestamp, picture)) in player.shown.iter().zip(reference(&units)) {
            assert_eq!(shown.timestamp, timestamp);
            assert!(shown.nv12 == nv12(&picture), "at {timestamp}");
        }
        assert!(player.decoded.iter().any(|(_, _, reference)| !reference));
        player.close();
    });
    outcome.is_clean();
}

#[test]
fn a_change_of_size_is_a_new_sequence_after_all_that_was_before_it() {
    let name = "a_change_of_size_is_a_new_sequence_after_all_that_was_before_it";
    let outcome = alone(name, &STRICT, || {
        let Some(small) = encoded("160x96", &["-bf", "2"]) else { return player::skip() };
        let large = encoded("320x192", &["-bf", "0"]).unwrap();
        let mut player = Player::new(Settings::default());
        let all: Vec<Unit> = small.iter().chain(&large).cloned().collect();
        for unit in &all {
            player.feed(unit);
        }
        player.finish();
        assert_eq!(player.sequences, 2);
        let sizes: Vec<usize> = player.shown.iter().map(|shown| shown.nv12.len()).collect();
        assert_eq!(sizes, [[160 * 96 * 3 / 2; 24], [320 * 192 * 3 / 2; 24]].concat());
        player.close();
    });
    outcome.is_clean();
}
