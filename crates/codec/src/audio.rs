//! What every audio decoder and encoder does, and which backend serves which codec.
//!
//! A packet's duration and channels can be had without decoding it: [`packet_duration`] and [`channels`].

use bytes::Bytes;

#[cfg(not(feature = "fdk-aac"))]
use crate::Error;
use crate::Result;

mod adts;
#[cfg(feature = "fdk-aac")]
pub mod fdk_aac;
mod framing;
mod mix;
pub mod opus;
pub mod resample;
pub mod symphonia_aac;
mod toc;

/// An audio codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioFormat {
    /// AAC-LC in ADTS frames (ISO/IEC 13818-7).
    Aac,
    /// Opus packets (RFC 6716).
    Opus,
}

/// Decoded sound: one row a channel, all of equal length. Full scale is -1.0 to 1.0; what a decoder puts out may
/// overshoot it a little. More than two channels are in the order of WAVE: left, right, centre, low frequencies,
/// back left, back right, side left, side right, as far as they exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// A row a channel.
    pub channels: Vec<Vec<f32>>,
}

/// Turns packets of one track into samples.
pub trait AudioDecoder: Send {
    /// Decodes one packet (AAC: one ADTS frame with its header).
    ///
    /// # Errors
    /// The packet is not one; the decoder can go on with the next.
    fn decode(&mut self, packet: &[u8]) -> Result<Samples>;

    /// The backend's name, as in the status.
    fn backend(&self) -> &'static str;
}

/// One encoded packet.
#[derive(Debug, Clone)]
pub struct EncodedAudio {
    /// AAC: one ADTS frame with its header. Opus: one packet.
    pub data: Bytes,
    /// Presentation time of the first sample that a decoder makes of it, in 90 kHz ticks. A decoder starts with
    /// samples that only warm up the codec, so the first packet lies before the first sample encoded (Opus: 585
    /// ticks), and may be negative.
    pub timestamp: i64,
}

/// Turns samples of any rate and channel count into packets.
pub trait AudioEncoder: Send {
    /// Takes samples that begin at `timestamp` (90 kHz ticks) and hands every packet that became full to `out`. A
    /// stretch that does not follow the last one (more than 20 ms off) starts a new run of timestamps there;
    /// smaller differences are the rounding of the source's clock and are ignored. Before a gap the last packet is
    /// filled up with silence and handed out; before a step back it is dropped.
    ///
    /// # Errors
    /// The encoder's; samples with more than eight channels, channels of unequal length, or a rate outside 1,000
    /// to 384,000 Hz.
    fn encode(&mut self, samples: &Samples, timestamp: i64, out: &mut dyn FnMut(EncodedAudio)) -> Result<()>;

    /// Pads the last packet with silence and hands it out: the end of the stream.
    ///
    /// # Errors
    /// As `encode`.
    fn flush(&mut self, out: &mut dyn FnMut(EncodedAudio)) -> Result<()>;

    /// The packets' codec.
    fn format(&self) -> AudioFormat;

    /// The backend's name, as in the status.
    fn backend(&self) -> &'static str;
}

/// A decoder for one track of `format`. It follows changes of rate and channels by itself.
///
/// # Errors
/// Out of memory.
pub fn decoder(format: AudioFormat) -> Result<Box<dyn AudioDecoder>> {
    Ok(match format {
        AudioFormat::Aac => Box::new(symphonia_aac::AacLcDecoder::new()),
        AudioFormat::Opus => Box::new(opus::OpusDecoder::new()?),
    })
}

/// An encoder to mono where `channels` is 1, else to stereo; it takes samples of any channel count all the same.
///
/// # Errors
/// `is_unsupported` for AAC without the feature `fdk-aac`, and for no channels; else the backend's.
pub fn encoder(format: AudioFormat, channels: usize) -> Result<Box<dyn AudioEncoder>> {
    let channels = channels.min(2);
    match format {
        #[cfg(feature = "fdk-aac")]
        AudioFormat::Aac => Ok(Box::new(fdk_aac::AacLcEncoder::new(channels)?)),
        #[cfg(not(feature = "fdk-aac"))]
        AudioFormat::Aac => Err(Error::unsupported("encoding AAC needs the feature `fdk-aac`")),
        AudioFormat::Opus => Ok(Box::new(opus::OpusEncoder::new(channels)?)),
    }
}

/// The backend that [`decoder`] opens, as in the status.
pub const fn decoder_backend(format: AudioFormat) -> &'static str {
    match format {
        AudioFormat::Aac => symphonia_aac::BACKEND,
        AudioFormat::Opus => opus::BACKEND,
    }
}

/// The backend that [`encoder`] opens, as in the status; none where the feature that it needs is off.
pub const fn encoder_backend(format: AudioFormat) -> Option<&'static str> {
    match format {
        #[cfg(feature = "fdk-aac")]
        AudioFormat::Aac => Some(fdk_aac::BACKEND),
        #[cfg(not(feature = "fdk-aac"))]
        AudioFormat::Aac => None,
        AudioFormat::Opus => Some(opus::BACKEND),
    }
}

/// How long a packet lasts, by its header: samples per channel, and the sample rate that they count in. Nothing
/// where the header is none. HE-AAC counts as the LC core that is decoded: the quotient is right all the same.
pub fn packet_duration(format: AudioFormat, packet: &[u8]) -> Option<(u32, u32)> {
    match format {
        AudioFormat::Aac => {
            let header = adts::Header::parse(packet).ok()?;
            Some((header.blocks * adts::BLOCK, header.sample_rate))
        }
        AudioFormat::Opus => Some((toc::duration(packet)?, opus::SAMPLE_RATE)),
    }
}

/// How many channels a packet has, by its header. Nothing where the header is none or does not say.
pub fn channels(format: AudioFormat, packet: &[u8]) -> Option<usize> {
    match format {
        AudioFormat::Aac => adts::Header::parse(packet).ok()?.channels(),
        AudioFormat::Opus => toc::channels(packet),
    }
}
