//! The decoder returns exactly the frames that the CPU's decoder does, in the order and at the time that the
//! parser promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod player;
mod stage;

use player::{
    DISCONTINUITY, ENDOFPICTURE, ENDOFSTREAM, NOTIFY_EOS, Player, Settings, TIMESTAMP, clip, nv12, reference,
};
use stage::alone;

const STRICT: [(&str, &str); 1] = [("STAND_IN_STRICT_EXIT", "1")];

#[test]
fn the_clip_decodes_to_the_same_pictures_as_on_the_cpu_each_at_once() {
    alone("the_clip_decodes_to_the_same_pictures_as_on_the_cpu_each_at_once", &STRICT, || {
        let units = clip(12);
        let mut player = Player::new(Settings::default());
        for (i, unit) in units.iter().enumerate() {
            player.feed(unit);
            assert_eq!(player.shown.len(), i + 1);
        }
        let format = player.format.as_ref().unwrap();
        assert_eq!((format.coded_width, format.coded_height), (1280, 720));
        assert_eq!((format.frame_rate.numerator, format.frame_rate.denominator), (60, 2));
        assert_eq!((format.display_aspect_ratio.x, format.display_aspect_ratio.y), (16, 9));
        assert_eq!(format.video_signal_description.matrix_coefficients, 1);
        assert!(player.decoded[0].1);
        assert!(!player.decoded[1].1);
        for (shown, (timestamp, picture)) in player.shown.iter().zip(reference(&units)) {
            assert_eq!(shown.timestamp, timestamp);
            assert!(shown.nv12 == nv12(&picture), "at {timestamp}");
        }
        player.close();
    })
    .is_clean();
}

/// Unless it is told that a picture is complete, the parser has to see the beginning of the next one.
#[test]
fn a_picture_whose_end_is_not_told_waits_for_the_next() {
    alone("a_picture_whose_end_is_not_told_waits_for_the_next", &STRICT, || {
        let units = clip(4);
        let mut player = Player::new(Settings::default());
        for (i, unit) in units.iter().enumerate() {
            player.fed += 1;
            // Packets need not end where pictures or start codes do.
            for (n, piece) in unit.data.chunks(1001).enumerate() {
                let flags = if n == 0 { TIMESTAMP } else { 0 };
                assert_eq!(player.packet(piece, unit.timestamp, flags), 0);
            }
            assert_eq!(player.shown.len(), i);
        }
        assert_eq!(player.packet(&[], 0, ENDOFSTREAM | NOTIFY_EOS), 0);
        assert!(player.ended);
        assert_eq!(player.shown.len(), 4);
        for (shown, (timestamp, picture)) in player.shown.iter().zip(reference(&units)) {
            assert_eq!(shown.timestamp, timestamp);
            assert!(shown.nv12 == nv12(&picture), "at {timestamp}");
        }
        player.close();
    })
    .is_clean();
}

#[test]
fn display_lags_as_far_as_the_parser_was_told() {
    alone("display_lags_as_far_as_the_parser_was_told", &STRICT, || {
        let units = clip(8);
        let mut player = Player::new(Settings { delay: 3, surfaces: 12, ..Settings::default() });
        for (i, unit) in units.iter().enumerate() {
            player.feed(unit);
            assert_eq!(player.shown.len(), (i + 1).saturating_sub(3));
        }
        player.finish();
        assert_eq!(player.shown.len(), 8);
        player.close();
    })
    .is_clean();
}

#[test]
fn a_discontinuity_drops_the_half_and_shows_the_rest() {
    alone("a_discontinuity_drops_the_half_and_shows_the_rest", &STRICT, || {
        let units = clip(3);
        let mut player = Player::new(Settings { delay: 2, surfaces: 12, ..Settings::default() });
        player.feed(&units[0]);
        assert_eq!(player.packet(&units[1].data[..50], units[1].timestamp, TIMESTAMP), 0);
        assert_eq!(player.shown.len(), 0);
        assert_eq!(player.packet(&units[0].data, 5, DISCONTINUITY | TIMESTAMP | ENDOFPICTURE), 0);
        assert_eq!(player.shown.len(), 1);
        player.finish();
        let timestamps: Vec<_> = player.shown.iter().map(|shown| shown.timestamp).collect();
        assert_eq!(timestamps, [units[0].timestamp, 5]);
        player.close();
    })
    .is_clean();
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0f64.powi(2) * a.len() as f64 / sum).log10()
}

#[test]
fn pictures_are_cut_out_and_resized() {
    alone("pictures_are_cut_out_and_resized", &STRICT, || {
        let units = clip(1);
        let picture = &reference(&units)[0].1;
        // A crop that is not scaled is exact.
        let (left, top, width, height) = (64usize, 32usize, 640usize, 480usize);
        let area = [left, top, left + width, top + height].map(|side| side as i16);
        let mut player = Player::new(Settings {
            display_area: Some(area),
            target: Some((width as u32, height as u32)),
            ..Settings::default()
        });
        player.feed(&units[0]);
        let [y, u, _] = picture.planes();
        let shown = &player.shown[0].nv12;
        for row in 0..height {
            let at = (top + row) * y.stride + left;
            assert_eq!(shown[row * width..][..width], y.data[at..at + width], "row {row}");
        }
        let cb = |row: usize, column: usize| shown[(height + row) * width + 2 * column];
        assert_eq!(cb(7, 9), u.data[(top / 2 + 7) * u.stride + left / 2 + 9]);
        player.close();
    })
    .is_clean();
}

#[test]
fn a_picture_half_as_large_looks_the_same() {
    alone("a_picture_half_as_large_looks_the_same", &STRICT, || {
        let units = clip(1);
        let picture = &reference(&units)[0].1;
        let mut player = Player::new(Settings { target: Some((640, 360)), ..Settings::default() });
        player.feed(&units[0]);
        let [y, ..] = picture.planes();
        let mean = |x: usize, row: usize| {
            let at = |x: usize, row: usize| u32::from(y.data[row * y.stride + x]);
            ((at(2 * x, 2 * row)
                + at(2 * x + 1, 2 * row)
                + at(2 * x, 2 * row + 1)
                + at(2 * x + 1, 2 * row + 1)
                + 2)
                / 4) as u8
        };
        let expected: Vec<u8> = (0..640 * 360).map(|n| mean(n % 640, n / 640)).collect();
        let near = psnr(&player.shown[0].nv12[..640 * 360], &expected);
        assert!(near > 45.0, "{near} dB");
        player.close();
    })
    .is_clean();
}
