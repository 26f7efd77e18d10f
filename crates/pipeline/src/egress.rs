//! The encoding thread: frames and sound to segments of a transport stream.
//!
//! A segment begins with PAT, PMT and an IDR picture; sound that is ahead of the first picture waits for it. The
//! first segment waits a moment for sound to show whether it is sent on or encoded, since the PMT names its
//! codec. Where pictures do not come, or come no more, segments of sound alone begin, and end with the next picture.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use cutrickle_codec::{AudioFormat, EncodedVideo, EncoderConfig, VideoCodec, VideoEncoder, open};
use cutrickle_error::chain;
use cutrickle_frame::{AudioFrame, TICKS_PER_SECOND, VideoFrame};
use cutrickle_mpegts::{Codec, MuxProgram, Muxer, TrackKind};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::decode::seconds;
use crate::queue::{FrameQueue, Work};
use crate::rate::{self, PictureRate};
use crate::sound::{Packet, SoundPath};
use crate::stream::Stream;

/// What the processing thread hands on.
#[derive(Debug)]
pub(crate) enum Item {
    Video { frame: VideoFrame, arrived: Instant },
    Audio(AudioFrame),
}

/// Bytes for the publisher: whole transport stream packets.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) starts_segment: bool,
    pub(crate) data: Bytes,
}

/// How long the first picture waits for sound that was announced.
const SOUND_PATIENCE: Duration = Duration::from_millis(100);
/// How much sound waits for pictures that were announced, before it goes out without them, in ticks.
const PICTURE_PATIENCE: i64 = 2 * TICKS_PER_SECOND;
/// The same while coded pictures come and none has come out of the decoder yet: of one a second, a decoder that
/// puts them in order gives out the first after three.
const DECODING_PATIENCE: i64 = 5 * TICKS_PER_SECOND;
/// Pictures further apart than half of this are no slides whose next one a segment waits for.
const MAX_SLIDE: i64 = 10 * TICKS_PER_SECOND;
/// Sound packets that may wait for a segment to begin: ten seconds' worth of the shortest.
const MAX_WAITING_SOUND: usize = 4_000;
/// Pictures that may wait for sound to show its way.
const MAX_WAITING_PICTURES: usize = 16;

/// Runs until every sender of `items` is gone and `sound` has ended; dropping `chunks` is what ends the publisher.
/// `sound` is what passes the processor by; none where the processor takes it.
pub(crate) fn run(
    stream: Arc<Stream>,
    mut items: mpsc::Receiver<Item>,
    sound: Option<&FrameQueue>,
    chunks: mpsc::Sender<Chunk>,
    runtime: &Handle,
) {
    let mut egress = Egress::new(stream, Output { chunks, dropping: false });
    let (mut items_open, mut sound_open) = (true, sound.is_some());
    while items_open || sound_open {
        let held_until = egress.held_until;
        let next = runtime.block_on(async {
            tokio::select! {
                item = items.recv(), if items_open => item.map_or(Next::ItemsEnded, Next::Item),
                work = passing(sound), if sound_open => work.map_or(Next::SoundEnded, Next::Item),
                () = reached(held_until) => Next::Release,
            }
        });
        match next {
            Next::Item(Item::Video { frame, arrived }) => egress.picture(&frame, arrived),
            Next::Item(Item::Audio(frame)) => egress.sound(&frame),
            Next::ItemsEnded => items_open = false,
            Next::SoundEnded => sound_open = false,
            Next::Release => egress.release(),
        }
    }
    egress.finish();
}

enum Next {
    Item(Item),
    ItemsEnded,
    SoundEnded,
    /// The first pictures have waited for sound for long enough.
    Release,
}

/// The next sound that passes the processor by.
async fn passing(sound: Option<&FrameQueue>) -> Option<Item> {
    loop {
        if let Work::Audio(frame) = sound?.pop().await? {
            return Some(Item::Audio(frame));
        }
    }
}

/// Waits until `moment`; for ever where there is none.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

struct Egress {
    stream: Arc<Stream>,
    encoder: Option<Box<dyn VideoEncoder>>,
    muxer: Option<Muxer>,
    sound: SoundPath,
    /// Where the next segment is due; none before the first.
    next_cut: Option<i64>,
    last_picture: Option<i64>,
    /// From the picture before it to that.
    picture_step: i64,
    /// The newest sound, and what was the newest when the last picture went out.
    last_sound: Option<i64>,
    sound_at_picture: Option<i64>,
    rate: PictureRate,
    /// An IDR picture is owed: after an error, or because the PMT has to change.
    idr_owed: bool,
    /// The codecs that the current PMT names.
    named: Option<Named>,
    waiting_sound: VecDeque<Packet>,
    /// The first pictures, encoded, until sound has shown its way.
    waiting_pictures: Vec<EncodedVideo>,
    held_until: Option<Instant>,
    output: Output,
}

/// The tracks of a PMT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named {
    video: bool,
    audio: Option<AudioFormat>,
}

impl Egress {
    fn new(stream: Arc<Stream>, output: Output) -> Self {
        let sound = SoundPath::new(stream.options.audio);
        Self {
            stream,
            encoder: None,
            muxer: None,
            sound,
            next_cut: None,
            last_picture: None,
            picture_step: 0,
            last_sound: None,
            sound_at_picture: None,
            rate: PictureRate::default(),
            idr_owed: true,
            named: None,
            waiting_sound: VecDeque::new(),
            waiting_pictures: Vec::new(),
            held_until: None,
            output,
        }
    }

    fn picture(&mut self, frame: &VideoFrame, arrived: Instant) {
        let started = Instant::now();
        let result = self.encode(frame);
        let finished = Instant::now();
        self.stream.recorder.encode.observe((finished - started).as_secs_f64());
        match result {
            Ok(picture) => {
                self.stream.recorder.picture_out(arrived, finished);
                self.encoded(picture);
            }
            Err(e) => {
                // The encoder's state is unknown: the next picture starts from scratch.
                self.encoder = None;
                self.idr_owed = true;
                self.stream.recorder.failed.add(1);
                self.stream.error(format_args!(
                    "encoding at {:.3} s: {}",
                    seconds(frame.timestamp()),
                    chain(&e)
                ));
            }
        }
    }

    fn encode(&mut self, frame: &VideoFrame) -> cutrickle_codec::Result<EncodedVideo> {
        let due = self.next_cut.is_none_or(|cut| frame.timestamp() >= cut);
        let size = (frame.width(), frame.height());
        let fits =
            |config: &EncoderConfig| (config.width, config.height) == size && config.colour == frame.colour();
        self.rate.picture(frame.timestamp(), due);
        let encoder = match self.encoder.take() {
            Some(mut encoder) if fits(encoder.config()) => {
                // Where a segment begins: in the middle of one it would show.
                let wanted = self.config(frame);
                if due && rate::differs(encoder.config(), &wanted) {
                    encoder.set_rate(wanted.fps, wanted.bitrate)?;
                }
                self.encoder.insert(encoder)
            }
            _ => {
                self.idr_owed = true;
                let opened = open::video_encoder(self.config(frame), &self.stream.options.device)?;
                let name = opened.backend().to_owned();
                self.stream.set_backend(|backends| backends.video_encode = Some(name));
                self.stream.set_output_size(size);
                self.encoder.insert(opened)
            }
        };
        let picture = encoder.encode(frame, due || self.idr_owed)?;
        if picture.keyframe {
            self.idr_owed = false;
            self.cut(picture.timestamp);
        }
        Ok(picture)
    }

    fn config(&self, frame: &VideoFrame) -> EncoderConfig {
        let fps = self.rate.fps(self.stream.most_fps());
        let by_size = rate::bitrate(frame.width(), frame.height(), fps);
        EncoderConfig {
            width: frame.width(),
            height: frame.height(),
            fps,
            bitrate: self.stream.options.bitrate.unwrap_or(by_size),
            coding: self.stream.options.coding,
            colour: frame.colour(),
        }
    }

    fn encoded(&mut self, picture: EncodedVideo) {
        if self.muxer.is_none() && self.stream.announced().audio.is_some() && !self.sound.is_decided() {
            let until = *self.held_until.get_or_insert_with(|| Instant::now() + SOUND_PATIENCE);
            self.waiting_pictures.push(picture);
            if Instant::now() >= until || self.waiting_pictures.len() >= MAX_WAITING_PICTURES {
                self.release();
            }
            return;
        }
        self.release();
        self.mux_picture(&picture);
    }

    /// Lets the first pictures go.
    fn release(&mut self) {
        self.held_until = None;
        for picture in std::mem::take(&mut self.waiting_pictures) {
            self.mux_picture(&picture);
        }
    }

    fn mux_picture(&mut self, picture: &EncodedVideo) {
        let mut bytes = BytesMut::new();
        let starts_segment = picture.keyframe;
        if starts_segment {
            self.begin_segment(Some(picture.codec), &mut bytes);
        }
        let Some(muxer) = &mut self.muxer else {
            // Before the first IDR picture nothing can be shown.
            return;
        };
        // Two pictures of one time, as a client may send, must not make the output's time stand still.
        let at = self.last_picture.map_or(picture.timestamp, |last| picture.timestamp.max(last + 1));
        self.picture_step = self.last_picture.map_or(0, |last| at.saturating_sub(last));
        self.last_picture = Some(at);
        self.sound_at_picture = self.last_sound.or(Some(at));
        let written = muxer.write_unit(TrackKind::Video, at, at, picture.keyframe, &picture.data, &mut bytes);
        if let Err(e) = written {
            self.stream.error(format_args!("muxing at {:.3} s: {}", seconds(at), chain(&e)));
        }
        self.output.send(Chunk { starts_segment, data: bytes.freeze() }, &self.stream);
        if starts_segment {
            self.mux_waiting_sound();
        }
    }

    fn sound(&mut self, frame: &AudioFrame) {
        let source = self.stream.announced().audio;
        let packets = match self.sound.packets(frame, source, &self.stream) {
            Ok(packets) => packets,
            Err(e) => {
                return self.stream.error(format_args!("sound at {:.3} s: {}", frame.pts(), chain(&*e)));
            }
        };
        if self.held_until.is_some() {
            self.release();
        }
        self.queue_sound(packets);
    }

    fn queue_sound(&mut self, packets: Vec<Packet>) {
        for packet in packets {
            if self.waiting_sound.len() >= MAX_WAITING_SOUND {
                self.waiting_sound.pop_front();
                self.stream.error("a packet of sound dropped: too much waits for a picture");
            }
            self.last_sound = Some(packet.timestamp);
            self.waiting_sound.push_back(packet);
        }
        if self.named.is_none_or(|named| !named.video) || self.pictures_pause() {
            self.cut_sound();
        }
        let audio = self.sound.format(self.stream.announced().audio);
        match self.named {
            Some(named) if named.audio == audio => self.mux_waiting_sound(),
            // The codec is not the one that the PMT names: it takes a new segment, which takes a picture.
            Some(named) if named.video => self.idr_owed = true,
            _ => {}
        }
    }

    /// Whether so much sound has come since the last picture that none is to be waited for. Slides are no pause.
    fn pictures_pause(&self) -> bool {
        let patience = self.picture_step.saturating_mul(2).clamp(PICTURE_PATIENCE, MAX_SLIDE);
        match (self.last_sound, self.sound_at_picture) {
            (Some(last), Some(at_picture)) => last.saturating_sub(at_picture) > patience,
            _ => false,
        }
    }

    /// Begins a segment without pictures where one is due: there are none, or they do not come.
    fn cut_sound(&mut self) {
        let (Some(first), Some(last)) = (self.waiting_sound.front(), self.waiting_sound.back()) else {
            return;
        };
        let (first, last) = (first.timestamp, last.timestamp);
        let due = match self.next_cut {
            None => {
                !self.stream.announced().video || last.saturating_sub(first) > self.patience_with_pictures()
            }
            Some(cut) => last >= cut,
        };
        if due {
            let mut bytes = BytesMut::new();
            // Counted from the newest, so that the segment that all the waiting sound is in stays open for a while: a
            // reader who joins then begins with it.
            self.cut(last);
            self.idr_owed = true;
            self.begin_segment(None, &mut bytes);
            self.output.send(Chunk { starts_segment: true, data: bytes.freeze() }, &self.stream);
            self.mux_waiting_sound();
        }
    }

    fn patience_with_pictures(&self) -> i64 {
        let recorder = &self.stream.recorder;
        let out = [&recorder.failed, &recorder.processed, &*recorder.dropped];
        let decoding = recorder.arrived.get() > 0 && out.iter().all(|counter| counter.get() == 0);
        if decoding { DECODING_PATIENCE } else { PICTURE_PATIENCE }
    }

    fn mux_waiting_sound(&mut self) {
        let Some(muxer) = &mut self.muxer else { return };
        let mut bytes = BytesMut::new();
        for packet in self.waiting_sound.drain(..) {
            let at = packet.timestamp;
            if let Err(e) = muxer.write_unit(TrackKind::Audio, at, at, true, &packet.data, &mut bytes) {
                self.stream.error(format_args!("muxing sound at {:.3} s: {}", seconds(at), chain(&e)));
            }
        }
        if !bytes.is_empty() {
            self.output.send(Chunk { starts_segment: false, data: bytes.freeze() }, &self.stream);
        }
    }

    /// PAT and PMT.
    fn begin_segment(&mut self, video: Option<VideoCodec>, bytes: &mut BytesMut) {
        let announced = self.stream.announced();
        let named = Named { video: video.is_some(), audio: self.sound.format(announced.audio) };
        let video = video.map(|codec| match codec {
            VideoCodec::H264 => Codec::H264,
            VideoCodec::H265 => Codec::H265,
        });
        let audio = named.audio.map(|format| match format {
            AudioFormat::Aac => Codec::Aac,
            AudioFormat::Opus => Codec::Opus,
        });
        let channels = self.sound.channels().or(announced.opus_channels).unwrap_or(2);
        let program = match MuxProgram::new(video, audio) {
            Ok(program) => program.with_opus_channels(channels),
            Err(e) => return self.stream.error(format_args!("beginning a segment: {}", chain(&e))),
        };
        let muxer = self.muxer.get_or_insert_with(|| Muxer::new(program));
        muxer.set_program(program);
        self.named = Some(named);
        muxer.begin_segment(bytes);
    }

    /// A segment begins at `at`: says when the next one is due.
    fn cut(&mut self, at: i64) {
        let interval = i64::try_from(self.stream.options.segment_duration.as_millis())
            .unwrap_or(i64::MAX)
            .saturating_mul(TICKS_PER_SECOND / 1000)
            .max(1);
        // On a grid, so that cuts do not drift; anew where pictures owed one early or came late.
        let on_grid = self
            .next_cut
            .map(|cut| cut.saturating_add(interval))
            .filter(|next| *next > at && next.saturating_sub(at) <= interval);
        self.next_cut = Some(on_grid.unwrap_or(at.saturating_add(interval)));
    }

    /// The end of the stream.
    fn finish(&mut self) {
        match self.sound.flush() {
            Ok(packets) => self.queue_sound(packets),
            Err(e) => self.stream.error(format_args!("ending the sound: {}", chain(&e))),
        }
        self.release();
        self.mux_waiting_sound();
    }
}

/// The way to the publisher. Where it is full, the rest of the segment is dropped: a segment with a hole is worth
/// less than a short one.
struct Output {
    chunks: mpsc::Sender<Chunk>,
    dropping: bool,
}

impl Output {
    fn send(&mut self, chunk: Chunk, stream: &Stream) {
        if self.dropping && !chunk.starts_segment {
            stream.recorder.output_bytes_dropped.add(chunk.data.len() as u64);
            return;
        }
        self.dropping = false;
        if let Err(e) = self.chunks.try_send(chunk) {
            let (mpsc::error::TrySendError::Full(chunk) | mpsc::error::TrySendError::Closed(chunk)) = e;
            stream.recorder.output_bytes_dropped.add(chunk.data.len() as u64);
            self.dropping = true;
        }
    }
}
