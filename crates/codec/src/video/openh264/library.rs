//! Safe wrappers around the library's two objects. They own what they point to, and lend what the library
//! lends. How to use them well is up to `decoder` and `encoder`.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::{ptr, slice};

use bytes::{Bytes, BytesMut};
use cutrickle_frame::{I420, Plane};
use openh264_sys2::source::APILoader;
use openh264_sys2::{
    DECODER_OPTION_TRACE_LEVEL, DECODING_STATE, ENCODER_OPTION_BITRATE, ENCODER_OPTION_FRAME_RATE,
    ENCODER_OPTION_TRACE_LEVEL, ERROR_CON_SLICE_MV_COPY_CROSS_IDR, ISVCDecoder, ISVCDecoderVtbl, ISVCEncoder,
    ISVCEncoderVtbl, SBitrateInfo, SBufferInfo, SDecodingParam, SEncParamExt, SFrameBSInfo,
    SPATIAL_LAYER_ALL, SSourcePicture, VIDEO_BITSTREAM_AVC, WELS_LOG_QUIET, videoFormatI420,
    videoFrameTypeIDR, videoFrameTypeSkip,
};

use crate::{Error, Result};

unsafe extern "C" {
    fn WelsCPUFeatureDetect(processors: *mut i32) -> u32;
}

/// The CPU features that the library's assembly uses; 0 if it was built without assembly.
pub(super) fn cpu_features() -> u32 {
    let mut processors = 0;
    // SAFETY: the function is part of the library that openh264-sys2 links. It writes one integer and keeps
    // no pointer to it.
    unsafe { WelsCPUFeatureDetect(&mut processors) }
}

/// A decoder without threads of its own.
pub(super) struct Decoder {
    raw: NonNull<ISVCDecoder>,
}

// SAFETY: the object is accessed only through `&mut self`, and the library keeps no thread-local data.
unsafe impl Send for Decoder {}

/// A picture lent by the decoder until the next call.
pub(super) struct Lent<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) planes: [Plane<'a>; 3],
}

impl Decoder {
    pub(super) fn open() -> Result<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: the library writes a pointer to a new object, or leaves it null.
        let status = unsafe { APILoader::WelsCreateDecoder(&mut raw) };
        let raw = NonNull::new(raw)
            .ok_or_else(|| Error::failed(format!("openh264 made no decoder (status {status})")))?;
        let mut decoder = Self { raw };
        decoder.initialize()?;
        Ok(decoder)
    }

    fn initialize(&mut self) -> Result<()> {
        let mut quiet = WELS_LOG_QUIET;
        let mut config =
            SDecodingParam { eEcActiveIdc: ERROR_CON_SLICE_MV_COPY_CROSS_IDR, ..Default::default() };
        config.sVideoProperty.size = size_of_val(&config.sVideoProperty) as u32;
        config.sVideoProperty.eVideoBsType = VIDEO_BITSTREAM_AVC;
        let table = self.table();
        let (Some(set), Some(initialize)) = (table.SetOption, table.Initialize) else {
            return Err(no_function());
        };
        // SAFETY: `raw` is alive until drop. The option is read as an integer and the configuration as its
        // own type; both are copied before the calls return.
        let status = unsafe {
            set(self.raw.as_ptr(), DECODER_OPTION_TRACE_LEVEL, (&raw mut quiet).cast::<c_void>());
            initialize(self.raw.as_ptr(), &config)
        };
        if status == 0 {
            Ok(())
        } else {
            Err(Error::failed(format!("openh264's decoder said {status} to its start")))
        }
    }

    fn table(&self) -> &'static ISVCDecoderVtbl {
        // SAFETY: the object begins with a pointer to its class's function table, a constant of the program.
        unsafe { &**self.raw.as_ptr() }
    }

    /// Passes a unit to the decoder, or, without data, tells it that the last unit was complete. The state is
    /// a set of the library's `ds…` bits.
    pub(super) fn decode(&mut self, data: Option<&[u8]>) -> Result<(DECODING_STATE, Option<Lent<'_>>)> {
        let Some(decode) = self.table().DecodeFrame2 else { return Err(no_function()) };
        let (start, length) = match data {
            Some(data) => (data.as_ptr(), c_int::try_from(data.len()).map_err(|_| too_long())?),
            None => (ptr::null(), 0),
        };
        let mut planes = [ptr::null_mut(); 3];
        let mut info = SBufferInfo::default();
        // SAFETY: `raw` is alive; `start` and `length` come from one slice or are null and 0, and the library
        // copies what it keeps. It writes three pointers and one `SBufferInfo`.
        let state = unsafe { decode(self.raw.as_ptr(), start, length, planes.as_mut_ptr(), &mut info) };
        // SAFETY: the library has just filled `planes` and `info`. The result borrows `self`, and only
        // another call on `self` invalidates what they point to.
        Ok((state, unsafe { lent(planes, &info) }))
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: `raw` came from `WelsCreateDecoder` and is not used afterwards.
        unsafe {
            if let Some(uninitialize) = self.table().Uninitialize {
                uninitialize(self.raw.as_ptr());
            }
            APILoader::WelsDestroyDecoder(self.raw.as_ptr());
        }
    }
}

/// # Safety
/// `planes` and `info` are as a decoding function of the library left them, and the pictures stay valid until
/// `'a` ends.
unsafe fn lent<'a>(planes: [*mut u8; 3], info: &SBufferInfo) -> Option<Lent<'a>> {
    if info.iBufferStatus != 1 || planes.iter().any(|plane| plane.is_null()) {
        return None;
    }
    // SAFETY: the union has only this member.
    let buffer = unsafe { info.UsrData.sSystemBuffer };
    let [width, height] = [buffer.iWidth, buffer.iHeight].map(|side| u32::try_from(side).unwrap_or(0));
    let [luma_stride, chroma_stride] = buffer.iStride.map(|stride| usize::try_from(stride).unwrap_or(0));
    let (w, h) = (width as usize, height as usize);
    let (half_w, half_h) = (w.div_ceil(2), h.div_ceil(2));
    if w == 0 || h == 0 || luma_stride < w || chroma_stride < half_w {
        return None;
    }
    let [y, u, v] = planes;
    let plane = |start: *mut u8, stride: usize, width: usize, height: usize| {
        // SAFETY: the caller guarantees that `start` is the first sample of a plane of `height` rows,
        // `stride` apart, and that the last row has `width` samples.
        let data = unsafe { slice::from_raw_parts(start.cast_const(), stride * (height - 1) + width) };
        Plane { data, stride, width, height }
    };
    Some(Lent {
        width,
        height,
        planes: [
            plane(y, luma_stride, w, h),
            plane(u, chroma_stride, half_w, half_h),
            plane(v, chroma_stride, half_w, half_h),
        ],
    })
}

/// An encoder with one spatial layer.
pub(super) struct Encoder {
    raw: NonNull<ISVCEncoder>,
    /// Seven kilobytes that the library fills for every picture.
    written: Box<SFrameBSInfo>,
}

// SAFETY: the object is accessed only through `&mut self`; it owns its worker threads, and `Uninitialize`
// joins them. `written` points into the object.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Opens an encoder with the library's defaults as changed by `adjust`.
    pub(super) fn open(adjust: impl FnOnce(&mut SEncParamExt)) -> Result<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: the library writes a pointer to a new object, or leaves it null.
        let status = unsafe { APILoader::WelsCreateSVCEncoder(&mut raw) };
        let raw = NonNull::new(raw)
            .ok_or_else(|| Error::failed(format!("openh264 made no encoder (status {status})")))?;
        let encoder = Self { raw, written: Box::default() };
        let table = encoder.table();
        let (Some(set), Some(defaults), Some(initialize)) =
            (table.SetOption, table.GetDefaultParams, table.InitializeExt)
        else {
            return Err(no_function());
        };
        let mut quiet = WELS_LOG_QUIET;
        let mut config = SEncParamExt::default();
        // SAFETY: `raw` is alive until drop. The option is read as an integer, and the defaults are written
        // to a value of their own type.
        unsafe {
            set(encoder.raw.as_ptr(), ENCODER_OPTION_TRACE_LEVEL, (&raw mut quiet).cast::<c_void>());
            defaults(encoder.raw.as_ptr(), &mut config);
        }
        adjust(&mut config);
        // SAFETY: `raw` is alive; the configuration is checked and copied before the call returns.
        let status = unsafe { initialize(encoder.raw.as_ptr(), &config) };
        if status != 0 {
            let size = (config.iPicWidth, config.iPicHeight);
            return Err(Error::failed(format!(
                "openh264 opens no encoder for {}x{} (status {status})",
                size.0, size.1
            )));
        }
        Ok(encoder)
    }

    fn table(&self) -> &'static ISVCEncoderVtbl {
        // SAFETY: the object begins with a pointer to its class's function table, a constant of the program.
        unsafe { &**self.raw.as_ptr() }
    }

    /// Encodes the upper left `width` x `height` pixels of a picture that is at least that large.
    /// `milliseconds` is used for rate control. Returns the bytes and whether they are an IDR, or `None` if
    /// the library skipped the picture.
    pub(super) fn encode(
        &mut self,
        picture: &I420,
        (width, height): (u32, u32),
        milliseconds: i64,
        idr: bool,
    ) -> Result<Option<(Bytes, bool)>> {
        let table = self.table();
        let (Some(encode), Some(force)) = (table.EncodeFrame, table.ForceIntraFrame) else {
            return Err(no_function());
        };
        if picture.width() < width || picture.height() < height {
            return Err(Error::failed(format!(
                "a picture of {}x{} for an encoder of {width}x{height}",
                picture.width(),
                picture.height()
            )));
        }
        let planes = picture.planes();
        let stride = |plane: &Plane<'_>| c_int::try_from(plane.stride).map_err(|_| too_long());
        let [y, u, v] = &planes;
        let source = SSourcePicture {
            iColorFormat: videoFormatI420,
            iStride: [stride(y)?, stride(u)?, stride(v)?, 0],
            pData: [y.data, u.data, v.data, &[]].map(|data| data.as_ptr().cast_mut()),
            iPicWidth: width as c_int,
            iPicHeight: height as c_int,
            uiTimeStamp: milliseconds,
            ..Default::default()
        };
        if idr {
            // SAFETY: `raw` is alive and initialised.
            unsafe { force(self.raw.as_ptr(), true) };
        }
        // SAFETY: `raw` is alive and initialised. The planes hold at least `width` x `height` samples at
        // their strides, as checked above. The library copies them before working on them and never writes to
        // them, although its type allows it. It writes one `SFrameBSInfo`.
        let status = unsafe { encode(self.raw.as_ptr(), &source, &mut *self.written) };
        if status != 0 {
            return Err(Error::failed(format!("openh264 encoded nothing (status {status})")));
        }
        if self.written.eFrameType == videoFrameTypeSkip || self.written.iFrameSizeInBytes <= 0 {
            return Ok(None);
        }
        Ok(Some((self.collect(), self.written.eFrameType == videoFrameTypeIDR)))
    }

    /// Sets the frame rate and bitrate used for rate control, for all layers.
    pub(super) fn set_rate(&mut self, mut fps: f32, bitrate: c_int) -> Result<()> {
        let Some(set) = self.table().SetOption else { return Err(no_function()) };
        let mut bits = SBitrateInfo { iLayer: SPATIAL_LAYER_ALL, iBitrate: bitrate };
        let raw = self.raw.as_ptr();
        // SAFETY: `raw` is alive and initialised; the library reads a float for the first option and this
        // struct for the second.
        let status = unsafe {
            match set(raw, ENCODER_OPTION_FRAME_RATE, (&raw mut fps).cast()) {
                0 => set(raw, ENCODER_OPTION_BITRATE, (&raw mut bits).cast()),
                failed => failed,
            }
        };
        if status != 0 {
            return Err(Error::failed(format!(
                "openh264 takes no {fps} frames and {bitrate} bits per second (status {status})"
            )));
        }
        Ok(())
    }

    /// The NAL units of the picture just encoded, concatenated.
    fn collect(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(usize::try_from(self.written.iFrameSizeInBytes).unwrap_or(0));
        let layers = usize::try_from(self.written.iLayerNum).unwrap_or(0);
        for layer in self.written.sLayerInfo.iter().take(layers) {
            let units = usize::try_from(layer.iNalCount).unwrap_or(0);
            if units == 0 || layer.pNalLengthInByte.is_null() || layer.pBsBuf.is_null() {
                continue;
            }
            // SAFETY: the library wrote `iNalCount` lengths here, which stay valid until the next picture.
            let lengths = unsafe { slice::from_raw_parts(layer.pNalLengthInByte, units) };
            let length = lengths.iter().map(|length| usize::try_from(*length).unwrap_or(0)).sum();
            // SAFETY: a layer's NAL units are contiguous in its buffer, which stays valid until the next
            // picture.
            bytes.extend_from_slice(unsafe { slice::from_raw_parts(layer.pBsBuf, length) });
        }
        bytes.freeze()
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: `raw` came from `WelsCreateSVCEncoder` and is not used afterwards. Uninitialising an object
        // that was never initialised does nothing.
        unsafe {
            if let Some(uninitialize) = self.table().Uninitialize {
                uninitialize(self.raw.as_ptr());
            }
            APILoader::WelsDestroySVCEncoder(self.raw.as_ptr());
        }
    }
}

fn no_function() -> Error {
    Error::failed("openh264 lacks a function")
}

fn too_long() -> Error {
    Error::failed("more bytes than openh264 can count")
}
