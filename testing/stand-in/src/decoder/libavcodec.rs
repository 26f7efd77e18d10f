//! Decodes H.265 of 8 and 10 bits with libavcodec.

use std::ffi::{CStr, c_int};
use std::ptr::{self, NonNull};
use std::slice;

use ffmpeg_sys_next as sys;

use super::software::{Plane, Planes, Software};
use crate::status::{Answer, Status};

pub(super) struct Decoder {
    context: NonNull<sys::AVCodecContext>,
    packet: NonNull<sys::AVPacket>,
    frame: NonNull<sys::AVFrame>,
}

// SAFETY: this decoder owns the three objects and reaches them only through `&mut self`; none is tied to a
// thread.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(super) fn new() -> Answer<Self> {
        // SAFETY: the first call sets an integer of the library, the second returns a constant of it or null.
        let decoder = unsafe {
            sys::av_log_set_level(sys::AV_LOG_QUIET);
            sys::avcodec_find_decoder_by_name(c"hevc".as_ptr())
        };
        if decoder.is_null() {
            return Err(Status::NOT_SUPPORTED);
        }
        // SAFETY: each of these calls returns a new object or null.
        let (context, packet, frame) =
            unsafe { (sys::avcodec_alloc_context3(decoder), sys::av_packet_alloc(), sys::av_frame_alloc()) };
        let (Some(context), Some(packet), Some(frame)) =
            (NonNull::new(context), NonNull::new(packet), NonNull::new(frame))
        else {
            return Err(Status::OUT_OF_MEMORY);
        };
        let opened = Self { context, packet, frame };
        // SAFETY: the context is alive and not open yet, so its settings may still change.
        let status = unsafe {
            let settings = &mut *context.as_ptr();
            // With more threads the decoder would hold pictures back.
            settings.thread_count = 1;
            // The whole coded picture is needed: the caller chooses which part of it to display.
            settings.apply_cropping = 0;
            sys::avcodec_open2(context.as_ptr(), decoder, ptr::null_mut())
        };
        if status < 0 { Err(Status::NOT_SUPPORTED) } else { Ok(opened) }
    }

    fn send(&mut self, bytes: &[u8]) -> bool {
        let Ok(length) = c_int::try_from(bytes.len()) else { return false };
        // SAFETY: the packet is alive and empty. It is given room for `length` bytes, which the copy fills,
        // and the library takes its own reference to them before the packet is emptied again.
        unsafe {
            if sys::av_new_packet(self.packet.as_ptr(), length) < 0 {
                return false;
            }
            let packet = &mut *self.packet.as_ptr();
            ptr::copy_nonoverlapping(bytes.as_ptr(), packet.data, bytes.len());
            let status = sys::avcodec_send_packet(self.context.as_ptr(), packet);
            sys::av_packet_unref(packet);
            status >= 0
        }
    }
}

impl Software for Decoder {
    fn decode(&mut self, bytes: &[u8], _: bool) -> (Option<Planes>, bool) {
        let mut whole = self.send(bytes);
        let mut picture = None;
        // SAFETY: context and frame are alive. The library empties the frame before it fills it again, and
        // keeps its contents until then.
        while unsafe { sys::avcodec_receive_frame(self.context.as_ptr(), self.frame.as_ptr()) } >= 0 {
            // SAFETY: as above.
            let frame = unsafe { self.frame.as_ref() };
            whole &= frame.flags & sys::AV_FRAME_FLAG_CORRUPT as c_int == 0 && frame.decode_error_flags == 0;
            // SAFETY: the library has just filled the frame in.
            picture = unsafe { planes(frame) };
        }
        let whole = whole && picture.is_some();
        (picture, whole)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let (mut context, mut packet, mut frame) =
            (self.context.as_ptr(), self.packet.as_ptr(), self.frame.as_ptr());
        // SAFETY: the library allocated all three, and nobody uses them afterwards.
        unsafe {
            sys::av_frame_free(&mut frame);
            sys::av_packet_free(&mut packet);
            sys::avcodec_free_context(&mut context);
        }
    }
}

/// # Safety
/// `frame` must be as `avcodec_receive_frame` filled it in.
unsafe fn planes(frame: &sys::AVFrame) -> Option<Planes> {
    // SAFETY: the library itself set the format, whose name is a constant or null.
    let name = unsafe {
        let number: sys::AVPixelFormat = std::mem::transmute(frame.format);
        let name = sys::av_get_pix_fmt_name(number);
        if name.is_null() { c"" } else { CStr::from_ptr(name) }
    };
    let depth: u32 = match name.to_bytes() {
        b"yuv420p" => 8,
        b"yuv420p10le" => 10,
        _ => return None,
    };
    let size = depth.div_ceil(8) as usize;
    let (width, height) = (usize::try_from(frame.width).ok()?, usize::try_from(frame.height).ok()?);
    let mut planes = [Plane::default(), Plane::default(), Plane::default()];
    for (index, plane) in planes.iter_mut().enumerate() {
        let (w, h) = if index == 0 { (width, height) } else { (width.div_ceil(2), height.div_ceil(2)) };
        let stride = usize::try_from(frame.linesize[index]).ok()?;
        for row in 0..h {
            // SAFETY: a planar picture has `h` rows of `w` samples each, `stride` bytes apart.
            let bytes = unsafe { slice::from_raw_parts(frame.data[index].add(row * stride), w * size) };
            let sample = |at: &[u8]| at.iter().rev().fold(0, |value, byte| value << 8 | u16::from(*byte));
            plane.samples.extend(bytes.chunks_exact(size).map(sample));
        }
        (plane.width, plane.height) = (w, h);
    }
    Some(Planes { depth, planes })
}
