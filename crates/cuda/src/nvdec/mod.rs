//! The GPU's video decoder (NVDEC), through NVIDIA's cuvid library.
//!
//! A [`Decoder`] receives one access unit a call, which is marked as complete so that the library's parser
//! does not wait for the beginning of the next one. Pictures are returned in decoding order as soon as they
//! are enqueued. The parser's display queue, which holds pictures back, is not used, and reordering is left
//! to the caller.
//!
//! Mapping a picture blocks the host until the hardware has decoded it (NVIDIA's NVDEC programming guide).
//! From then until the next access unit, the hardware is idle. On an H100 this reaches 98.5 % of the rate of
//! a loop that keeps the hardware busy, so access units are not queued.
//!
//! The surfaces that the hardware decodes into are never handed out. Each picture is scaled and copied on the
//! device's stream into its own [`Picture`](crate::Picture). The decoder's surface is given back when an
//! event reports that the copy is done, without waiting for it. A [`Mapped`](surface::Mapped) surface borrows
//! its decoder, so that none can be used after it was given back. Scaling reads the decoded picture when the
//! stream gets to it, so nothing is decoded over a picture whose copy is still pending.
//!
//! The implementation accounts for these pitfalls:
//! - The target size must be even, so an odd picture is decoded with one more pixel and cropped by its width.
//! - Chroma follows `target height, rounded up to even` rows of luma, not the picture's own number of rows.
//! - The library returns codes that its headers' enums do not contain, so codes are integers here.
//! - Callbacks are made from inside of the parse call, on the same thread. They keep their results and errors
//!   until it returns.

mod api;
mod callbacks;
mod capabilities;
mod session;
mod surface;

use std::ffi::c_ulong;
use std::ptr::NonNull;
use std::sync::Arc;

use cutrickle_media::{Colour, Size, VideoCodec};
use nvidia_video_codec_sdk::sys::nvcuvid::{CUVIDPARSERPARAMS, CUVIDSOURCEDATAPACKET, CUvideopacketflags};

use crate::{Gpu, Picture, Result};

pub use capabilities::{Capabilities, capabilities};

use api::{Cuvid, Handle};
use callbacks::Core;

/// A picture from the decoder.
#[derive(Debug)]
pub struct Decoded {
    /// The pixels.
    pub picture: Picture,
    /// The meaning of the pixels.
    pub colour: Colour,
}

/// Counters of a decoder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// How often a picture had to wait for a copy, either because every surface was being copied or because
    /// the surface that it was to be decoded into was.
    pub surface_waits: u64,
    /// The number of decoders that were recreated because the stream's format no longer fitted.
    pub recreated: u64,
    /// The number of times that a decoder was reconfigured for another size.
    pub reconfigured: u64,
}

/// A decoder for one stream, which follows changes of size and format by itself.
pub struct Decoder {
    codec: VideoCodec,
    api: &'static Cuvid,
    gpu: Arc<Gpu>,
    /// The state of the callbacks. It is owned by this struct, and the parser has its address.
    core: NonNull<Core>,
    parser: Option<Handle>,
    target: Option<Size>,
}

// SAFETY: the parser and the core are only reached through `&mut self`, and the library does not tie them to
// a thread. Each call is made with the device's context current.
unsafe impl Send for Decoder {}

impl Decoder {
    /// Creates a decoder on `gpu`.
    ///
    /// # Errors
    /// The library is missing ([`is_unavailable`](crate::Error::is_unavailable)), or this GPU does not decode
    /// the codec at all ([`is_unsupported`](crate::Error::is_unsupported)).
    pub fn new(gpu: &Arc<Gpu>, codec: VideoCodec) -> Result<Self> {
        let api = Cuvid::get()?;
        capabilities(gpu, codec, 8)?;
        let core = Box::new(Core::new(api, Arc::clone(gpu), codec));
        let core = NonNull::from(Box::leak(core));
        Ok(Self { codec, api, gpu: Arc::clone(gpu), core, parser: None, target: None })
    }

    /// Scales and centre-crops every picture to `target` from the next keyframe on. `None` keeps the stream's
    /// own size.
    pub fn scale_to(&mut self, target: Option<Size>) {
        self.target = target;
    }

    /// Decodes one access unit and passes the pictures that it completed to `out` in decoding order. There is
    /// one, or none if a second field follows. `keyframe` says that decoding can start here.
    ///
    /// # Errors
    /// The GPU does not decode the format ([`is_unsupported`](crate::Error::is_unsupported)), the access unit
    /// cannot be decoded, or a driver call fails. Decoding continues with the next keyframe.
    pub fn decode(&mut self, unit: &[u8], keyframe: bool, out: &mut dyn FnMut(Decoded)) -> Result<()> {
        self.gpu.bind()?;
        // SAFETY: no call to the library is in progress, so nothing else reaches the core.
        let target = unsafe { self.core.as_ref() }.target();
        if keyframe && target != self.target {
            // A decoder only accepts another target at the beginning of a sequence, and the parser only
            // reports new sequences.
            self.close();
            // SAFETY: as above, and the parser no longer exists.
            unsafe { self.core.as_mut() }.begin(self.target);
        }
        let parser = match &self.parser {
            Some(parser) => parser.raw(),
            None => {
                let parser = self.parser()?;
                self.parser.insert(parser).raw()
            }
        };
        if keyframe {
            // SAFETY: no call to the library is in progress.
            unsafe { self.core.as_mut() }.keyframe();
        }
        let flags = CUvideopacketflags::CUVID_PKT_ENDOFPICTURE as c_ulong;
        let mut packet = CUVIDSOURCEDATAPACKET {
            flags,
            payload_size: unit.len() as c_ulong,
            payload: unit.as_ptr(),
            timestamp: 0,
        };
        // SAFETY: the parser is alive, the packet refers to `unit`, and both are only read during the call.
        // The callbacks that it makes reach the core, to which no reference is alive here.
        let code = unsafe { (self.api.parse)(parser, &mut packet) };
        // SAFETY: the call has returned.
        let core = unsafe { self.core.as_mut() };
        core.hand_out(out);
        core.finish_unit("cuvidParseVideoData", code)
    }

    /// Returns the counters so far.
    pub fn counters(&self) -> Counters {
        // SAFETY: no call to the library is in progress while `self` is borrowed immutably.
        unsafe { self.core.as_ref() }.counters()
    }

    fn parser(&self) -> Result<Handle> {
        let mut parameters = api::zeroed::<CUVIDPARSERPARAMS>();
        parameters.CodecType = api::codec(self.codec);
        // The sequence callback returns the actual number.
        parameters.ulMaxNumDecodeSurfaces = 1;
        // Pictures are taken as they are decoded, without any delay.
        parameters.ulMaxDisplayDelay = 0;
        // Damaged pictures are decoded and then reported, instead of being dropped silently.
        parameters.ulErrorThreshold = 100;
        parameters.pUserData = self.core.as_ptr().cast();
        parameters.pfnSequenceCallback = Some(callbacks::sequence);
        parameters.pfnDecodePicture = Some(callbacks::picture);
        let mut parser = std::ptr::null_mut();
        // SAFETY: the parameters are read during the call. The core that they refer to outlives the parser,
        // see `drop`.
        let code = unsafe { (self.api.create_parser)(&mut parser, &mut parameters) };
        crate::device::checked("cuvidCreateVideoParser", code)?;
        Ok(Handle::new(parser, self.api.destroy_parser, "cuvidDestroyVideoParser"))
    }

    /// Destroys the parser and the decoder.
    fn close(&mut self) {
        self.parser = None;
        // SAFETY: the parser no longer exists, so nothing else reaches the core.
        unsafe { self.core.as_mut() }.close();
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            self.close();
        }
        // SAFETY: it came from a box in `new`, and the parser, which had its address, no longer exists.
        drop(unsafe { Box::from_raw(self.core.as_ptr()) });
    }
}
