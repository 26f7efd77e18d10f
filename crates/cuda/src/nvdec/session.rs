//! A decoder object of the library for one format.

use std::ffi::{c_int, c_short, c_uint, c_ulong};
use std::sync::Arc;

use nvidia_video_codec_sdk::sys::cuviddec::{
    CUVIDDECODECREATEINFO, CUVIDPICPARAMS, CUVIDRECONFIGUREDECODERINFO, cudaVideoChromaFormat,
    cudaVideoCreateFlags_enum, cudaVideoDeinterlaceMode_enum, cudaVideoSurfaceFormat_enum,
};
use nvidia_video_codec_sdk::sys::nvcuvid::CUVIDEOFORMAT;

use cutrickle_media::{Colour, Size, VideoCodec};

use super::Decoded;
use super::api::{self, Cuvid, Handle};
use super::capabilities::capabilities;
use super::surface::{Output, Surfaces};
use crate::device::checked;
use crate::kernels::SurfaceFormat;
use crate::{Error, Gpu, Result};

/// The parser's description of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    coded: [u32; 2],
    /// The displayed area of the coded picture: left, top, right, bottom.
    shown: [u32; 4],
    /// `cudaVideoChromaFormat`.
    chroma: c_uint,
    bits: u32,
    progressive: bool,
    min_surfaces: u32,
    colour: Colour,
}

impl Format {
    /// # Safety
    /// `format` must come from the parser's call of its sequence callback.
    pub(super) unsafe fn read(format: *const CUVIDEOFORMAT) -> Self {
        // SAFETY: fields are read one by one through the pointer. The only enum among them is read as the
        // integer that it is in C.
        unsafe {
            let shown = (*format).display_area;
            let signal = &raw const (*format).video_signal_description;
            let side = |side: c_int| u32::try_from(side).unwrap_or(0);
            let depth = (*format).bit_depth_luma_minus8.max((*format).bit_depth_chroma_minus8);
            Self {
                coded: [(*format).coded_width, (*format).coded_height],
                shown: [shown.left, shown.top, shown.right, shown.bottom].map(side),
                chroma: (&raw const (*format).chroma_format).cast::<c_uint>().read(),
                bits: 8 + u32::from(depth),
                progressive: (*format).progressive_sequence != 0,
                min_surfaces: (*format).min_num_decode_surfaces.into(),
                colour: Colour::from_vui(
                    (*signal).matrix_coefficients,
                    (*signal).color_primaries,
                    (*signal).transfer_characteristics,
                    (*signal).video_full_range_flag() != 0,
                    side(shown.bottom).saturating_sub(side(shown.top)),
                ),
            }
        }
    }

    fn check(&self) -> Result<()> {
        let [left, top, right, bottom] = self.shown;
        let [width, height] = self.coded;
        if left >= right || top >= bottom || right > width || bottom > height {
            return Err(Error::new(format!("pixels {:?} of a picture of {width}x{height}", self.shown)));
        }
        Ok(())
    }

    /// Returns the area that is cropped from each picture and the size that it is scaled to.
    fn cut(&self, target: Option<Size>) -> Cut {
        let [left, top, right, bottom] = self.shown;
        let (width, height) = (right - left, bottom - top);
        let Some(target) = target else {
            // The size must be even. Coded pictures have an even size, so there is one more pixel to include.
            let even =
                |end: u32, begin: u32, most: u32| (begin + (end - begin).next_multiple_of(2)).min(most);
            let [coded_width, coded_height] = self.coded;
            let area = [left, top, even(right, left, coded_width), even(bottom, top, coded_height)];
            return Cut { area, width, height };
        };
        // The largest centred area with the target's aspect ratio, in whole pairs of pixels as chroma
        // requires.
        let across = u64::from(height) * u64::from(target.width) / u64::from(target.height.max(1));
        let down = u64::from(width) * u64::from(target.height) / u64::from(target.width.max(1));
        let pairs =
            |side: u64, most: u32| (u32::try_from(side).unwrap_or(most).min(most) / 2 * 2).max(2).min(most);
        let (across, down) = (pairs(across, width), pairs(down, height));
        let (left, top) = (left + (width - across) / 4 * 2, top + (height - down) / 4 * 2);
        let area = [left, top, left + across, top + down];
        Cut { area, width: target.width, height: target.height }
    }
}

/// A rectangle of the coded picture and the size that it is scaled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    area: [u32; 4],
    width: u32,
    height: u32,
}

impl Cut {
    /// Returns the size to request from the library, which must be even.
    fn even(&self) -> [u32; 2] {
        [self.width.next_multiple_of(2), self.height.next_multiple_of(2)]
    }

    fn corners(&self) -> [c_short; 4] {
        self.area.map(|at| c_short::try_from(at).unwrap_or(c_short::MAX))
    }
}

/// The number of surfaces in addition to those that the stream needs, for pictures that are decoded while
/// others are copied.
const SPARE_SURFACES: u32 = 2;

pub(super) struct Session {
    api: &'static Cuvid,
    /// Dropped before the decoder, because it unmaps the mapped surfaces.
    mapped: Surfaces,
    decoder: Handle,
    format: Format,
    cut: Cut,
    output: SurfaceFormat,
    /// The size that the decoder was created for.
    most: [u32; 2],
    decode_surfaces: u32,
}

impl Session {
    pub(super) fn open(
        api: &'static Cuvid,
        gpu: &Arc<Gpu>,
        codec: VideoCodec,
        format: Format,
        target: Option<Size>,
    ) -> Result<Self> {
        format.check()?;
        if format.chroma != cudaVideoChromaFormat::cudaVideoChromaFormat_420 as c_uint {
            let names = ["monochrome", "4:2:0", "4:2:2", "4:4:4"];
            let name = names.get(format.chroma as usize).copied().unwrap_or("unknown");
            return Err(Error::unsupported(format!("{} with {name} chroma on the GPU", codec.title())));
        }
        let caps = capabilities(gpu, codec, format.bits)?;
        let [width, height] = format.coded;
        caps.check(codec, width, height)?;
        let (output, surface_format) = if format.bits > 8 {
            (SurfaceFormat::P010, cudaVideoSurfaceFormat_enum::cudaVideoSurfaceFormat_P016)
        } else {
            (SurfaceFormat::Nv12, cudaVideoSurfaceFormat_enum::cudaVideoSurfaceFormat_NV12)
        };
        if !caps.allows(surface_format) {
            return Err(Error::unsupported(format!("{} as {output:?} on this GPU", codec.title())));
        }
        let cut = format.cut(target);
        let decode_surfaces = format.min_surfaces.max(1) + SPARE_SURFACES;
        let [left, top, right, bottom] = cut.corners();
        let [even_width, even_height] = cut.even();
        let mut info = api::zeroed::<CUVIDDECODECREATEINFO>();
        info.ulWidth = width.into();
        info.ulHeight = height.into();
        info.ulMaxWidth = width.into();
        info.ulMaxHeight = height.into();
        info.ulNumDecodeSurfaces = decode_surfaces.into();
        info.CodecType = api::codec(codec);
        info.ChromaFormat = cudaVideoChromaFormat::cudaVideoChromaFormat_420;
        info.ulCreationFlags = cudaVideoCreateFlags_enum::cudaVideoCreate_PreferCUVID as c_ulong;
        info.bitDepthMinus8 = c_ulong::from(format.bits - 8);
        info.display_area.left = left;
        info.display_area.top = top;
        info.display_area.right = right;
        info.display_area.bottom = bottom;
        info.OutputFormat = surface_format;
        info.DeinterlaceMode = if format.progressive {
            cudaVideoDeinterlaceMode_enum::cudaVideoDeinterlaceMode_Weave
        } else {
            cudaVideoDeinterlaceMode_enum::cudaVideoDeinterlaceMode_Adaptive
        };
        info.ulTargetWidth = even_width.into();
        info.ulTargetHeight = even_height.into();
        info.ulNumOutputSurfaces = Surfaces::MOST as c_ulong;
        let mut decoder = std::ptr::null_mut();
        // SAFETY: the library reads only this struct and writes only this address, and the device's context
        // is current.
        checked("cuvidCreateDecoder", unsafe { (api.create_decoder)(&mut decoder, &mut info) })?;
        let decoder = Handle::new(decoder, api.destroy_decoder, "cuvidDestroyDecoder");
        let mapped = Surfaces::new(api, Arc::clone(gpu), decoder.raw());
        Ok(Self { api, mapped, decoder, format, cut, output, most: format.coded, decode_surfaces })
    }

    /// Returns whether this decoder can be reconfigured for `format`. Everything except the size must be the
    /// same, and nothing may be larger than the decoder was created for.
    pub(super) fn fits(&self, format: &Format) -> bool {
        let kind = |format: &Format| (format.chroma, format.bits, format.progressive);
        let ([width, height], [most_width, most_height]) = (format.coded, self.most);
        kind(format) == kind(&self.format)
            && width <= most_width
            && height <= most_height
            && format.min_surfaces.max(1) + SPARE_SURFACES <= self.decode_surfaces
    }

    /// Continues with another size. Returns whether anything had to change.
    pub(super) fn reconfigure(&mut self, format: Format, target: Option<Size>) -> Result<bool> {
        format.check()?;
        let cut = format.cut(target);
        let changed = format.coded != self.format.coded || cut != self.cut;
        if changed {
            self.mapped.give_back_all()?;
            let [width, height] = format.coded;
            let [left, top, right, bottom] = cut.corners();
            let [even_width, even_height] = cut.even();
            let mut info = api::zeroed::<CUVIDRECONFIGUREDECODERINFO>();
            info.ulWidth = width;
            info.ulHeight = height;
            info.ulTargetWidth = even_width;
            info.ulTargetHeight = even_height;
            info.ulNumDecodeSurfaces = self.decode_surfaces;
            info.display_area.left = left;
            info.display_area.top = top;
            info.display_area.right = right;
            info.display_area.bottom = bottom;
            // SAFETY: the decoder is alive and has no mapped surfaces, and the library only reads this
            // struct.
            let code = unsafe { (self.api.reconfigure)(self.decoder.raw(), &mut info) };
            checked("cuvidReconfigureDecoder", code)?;
        }
        (self.format, self.cut) = (format, cut);
        Ok(changed)
    }

    /// Returns the number of surfaces that the decoder was created with.
    pub(super) fn surfaces(&self) -> u32 {
        self.decode_surfaces
    }

    pub(super) fn waits(&self) -> u64 {
        self.mapped.waits()
    }

    /// Decodes a picture, or one field of it, into surface `index`.
    ///
    /// # Safety
    /// `parameters` must come from the parser's call of its decode callback, and `index` must be its
    /// `CurrPicIdx`.
    pub(super) unsafe fn decode(&mut self, index: c_int, parameters: *mut CUVIDPICPARAMS) -> Result<()> {
        self.mapped.free(index)?;
        // SAFETY: the decoder is alive, and the caller guarantees the parameters.
        checked("cuvidDecodePicture", unsafe { (self.api.decode)(self.decoder.raw(), parameters) })
    }

    /// Returns the decoded picture `index` in its own memory, to which the copy is enqueued.
    /// `top_field_first` is used for deinterlacing.
    pub(super) fn take(&mut self, index: c_int, top_field_first: bool) -> Result<Decoded> {
        let output = Output {
            format: self.output,
            width: self.cut.width,
            height: self.cut.height,
            rows: self.cut.even()[1],
            progressive: self.format.progressive,
            top_field_first,
        };
        let picture = self.mapped.map(index, output)?.copy()?;
        Ok(Decoded { picture, colour: self.format.colour })
    }
}
