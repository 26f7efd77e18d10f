//! The clock of the input jumps, wraps, stops or is wrong. The clock of the output goes on, and audio stays
//! in sync with video.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cutrickle_media::{Ticks, Timestamp, TrackKind};
use cutrickle_mpegts::{Stamp, Timeline, Unwrapper};

// Spans of time are plain numbers of ticks in this file.
const SECOND: i64 = Ticks::PER_SECOND.get();
const FRAME: i64 = 3_000;
const SOUND: i64 = 1_920;

fn at(ticks: i64) -> Timestamp {
    Timestamp::from_ticks(ticks)
}

/// Plays an input with video at 30 fps and audio in frames of 1024 samples.
struct Player {
    timeline: Timeline,
    /// The true time of each unit and its place in the output, for each track.
    video: Vec<(i64, Stamp)>,
    audio: Vec<(i64, Stamp)>,
}

impl Player {
    fn new() -> Self {
        Self { timeline: Timeline::new(), video: Vec::new(), audio: Vec::new() }
    }

    /// Plays from the true time `from` to `to`. `clock` gives the time that the input's clock shows at a true
    /// time. Audio arrives `lag` later than video of the same time.
    fn play(&mut self, from: i64, to: i64, lag: i64, clock: impl Fn(i64) -> i64) {
        let video = (from..to).step_by(FRAME as usize).map(|time| (time, TrackKind::Video, time));
        let audio = (from..to).step_by(SOUND as usize).map(|time| (time + lag, TrackKind::Audio, time));
        let mut units: Vec<_> = video.chain(audio).collect();
        units.sort_by_key(|unit| unit.0);
        for (_, kind, time) in units {
            let stamp = self.timeline.map(kind, at(clock(time) + 500), at(clock(time)));
            match kind {
                TrackKind::Video => self.video.push((time, stamp)),
                TrackKind::Audio => self.audio.push((time, stamp)),
            }
        }
    }

    fn largest_step(&self) -> i64 {
        let steps = [&self.video, &self.audio].into_iter().flat_map(|track| track.windows(2));
        steps.map(|pair| (pair[1].1.dts - pair[0].1.dts).get()).max().unwrap()
    }

    fn check_order(&self) {
        for track in [&self.video, &self.audio] {
            assert!(track.windows(2).all(|pair| pair[0].1.dts < pair[1].1.dts));
            assert!(track.iter().all(|(_, stamp)| stamp.pts >= stamp.dts));
        }
    }

    /// How far audio and video are out of sync at the end, compared with their true times.
    fn skew(&self) -> i64 {
        let off = |track: &[(i64, Stamp)]| {
            let (time, stamp) = track.last().unwrap();
            stamp.pts.ticks() - time
        };
        (off(&self.video) - off(&self.audio)).abs()
    }
}

#[test]
fn without_a_jump_stamps_stay_as_they_are() {
    let mut player = Player::new();
    player.play(7 * SECOND, 12 * SECOND, 0, |time| time);
    for (time, stamp) in player.video.iter().chain(&player.audio) {
        assert_eq!((stamp.dts, stamp.pts, stamp.jumped), (at(*time), at(*time + 500), false));
    }
    assert_eq!(player.timeline.jumps(), 0);
}

#[test]
fn jumps_back_and_forward_leave_no_hole_and_keep_sound_with_pictures() {
    for jump in [-5 * SECOND, -SECOND, -3_600 * SECOND, 3_600 * SECOND, 11 * SECOND, -24 * 3_600 * SECOND] {
        for lag in [0, 10_000, 40_000] {
            let mut player = Player::new();
            player.play(100 * SECOND, 110 * SECOND, lag, |time| time);
            player.play(110 * SECOND, 120 * SECOND, lag, |time| time + jump);
            player.check_order();
            let step = player.largest_step();
            assert!(step <= SECOND / 2, "jump {jump}, lag {lag}: {step}");
            // Audio has taken over the offset of video.
            assert_eq!(player.skew(), 0, "jump {jump}, lag {lag}");
            assert_eq!(player.timeline.jumps(), 1, "jump {jump}, lag {lag}");
        }
    }
}

#[test]
fn a_clip_in_a_loop_goes_on_for_ever() {
    for length in [SECOND, 2 * SECOND, 10 * SECOND] {
        let mut player = Player::new();
        for round in 0..50 {
            let start = round * length;
            player.play(start, start + length, 0, |time| time - start);
        }
        player.check_order();
        assert!(player.largest_step() <= SECOND / 10, "{length}");
        assert_eq!(player.timeline.jumps(), 49, "{length}");
        // The error of a single round adds up neither to a skew between the tracks nor to a shorter or longer
        // clip.
        assert_eq!(player.skew(), 0, "{length}");
        let end = player.video.last().unwrap();
        assert!((end.1.dts.ticks() - end.0).abs() < SECOND, "{length}: {end:?}");
    }
}

#[test]
fn a_single_wrong_stamp_costs_only_its_own_unit() {
    let mut timeline = Timeline::new();
    for index in 0..200 {
        let wrong = if index % 50 == 49 { 3_600 * SECOND } else { 0 };
        let dts = at(index * FRAME + wrong);
        let stamp = timeline.map(TrackKind::Video, dts, dts);
        assert_eq!(stamp.dts, at(index * FRAME));
    }
}

#[test]
fn a_pause_of_less_than_ten_seconds_is_kept() {
    let mut player = Player::new();
    player.play(0, SECOND, 0, |time| time);
    player.play(9 * SECOND, 10 * SECOND, 0, |time| time);
    assert_eq!(player.timeline.jumps(), 0);
    assert_eq!(player.video.last().unwrap().1.dts, at(10 * SECOND - FRAME));
}

#[test]
fn slightly_backward_stamps_go_one_tick_on() {
    let mut timeline = Timeline::new();
    let stamps: Vec<i64> = [0, 3_000, 2_000, 2_500, 6_000]
        .iter()
        .map(|&dts| timeline.map(TrackKind::Video, at(dts), at(dts)).dts.ticks())
        .collect();
    assert_eq!(stamps, [0, 3_000, 3_001, 3_002, 6_000]);
}

#[test]
fn sound_that_begins_late_lies_where_it_says() {
    let mut timeline = Timeline::new();
    for index in 0..100 {
        timeline.map(TrackKind::Video, at(index * FRAME), at(index * FRAME));
    }
    let stamp = timeline.map(TrackKind::Audio, at(40 * FRAME), at(40 * FRAME));
    assert_eq!((stamp.dts, stamp.jumped), (at(40 * FRAME), false));
}

#[test]
fn tracks_of_unrelated_clocks_do_not_chase_each_other() {
    let mut timeline = Timeline::new();
    for index in 0..300 {
        let near = at(index * FRAME);
        let far = at(1_000_000_000 + index * FRAME);
        let video = timeline.map(TrackKind::Video, near, near);
        let audio = timeline.map(TrackKind::Audio, far, far);
        assert!(video.dts.distance(audio.dts) <= Ticks::new(FRAME));
    }
    assert_eq!(timeline.jumps(), 1);
}

#[test]
fn the_wrap_of_33_bits_is_no_jump() {
    let (mut unwrapper, mut player) = (Unwrapper::new(), Player::new());
    let start = (1i64 << 33) - 5 * SECOND;
    player.play(start, start + 10 * SECOND, 0, |time| time);
    let mut timeline = Timeline::new();
    for (time, expected) in &player.video {
        let dts = unwrapper.unwrap((*time as u64) & ((1 << 33) - 1));
        assert_eq!(timeline.map(TrackKind::Video, dts, dts).dts, expected.dts);
    }
    assert_eq!(timeline.jumps(), 0);
}
