//! The demuxer emits an access unit as soon as the last byte of that unit has arrived.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod streams;

use bytes::BytesMut;
use cutrickle_media::{AudioCodec, Codec, VideoCodec};
use cutrickle_mpegts::{Demuxer, MuxProgram, Muxer};
use streams::{PACKET, Seen, packet, pes_head, picture, sound, tables, unit};

/// A demuxer that has already read the tables.
fn ready() -> (Demuxer, Seen) {
    let (mut demuxer, mut seen) = (Demuxer::new(), Seen::default());
    demuxer.push(&tables(), &mut |event| seen.take(event));
    (demuxer, seen)
}

/// One video unit in two packets. The second packet has stuffing, unless `full` is set.
fn two_packets(index: u8, full: bool) -> Vec<u8> {
    let head = pes_head(i64::from(index) * 3_000);
    let unit = [head, picture(index == 0, if full { 184 * 2 - 14 } else { 250 }, index)].concat();
    let counter = index.wrapping_mul(2);
    [packet(0x100, true, counter, &unit[..184]), packet(0x100, false, counter + 1, &unit[184..])].concat()
}

#[test]
fn after_eight_proofs_a_stuffed_packet_ends_the_unit() {
    let (mut demuxer, mut seen) = ready();
    for index in 0..20 {
        demuxer.push(&two_packets(index, false), &mut |event| seen.take(event));
        // Each of the first eight units ends only when the next one begins. The ninth completes the proof of
        // the eighth, and from then on a unit ends with its own last packet.
        let expected = if index < 8 { index } else { index + 1 };
        assert_eq!(seen.units.len(), usize::from(expected), "after unit {index}");
    }
    assert!(seen.units.iter().all(|unit| unit.loss.is_none() && !unit.damaged && unit.data.len() == 250));
}

#[test]
fn a_unit_that_fills_its_last_packet_ends_with_the_next_one() {
    let (mut demuxer, mut seen) = ready();
    for index in 0..10 {
        demuxer.push(&two_packets(index, false), &mut |event| seen.take(event));
    }
    demuxer.push(&two_packets(10, true), &mut |event| seen.take(event));
    assert_eq!(seen.units.len(), 10);
    demuxer.push(&two_packets(11, false), &mut |event| seen.take(event));
    assert_eq!(seen.units.len(), 12, "the rule is still applied");
    assert_eq!(seen.units[10].data.len(), 184 * 2 - 14);
    assert!(seen.units.iter().all(|unit| unit.loss.is_none()));
}

#[test]
fn a_counter_example_is_reported_and_ends_the_rule_for_good() {
    let (mut demuxer, mut seen) = ready();
    for index in 0..10 {
        demuxer.push(&two_packets(index, false), &mut |event| seen.take(event));
    }
    // The eleventh unit continues after a packet with stuffing.
    demuxer.push(&two_packets(10, false), &mut |event| seen.take(event));
    demuxer.push(&packet(0x100, false, 6, &[0x99; 100]), &mut |event| seen.take(event));
    assert_eq!(seen.units.len(), 11);
    assert_eq!(demuxer.stats().late_packets, 1);
    for index in 0..20 {
        let mut unit = two_packets(index, false);
        for (offset, packet) in unit.chunks_mut(PACKET).enumerate() {
            packet[3] = packet[3] & 0xF0 | (7 + 2 * index + offset as u8) & 0x0F;
        }
        demuxer.push(&unit, &mut |event| seen.take(event));
        assert_eq!(seen.units.len(), 11 + usize::from(index), "waits for the next one again");
    }
    assert_eq!(seen.units[11].loss.map(|loss| loss.packets), Some(1));
    assert!(seen.units[12].loss.is_none());
    assert_eq!(demuxer.stats().continuity_errors, 0);
}

#[test]
fn a_counter_example_before_the_rule_is_believed_costs_nothing() {
    let (mut demuxer, mut seen) = ready();
    let mut counter = 0;
    for index in 0..20 {
        let unit = [pes_head(index * 3_000), picture(index == 0, 250, 1)].concat();
        for (start, part) in [(true, &unit[..100]), (false, &unit[100..])] {
            demuxer.push(&packet(0x100, start, counter, part), &mut |event| seen.take(event));
            counter = (counter + 1) & 0x0F;
        }
        assert_eq!(seen.units.len(), index as usize);
    }
    assert!(seen.units.iter().all(|unit| unit.loss.is_none() && unit.data.len() == 250));
}

#[test]
fn every_unit_of_the_muxer_comes_out_with_its_last_byte() {
    let program = MuxProgram::new(Some(VideoCodec::H264), Some(AudioCodec::Opus)).unwrap();
    let (mut muxer, mut demuxer, mut seen) = (Muxer::new(program), Demuxer::new(), Seen::default());
    for index in 0..9 {
        let mut out = BytesMut::new();
        let dts = index * 3_000;
        let data = picture(index == 0, 500, 1);
        muxer.write_unit(&unit(Codec::H264, dts, dts, index == 0, data), &mut out).unwrap();
        demuxer.push(&out, &mut |event| seen.take(event));
    }
    // Every size is tried, so that some of the units fill their last packet exactly.
    for size in 11..600 {
        let mut out = BytesMut::new();
        let data = picture(false, size, 3);
        let dts = (9 + size as i64) * 3_000;
        let pts = dts + size as i64 % 2;
        muxer.write_unit(&unit(Codec::H264, pts, dts, false, &data), &mut out).unwrap();
        let last = out.split_off(out.len() - 1);
        demuxer.push(&out, &mut |event| seen.take(event));
        let before = seen.units.len();
        demuxer.push(&last, &mut |event| seen.take(event));
        assert_eq!(seen.units.len(), before + 1, "{size}");
        assert_eq!(seen.units[before].data, data);

        let mut out = BytesMut::new();
        muxer.write_unit(&unit(Codec::OPUS, dts, dts, true, vec![0xFCu8; size]), &mut out).unwrap();
        demuxer.push(&out, &mut |event| seen.take(event));
        assert_eq!(seen.units.len(), before + 2, "audio of {size}");
    }
    assert_eq!(demuxer.stats().late_packets, 0);
}

#[test]
fn a_segment_s_end_ends_its_last_unit() {
    let (mut demuxer, mut seen) = ready();
    demuxer.push(&two_packets(0, true), &mut |event| seen.take(event));
    assert!(seen.units.is_empty());
    demuxer.end_segment(&mut |event| seen.take(event));
    assert_eq!(seen.units.len(), 1);
    assert!(!seen.units[0].damaged);
}

#[test]
fn sound_frames_come_out_one_by_one() {
    let (mut demuxer, mut seen) = ready();
    // Three audio frames in a PES packet of known length. The first two do not wait for its end.
    let frames = [sound(100, 1), sound(150, 2), sound(180, 3)].concat();
    let mut pes = pes_head(9_000);
    pes[3] = 0xC0;
    pes[5] = 0;
    let length = (frames.len() + 8) as u16;
    pes[4..6].copy_from_slice(&length.to_be_bytes());
    pes.extend(&frames);
    let mut counts = Vec::new();
    for (index, part) in pes.chunks(184).enumerate() {
        let bytes = packet(0x101, index == 0, index as u8, part);
        demuxer.push(&bytes, &mut |event| seen.take(event));
        counts.push(seen.units.len());
    }
    assert_eq!(counts, [1, 2, 3]);
    assert_eq!(seen.units.iter().map(|unit| unit.pts.ticks()).collect::<Vec<_>>(), [9_000, 10_920, 12_840]);
}
