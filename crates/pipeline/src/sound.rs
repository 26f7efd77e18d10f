//! The sound of a stream on its way out: packets as they came, or encoded anew.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cutrickle_codec::{AudioDecoder, AudioEncoder, AudioFormat, EncodedAudio, Samples, audio};
use cutrickle_frame::{AudioFrame, DecodeAudio, Error as FrameError};

use crate::AudioOutput;
use crate::stream::Stream;

/// Decodes one track's packets when somebody asks for their samples. Opened on first use: sound that nobody
/// touches costs no decoder.
pub(crate) struct LazyDecoder {
    format: AudioFormat,
    stream: Arc<Stream>,
    // One user at a time: the processing thread, or the encoding thread after it. Never contended.
    decoder: Mutex<Option<Box<dyn AudioDecoder>>>,
}

impl LazyDecoder {
    pub(crate) fn new(format: AudioFormat, stream: Arc<Stream>) -> Self {
        Self { format, stream, decoder: Mutex::new(None) }
    }
}

impl DecodeAudio for LazyDecoder {
    fn decode(&self, packet: &Bytes) -> Result<Vec<Vec<f32>>, FrameError> {
        let mut slot = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |e| FrameError::caused_by("decoding sound", e);
        let decoder = match &mut *slot {
            Some(decoder) => decoder,
            empty => {
                let decoder = audio::decoder(self.format).map_err(failed)?;
                let name = decoder.backend().to_owned();
                self.stream.set_backend(|backends| backends.audio_decode = Some(name));
                empty.insert(decoder)
            }
        };
        decoder.decode(packet).map(|samples| samples.channels).map_err(failed)
    }
}

/// One packet of sound, ready for the muxer.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) data: Bytes,
    pub(crate) timestamp: i64,
}

/// Decides what becomes of sound, and does it.
pub(crate) struct SoundPath {
    wanted: AudioOutput,
    way: Way,
}

enum Way {
    /// No sound has come yet: it will leave as it came, unless the output asks for something else.
    Open,
    Copy(AudioFormat),
    Encode(Box<dyn AudioEncoder>, u8),
}

impl SoundPath {
    pub(crate) fn new(wanted: AudioOutput) -> Self {
        Self { wanted, way: Way::Open }
    }

    /// How many channels the packets have that are encoded here; none while they are sent on as they came.
    pub(crate) fn channels(&self) -> Option<u8> {
        match &self.way {
            Way::Encode(_, channels) => Some(*channels),
            Way::Open | Way::Copy(_) => None,
        }
    }

    /// Whether sound has shown which way it takes.
    pub(crate) fn is_decided(&self) -> bool {
        !matches!(self.way, Way::Open)
    }

    /// The codec that sound leaves in, given the one it comes in.
    pub(crate) fn format(&self, source: Option<AudioFormat>) -> Option<AudioFormat> {
        match (&self.way, self.wanted) {
            (Way::Copy(format), _) => Some(*format),
            (Way::Encode(encoder, _), _) => Some(encoder.format()),
            (Way::Open, AudioOutput::Opus) => source.map(|_| AudioFormat::Opus),
            (Way::Open, AudioOutput::Source) => source,
        }
    }

    /// The packets that `frame` makes. `source` is the codec that the input announced.
    pub(crate) fn packets(
        &mut self,
        frame: &AudioFrame,
        source: Option<AudioFormat>,
        stream: &Stream,
    ) -> Result<Vec<Packet>, crate::BoxError> {
        if let (Some(packet), Some(source), false) =
            (frame.packet(), source, matches!(self.way, Way::Encode(..)))
            && (self.wanted == AudioOutput::Source || source == AudioFormat::Opus)
        {
            self.way = Way::Copy(source);
            return Ok(vec![Packet { data: packet.clone(), timestamp: frame.timestamp() }]);
        }
        let samples =
            Samples { sample_rate: frame.sample_rate(), channels: frame.tensor()?.to_vec2::<f32>()? };
        if !matches!(self.way, Way::Encode(..)) {
            // More than two are mixed down.
            let channels = if samples.channels.len() == 1 { 1 } else { 2 };
            let encoder = self.open(source, usize::from(channels))?;
            let name = encoder.backend().to_owned();
            stream.set_backend(|backends| backends.audio_encode = Some(name));
            self.way = Way::Encode(encoder, channels);
        }
        let mut packets = Vec::new();
        if let Way::Encode(encoder, _) = &mut self.way {
            encoder.encode(&samples, frame.timestamp(), &mut |packet| packets.push(packet.into()))?;
        }
        Ok(packets)
    }

    /// An encoder for the codec that the output asks for: Opus where the input's own cannot be encoded here.
    fn open(
        &self,
        source: Option<AudioFormat>,
        channels: usize,
    ) -> cutrickle_codec::Result<Box<dyn AudioEncoder>> {
        match (self.wanted, source) {
            (AudioOutput::Source, Some(AudioFormat::Aac)) => {
                match audio::encoder(AudioFormat::Aac, channels) {
                    Err(e) if e.is_unsupported() => audio::encoder(AudioFormat::Opus, channels),
                    opened => opened,
                }
            }
            _ => audio::encoder(AudioFormat::Opus, channels),
        }
    }

    /// What the encoder still holds, at the end of the stream.
    pub(crate) fn flush(&mut self) -> cutrickle_codec::Result<Vec<Packet>> {
        let mut packets = Vec::new();
        if let Way::Encode(encoder, _) = &mut self.way {
            encoder.flush(&mut |packet| packets.push(packet.into()))?;
        }
        Ok(packets)
    }
}

impl From<EncodedAudio> for Packet {
    fn from(packet: EncodedAudio) -> Self {
        Self { data: packet.data, timestamp: packet.timestamp }
    }
}
