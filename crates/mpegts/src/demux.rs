//! The push demuxer: takes bytes and emits programs and access units. It routes packets to tables and
//! streams; what happens within one PID is in `stream`.

use cutrickle_media::AccessUnit;

use crate::clock::Unwrapper;
use crate::framing::{Framing, PACKET};
use crate::packet::{Packet, pid_of};
use crate::program::Program;
use crate::programs::Programs;
use crate::stream::{Context, Stream};

const PAT_PID: u16 = 0;
const NULL_PID: u16 = 0x1FFF;

/// What the demuxer emits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The tracks, and everything else the input announces. Emitted at first and whenever it changes; the
    /// units that follow belong to these tracks.
    Program(Program),
    /// An access unit; its `track` is its PID. A video unit is the payload of one PES packet. A unit is a
    /// keyframe if the transport stream marks it as a random access point, or if its first slice is an IDR
    /// (H.264) or IRAP (H.265) slice. Audio with missing bytes is never emitted.
    Unit(AccessUnit),
}

/// Counters since the demuxer was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets read, of any PID.
    pub packets: u64,
    /// How often packet synchronization was lost.
    pub resyncs: u64,
    /// Bytes that belong to no packet.
    pub garbage_bytes: u64,
    /// Gaps in the continuity counters of the program's tracks.
    pub continuity_errors: u64,
    /// Packets received twice.
    pub duplicates: u64,
    /// Packets that the transport marked as damaged (`transport_error_indicator`).
    pub transport_errors: u64,
    /// Scrambled packets, which cannot be read without a key.
    pub scrambled: u64,
    /// Packets and PES headers that contradict themselves, and packets truncated at the end of a segment.
    pub malformed: u64,
    /// Sections with a wrong CRC.
    pub crc_errors: u64,
    /// Packets that arrived after their unit had been emitted.
    pub late_packets: u64,
    /// Units emitted.
    pub units: u64,
    /// Emitted units that have bytes missing.
    pub damaged: u64,
    /// Units dropped because they were too large, unreadable, or had no timestamp.
    pub dropped_units: u64,
}

/// Takes a transport stream in pieces of any size and emits its access units as soon as they are complete.
///
/// There is no probing: each unit, the first one included, is emitted with its last byte. Memory is bounded
/// by one unit of at most 8 MiB per track. [`Program`] describes which program and tracks are selected when
/// the input has several; the others are listed there and skipped.
///
/// **When a video unit is complete.** At the length in its PES header. Without a length, at the next PES
/// packet of the PID; or, once eight units in a row have ended in a packet with stuffing and none has
/// continued after one, at the packet with stuffing. If a unit continues after all, the late bytes are
/// dropped and reported as loss with the next unit, and the PID waits for the next PES packet from then on.
///
/// **Missing packets.** A video unit with bytes missing is emitted with `damaged` set. Audio is dropped up to
/// the next PES packet, because timestamps are known again only there. Units that span several PES packets,
/// and several units in one PES packet, are not reassembled; muxers of H.264 and H.265 do not write them.
///
/// **Timestamps.** A PES packet without one takes that of the previous unit (video), or continues by counting
/// samples (audio). All tracks share one [`Unwrapper`].
#[derive(Default)]
pub struct Demuxer {
    framing: Framing,
    router: Router,
}

impl Demuxer {
    /// Creates a demuxer that waits for a PAT.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and calls `sink` for everything that they complete.
    pub fn push(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event)) {
        let Self { framing, router } = self;
        framing.push(bytes, &mut |packet| router.packet(packet, sink));
    }

    /// Ends a segment and emits pending units. The next bytes must begin with a packet, and all continuity
    /// counters may restart. Call it at the end of the stream too.
    pub fn end_segment(&mut self, sink: &mut dyn FnMut(Event)) {
        let Self { framing, router } = self;
        let tail = framing.finish(&mut |packet| router.packet(packet, sink));
        router.end_segment(&tail, sink);
    }

    /// The tracks as last announced.
    pub fn program(&self) -> Option<&Program> {
        self.router.program.as_ref()
    }

    /// The counters so far.
    pub fn stats(&self) -> Stats {
        Stats {
            resyncs: self.framing.resyncs,
            garbage_bytes: self.framing.garbage,
            crc_errors: self.router.programs.crc_errors(),
            ..self.router.stats
        }
    }
}

impl std::fmt::Debug for Demuxer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demuxer")
            .field("program", &self.router.program)
            .field("stats", &self.stats())
            .finish()
    }
}

#[derive(Default)]
struct Router {
    stats: Stats,
    clock: Unwrapper,
    programs: Programs,
    program: Option<Program>,
    streams: Vec<Stream>,
}

impl Router {
    fn packet(&mut self, bytes: &[u8; PACKET], sink: &mut dyn FnMut(Event)) {
        self.stats.packets += 1;
        let packet = match Packet::parse(bytes) {
            Some(packet) if !packet.error => packet,
            unusable => {
                match unusable {
                    Some(_) => self.stats.transport_errors += 1,
                    None => self.stats.malformed += 1,
                }
                return self.lose(pid_of(bytes), sink);
            }
        };
        match packet.pid {
            NULL_PID => {}
            PAT_PID => {
                let (begins, program) = self.programs.pat_packet(&packet);
                if begins {
                    self.streams.iter_mut().for_each(Stream::may_restart);
                }
                self.take(program, sink);
            }
            pid if self.programs.listens_to(pid) => {
                let program = self.programs.pmt_packet(&packet);
                self.take(program, sink);
            }
            _ => self.with_stream(packet.pid, sink, |stream, ctx| stream.packet(&packet, ctx)),
        }
    }

    fn with_stream(
        &mut self,
        pid: u16,
        sink: &mut dyn FnMut(Event),
        act: impl FnOnce(&mut Stream, &mut Context<'_>),
    ) {
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.track.pid == pid) {
            act(stream, &mut Context { clock: &mut self.clock, stats: &mut self.stats, sink });
        }
    }

    fn lose(&mut self, pid: Option<u16>, sink: &mut dyn FnMut(Event)) {
        if let Some(pid) = pid {
            self.with_stream(pid, sink, Stream::lose_uncounted);
        }
    }

    /// Compares contents, not versions, because independent muxers all write version 0.
    fn take(&mut self, program: Option<Program>, sink: &mut dyn FnMut(Event)) {
        if let Some(program) = program
            && self.program.as_ref() != Some(&program)
        {
            self.change(program, sink);
        }
    }

    fn change(&mut self, program: Program, sink: &mut dyn FnMut(Event)) {
        let mut old = std::mem::take(&mut self.streams);
        for &track in &program.tracks {
            let kept = old.iter().position(|stream| stream.track == track);
            self.streams.push(kept.map_or_else(|| Stream::new(track), |index| old.swap_remove(index)));
        }
        for mut stream in old {
            stream.end_segment(&mut Context { clock: &mut self.clock, stats: &mut self.stats, sink });
        }
        self.program = Some(program.clone());
        sink(Event::Program(program));
    }

    fn end_segment(&mut self, tail: &[u8], sink: &mut dyn FnMut(Event)) {
        if !tail.is_empty() {
            self.stats.malformed += 1;
            self.lose(pid_of(tail), sink);
        }
        for stream in &mut self.streams {
            stream.end_segment(&mut Context { clock: &mut self.clock, stats: &mut self.stats, sink });
        }
        self.programs.end_segment();
    }
}
