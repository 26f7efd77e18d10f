//! The push demuxer: bytes in, programs and access units out. Routes packets to tables and streams; what
//! happens inside a PID is in `stream`.

use cutrickle_media::AccessUnit;

use crate::clock::Unwrapper;
use crate::framing::{Framing, PACKET};
use crate::packet::{Packet, pid_of};
use crate::program::Program;
use crate::programs::Programs;
use crate::stream::{Context, Stream};

const PAT_PID: u16 = 0;
const NULL_PID: u16 = 0x1FFF;

/// What the demuxer hands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The tracks, and what else the input names, at first and whenever it changes. Units after this are of these
    /// tracks.
    Program(Program),
    /// A unit; its `track` is its PID. Video is the payload of one PES packet. A keyframe is what the stream says can
    /// be decoded from, or what begins with an IDR (H.264) or IRAP (H.265) slice. Audio with a hole is never handed on.
    Unit(AccessUnit),
}

/// What a demuxer has seen since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets that were read, of any PID.
    pub packets: u64,
    /// How often the packets had to be found again.
    pub resyncs: u64,
    /// Bytes that belonged to no packet.
    pub garbage_bytes: u64,
    /// Gaps in the continuity counters of the program's tracks.
    pub continuity_errors: u64,
    /// Packets that were sent twice.
    pub duplicates: u64,
    /// Packets that the transport marked as damaged.
    pub transport_errors: u64,
    /// Packets that cannot be read without a key.
    pub scrambled: u64,
    /// Packets and PES headers that contradict themselves, and packets cut short by a segment's end.
    pub malformed: u64,
    /// Sections whose CRC did not hold.
    pub crc_errors: u64,
    /// Packets that came after their unit had been handed on.
    pub late_packets: u64,
    /// Units that were handed on.
    pub units: u64,
    /// Units among these that have a hole.
    pub damaged: u64,
    /// Units that were dropped: too large, unreadable, or without any stamp to go by.
    pub dropped_units: u64,
}

/// Takes a transport stream in pieces of any size and hands on its access units as they become complete.
///
/// There is no probing: the first unit comes out with its last byte. Memory is bounded by one unit (at
/// most 8 MiB) per track. What is taken of an input of several programs and tracks [`Program`] says; the rest is
/// named there and passed over.
///
/// **When a video unit is complete**: at the length its PES header gives; without one, at the next PES
/// packet of the PID; and once eight units in a row ended in a packet with stuffing and none went on after
/// one, at the packet with stuffing. Should a unit then go on after all, what comes late is dropped and
/// reported as loss with the next unit, and the PID falls back to waiting for good.
///
/// **Holes.** A video unit with a hole is handed on, `damaged`. Sound is dropped from the hole up to the
/// next PES packet, because only there are stamps known again. A unit that spans several PES packets, or
/// several units in one, which muxers of H.264 and H.265 do not write, are not put together or apart.
///
/// **Stamps.** A PES packet without one takes over the stamp of the unit before (video) or continues by
/// counting samples (sound). All tracks share one [`Unwrapper`].
#[derive(Default)]
pub struct Demuxer {
    framing: Framing,
    router: Router,
}

impl Demuxer {
    /// A demuxer that waits for a PAT.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, and calls `sink` for everything that is complete with them.
    pub fn push(&mut self, bytes: &[u8], sink: &mut dyn FnMut(Event)) {
        let Self { framing, router } = self;
        framing.push(bytes, &mut |packet| router.packet(packet, sink));
    }

    /// Ends a segment: hands on what is pending. The next bytes begin with a packet, and all continuity
    /// counters may start anew. Also right at the end of the stream.
    pub fn end_segment(&mut self, sink: &mut dyn FnMut(Event)) {
        let Self { framing, router } = self;
        let tail = framing.finish(&mut |packet| router.packet(packet, sink));
        router.end_segment(&tail, sink);
    }

    /// The tracks as last announced.
    pub fn program(&self) -> Option<&Program> {
        self.router.program.as_ref()
    }

    /// What was seen so far.
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

    /// Independent muxers all write version 0, so it is the content that tells a change.
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
