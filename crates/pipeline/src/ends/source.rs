//! Where the media of a stream come from, and what is done with each access unit on its arrival.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use cutrickle_codec::{audio, video};
use cutrickle_frame::{AudioFrame, DecodeAudio, Origin};
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Loss, Tracks, VideoCodec};

use crate::input::Measured;
use crate::queue::{CodedQueue, FrameQueue};
use crate::audio_path::LazyDecoder;
use crate::stream::Stream;
use crate::{InputInfo, Result};

/// Where the media of a stream come from: a subscription, a file, a camera.
///
/// **Clock.** The timestamps of video and audio lie on one clock, decoding times of a track increase, and neither jumps: a
/// source whose input does otherwise maps it first (`cutrickle_mpegts::Timeline` does). It need not begin at zero.
///
/// **End.** When `run` returns the input has ended, and what is in flight is finished. An error ends the stream because of
/// its input. Where the stream is stopped from elsewhere, the future is dropped.
pub trait Source: Send + 'static {
    /// Hands everything that comes to `input`, until there is no more.
    fn run(self, input: Input) -> impl Future<Output = Result<()>> + Send;
}

/// The way into a stream, for its [`Source`].
pub struct Input {
    stream: Arc<Stream>,
    units: Arc<CodedQueue>,
    /// Where audio goes: to the processor among the frames, or straight to the output.
    audio: Arc<FrameQueue>,
    /// The decoder that the packets of the current track carry with them.
    decoder: Option<(AudioCodec, Arc<dyn DecodeAudio>)>,
    /// What the units have told of the tracks.
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

    /// So many bytes have come, whatever they are: the input is alive.
    pub fn received(&self, bytes: usize) {
        self.stream.input_seen();
        self.stream.first_input();
        self.stream.recorder.counts.input_bytes.add(bytes as u64);
    }

    /// Which tracks the units will be of, and everything that the input names, for people. Said at first, and again when
    /// it changes.
    pub fn tracks(&self, tracks: Tracks, info: InputInfo) {
        self.stream.set_input(info);
        self.stream.input_measured(self.measured);
        self.stream.announce(tracks);
    }

    /// Hands over the next access unit. Waits only in a stream that loses nothing
    /// ([`Queueing::Lossless`](crate::Queueing::Lossless)); in all others, units that come too fast are dropped as
    /// [`StreamOptions::queueing`](crate::StreamOptions::queueing) says.
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

    /// Counts and logs an error that the stream survives.
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
