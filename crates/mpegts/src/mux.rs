//! The segmenting muxer: takes access units and writes their transport packets at once. It keeps what must
//! stay the same from segment to segment: PIDs and continuity counters. The caller decides when a segment
//! ends; timestamps are mapped in `timeline`.

use bytes::{BufMut, BytesMut};
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Ticks, Timestamp, VideoCodec};

use crate::annexb;
use crate::clock::WRAP;
use crate::error::{Error, Result};
use crate::framing::PACKET;
use crate::program::Track;
use crate::{opus, pes, psi};

const PROGRAM_NUMBER: u16 = 1;
const PAT_PID: u16 = 0;
/// The PID of the PMT.
pub const PMT_PID: u16 = 0x1000;
/// The PID of the video track.
pub const VIDEO_PID: u16 = 0x100;
/// The PID of the audio track.
pub const AUDIO_PID: u16 = 0x101;

const ROOM: usize = PACKET - 4;
/// How far the program clock runs behind the decoding times (100 ms), so that a unit's last byte arrives
/// before the unit is due.
const CLOCK_LEAD: Ticks = Ticks::from_millis(100);
const MAX_AUDIO_PES: usize = 0xFFFF - 8 - 5;

/// The tracks of an output: at most one video and one audio track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MuxProgram {
    video: Option<VideoCodec>,
    audio: Option<AudioCodec>,
    opus_channels: u8,
}

impl MuxProgram {
    /// Creates a program with these codecs. Opus is stereo.
    ///
    /// # Errors
    /// Fails if neither is given (`is_bad_program`).
    pub fn new(video: Option<VideoCodec>, audio: Option<AudioCodec>) -> Result<Self> {
        if video.is_none() && audio.is_none() {
            return Err(Error::bad_program("a program needs a video or an audio track"));
        }
        Ok(Self { video, audio, opus_channels: 2 })
    }

    /// Sets the number of Opus channels, clamped to 1 to 8.
    #[must_use]
    pub fn with_opus_channels(self, channels: u8) -> Self {
        Self { opus_channels: channels.clamp(1, 8), ..self }
    }

    /// The codec of the video track.
    pub const fn video(&self) -> Option<VideoCodec> {
        self.video
    }

    /// The codec of the audio track.
    pub const fn audio(&self) -> Option<AudioCodec> {
        self.audio
    }

    /// Whether the program has a track for units of `codec`.
    fn has(&self, codec: Codec) -> bool {
        match codec {
            Codec::Video(codec) => self.video == Some(codec),
            Codec::Audio(codec) => self.audio == Some(codec),
        }
    }

    const fn pcr_pid(&self) -> u16 {
        if self.video.is_some() { VIDEO_PID } else { AUDIO_PID }
    }

    fn tracks(&self) -> Vec<Track> {
        let track = |pid, codec| {
            let opus_channels = (codec == Codec::OPUS).then_some(self.opus_channels);
            Track { pid, codec, opus_channels }
        };
        let video = self.video.map(|codec| track(VIDEO_PID, codec.into()));
        video.into_iter().chain(self.audio.map(|codec| track(AUDIO_PID, codec.into()))).collect()
    }
}

/// Writes access units as transport packets, each unit completely and at once.
///
/// Call [`begin_segment`](Self::begin_segment), then write the segment's units; the first video unit must be
/// an IDR. The packets of all segments joined form one stream without a discontinuity, and each segment can
/// be read on its own. The last packet of a video unit always carries stuffing, so that a reader can detect
/// the end of the unit without waiting for the next one.
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
    /// Creates a muxer for `program`.
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

    /// Changes the tracks from the next segment on. The PMT gets a new version if they differ.
    pub fn set_program(&mut self, program: MuxProgram) {
        self.next_program = Some(program);
    }

    /// Writes the PAT and the PMT.
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

    /// Writes all packets of one unit, with the low 33 bits of its timestamps. Video without an access unit
    /// delimiter gets one; one unit may hold several ADTS frames. If no segment has begun, the first unit
    /// begins one.
    ///
    /// # Errors
    /// Fails if the program has no track for the unit's codec (`is_unknown_track`), if the unit has no bytes
    /// (`is_empty_unit`), or if it is audio of more than 64 KiB (`is_too_large`). Nothing is written then.
    pub fn write_unit(&mut self, unit: &AccessUnit, out: &mut BytesMut) -> Result<()> {
        let (codec, kind, pts) = (unit.codec, unit.codec.kind(), unit.pts);
        if !self.program.has(codec) {
            return Err(Error::unknown_track(format!("the program has no {codec} {kind} track")));
        }
        if unit.data.is_empty() {
            return Err(Error::empty_unit(format!("the {kind} unit at {pts} is empty")));
        }
        if !self.begun {
            self.begin_segment(out);
        }
        let mut head = std::mem::take(&mut self.head);
        head.clear();
        let written = match codec {
            Codec::Video(codec) => {
                self.write_video(codec, unit, &mut head, out);
                Ok(())
            }
            Codec::Audio(codec) => self.write_audio(codec, unit, &mut head, out),
        };
        self.head = head;
        written
    }

    fn write_video(&mut self, codec: VideoCodec, unit: &AccessUnit, head: &mut Vec<u8>, out: &mut BytesMut) {
        let (pts, dts) = (unit.pts.ticks(), unit.dts.ticks());
        let front = Front { clock: Some(unit.dts - CLOCK_LEAD), random_access: unit.keyframe };
        let delimiter = annexb::missing_delimiter(codec, &unit.data);
        let fields = if pts == dts { 14 } else { 19 };
        let fills_up = front.fills_last_packet(fields + delimiter.len() + unit.data.len());
        pes::write(head, 0xE0, None, pts, dts, u8::from(fills_up));
        head.extend_from_slice(delimiter);
        write_pes(out, VIDEO_PID, &mut self.video_counter, front, head, &unit.data);
    }

    fn write_audio(
        &mut self,
        codec: AudioCodec,
        unit: &AccessUnit,
        head: &mut Vec<u8>,
        out: &mut BytesMut,
    ) -> Result<()> {
        let (data, pts) = (&unit.data, unit.pts.ticks());
        let mut control = Vec::new();
        if codec == AudioCodec::Opus {
            opus::write_control_header(&mut control, data.len());
        }
        let payload = match u16::try_from(control.len() + data.len()) {
            Ok(payload) if usize::from(payload) <= MAX_AUDIO_PES => payload,
            _ => {
                let (at, size) = (unit.pts, data.len());
                let text = format!("the audio unit at {at} has {size} bytes, too many for one PES packet");
                return Err(Error::too_large(text));
            }
        };
        let id = if codec == AudioCodec::Opus { 0xBD } else { 0xC0 };
        pes::write(head, id, Some(payload), pts, pts, 0);
        head.extend_from_slice(&control);
        let front = match self.program.video {
            Some(_) => Front { clock: None, random_access: false },
            None => Front { clock: Some(unit.pts - CLOCK_LEAD), random_access: true },
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

/// What the adaptation field of a unit's first packet contains.
#[derive(Clone, Copy)]
struct Front {
    clock: Option<Timestamp>,
    random_access: bool,
}

impl Front {
    /// The size of the adaptation field in bytes, its length byte included; 0 if there is none.
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
            let base = clock.ticks().rem_euclid(WRAP) as u64;
            out.put_uint(base << 15 | 0x7E00, 6);
        }
    }
}

/// Splits a PES packet, given as `head` and `body`, into transport packets and adds stuffing to the last one.
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
