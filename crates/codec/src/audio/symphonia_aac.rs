//! AAC-LC decoding with symphonia, which supports only mono and stereo.
//!
//! symphonia ignores the extension payloads of HE-AAC, so such a stream is decoded as its LC core: at half
//! the sample rate, and with one channel where parametric stereo would give two. It does no error
//! concealment, and a damaged frame can leave it with a channel layout that rejects every later frame, so it
//! is reopened after an error.

use symphonia_codec_aac::AacDecoder;
use symphonia_core::audio::{Channels, Position};
use symphonia_core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia_core::codecs::audio::{
    AudioCodecParameters, AudioDecoder as SymphoniaDecoder, AudioDecoderOptions,
};
use symphonia_core::packet::PacketRef;
use symphonia_core::units::{Duration, Timestamp};

use super::adts::Header;
use super::{AudioDecoder, Samples};
use crate::{Error, Result};

/// The backend's name, as shown in the status.
pub(crate) const BACKEND: &str = "symphonia";

const LC: u8 = 1;

/// Decodes ADTS frames of AAC-LC, mono or stereo. Follows changes of rate and channels from frame to frame.
#[derive(Default)]
pub(crate) struct AacLcDecoder {
    open: Option<Open>,
}

struct Open {
    decoder: AacDecoder,
    sample_rate: u32,
    channels: usize,
}

impl AacLcDecoder {
    /// Creates a decoder that opens with the first frame.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn opened_for(&mut self, header: &Header) -> Result<&mut Open> {
        let channels = supported_channels(header)?;
        let open = match self.open.take() {
            Some(open) if open.sample_rate == header.sample_rate && open.channels == channels => open,
            _ => Open::new(header.sample_rate, channels)?,
        };
        Ok(self.open.insert(open))
    }
}

impl Open {
    fn new(sample_rate: u32, channels: usize) -> Result<Self> {
        let front = match channels {
            1 => Position::FRONT_LEFT,
            _ => Position::FRONT_LEFT | Position::FRONT_RIGHT,
        };
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(CODEC_ID_AAC)
            .with_sample_rate(sample_rate)
            .with_channels(Channels::Positioned(front));
        let decoder = AacDecoder::try_new(&params, &AudioDecoderOptions::default()).map_err(|e| {
            Error::failed(format!("AAC decoder for {sample_rate} Hz, {channels} channels")).because(e)
        })?;
        Ok(Self { decoder, sample_rate, channels })
    }
}

/// Returns one or two, or an error that names what symphonia does not support.
fn supported_channels(header: &Header) -> Result<usize> {
    if header.profile != LC {
        return Err(Error::unsupported(format!("AAC profile {}: only LC is decoded", header.profile_name())));
    }
    if header.blocks != 1 {
        return Err(Error::unsupported(format!("ADTS frame of {} raw data blocks", header.blocks)));
    }
    match header.channels() {
        Some(channels @ 1..=2) => Ok(channels),
        Some(channels) => {
            Err(Error::unsupported(format!("AAC with {channels} channels: only mono and stereo are decoded")))
        }
        None => Err(Error::unsupported("AAC whose channels are in a program config element")),
    }
}

impl AudioDecoder for AacLcDecoder {
    fn decode(&mut self, packet: &[u8]) -> Result<Samples> {
        let header = Header::parse(packet)?;
        let payload =
            packet.get(header.length..header.frame_length).filter(|_| packet.len() == header.frame_length);
        let Some(payload) = payload else {
            return Err(Error::failed(format!(
                "ADTS frame of {} bytes in a packet of {}",
                header.frame_length,
                packet.len()
            )));
        };
        let open = self.opened_for(&header)?;
        // symphonia uses the packet's times only for trimming, and nothing is trimmed here.
        let packet = PacketRef::new(0, Timestamp::ZERO, Duration::ZERO, payload);
        let mut channels = Vec::with_capacity(open.channels);
        match open.decoder.decode_ref(&packet) {
            Ok(decoded) => decoded.copy_to_vecs_planar(&mut channels),
            Err(e) => {
                self.open = None;
                return Err(Error::failed(format!("AAC frame of {} bytes", header.frame_length)).because(e));
            }
        }
        Ok(Samples { sample_rate: header.sample_rate, channels })
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}
