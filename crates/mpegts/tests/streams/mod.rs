//! Hand-made streams: access units with known content, and single packets with full control over every field.

#![allow(dead_code, reason = "each test file uses only some of these")]

use bytes::{Bytes, BytesMut};
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Timestamp, TrackKind, VideoCodec};
use cutrickle_mpegts::{Demuxer, Event, MuxProgram, Muxer, Program, Stats};

pub const PACKET: usize = 188;

/// Everything that a demuxer emitted.
#[derive(Debug, Default)]
pub struct Seen {
    pub units: Vec<AccessUnit>,
    pub programs: Vec<Program>,
}

impl Seen {
    pub fn take(&mut self, event: Event) {
        match event {
            Event::Unit(unit) => self.units.push(unit),
            Event::Program(program) => self.programs.push(program),
        }
    }

    pub fn of(&self, kind: TrackKind) -> Vec<&AccessUnit> {
        self.units.iter().filter(|unit| unit.codec.kind() == kind).collect()
    }
}

/// Demuxes the segments one by one, calling `end_segment` after each of them.
pub fn demux(segments: &[&[u8]]) -> (Seen, Stats) {
    let (mut demuxer, mut seen) = (Demuxer::new(), Seen::default());
    for segment in segments {
        demuxer.push(segment, &mut |event| seen.take(event));
        demuxer.end_segment(&mut |event| seen.take(event));
    }
    (seen, demuxer.stats())
}

/// An intact access unit with the given contents. `pts` and `dts` are in ticks of 90 kHz.
pub fn unit(
    codec: impl Into<Codec>,
    pts: i64,
    dts: i64,
    keyframe: bool,
    data: impl AsRef<[u8]>,
) -> AccessUnit {
    let data = Bytes::copy_from_slice(data.as_ref());
    AccessUnit {
        pts: Timestamp::from_ticks(pts),
        ..AccessUnit::new(codec, Timestamp::from_ticks(dts), keyframe, data)
    }
}

/// The bytes of an H.264 access unit that begins with a delimiter. It is `size` bytes long, but at least 11.
pub fn picture(keyframe: bool, size: usize, fill: u8) -> Vec<u8> {
    let mut data = vec![0, 0, 0, 1, 9, 0xF0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }];
    data.resize(size.max(11), fill | 0x80);
    data
}

/// The bytes of an AAC-LC frame in stereo at 48 kHz. It is `size` bytes long, but at least 8.
pub fn sound(size: usize, fill: u8) -> Vec<u8> {
    let size = size.max(8);
    let mut frame = vec![0xFF, 0xF1, 0x4C, 0x80 | (size >> 11) as u8, (size >> 3) as u8];
    frame.extend([(size << 5) as u8 | 0x1F, 0xFC]);
    frame.resize(size, fill & 0x7F);
    frame
}

pub fn h264_aac() -> MuxProgram {
    MuxProgram::new(Some(VideoCodec::H264), Some(AudioCodec::Aac)).unwrap()
}

/// A segment of 30 video units at 30 fps, beginning at `start`, each followed by an audio unit. Every call
/// uses a new muxer.
pub fn segment(start: i64) -> Vec<u8> {
    segment_of(h264_aac(), start)
}

/// Like [`segment`], but written as `program`, which must have both tracks. The bytes of the units are those
/// of H.264 and AAC no matter which codecs the program announces.
pub fn segment_of(program: MuxProgram, start: i64) -> Vec<u8> {
    let (video, audio) = (program.video().unwrap(), program.audio().unwrap());
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(program);
    for index in 0..30 {
        let dts = start + index * 3_000;
        let data = picture(index == 0, 900 + 37 * index as usize, index as u8);
        muxer.write_unit(&unit(video, dts, dts, index == 0, data), &mut out).unwrap();
        let pts = start + index * 1_920;
        muxer.write_unit(&unit(audio, pts, pts, true, sound(200, index as u8)), &mut out).unwrap();
    }
    out.to_vec()
}

/// The PAT and the PMT of a program with H.264 on PID 0x100 and AAC on PID 0x101.
pub fn tables() -> Vec<u8> {
    let mut out = BytesMut::new();
    Muxer::new(h264_aac()).begin_segment(&mut out);
    out.to_vec()
}

/// A packet with this payload, padded with stuffing to its full length.
pub fn packet(pid: u16, start: bool, counter: u8, payload: &[u8]) -> Vec<u8> {
    let stuffing = PACKET - 4 - payload.len();
    let control = if stuffing > 0 { 0x30 } else { 0x10 };
    let mut packet = vec![0x47, u8::from(start) << 6 | (pid >> 8) as u8, pid as u8, control | counter & 0x0F];
    if stuffing > 0 {
        packet.push((stuffing - 1) as u8);
    }
    if stuffing > 1 {
        packet.push(0);
        packet.resize(4 + stuffing, 0xFF);
    }
    packet.extend_from_slice(payload);
    assert_eq!(packet.len(), PACKET);
    packet
}

/// A PES header that leaves the length open and carries only a PTS.
pub fn pes_head(pts: i64) -> Vec<u8> {
    let mut head = vec![0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5];
    head.extend([0x21 | (pts >> 29) as u8 & 0x0E, (pts >> 22) as u8, (pts >> 14) as u8 | 1]);
    head.extend([(pts >> 7) as u8, (pts << 1) as u8 | 1]);
    head
}

/// The PID of every packet.
pub fn pids(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(PACKET).map(|packet| u16::from_be_bytes([packet[1] & 0x1F, packet[2]])).collect()
}
