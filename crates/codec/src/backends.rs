//! The table of backends: one row per implementation of a codec, and the selection among them.
//!
//! A row gives the backend's name, its codecs, what it runs on, its cost, and how to open it ([`Backend`]).
//! [`Backends::builtin`] has the rows of this build; more can be added from outside. Everything that names or
//! opens a backend uses this table. Switching to the next backend when an open decoder rejects its stream is
//! in `fallback`.

mod builtin;

use std::fmt;
use std::sync::Arc;

use candle_core::Device;
use cutrickle_error::chain;
use cutrickle_media::{AudioCodec, VideoCodec};

use crate::fallback::FallbackDecoder;
use crate::video::{Coding, EncoderConfig};
use crate::{AudioDecoder, AudioEncoder, Error, Result, VideoDecoder, VideoEncoder};

/// What a backend runs on, and therefore where its frames are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsOn {
    /// The CPU. It serves streams on any device.
    Cpu,
    /// A CUDA device. It serves streams whose tensors are on one.
    Cuda,
}

/// One row of the table: an implementation of codecs of type `C`, opened by a function of type `O`.
pub struct Backend<C: 'static, O: ?Sized> {
    name: &'static str,
    note: Option<&'static str>,
    codecs: Vec<C>,
    runs_on: RunsOn,
    cost: u32,
    open: Arc<O>,
    available: Option<Arc<Available<C>>>,
}

/// Checks whether a backend is available for a codec on a device.
type Available<C> = dyn Fn(C, &Device) -> Result<()> + Send + Sync;
/// Opens a video decoder whose frames are meant for tensors on a device.
pub type OpenVideoDecoder = dyn Fn(VideoCodec, &Device) -> Result<Box<dyn VideoDecoder>> + Send + Sync;
/// Opens a video encoder for frames on a device.
pub type OpenVideoEncoder = dyn Fn(EncoderConfig, &Device) -> Result<Box<dyn VideoEncoder>> + Send + Sync;
/// Opens an audio decoder.
pub type OpenAudioDecoder = dyn Fn(AudioCodec) -> Result<Box<dyn AudioDecoder>> + Send + Sync;
/// Opens an audio encoder with one or two channels.
pub type OpenAudioEncoder = dyn Fn(AudioCodec, usize) -> Result<Box<dyn AudioEncoder>> + Send + Sync;

/// A row for video decoders.
pub type VideoDecoderBackend = Backend<VideoCodec, OpenVideoDecoder>;
/// A row for video encoders.
pub type VideoEncoderBackend = Backend<VideoCodec, OpenVideoEncoder>;
/// A row for audio decoders.
pub type AudioDecoderBackend = Backend<AudioCodec, OpenAudioDecoder>;
/// A row for audio encoders.
pub type AudioEncoderBackend = Backend<AudioCodec, OpenAudioEncoder>;

impl<C: Copy + PartialEq, O: ?Sized> Backend<C, O> {
    /// Creates a backend called `name` for `codecs`. Among the backends that suit a stream, the one with the
    /// lowest `cost` is tried first: its CPU time per unit in steps of about 0.1 ms, measured at 720p. The
    /// cost of a GPU's own engine is next to nothing.
    pub fn new(
        name: &'static str,
        codecs: impl Into<Vec<C>>,
        runs_on: RunsOn,
        cost: u32,
        open: Arc<O>,
    ) -> Self {
        Self { name, note: None, codecs: codecs.into(), runs_on, cost, open, available: None }
    }

    /// Adds a remark about this build of the backend, shown after its name.
    #[must_use]
    pub fn with_note(self, note: Option<&'static str>) -> Self {
        Self { note, ..self }
    }

    /// Adds a check of whether the backend is available for a codec on a device, if that is known before it
    /// is opened.
    #[must_use]
    pub fn available_if(self, available: impl Fn(C, &Device) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { available: Some(Arc::new(available)), ..self }
    }

    /// The name, as shown in the status.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it runs on.
    pub fn runs_on(&self) -> RunsOn {
        self.runs_on
    }

    /// The codecs it supports.
    pub fn codecs(&self) -> &[C] {
        &self.codecs
    }

    fn suits(&self, codec: C, device: &Device) -> bool {
        self.codecs.contains(&codec) && (self.runs_on == RunsOn::Cpu || device.is_cuda())
    }

    fn check(&self, codec: C, device: &Device) -> Result<()> {
        self.available.as_ref().map_or(Ok(()), |available| available(codec, device))
    }
}

impl VideoDecoderBackend {
    pub(crate) fn open(&self, codec: VideoCodec, device: &Device) -> Result<Box<dyn VideoDecoder>> {
        (self.open)(codec, device)
    }
}

impl<C: Clone, O: ?Sized> Clone for Backend<C, O> {
    fn clone(&self) -> Self {
        Self {
            codecs: self.codecs.clone(),
            open: Arc::clone(&self.open),
            available: self.available.clone(),
            ..*self
        }
    }
}

impl<C: fmt::Debug, O: ?Sized> fmt::Debug for Backend<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("name", &self.name)
            .field("codecs", &self.codecs)
            .field("runs_on", &self.runs_on)
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

/// The role of a backend in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decodes video.
    VideoDecode,
    /// Encodes video.
    VideoEncode,
    /// Decodes audio.
    AudioDecode,
    /// Encodes audio.
    AudioEncode,
}

impl Role {
    /// All roles, in the order in which a stream uses them.
    pub const ALL: [Self; 4] = [Self::VideoDecode, Self::VideoEncode, Self::AudioDecode, Self::AudioEncode];

    /// The role in words, such as `video decode`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VideoDecode => "video decode",
            Self::VideoEncode => "video encode",
            Self::AudioDecode => "audio decode",
            Self::AudioEncode => "audio encode",
        }
    }
}

/// A row of the table as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The backend's role.
    pub role: Role,
    /// Its name, with the remark about this build if there is one: `openh264 (no assembly)`.
    pub name: String,
    /// The codecs it supports: `H.264, H.265`.
    pub codecs: String,
    /// What it runs on.
    pub runs_on: RunsOn,
}

/// The backends available to streams. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Backends {
    video_decoders: Vec<VideoDecoderBackend>,
    video_encoders: Vec<VideoEncoderBackend>,
    audio_decoders: Vec<AudioDecoderBackend>,
    audio_encoders: Vec<AudioEncoderBackend>,
}

impl Default for Backends {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Backends {
    /// An empty table.
    pub fn none() -> Self {
        Self {
            video_decoders: Vec::new(),
            video_encoders: Vec::new(),
            audio_decoders: Vec::new(),
            audio_encoders: Vec::new(),
        }
    }

    /// Adds a video decoder.
    #[must_use]
    pub fn with_video_decoder(mut self, backend: VideoDecoderBackend) -> Self {
        insert(&mut self.video_decoders, backend);
        self
    }

    /// Adds a video encoder.
    #[must_use]
    pub fn with_video_encoder(mut self, backend: VideoEncoderBackend) -> Self {
        insert(&mut self.video_encoders, backend);
        self
    }

    /// Adds an audio decoder.
    #[must_use]
    pub fn with_audio_decoder(mut self, backend: AudioDecoderBackend) -> Self {
        insert(&mut self.audio_decoders, backend);
        self
    }

    /// Adds an audio encoder.
    #[must_use]
    pub fn with_audio_encoder(mut self, backend: AudioEncoderBackend) -> Self {
        insert(&mut self.audio_encoders, backend);
        self
    }

    /// The table as text, role by role, in the order in which backends are tried.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        rows.extend(self.video_decoders.iter().map(|of| row(Role::VideoDecode, of, VideoCodec::title)));
        rows.extend(self.video_encoders.iter().map(|of| row(Role::VideoEncode, of, VideoCodec::title)));
        rows.extend(self.audio_decoders.iter().map(|of| row(Role::AudioDecode, of, AudioCodec::title)));
        rows.extend(self.audio_encoders.iter().map(|of| row(Role::AudioEncode, of, AudioCodec::title)));
        rows
    }

    /// The name of the first backend tried for decoding video of `codec` on `device`.
    pub fn first_video_decoder(&self, codec: VideoCodec, device: &Device) -> Option<&'static str> {
        self.video_decoders.iter().find(|backend| backend.suits(codec, device)).map(Backend::name)
    }

    /// The name of the first backend tried for encoding video of `codec` on `device`.
    pub fn first_video_encoder(&self, codec: VideoCodec, device: &Device) -> Option<&'static str> {
        self.video_encoders.iter().find(|backend| backend.suits(codec, device)).map(Backend::name)
    }

    /// Whether the backend with this name runs on a GPU.
    pub fn is_on_gpu(&self, name: &str) -> bool {
        let cuda = |of: &str, runs_on| of == name && runs_on == RunsOn::Cuda;
        self.video_decoders.iter().any(|backend| cuda(backend.name, backend.runs_on))
            || self.video_encoders.iter().any(|backend| cuda(backend.name, backend.runs_on))
    }

    /// Opens a decoder for `codec` whose frames are meant for tensors on `device`. Backends that run on the
    /// device come before those on the CPU. If an open decoder rejects the stream, the next backend takes
    /// over, and a log message says so.
    ///
    /// # Errors
    /// Fails with `is_unsupported` if no backend supports the codec, otherwise with the last backend's error.
    pub fn open_video_decoder(&self, codec: VideoCodec, device: &Device) -> Result<Box<dyn VideoDecoder>> {
        let suitable: Vec<_> =
            self.video_decoders.iter().filter(|backend| backend.suits(codec, device)).cloned().collect();
        match <[_; 1]>::try_from(suitable) {
            Ok([only]) => (only.open)(codec, device),
            Err(several) => Ok(Box::new(FallbackDecoder::open(several, codec, device)?)),
        }
    }

    /// Opens the decoder with this name, and no other.
    ///
    /// # Errors
    /// Fails with `is_unsupported` if there is no such backend or it does not support the codec, or with the
    /// backend's error.
    pub fn open_video_decoder_named(
        &self,
        name: &str,
        codec: VideoCodec,
        device: &Device,
    ) -> Result<Box<dyn VideoDecoder>> {
        (named(&self.video_decoders, name)?.open)(codec, device)
    }

    /// Opens an encoder for frames on `device`. Backends that run on the device come before those on the CPU.
    /// If none of them supports the codec of `config`, H.264 is used. Either fallback is logged, and the
    /// codec in use is in the encoder's own configuration.
    ///
    /// # Errors
    /// Fails with the last backend's error, for example for a size that it does not support.
    pub fn open_video_encoder(
        &self,
        config: EncoderConfig,
        device: &Device,
    ) -> Result<Box<dyn VideoEncoder>> {
        let mut failed = None;
        for codec in [config.coding.codec, VideoCodec::H264] {
            let config = EncoderConfig { coding: Coding { codec, ..config.coding }, ..config };
            for backend in self.video_encoders.iter().filter(|backend| backend.suits(codec, device)) {
                if let Some(e) = failed.take() {
                    tracing::warn!("encoding {codec} by {}: {}", backend.name, chain(&e));
                }
                match (backend.open)(config, device) {
                    Ok(encoder) => return Ok(encoder),
                    Err(e) => failed = Some(e),
                }
            }
            if codec == VideoCodec::H264 {
                break;
            }
            failed.get_or_insert_with(|| no_encoder(codec));
        }
        Err(failed.unwrap_or_else(|| no_encoder(VideoCodec::H264)))
    }

    /// Opens the encoder with this name, and no other.
    ///
    /// # Errors
    /// Fails with `is_unsupported` if there is no such backend or it does not support the codec, or with the
    /// backend's error.
    pub fn open_video_encoder_named(
        &self,
        name: &str,
        config: EncoderConfig,
        device: &Device,
    ) -> Result<Box<dyn VideoEncoder>> {
        (named(&self.video_encoders, name)?.open)(config, device)
    }

    /// Checks whether video on `device` can be encoded as `codec`. This tells before the first frame whether
    /// [`open_video_encoder`](Self::open_video_encoder) would fall back to H.264.
    ///
    /// # Errors
    /// Fails with `is_unsupported` if no encoder here supports it; the message says why.
    pub fn check_video_encoder(&self, codec: VideoCodec, device: &Device) -> Result<()> {
        let mut refused = None;
        for backend in self.video_encoders.iter().filter(|backend| backend.suits(codec, device)) {
            match backend.check(codec, device) {
                Ok(()) => return Ok(()),
                Err(e) => refused = Some(e),
            }
        }
        Err(refused.unwrap_or_else(|| no_encoder(codec)))
    }

    /// Opens a decoder for one track of `codec`. It follows changes of rate and channels by itself.
    ///
    /// # Errors
    /// Fails with `is_unsupported` if no backend supports the codec, otherwise with the backend's error.
    pub fn open_audio_decoder(&self, codec: AudioCodec) -> Result<Box<dyn AudioDecoder>> {
        let backend = self.audio_decoders.iter().find(|backend| backend.codecs.contains(&codec));
        let unsupported = || Error::unsupported(format!("there is no decoder for {}", codec.title()));
        (backend.ok_or_else(unsupported)?.open)(codec)
    }

    /// Opens an encoder to mono if `channels` is 1, and to stereo otherwise; either takes samples of any
    /// channel count.
    ///
    /// # Errors
    /// Fails with `is_unsupported` if no backend supports the codec, or for no channels, otherwise with the
    /// backend's error.
    pub fn open_audio_encoder(&self, codec: AudioCodec, channels: usize) -> Result<Box<dyn AudioEncoder>> {
        let backend = self.audio_encoders.iter().find(|backend| backend.codecs.contains(&codec));
        let unsupported = || match codec {
            AudioCodec::Aac => Error::unsupported("encoding AAC needs the feature `fdk-aac`"),
            AudioCodec::Opus => Error::unsupported("there is no encoder for Opus"),
        };
        (backend.ok_or_else(unsupported)?.open)(codec, channels.min(2))
    }
}

/// Inserts a row in order: rows that run on a device first, then by increasing cost.
fn insert<C, O: ?Sized>(rows: &mut Vec<Backend<C, O>>, row: Backend<C, O>) {
    let order = |of: &Backend<C, O>| (of.runs_on == RunsOn::Cpu, of.cost);
    let place = rows.partition_point(|other| order(other) < order(&row));
    rows.insert(place, row);
}

fn named<'a, C: Copy + PartialEq, O: ?Sized>(
    rows: &'a [Backend<C, O>],
    name: &str,
) -> Result<&'a Backend<C, O>> {
    let found = rows.iter().find(|backend| backend.name == name);
    found.ok_or_else(|| Error::unsupported(format!("this build has no backend called `{name}`")))
}

fn no_encoder(codec: VideoCodec) -> Error {
    let codec = codec.title();
    Error::unsupported(format!("only GPUs have an encoder for {codec}, and none is used"))
}

fn row<C: Copy, O: ?Sized>(role: Role, of: &Backend<C, O>, title: fn(C) -> &'static str) -> Row {
    let name = match of.note {
        Some(note) => format!("{} ({note})", of.name),
        None => of.name.to_owned(),
    };
    let codecs: Vec<_> = of.codecs.iter().map(|codec| title(*codec)).collect();
    Row { role, name, codecs: codecs.join(", "), runs_on: of.runs_on }
}

#[cfg(test)]
mod tests {
    use cutrickle_media::{Colour, Size};

    use super::*;

    fn config(codec: VideoCodec) -> EncoderConfig {
        EncoderConfig {
            size: Size::new(320, 180),
            fps: 30.0,
            bitrate: 1_000_000,
            coding: Coding { codec, ..Coding::default() },
            colour: Colour::BT709,
        }
    }

    #[test]
    fn without_an_encoder_for_h265_it_is_h264_and_says_so() {
        let backends = Backends::builtin();
        let h265 = config(VideoCodec::H265);
        let refused = backends.open_video_encoder_named("openh264", h265, &Device::Cpu);
        assert!(refused.err().unwrap().is_unsupported());
        assert!(backends.check_video_encoder(VideoCodec::H265, &Device::Cpu).unwrap_err().is_unsupported());
        assert!(backends.check_video_encoder(VideoCodec::H264, &Device::Cpu).is_ok());
        let encoder = backends.open_video_encoder(h265, &Device::Cpu).unwrap();
        assert_eq!(encoder.config(), &config(VideoCodec::H264));
    }

    #[test]
    fn the_rows_name_the_backends_that_are_opened() {
        let backends = Backends::builtin();
        let opened = backends.open_video_decoder(VideoCodec::H264, &Device::Cpu).unwrap();
        let of = |role| backends.rows().into_iter().filter(move |row| row.role == role);
        assert!(of(Role::VideoDecode).any(|row| row.name == opened.backend()));
        for codec in AudioCodec::ALL {
            let opened = backends.open_audio_decoder(codec).unwrap();
            let mut rows = of(Role::AudioDecode).filter(|row| row.codecs == codec.title());
            assert!(rows.any(|row| row.name == opened.backend()));
        }
    }

    #[test]
    fn the_cheapest_backend_that_opens_is_taken() {
        let failing: Arc<OpenVideoDecoder> = Arc::new(|_, _: &Device| Err(Error::failed("out of order")));
        let broken = Backend::new("broken", [VideoCodec::H264], RunsOn::Cpu, 0, failing);
        let backends = Backends::builtin().with_video_decoder(broken);
        assert_eq!(backends.first_video_decoder(VideoCodec::H264, &Device::Cpu), Some("broken"));
        let opened = backends.open_video_decoder(VideoCodec::H264, &Device::Cpu).unwrap();
        assert_ne!(opened.backend(), "broken");
        let nothing = Backends::none().open_video_decoder(VideoCodec::H264, &Device::Cpu);
        assert!(nothing.err().unwrap().is_unsupported());
    }
}
