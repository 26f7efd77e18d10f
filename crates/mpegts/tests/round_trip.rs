//! Any units come back as they were written, in any chunking; and no bytes make the demuxer panic or hoard.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod streams;

use std::time::Duration;

use bytes::BytesMut;
use cutrickle_mpegts::{Codec, Demuxer, Event, MuxProgram, Muxer, Timeline, TrackKind};
use proptest::prelude::*;
use streams::{Seen, picture, segment, segment_of, sound};

#[derive(Debug, Clone)]
struct Unit {
    track: TrackKind,
    step: i64,
    reorder: i64,
    keyframe: bool,
    size: usize,
    begins: bool,
}

fn unit() -> impl Strategy<Value = Unit> {
    let size = prop_oneof![11..800usize, 150..200usize, Just(20_000usize)];
    (any::<bool>(), 1..9_000i64, 0..6_000i64, any::<bool>(), size, prop::bool::weighted(0.1)).prop_map(
        |(video, step, reorder, keyframe, size, begins)| {
            let track = if video { TrackKind::Video } else { TrackKind::Audio };
            Unit {
                track,
                step,
                reorder,
                keyframe,
                size: size.min(if video { 20_000 } else { 1_200 }),
                begins,
            }
        },
    )
}

fn opus(size: usize, fill: u8) -> Vec<u8> {
    let mut packet = vec![fill | 0xFC; size];
    packet[0] = 0xFC;
    packet
}

proptest! {
    #[test]
    fn units_come_back_as_they_were_written(
        units in prop::collection::vec(unit(), 1..60),
        chunks in prop::collection::vec(1..2_000usize, 1..20),
        start in 0..(1i64 << 33),
        is_opus in any::<bool>(),
        is_told in any::<bool>(),
    ) {
        let codec = if is_opus { Codec::Opus } else { Codec::Aac };
        let mut muxer = Muxer::new(MuxProgram::new(Some(Codec::H264), Some(codec)).unwrap());
        let mut written = Vec::new();
        let mut segments = vec![BytesMut::new()];
        let mut dts = start;
        for (index, unit) in units.iter().enumerate() {
            if unit.begins {
                segments.push(BytesMut::new());
                muxer.begin_segment(segments.last_mut().unwrap());
            }
            dts += unit.step;
            let is_video = unit.track == TrackKind::Video;
            let (pts, keyframe) = if is_video { (dts + unit.reorder, unit.keyframe) } else { (dts, true) };
            let data = match (unit.track, is_opus) {
                (TrackKind::Video, _) => picture(keyframe, unit.size, index as u8),
                (TrackKind::Audio, false) => sound(unit.size, index as u8),
                (TrackKind::Audio, true) => opus(unit.size, index as u8),
            };
            let out = segments.last_mut().unwrap();
            muxer.write_unit(unit.track, pts, dts, keyframe, &data, out).unwrap();
            written.push((unit.track, pts, dts, keyframe, data));
        }
        let (mut demuxer, mut seen) = (Demuxer::new(), Seen::default());
        let mut sizes = chunks.iter().cycle();
        for segment in &segments {
            let mut rest = &segment[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                demuxer.push(now, &mut |event| seen.take(event));
                rest = later;
            }
            if is_told {
                demuxer.end_segment(&mut |event| seen.take(event));
            }
        }
        demuxer.end_segment(&mut |event| seen.take(event));
        let stats = demuxer.stats();
        prop_assert_eq!(stats.continuity_errors + stats.dropped_units + stats.malformed + stats.late_packets, 0);
        for kind in [TrackKind::Video, TrackKind::Audio] {
            let seen = seen.of(kind);
            let written: Vec<_> = written.iter().filter(|unit| unit.0 == kind).collect();
            prop_assert_eq!(seen.len(), written.len());
            // All tracks are unwrapped together, so they may lie one period from what was written, but
            // only all by the same.
            for (unit, (_, pts, dts, keyframe, data)) in seen.iter().zip(written) {
                prop_assert_eq!((unit.pts - pts) & ((1 << 33) - 1), 0);
                prop_assert_eq!(unit.pts - unit.dts, pts - dts);
                prop_assert_eq!(unit.keyframe, *keyframe);
                prop_assert_eq!(&unit.data[..], &data[..]);
                prop_assert!(unit.loss.is_none() && !unit.damaged);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_hoard(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 0..200),
        noise in prop::collection::vec(any::<u8>(), 0..600),
        chunk in 1..1_000usize,
        (is_h265, is_opus) in any::<(bool, bool)>(),
    ) {
        let video = if is_h265 { Codec::H265 } else { Codec::H264 };
        let audio = if is_opus { Codec::Opus } else { Codec::Aac };
        let mut bytes = segment_of(MuxProgram::new(Some(video), Some(audio)).unwrap(), 0);
        for (at, value, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value & 7),
                2 => bytes.insert(at, value),
                // Headers are where structure is.
                _ => {
                    let at = at / 188 * 188 + usize::from(value % 24);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = byte.wrapping_add(value);
                    }
                }
            }
        }
        bytes.extend(noise);
        let (mut demuxer, mut timeline, mut handed) = (Demuxer::new(), Timeline::new(), 0);
        let mut last = [i64::MIN; 2];
        for bytes in bytes.chunks(chunk) {
            demuxer.push(bytes, &mut |event| if let Event::Unit(unit) = event {
                handed += unit.data.len();
                let stamp = timeline.map(unit.codec.kind(), unit.pts, unit.dts);
                let last = &mut last[usize::from(unit.codec.is_audio())];
                assert!(stamp.dts > *last && stamp.pts >= stamp.dts);
                *last = stamp.dts;
            });
        }
        demuxer.end_segment(&mut |event| if let Event::Unit(unit) = event {
            handed += unit.data.len();
        });
        // Nothing is made up: what comes out went in.
        prop_assert!(handed <= bytes.len());
        // And it works on after that.
        let mut after = 0;
        demuxer.push(&segment(0), &mut |_| after += 1);
        prop_assert!(after >= 55, "{after}");
    }

    #[test]
    fn random_stamps_leave_the_timeline_in_order(
        stamps in prop::collection::vec((any::<bool>(), any::<i64>(), any::<i64>(), any::<Option<u64>>()), 1..100),
    ) {
        let mut timeline = Timeline::new();
        let mut last = [None; 2];
        for (video, pts, dts, arrived) in stamps {
            // Anything a 33-bit clock can have become in a lifetime.
            let (pts, dts) = (pts >> 16, dts >> 16);
            let kind = if video { TrackKind::Video } else { TrackKind::Audio };
            let stamp = match arrived {
                Some(arrived) => timeline.map_arrived(kind, pts, dts, Duration::from_micros(arrived)),
                None => timeline.map(kind, pts, dts),
            };
            let last = &mut last[usize::from(video)];
            prop_assert!(last.is_none_or(|last| stamp.dts > last));
            prop_assert!(stamp.pts >= stamp.dts);
            *last = Some(stamp.dts);
        }
    }
}
