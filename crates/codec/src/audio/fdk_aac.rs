//! AAC-LC encoding with the Fraunhofer FDK library.
//!
//! The library is C++, and its licence is not approved by the Open Source Initiative, so it is behind a
//! feature.

use std::fmt;

use bytes::Bytes;
use cutrickle_media::{AccessUnit, AudioCodec, Timestamp};
use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderParams, Transport};

use super::framing::{Framer, Shape};
use super::{AudioEncoder, Samples};
use crate::{Error, Result};

/// The backend's name, as shown in the status.
pub(crate) const BACKEND: &str = "fdk-aac";

/// The sample rate of the packets.
pub(crate) const SAMPLE_RATE: u32 = 48_000;

const BITRATE_MONO: u32 = 64_000;
const BITRATE_STEREO: u32 = 128_000;

/// 6144 bits per channel (ISO/IEC 13818-7:2006, 3.2.2), plus the header.
const LARGEST_FRAME: usize = 2 * 768 + 9;

/// Encodes audio of any rate and up to eight channels to ADTS frames of AAC-LC at 48 kHz, mono at 64 kbit/s
/// or stereo at 128 kbit/s.
pub(crate) struct AacLcEncoder {
    framer: Framer,
    state: State,
}

struct State {
    encoder: Encoder,
    /// One frame in the library's format: interleaved, 16 bits.
    input: Vec<i16>,
    output: Vec<u8>,
}

impl AacLcEncoder {
    /// Creates an encoder with one or two output channels.
    ///
    /// # Errors
    /// Fails for any other number of channels, or if the library fails.
    pub(crate) fn new(channels: usize) -> Result<Self> {
        let (mode, bitrate) = match channels {
            1 => (ChannelMode::Mono, BITRATE_MONO),
            2 => (ChannelMode::Stereo, BITRATE_STEREO),
            n => return Err(Error::unsupported(format!("AAC encoder for {n} channels"))),
        };
        let failed = |e| failure(format_args!("AAC encoder for {channels} channels"), e);
        let encoder = Encoder::new(EncoderParams {
            bit_rate: BitRate::Cbr(bitrate),
            sample_rate: SAMPLE_RATE,
            transport: Transport::Adts,
            channels: mode,
            audio_object_type: AudioObjectType::Mpeg4LowComplexity,
        })
        .map_err(failed)?;
        let info = encoder.info().map_err(failed)?;
        let shape = Shape {
            sample_rate: SAMPLE_RATE,
            channels,
            frame: info.frameLength as usize,
            lookahead: info.nDelay as usize,
        };
        let state = State { encoder, input: Vec::new(), output: vec![0; LARGEST_FRAME] };
        Ok(Self { framer: Framer::new(shape), state })
    }
}

impl AudioEncoder for AacLcEncoder {
    fn encode(
        &mut self,
        samples: &Samples,
        timestamp: Timestamp,
        out: &mut dyn FnMut(AccessUnit),
    ) -> Result<()> {
        let Self { framer, state } = self;
        framer.push(samples, timestamp, &mut |frame, timestamp| {
            out(AccessUnit::new(AudioCodec::Aac, timestamp, true, state.encode(frame)?));
            Ok(())
        })
    }

    fn flush(&mut self, out: &mut dyn FnMut(AccessUnit)) -> Result<()> {
        let Self { framer, state } = self;
        framer.finish(&mut |frame, timestamp| {
            out(AccessUnit::new(AudioCodec::Aac, timestamp, true, state.encode(frame)?));
            Ok(())
        })
    }

    fn codec(&self) -> AudioCodec {
        AudioCodec::Aac
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}

impl State {
    /// Encodes one frame; the library returns one packet for each.
    fn encode(&mut self, frame: &[f32]) -> Result<Bytes> {
        self.input.clear();
        self.input.extend(frame.iter().map(|sample| (sample * 32_767.0).round() as i16));
        let done =
            self.encoder.encode(&self.input, &mut self.output).map_err(|e| failure("AAC encoder", e))?;
        if done.input_consumed != frame.len() || done.output_size == 0 {
            return Err(Error::failed(format!(
                "AAC encoder took {} of {} samples and gave {} bytes",
                done.input_consumed,
                frame.len(),
                done.output_size
            )));
        }
        Ok(Bytes::copy_from_slice(self.output.get(..done.output_size).unwrap_or_default()))
    }
}

/// Converts the library's error, which does not implement `std::error::Error`.
fn failure(what: impl fmt::Display, error: fdk_aac::enc::EncoderError) -> Error {
    Error::failed(format!("{what}: {error}"))
}
