//! Streams made by hand: units of known content, and single packets with full control over their fields.

#![allow(dead_code, reason = "each test file uses a part")]

use bytes::BytesMut;
use cutrickle_mpegts::{AccessUnit, Codec, Demuxer, Event, MuxProgram, Muxer, Program, Stats, TrackKind};

pub const PACKET: usize = 188;

/// Everything a demuxer handed on.
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

/// Demuxes segments, telling the demuxer where they end.
pub fn demux(segments: &[&[u8]]) -> (Seen, Stats) {
    let (mut demuxer, mut seen) = (Demuxer::new(), Seen::default());
    for segment in segments {
        demuxer.push(segment, &mut |event| seen.take(event));
        demuxer.end_segment(&mut |event| seen.take(event));
    }
    (seen, demuxer.stats())
}

/// An H.264 access unit with a delimiter, of `size` bytes at least 11.
pub fn picture(keyframe: bool, size: usize, fill: u8) -> Vec<u8> {
    let mut unit = vec![0, 0, 0, 1, 9, 0xF0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }];
    unit.resize(size.max(11), fill | 0x80);
    unit
}

/// An AAC-LC frame at 48 kHz, stereo, of `size` bytes at least 8.
pub fn sound(size: usize, fill: u8) -> Vec<u8> {
    let size = size.max(8);
    let mut frame = vec![0xFF, 0xF1, 0x4C, 0x80 | (size >> 11) as u8, (size >> 3) as u8];
    frame.extend([(size << 5) as u8 | 0x1F, 0xFC]);
    frame.resize(size, fill & 0x7F);
    frame
}

pub fn h264_aac() -> MuxProgram {
    MuxProgram::new(Some(Codec::H264), Some(Codec::Aac)).unwrap()
}

/// A segment of 30 pictures at 30 fps from `start` on, each followed by its sound, by a fresh muxer.
pub fn segment(start: i64) -> Vec<u8> {
    segment_of(h264_aac(), start)
}

/// The same of another program; pictures and sound are those of H.264 and AAC, whatever it says.
pub fn segment_of(program: MuxProgram, start: i64) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(program);
    for index in 0..30 {
        let dts = start + index * 3_000;
        let unit = picture(index == 0, 900 + 37 * index as usize, index as u8);
        muxer.write_unit(TrackKind::Video, dts, dts, index == 0, &unit, &mut out).unwrap();
        let pts = start + index * 1_920;
        muxer.write_unit(TrackKind::Audio, pts, pts, true, &sound(200, index as u8), &mut out).unwrap();
    }
    out.to_vec()
}

/// PAT and PMT of H.264 on 0x100 and AAC on 0x101.
pub fn tables() -> Vec<u8> {
    let mut out = BytesMut::new();
    Muxer::new(h264_aac()).begin_segment(&mut out);
    out.to_vec()
}

/// A packet whose payload is filled up by stuffing.
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

/// A PES header of unbounded length with one stamp.
pub fn pes_head(pts: i64) -> Vec<u8> {
    let mut head = vec![0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5];
    head.extend([0x21 | (pts >> 29) as u8 & 0x0E, (pts >> 22) as u8, (pts >> 14) as u8 | 1]);
    head.extend([(pts >> 7) as u8, (pts << 1) as u8 | 1]);
    head
}

/// The PID of each packet.
pub fn pids(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(PACKET).map(|packet| u16::from_be_bytes([packet[1] & 0x1F, packet[2]])).collect()
}
