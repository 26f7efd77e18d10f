//! The demuxer reads streams made by ffmpeg, and finds the same access units, with the same sizes and
//! timestamps, as ffprobe does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod judge;

use cutrickle_media::{AccessUnit, TrackKind};
use cutrickle_mpegts::{Demuxer, Event, Stats};
use judge::{Probed, Scratch};

const PICTURES: &str =
    "-f lavfi -i testsrc2=size=320x240:rate=30 -f lavfi -i sine=frequency=440:sample_rate=";

fn demux(bytes: &[u8], chunk: usize) -> (Vec<AccessUnit>, Stats) {
    let mut demuxer = Demuxer::new();
    let mut units = Vec::new();
    let mut programs = 0;
    let mut sink = |event| match event {
        Event::Unit(unit) => units.push(unit),
        Event::Program(_) => programs += 1,
    };
    for bytes in bytes.chunks(chunk) {
        demuxer.push(bytes, &mut sink);
    }
    demuxer.end_segment(&mut sink);
    assert_eq!(programs, 1, "the tracks did not change");
    (units, demuxer.stats())
}

fn of(units: &[AccessUnit], kind: TrackKind) -> Vec<Probed> {
    let units = units.iter().filter(|unit| unit.codec.kind() == kind);
    units
        .map(|unit| Probed {
            pts: unit.pts.ticks(),
            dts: unit.dts.ticks(),
            size: unit.data.len(),
            keyframe: unit.keyframe,
        })
        .collect()
}

/// Demuxes the stream that ffmpeg makes with `arguments`, and compares the result with what ffprobe reports.
fn compare(arguments: &str) {
    if !judge::present() {
        return;
    }
    let scratch = Scratch::new();
    let (file, bytes) = judge::make(&scratch, arguments);
    let (units, stats) = demux(&bytes, 1316);
    assert_eq!(
        stats.continuity_errors + stats.malformed + stats.dropped_units + stats.damaged,
        0,
        "{stats:?}"
    );
    assert_eq!((stats.crc_errors, stats.garbage_bytes, stats.late_packets), (0, 0, 0));
    assert!(units.iter().all(|unit| unit.loss.is_none()));
    for (track, kind) in [("v:0", TrackKind::Video), ("a:0", TrackKind::Audio)] {
        let (seen, expected) = (of(&units, kind), judge::packets(&file, track));
        assert_eq!(seen.len(), expected.len(), "{track}");
        assert!(!seen.is_empty() || arguments.contains("-an") || arguments.contains("-vn"), "{track}");
        for (index, (seen, expected)) in seen.iter().zip(&expected).enumerate() {
            // Where ffprobe splits a PES packet it computes timestamps from ones that it has already rounded.
            let stamps = seen.pts.abs_diff(expected.pts).max(seen.dts.abs_diff(expected.dts));
            assert!(stamps <= u64::from(kind == TrackKind::Audio), "{track} {index}: {seen:?} {expected:?}");
            // ffprobe's H.265 parser counts the zero byte before a delimiter as part of the unit before.
            let sizes = seen.size.abs_diff(expected.size);
            assert!(
                sizes <= usize::from(arguments.contains("x265")),
                "{track} {index}: {seen:?} {expected:?}"
            );
            assert_eq!(seen.keyframe, expected.keyframe, "{track} {index}");
        }
        let total = |units: &[Probed]| units.iter().map(|unit| unit.size).sum::<usize>();
        assert_eq!(total(&seen), total(&expected), "{track}");
    }
    for chunk in [1, 7, 188, 189, 100_000] {
        assert_eq!(demux(&bytes, chunk).0, units, "in pieces of {chunk}");
    }
}

#[test]
fn h264_with_b_frames_and_aac_at_44100_hz() {
    compare(&format!("{PICTURES}44100 -t 4 -c:v libx264 -preset veryfast -bf 2 -g 30 -c:a aac"));
}

#[test]
fn h264_without_b_frames_and_packed_opus() {
    compare(&format!("{PICTURES}48000 -t 4 -c:v libx264 -preset veryfast -bf 0 -g 30 -c:a libopus"));
}

#[test]
fn h265_and_aac_at_48000_hz() {
    compare(&format!(
        "{PICTURES}48000 -t 2 -c:v libx265 -preset ultrafast -x265-params log-level=none -c:a aac"
    ));
}

#[test]
fn h264_whose_pes_packets_tell_their_length() {
    let codecs = "-c:v libx264 -preset veryfast -bf 0 -c:a aac -omit_video_pes_length 0";
    compare(&format!("{PICTURES}48000 -t 2 {codecs}"));
}

#[test]
fn opus_in_frames_of_every_length() {
    for duration in ["2.5", "5", "10", "40", "60"] {
        let sound = "-f lavfi -i sine=sample_rate=48000";
        compare(&format!("{sound} -t 1 -vn -c:a libopus -ac 2 -frame_duration {duration}"));
    }
}

#[test]
fn sound_alone_and_pictures_alone() {
    compare("-f lavfi -i sine=sample_rate=32000 -t 2 -vn -c:a aac");
    compare("-f lavfi -i testsrc2=size=320x240:rate=25 -t 2 -an -c:v libx264 -preset veryfast");
}

#[test]
fn stamps_that_wrap_go_on() {
    if !judge::present() {
        return;
    }
    let scratch = Scratch::new();
    // 2^33 ticks are 95443.717 s. ffmpeg's muxer adds a delay of 1.4 s.
    let shift = "-output_ts_offset 95440";
    let codecs = "-c:v libx264 -preset veryfast -bf 0 -c:a aac";
    let (_, bytes) = judge::make(&scratch, &format!("{PICTURES}48000 -t 6 {codecs} {shift}"));
    let (units, _) = demux(&bytes, 4096);
    for kind in [TrackKind::Video, TrackKind::Audio] {
        let units = of(&units, kind);
        assert!(units.iter().any(|unit| unit.dts > 1 << 33));
        for pair in units.windows(2) {
            let step = pair[1].dts - pair[0].dts;
            assert!((1..=3_010).contains(&step), "{kind}: {step}");
        }
    }
}

#[test]
fn segments_cut_at_keyframes_give_all_units_in_whole() {
    if !judge::present() {
        return;
    }
    for sound in ["aac -ar 44100", "libopus"] {
        let scratch = Scratch::new();
        let codecs = format!("-c:v libx264 -preset veryfast -bf 0 -g 30 -c:a {sound}");
        let (file, _) = judge::make(&scratch, &format!("{PICTURES}48000 -t 5 {codecs}"));
        // ffmpeg starts a new muxer for every segment, so there are new tables and the counters restart.
        judge::cut(&file, &scratch.file("part%d.ts"));
        let parts: Vec<Vec<u8>> =
            (0..).map_while(|index| std::fs::read(scratch.file(&format!("part{index}.ts"))).ok()).collect();
        assert_eq!(parts.len(), 5);
        let (mut demuxer, mut units, mut programs) = (Demuxer::new(), Vec::new(), 0);
        for part in &parts {
            let mut sink = |event| match event {
                Event::Unit(unit) => units.push(unit),
                Event::Program(_) => programs += 1,
            };
            demuxer.push(part, &mut sink);
            demuxer.end_segment(&mut sink);
        }
        assert!(units.iter().all(|unit| unit.loss.is_none() && !unit.damaged));
        assert_eq!((programs, demuxer.stats().continuity_errors), (1, 0));
        for (track, kind) in [("v:0", TrackKind::Video), ("a:0", TrackKind::Audio)] {
            assert_eq!(of(&units, kind).len(), judge::packets(&file, track).len(), "{track} {sound}");
        }
        // The joined segments give the same units even if the demuxer is not told where each one ends.
        assert_eq!(demux(&parts.concat(), 10_000).0, units);
    }
}
