//! What every audio decoder and encoder does.
//!
//! A packet's duration and channels can be had without decoding it: [`packet_duration`] and [`channels`].

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

/// Decoded audio: one row a channel, all of equal length. Full scale is -1.0 to 1.0; what a decoder puts out may
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

/// Turns samples of any rate and channel count into packets.
pub trait AudioEncoder: Send {
    /// Takes samples that begin at `timestamp` and hands every packet that became full to `out`. A packet's time is that
    /// of the first sample that a decoder makes of it. A decoder starts with samples that only warm up the codec, so the
    /// first packet lies before the first sample encoded (Opus: 585 ticks), and may be negative. A stretch that does not follow the last one (more than 20 ms off) starts a new run of timestamps there;
    /// smaller differences are the rounding of the source's clock and are ignored. Before a gap the last packet is
    /// filled up with silence and handed out; before a step back it is dropped.
    ///
    /// # Errors
    /// The encoder's; samples with more than eight channels, channels of unequal length, or a rate outside 1,000
    /// to 384,000 Hz.
    fn encode(&mut self, samples: &Samples, timestamp: Timestamp, out: &mut dyn FnMut(AccessUnit)) -> Result<()>;

    /// Pads the last packet with silence and hands it out: the end of the stream.
    ///
    /// # Errors
    /// As `encode`.
    fn flush(&mut self, out: &mut dyn FnMut(AccessUnit)) -> Result<()>;

    /// The packets' codec.
    fn codec(&self) -> AudioCodec;

    /// The backend's name, as in the status.
    fn backend(&self) -> &'static str;
}

/// How long a packet lasts, by its header: samples per channel, and the sample rate that they count in. Nothing
/// where the header is none. HE-AAC counts as the LC core that is decoded: the quotient is right all the same.
pub fn packet_duration(codec: AudioCodec, packet: &[u8]) -> Option<(u32, u32)> {
    match codec {
        AudioCodec::Aac => {
            let header = adts::Header::parse(packet).ok()?;
            Some((header.blocks * adts::BLOCK, header.sample_rate))
        }
        AudioCodec::Opus => Some((toc::duration(packet)?, opus::SAMPLE_RATE)),
    }
}

/// How many channels a packet has, by its header. Nothing where the header is none or does not say.
pub fn channels(codec: AudioCodec, packet: &[u8]) -> Option<usize> {
    match codec {
        AudioCodec::Aac => adts::Header::parse(packet).ok()?.channels(),
        AudioCodec::Opus => toc::channels(packet),
    }
}
