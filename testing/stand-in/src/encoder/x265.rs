//! Encodes H.265 with libx265, through libavcodec.

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::slice;

use cutrickle_codec::RateControl;
use cutrickle_frame::I420;
use ffmpeg_sys_next as sys;

use super::code;
use super::configuration::Configuration;
use super::software::Software;
use crate::status::{Answer, Status};

pub(super) struct Encoder {
    context: NonNull<sys::AVCodecContext>,
    packet: NonNull<sys::AVPacket>,
    frame: NonNull<sys::AVFrame>,
    pictures: i64,
}

// SAFETY: this encoder owns the three objects and reaches them only through `&mut self`; none is tied to a
// thread.
unsafe impl Send for Encoder {}

/// `AVCOL_RANGE_JPEG`.
const FULL_RANGE: i64 = 2;
/// `AVCOL_RANGE_MPEG`.
const LIMITED_RANGE: i64 = 1;

impl Encoder {
    pub(super) fn new(configuration: &Configuration) -> Answer<Self> {
        // SAFETY: the first call sets an integer of the library, the second returns a constant of it or null.
        let encoder = unsafe {
            sys::av_log_set_level(sys::AV_LOG_QUIET);
            sys::avcodec_find_encoder_by_name(c"libx265".as_ptr())
        };
        if encoder.is_null() {
            return Err(code::UNSUPPORTED_PARAM);
        }
        // SAFETY: each of these calls returns a new object or null.
        let (context, packet, frame) =
            unsafe { (sys::avcodec_alloc_context3(encoder), sys::av_packet_alloc(), sys::av_frame_alloc()) };
        let (Some(context), Some(packet), Some(frame)) =
            (NonNull::new(context), NonNull::new(packet), NonNull::new(frame))
        else {
            return Err(code::OUT_OF_MEMORY);
        };
        let opened = Self { context, packet, frame, pictures: 0 };
        opened.set(configuration)?;
        // SAFETY: the context is alive, configured, and not open yet.
        let status = unsafe { sys::avcodec_open2(context.as_ptr(), encoder, ptr::null_mut()) };
        if status < 0 { Err(code::INVALID_PARAM) } else { Ok(opened) }
    }

    fn set(&self, configuration: &Configuration) -> Answer {
        let config = &configuration.encoder;
        let rate = sys::AVRational { num: (config.fps * 1000.0).round() as i32, den: 1000 };
        let (width, height) = (config.size.width as i32, config.size.height as i32);
        // SAFETY: the context and the frame are alive and not in use.
        unsafe {
            let settings = &mut *self.context.as_ptr();
            (settings.width, settings.height) = (width, height);
            settings.time_base = sys::AVRational { num: rate.den, den: rate.num };
            settings.framerate = rate;
            settings.pix_fmt = sys::AVPixelFormat::AV_PIX_FMT_YUV420P;
            let frame = &mut *self.frame.as_ptr();
            (frame.width, frame.height) = (width, height);
            frame.format = sys::AVPixelFormat::AV_PIX_FMT_YUV420P as i32;
        }
        let colour = &config.colour;
        let range = if colour.full_range { FULL_RANGE } else { LIMITED_RANGE };
        self.option("color_range", &range.to_string())?;
        self.option("color_primaries", &colour.primaries.to_string())?;
        self.option("color_trc", &colour.transfer.to_string())?;
        self.option("colorspace", &colour.matrix_code().to_string())?;
        self.option("preset", "ultrafast")?;
        self.option("tune", "zerolatency")?;
        self.option("forced-idr", "1")?;
        let bits = |bits: u32| (bits / 1000).max(1);
        let (average, max) = (bits(config.bitrate), bits(configuration.max_bitrate));
        let control = match config.coding.rate {
            RateControl::Quality(quality) => format!("crf={quality}"),
            RateControl::Variable if configuration.max_bitrate == 0 => format!("bitrate={average}"),
            RateControl::Constant | RateControl::Variable => {
                format!("bitrate={average}:vbv-maxrate={max}:vbv-bufsize={max}")
            }
        };
        let fixed = "log-level=none:pools=none:frame-threads=1:info=0:repeat-headers=1:keyint=-1:scenecut=0";
        self.option("x265-params", &format!("{fixed}:{control}"))
    }

    /// Sets one of the library's options by its name.
    fn option(&self, name: &str, value: &str) -> Answer {
        let text = |text: &str| CString::new(text).map_err(|_| code::INVALID_PARAM);
        let (name, value) = (text(name)?, text(value)?);
        // SAFETY: the context is alive and begins with its class, as every object with options does. Both
        // texts end with a zero, and the library copies them.
        let status = unsafe {
            let object = self.context.as_ptr().cast::<c_void>();
            sys::av_opt_set(object, name.as_ptr(), value.as_ptr(), sys::AV_OPT_SEARCH_CHILDREN)
        };
        if status < 0 { Err(code::INVALID_PARAM) } else { Ok(()) }
    }

    /// Passes a frame to the encoder.
    fn send(&mut self, picture: &I420, idr: bool) -> Answer {
        // SAFETY: the frame is alive and has its size and format set. The encoder may still refer to the
        // memory of the previous frame, so new memory is allocated, whose rows have `linesize` bytes: at
        // least as many as the plane's.
        unsafe {
            let frame = &mut *self.frame.as_ptr();
            for buffer in &mut frame.buf {
                sys::av_buffer_unref(buffer);
            }
            if sys::av_frame_get_buffer(frame, 0) < 0 {
                return Err(code::OUT_OF_MEMORY);
            }
            for (index, plane) in picture.planes().iter().enumerate() {
                let stride = usize::try_from(frame.linesize[index]).map_err(|_| code::GENERIC)?;
                for (y, row) in plane.data.chunks(plane.width).enumerate() {
                    let to = slice::from_raw_parts_mut(frame.data[index].add(y * stride), row.len());
                    to.copy_from_slice(row);
                }
            }
            frame.pts = self.pictures;
            frame.pict_type = if idr {
                sys::AVPictureType::AV_PICTURE_TYPE_I
            } else {
                sys::AVPictureType::AV_PICTURE_TYPE_NONE
            };
            self.pictures += 1;
            let status = sys::avcodec_send_frame(self.context.as_ptr(), frame);
            if status < 0 { Err(Status(status)) } else { Ok(()) }
        }
    }
}

impl Software for Encoder {
    fn encode(&mut self, picture: I420, idr: bool) -> Option<(Vec<u8>, bool)> {
        self.send(&picture, idr).ok()?;
        // SAFETY: context and packet are alive. The library empties the packet before it fills it again, and
        // keeps its contents until then.
        unsafe {
            if sys::avcodec_receive_packet(self.context.as_ptr(), self.packet.as_ptr()) < 0 {
                return None;
            }
            let packet = self.packet.as_ref();
            let bytes = slice::from_raw_parts(packet.data, usize::try_from(packet.size).ok()?);
            Some((bytes.to_vec(), packet.flags & sys::AV_PKT_FLAG_KEY != 0))
        }
    }
}

impl Drop for Encoder {
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
