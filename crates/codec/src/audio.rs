//! The interface of all audio decoders and encoders.
//!
//! [`packet_duration`] and [`channels`] read a packet's duration and channels without decoding it.

use cutrickle_media::{AccessUnit, AudioCodec, Timestamp};

use crate::Result;

mod adts;
#[cfg(feature = "fdk-aac")]
pub(crate) mod fdk_aac;
mod framing;
mod mix;
pub(crate) mod opus;
mod resample;
pub(crate) mod symphonia_aac;
mod toc;

pub use resample::Resampler;

/// Decoded audio: one row per channel, all of equal length. Full scale is -1.0 to 1.0, and decoders may
/// overshoot it a little. More than two channels are in WAVE order, as far as they exist: left, right,
/// centre, low frequencies, back left, back right, side left, side right.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// One row per channel.
    pub channels: Vec<Vec<f32>>,
}

/// Turns packets of one track into samples.
pub trait AudioDecoder: Send {
    /// Decodes one packet (AAC: one ADTS frame with its header).
    ///
    /// # Errors
    /// Fails if the packet is invalid; the decoder can continue with the next one.
    fn decode(&mut self, packet: &[u8]) -> Result<Samples>;

    /// The backend's name, as shown in the status.
    fn backend(&self) -> &'static str;
}

/// Turns samples of any rate and channel count into packets.
pub trait AudioEncoder: Send {
    /// Takes samples that begin at `timestamp` and passes every packet that became full to `out`.
    ///
    /// A packet's timestamp is that of the first sample that a decoder produces from it. The first samples
    /// out of a decoder only warm up the codec, so the first packet lies before the first sample encoded
    /// (Opus: by 585 ticks), and its timestamp may be negative.
    ///
    /// Samples more than 20 ms away from where the previous ones ended start a new run of timestamps; smaller
    /// differences are rounding in the source's clock and are ignored. Before a gap, the last packet is
    /// padded with silence and emitted; before a step back, it is dropped.
    ///
    /// # Errors
    /// Fails if the encoder fails, if there are more than eight channels or channels of unequal length, or if
    /// the rate is outside 1,000 to 384,000 Hz.
    fn encode(
        &mut self,
        samples: &Samples,
        timestamp: Timestamp,
        out: &mut dyn FnMut(AccessUnit),
    ) -> Result<()>;

    /// Pads the last packet with silence and emits it, at the end of the stream.
    ///
    /// # Errors
    /// Fails as `encode` does.
    fn flush(&mut self, out: &mut dyn FnMut(AccessUnit)) -> Result<()>;

    /// The codec of the packets.
    fn codec(&self) -> AudioCodec;

    /// The backend's name, as shown in the status.
    fn backend(&self) -> &'static str;
}

/// Reads a packet's duration from its header: samples per channel, and the sample rate they are counted in.
/// Returns `None` if the header is invalid. HE-AAC is counted as the LC core that is decoded, which gives the
/// same duration.
pub fn packet_duration(codec: AudioCodec, packet: &[u8]) -> Option<(u32, u32)> {
    match codec {
        AudioCodec::Aac => {
            let header = adts::Header::parse(packet).ok()?;
            Some((header.blocks * adts::BLOCK, header.sample_rate))
        }
        AudioCodec::Opus => Some((toc::duration(packet)?, opus::SAMPLE_RATE)),
    }
}

/// Reads the number of channels from a packet's header. Returns `None` if the header is invalid or does not
/// give it.
pub fn channels(codec: AudioCodec, packet: &[u8]) -> Option<usize> {
    match codec {
        AudioCodec::Aac => adts::Header::parse(packet).ok()?.channels(),
        AudioCodec::Opus => toc::channels(packet),
    }
}
