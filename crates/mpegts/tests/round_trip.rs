//! Access units come back as they were written, whatever the size of the chunks. No input makes the demuxer
//! panic or use ever more memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod streams;

use std::time::Duration;

use bytes::BytesMut;
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Timestamp, TrackKind, VideoCodec};
use cutrickle_mpegts::{Demuxer, Event, MuxProgram, Muxer, Timeline};
use proptest::prelude::*;
use streams::{Seen, picture, segment, segment_of, sound, unit};

/// An access unit that a test is going to write.
#[derive(Debug, Clone)]
struct Plan {
    track: TrackKind,
    /// Ticks since the unit before, in decoding order.
    step: i64,
    /// Ticks from decoding to presentation, if it is a video unit.
    reorder: i64,
    keyframe: bool,
    size: usize,
    /// Whether a segment begins with it.
    begins: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let size = prop_oneof![11..800usize, 150..200usize, Just(20_000usize)];
    (any::<bool>(), 1..9_000i64, 0..6_000i64, any::<bool>(), size, prop::bool::weighted(0.1)).prop_map(
        |(video, step, reorder, keyframe, size, begins)| {
            let track = if video { TrackKind::Video } else { TrackKind::Audio };
            Plan {
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
        plans in prop::collection::vec(plan(), 1..60),
        chunks in prop::collection::vec(1..2_000usize, 1..20),
        start in 0..(1i64 << 33),
        is_opus in any::<bool>(),
        is_told in any::<bool>(),
    ) {
        let audio = if is_opus { AudioCodec::Opus } else { AudioCodec::Aac };
        let mut muxer = Muxer::new(MuxProgram::new(Some(VideoCodec::H264), Some(audio)).unwrap());
        let mut written: Vec<AccessUnit> = Vec::new();
        let mut segments = vec![BytesMut::new()];
        let mut dts = start;
        for (index, plan) in plans.iter().enumerate() {
            if plan.begins {
                segments.push(BytesMut::new());
                muxer.begin_segment(segments.last_mut().unwrap());
            }
            dts += plan.step;
            let is_video = plan.track == TrackKind::Video;
            let codec = if is_video { Codec::H264 } else { audio.into() };
            let (pts, keyframe) = if is_video { (dts + plan.reorder, plan.keyframe) } else { (dts, true) };
            let data = match (plan.track, is_opus) {
                (TrackKind::Video, _) => picture(keyframe, plan.size, index as u8),
                (TrackKind::Audio, false) => sound(plan.size, index as u8),
                (TrackKind::Audio, true) => opus(plan.size, index as u8),
            };
            written.push(unit(codec, pts, dts, keyframe, data));
            muxer.write_unit(written.last().unwrap(), segments.last_mut().unwrap()).unwrap();
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
        let errors = stats.continuity_errors + stats.dropped_units + stats.malformed + stats.late_packets;
        prop_assert_eq!(errors, 0);
        for kind in [TrackKind::Video, TrackKind::Audio] {
            let seen = seen.of(kind);
            let written: Vec<_> = written.iter().filter(|unit| unit.codec.kind() == kind).collect();
            prop_assert_eq!(seen.len(), written.len());
            // All tracks are unwrapped together, so timestamps may differ from those written by one period,
            // but then all of them do.
            for (unit, written) in seen.iter().zip(written) {
                prop_assert_eq!((unit.pts - written.pts).get() & ((1 << 33) - 1), 0);
                prop_assert_eq!(unit.pts - unit.dts, written.pts - written.dts);
                prop_assert_eq!(unit.keyframe, written.keyframe);
                prop_assert_eq!(&unit.data, &written.data);
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
        let video = if is_h265 { VideoCodec::H265 } else { VideoCodec::H264 };
        let audio = if is_opus { AudioCodec::Opus } else { AudioCodec::Aac };
        let mut bytes = segment_of(MuxProgram::new(Some(video), Some(audio)).unwrap(), 0);
        for (at, value, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value & 7),
                2 => bytes.insert(at, value),
                // Aims at the headers, because that is where the structure is.
                _ => {
                    let at = at / 188 * 188 + usize::from(value % 24);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = byte.wrapping_add(value);
                    }
                }
            }
        }
        bytes.extend(noise);
        let (mut demuxer, mut timeline, mut emitted) = (Demuxer::new(), Timeline::new(), 0);
        let mut last = [Timestamp::from_ticks(i64::MIN); 2];
        for bytes in bytes.chunks(chunk) {
            demuxer.push(bytes, &mut |event| if let Event::Unit(unit) = event {
                emitted += unit.data.len();
                let stamp = timeline.map(unit.codec.kind(), unit.pts, unit.dts);
                let last = &mut last[usize::from(unit.codec.is_audio())];
                assert!(stamp.dts > *last && stamp.pts >= stamp.dts);
                *last = stamp.dts;
            });
        }
        demuxer.end_segment(&mut |event| if let Event::Unit(unit) = event {
            emitted += unit.data.len();
        });
        // No more bytes are emitted than were read.
        prop_assert!(emitted <= bytes.len());
        // The demuxer still works after that.
        let mut after = 0;
        demuxer.push(&segment(0), &mut |_| after += 1);
        prop_assert!(after >= 55, "{after}");
    }

    #[test]
    fn random_stamps_leave_the_timeline_in_order(
        stamps in prop::collection::vec(
            (any::<bool>(), any::<i64>(), any::<i64>(), any::<Option<u64>>()),
            1..100,
        ),
    ) {
        let mut timeline = Timeline::new();
        let mut last = [None; 2];
        for (video, pts, dts, arrived) in stamps {
            // As far as an unwrapped 33-bit clock can get in a lifetime.
            let (pts, dts) = (Timestamp::from_ticks(pts >> 16), Timestamp::from_ticks(dts >> 16));
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
