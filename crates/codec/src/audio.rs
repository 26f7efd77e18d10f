//! What every audio decoder and encoder does.

use bytes::Bytes;

use crate::Result;

#[cfg(feature = "fdk-aac")]
pub mod fdk_aac;
pub mod opus;
pub mod resample;
pub mod symphonia_aac;

/// An audio codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioFormat {
    /// AAC-LC in ADTS frames (ISO/IEC 13818-7).
    Aac,
    /// Opus packets (RFC 6716).
    Opus,
}

/// Decoded sound: one row a channel, all of equal length, -1.0 to 1.0.
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
    /// Presentation time of its first sample in 90 kHz ticks, the encoder's delay taken off.
    pub timestamp: i64,
}

/// Turns samples of any rate and channel count into packets.
pub trait AudioEncoder: Send {
    /// Takes samples that begin at `timestamp` (90 kHz ticks) and hands every packet that became full to `out`. A
    /// stretch that does not follow the last one (more than 20 ms off) starts a new run of timestamps there;
    /// smaller differences are the rounding of the source's clock and are ignored.
    ///
    /// # Errors
    /// The encoder's, or the resampler's.
    fn encode(
        &mut self,
        samples: &Samples,
        timestamp: i64,
        out: &mut dyn FnMut(EncodedAudio),
    ) -> Result<()>;

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
