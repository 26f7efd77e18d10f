//! The input's clock jumps, wraps, stops, or says nonsense; the output's goes on, and sound stays with
//! the pictures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use cutrickle_mpegts::{Stamp, Timeline, TrackKind, Unwrapper};

const SECOND: i64 = 90_000;
const FRAME: i64 = 3_000;
const SOUND: i64 = 1_920;

/// One session: pictures at 30 fps and sound in frames of 1024 samples, the input's clock being whatever
/// `clock` makes of the true time.
struct Session {
    timeline: Timeline,
    /// True time and output, per track.
    video: Vec<(i64, Stamp)>,
    audio: Vec<(i64, Stamp)>,
}

impl Session {
    fn new() -> Self {
        Self { timeline: Timeline::new(), video: Vec::new(), audio: Vec::new() }
    }

    /// Runs from true time `from` to `to`, sound arriving `lag` later than pictures of the same time.
    fn run(&mut self, from: i64, to: i64, lag: i64, clock: impl Fn(i64) -> i64) {
        let pictures = (from..to).step_by(FRAME as usize).map(|time| (time, TrackKind::Video, time));
        let sounds = (from..to).step_by(SOUND as usize).map(|time| (time + lag, TrackKind::Audio, time));
        let mut units: Vec<_> = pictures.chain(sounds).collect();
        units.sort_by_key(|unit| unit.0);
        for (_, kind, time) in units {
            let stamp = self.timeline.map(kind, clock(time) + 500, clock(time));
            match kind {
                TrackKind::Video => self.video.push((time, stamp)),
                TrackKind::Audio => self.audio.push((time, stamp)),
            }
        }
    }

    fn largest_step(&self) -> i64 {
        let steps = [&self.video, &self.audio].into_iter().flat_map(|track| track.windows(2));
        steps.map(|pair| pair[1].1.dts - pair[0].1.dts).max().unwrap()
    }

    fn check_order(&self) {
        for track in [&self.video, &self.audio] {
            assert!(track.windows(2).all(|pair| pair[0].1.dts < pair[1].1.dts));
            assert!(track.iter().all(|(_, stamp)| stamp.pts >= stamp.dts));
        }
    }

    /// How far sound and pictures are apart at the end, against true time.
    fn skew(&self) -> i64 {
        let off = |track: &[(i64, Stamp)]| track.last().map(|(time, stamp)| stamp.pts - time).unwrap();
        (off(&self.video) - off(&self.audio)).abs()
    }
}

#[test]
fn without_a_jump_stamps_stay_as_they_are() {
    let mut session = Session::new();
    session.run(7 * SECOND, 12 * SECOND, 0, |time| time);
    for (time, stamp) in session.video.iter().chain(&session.audio) {
        assert_eq!((stamp.dts, stamp.pts, stamp.jumped), (*time, *time + 500, false));
    }
    assert_eq!(session.timeline.jumps(), 0);
}

#[test]
fn jumps_back_and_forward_leave_no_hole_and_keep_sound_with_pictures() {
    for jump in [-5 * SECOND, -SECOND, -3_600 * SECOND, 3_600 * SECOND, 11 * SECOND, -24 * 3_600 * SECOND] {
        for lag in [0, 10_000, 40_000] {
            let mut session = Session::new();
            session.run(100 * SECOND, 110 * SECOND, lag, |time| time);
            session.run(110 * SECOND, 120 * SECOND, lag, |time| time + jump);
            session.check_order();
            let step = session.largest_step();
            assert!(step <= SECOND / 2, "jump {jump}, lag {lag}: {step}");
            // Sound took the pictures' offset.
            assert_eq!(session.skew(), 0, "jump {jump}, lag {lag}");
            assert_eq!(session.timeline.jumps(), 1, "jump {jump}, lag {lag}");
        }
    }
}

#[test]
fn a_clip_in_a_loop_goes_on_for_ever() {
    for length in [SECOND, 2 * SECOND, 10 * SECOND] {
        let mut session = Session::new();
        for round in 0..50 {
            let start = round * length;
            session.run(start, start + length, 0, |time| time - start);
        }
        session.check_order();
        assert!(session.largest_step() <= SECOND / 10, "{length}");
        assert_eq!(session.timeline.jumps(), 49, "{length}");
        // What one round is off by does not add up between the tracks, nor to a shorter or longer clip.
        assert_eq!(session.skew(), 0, "{length}");
        let end = session.video.last().unwrap();
        assert!((end.1.dts - end.0).abs() < SECOND, "{length}: {end:?}");
    }
}

#[test]
fn a_single_wrong_stamp_costs_only_its_own_unit() {
    let mut timeline = Timeline::new();
    for index in 0..200 {
        let wrong = if index % 50 == 49 { 3_600 * SECOND } else { 0 };
        let stamp = timeline.map(TrackKind::Video, index * FRAME + wrong, index * FRAME + wrong);
        assert_eq!(stamp.dts, index * FRAME);
    }
}

#[test]
fn a_pause_of_less_than_ten_seconds_is_kept() {
    let mut session = Session::new();
    session.run(0, SECOND, 0, |time| time);
    session.run(9 * SECOND, 10 * SECOND, 0, |time| time);
    assert_eq!(session.timeline.jumps(), 0);
    assert_eq!(session.video.last().unwrap().1.dts, 10 * SECOND - FRAME);
}

#[test]
fn slightly_backward_stamps_go_one_tick_on() {
    let mut timeline = Timeline::new();
    let stamps: Vec<i64> = [0, 3_000, 2_000, 2_500, 6_000]
        .iter()
        .map(|&dts| timeline.map(TrackKind::Video, dts, dts).dts)
        .collect();
    assert_eq!(stamps, [0, 3_000, 3_001, 3_002, 6_000]);
}

#[test]
fn sound_that_begins_late_lies_where_it_says() {
    let mut timeline = Timeline::new();
    for index in 0..100 {
        timeline.map(TrackKind::Video, index * FRAME, index * FRAME);
    }
    let stamp = timeline.map(TrackKind::Audio, 40 * FRAME, 40 * FRAME);
    assert_eq!((stamp.dts, stamp.jumped), (40 * FRAME, false));
}

#[test]
fn tracks_of_unrelated_clocks_do_not_chase_each_other() {
    let mut timeline = Timeline::new();
    for index in 0..300 {
        let video = timeline.map(TrackKind::Video, index * FRAME, index * FRAME);
        let far = 1_000_000_000;
        let audio = timeline.map(TrackKind::Audio, far + index * FRAME, far + index * FRAME);
        assert!((video.dts - audio.dts).abs() <= FRAME);
    }
    assert_eq!(timeline.jumps(), 1);
}

#[test]
fn the_wrap_of_33_bits_is_no_jump() {
    let (mut unwrapper, mut session) = (Unwrapper::new(), Session::new());
    let start = (1i64 << 33) - 5 * SECOND;
    session.run(start, start + 10 * SECOND, 0, |time| time);
    let mut timeline = Timeline::new();
    for (time, expected) in &session.video {
        let dts = unwrapper.unwrap((*time as u64) & ((1 << 33) - 1));
        assert_eq!(timeline.map(TrackKind::Video, dts, dts).dts, expected.dts);
    }
    assert_eq!(timeline.jumps(), 0);
}
