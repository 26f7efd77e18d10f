//! The source of a stream's media, and the handling of each access unit on arrival.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use cutrickle_codec::{audio, video};
use cutrickle_frame::{AudioFrame, DecodeAudio, Origin};
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Loss, Tracks, VideoCodec};

use crate::audio_path::LazyDecoder;
use crate::input::Measured;
use crate::queue::{CodedQueue, FrameQueue};
use crate::stream::Stream;
use crate::{InputInfo, Result};

/// A source of media for a stream: a subscription, a file, a camera.
///
/// **Clock.** The timestamps of video and audio are on one clock, the decoding times of each track increase,
/// and neither jumps. A source whose input does otherwise must map it first, for example with
/// `cutrickle_mpegts::Timeline`. The clock need not begin at zero.
///
/// **End.** When `run` returns, the input has ended, and what is in flight is finished. An error ends the
/// stream, with its input as the cause. If the stream is stopped from elsewhere, the future is dropped.
pub trait Source: Send + 'static {
    /// Passes all input to `input` until there is no more.
    fn run(self, input: Input) -> impl Future<Output = Result<()>> + Send;
}

/// A [`Source`]'s handle to its stream.
pub struct Input {
    stream: Arc<Stream>,
    units: Arc<CodedQueue>,
    /// The queue for audio: to the processor among the frames, or straight to the output.
    audio: Arc<FrameQueue>,
    /// The decoder attached to the packets of the current track.
    decoder: Option<(AudioCodec, Arc<dyn DecodeAudio>)>,
    /// What the units have revealed about the tracks.
    measured: Measured,
}

impl Input {
    pub(crate) fn new(stream: Arc<Stream>, units: Arc<CodedQueue>, audio: Arc<FrameQueue>) -> Self {
        Self { stream, units, audio, decoder: None, measured: Measured::default() }
    }

    /// The stream's name.
    pub fn stream_id(&self) -> &str {
        &self.stream.id
    }

    /// Reports that this many bytes have arrived, whatever they contain, and that the input is alive.
    pub fn received(&self, bytes: usize) {
        self.stream.input_seen();
        self.stream.first_input();
        self.stream.recorder.counts.input_bytes.add(bytes as u64);
    }

    /// Announces the tracks of the following units, and everything that the input lists, for display. Called
    /// at first and whenever they change.
    pub fn tracks(&self, tracks: Tracks, info: InputInfo) {
        self.stream.set_input(info);
        self.stream.input_measured(self.measured);
        self.stream.announce(tracks);
    }

    /// Passes on the next access unit. Waits only in a lossless stream
    /// ([`Queueing::Lossless`](crate::Queueing::Lossless)); in all others, units that arrive too fast are
    /// dropped according to [`StreamOptions::queueing`](crate::StreamOptions::queueing).
    pub async fn unit(&mut self, unit: AccessUnit) {
        let origin = Origin::now();
        self.stream.media_seen();
        if let Some(Loss { packets, units }) = unit.loss {
            let (track, at) = (unit.track, unit.pts);
            self.stream.error(format_args!(
                "input: track {track} at {at}: {packets} packets and {units} units lost"
            ));
        }
        match unit.codec {
            Codec::Video(codec) => self.video(unit, codec, origin).await,
            Codec::Audio(codec) => self.audio(unit, codec).await,
        }
    }

    /// Counts and logs an error that does not end the stream.
    pub fn error(&self, what: impl Display) {
        self.stream.error(format_args!("input: {what}"));
    }

    async fn video(&mut self, unit: AccessUnit, codec: VideoCodec, origin: Origin) {
        if unit.keyframe
            && let Some(size) = video::picture_size(codec, &unit.data)
        {
            self.measured(Measured { size: Some(size), ..self.measured });
        }
        self.stream.recorder.frame_in(origin.arrived());
        let dropped = self.units.push(unit, origin).await;
        if dropped > 0 {
            tracing::debug!(stream = %self.stream.id, dropped, "decoding is behind: skipping to a keyframe");
        }
    }

    async fn audio(&mut self, unit: AccessUnit, codec: AudioCodec) {
        let Some((_, sample_rate)) = audio::packet_duration(codec, &unit.data) else {
            return self.error(format_args!("track {}: not a packet of {}", unit.track, codec.title()));
        };
        let channels = audio::channels(codec, &unit.data).and_then(|channels| u32::try_from(channels).ok());
        self.measured(Measured { sample_rate: Some(sample_rate), channels, ..self.measured });
        let decoder = match &self.decoder {
            Some((open, decoder)) if *open == codec => Arc::clone(decoder),
            _ => {
                let decoder: Arc<dyn DecodeAudio> =
                    Arc::new(LazyDecoder::new(codec, Arc::clone(&self.stream)));
                self.decoder = Some((codec, Arc::clone(&decoder)));
                decoder
            }
        };
        let frame = AudioFrame::from_packet(unit.data, unit.pts, sample_rate, decoder);
        let dropped = self.audio.push_audio(frame).await;
        if dropped > 0 {
            self.error(format_args!("{dropped} packets of audio dropped: processing is behind"));
        }
    }

    fn measured(&mut self, measured: Measured) {
        if self.measured != measured {
            self.measured = measured;
            self.stream.input_measured(measured);
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("stream", &self.stream.id).finish_non_exhaustive()
    }
}
