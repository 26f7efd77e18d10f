//! Picks a backend for each stage.

use candle_core::Device;

use crate::audio::{self, AudioFormat};
#[cfg(feature = "cuda")]
use crate::video::nvdec::GpuFirst;
#[cfg(feature = "cuda")]
use crate::video::nvenc::NvencEncoder;
use crate::video::openh264::{self, H264Encoder};
use crate::{Coding, EncoderConfig, Result, VideoCodec, VideoDecoder, VideoEncoder};

pub use crate::audio::{decoder as audio_decoder, encoder as audio_encoder};

/// A decoder for `codec` whose pictures are for tensors on `device`: the GPU's own on a CUDA device, else the host's.
///
/// # Errors
/// As [`host_video_decoder`].
pub fn video_decoder(codec: VideoCodec, device: &Device) -> Result<Box<dyn VideoDecoder>> {
    #[cfg(feature = "cuda")]
    if device.is_cuda() {
        return Ok(Box::new(GpuFirst::open(codec, device)?));
    }
    let _ = device;
    host_video_decoder(codec)
}

/// A decoder for `codec` on the host: libavcodec with the feature `ffmpeg`, else openh264.
///
/// # Errors
/// `is_unsupported` for H.265 without the feature `ffmpeg`; else the backend's.
pub fn host_video_decoder(codec: VideoCodec) -> Result<Box<dyn VideoDecoder>> {
    #[cfg(feature = "ffmpeg")]
    return Ok(Box::new(crate::video::ffmpeg::FfmpegDecoder::new(codec)?));
    #[cfg(not(feature = "ffmpeg"))]
    match codec {
        VideoCodec::H264 => Ok(Box::new(openh264::H264Decoder::new()?)),
        VideoCodec::H265 => Err(crate::Error::unsupported("decoding H.265 needs the feature `ffmpeg`")),
    }
}

/// An encoder for frames on `device`: the GPU's own on a CUDA device that has one to spare, else the host's, which codes
/// H.264 whatever was asked for. Either is said in the log, and by the encoder's configuration.
///
/// # Errors
/// The backend's, among them sizes that it does not take.
pub fn video_encoder(config: EncoderConfig, device: &Device) -> Result<Box<dyn VideoEncoder>> {
    #[cfg(feature = "cuda")]
    if device.is_cuda() {
        match NvencEncoder::new(config, device) {
            Ok(encoder) => return Ok(Box::new(encoder)),
            Err(e) => tracing::warn!("encoding on the host: {}", cutrickle_error::chain(&e)),
        }
    }
    let _ = device;
    let coding = Coding { codec: VideoCodec::H264, ..config.coding };
    if coding != config.coding {
        tracing::warn!("encoding H.264: the host has no encoder for {:?}", config.coding.codec);
    }
    host_video_encoder(EncoderConfig { coding, ..config })
}

/// Whether video on `device` can leave as `codec`: what [`video_encoder`] would fall back from is known before the first
/// picture.
///
/// # Errors
/// [`is_unsupported`](crate::Error::is_unsupported): no encoder here makes it; the text says why.
pub fn check_encoder(codec: VideoCodec, device: &Device) -> Result<()> {
    #[cfg(feature = "cuda")]
    if device.is_cuda() && codec != VideoCodec::H264 {
        return crate::video::nvenc::check(codec, device);
    }
    let _ = device;
    match codec {
        VideoCodec::H264 => Ok(()),
        VideoCodec::H265 => {
            Err(crate::Error::unsupported("only GPUs have an encoder for H.265, and none is used"))
        }
    }
}

/// An encoder to H.264 on the host: openh264.
///
/// # Errors
/// [`is_unsupported`](crate::Error::is_unsupported) for H.265; the backend's, among them sizes that it does not take.
pub fn host_video_encoder(config: EncoderConfig) -> Result<Box<dyn VideoEncoder>> {
    Ok(Box::new(H264Encoder::new(config)?))
}

/// Whether the backend of this name works on a GPU.
pub fn is_on_gpu(backend: &str) -> bool {
    #[cfg(feature = "cuda")]
    return [crate::video::nvdec::BACKEND, crate::video::nvenc::BACKEND].contains(&backend);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = backend;
        false
    }
}

/// The backend of each stage in this build, in words for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendNames {
    /// Decodes video.
    pub video_decode: &'static str,
    /// Encodes video.
    pub video_encode: &'static str,
    /// Decodes sound.
    pub audio_decode: &'static str,
    /// Encodes sound.
    pub audio_encode: &'static str,
}

/// Which backends this build uses.
pub fn backends() -> BackendNames {
    BackendNames {
        video_decode: if cfg!(feature = "ffmpeg") { "ffmpeg" } else { openh264::backend() },
        video_encode: openh264::backend(),
        audio_decode: "symphonia (AAC), libopus (Opus)",
        audio_encode: match audio::encoder_backend(AudioFormat::Aac) {
            Some(_) => "libopus (Opus), fdk-aac (AAC)",
            None => "libopus (Opus)",
        },
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_frame::Colour;

    use super::*;

    #[test]
    fn the_host_encodes_h264_whatever_was_asked_for_and_says_so() {
        let coding = Coding { codec: VideoCodec::H265, ..Coding::default() };
        let (bitrate, colour) = (1_000_000, Colour::BT709);
        let config = EncoderConfig { width: 320, height: 180, fps: 30.0, bitrate, coding, colour };
        assert!(host_video_encoder(config).err().unwrap().is_unsupported());
        assert!(check_encoder(VideoCodec::H265, &Device::Cpu).err().unwrap().is_unsupported());
        assert!(check_encoder(VideoCodec::H264, &Device::Cpu).is_ok());
        let encoder = video_encoder(config, &Device::Cpu).unwrap();
        assert_eq!(encoder.config(), &EncoderConfig { coding: Coding::default(), ..config });
    }

    #[test]
    fn the_names_are_those_of_the_backends_that_are_opened() {
        let names = backends();
        assert_eq!(video_decoder(VideoCodec::H264, &Device::Cpu).unwrap().backend(), names.video_decode);
        for format in [AudioFormat::Aac, AudioFormat::Opus] {
            assert!(names.audio_decode.contains(audio::decoder_backend(format)));
            let encoder = audio::encoder_backend(format).unwrap_or_default();
            assert!(names.audio_encode.contains(encoder));
        }
    }
}
