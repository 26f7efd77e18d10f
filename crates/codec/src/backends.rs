//! The table of backends: one row for each implementation of a codec, and the choice between them.
//!
//! A row says what the backend is called, which codecs it takes, what it runs on and what it costs, and how it is opened
//! ([`Backend`]). [`Backends::builtin`] has the rows of this build; others can be added from outside. Everything that
//! names or opens a backend goes by this table. What happens where an open decoder meets a stream that it does not take
//! is in `fallback`.

mod builtin;

use std::fmt;
use std::sync::Arc;

use candle_core::Device;
use cutrickle_error::chain;
use cutrickle_media::{AudioCodec, VideoCodec};

use crate::fallback::FallbackDecoder;
use crate::video::{Coding, EncoderConfig};
use crate::{AudioDecoder, AudioEncoder, Error, Result, VideoDecoder, VideoEncoder};

/// What a backend runs on, and so where its frames are.
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

/// Tells whether a backend can be had for a codec on a device.
type Available<C> = dyn Fn(C, &Device) -> Result<()> + Send + Sync;
/// Opens a video decoder whose frames are for tensors on a device.
pub type OpenVideoDecoder = dyn Fn(VideoCodec, &Device) -> Result<Box<dyn VideoDecoder>> + Send + Sync;
/// Opens a video encoder for frames that are on a device.
pub type OpenVideoEncoder = dyn Fn(EncoderConfig, &Device) -> Result<Box<dyn VideoEncoder>> + Send + Sync;
/// Opens an audio decoder.
pub type OpenAudioDecoder = dyn Fn(AudioCodec) -> Result<Box<dyn AudioDecoder>> + Send + Sync;
/// Opens an audio encoder to one channel or two.
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
    /// A backend called `name` for `codecs`. Of those that suit a stream the one with the lowest `cost` is tried first:
    /// about the CPU time of a unit in units of 0.1 ms, as measured at 720p, which for a GPU's own engine is next to
    /// nothing.
    pub fn new(
        name: &'static str,
        codecs: impl Into<Vec<C>>,
        runs_on: RunsOn,
        cost: u32,
        open: Arc<O>,
    ) -> Self {
        Self { name, note: None, codecs: codecs.into(), runs_on, cost, open, available: None }
    }

    /// Adds a remark on this build of the backend, shown behind its name.
    #[must_use]
    pub fn with_note(self, note: Option<&'static str>) -> Self {
        Self { note, ..self }
    }

    /// Adds a check whether the backend can be had for a codec on a device, where that is known before it is opened.
    #[must_use]
    pub fn available_if(
        self,
        available: impl Fn(C, &Device) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self { available: Some(Arc::new(available)), ..self }
    }

    /// The name, as in the status.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it runs on.
    pub fn runs_on(&self) -> RunsOn {
        self.runs_on
    }

    /// The codecs that it takes.
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

/// What a backend does in a stream.
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
    /// Every role, in the order of a frame's way.
    pub const ALL: [Self; 4] = [Self::VideoDecode, Self::VideoEncode, Self::AudioDecode, Self::AudioEncode];

    /// The role in words: `video decode`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VideoDecode => "video decode",
            Self::VideoEncode => "video encode",
            Self::AudioDecode => "audio decode",
            Self::AudioEncode => "audio encode",
        }
    }
}

/// A row of the table in words, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the backend does.
    pub role: Role,
    /// Its name, with the remark on this build if there is one: `openh264 (no assembly)`.
    pub name: String,
    /// The codecs that it takes: `H.264, H.265`.
    pub codecs: String,
    /// What it runs on.
    pub runs_on: RunsOn,
}

/// The backends that streams may use. Cheap to clone.
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
    /// No backend at all.
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

    /// The table in words, role by role, in the order in which backends are tried.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        rows.extend(self.video_decoders.iter().map(|of| row(Role::VideoDecode, of, VideoCodec::title)));
        rows.extend(self.video_encoders.iter().map(|of| row(Role::VideoEncode, of, VideoCodec::title)));
        rows.extend(self.audio_decoders.iter().map(|of| row(Role::AudioDecode, of, AudioCodec::title)));
        rows.extend(self.audio_encoders.iter().map(|of| row(Role::AudioEncode, of, AudioCodec::title)));
        rows
    }

    /// The name of the backend that serves video of `codec` first on `device`.
    pub fn first_video_decoder(&self, codec: VideoCodec, device: &Device) -> Option<&'static str> {
        self.video_decoders.iter().find(|backend| backend.suits(codec, device)).map(Backend::name)
    }

    /// The same for encoders.
    pub fn first_video_encoder(&self, codec: VideoCodec, device: &Device) -> Option<&'static str> {
        self.video_encoders.iter().find(|backend| backend.suits(codec, device)).map(Backend::name)
    }

    /// Whether the backend of this name runs on a GPU.
    pub fn is_on_gpu(&self, name: &str) -> bool {
        let cuda = |of: &str, runs_on| of == name && runs_on == RunsOn::Cuda;
        self.video_decoders.iter().any(|backend| cuda(backend.name, backend.runs_on))
            || self.video_encoders.iter().any(|backend| cuda(backend.name, backend.runs_on))
    }

    /// A decoder for `codec` whose frames are for tensors on `device`. Backends that run on the device come before those
    /// on the CPU; where an open one refuses the stream, the next takes over, and the log says so.
    ///
    /// # Errors
    /// `is_unsupported` where no backend takes the codec; else the last backend's.
    pub fn open_video_decoder(&self, codec: VideoCodec, device: &Device) -> Result<Box<dyn VideoDecoder>> {
        let suitable: Vec<_> =
            self.video_decoders.iter().filter(|backend| backend.suits(codec, device)).cloned().collect();
        match <[_; 1]>::try_from(suitable) {
            Ok([only]) => (only.open)(codec, device),
            Err(several) => Ok(Box::new(FallbackDecoder::open(several, codec, device)?)),
        }
    }

    /// The decoder of this name, and no other.
    ///
    /// # Errors
    /// `is_unsupported` where there is no such backend, or it does not take the codec; the backend's own.
    pub fn open_video_decoder_named(
        &self,
        name: &str,
        codec: VideoCodec,
        device: &Device,
    ) -> Result<Box<dyn VideoDecoder>> {
        (named(&self.video_decoders, name)?.open)(codec, device)
    }

    /// An encoder for frames on `device`. Backends that run on the device come before those on the CPU. Where none of
    /// them makes the codec that `config` asks for, H.264 comes out. Either fallback is told in the log, and shows in the
    /// encoder's own configuration.
    ///
    /// # Errors
    /// The last backend's, among them sizes that it does not take.
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

    /// The encoder of this name, and no other.
    ///
    /// # Errors
    /// `is_unsupported` where there is no such backend, or it does not make the codec; the backend's own.
    pub fn open_video_encoder_named(
        &self,
        name: &str,
        config: EncoderConfig,
        device: &Device,
    ) -> Result<Box<dyn VideoEncoder>> {
        (named(&self.video_encoders, name)?.open)(config, device)
    }

    /// Whether video on `device` can leave as `codec`: what [`open_video_encoder`](Self::open_video_encoder) would fall
    /// back from is then known before the first frame.
    ///
    /// # Errors
    /// `is_unsupported`: no encoder here makes it; the text says why.
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

    /// A decoder for one track of `codec`. It follows changes of rate and channels by itself.
    ///
    /// # Errors
    /// `is_unsupported` where no backend takes the codec; else the backend's.
    pub fn open_audio_decoder(&self, codec: AudioCodec) -> Result<Box<dyn AudioDecoder>> {
        let backend = self.audio_decoders.iter().find(|backend| backend.codecs.contains(&codec));
        let unsupported = || Error::unsupported(format!("there is no decoder for {}", codec.title()));
        (backend.ok_or_else(unsupported)?.open)(codec)
    }

    /// An encoder to mono where `channels` is 1, else to stereo; it takes samples of any channel count all the same.
    ///
    /// # Errors
    /// `is_unsupported` where no backend makes the codec, and for no channels; else the backend's.
    pub fn open_audio_encoder(&self, codec: AudioCodec, channels: usize) -> Result<Box<dyn AudioEncoder>> {
        let backend = self.audio_encoders.iter().find(|backend| backend.codecs.contains(&codec));
        let unsupported = || match codec {
            AudioCodec::Aac => Error::unsupported("encoding AAC needs the feature `fdk-aac`"),
            AudioCodec::Opus => Error::unsupported("there is no encoder for Opus"),
        };
        (backend.ok_or_else(unsupported)?.open)(codec, channels.min(2))
    }
}

/// Adds a row behind those that come before it: those on a device come first, then those of lower cost.
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
    Error::unsupported(format!("there is no encoder for {codec} here: some GPUs have one"))
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
