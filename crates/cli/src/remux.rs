//! A file as a live stream: its units in segments that begin at keyframes, and on one continuous
//! clock, however often the file starts over. Touches no file and no clock; `source` reads and paces.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use cutrickle_error::chain;
use cutrickle_mpegts::{
    AccessUnit, Demuxer, Event, MuxProgram, Muxer, Program, TICKS_PER_SECOND, Timeline, TrackKind,
};

/// A keyframe sooner than this after a segment's begin does not begin another: some streams have only keyframes.
const SHORTEST_SEGMENT: i64 = TICKS_PER_SECOND / 2;
/// Sound without pictures is cut here.
const SOUND_SEGMENT: i64 = TICKS_PER_SECOND;
/// How far the sound of a file may lie ahead of its pictures for these to set the pace.
const MAX_AHEAD: i64 = TICKS_PER_SECOND;
/// Sound packets that may wait for the first keyframe: ten seconds' worth.
const MOST_WAITING: usize = 500;

/// Packets of one unit.
#[derive(Debug)]
pub struct Chunk {
    /// Whether a segment begins with them.
    pub starts_segment: bool,
    /// When they are due, in ticks of 90 kHz since the first chunk; never earlier than the chunk before.
    pub due: i64,
    /// Whole transport packets.
    pub data: Bytes,
}

/// Cuts and joins.
#[derive(Debug, Default)]
pub struct Remux {
    demuxer: Demuxer,
    cutter: Cutter,
}

/// Where a track has got to in the file, in ticks of the file's own clock.
#[derive(Debug, Clone, Copy)]
struct Extent {
    first: i64,
    last: i64,
    step: i64,
}

#[derive(Debug, Default)]
struct Cutter {
    timeline: Timeline,
    muxer: Option<Muxer>,
    /// The tracks as last announced.
    program: Option<MuxProgram>,
    waiting_sound: VecDeque<(i64, Bytes)>,
    /// What is added to the file's clock: the length of the rounds before this one.
    offset: i64,
    extents: [Option<Extent>; 2],
    /// When the segment being written began, and the stream as a whole.
    segment_began: Option<i64>,
    began: Option<i64>,
    due: i64,
    chunks: VecDeque<Chunk>,
}

impl Remux {
    /// Takes a transport stream's next bytes. What comes of them is to be taken by [`pop`](Self::pop).
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { demuxer, cutter } = self;
        demuxer.push(bytes, &mut |event| cutter.event(event));
    }

    /// Takes what a file of another kind has next, in the words of a transport stream.
    pub fn take(&mut self, event: Event) {
        self.cutter.event(event);
    }

    /// The file has ended. What comes next is its beginning, and lies right behind its end.
    pub fn start_over(&mut self) {
        let Self { demuxer, cutter } = self;
        demuxer.end_segment(&mut |event| cutter.event(event));
        *demuxer = Demuxer::new();
        cutter.start_over();
    }

    /// The next packets.
    pub fn pop(&mut self) -> Option<Chunk> {
        self.cutter.chunks.pop_front()
    }

    /// Whether there was anything to publish yet.
    pub fn has_begun(&self) -> bool {
        self.cutter.began.is_some()
    }
}

impl Cutter {
    fn event(&mut self, event: Event) {
        match event {
            Event::Program(program) => self.program = tracks(&program).or(self.program),
            Event::Unit(unit) => self.unit(&unit),
        }
    }

    fn unit(&mut self, unit: &AccessUnit) {
        let track = unit.codec.kind();
        let stamp = self.timeline.map(track, unit.pts, unit.dts);
        let extent = &mut self.extents[usize::from(track == TrackKind::Audio)];
        match extent {
            None => *extent = Some(Extent { first: stamp.dts, last: stamp.dts, step: 0 }),
            Some(extent) => {
                extent.step = stamp.dts.saturating_sub(extent.last);
                extent.last = stamp.dts;
            }
        }
        let (pts, dts) = (stamp.pts.saturating_add(self.offset), stamp.dts.saturating_add(self.offset));
        match track {
            TrackKind::Video => self.picture(pts, dts, unit),
            TrackKind::Audio => self.sound(pts, unit),
        }
    }

    fn picture(&mut self, pts: i64, dts: i64, unit: &AccessUnit) {
        let due = self.segment_began.is_none_or(|began| dts.saturating_sub(began) >= SHORTEST_SEGMENT);
        let starts_segment = unit.keyframe && due;
        if self.muxer.is_none() && !starts_segment {
            // Nobody could decode it.
            return;
        }
        let mut data = BytesMut::new();
        if starts_segment {
            self.begin_segment(dts, &mut data);
        }
        self.write(TrackKind::Video, pts, dts, unit.keyframe, &unit.data, &mut data);
        self.queue(starts_segment, dts, data);
        if starts_segment {
            for (pts, packet) in std::mem::take(&mut self.waiting_sound) {
                self.sound_packet(false, pts, &packet, BytesMut::new());
            }
        }
    }

    fn sound(&mut self, pts: i64, unit: &AccessUnit) {
        let alone = self.program.is_some_and(|program| program.video().is_none());
        let due = alone && self.segment_began.is_none_or(|began| pts.saturating_sub(began) >= SOUND_SEGMENT);
        if self.muxer.is_none() && !due {
            if self.waiting_sound.len() == MOST_WAITING {
                self.waiting_sound.pop_front();
            }
            self.waiting_sound.push_back((pts, unit.data.clone()));
            return;
        }
        let mut data = BytesMut::new();
        if due {
            self.begin_segment(pts, &mut data);
        }
        self.sound_packet(due, pts, &unit.data, data);
    }

    fn sound_packet(&mut self, starts_segment: bool, pts: i64, packet: &[u8], mut data: BytesMut) {
        self.write(TrackKind::Audio, pts, pts, true, packet, &mut data);
        // Files do not interleave by time exactly: where there are pictures they set the pace, unless they pause.
        let pictures = self.program.is_some_and(|program| program.video().is_some());
        let at = if pictures { pts.saturating_sub(MAX_AHEAD) } else { pts };
        self.queue(starts_segment, at, data);
    }

    fn begin_segment(&mut self, at: i64, data: &mut BytesMut) {
        let Some(program) = self.program else { return };
        let muxer = self.muxer.get_or_insert_with(|| Muxer::new(program));
        muxer.set_program(program);
        muxer.begin_segment(data);
        self.segment_began = Some(at);
        self.began.get_or_insert(at);
    }

    fn write(
        &mut self,
        track: TrackKind,
        pts: i64,
        dts: i64,
        keyframe: bool,
        unit: &[u8],
        data: &mut BytesMut,
    ) {
        let Some(muxer) = &mut self.muxer else { return };
        if let Err(e) = muxer.write_unit(track, pts, dts, keyframe, unit, data) {
            // A track that the file's PMT began to name within a segment joins with the next one.
            tracing::debug!("left out: {}", chain(&e));
        }
    }

    fn queue(&mut self, starts_segment: bool, at: i64, data: BytesMut) {
        if data.is_empty() {
            return;
        }
        let since = self.began.map_or(0, |began| at.saturating_sub(began));
        self.due = self.due.max(since);
        self.chunks.push_back(Chunk { starts_segment, due: self.due, data: data.freeze() });
    }

    fn start_over(&mut self) {
        let extents = self.extents.iter().flatten();
        let first = extents.clone().map(|extent| extent.first).min();
        let end = extents.map(|extent| extent.last.saturating_add(extent.step)).max();
        if let (Some(first), Some(end)) = (first, end) {
            self.offset = self.offset.saturating_add(end.saturating_sub(first).max(1));
        }
        self.extents = [None; 2];
        self.timeline = Timeline::new();
    }
}

fn tracks(program: &Program) -> Option<MuxProgram> {
    let audio = program.audio();
    let tracks =
        MuxProgram::new(program.video().map(|track| track.codec), audio.map(|track| track.codec)).ok()?;
    Some(match audio.and_then(|track| track.opus_channels) {
        Some(channels) => tracks.with_opus_channels(channels),
        None => tracks,
    })
}

#[cfg(test)]
mod tests {
    use cutrickle_mpegts::Codec;

    use super::*;
    use crate::source::CLIP;

    /// The units of `rounds` of the clip, as a reader of the segments sees them.
    fn published(rounds: usize, piece: usize) -> (Vec<AccessUnit>, Vec<Chunk>, u64) {
        let (mut remux, mut chunks) = (Remux::default(), Vec::new());
        for _ in 0..rounds {
            for piece in CLIP.chunks(piece) {
                remux.push(piece);
                chunks.extend(std::iter::from_fn(|| remux.pop()));
            }
            remux.start_over();
            chunks.extend(std::iter::from_fn(|| remux.pop()));
        }
        let (mut reader, mut units) = (Demuxer::new(), Vec::new());
        let mut sink = |event| {
            if let Event::Unit(unit) = event {
                units.push(unit);
            }
        };
        for chunk in &chunks {
            reader.push(&chunk.data, &mut sink);
        }
        reader.end_segment(&mut sink);
        (units, chunks, reader.stats().continuity_errors)
    }

    #[test]
    fn the_clip_loops_without_a_gap_or_an_overlap() {
        let (units, _, continuity_errors) = published(3, 10_000);
        assert_eq!(continuity_errors, 0);
        for (track, count, step) in [(TrackKind::Video, 160, 3_000), (TrackKind::Audio, 250, 1_920)] {
            let stamps: Vec<i64> =
                units.iter().filter(|unit| unit.codec.kind() == track).map(|unit| unit.dts).collect();
            assert_eq!(stamps.len(), 3 * count, "{track}");
            assert!(stamps.windows(2).all(|pair| pair[1] - pair[0] == step), "{track}");
        }
        assert!(units.iter().all(|unit| unit.loss.is_none() && !unit.damaged));
    }

    #[test]
    fn each_segment_begins_with_tables_and_a_keyframe() {
        let (_, chunks, _) = published(2, 65_536);
        let starts: Vec<_> = chunks.iter().filter(|chunk| chunk.starts_segment).collect();
        assert_eq!(starts.len(), 10);
        assert!(chunks[0].starts_segment);
        for start in starts {
            let mut seen = Vec::new();
            let mut reader = Demuxer::new();
            reader.push(&start.data, &mut |event| seen.push(event));
            reader.end_segment(&mut |event| seen.push(event));
            assert!(matches!(&seen[..], [Event::Program(_), Event::Unit(unit)] if unit.keyframe), "{seen:?}");
        }
    }

    #[test]
    fn chunks_are_due_at_their_pictures_times() {
        let (_, chunks, _) = published(2, 65_536);
        assert!(chunks.windows(2).all(|pair| pair[0].due <= pair[1].due));
        assert_eq!(chunks[0].due, 0);
        assert_eq!(chunks.last().map(|chunk| chunk.due), Some(319 * 3_000));
    }

    #[test]
    fn sound_keeps_its_pace_while_pictures_pause() {
        const ADTS: [u8; 8] = [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x1F, 0xFC, 0];
        const IDR: [u8; 10] = [0, 0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x65];
        let mut muxer = Muxer::new(MuxProgram::new(Some(Codec::H264), Some(Codec::Aac)).unwrap());
        let mut file = BytesMut::new();
        muxer.begin_segment(&mut file);
        let second = |n: i64| n * TICKS_PER_SECOND;
        muxer.write_unit(TrackKind::Video, 0, 0, true, &IDR, &mut file).unwrap();
        for at in (0..5).map(second) {
            muxer.write_unit(TrackKind::Audio, at, at, true, &ADTS, &mut file).unwrap();
        }
        muxer.write_unit(TrackKind::Video, second(5), second(5), true, &IDR, &mut file).unwrap();
        let mut remux = Remux::default();
        remux.push(&file);
        remux.start_over();
        let due: Vec<_> = std::iter::from_fn(|| remux.pop()).map(|chunk| chunk.due).collect();
        assert_eq!(due, [0, 0, 0, 1, 2, 3, 5].map(second));
    }

    #[test]
    fn what_is_no_transport_stream_gives_nothing() {
        let mut remux = Remux::default();
        remux.push(&b"MThd\0\0\0\x06GGGGGGGG".repeat(10_000));
        remux.start_over();
        assert!(remux.pop().is_none() && !remux.has_begun());
    }
}
