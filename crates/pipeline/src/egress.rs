//! The encoding thread: turns frames and audio into access units, in segments.
//!
//! A segment begins with an IDR frame; audio ahead of the first frame waits for it. The first segment waits
//! briefly until it is known whether audio is passed through or encoded, because a segment names its codecs.
//! If video does not arrive, or stops, audio-only segments are made until the next frame.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutrickle_codec::{EncoderConfig, VideoEncoder};
use cutrickle_error::chain;
use cutrickle_frame::{AudioFrame, VideoFrame};
use cutrickle_media::{AccessUnit, Codec, Size, Ticks, Timestamp, Tracks, VideoCodec};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::Queueing;
use crate::audio_path::AudioPath;
use crate::ends::{Chunk, Chunks};
use crate::queue::{FrameQueue, Work};
use crate::rate::{self, PictureRate};
use crate::stream::Stream;

/// What the processing thread sends on.
#[derive(Debug)]
pub(crate) enum Item {
    Video(VideoFrame),
    Audio(AudioFrame),
}

/// How long the first frame waits for announced audio.
const AUDIO_PATIENCE: Duration = Duration::from_millis(100);
/// How much audio may wait for announced video before it is sent without it.
const VIDEO_PATIENCE: Ticks = Ticks::from_millis(2_000);
/// The same while video access units arrive and the decoder has not returned a frame yet. With one unit per
/// second, a decoder that reorders returns its first frame after three.
const DECODING_PATIENCE: Ticks = Ticks::from_millis(5_000);
/// The same in a lossless stream, where video may lag by as much as its queues can hold.
const LOSSLESS_PATIENCE: Ticks = Ticks::from_millis(60_000);
/// Frames more than half of this apart are not treated as slides, so no segment waits for the next one.
const MAX_SLIDE: Ticks = Ticks::from_millis(10_000);
/// How many audio packets may wait for a segment to begin: ten seconds of the shortest packets, or a minute
/// in a lossless stream.
const MAX_WAITING_AUDIO: usize = 4_000;
const MAX_LOSSLESS_AUDIO: usize = 24_000;
/// How many frames may wait until the handling of audio is decided.
const MAX_WAITING_FRAMES: usize = 16;

/// Runs until every sender of `items` is gone and `audio` has ended; dropping `chunks` ends the sink. `audio`
/// is the audio that bypasses the processor; `None` if the processor takes it.
pub(crate) fn run(
    stream: Arc<Stream>,
    mut items: mpsc::Receiver<Item>,
    audio: Option<&FrameQueue>,
    chunks: Chunks,
    runtime: &Handle,
) {
    let mut egress = Egress::new(stream, chunks);
    let (mut items_open, mut audio_open) = (true, audio.is_some());
    while items_open || audio_open {
        let held_until = egress.held_until;
        let next = runtime.block_on(async {
            tokio::select! {
                item = items.recv(), if items_open => item.map_or(Next::ItemsEnded, Next::Item),
                item = bypassing(audio), if audio_open => item.map_or(Next::AudioEnded, Next::Item),
                () = reached(held_until) => Next::Release,
            }
        });
        match next {
            Next::Item(Item::Video(frame)) => egress.video(&frame),
            Next::Item(Item::Audio(frame)) => egress.audio(&frame),
            Next::ItemsEnded => items_open = false,
            Next::AudioEnded => audio_open = false,
            Next::Release => egress.release(),
        }
    }
    egress.finish();
}

enum Next {
    Item(Item),
    ItemsEnded,
    AudioEnded,
    /// The first frames have waited for audio long enough.
    Release,
}

/// Returns the next audio that bypasses the processor.
async fn bypassing(audio: Option<&FrameQueue>) -> Option<Item> {
    loop {
        if let Work::Audio(frame) = audio?.pop().await? {
            return Some(Item::Audio(frame));
        }
    }
}

/// Waits until `moment`, or for ever if it is `None`.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

struct Egress {
    stream: Arc<Stream>,
    encoder: Option<Box<dyn VideoEncoder>>,
    audio: AudioPath,
    /// When the next segment is due; `None` before the first one.
    next_cut: Option<Timestamp>,
    last_video: Option<Timestamp>,
    /// The time between the last two frames.
    video_step: Ticks,
    /// The newest audio, and the newest at the time of the last frame sent.
    last_audio: Option<Timestamp>,
    audio_at_video: Option<Timestamp>,
    rate: PictureRate,
    /// An IDR frame is due after an error, or because the tracks have to change.
    idr_owed: bool,
    /// The tracks of the current segment.
    tracks: Option<Tracks>,
    waiting_audio: VecDeque<AccessUnit>,
    /// The first frames, encoded, until the handling of audio is decided.
    waiting_video: Vec<AccessUnit>,
    held_until: Option<Instant>,
    lossless: bool,
    chunks: Chunks,
}

impl Egress {
    fn new(stream: Arc<Stream>, chunks: Chunks) -> Self {
        let audio = AudioPath::new(stream.options.audio);
        let lossless = stream.options.queueing == Queueing::Lossless;
        Self {
            stream,
            encoder: None,
            audio,
            next_cut: None,
            last_video: None,
            video_step: Ticks::ZERO,
            last_audio: None,
            audio_at_video: None,
            rate: PictureRate::default(),
            idr_owed: true,
            tracks: None,
            waiting_audio: VecDeque::new(),
            waiting_video: Vec::new(),
            held_until: None,
            lossless,
            chunks,
        }
    }

    fn video(&mut self, frame: &VideoFrame) {
        let started = Instant::now();
        let result = self.encode(frame);
        let finished = Instant::now();
        self.stream.recorder.encode.observe((finished - started).as_secs_f64());
        match result {
            Ok(unit) => {
                self.stream.recorder.frame_out(frame.arrived(), finished);
                self.encoded(unit);
            }
            Err(e) => {
                // The encoder's state is unknown, so the next frame gets a new encoder.
                self.encoder = None;
                self.idr_owed = true;
                self.stream.recorder.counts.frames_failed.add(1);
                self.stream.error(format_args!("encoding at {}: {}", frame.timestamp(), chain(&e)));
            }
        }
    }

    fn encode(&mut self, frame: &VideoFrame) -> cutrickle_codec::Result<AccessUnit> {
        let due = self.next_cut.is_none_or(|cut| frame.timestamp() >= cut);
        let size = Size::new(frame.width(), frame.height());
        let fits = |config: &EncoderConfig| config.size == size && config.colour == frame.colour();
        self.rate.frame(frame.timestamp(), due);
        let encoder = match self.encoder.take() {
            Some(mut encoder) if fits(encoder.config()) => {
                // Changed only at the start of a segment, because it would be visible within one.
                let wanted = self.config(frame);
                if due && rate::differs(encoder.config(), &wanted) {
                    encoder.set_rate(wanted.fps, wanted.bitrate)?;
                }
                self.encoder.insert(encoder)
            }
            _ => {
                self.idr_owed = true;
                let options = &self.stream.options;
                let opened = options.backends.open_video_encoder(self.config(frame), &options.device)?;
                let name = opened.backend().to_owned();
                self.stream.set_backend(|backends| backends.video_encode = Some(name));
                self.stream.set_output_size(size);
                self.encoder.insert(opened)
            }
        };
        let unit = encoder.encode(frame, due || self.idr_owed)?;
        if unit.keyframe {
            self.idr_owed = false;
            self.cut(unit.pts);
        }
        Ok(unit)
    }

    fn config(&self, frame: &VideoFrame) -> EncoderConfig {
        let fps = self.rate.fps(self.stream.max_fps());
        let by_size = rate::bitrate(frame.width(), frame.height(), fps);
        EncoderConfig {
            size: Size::new(frame.width(), frame.height()),
            fps,
            bitrate: self.stream.options.bitrate.unwrap_or(by_size),
            coding: self.stream.options.coding,
            colour: frame.colour(),
        }
    }

    fn encoded(&mut self, unit: AccessUnit) {
        let audio_is_open = self.stream.announced().audio.is_some() && !self.audio.is_decided();
        if self.tracks.is_none() && audio_is_open {
            let until = *self.held_until.get_or_insert_with(|| Instant::now() + AUDIO_PATIENCE);
            self.waiting_video.push(unit);
            if Instant::now() >= until || self.waiting_video.len() >= MAX_WAITING_FRAMES {
                self.release();
            }
            return;
        }
        self.release();
        self.send_video(unit);
    }

    /// Sends the first frames.
    fn release(&mut self) {
        self.held_until = None;
        for unit in std::mem::take(&mut self.waiting_video) {
            self.send_video(unit);
        }
    }

    fn send_video(&mut self, mut unit: AccessUnit) {
        let begins = match unit.codec {
            Codec::Video(codec) if unit.keyframe => Some(codec),
            _ => None,
        };
        let chunk = match begins {
            Some(codec) => self.begin_segment(Some(codec)),
            // Nothing can be shown before the first IDR frame.
            None if self.tracks.is_none() => return,
            None => Chunk::default(),
        };
        // Two frames with the same time, which a client may send, must not stop the output's time.
        let at = self.last_video.map_or(unit.pts, |last| unit.pts.max(last + Ticks::new(1)));
        self.video_step = self.last_video.map_or(Ticks::ZERO, |last| at - last);
        self.last_video = Some(at);
        self.audio_at_video = self.last_audio.or(Some(at));
        (unit.pts, unit.dts) = (at, at);
        self.chunks.send(chunk.with_unit(unit));
        if begins.is_some() || self.lossless {
            self.send_waiting_audio();
        }
    }

    fn audio(&mut self, frame: &AudioFrame) {
        let source = self.stream.announced().audio;
        let packets = match self.audio.packets(frame, source, &self.stream) {
            Ok(packets) => packets,
            Err(e) => {
                let at = frame.timestamp();
                return self.stream.error(format_args!("audio at {at}: {}", chain(&*e)));
            }
        };
        if self.held_until.is_some() {
            self.release();
        }
        self.queue_audio(packets);
    }

    fn queue_audio(&mut self, packets: Vec<AccessUnit>) {
        let max = if self.lossless { MAX_LOSSLESS_AUDIO } else { MAX_WAITING_AUDIO };
        for packet in packets {
            if self.waiting_audio.len() >= max {
                self.waiting_audio.pop_front();
                self.stream.error("a packet of audio dropped: too much waits for video");
            }
            self.last_audio = Some(packet.pts);
            self.waiting_audio.push_back(packet);
        }
        if self.tracks.is_none_or(|tracks| tracks.video.is_none()) || self.video_pauses() {
            self.cut_audio();
        }
        let codec = self.audio.codec(self.stream.announced().audio);
        match self.tracks {
            Some(tracks) if tracks.audio == codec => self.send_waiting_audio(),
            // The segment names another codec, so a new segment is needed, which needs an IDR frame.
            Some(tracks) if tracks.video.is_some() => self.idr_owed = true,
            _ => {}
        }
    }

    /// Whether so much audio has arrived since the last frame that video counts as paused. Slides are not a
    /// pause.
    fn video_pauses(&self) -> bool {
        let patience = match self.lossless {
            true => LOSSLESS_PATIENCE,
            false => (self.video_step * 2).clamp(VIDEO_PATIENCE, MAX_SLIDE),
        };
        match (self.last_audio, self.audio_at_video) {
            (Some(last), Some(at_video)) => last - at_video > patience,
            _ => false,
        }
    }

    /// Begins an audio-only segment if one is due, because there is no video or it does not arrive.
    fn cut_audio(&mut self) {
        let (Some(first), Some(last)) = (self.waiting_audio.front(), self.waiting_audio.back()) else {
            return;
        };
        let (first, last) = (first.pts, last.pts);
        let due = match self.next_cut {
            None => self.stream.announced().video.is_none() || last - first > self.patience_with_video(),
            Some(cut) => last >= cut,
        };
        if due {
            // Counted from the newest packet, so that the segment with all the waiting audio stays open for a
            // while and a late joiner begins with it.
            self.cut(last);
            self.idr_owed = true;
            let chunk = self.begin_segment(None);
            self.chunks.send(chunk);
            self.send_waiting_audio();
        }
    }

    fn patience_with_video(&self) -> Ticks {
        if self.lossless {
            return LOSSLESS_PATIENCE;
        }
        let recorder = &self.stream.recorder;
        let out = [
            &recorder.counts.frames_failed,
            &recorder.counts.frames_processed,
            &recorder.counts.frames_dropped,
        ];
        let decoding = recorder.counts.frames_in.get() > 0 && out.iter().all(|counter| counter.get() == 0);
        if decoding { DECODING_PATIENCE } else { VIDEO_PATIENCE }
    }

    /// Sends the audio that waits for its segment. In a lossless stream, only up to the newest frame, because
    /// video lags by what the queues hold and a file's tracks belong together.
    fn send_waiting_audio(&mut self) {
        if self.tracks.is_none() {
            return;
        }
        let with_video = self.tracks.is_some_and(|tracks| tracks.video.is_some());
        let ready = match self.last_video.filter(|_| self.lossless && with_video) {
            Some(last) => self.waiting_audio.partition_point(|packet| packet.pts <= last),
            None => self.waiting_audio.len(),
        };
        self.send_audio(ready);
    }

    fn send_audio(&mut self, count: usize) {
        let chunk = match count {
            0 => return,
            1 => match self.waiting_audio.pop_front() {
                Some(packet) => Chunk::default().with_unit(packet),
                None => return,
            },
            _ => Chunk::units(self.waiting_audio.drain(..count).collect()),
        };
        self.chunks.send(chunk);
    }

    /// Starts a segment with the current tracks.
    fn begin_segment(&mut self, video: Option<VideoCodec>) -> Chunk {
        let announced = self.stream.announced();
        let audio_channels = self.audio.channels().or(announced.audio_channels);
        let tracks = Tracks { video, audio: self.audio.codec(announced.audio), audio_channels };
        self.tracks = Some(tracks);
        Chunk::segment(tracks)
    }

    /// Records that a segment begins at `at`, and schedules the next one.
    fn cut(&mut self, at: Timestamp) {
        let interval = Ticks::from(self.stream.options.segment_duration).max(Ticks::new(1));
        // Segments start on a grid so that they do not drift. The grid restarts after an early segment for an
        // IDR frame that was due, or after late frames.
        let on_grid =
            self.next_cut.map(|cut| cut + interval).filter(|next| *next > at && *next - at <= interval);
        self.next_cut = Some(on_grid.unwrap_or(at + interval));
    }

    /// Ends the stream.
    fn finish(&mut self) {
        match self.audio.flush() {
            Ok(packets) => self.queue_audio(packets),
            Err(e) => self.stream.error(format_args!("ending the audio: {}", chain(&e))),
        }
        self.release();
        if self.tracks.is_some() {
            self.send_audio(self.waiting_audio.len());
        }
    }
}
