//! Tracks that pause, clocks that jump, and both at once. Audio stays in sync with video as it was in the
//! input. What a jump alone does is tested in `jumping_clocks`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use cutrickle_media::{Ticks, Timestamp, TrackKind};
use cutrickle_mpegts::{Stamp, Timeline, Unwrapper, WRAP};
use proptest::prelude::*;

// Spans of time are plain numbers of ticks in this file.
const SECOND: i64 = Ticks::PER_SECOND.get();
/// How far audio may be out of sync with video.
const MAX_SKEW: i64 = SECOND * 40 / 1000;
/// How long it may take until they are in sync again.
const MAX_SETTLING: i64 = 4 * SECOND;
// Which of video and audio pause.
const VIDEO: [bool; 2] = [true, false];
const AUDIO: [bool; 2] = [false, true];
const BOTH: [bool; 2] = [true, true];

/// A disturbance of the input, followed by an undisturbed part.
#[derive(Debug, Clone, Copy)]
struct Turn {
    /// Which of video and audio are silent during the pause.
    silent: [bool; 2],
    pause: i64,
    /// What the input's clock is set to at the end of the pause.
    jump: Option<i64>,
    /// The length of the undisturbed part.
    length: i64,
    /// The index of a unit in that part whose timestamp is wrong, and how wrong it is.
    wrong: Option<(usize, i64)>,
}

const PLAIN: Turn = Turn { silent: BOTH, pause: 0, jump: None, length: 10 * SECOND, wrong: None };

/// An access unit as it was in the input and as it came out.
#[derive(Debug, Clone, Copy)]
struct Unit {
    turn: usize,
    /// The true time since the undisturbed part began. Negative before that.
    since: i64,
    /// The true time.
    time: i64,
    stamp: Stamp,
}

struct Played {
    tracks: [Vec<Unit>; 2],
    jumps: u64,
}

impl Played {
    /// The largest skew between audio and video in a turn, from `settling` after the disturbance on.
    fn skew(&self, turn: usize, settling: i64) -> i64 {
        let [video, audio] = &self.tracks;
        let settled = |unit: &&Unit| unit.turn == turn && unit.since >= settling;
        let moved = |unit: &Unit| unit.stamp.pts.ticks() - unit.time;
        let mut audio = audio.iter().filter(settled).peekable();
        let mut worst = 0;
        for video in video.iter().filter(settled) {
            while audio.next_if(|audio| audio.time < video.time).is_some() {}
            if let Some(audio) = audio.peek() {
                worst = worst.max((moved(video) - moved(audio)).abs());
            }
        }
        worst
    }

    fn largest_step(&self) -> i64 {
        let steps = self.tracks.iter().flat_map(|track| track.windows(2));
        steps.map(|pair| (pair[1].stamp.dts - pair[0].stamp.dts).get()).max().unwrap()
    }

    fn is_in_order(&self) -> bool {
        self.tracks.iter().all(|track| {
            track.windows(2).all(|pair| pair[0].stamp.dts < pair[1].stamp.dts)
                && track.iter().all(|unit| unit.stamp.pts >= unit.stamp.dts)
        })
    }
}

/// How the tracks arrive.
#[derive(Debug, Clone, Copy)]
struct Manner {
    /// What the input's clock shows at the beginning.
    start: i64,
    /// The time between two video frames.
    frame: i64,
    /// How much later than their time the units of each track arrive.
    lag: [i64; 2],
}

const USUAL: Manner = Manner { start: 10 * SECOND, frame: 3_000, lag: [0; 2] };

fn play(turns: &[Turn], Manner { start, frame, lag }: Manner) -> Played {
    let mut units = Vec::new();
    let (mut now, mut offset) = (0, start);
    for (turn, what) in turns.iter().enumerate() {
        let resumed = now + what.pause;
        let end = resumed + what.length;
        let before = offset;
        offset = what.jump.map_or(offset, |to| to - resumed);
        let mut count = 0;
        for (track, step) in [(0, frame), (1, 1_920)] {
            let mut time = now.div_euclid(step) * step;
            while time < end {
                let played = time >= if what.silent[track] { resumed } else { now };
                if played {
                    let wrong = what.wrong.filter(|(at, _)| time >= resumed && *at == count);
                    let clock = time + if time < resumed { before } else { offset };
                    let clock = clock + wrong.map_or(0, |(_, by)| by);
                    count += usize::from(time >= resumed);
                    units.push((time + lag[track], track, turn, time - resumed, time, clock));
                }
                time += step;
            }
        }
        now = end;
    }
    units.sort_by_key(|unit| unit.0);
    let (mut unwrapper, mut timeline) = (Unwrapper::new(), Timeline::new());
    let mut tracks = [Vec::new(), Vec::new()];
    for (arrived, track, turn, since, time, clock) in units {
        let dts = unwrapper.unwrap(clock.rem_euclid(WRAP) as u64);
        let arrived = Duration::from_micros(arrived as u64 * 100 / 9);
        let kind = [TrackKind::Video, TrackKind::Audio][track];
        let stamp = timeline.map_arrived(kind, dts, dts, arrived);
        tracks[track].push(Unit { turn, since, time, stamp });
    }
    Played { tracks, jumps: timeline.jumps() }
}

/// Plays ten seconds at 30 fps, then a pause, then ten more seconds.
fn paused(silent: [bool; 2], pause: i64) -> Played {
    play(&[PLAIN, Turn { silent, pause, ..PLAIN }], USUAL)
}

const PAUSES: [i64; 6] = [SECOND, 5 * SECOND, 9 * SECOND, 15 * SECOND, 60 * SECOND, 600 * SECOND];

#[test]
fn pictures_that_pause_come_back_where_the_sound_is() {
    for pause in PAUSES {
        let played = paused(VIDEO, pause);
        assert_eq!((played.skew(1, 0), played.jumps), (0, 0), "{pause}");
        assert!(played.is_in_order());
    }
}

#[test]
fn sound_that_pauses_comes_back_where_the_pictures_are() {
    for pause in PAUSES {
        let played = paused(AUDIO, pause);
        assert_eq!((played.skew(1, 0), played.jumps), (0, 0), "{pause}");
    }
}

#[test]
fn a_pause_of_both_lasts_as_long_in_the_output_as_their_arrival_says() {
    for pause in PAUSES {
        let played = paused(BOTH, pause);
        assert_eq!((played.skew(1, 0), played.jumps), (0, 0), "{pause}");
        assert!((played.largest_step() - pause).abs() <= 6_000, "{pause}");
    }
}

#[test]
fn without_times_of_arrival_a_long_pause_of_both_is_cut_and_they_stay_together() {
    let mut timeline = Timeline::new();
    let mut last = [0; 2];
    for time in (0..10 * SECOND).chain(100 * SECOND..110 * SECOND).step_by(3_000) {
        for (track, kind) in [TrackKind::Video, TrackKind::Audio].into_iter().enumerate() {
            let time = Timestamp::from_ticks(time);
            last[track] = timeline.map(kind, time, time).dts.ticks();
        }
    }
    assert_eq!(last[0], last[1]);
    assert_eq!((last[0], timeline.jumps()), (20 * SECOND - 3_000, 1));
}

#[test]
fn one_picture_a_second_or_less_is_no_pause_that_breaks_anything() {
    for frame in [SECOND, SECOND + 100, 2 * SECOND, 10 * SECOND] {
        for lag in [[0, 0], [SECOND, 0], [0, SECOND]] {
            let turn = Turn { length: 100 * SECOND, ..PLAIN };
            let turns = [turn, Turn { jump: Some(7 * SECOND), ..turn }];
            let played = play(&turns, Manner { frame, lag, ..USUAL });
            assert_eq!(played.skew(0, 0), 0, "{frame} {lag:?}");
            // Video has to reach the jump first, and it has few frames.
            assert!(played.skew(1, MAX_SETTLING + 2 * frame) <= MAX_SKEW, "{frame} {lag:?}");
        }
    }
}

const JUMPS: [i64; 8] = [
    0,
    4 * SECOND,
    21 * SECOND,
    25 * SECOND,
    3_600 * SECOND,
    WRAP / 2,
    WRAP / 2 + 15 * SECOND,
    WRAP - 5 * SECOND,
];

#[test]
fn after_a_jump_sound_and_pictures_are_together_whichever_shows_it_first() {
    for jump in JUMPS {
        for lag in [[0, 0], [0, SECOND / 3], [SECOND / 3, 0], [SECOND, 0], [0, SECOND]] {
            let played = play(&[PLAIN, Turn { jump: Some(jump), ..PLAIN }], Manner { lag, ..USUAL });
            let skew = played.skew(1, MAX_SETTLING);
            assert!(skew <= MAX_SKEW, "{jump} {lag:?}: {skew}");
            assert!(played.largest_step() <= 2 * SECOND, "{jump} {lag:?}: {}", played.largest_step());
            assert!(played.is_in_order());
        }
    }
}

#[test]
fn a_jump_that_ends_a_pause_leaves_them_together() {
    for silent in [VIDEO, AUDIO, BOTH] {
        for (pause, jump) in PAUSES.into_iter().flat_map(|pause| JUMPS.map(|jump| (pause, jump))) {
            for lag in [[0, 0], [0, SECOND / 3], [SECOND / 3, 0]] {
                let turns = [PLAIN, Turn { silent, pause, jump: Some(jump), ..PLAIN }];
                let played = play(&turns, Manner { lag, ..USUAL });
                let skew = played.skew(1, MAX_SETTLING);
                assert!(skew <= MAX_SKEW, "{silent:?} {pause} {jump} {lag:?}: {skew}");
                assert!(played.is_in_order());
            }
        }
    }
}

#[test]
fn the_wrap_in_the_middle_of_a_pause_is_nothing_special() {
    for silent in [VIDEO, AUDIO, BOTH] {
        for before in [2, 10, 12, 24, 26] {
            let start = WRAP - before * SECOND;
            let turns = [PLAIN, Turn { silent, pause: 15 * SECOND, ..PLAIN }, PLAIN];
            let played = play(&turns, Manner { start, ..USUAL });
            assert_eq!((played.skew(1, 0), played.skew(2, 0), played.jumps), (0, 0, 0));
        }
    }
}

#[test]
fn a_wrong_stamp_costs_its_unit_and_nothing_else() {
    for by in [-3_600 * SECOND, -SECOND, -55_000, 2 * SECOND, 5 * SECOND, 20 * SECOND, WRAP / 2] {
        for at in [100, 400] {
            let turn = Turn { wrong: Some((at, by)), ..PLAIN };
            let played = play(&[turn, PLAIN], USUAL);
            assert_eq!(played.skew(1, 0), 0, "{by}");
            assert!(played.largest_step() <= 6_000, "{by}: {}", played.largest_step());
        }
    }
}

#[test]
fn a_picture_is_not_shown_hours_after_its_decoding() {
    let mut timeline = Timeline::new();
    let (pts, dts) = (Timestamp::from_ticks(5 * 3_600 * SECOND), Timestamp::from_ticks(3_000));
    let stamp = timeline.map(TrackKind::Video, pts, dts);
    assert_eq!((stamp.pts, stamp.dts), (dts, dts));
}

fn turn() -> impl Strategy<Value = Turn> {
    let silent = prop_oneof![Just(VIDEO), Just(AUDIO), Just(BOTH)];
    let pause = prop_oneof![Just(0), 0..SECOND, SECOND..30 * SECOND, 30 * SECOND..600 * SECOND];
    let near = -30 * SECOND..30 * SECOND;
    let jump = prop_oneof![3 => Just(None), 1 => (0..WRAP).prop_map(Some), 1 => near.prop_map(Some)];
    let wrong = prop::option::weighted(0.3, (0..200_usize, 0..WRAP));
    (silent, pause, jump, 12 * SECOND..20 * SECOND, wrong)
        .prop_map(|(silent, pause, jump, length, wrong)| Turn { silent, pause, jump, length, wrong })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sound_stays_with_pictures_whatever_pauses_and_jumps(
        turns in prop::collection::vec(turn(), 1..5),
        start in prop_oneof![0..WRAP, WRAP - 60 * SECOND..WRAP],
        lag in [0..SECOND / 2, 0..SECOND / 2],
    ) {
        let played = play(&turns, Manner { start, lag, ..USUAL });
        prop_assert!(played.is_in_order());
        for turn in 0..turns.len() {
            // A wrong timestamp lies within the first seven seconds after the pause and the jump.
            let skew = played.skew(turn, 7 * SECOND + MAX_SETTLING);
            prop_assert!(skew <= MAX_SKEW, "turn {}: {}", turn, skew);
        }
        let longest = turns.iter().map(|turn| turn.pause).max().unwrap();
        prop_assert!(played.largest_step() <= longest + 40 * SECOND, "{}", played.largest_step());
    }
}
