//! Turns a file into a live stream: cuts its access units into segments that begin at keyframes, and puts
//! them on one continuous clock however often the file starts over. Reading the file and pacing are left to
//! `source`.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use cutrickle_error::chain;
use cutrickle_media::{AccessUnit, Codec, Ticks, Timestamp, TrackKind, Tracks};
use cutrickle_mpegts::{Demuxer, Event, MuxProgram, Muxer, Program, Timeline};

/// A keyframe that comes sooner than this after the start of a segment does not begin another one: some
/// streams consist of keyframes only.
const MIN_SEGMENT: Ticks = Ticks::from_millis(500);
/// The length of a segment without video.
const AUDIO_SEGMENT: Ticks = Ticks::PER_SECOND;
/// How far the audio of a file may be ahead of its video before it sets the pace.
const MAX_AHEAD: Ticks = Ticks::PER_SECOND;
/// How many packets of audio may wait for the first keyframe: ten seconds' worth.
const MAX_WAITING: usize = 500;

/// The transport packets of one access unit.
#[derive(Debug)]
pub struct Chunk {
    /// Whether a segment begins with them.
    pub starts_segment: bool,
    /// When they are due, counted from the first chunk. Never earlier than the chunk before.
    pub due: Ticks,
    /// Whole transport packets.
    pub data: Bytes,
}

/// Makes chunks of a live stream from the contents of a file.
#[derive(Debug, Default)]
pub struct Remux {
    demuxer: Demuxer,
    cutter: Cutter,
}

/// The part of a file that has been read of one track, on the file's own clock.
#[derive(Debug, Clone, Copy)]
struct Extent {
    first: Timestamp,
    last: Timestamp,
    step: Ticks,
}

#[derive(Debug, Default)]
struct Cutter {
    timeline: Timeline,
    muxer: Option<Muxer>,
    /// The tracks as last announced.
    program: Option<MuxProgram>,
    waiting_audio: VecDeque<AccessUnit>,
    /// What is added to the file's clock: the duration of all earlier rounds.
    offset: Ticks,
    extents: [Option<Extent>; 2],
    /// When the current segment began.
    segment_began: Option<Timestamp>,
    /// When the whole stream began.
    began: Option<Timestamp>,
    due: Ticks,
    chunks: VecDeque<Chunk>,
}

impl Remux {
    /// Takes the next bytes of a transport stream. The resulting chunks are returned by [`pop`](Self::pop).
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { demuxer, cutter } = self;
        demuxer.push(bytes, &mut |event| cutter.event(event));
    }

    /// Takes the tracks of a file of another kind.
    pub fn tracks(&mut self, tracks: &Tracks) {
        self.cutter.program = program(tracks).or(self.cutter.program);
    }

    /// Takes the next access unit of a file of another kind.
    pub fn unit(&mut self, unit: AccessUnit) {
        self.cutter.unit(unit);
    }

    /// Says that the file has ended. Whatever comes next is its beginning, and directly follows its end.
    pub fn start_over(&mut self) {
        let Self { demuxer, cutter } = self;
        demuxer.end_segment(&mut |event| cutter.event(event));
        *demuxer = Demuxer::new();
        cutter.start_over();
    }

    /// The next chunk.
    pub fn pop(&mut self) -> Option<Chunk> {
        self.cutter.chunks.pop_front()
    }

    /// Whether there has been anything to publish.
    pub fn has_begun(&self) -> bool {
        self.cutter.began.is_some()
    }
}

impl Cutter {
    fn event(&mut self, event: Event) {
        match event {
            Event::Program(named) => self.program = program(&tracks(&named)).or(self.program),
            Event::Unit(unit) => self.unit(unit),
        }
    }

    fn unit(&mut self, mut unit: AccessUnit) {
        let kind = unit.codec.kind();
        let stamp = self.timeline.map(kind, unit.pts, unit.dts);
        let extent = &mut self.extents[usize::from(kind == TrackKind::Audio)];
        match extent {
            None => *extent = Some(Extent { first: stamp.dts, last: stamp.dts, step: Ticks::ZERO }),
            Some(extent) => {
                extent.step = stamp.dts - extent.last;
                extent.last = stamp.dts;
            }
        }
        (unit.pts, unit.dts) = (stamp.pts + self.offset, stamp.dts + self.offset);
        match kind {
            TrackKind::Video => self.video(&unit),
            TrackKind::Audio => self.audio(unit),
        }
    }

    fn video(&mut self, unit: &AccessUnit) {
        let due = self.segment_began.is_none_or(|began| unit.dts - began >= MIN_SEGMENT);
        let starts_segment = unit.keyframe && due;
        if self.muxer.is_none() && !starts_segment {
            // Nothing could decode it.
            return;
        }
        let mut data = BytesMut::new();
        if starts_segment {
            self.begin_segment(unit.dts, &mut data);
        }
        self.write(unit, &mut data);
        self.queue(starts_segment, unit.dts, data);
        if starts_segment {
            for unit in std::mem::take(&mut self.waiting_audio) {
                self.write_audio(false, &unit, BytesMut::new());
            }
        }
    }

    fn audio(&mut self, mut unit: AccessUnit) {
        unit.dts = unit.pts;
        let alone = self.program.is_some_and(|program| program.video().is_none());
        let due = alone && self.segment_began.is_none_or(|began| unit.pts - began >= AUDIO_SEGMENT);
        if self.muxer.is_none() && !due {
            if self.waiting_audio.len() == MAX_WAITING {
                self.waiting_audio.pop_front();
            }
            self.waiting_audio.push_back(unit);
            return;
        }
        let mut data = BytesMut::new();
        if due {
            self.begin_segment(unit.pts, &mut data);
        }
        self.write_audio(due, &unit, data);
    }

    fn write_audio(&mut self, starts_segment: bool, unit: &AccessUnit, mut data: BytesMut) {
        self.write(unit, &mut data);
        // Files do not interleave their tracks exactly by time: if there is video it sets the pace, unless it
        // pauses.
        let video = self.program.is_some_and(|program| program.video().is_some());
        let at = if video { unit.pts - MAX_AHEAD } else { unit.pts };
        self.queue(starts_segment, at, data);
    }

    fn begin_segment(&mut self, at: Timestamp, data: &mut BytesMut) {
        let Some(program) = self.program else { return };
        let muxer = self.muxer.get_or_insert_with(|| Muxer::new(program));
        muxer.set_program(program);
        muxer.begin_segment(data);
        self.segment_began = Some(at);
        self.began.get_or_insert(at);
    }

    fn write(&mut self, unit: &AccessUnit, data: &mut BytesMut) {
        let Some(muxer) = &mut self.muxer else { return };
        if let Err(e) = muxer.write_unit(unit, data) {
            // A track that the file's PMT names for the first time within a segment joins at the next one.
            tracing::debug!("left out: {}", chain(&e));
        }
    }

    fn queue(&mut self, starts_segment: bool, at: Timestamp, data: BytesMut) {
        if data.is_empty() {
            return;
        }
        let since = self.began.map_or(Ticks::ZERO, |began| at - began);
        self.due = self.due.max(since);
        self.chunks.push_back(Chunk { starts_segment, due: self.due, data: data.freeze() });
    }

    fn start_over(&mut self) {
        let extents = self.extents.iter().flatten();
        let first = extents.clone().map(|extent| extent.first).min();
        let end = extents.map(|extent| extent.last + extent.step).max();
        if let (Some(first), Some(end)) = (first, end) {
            self.offset += (end - first).max(Ticks::new(1));
        }
        self.extents = [None; 2];
        self.timeline = Timeline::new();
    }
}

fn tracks(program: &Program) -> Tracks {
    let mut tracks = Tracks::default();
    for track in &program.tracks {
        match track.codec {
            Codec::Video(codec) => tracks.video = Some(codec),
            Codec::Audio(codec) => (tracks.audio, tracks.audio_channels) = (Some(codec), track.opus_channels),
        }
    }
    tracks
}

/// `None` without any track.
fn program(tracks: &Tracks) -> Option<MuxProgram> {
    let program = MuxProgram::new(tracks.video, tracks.audio).ok()?;
    Some(tracks.audio_channels.map_or(program, |channels| program.with_opus_channels(channels)))
}

#[cfg(test)]
mod tests {
    use cutrickle_media::{AudioCodec, VideoCodec};

    use super::*;
    use crate::source::CLIP;

    /// The units of `rounds` rounds of the clip as a reader of the segments sees them, the chunks, and the
    /// gaps that the reader found in the continuity counters.
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
            let stamps: Vec<_> =
                units.iter().filter(|unit| unit.codec.kind() == track).map(|unit| unit.dts).collect();
            assert_eq!(stamps.len(), 3 * count, "{track}");
            assert!(stamps.windows(2).all(|pair| pair[1] - pair[0] == Ticks::new(step)), "{track}");
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
    fn chunks_are_due_at_the_times_of_their_frames() {
        let (_, chunks, _) = published(2, 65_536);
        assert!(chunks.windows(2).all(|pair| pair[0].due <= pair[1].due));
        assert_eq!(chunks[0].due, Ticks::ZERO);
        assert_eq!(chunks.last().map(|chunk| chunk.due), Some(Ticks::new(319 * 3_000)));
    }

    #[test]
    fn audio_keeps_its_pace_while_video_pauses() {
        static ADTS: [u8; 8] = [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x1F, 0xFC, 0];
        static IDR: [u8; 10] = [0, 0, 0, 1, 0x09, 0x10, 0, 0, 1, 0x65];
        let program = MuxProgram::new(Some(VideoCodec::H264), Some(AudioCodec::Aac)).unwrap();
        let mut muxer = Muxer::new(program);
        let mut file = BytesMut::new();
        muxer.begin_segment(&mut file);
        let mut write = |codec: Codec, second: i64, data: &'static [u8]| {
            let at = Timestamp::ZERO + Ticks::PER_SECOND * second;
            let unit = AccessUnit::new(codec, at, true, Bytes::from_static(data));
            muxer.write_unit(&unit, &mut file).unwrap();
        };
        write(Codec::H264, 0, &IDR);
        for second in 0..5 {
            write(Codec::AAC, second, &ADTS);
        }
        write(Codec::H264, 5, &IDR);
        let mut remux = Remux::default();
        remux.push(&file);
        remux.start_over();
        let due: Vec<_> = std::iter::from_fn(|| remux.pop()).map(|chunk| chunk.due).collect();
        assert_eq!(due, [0, 0, 0, 1, 2, 3, 5].map(|second| Ticks::PER_SECOND * second));
    }

    #[test]
    fn what_is_no_transport_stream_gives_nothing() {
        let mut remux = Remux::default();
        remux.push(&b"MThd\0\0\0\x06GGGGGGGG".repeat(10_000));
        remux.start_over();
        assert!(remux.pop().is_none() && !remux.has_begun());
    }
}
