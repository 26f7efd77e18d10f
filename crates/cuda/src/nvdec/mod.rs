//! The GPU's video decoder (NVDEC), through NVIDIA's cuvid library.
//!
//! A [`Decoder`] is given one access unit a call, marked as complete, so that the library's parser does not wait for the
//! beginning of the next. Pictures come out in decoding order, each as soon as it is enqueued: the parser's display
//! queue, which holds pictures back, is not used, and sorting is the caller's business.
//!
//! Mapping a picture waits on the host until the hardware has decoded it (NVIDIA's NVDEC programming guide). The hardware
//! is idle from then to the next unit: 98.5 % of what a loop that leaves it none decodes were measured on an H100, so units
//! are not queued there.
//!
//! What the hardware decodes into is never handed out. Each picture is scaled and copied on the device's stream into a
//! [`Picture`](crate::Picture) of its own, and the decoder's surface is given back when an event says that the copy is
//! done, not by waiting for it. A [`Mapped`](surface::Mapped) surface borrows its decoder, so that none can be used after
//! it went back. Scaling reads the decoded picture when the stream comes to it, so nothing is decoded over a picture whose
//! copy is still ahead.
//!
//! Traps that are avoided here:
//! - the target size must be even, so an odd picture is decoded into one pixel more and cut by its width;
//! - chroma lies behind `target height, rounded up to even` rows of luma, not behind the picture's own;
//! - the library answers with codes that its headers' enums do not list, so codes are integers here;
//! - callbacks come from inside of the parse call, on the same thread: they keep what they find, and errors, until it
//!   returns.

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

/// A picture that came out of the decoder.
#[derive(Debug)]
pub struct Decoded {
    /// Its pixels.
    pub picture: Picture,
    /// What they mean.
    pub colour: Colour,
}

/// Counters of a decoder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// How often a picture had to wait for a copy: every surface was being copied, or what it was to be decoded over was.
    pub surface_waits: u64,
    /// Decoders made anew because the stream's format no longer fitted.
    pub recreated: u64,
    /// Decoders reconfigured for another size.
    pub reconfigured: u64,
}

/// A decoder for one stream. It follows changes of size and format by itself.
pub struct Decoder {
    codec: VideoCodec,
    api: &'static Cuvid,
    gpu: Arc<Gpu>,
    /// What the callbacks work on. Owned by this, given to the parser as an address.
    core: NonNull<Core>,
    parser: Option<Handle>,
    target: Option<Size>,
}

// SAFETY: parser and core are reached through `&mut self` alone, and the library ties neither to a thread: each call is
// made with the device's context current.
unsafe impl Send for Decoder {}

impl Decoder {
    /// A decoder on `gpu`.
    ///
    /// # Errors
    /// [`is_unavailable`](crate::Error::is_unavailable) without the library;
    /// [`is_unsupported`](crate::Error::is_unsupported) if this GPU does not decode the codec at all.
    pub fn new(gpu: &Arc<Gpu>, codec: VideoCodec) -> Result<Self> {
        let api = Cuvid::get()?;
        capabilities(gpu, codec, 8)?;
        let core = Box::new(Core::new(api, Arc::clone(gpu), codec));
        let core = NonNull::from(Box::leak(core));
        Ok(Self { codec, api, gpu: Arc::clone(gpu), core, parser: None, target: None })
    }

    /// Scales and centre-crops every picture to `target` from the next keyframe on; `None` keeps the stream's own size.
    pub fn scale_to(&mut self, target: Option<Size>) {
        self.target = target;
    }

    /// Decodes one access unit and hands out the pictures that it completed, in decoding order: one, or none where a
    /// second field is to come. `keyframe`: decoding can start here.
    ///
    /// # Errors
    /// [`is_unsupported`](crate::Error::is_unsupported) for a format that the GPU does not decode; a unit that it could
    /// not decode, after which it goes on with the next keyframe; the driver's.
    pub fn decode(&mut self, unit: &[u8], keyframe: bool, out: &mut dyn FnMut(Decoded)) -> Result<()> {
        self.gpu.bind()?;
        // SAFETY: no call to the library is under way, so nobody else reaches the core.
        let target = unsafe { self.core.as_ref() }.target();
        if keyframe && target != self.target {
            // A decoder takes another target only where a sequence begins, which the parser reports only when it is new.
            self.close();
            // SAFETY: as above, and the parser is gone.
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
            // SAFETY: no call to the library is under way.
            unsafe { self.core.as_mut() }.keyframe();
        }
        let flags = CUvideopacketflags::CUVID_PKT_ENDOFPICTURE as c_ulong;
        let mut packet = CUVIDSOURCEDATAPACKET {
            flags,
            payload_size: unit.len() as c_ulong,
            payload: unit.as_ptr(),
            timestamp: 0,
        };
        // SAFETY: the parser is alive, the packet names `unit`, and both are only read during the call. The callbacks that
        // it makes reach the core, to which no reference is alive here.
        let code = unsafe { (self.api.parse)(parser, &mut packet) };
        // SAFETY: the call has returned.
        let core = unsafe { self.core.as_mut() };
        core.hand_out(out);
        core.finish_unit("cuvidParseVideoData", code)
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        // SAFETY: no call to the library is under way while `self` is borrowed shared.
        unsafe { self.core.as_ref() }.counters()
    }

    fn parser(&self) -> Result<Handle> {
        let mut parameters = api::zeroed::<CUVIDPARSERPARAMS>();
        parameters.CodecType = api::codec(self.codec);
        // The sequence callback says how many there are to be.
        parameters.ulMaxNumDecodeSurfaces = 1;
        // Nothing is waited for: pictures are taken as they are decoded.
        parameters.ulMaxDisplayDelay = 0;
        // Damaged pictures are decoded and then reported, not left out silently.
        parameters.ulErrorThreshold = 100;
        parameters.pUserData = self.core.as_ptr().cast();
        parameters.pfnSequenceCallback = Some(callbacks::sequence);
        parameters.pfnDecodePicture = Some(callbacks::picture);
        let mut parser = std::ptr::null_mut();
        // SAFETY: the parameters are read during the call; the core that they name outlives the parser, see `drop`.
        let code = unsafe { (self.api.create_parser)(&mut parser, &mut parameters) };
        crate::device::checked("cuvidCreateVideoParser", code)?;
        Ok(Handle::new(parser, self.api.destroy_parser, "cuvidDestroyVideoParser"))
    }

    /// Lets go of parser and decoder.
    fn close(&mut self) {
        self.parser = None;
        // SAFETY: the parser is gone, so nobody else reaches the core.
        unsafe { self.core.as_mut() }.close();
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            self.close();
        }
        // SAFETY: it came from a box in `new`; the parser, which knew its address, is gone.
        drop(unsafe { Box::from_raw(self.core.as_ptr()) });
    }
}
