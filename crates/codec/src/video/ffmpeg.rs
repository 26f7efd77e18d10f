//! H.264 and H.265 decoding with the system's libavcodec: every profile, including interlaced streams.
//!
//! It uses one thread, because each frame thread adds a frame of delay. Pictures with more than 8 bits or
//! finer chroma are converted to 8-bit 4:2:0 in [`planar`]. libavcodec conceals losses without reporting
//! them, so losses are known only from the demuxer.
//!
//! The library reorders frames by itself and passes each unit's pts through. The unit's number is given to it
//! as the pts, so that a frame that comes out later finds its timestamp and origin again.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;
use std::sync::Once;
use std::{ptr, slice};

use cutrickle_frame::{I420, Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Colour, Timestamp, VideoCodec};
use ffmpeg_sys_next as sys;

use self::planar::Samples;
use crate::{Error, Result, VideoDecoder};

mod planar;

/// The backend's name, as shown in the status.
pub(crate) const BACKEND: &str = "ffmpeg";

/// A decoder for one stream. It follows changes of size by itself.
pub(crate) struct FfmpegDecoder {
    context: NonNull<sys::AVCodecContext>,
    packet: NonNull<sys::AVPacket>,
    frame: NonNull<sys::AVFrame>,
    /// Whether a keyframe was seen; pictures before that are guesses.
    started: bool,
    /// The number of units so far, and the units whose frames have not come out yet.
    units: i64,
    within: VecDeque<Within>,
}

/// A unit whose frame has not come out yet.
struct Within {
    number: i64,
    timestamp: Timestamp,
    origin: Origin,
}

/// No stream reorders across more than 16 frames (H.264, A.3.1; H.265, A.4.2), so older units were lost in
/// the library.
const MAX_WITHIN: usize = 64;

// SAFETY: this object owns the three pointers, accesses them only through `&mut self`, and they are not bound
// to a thread.
unsafe impl Send for FfmpegDecoder {}

impl FfmpegDecoder {
    /// Creates a decoder that waits for the first keyframe.
    ///
    /// # Errors
    /// Fails with `is_unsupported` if the system's libavcodec was built without the codec, or if memory runs
    /// out.
    pub(crate) fn new(codec: VideoCodec) -> Result<Self> {
        static QUIET: Once = Once::new();
        // SAFETY: this sets one integer in the library.
        QUIET.call_once(|| unsafe { sys::av_log_set_level(sys::AV_LOG_QUIET) });
        let id = match codec {
            VideoCodec::H264 => sys::AVCodecID::AV_CODEC_ID_H264,
            VideoCodec::H265 => sys::AVCodecID::AV_CODEC_ID_HEVC,
        };
        // SAFETY: this returns a constant of the library, or null.
        let decoder = unsafe { sys::avcodec_find_decoder(id) };
        if decoder.is_null() {
            return Err(Error::unsupported(format!(
                "the system's libavcodec has no decoder for {}",
                codec.title()
            )));
        }
        // SAFETY: each of these returns a new object, or null.
        let (context, packet, frame) =
            unsafe { (sys::avcodec_alloc_context3(decoder), sys::av_packet_alloc(), sys::av_frame_alloc()) };
        let (Some(context), Some(packet), Some(frame)) =
            (NonNull::new(context), NonNull::new(packet), NonNull::new(frame))
        else {
            return Err(Error::failed("libavcodec is out of memory"));
        };
        let opened = Self { context, packet, frame, started: false, units: 0, within: VecDeque::new() };
        // SAFETY: the context is alive and not open yet, so it may be configured; it fits the decoder it is
        // opened with.
        let status = unsafe {
            let settings = &mut *context.as_ptr();
            settings.thread_count = 1;
            settings.pkt_timebase = sys::AVRational { num: 1, den: 90_000 };
            sys::avcodec_open2(context.as_ptr(), decoder, ptr::null_mut())
        };
        checked(status, "opening")?;
        Ok(opened)
    }

    /// Passes a unit's bytes to the library under this number, or signals the end of the stream.
    fn send(&mut self, unit: Option<(&[u8], i64)>) -> c_int {
        let Some((data, number)) = unit else {
            // SAFETY: the context is open; null signals the end of the stream.
            return unsafe { sys::avcodec_send_packet(self.context.as_ptr(), ptr::null()) };
        };
        let Ok(length) = c_int::try_from(data.len()) else { return sys::AVERROR_INVALIDDATA };
        // SAFETY: the packet is alive and empty. `av_new_packet` allocates `length` bytes and the padding
        // that the library may read, the copy fills them, and the library takes its own reference before the
        // packet is emptied.
        unsafe {
            let status = sys::av_new_packet(self.packet.as_ptr(), length);
            if status < 0 {
                return status;
            }
            let packet = &mut *self.packet.as_ptr();
            ptr::copy_nonoverlapping(data.as_ptr(), packet.data, data.len());
            (packet.pts, packet.dts) = (number, sys::AV_NOPTS_VALUE);
            let status = sys::avcodec_send_packet(self.context.as_ptr(), packet);
            sys::av_packet_unref(packet);
            status
        }
    }

    /// Emits every picture that is ready.
    fn receive(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        loop {
            // SAFETY: context and frame are alive; the library empties the frame before filling it.
            let status = unsafe { sys::avcodec_receive_frame(self.context.as_ptr(), self.frame.as_ptr()) };
            if status == sys::AVERROR(sys::EAGAIN) || status == sys::AVERROR_EOF {
                return Ok(());
            }
            checked(status, "decoding")?;
            // SAFETY: the library has just filled the frame and keeps it until it is emptied.
            let (picture, colour, number) = unsafe { picture(self.frame.as_ref()) }?;
            // A frame without a matching unit is a duplicate made by error concealment.
            let place = self.within.iter().position(|unit| unit.number == number);
            if let Some(unit) = place.and_then(|place| self.within.remove(place)) {
                out(VideoFrame::from_i420(picture, colour, unit.timestamp).of(unit.origin));
            }
        }
    }
}

impl VideoDecoder for FfmpegDecoder {
    fn decode(&mut self, unit: &AccessUnit, origin: Origin, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        self.started |= unit.keyframe;
        if !self.started || unit.data.is_empty() {
            return Ok(());
        }
        let number = self.units;
        self.units += 1;
        if self.within.len() == MAX_WITHIN {
            self.within.pop_front();
        }
        self.within.push_back(Within { number, timestamp: unit.pts, origin });
        let status = self.send(Some((&unit.data, number)));
        let received = self.receive(out);
        checked(status, &format!("the unit at {}", unit.pts))?;
        received
    }

    fn flush(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        let status = self.send(None);
        let received = self.receive(out);
        // SAFETY: the context is open. It accepts units again after this.
        unsafe { sys::avcodec_flush_buffers(self.context.as_ptr()) };
        self.started = false;
        self.within.clear();
        checked(status, "the end of the stream")?;
        received
    }

    fn backend(&self) -> &'static str {
        BACKEND
    }
}

impl Drop for FfmpegDecoder {
    fn drop(&mut self) {
        let (mut context, mut packet, mut frame) =
            (self.context.as_ptr(), self.packet.as_ptr(), self.frame.as_ptr());
        // SAFETY: all three came from the library's allocating functions and are not used afterwards.
        unsafe {
            sys::av_frame_free(&mut frame);
            sys::av_packet_free(&mut packet);
            sys::avcodec_free_context(&mut context);
        }
    }
}

/// Copies a picture, and returns it with its colour and the number of its unit.
///
/// # Safety
/// `frame` is as `avcodec_receive_frame` filled it.
unsafe fn picture(frame: &sys::AVFrame) -> Result<(I420, Colour, i64)> {
    let side = |pixels: c_int| u32::try_from(pixels).unwrap_or(0);
    let (width, height) = (side(frame.width), side(frame.height));
    // SAFETY: the format was set by the library itself, and a pixel format's description is a constant of the
    // library, or null.
    let format = unsafe {
        let number: sys::AVPixelFormat = std::mem::transmute(frame.format);
        sys::av_pix_fmt_desc_get(number).as_ref()
    };
    let format = format.ok_or_else(|| Error::unsupported("pictures of an unknown format"))?;
    // SAFETY: a description's name is a string constant.
    let name = unsafe { CStr::from_ptr(format.name) }.to_string_lossy();
    let unfit = |flag: i64| format.flags & flag as u64 != 0;
    let planes = usize::from(format.nb_components);
    if unfit(sys::AV_PIX_FMT_FLAG_RGB.into())
        || unfit(sys::AV_PIX_FMT_FLAG_BE.into())
        || !(planes == 1 || planes == 3 && unfit(sys::AV_PIX_FMT_FLAG_PLANAR.into()))
    {
        return Err(Error::unsupported(format!("pictures of format {name}")));
    }
    let depth = u32::try_from(format.comp[0].depth).unwrap_or(8);
    let bytes = depth.div_ceil(8) as usize;
    let mut samples = [const { Samples::NONE }; 3];
    for (index, plane) in samples.iter_mut().enumerate().take(planes) {
        let (right, down) = if index == 0 { (0, 0) } else { (format.log2_chroma_w, format.log2_chroma_h) };
        let (w, h) = ((width as usize).div_ceil(1 << right), (height as usize).div_ceil(1 << down));
        let stride = usize::try_from(frame.linesize[index]).unwrap_or(0);
        if w == 0 || h == 0 || stride < w * bytes || frame.data[index].is_null() {
            return Err(Error::failed(format!("libavcodec gave a {width}x{height} picture without samples")));
        }
        // SAFETY: a plane has `h` rows, `stride` bytes apart, and the last one has `w` samples.
        let data = unsafe { slice::from_raw_parts(frame.data[index], stride * (h - 1) + w * bytes) };
        *plane = Samples { data, stride, width: w, height: h, right, down };
    }
    let picture = planar::to_i420(width, height, depth, samples)?;
    let full_range = frame.color_range == sys::AVColorRange::AVCOL_RANGE_JPEG;
    let (matrix, primaries, transfer) =
        (frame.colorspace as u8, frame.color_primaries as u8, frame.color_trc as u8);
    let colour = Colour::from_vui(matrix, primaries, transfer, full_range, height);
    Ok((picture, colour, frame.pts))
}

/// Returns an error with the library's message if `status` is an error.
fn checked(status: c_int, what: &str) -> Result<()> {
    if status >= 0 {
        return Ok(());
    }
    let mut text: [c_char; 128] = [0; 128];
    // SAFETY: the library writes a NUL-terminated string of at most this length.
    let text = unsafe {
        sys::av_strerror(status, text.as_mut_ptr(), text.len());
        CStr::from_ptr(text.as_ptr())
    };
    Err(Error::failed(format!("libavcodec, {what}: {}", text.to_string_lossy())))
}
