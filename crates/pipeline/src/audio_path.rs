//! The audio of a stream on its way to the output: packets passed through, or re-encoded.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cutrickle_codec::{AudioDecoder, AudioEncoder, Samples};
use cutrickle_frame::{AudioFrame, DecodeAudio, Error as FrameError};
use cutrickle_media::{AccessUnit, AudioCodec};

use crate::AudioOutput;
use crate::stream::Stream;

/// Decodes the packets of one track when their samples are requested. The decoder is opened on first use, so
/// audio that is passed through costs no decoder.
pub(crate) struct LazyDecoder {
    codec: AudioCodec,
    stream: Arc<Stream>,
    // Used by one thread at a time: the processing thread, then the encoding thread. Never contended.
    decoder: Mutex<Option<Box<dyn AudioDecoder>>>,
}

impl LazyDecoder {
    pub(crate) fn new(codec: AudioCodec, stream: Arc<Stream>) -> Self {
        Self { codec, stream, decoder: Mutex::new(None) }
    }
}

impl DecodeAudio for LazyDecoder {
    fn decode(&self, packet: &Bytes) -> Result<Vec<Vec<f32>>, FrameError> {
        let mut slot = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |e| FrameError::new("decoding audio").because(e);
        let decoder = match &mut *slot {
            Some(decoder) => decoder,
            empty => {
                let decoder = self.stream.options.backends.open_audio_decoder(self.codec).map_err(failed)?;
                let name = decoder.backend().to_owned();
                self.stream.set_backend(|backends| backends.audio_decode = Some(name));
                empty.insert(decoder)
            }
        };
        decoder.decode(packet).map(|samples| samples.channels).map_err(failed)
    }
}

/// Decides whether audio is passed through or encoded, and does it.
pub(crate) struct AudioPath {
    wanted: AudioOutput,
    way: Way,
}

enum Way {
    /// No audio has arrived yet. It will be passed through unless the output requires otherwise.
    Open,
    Copy(AudioCodec),
    Encode(Box<dyn AudioEncoder>, u8),
}

impl AudioPath {
    pub(crate) fn new(wanted: AudioOutput) -> Self {
        Self { wanted, way: Way::Open }
    }

    /// The number of channels of the packets encoded here; `None` while audio is passed through.
    pub(crate) fn channels(&self) -> Option<u8> {
        match &self.way {
            Way::Encode(_, channels) => Some(*channels),
            Way::Open | Way::Copy(_) => None,
        }
    }

    /// Whether it is decided to pass audio through or to encode it.
    pub(crate) fn is_decided(&self) -> bool {
        !matches!(self.way, Way::Open)
    }

    /// The codec of the output audio, given that of the input.
    pub(crate) fn codec(&self, source: Option<AudioCodec>) -> Option<AudioCodec> {
        match (&self.way, self.wanted) {
            (Way::Copy(codec), _) => Some(*codec),
            (Way::Encode(encoder, _), _) => Some(encoder.codec()),
            (Way::Open, AudioOutput::Opus) => source.map(|_| AudioCodec::Opus),
            (Way::Open, AudioOutput::Source) => source,
        }
    }

    /// Returns the packets for `frame`. `source` is the codec that the input announced.
    pub(crate) fn packets(
        &mut self,
        frame: &AudioFrame,
        source: Option<AudioCodec>,
        stream: &Stream,
    ) -> crate::Result<Vec<AccessUnit>> {
        if let (Some(packet), Some(source), false) =
            (frame.packet(), source, matches!(self.way, Way::Encode(..)))
            && (self.wanted == AudioOutput::Source || source == AudioCodec::Opus)
        {
            self.way = Way::Copy(source);
            return Ok(vec![AccessUnit::new(source, frame.timestamp(), true, packet.clone())]);
        }
        let samples =
            Samples { sample_rate: frame.sample_rate(), channels: frame.tensor()?.to_vec2::<f32>()? };
        if !matches!(self.way, Way::Encode(..)) {
            // More than two channels are mixed down.
            let channels = if samples.channels.len() == 1 { 1 } else { 2 };
            let encoder = self.open(source, usize::from(channels), stream)?;
            let name = encoder.backend().to_owned();
            stream.set_backend(|backends| backends.audio_encode = Some(name));
            self.way = Way::Encode(encoder, channels);
        }
        let mut packets = Vec::new();
        if let Way::Encode(encoder, _) = &mut self.way {
            encoder.encode(&samples, frame.timestamp(), &mut |packet| packets.push(packet))?;
        }
        Ok(packets)
    }

    /// Opens an encoder for the codec that the output requires, or for Opus if the input's own codec cannot
    /// be encoded here.
    fn open(
        &self,
        source: Option<AudioCodec>,
        channels: usize,
        stream: &Stream,
    ) -> cutrickle_codec::Result<Box<dyn AudioEncoder>> {
        let backends = &stream.options.backends;
        match (self.wanted, source) {
            (AudioOutput::Source, Some(AudioCodec::Aac)) => {
                match backends.open_audio_encoder(AudioCodec::Aac, channels) {
                    Err(e) if e.is_unsupported() => backends.open_audio_encoder(AudioCodec::Opus, channels),
                    opened => opened,
                }
            }
            _ => backends.open_audio_encoder(AudioCodec::Opus, channels),
        }
    }

    /// Returns what the encoder still holds, at the end of the stream.
    pub(crate) fn flush(&mut self) -> cutrickle_codec::Result<Vec<AccessUnit>> {
        let mut packets = Vec::new();
        if let Way::Encode(encoder, _) = &mut self.way {
            encoder.flush(&mut |packet| packets.push(packet))?;
        }
        Ok(packets)
    }
}
