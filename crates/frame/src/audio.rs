//! A piece of audio of a live stream.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use candle_core::{DType, Device, Tensor};
use cutrickle_media::Timestamp;

use crate::{Error, Result};

/// Decodes the packets of one audio track, in order, when a frame's samples are requested.
pub trait DecodeAudio: Send + Sync {
    /// Decodes the samples of `packet`: one row per channel, all of equal length, -1.0 to 1.0.
    ///
    /// # Errors
    /// Fails if the decoder does.
    fn decode(&self, packet: &Bytes) -> Result<Vec<Vec<f32>>>;
}

/// A piece of audio with its time. Until its samples are replaced, it carries the packet it came in and is
/// sent on as that packet.
#[derive(Clone)]
pub struct AudioFrame {
    content: Content,
    timestamp: Timestamp,
    sample_rate: u32,
}

#[derive(Clone)]
enum Content {
    Packet { data: Bytes, decoder: Arc<dyn DecodeAudio>, samples: OnceLock<Tensor> },
    Samples(Tensor),
}

impl AudioFrame {
    /// Creates a frame from one encoded packet; `sample_rate` is in Hz.
    pub fn from_packet(
        data: Bytes,
        timestamp: Timestamp,
        sample_rate: u32,
        decoder: Arc<dyn DecodeAudio>,
    ) -> Self {
        let content = Content::Packet { data, decoder, samples: OnceLock::new() };
        Self { content, timestamp, sample_rate }
    }

    /// Creates a frame from float samples of shape (channels, samples), -1.0 to 1.0.
    ///
    /// # Errors
    /// Fails for another shape or type, a rate outside 8-192 kHz, or more than 8 channels.
    pub fn from_tensor(samples: Tensor, sample_rate: u32, timestamp: Timestamp) -> Result<Self> {
        if !(8_000..=192_000).contains(&sample_rate) {
            return Err(Error::new(format!("audio at {sample_rate} Hz: 8000 to 192000 are possible")));
        }
        Ok(Self { content: Content::Samples(accept_samples(samples)?), timestamp, sample_rate })
    }

    /// Returns the samples: (channels, samples), f32, -1.0 to 1.0. They are decoded on first use, then
    /// shared.
    ///
    /// # Errors
    /// Fails if the decoder does.
    pub fn tensor(&self) -> Result<Tensor> {
        match &self.content {
            Content::Samples(samples) => Ok(samples.clone()),
            Content::Packet { data, decoder, samples } => {
                if let Some(samples) = samples.get() {
                    return Ok(samples.clone());
                }
                let rows = decoder.decode(data)?;
                let channels = rows.len();
                let length = rows.first().map_or(0, Vec::len);
                let decoded = Tensor::from_vec(rows.concat(), (channels, length), &Device::Cpu)?;
                Ok(samples.get_or_init(|| decoded).clone())
            }
        }
    }

    /// Replaces the samples with floats of shape (channels, samples). The frame is then re-encoded.
    ///
    /// # Errors
    /// Fails for another shape or type; the message says which.
    pub fn replace_tensor(self, samples: Tensor) -> Result<Self> {
        Ok(Self { content: Content::Samples(accept_samples(samples)?), ..self })
    }

    /// The packet the frame came in, unless its samples were replaced.
    pub fn packet(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Packet { data, .. } => Some(data),
            Content::Samples(_) => None,
        }
    }

    /// Samples per second and channel.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Presentation time of the first sample, in seconds.
    pub fn pts(&self) -> f64 {
        self.timestamp.seconds()
    }

    /// The exact presentation time of the first sample.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

impl fmt::Debug for AudioFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AudioFrame")
            .field("timestamp", &self.timestamp)
            .field("sample_rate", &self.sample_rate)
            .field("packet", &self.packet().map(Bytes::len))
            .finish_non_exhaustive()
    }
}

fn accept_samples(samples: Tensor) -> Result<Tensor> {
    let dims = samples.dims();
    let [1..=8, _] = *dims else {
        return Err(Error::new(format!(
            "audio of shape {dims:?}: a frame takes (channels, samples) with 1 to 8 channels"
        )));
    };
    if !samples.dtype().is_float() {
        return Err(Error::new(format!("audio of type {:?}: a frame takes floats", samples.dtype())));
    }
    Ok(samples.to_dtype(DType::F32)?)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn second() -> Timestamp {
        Timestamp::from_ticks(90_000)
    }

    struct Counting(AtomicUsize);

    impl DecodeAudio for Counting {
        fn decode(&self, packet: &Bytes) -> Result<Vec<Vec<f32>>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(vec![vec![f32::from(packet[0]); 4]; 2])
        }
    }

    #[test]
    fn samples_are_decoded_once_and_only_when_asked_for() {
        let decoder = Arc::new(Counting(AtomicUsize::new(0)));
        let frame = AudioFrame::from_packet(Bytes::from_static(&[1]), second(), 48_000, decoder.clone());
        assert_eq!(decoder.0.load(Ordering::Relaxed), 0);
        assert_eq!(frame.tensor().unwrap().dims(), [2, 4]);
        frame.tensor().unwrap();
        assert_eq!(decoder.0.load(Ordering::Relaxed), 1);
        assert_eq!((frame.pts(), frame.packet().is_some()), (1.0, true));
    }

    #[test]
    fn replaced_samples_drop_the_packet() {
        let decoder = Arc::new(Counting(AtomicUsize::new(0)));
        let frame = AudioFrame::from_packet(Bytes::from_static(&[1]), second(), 48_000, decoder);
        let half = (frame.tensor().unwrap() * 0.5).unwrap();
        assert!(frame.replace_tensor(half).unwrap().packet().is_none());
    }

    #[test]
    fn wrong_shapes_and_types_are_refused_by_name() {
        let flat = Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap();
        assert!(AudioFrame::from_tensor(flat, 48_000, second()).unwrap_err().to_string().contains("[4]"));
        let integers = Tensor::zeros((2, 4), DType::U8, &Device::Cpu).unwrap();
        assert!(AudioFrame::from_tensor(integers, 48_000, second()).unwrap_err().to_string().contains("U8"));
    }
}
