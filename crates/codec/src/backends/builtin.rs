//! The rows of this build. To add a backend, write one file under `video` or `audio` and add one row here.

use std::sync::Arc;

use candle_core::Device;
use cutrickle_media::{AudioCodec, VideoCodec};

use super::{
    Backend, Backends, OpenAudioDecoder, OpenAudioEncoder, OpenVideoDecoder, OpenVideoEncoder, RunsOn,
};
use crate::EncoderConfig;
#[cfg(feature = "fdk-aac")]
use crate::audio::fdk_aac;
use crate::audio::{opus, symphonia_aac};
#[cfg(feature = "ffmpeg")]
use crate::video::ffmpeg;
use crate::video::openh264;
#[cfg(feature = "cuda")]
use crate::video::{nvdec, nvenc};

impl Backends {
    /// All backends this program was built with.
    pub fn builtin() -> Self {
        use RunsOn::Cpu;
        #[cfg(feature = "cuda")]
        use RunsOn::Cuda;
        use VideoCodec::H264;

        let table = Self::none();
        #[cfg(feature = "cuda")]
        let table = {
            let decode: Arc<OpenVideoDecoder> =
                Arc::new(|codec, device: &Device| Ok(Box::new(nvdec::NvdecDecoder::new(codec, device)?)));
            let encode: Arc<OpenVideoEncoder> = Arc::new(|config: EncoderConfig, device: &Device| {
                Ok(Box::new(nvenc::NvencEncoder::new(config, device)?))
            });
            table
                .with_video_decoder(Backend::new(nvdec::BACKEND, VideoCodec::ALL, Cuda, 1, decode))
                .with_video_encoder(
                    Backend::new(nvenc::BACKEND, VideoCodec::ALL, Cuda, 1, encode).available_if(nvenc::check),
                )
        };
        #[cfg(feature = "ffmpeg")]
        let table = {
            let decode: Arc<OpenVideoDecoder> =
                Arc::new(|codec, _: &Device| Ok(Box::new(ffmpeg::FfmpegDecoder::new(codec)?)));
            table.with_video_decoder(Backend::new(ffmpeg::BACKEND, VideoCodec::ALL, Cpu, 30, decode))
        };
        #[cfg(feature = "fdk-aac")]
        let table = {
            let encode: Arc<OpenAudioEncoder> =
                Arc::new(|_, channels| Ok(Box::new(fdk_aac::AacLcEncoder::new(channels)?)));
            table.with_audio_encoder(Backend::new(fdk_aac::BACKEND, [AudioCodec::Aac], Cpu, 10, encode))
        };

        let decode_h264: Arc<OpenVideoDecoder> =
            Arc::new(|codec, _: &Device| Ok(Box::new(openh264::H264Decoder::new(codec)?)));
        let encode_h264: Arc<OpenVideoEncoder> =
            Arc::new(|config: EncoderConfig, _: &Device| Ok(Box::new(openh264::H264Encoder::new(config)?)));
        let decode_aac: Arc<OpenAudioDecoder> =
            Arc::new(|_| Ok(Box::new(symphonia_aac::AacLcDecoder::new())));
        let decode_opus: Arc<OpenAudioDecoder> = Arc::new(|_| Ok(Box::new(opus::OpusDecoder::new()?)));
        let encode_opus: Arc<OpenAudioEncoder> =
            Arc::new(|_, channels| Ok(Box::new(opus::OpusEncoder::new(channels)?)));
        let note = openh264::note();
        table
            .with_video_decoder(Backend::new(openh264::BACKEND, [H264], Cpu, 40, decode_h264).with_note(note))
            .with_video_encoder(Backend::new(openh264::BACKEND, [H264], Cpu, 70, encode_h264).with_note(note))
            .with_audio_decoder(Backend::new(symphonia_aac::BACKEND, [AudioCodec::Aac], Cpu, 1, decode_aac))
            .with_audio_decoder(Backend::new(opus::BACKEND, [AudioCodec::Opus], Cpu, 1, decode_opus))
            .with_audio_encoder(Backend::new(opus::BACKEND, [AudioCodec::Opus], Cpu, 10, encode_opus))
    }
}
