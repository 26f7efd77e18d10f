//! Streams that something went wrong with: damage, truncation, garbage, restarts and changing programs. The
//! next good access unit is emitted, and losses are reported.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod streams;

use bytes::BytesMut;
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Timestamp, TrackKind, VideoCodec};
use cutrickle_mpegts::{Demuxer, MuxProgram, Muxer};
use streams::{PACKET, Seen, demux, h264_aac, packet, pes_head, picture, pids, segment, sound, tables, unit};

const VIDEO: TrackKind = TrackKind::Video;

/// A small generator of random numbers with a fixed seed, so that every run damages the same packets.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// The codec, time and data of each unit, without what it reports about losses.
fn content<'a>(units: impl IntoIterator<Item = &'a AccessUnit>) -> Vec<(Codec, Timestamp, Vec<u8>)> {
    units.into_iter().map(|unit| (unit.codec, unit.dts, unit.data.to_vec())).collect()
}

#[test]
fn segments_of_independent_muxers_lose_nothing() {
    let segments: Vec<Vec<u8>> = (0..5).map(|index| segment(index * 90_000)).collect();
    let parts: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
    let joined = segments.concat();
    // Once the demuxer is told where each segment ends, and once it is not.
    for (seen, stats) in [demux(&parts), demux(&[&joined])] {
        assert_eq!(seen.programs.len(), 1, "the same tables again are no change");
        assert_eq!((seen.units.len(), stats.continuity_errors, stats.duplicates), (300, 0, 0));
        assert!(seen.units.iter().all(|unit| unit.loss.is_none() && !unit.damaged));
        let keyframes = seen.of(VIDEO).iter().filter(|unit| unit.keyframe).count();
        assert_eq!(keyframes, 5);
    }
}

#[test]
fn a_missing_packet_damages_its_unit_and_is_told_once() {
    let bytes = segment(0);
    let (whole, _) = demux(&[&bytes]);
    for missing in 2..bytes.len() / PACKET {
        let mut holed = bytes.clone();
        holed.drain(missing * PACKET..(missing + 1) * PACKET);
        let (seen, stats) = demux(&[&holed]);
        // A gap before the first or after the last packet of a PID cannot be noticed.
        let is_last = !pids(&holed[missing * PACKET..]).contains(&pids(&bytes)[missing]);
        let is_first = !pids(&bytes[..missing * PACKET]).contains(&pids(&bytes)[missing]);
        assert_eq!(stats.continuity_errors, u64::from(!is_last && !is_first), "packet {missing}");
        let losses: Vec<_> = seen.units.iter().filter_map(|unit| unit.loss).collect();
        let pid = pids(&bytes)[missing];
        let begins = |packet: &[u8]| packet[1] & 0x40 != 0 && pids(packet) == [pid];
        let can_be_told = !is_first && holed[missing * PACKET..].chunks(PACKET).any(begins);
        if can_be_told {
            assert_eq!(losses.len(), 1, "packet {missing}");
        }
        // A unit that is not reported as damaged is intact.
        let sound: Vec<_> = content(seen.units.iter().filter(|unit| !unit.damaged));
        let all = content(&whole.units);
        assert!(is_last || sound.iter().all(|unit| all.contains(unit)), "packet {missing}");
        assert!(seen.units.len() + 2 >= whole.units.len());
    }
}

#[test]
fn packets_sent_twice_are_taken_once() {
    let bytes = segment(0);
    let twice: Vec<u8> = bytes.chunks(PACKET).flat_map(|packet| [packet, packet].concat()).collect();
    let ((seen, stats), (expected, _)) = (demux(&[&twice]), demux(&[&bytes]));
    assert_eq!(content(&seen.units), content(&expected.units));
    assert!(stats.duplicates > 100 && stats.continuity_errors == 0);
}

#[test]
fn packets_marked_as_damaged_or_scrambled_count_as_lost() {
    for (offset, mask) in [(1, 0x80), (3, 0x80)] {
        let mut bytes = segment(0);
        let index = pids(&bytes).iter().rposition(|&pid| pid == 0x100).unwrap() - 40;
        let index = (index..).find(|&index| pids(&bytes)[index] == 0x100).unwrap();
        bytes[index * PACKET + offset] |= mask;
        let (seen, stats) = demux(&[&bytes]);
        assert_eq!(stats.transport_errors + stats.scrambled, 1);
        assert_eq!(stats.continuity_errors, 0);
        let losses: Vec<_> = seen.units.iter().filter_map(|unit| unit.loss).collect();
        assert_eq!(losses.iter().map(|loss| loss.packets).collect::<Vec<_>>(), [1]);
    }
}

#[test]
fn garbage_between_packets_costs_nothing() {
    let bytes = segment(0);
    let (expected, _) = demux(&[&bytes]);
    let mut dice = Dice(7);
    for chunk in [1, 100, 100_000] {
        let (mut garbled, mut added) = (Vec::new(), 0);
        for (index, packet) in bytes.chunks(PACKET).enumerate() {
            if index % 9 == 4 {
                // Any byte except the one that a packet begins with.
                let garbage: Vec<u8> = (0..1 + dice.roll(400)).map(|_| 0x48 + dice.roll(180) as u8).collect();
                added += garbage.len() as u64;
                garbled.extend(garbage);
            }
            garbled.extend_from_slice(packet);
        }
        let (mut demuxer, mut seen) = (Demuxer::new(), Seen::default());
        for part in garbled.chunks(chunk) {
            demuxer.push(part, &mut |event| seen.take(event));
        }
        demuxer.end_segment(&mut |event| seen.take(event));
        assert_eq!(content(&seen.units), content(&expected.units));
        assert_eq!(demuxer.stats().garbage_bytes, added);
        assert!(seen.units.iter().all(|unit| unit.loss.is_none()));
    }
}

#[test]
fn with_one_packet_in_a_hundred_damaged_most_units_are_whole() {
    let mut dice = Dice(1);
    let segments: Vec<Vec<u8>> = (0..20)
        .map(|index| {
            let mut bytes = segment(index * 90_000);
            for packet in bytes.chunks_mut(PACKET) {
                if dice.roll(100) == 0 {
                    for _ in 0..4 {
                        packet[dice.roll(PACKET as u64) as usize] ^= 1 << dice.roll(8);
                    }
                }
            }
            bytes
        })
        .collect();
    let parts: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
    let (seen, stats) = demux(&parts);
    assert!(seen.of(VIDEO).len() > 500, "{stats:?}");
    assert!(seen.of(TrackKind::Audio).len() > 500, "{stats:?}");
    // After the damaged part the stream is intact again.
    let last = segment(20 * 90_000);
    let (after, _) = demux(&[parts.concat().as_slice(), &last]);
    let whole =
        after.of(VIDEO).into_iter().rev().take(29).filter(|unit| !unit.damaged && unit.loss.is_none());
    assert_eq!(whole.count(), 29);
}

#[test]
fn a_truncated_segment_does_not_spoil_the_next() {
    let (first, second) = (segment(0), segment(90_000));
    let next = Timestamp::from_ticks(90_000);
    for cut in [1, 100, PACKET * 2 + 50, PACKET * 30 + 1, PACKET * 31 + 187, first.len() - 10] {
        let (seen, _) = demux(&[&first[..cut], &second]);
        let after: Vec<_> = seen.of(VIDEO).into_iter().filter(|unit| unit.dts >= next).collect();
        assert_eq!(after.len(), 30, "cut at {cut}");
        assert!(after[0].keyframe && after.iter().all(|unit| !unit.damaged));
    }
}

#[test]
fn a_unit_whose_announced_length_is_not_reached_is_damaged() {
    let mut pes = pes_head(0);
    pes[4..6].copy_from_slice(&600u16.to_be_bytes());
    pes.extend(picture(true, 184 - 14, 0));
    let bytes = [tables(), packet(0x100, true, 0, &pes)].concat();
    let (seen, stats) = demux(&[&bytes]);
    assert_eq!((seen.units.len(), stats.damaged), (1, 1));
    assert!(seen.units[0].damaged && seen.units[0].keyframe);
}

#[test]
fn a_stream_that_is_joined_in_the_middle_of_a_unit_begins_with_the_next() {
    let bytes = segment(0);
    let middle = pids(&bytes).iter().rposition(|&pid| pid == 0x100).unwrap() * PACKET - 3 * PACKET - 70;
    let joined = [&tables(), &bytes[middle..]].concat();
    let (seen, _) = demux(&[&joined]);
    let (expected, _) = demux(&[&bytes]);
    let all = content(&expected.units);
    assert!(!seen.units.is_empty());
    assert!(content(&seen.units).iter().all(|unit| all.contains(unit)));
    assert!(seen.of(VIDEO).iter().all(|unit| !unit.keyframe));
    // Without tables the demuxer does not know what the packets carry.
    assert!(demux(&[&bytes[PACKET * 2..]]).0.units.is_empty());
}

#[test]
fn a_table_that_names_absent_sound_changes_nothing_for_the_pictures() {
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(h264_aac());
    for index in 0..20 {
        let data = picture(true, 400, 0);
        muxer.write_unit(&unit(Codec::H264, index * 3_000, index * 3_000, true, data), &mut out).unwrap();
    }
    let (seen, _) = demux(&[&out]);
    assert_eq!((seen.programs[0].tracks.len(), seen.units.len()), (2, 20));
}

#[test]
fn a_program_that_changes_is_told_between_its_units() {
    let write = |program: MuxProgram, start: i64| {
        let audio = program.audio().unwrap();
        let mut out = BytesMut::new();
        let mut muxer = Muxer::new(program);
        for index in 0..3 {
            let dts = start + index * 3_000;
            muxer.write_unit(&unit(Codec::H264, dts, dts, true, picture(true, 400, 0)), &mut out).unwrap();
            muxer.write_unit(&unit(audio, dts, dts, true, sound(90, 0)), &mut out).unwrap();
        }
        out.to_vec()
    };
    let aac = h264_aac();
    let opus = MuxProgram::new(Some(VideoCodec::H264), Some(AudioCodec::Opus)).unwrap();
    // Each muxer begins with version 0 of its tables.
    let bytes = [write(aac, 0), write(opus, 9_000), write(opus.with_opus_channels(1), 18_000)].concat();
    let (seen, stats) = demux(&[&bytes]);
    let sounds: Vec<_> = seen.programs.iter().map(|program| program.audio().copied().unwrap()).collect();
    let heard: Vec<_> = sounds.iter().map(|track| (track.codec, track.opus_channels)).collect();
    assert_eq!(heard, [(Codec::AAC, None), (Codec::OPUS, Some(2)), (Codec::OPUS, Some(1))]);
    assert_eq!(seen.of(VIDEO).len(), 9);
    assert_eq!(seen.of(TrackKind::Audio).iter().filter(|unit| unit.codec == Codec::OPUS).count(), 6);
    assert_eq!(stats.dropped_units, 0);
}

#[test]
fn tables_with_a_wrong_crc_are_not_believed() {
    let mut bytes = segment(0);
    bytes[PACKET + 20] ^= 1;
    let (seen, stats) = demux(&[&bytes]);
    assert!(seen.programs.is_empty() && seen.units.is_empty());
    assert_eq!(stats.crc_errors, 1);
}

#[test]
fn a_unit_that_never_ends_is_dropped() {
    let (mut demuxer, mut seen) = (Demuxer::new(), Seen::default());
    demuxer.push(&tables(), &mut |event| seen.take(event));
    let unit = [pes_head(0), picture(true, 170, 0)].concat();
    demuxer.push(&packet(0x100, true, 0, &unit), &mut |event| seen.take(event));
    for index in 1..60_000u32 {
        demuxer.push(&packet(0x100, false, index as u8, &[0; 184]), &mut |event| seen.take(event));
    }
    assert_eq!(demuxer.stats().dropped_units, 1);
    let unit = [pes_head(3_000), picture(true, 170, 0)].concat();
    demuxer.push(&packet(0x100, true, 60_000u32 as u8, &unit), &mut |event| seen.take(event));
    demuxer.end_segment(&mut |event| seen.take(event));
    assert_eq!(seen.units.len(), 1);
    assert_eq!((seen.units[0].dts.ticks(), seen.units[0].loss.map(|loss| loss.units)), (3_000, Some(1)));
}

#[test]
fn random_bytes_give_nothing_and_the_stream_after_them_everything() {
    let mut dice = Dice(3);
    let noise: Vec<u8> = (0..1_000_000).map(|_| dice.roll(256) as u8).collect();
    let (seen, stats) = demux(&[&noise]);
    assert!(seen.units.is_empty() && seen.programs.is_empty());
    assert!(stats.garbage_bytes > 900_000);
    let (seen, _) = demux(&[&noise, &segment(0)]);
    assert_eq!(seen.units.len(), 60);
}

#[test]
fn a_picture_without_a_stamp_takes_over_the_last_one() {
    let unstamped = [vec![0, 0, 1, 0xE0, 0, 0, 0x80, 0, 0], picture(false, 100, 0)].concat();
    let stamped = [pes_head(5_000), picture(true, 100, 0)].concat();
    let packets = [(0, &unstamped), (1, &stamped), (2, &unstamped)];
    let bytes: Vec<u8> = packets.iter().flat_map(|(count, unit)| packet(0x100, true, *count, unit)).collect();
    let (seen, stats) = demux(&[&[tables(), bytes].concat()]);
    assert_eq!(seen.units.iter().map(|unit| unit.pts.ticks()).collect::<Vec<_>>(), [5_000, 5_000]);
    // The unit before the first timestamp is dropped, because its time is unknown.
    assert_eq!((stats.dropped_units, seen.units[0].loss.map(|loss| loss.units)), (1, Some(1)));
}
