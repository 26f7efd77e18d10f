//! The receiving task: segments to access units, on one continuous clock.

use std::sync::Arc;
use std::time::Instant;

use cutrickle_codec::{AudioFormat, VideoCodec, audio, video};
use cutrickle_error::chain;
use cutrickle_frame::{AudioFrame, DecodeAudio};
use cutrickle_mpegts::{self as mpegts, AccessUnit, Codec, Demuxer, Loss, Program, Timeline, TrackKind};
use cutrickle_trickle::Subscriber;

use crate::decode::seconds;
use crate::events::Event;
use crate::input::Measured;
use crate::queue::{CodedPicture, CodedQueue, FrameQueue};
use crate::sound::LazyDecoder;
use crate::stream::{Announced, Stream};
use crate::{EndReason, InputInfo};

/// Runs until the input ends or the stream is stopped, then closes `units`.
pub(crate) async fn run(
    stream: Arc<Stream>,
    mut subscriber: Subscriber,
    units: Arc<CodedQueue>,
    sound: Arc<FrameQueue>,
    frames: Arc<FrameQueue>,
) {
    let mut ingress = Ingress {
        stream: &stream,
        units: &units,
        sound: &sound,
        timeline: Timeline::new(),
        started: Instant::now(),
        audio: None,
        measured: Measured::default(),
        begun: false,
    };
    tokio::select! {
        () = stream.stopped() => {
            // Whoever stops a stream does not want to wait for what a slow processor has yet to see.
            units.discard();
            frames.discard();
            sound.discard();
        }
        () = ingress.receive(&mut subscriber) => {}
    }
    units.close();
    sound.close();
    // The end of the input is the end of the stream: what is in flight has as long as after a `stop`.
    stream.stop(EndReason::InputEnded);
}

struct Ingress<'a> {
    stream: &'a Arc<Stream>,
    units: &'a CodedQueue,
    /// Where sound goes: to the processor among the pictures, or straight to the output.
    sound: &'a FrameQueue,
    timeline: Timeline,
    /// What arrivals are counted from.
    started: Instant,
    /// The decoder that the packets of the current track carry with them.
    audio: Option<(AudioFormat, Arc<dyn DecodeAudio>)>,
    /// What the units have told of the tracks.
    measured: Measured,
    /// Whether a segment has come.
    begun: bool,
}

impl Ingress<'_> {
    async fn receive(&mut self, subscriber: &mut Subscriber) {
        let mut demuxer = Demuxer::new();
        loop {
            let mut segment = match subscriber.next().await {
                Ok(Some(segment)) => segment,
                Ok(None) => return,
                Err(e) => {
                    return self.stream.fail(EndReason::InputFailed, format_args!("input: {}", chain(&e)));
                }
            };
            tracing::debug!(stream = %self.stream.id, seq = segment.seq(), "segment");
            if !std::mem::replace(&mut self.begun, true) {
                self.stream.event(Event::new("receive_first_ingest_segment"));
            }
            while let Some(bytes) = segment.chunk().await {
                let arrived = Instant::now();
                self.stream.input_seen();
                demuxer.push(&bytes, &mut |event| self.event(event, arrived));
                self.stream.recorder.input_bytes.add(bytes.len() as u64);
            }
            if !segment.is_complete() {
                self.stream.error(format_args!("input: segment {} broke off", segment.seq()));
            }
            let arrived = Instant::now();
            demuxer.end_segment(&mut |event| self.event(event, arrived));
        }
    }

    fn event(&mut self, event: mpegts::Event, arrived: Instant) {
        match event {
            mpegts::Event::Program(program) => {
                self.stream.set_input(InputInfo::new(&program));
                self.stream.input_measured(self.measured);
                self.stream.announce(announced(&program));
            }
            mpegts::Event::Unit(unit) => self.unit(unit, arrived),
        }
    }

    fn unit(&mut self, unit: AccessUnit, arrived: Instant) {
        self.stream.media_seen();
        if let Some(Loss { packets, units }) = unit.loss {
            let (pid, at) = (unit.pid, seconds(unit.pts));
            self.stream.error(format_args!(
                "input: PID {pid} at {at:.3} s: {packets} packets and {units} units lost"
            ));
        }
        match unit.codec {
            Codec::H264 => self.picture(unit, VideoCodec::H264, arrived),
            Codec::H265 => self.picture(unit, VideoCodec::H265, arrived),
            Codec::Aac => self.sound(unit, AudioFormat::Aac, arrived),
            Codec::Opus => self.sound(unit, AudioFormat::Opus, arrived),
        }
    }

    /// Where a unit lies on the stream's one continuous clock.
    fn timestamp(&mut self, track: TrackKind, unit: &AccessUnit, arrived: Instant) -> i64 {
        let arrived = arrived.saturating_duration_since(self.started);
        self.timeline.map_arrived(track, unit.pts, unit.dts, arrived).pts
    }

    fn measured(&mut self, measured: Measured) {
        if self.measured != measured {
            self.measured = measured;
            self.stream.input_measured(measured);
        }
    }

    fn picture(&mut self, unit: AccessUnit, codec: VideoCodec, arrived: Instant) {
        if unit.keyframe
            && let Some(size) = video::picture_size(codec, &unit.data)
        {
            self.measured(Measured { size: Some(size), ..self.measured });
        }
        self.stream.recorder.picture_in(arrived);
        let timestamp = self.timestamp(TrackKind::Video, &unit, arrived);
        let dropped = self.units.push(CodedPicture {
            codec,
            data: unit.data,
            timestamp,
            keyframe: unit.keyframe,
            damaged: unit.damaged || unit.loss.is_some(),
            arrived,
        });
        if dropped > 0 {
            tracing::debug!(stream = %self.stream.id, dropped, "decoding is behind: skipping to a keyframe");
        }
    }

    fn sound(&mut self, unit: AccessUnit, format: AudioFormat, arrived: Instant) {
        let Some((_, sample_rate)) = audio::packet_duration(format, &unit.data) else {
            return self.stream.error(format_args!("input: PID {}: not a packet of sound", unit.pid));
        };
        let channels = audio::channels(format, &unit.data).and_then(|channels| u32::try_from(channels).ok());
        self.measured(Measured { sample_rate: Some(sample_rate), channels, ..self.measured });
        let timestamp = self.timestamp(TrackKind::Audio, &unit, arrived);
        let decoder = match &self.audio {
            Some((open, decoder)) if *open == format => Arc::clone(decoder),
            _ => {
                let decoder: Arc<dyn DecodeAudio> =
                    Arc::new(LazyDecoder::new(format, Arc::clone(self.stream)));
                self.audio = Some((format, Arc::clone(&decoder)));
                decoder
            }
        };
        let frame = AudioFrame::from_packet(unit.data, timestamp, sample_rate, decoder);
        let dropped = self.sound.push_sound(frame);
        if dropped > 0 {
            self.stream.error(format_args!("{dropped} packets of sound dropped: processing is behind"));
        }
    }
}

fn announced(program: &Program) -> Announced {
    let audio = program.audio();
    Announced {
        video: program.video().is_some(),
        audio: audio.map(|track| match track.codec {
            Codec::Aac => AudioFormat::Aac,
            _ => AudioFormat::Opus,
        }),
        opus_channels: audio.and_then(|track| track.opus_channels),
    }
}
