//! Opus decoding and encoding with unsafe-libopus, libopus 1.3.1 translated to Rust, which needs neither a C
//! compiler nor a system package.
//!
//! Like the C library, its functions take raw pointers; all calls to them are in this file.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use bytes::Bytes;
use cutrickle_media::{AccessUnit, AudioCodec, Timestamp};

use super::framing::{Framer, Shape};
use super::{AudioDecoder, AudioEncoder, Samples, toc};
use crate::{Error, Result};

/// The backend's name, as shown in the status.
pub(crate) const BACKEND: &str = "libopus";

/// Opus counts samples at 48 kHz whatever the source's rate is (RFC 7845, 4).
pub(crate) const SAMPLE_RATE: u32 = 48_000;

/// Samples per channel in an encoded packet: 20 ms.
pub(crate) const PACKET: usize = 960;

/// A frame has at most 1275 bytes (RFC 6716, 3.2.1), and a packet of 20 ms is one frame after one TOC byte.
const LARGEST_PACKET: usize = 1_276;

const BITRATE_MONO: i32 = 64_000;
const BITRATE_STEREO: i32 = 96_000;

fn failure(what: impl std::fmt::Display, code: i32) -> Error {
    let reason = match code {
        unsafe_libopus::OPUS_BAD_ARG => "bad argument",
        unsafe_libopus::OPUS_BUFFER_TOO_SMALL => "buffer too small",
        unsafe_libopus::OPUS_INTERNAL_ERROR => "internal error",
        unsafe_libopus::OPUS_INVALID_PACKET => "invalid packet",
        unsafe_libopus::OPUS_UNIMPLEMENTED => "not implemented",
        unsafe_libopus::OPUS_INVALID_STATE => "invalid state",
        unsafe_libopus::OPUS_ALLOC_FAIL => "out of memory",
        _ => "unknown error",
    };
    Error::failed(format!("{what}: {reason} ({code})"))
}

/// Decodes packets of any duration to 48 kHz. It outputs mono until the first stereo packet and stereo from
/// there on, because encoders switch to mono packets within a stereo stream and the stream's shape should not
/// flicker.
pub(crate) struct OpusDecoder {
    state: DecoderState,
    interleaved: Vec<f32>,
}

impl OpusDecoder {
    /// Creates a decoder for one stream.
    ///
    /// # Errors
    /// Fails if memory runs out.
    pub(crate) fn new() -> Result<Self> {
        let state = DecoderState::new(1)?;
        Ok(Self { interleaved: Vec::new(), state })
    }
}

impl AudioDecoder for OpusDecoder {
    fn decode(&mut self, packet: &[u8]) -> Result<Samples> {
        let Some(channels) = toc::channels(packet) else {
            return Err(Error::failed("Opus packet without bytes"));
        };
        if channels > self.state.channels {
            self.state = DecoderState::new(channels)?;
        }
        let channels = self.state.channels;
        self.interleaved.resize(toc::LONGEST * channels, 0.0);
        let samples = self.state.decode(packet, &mut self.interleaved)?;
        let decoded = self.interleaved.get(..samples * channels).unwrap_or_default();
        let row = |channel| decoded.iter().skip(channel).step_by(channels).copied().collect();
        Ok(Samples { sample_rate: SAMPLE_RATE, channels: (0..channels).map(row).collect() })
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}

/// Owns a libopus decoder.
struct DecoderState {
    pointer: NonNull<unsafe_libopus::OpusDecoder>,
    channels: usize,
}

// SAFETY: the state is one allocation that only its owner can reach. libopus keeps no thread-local data and
// only reads its static tables.
unsafe impl Send for DecoderState {}

impl DecoderState {
    fn new(channels: usize) -> Result<Self> {
        let mut code = unsafe_libopus::OPUS_OK;
        // SAFETY: the function takes plain values and writes the code to a live integer.
        let pointer =
            unsafe { unsafe_libopus::opus_decoder_create(SAMPLE_RATE as i32, channels as i32, &mut code) };
        match NonNull::new(pointer) {
            Some(pointer) => Ok(Self { pointer, channels }),
            None => Err(failure(format_args!("Opus decoder for {channels} channels"), code)),
        }
    }

    /// Decodes into `out`, interleaved, and returns the samples per channel.
    fn decode(&mut self, packet: &[u8], out: &mut [f32]) -> Result<usize> {
        let length = i32::try_from(packet.len())
            .map_err(|e| Error::failed(format!("Opus packet of {} bytes", packet.len())).because(e))?;
        let room = i32::try_from(out.len() / self.channels).unwrap_or(i32::MAX);
        // SAFETY: `pointer` is a live decoder that nothing else uses. libopus reads at most `length` bytes of
        // `packet` and writes at most `room` samples per channel to `out`, which has room for that many.
        let samples = unsafe {
            unsafe_libopus::opus_decode_float(
                self.pointer.as_ptr(),
                packet.as_ptr(),
                length,
                out.as_mut_ptr(),
                room,
                0,
            )
        };
        usize::try_from(samples)
            .map_err(|_| failure(format_args!("Opus packet of {} bytes", packet.len()), samples))
    }
}

impl Drop for DecoderState {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `opus_decoder_create` and is used for the last time.
        unsafe { unsafe_libopus::opus_decoder_destroy(self.pointer.as_ptr()) }
    }
}

/// Encodes audio of any rate and up to eight channels to packets of 20 ms, mono at 64 kbit/s or stereo at 96
/// kbit/s.
pub(crate) struct OpusEncoder {
    framer: Framer,
    state: EncoderState,
    packet: Vec<u8>,
}

impl OpusEncoder {
    /// Creates an encoder with one or two output channels.
    ///
    /// # Errors
    /// Fails for any other number of channels, or if memory runs out.
    pub(crate) fn new(channels: usize) -> Result<Self> {
        let mut state = EncoderState::new(channels)?;
        let bitrate = if channels == 1 { BITRATE_MONO } else { BITRATE_STEREO };
        state.set("bit rate", unsafe_libopus::OPUS_SET_BITRATE_REQUEST, bitrate)?;
        // Otherwise silence and near-mono passages would be sent with another channel count.
        state.set("channels", unsafe_libopus::OPUS_SET_FORCE_CHANNELS_REQUEST, channels as i32)?;
        let lookahead = state.lookahead()?;
        let framer = Framer::new(Shape { sample_rate: SAMPLE_RATE, channels, frame: PACKET, lookahead });
        Ok(Self { framer, state, packet: vec![0; LARGEST_PACKET] })
    }
}

impl AudioEncoder for OpusEncoder {
    fn encode(
        &mut self,
        samples: &Samples,
        timestamp: Timestamp,
        out: &mut dyn FnMut(AccessUnit),
    ) -> Result<()> {
        let Self { framer, state, packet } = self;
        framer.push(samples, timestamp, &mut |frame, timestamp| {
            let data = state.encode(frame, packet)?;
            out(AccessUnit::new(AudioCodec::Opus, timestamp, true, data));
            Ok(())
        })
    }

    fn flush(&mut self, out: &mut dyn FnMut(AccessUnit)) -> Result<()> {
        let Self { framer, state, packet } = self;
        framer.finish(&mut |frame, timestamp| {
            let data = state.encode(frame, packet)?;
            out(AccessUnit::new(AudioCodec::Opus, timestamp, true, data));
            Ok(())
        })
    }

    fn codec(&self) -> AudioCodec {
        AudioCodec::Opus
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}

/// Owns a libopus encoder.
struct EncoderState {
    pointer: NonNull<unsafe_libopus::OpusEncoder>,
    channels: usize,
}

// SAFETY: as for `DecoderState`.
unsafe impl Send for EncoderState {}

impl EncoderState {
    fn new(channels: usize) -> Result<Self> {
        if !(1..=2).contains(&channels) {
            return Err(Error::unsupported(format!("Opus encoder for {channels} channels")));
        }
        let mut code = unsafe_libopus::OPUS_OK;
        // SAFETY: the function takes plain values and writes the code to a live integer.
        let pointer = unsafe {
            unsafe_libopus::opus_encoder_create(
                SAMPLE_RATE as i32,
                channels as i32,
                unsafe_libopus::OPUS_APPLICATION_AUDIO,
                &mut code,
            )
        };
        match NonNull::new(pointer) {
            Some(pointer) => Ok(Self { pointer, channels }),
            None => Err(failure(format_args!("Opus encoder for {channels} channels"), code)),
        }
    }

    fn set(&mut self, what: &str, request: i32, value: i32) -> Result<()> {
        // SAFETY: `pointer` is a live encoder that nothing else uses, and every `request` passed here takes
        // one i32.
        let code = unsafe { unsafe_libopus::opus_encoder_ctl!(self.pointer.as_ptr(), request, value) };
        match code {
            unsafe_libopus::OPUS_OK => Ok(()),
            code => Err(failure(format_args!("Opus encoder's {what} of {value}"), code)),
        }
    }

    /// Samples per channel that a decoder outputs before the first one of the input.
    fn lookahead(&mut self) -> Result<usize> {
        let mut samples = 0;
        // SAFETY: `pointer` is a live encoder that nothing else uses, and this request writes one i32.
        let code = unsafe {
            unsafe_libopus::opus_encoder_ctl!(
                self.pointer.as_ptr(),
                unsafe_libopus::OPUS_GET_LOOKAHEAD_REQUEST,
                &mut samples
            )
        };
        match code {
            unsafe_libopus::OPUS_OK => Ok(usize::try_from(samples).unwrap_or(0)),
            code => Err(failure("Opus encoder's lookahead", code)),
        }
    }

    /// Encodes `frame`, which must hold [`PACKET`] interleaved samples per channel.
    fn encode(&mut self, frame: &[f32], packet: &mut [u8]) -> Result<Bytes> {
        if frame.len() != PACKET * self.channels {
            return Err(Error::failed(format!("Opus frame of {} samples", frame.len())));
        }
        let room = i32::try_from(packet.len()).unwrap_or(i32::MAX);
        // SAFETY: `pointer` is a live encoder that nothing else uses. libopus reads `PACKET` samples per
        // channel from `frame`, whose length was checked above, and writes at most `room` bytes to `packet`.
        let length = unsafe {
            unsafe_libopus::opus_encode_float(
                self.pointer.as_ptr(),
                frame.as_ptr(),
                PACKET as i32,
                packet.as_mut_ptr(),
                room,
            )
        };
        let length = usize::try_from(length).map_err(|_| failure("Opus encoder", length))?;
        Ok(Bytes::copy_from_slice(packet.get(..length).unwrap_or_default()))
    }
}

impl Drop for EncoderState {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `opus_encoder_create` and is used for the last time.
        unsafe { unsafe_libopus::opus_encoder_destroy(self.pointer.as_ptr()) }
    }
}
