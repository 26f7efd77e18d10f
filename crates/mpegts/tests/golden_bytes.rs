//! The exact bytes that the muxer writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod streams;

use bytes::BytesMut;
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Timestamp, VideoCodec};
use cutrickle_mpegts::{MuxProgram, Muxer};
use streams::{PACKET, h264_aac, picture, pids, unit};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tables_of(muxer: &mut Muxer) -> (String, String) {
    let mut out = BytesMut::new();
    muxer.begin_segment(&mut out);
    assert_eq!(out.len(), 2 * PACKET);
    let trimmed = |packet: &[u8]| hex(packet).trim_end_matches("ff").to_owned();
    (trimmed(&out[..PACKET]), trimmed(&out[PACKET..]))
}

#[test]
fn tables_of_h264_and_aac() {
    let (pat, pmt) = tables_of(&mut Muxer::new(h264_aac()));
    assert_eq!(pat, "474000100000b00d0001c100000001f0002ab104b2");
    assert_eq!(pmt, "475000100002b0170001c10000e100f0001be100f0000fe101f0002f44b99b");
}

#[test]
fn tables_of_opus_name_it_and_its_channels() {
    let program =
        MuxProgram::new(Some(VideoCodec::H264), Some(AudioCodec::Opus)).unwrap().with_opus_channels(2);
    let (_, pmt) = tables_of(&mut Muxer::new(program));
    let fields = "475000100002b0210001c10000e100f0001be100f00006e101f00a05044f7075737f028002";
    assert!(pmt.starts_with(fields), "{pmt}");
    let mono = tables_of(&mut Muxer::new(program.with_opus_channels(1))).1;
    assert!(mono.starts_with(&fields[..fields.len() - 2]) && mono[fields.len() - 2..].starts_with("01"));
}

#[test]
fn a_changed_program_gets_a_new_version_at_the_next_segment_only() {
    let mut muxer = Muxer::new(h264_aac());
    let version = |pmt: &str| u8::from_str_radix(&pmt[20..22], 16).unwrap() >> 1 & 0x1F;
    assert_eq!(version(&tables_of(&mut muxer).1), 0);
    muxer.set_program(h264_aac());
    assert_eq!(version(&tables_of(&mut muxer).1), 0);
    let program = MuxProgram::new(Some(VideoCodec::H264), Some(AudioCodec::Opus)).unwrap();
    muxer.set_program(program);
    assert_eq!(muxer.program(), &h264_aac());
    assert_eq!(version(&tables_of(&mut muxer).1), 1);
    assert_eq!(muxer.program(), &program);
}

#[test]
fn a_keyframe_carries_clock_random_access_and_both_stamps() {
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(h264_aac());
    muxer.begin_segment(&mut out);
    out.clear();
    muxer.write_unit(&unit(Codec::H264, 99_000, 96_000, true, picture(true, 165, 0)), &mut out).unwrap();
    // A PCR of 87000, stream id E0, no length, a PTS of 99000 and a DTS of 96000.
    assert_eq!(hex(&out[..12]), "47410030075000".to_owned() + "00a9ec7e00");
    assert_eq!(hex(&out[12..21]), "000001e0000084c00a");
    assert_eq!(hex(&out[21..31]), "31000705711100".to_owned() + "05ee01");
}

#[test]
fn pictures_without_reordering_carry_one_stamp() {
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(h264_aac());
    muxer.begin_segment(&mut out);
    out.clear();
    muxer.write_unit(&unit(Codec::H264, 96_000, 96_000, false, picture(false, 100, 0)), &mut out).unwrap();
    assert_eq!(out[5], 0x10, "a PCR, but no random access");
    // All of it fits into one packet, so stuffing extends the adaptation field, which needs 8 bytes itself.
    assert_eq!(usize::from(out[4]), PACKET - 5 - 14 - 100);
    let pes = &out[PACKET - 114..];
    assert_eq!(hex(&pes[..14]), "000001e00000848005".to_owned() + "210005ee01");
}

#[test]
fn sound_carries_its_length() {
    let program = MuxProgram::new(Some(VideoCodec::H264), Some(AudioCodec::Opus)).unwrap();
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(program);
    muxer.begin_segment(&mut out);
    out.clear();
    muxer.write_unit(&unit(Codec::OPUS, 96_000, 96_000, true, [0xFCu8; 300]), &mut out).unwrap();
    assert_eq!(pids(&out), [0x101, 0x101]);
    // The length counts the 300 bytes, the control header of 4 bytes and 8 bytes of the PES header.
    assert_eq!(hex(&out[4..18]), "000001bd0138848005".to_owned() + "210005ee01");
    assert_eq!(hex(&out[18..22]), "7fe0ff2d");
}

#[test]
fn counters_run_on_over_segments_and_pids_stay() {
    let mut muxer = Muxer::new(h264_aac());
    let mut out = BytesMut::new();
    for index in 0..40 {
        muxer.begin_segment(&mut out);
        muxer.write_unit(&unit(Codec::H264, index, index, true, picture(true, 700, 0)), &mut out).unwrap();
        muxer.write_unit(&unit(Codec::AAC, index, index, true, [1u8; 20]), &mut out).unwrap();
    }
    for pid in [0, 0x1000, 0x100, 0x101] {
        let packets = out.chunks(PACKET).zip(pids(&out)).filter(|(_, of)| *of == pid);
        let counters: Vec<u8> = packets.map(|(packet, _)| packet[3] & 0x0F).collect();
        assert!(counters.len() >= 40);
        assert!(counters.windows(2).all(|pair| pair[1] == (pair[0] + 1) & 0x0F), "{pid:#x}");
    }
    let flagged =
        out.chunks(PACKET).any(|packet| packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x80 != 0);
    assert!(!flagged, "the discontinuity flag makes readers drop what is pending");
}

#[test]
fn what_cannot_be_written_is_an_error_and_writes_nothing() {
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(MuxProgram::new(None, Some(AudioCodec::Aac)).unwrap());
    muxer.begin_segment(&mut out);
    let before = out.len();
    let mut error_of = |unit: AccessUnit| muxer.write_unit(&unit, &mut out).unwrap_err();
    assert!(error_of(unit(Codec::H264, 0, 0, true, [1u8])).is_unknown_track());
    // The program has an audio track, but it is not an Opus track.
    assert!(error_of(unit(Codec::OPUS, 0, 0, true, [1u8])).is_unknown_track());
    let error = error_of(unit(Codec::AAC, 77, 77, true, b""));
    assert!(error.is_empty_unit() && error.to_string().contains(&Timestamp::from_ticks(77).to_string()));
    assert!(error_of(unit(Codec::AAC, 0, 0, true, [0u8; 70_000])).is_too_large());
    assert_eq!(out.len(), before);
    assert!(MuxProgram::new(None, None).unwrap_err().is_bad_program());
}
