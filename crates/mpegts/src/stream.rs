//! One elementary stream: turns the packets of a PID into access units. It handles continuity, loss, and when
//! a PES packet has ended; which PIDs exist is decided in `demux`.

use bytes::{Bytes, BytesMut};
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Loss, Timestamp, VideoCodec};

use crate::adts::AdtsSplitter;
use crate::annexb;
use crate::clock::Unwrapper;
use crate::demux::{Event, Stats};
use crate::ending::StuffingRule;
use crate::opus::OpusSplitter;
use crate::packet::{Continuity, Counter, Packet};
use crate::pes::{self, Head, PesHeader};
use crate::program::Track;

/// The largest video unit kept: more than a 4K IDR at the highest bit rates used for live video.
const MAX_UNIT: usize = 8 << 20;
/// The largest PES header has 264 bytes; one that is incomplete after this many is damaged.
const MAX_HEAD: usize = 512;

/// What a splitter found at the front of its bytes.
#[derive(Debug)]
pub(crate) enum Cut {
    Unit(Timestamp, Bytes),
    /// Not a whole unit yet.
    Wait,
    /// A unit was dropped because no timestamp is known yet.
    Unstamped,
    /// The rest of this PES packet is unreadable and was dropped.
    Lost,
}

/// The parts of the demuxer that a stream uses.
pub(crate) struct Context<'a> {
    pub(crate) clock: &'a mut Unwrapper,
    pub(crate) stats: &'a mut Stats,
    pub(crate) sink: &'a mut dyn FnMut(Event),
}

enum State {
    /// Skips payload until a PES packet begins.
    Idle,
    /// Collects a PES header that did not fit into its first packet.
    Head(Vec<u8>),
    /// Within the payload, with the number of bytes still to come if the header gave its length.
    Body(Option<usize>),
}

enum Units {
    Video(Video),
    Aac(AdtsSplitter),
    Opus(OpusSplitter),
}

struct Video {
    codec: VideoCodec,
    buf: BytesMut,
    /// How much to reserve for the next unit, so that its bytes are not moved as it grows.
    hint: usize,
    random_access: bool,
    damaged: bool,
    stamps: Option<(Timestamp, Timestamp)>,
    ending: StuffingRule,
}

impl Video {
    fn new(codec: VideoCodec) -> Self {
        let ending = StuffingRule::default();
        Self {
            codec,
            buf: BytesMut::new(),
            hint: 0,
            random_access: false,
            damaged: false,
            stamps: None,
            ending,
        }
    }
}

/// The state of one PID.
pub(crate) struct Stream {
    pub(crate) track: Track,
    counter: Counter,
    may_restart: bool,
    loss: Loss,
    state: State,
    units: Units,
}

impl Stream {
    pub(crate) fn new(track: Track) -> Self {
        let units = match track.codec {
            Codec::Video(codec) => Units::Video(Video::new(codec)),
            Codec::Audio(AudioCodec::Aac) => Units::Aac(AdtsSplitter::default()),
            Codec::Audio(AudioCodec::Opus) => Units::Opus(OpusSplitter::default()),
        };
        let counter = Counter::default();
        Self { track, counter, may_restart: false, loss: Loss::default(), state: State::Idle, units }
    }

    /// Accepts any counter value at the next start of a PES packet.
    pub(crate) fn may_restart(&mut self) {
        self.may_restart = true;
    }

    pub(crate) fn packet(&mut self, packet: &Packet<'_>, ctx: &mut Context<'_>) {
        let Some(payload) = packet.payload else { return };
        let restarts = packet.discontinuity || (self.may_restart && packet.start);
        self.may_restart = false;
        let verdict = self.counter.judge(packet.counter, payload);
        match verdict {
            Continuity::Repeat => {
                ctx.stats.duplicates += 1;
                return;
            }
            Continuity::Gap(missing) if !restarts => {
                ctx.stats.continuity_errors += 1;
                self.lose(missing, ctx);
            }
            // Joined in the middle of a PES packet, whose beginning is missing.
            Continuity::First if !packet.start && self.loss == Loss::default() => self.loss.packets = 1,
            // Another segment begins, so an incomplete frame of the last one does not continue here.
            Continuity::Gap(_) if self.track.codec.is_audio() => self.abandon(ctx),
            Continuity::Gap(_) | Continuity::First | Continuity::Next => {}
        }
        if packet.scrambled {
            ctx.stats.scrambled += 1;
            return self.lose(1, ctx);
        }
        if let Units::Video(video) = &mut self.units
            && verdict == Continuity::Next
            && video.ending.observe(packet.start)
        {
            // The unit has been emitted already, and a decoder cannot take the rest of it afterwards.
            ctx.stats.late_packets += 1;
            self.loss.packets = self.loss.packets.saturating_add(1);
        }
        if packet.start {
            self.finish(ctx);
            self.begin(packet, payload, ctx);
        } else {
            self.more(payload, ctx);
        }
        if let Units::Video(video) = &mut self.units {
            let open = matches!(self.state, State::Body(None));
            if video.ending.ends(open, packet.stuffing > 0) {
                self.finish(ctx);
            }
        }
    }

    /// Records packets that are missing or unusable.
    pub(crate) fn lose(&mut self, packets: u32, ctx: &mut Context<'_>) {
        match &mut self.units {
            Units::Video(video) => {
                // A packet with stuffing was most likely the unit's last, so the gap lies after it.
                if video.ending.take_plausible() {
                    self.finish(ctx);
                } else {
                    video.damaged = true;
                }
            }
            Units::Aac(_) | Units::Opus(_) => self.abandon(ctx),
        }
        if matches!(self.state, State::Head(_)) {
            self.abandon(ctx);
        }
        self.loss.packets = self.loss.packets.saturating_add(packets);
    }

    /// Records an unusable packet whose counter cannot be trusted.
    pub(crate) fn lose_uncounted(&mut self, ctx: &mut Context<'_>) {
        self.lose(1, ctx);
        self.counter.restart();
    }

    /// Drops everything up to the next PES packet, the first place where an audio timestamp is known again.
    fn abandon(&mut self, ctx: &mut Context<'_>) {
        let lost = match &mut self.units {
            Units::Video(video) => !std::mem::take(&mut video.buf).is_empty(),
            Units::Aac(aac) => aac.reset(),
            Units::Opus(opus) => opus.reset(),
        };
        let lost = lost || matches!(self.state, State::Head(_));
        self.state = State::Idle;
        if lost {
            self.drop_unit(ctx);
        }
    }

    fn begin(&mut self, packet: &Packet<'_>, payload: &[u8], ctx: &mut Context<'_>) {
        if let Units::Video(video) = &mut self.units {
            video.random_access = packet.random_access;
            video.damaged = false;
        }
        self.state = State::Head(Vec::new());
        self.more(payload, ctx);
    }

    fn more(&mut self, payload: &[u8], ctx: &mut Context<'_>) {
        match &mut self.state {
            State::Idle => {}
            State::Body(_) => self.body(payload, ctx),
            State::Head(head) => {
                // When the packet holds a whole header, the payload after it is not copied.
                let joined;
                let bytes = if head.is_empty() {
                    payload
                } else {
                    head.extend_from_slice(payload);
                    joined = std::mem::take(head);
                    &joined
                };
                self.head(bytes, ctx);
            }
        }
    }

    fn head(&mut self, bytes: &[u8], ctx: &mut Context<'_>) {
        match pes::parse(bytes) {
            Head::Short if bytes.len() < MAX_HEAD => self.state = State::Head(bytes.to_vec()),
            Head::Short | Head::Bad => {
                ctx.stats.malformed += 1;
                self.abandon(ctx);
            }
            Head::Other => self.state = State::Idle,
            Head::Media(header) => {
                self.stamp(&header, ctx);
                self.state = State::Body(header.payload);
                self.body(bytes.get(header.size..).unwrap_or_default(), ctx);
            }
        }
    }

    fn stamp(&mut self, header: &PesHeader, ctx: &mut Context<'_>) {
        let dts = header.dts.or(header.pts).map(|raw| ctx.clock.unwrap(raw));
        let pts = header.pts.map(|raw| {
            // The PTS is unwrapped relative to the DTS, but the clock follows decoding times only.
            let mut beside = *ctx.clock;
            beside.unwrap(raw)
        });
        match &mut self.units {
            Units::Video(video) => {
                if let (Some(pts), Some(dts)) = (pts, dts) {
                    video.stamps = Some((pts, dts.min(pts)));
                }
                video.buf.reserve(video.hint);
            }
            Units::Aac(aac) => aac.begin(pts),
            Units::Opus(opus) => opus.begin(pts),
        }
    }

    fn body(&mut self, payload: &[u8], ctx: &mut Context<'_>) {
        let State::Body(remaining) = &mut self.state else { return };
        let mut payload = payload;
        if let Some(remaining) = remaining {
            payload = payload.get(..*remaining).unwrap_or(payload);
            *remaining -= payload.len();
        }
        let complete = *remaining == Some(0);
        match &mut self.units {
            Units::Video(video) => {
                if video.buf.len() + payload.len() > MAX_UNIT {
                    return self.abandon(ctx);
                }
                video.buf.extend_from_slice(payload);
            }
            Units::Aac(aac) => aac.feed(payload),
            Units::Opus(opus) => opus.feed(payload),
        }
        self.split_audio(ctx);
        if complete {
            self.finish(ctx);
        }
    }

    fn split_audio(&mut self, ctx: &mut Context<'_>) {
        loop {
            let cut = match &mut self.units {
                Units::Video(_) => return,
                Units::Aac(aac) => aac.next(),
                Units::Opus(opus) => opus.next(),
            };
            match cut {
                Cut::Wait => return,
                Cut::Unit(pts, data) => self.emit(pts, pts, true, false, data, ctx),
                Cut::Unstamped => self.drop_unit(ctx),
                Cut::Lost => {
                    self.drop_unit(ctx);
                    self.state = State::Idle;
                    return;
                }
            }
        }
    }

    fn drop_unit(&mut self, ctx: &mut Context<'_>) {
        ctx.stats.dropped_units += 1;
        self.loss.units = self.loss.units.saturating_add(1);
    }

    /// Ends the PES packet in progress, whose end was given by its length, the next packet, or its stuffing.
    fn finish(&mut self, ctx: &mut Context<'_>) {
        let cut_short = match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle => return,
            State::Head(_) => {
                ctx.stats.malformed += 1;
                return self.drop_unit(ctx);
            }
            State::Body(remaining) => remaining.is_some_and(|remaining| remaining > 0),
        };
        match &mut self.units {
            // A frame may continue in the next PES packet, unless the end of this one is missing.
            Units::Aac(aac) => {
                if cut_short && aac.reset() {
                    self.drop_unit(ctx);
                }
            }
            Units::Opus(opus) => {
                if opus.reset() {
                    self.drop_unit(ctx);
                }
            }
            Units::Video(video) => {
                let data = video.buf.split().freeze();
                video.hint = data.len().max(video.hint - video.hint / 8);
                let damaged = video.damaged || cut_short;
                match video.stamps {
                    _ if data.is_empty() => {}
                    None => self.drop_unit(ctx),
                    Some((pts, dts)) => {
                        let keyframe = video.random_access || annexb::is_keyframe(video.codec, &data);
                        self.emit(pts, dts, keyframe, damaged, data, ctx);
                    }
                }
            }
        }
    }

    /// Emits what is pending and forgets the counter.
    pub(crate) fn end_segment(&mut self, ctx: &mut Context<'_>) {
        self.finish(ctx);
        if let Units::Aac(aac) = &mut self.units
            && aac.reset()
        {
            self.drop_unit(ctx);
        }
        if let Units::Video(video) = &mut self.units {
            video.ending.take_plausible();
        }
        self.counter.restart();
        self.may_restart = false;
    }

    fn emit(
        &mut self,
        pts: Timestamp,
        dts: Timestamp,
        keyframe: bool,
        damaged: bool,
        data: Bytes,
        ctx: &mut Context<'_>,
    ) {
        let loss = std::mem::take(&mut self.loss);
        let loss = (loss != Loss::default()).then_some(loss);
        ctx.stats.units += 1;
        ctx.stats.damaged += u64::from(damaged);
        let Track { pid, codec, .. } = self.track;
        let track = pid.into();
        (ctx.sink)(Event::Unit(AccessUnit { track, codec, pts, dts, keyframe, loss, damaged, data }));
    }
}
