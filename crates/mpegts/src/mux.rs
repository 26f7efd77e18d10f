//! The segmenting muxer: access units in, transport packets out at once. Keeps what has to stay the same
//! from segment to segment: PIDs and running continuity counters. When a segment ends is the caller's
//! decision; timestamps are `timeline`'s.

use bytes::{BufMut, BytesMut};

use crate::annexb;
use crate::clock::WRAP;
use crate::codec::{Codec, Track, TrackKind};
use crate::error::{Error, Kind, Result};
use crate::framing::PACKET;
use crate::{opus, pes, psi};

const PROGRAM_NUMBER: u16 = 1;
const PAT_PID: u16 = 0;
/// The PID of the PMT.
pub const PMT_PID: u16 = 0x1000;
/// The PID of the picture track.
pub const VIDEO_PID: u16 = 0x100;
/// The PID of the sound track.
pub const AUDIO_PID: u16 = 0x101;

const ROOM: usize = PACKET - 4;
/// The program clock runs this much behind the decoding times (100 ms), so that a unit's last byte has
/// time to arrive before the unit is due.
const CLOCK_LEAD: i64 = 9_000;
const MAX_AUDIO_PES: usize = 0xFFFF - 8 - 5;

/// The tracks of an output: at most one picture and one sound track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MuxProgram {
    video: Option<Codec>,
    audio: Option<Codec>,
    opus_channels: u8,
}

impl MuxProgram {
    /// A program of these codecs, for Opus in stereo.
    ///
    /// # Errors
    /// Neither is given, `video` is no picture codec, or `audio` is no sound codec (`is_bad_program`).
    pub fn new(video: Option<Codec>, audio: Option<Codec>) -> Result<Self> {
        match (video, audio) {
            (None, None) => Err(Error::new(Kind::NoTrack)),
            (Some(codec), _) if !codec.is_video() => {
                Err(Error::new(Kind::WrongCodec(TrackKind::Video, codec)))
            }
            (_, Some(codec)) if !codec.is_audio() => {
                Err(Error::new(Kind::WrongCodec(TrackKind::Audio, codec)))
            }
            _ => Ok(Self { video, audio, opus_channels: 2 }),
        }
    }

    /// The same with this many Opus channels, 1 to 8 (clamped).
    #[must_use]
    pub fn with_opus_channels(self, channels: u8) -> Self {
        Self { opus_channels: channels.clamp(1, 8), ..self }
    }

    /// The codec of the picture track.
    pub const fn video(&self) -> Option<Codec> {
        self.video
    }

    /// The codec of the sound track.
    pub const fn audio(&self) -> Option<Codec> {
        self.audio
    }

    const fn codec(&self, track: TrackKind) -> Option<Codec> {
        match track {
            TrackKind::Video => self.video,
            TrackKind::Audio => self.audio,
        }
    }

    const fn pcr_pid(&self) -> u16 {
        if self.video.is_some() { VIDEO_PID } else { AUDIO_PID }
    }

    fn tracks(&self) -> Vec<Track> {
        let track = |pid, codec| {
            let opus_channels = (codec == Codec::Opus).then_some(self.opus_channels);
            Track { pid, codec, opus_channels }
        };
        let video = self.video.map(|codec| track(VIDEO_PID, codec));
        video.into_iter().chain(self.audio.map(|codec| track(AUDIO_PID, codec))).collect()
    }
}

/// Writes access units as transport packets, each complete at once.
///
/// Call [`begin_segment`](Self::begin_segment) and then write the segment's units, the first picture an
/// IDR. The packets of all segments joined are one stream without a discontinuity, and each segment can be
/// read alone. The last packet of a video unit always carries stuffing, so that a reader can tell the end
/// of the unit without waiting for the next.
#[derive(Debug)]
pub struct Muxer {
    program: MuxProgram,
    next_program: Option<MuxProgram>,
    version: u8,
    begun: bool,
    pat_counter: u8,
    pmt_counter: u8,
    video_counter: u8,
    audio_counter: u8,
    head: Vec<u8>,
}

impl Muxer {
    /// A muxer of `program`.
    pub fn new(program: MuxProgram) -> Self {
        Self {
            program,
            next_program: None,
            version: 0,
            begun: false,
            pat_counter: 0,
            pmt_counter: 0,
            video_counter: 0,
            audio_counter: 0,
            head: Vec::new(),
        }
    }

    /// The program of the segment being written.
    pub const fn program(&self) -> &MuxProgram {
        &self.program
    }

    /// Changes the tracks from the next segment on. The PMT gets a new version where they differ.
    pub fn set_program(&mut self, program: MuxProgram) {
        self.next_program = Some(program);
    }

    /// Writes PAT and PMT.
    pub fn begin_segment(&mut self, out: &mut BytesMut) {
        if let Some(program) = self.next_program.take()
            && program != self.program
        {
            if self.begun {
                self.version = (self.version + 1) & 0x1F;
            }
            self.program = program;
        }
        self.begun = true;
        let pat = psi::write_pat(PROGRAM_NUMBER, PMT_PID);
        write_section(out, PAT_PID, &mut self.pat_counter, &pat);
        let tracks = self.program.tracks();
        let pmt = psi::write_pmt(PROGRAM_NUMBER, self.version, self.program.pcr_pid(), &tracks);
        write_section(out, PMT_PID, &mut self.pmt_counter, &pmt);
    }

    /// Writes all packets of one unit. Stamps are in ticks of 90 kHz, of which the low 33 bits are written;
    /// `keyframe` says that decoding can start here. `data` is an Annex B access unit (a delimiter is added
    /// where it lacks one), an ADTS frame or several, or one Opus packet. A first unit without a segment
    /// begins one.
    ///
    /// # Errors
    /// The program has no such track (`is_unknown_track`), `data` is empty (`is_empty_unit`), or it is
    /// sound of more than 64 KiB (`is_too_large`). Nothing of it is written then.
    pub fn write_unit(
        &mut self,
        track: TrackKind,
        pts: i64,
        dts: i64,
        keyframe: bool,
        data: &[u8],
        out: &mut BytesMut,
    ) -> Result<()> {
        let Some(codec) = self.program.codec(track) else {
            return Err(Error::new(Kind::UnknownTrack(track)));
        };
        if data.is_empty() {
            return Err(Error::new(Kind::Empty(track, pts)));
        }
        if !self.begun {
            self.begin_segment(out);
        }
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        let written = match track {
            TrackKind::Video => {
                let clock = Some(dts.saturating_sub(CLOCK_LEAD));
                let front = Front { clock, random_access: keyframe };
                let delimiter = annexb::missing_delimiter(codec, data);
                let fields = if pts == dts { 14 } else { 19 };
                let fills_up = front.fills_last_packet(fields + delimiter.len() + data.len());
                pes::write(&mut head, 0xE0, None, pts, dts, u8::from(fills_up));
                head.extend_from_slice(delimiter);
                write_pes(out, VIDEO_PID, &mut self.video_counter, front, &head, data);
                Ok(())
            }
            TrackKind::Audio => self.write_audio(codec, pts, &mut head, data, out),
        };
        self.head = head;
        written
    }

    fn write_audio(
        &mut self,
        codec: Codec,
        pts: i64,
        head: &mut Vec<u8>,
        data: &[u8],
        out: &mut BytesMut,
    ) -> Result<()> {
        let mut control = Vec::new();
        if codec == Codec::Opus {
            opus::write_control_header(&mut control, data.len());
        }
        let payload = match u16::try_from(control.len() + data.len()) {
            Ok(payload) if usize::from(payload) <= MAX_AUDIO_PES => payload,
            _ => return Err(Error::new(Kind::TooLarge(TrackKind::Audio, pts, data.len()))),
        };
        let id = if codec == Codec::Opus { 0xBD } else { 0xC0 };
        pes::write(head, id, Some(payload), pts, pts, 0);
        head.extend_from_slice(&control);
        let front = match self.program.video {
            Some(_) => Front { clock: None, random_access: false },
            None => Front { clock: Some(pts.saturating_sub(CLOCK_LEAD)), random_access: true },
        };
        write_pes(out, AUDIO_PID, &mut self.audio_counter, front, head, data);
        Ok(())
    }
}

fn write_section(out: &mut BytesMut, pid: u16, counter: &mut u8, section: &[u8]) {
    write_packet_head(out, pid, true, 0x10, counter);
    out.put_u8(0);
    out.put_slice(section);
    out.put_bytes(0xFF, ROOM.saturating_sub(1 + section.len()));
}

fn write_packet_head(out: &mut BytesMut, pid: u16, start: bool, control: u8, counter: &mut u8) {
    out.put_u8(0x47);
    out.put_u16(u16::from(start) << 14 | pid);
    out.put_u8(control | *counter);
    *counter = (*counter + 1) & 0x0F;
}

/// What the adaptation field of a unit's first packet says.
#[derive(Clone, Copy)]
struct Front {
    clock: Option<i64>,
    random_access: bool,
}

impl Front {
    /// Bytes of the adaptation field, its length byte included; 0 where there is nothing to say.
    const fn size(self) -> usize {
        match self.clock {
            Some(_) => 8,
            None if self.random_access => 2,
            None => 0,
        }
    }

    /// Whether a PES packet of `size` bytes would leave no room for stuffing in its last packet.
    const fn fills_last_packet(self, size: usize) -> bool {
        (size + self.size()).is_multiple_of(ROOM)
    }

    fn write(self, out: &mut BytesMut) {
        out.put_u8(u8::from(self.random_access) << 6 | u8::from(self.clock.is_some()) << 4);
        if let Some(clock) = self.clock {
            // 33 bits of base, 6 reserved, 9 of extension (2.4.3.5).
            let base = clock.rem_euclid(WRAP) as u64;
            out.put_uint(base << 15 | 0x7E00, 6);
        }
    }
}

/// Cuts `head` and `body`, a PES packet in two parts, into transport packets. The last one is stuffed.
fn write_pes(out: &mut BytesMut, pid: u16, counter: &mut u8, front: Front, head: &[u8], body: &[u8]) {
    let total = head.len() + body.len() + front.size();
    out.reserve(total.div_ceil(ROOM) * PACKET);
    let (mut head, mut body) = (head, body);
    let mut fixed = front.size();
    let mut start = true;
    while !head.is_empty() || !body.is_empty() {
        let take = (ROOM - fixed).min(head.len() + body.len());
        let field = ROOM - take;
        write_packet_head(out, pid, start, if field > 0 { 0x30 } else { 0x10 }, counter);
        if field > 0 {
            out.put_u8((field - 1) as u8);
        }
        if field > 1 {
            let said = if fixed > 0 {
                front.write(out);
                fixed
            } else {
                out.put_u8(0);
                2
            };
            out.put_bytes(0xFF, field - said);
        }
        let (now, later) = head.split_at(take.min(head.len()));
        out.put_slice(now);
        head = later;
        let (now, later) = body.split_at(take - now.len());
        out.put_slice(now);
        body = later;
        (start, fixed) = (false, 0);
    }
}
