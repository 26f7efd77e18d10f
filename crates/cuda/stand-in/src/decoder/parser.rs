//! The parser: packets in, and the caller's functions called for each sequence, picture to decode, and picture to
//! display.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, Mutex};

use nvidia_video_codec_sdk::sys::cuviddec::{CUVIDPICPARAMS, cudaVideoChromaFormat, cudaVideoCodec};
use nvidia_video_codec_sdk::sys::nvcuvid::{
    CUVIDEOFORMAT, CUVIDPARSERDISPINFO, CUVIDPARSERPARAMS, CUVIDSOURCEDATAPACKET, PFNVIDDECODECALLBACK,
    PFNVIDDISPLAYCALLBACK, PFNVIDSEQUENCECALLBACK,
};

use super::headers::{self, Pps, Slice, Sps};
use super::order::{Decoded, Order};
use super::stream::{Stream, Unit};
use crate::call::entry_points;
use crate::pointer::{In, Out};
use crate::report;
use crate::status::{Answer, Status};
use crate::table::{Handle, Table, lock};

struct Parser {
    state: Mutex<State>,
}

struct State {
    calls: Callbacks,
    stream: Stream,
    /// Parameter sets, and as they came.
    sps: BTreeMap<u32, (Sps, Vec<u8>)>,
    pps: BTreeMap<u32, (Pps, Vec<u8>)>,
    /// The sequence that the caller was told of.
    active: Option<Sps>,
    order: Order,
    /// The timestamp of the picture that begins.
    stamp: Option<i64>,
    picture: Option<Picture>,
}

/// A picture whose slices come.
struct Picture {
    first: Slice,
    intra: bool,
    timestamp: i64,
    bytes: Vec<u8>,
    /// Where slices begin.
    slices: Vec<u32>,
}

/// The caller's functions.
#[derive(Clone, Copy)]
struct Callbacks {
    user: *mut c_void,
    sequence: PFNVIDSEQUENCECALLBACK,
    decode: PFNVIDDECODECALLBACK,
    display: PFNVIDDISPLAYCALLBACK,
}

// SAFETY: it is handed to the caller's functions only, on the thread that calls the parser.
unsafe impl Send for Callbacks {}

static PARSERS: Table<Parser> = Table::new();

/// Parsers that were not destroyed.
pub(super) fn live() -> usize {
    PARSERS.len()
}

/// `CUvideopacketflags`.
const END_OF_STREAM: u64 = 1;
const TIMESTAMP: u64 = 2;
const DISCONTINUITY: u64 = 4;
const END_OF_PICTURE: u64 = 8;
const NOTIFY_END: u64 = 16;

impl State {
    fn packet(&mut self, packet: &CUVIDSOURCEDATAPACKET) -> Answer {
        let has = |flag| packet.flags & flag != 0;
        if has(DISCONTINUITY) {
            self.stream.clear();
            self.picture = None;
            self.stamp = None;
            let rest = self.order.finish();
            self.display(&rest)?;
        }
        let length = usize::try_from(packet.payload_size).map_err(|_| Status::INVALID_VALUE)?;
        if length > 0 {
            if packet.payload.is_null() {
                return Err(Status::INVALID_VALUE);
            }
            // SAFETY: the packet says that so many bytes are there.
            let bytes = unsafe { std::slice::from_raw_parts(packet.payload, length) };
            self.stream.push(bytes, has(TIMESTAMP).then_some(packet.timestamp));
        }
        let ended = has(END_OF_PICTURE) || has(END_OF_STREAM);
        while let Some(unit) = self.stream.next(ended) {
            self.unit(unit)?;
        }
        if ended {
            self.finish_picture()?;
        }
        if has(END_OF_STREAM) {
            let rest = self.order.finish();
            self.display(&rest)?;
            self.stream.clear();
            self.stamp = None;
            if has(NOTIFY_END)
                && let Some(display) = self.calls.display
            {
                // SAFETY: the caller's own function; that there is no picture is how the end is told.
                unsafe { display(self.calls.user, std::ptr::null_mut()) };
            }
        }
        Ok(())
    }

    fn unit(&mut self, unit: Unit) -> Answer {
        let Some(kind) = unit.bytes.first().map(|header| header & 0x1f) else { return Ok(()) };
        let is_slice = matches!(kind, headers::SLICE | headers::IDR_SLICE);
        // What stands before a picture's slices belongs to it (7.4.1.2.3).
        if !is_slice && matches!(kind, 6..=11 | 14..=18) {
            self.finish_picture()?;
        }
        if is_slice {
            return self.slice(unit);
        }
        self.stamp = unit.stamp.or(self.stamp);
        match kind {
            headers::SPS => {
                if let Some(sps) = Sps::parse(&unit.bytes) {
                    self.sps.insert(sps.id, (sps, unit.bytes));
                }
            }
            headers::PPS => {
                if let Some(pps) = Pps::parse(&unit.bytes) {
                    self.pps.insert(pps.id, (pps, unit.bytes));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn slice(&mut self, unit: Unit) -> Answer {
        let pps = Slice::pps_of(&unit.bytes).and_then(|id| self.pps.get(&id).cloned());
        let Some((pps, pps_bytes)) = pps else { return Ok(()) };
        let Some((sps, sps_bytes)) = self.sps.get(&pps.sps).cloned() else { return Ok(()) };
        let Some(slice) = Slice::parse(&unit.bytes, &sps) else { return Ok(()) };
        if self.picture.as_ref().is_some_and(|picture| slice.begins_after(&picture.first)) {
            self.finish_picture()?;
        }
        self.stamp = unit.stamp.or(self.stamp);
        if self.picture.is_none() {
            if self.active.as_ref() != Some(&sps) {
                if !slice.idr && self.active.is_some() {
                    return Ok(());
                }
                self.begin_sequence(&sps, sps_bytes.len())?;
            }
            let timestamp = self.stamp.take().unwrap_or(0);
            let mut bytes = Vec::new();
            // The real parser hands the sets over as numbers. The decoder here wants them as they came.
            for set in [&sps_bytes, &pps_bytes] {
                bytes.extend_from_slice(&[0, 0, 1]);
                bytes.extend_from_slice(set);
            }
            self.picture = Some(Picture { first: slice, intra: true, timestamp, bytes, slices: Vec::new() });
        }
        if let Some(picture) = &mut self.picture {
            picture.intra &= slice.intra;
            picture.slices.push(picture.bytes.len() as u32);
            picture.bytes.extend_from_slice(&[0, 0, 1]);
            picture.bytes.extend_from_slice(&unit.bytes);
        }
        Ok(())
    }

    fn begin_sequence(&mut self, sps: &Sps, header: usize) -> Answer {
        let rest = self.order.finish();
        self.display(&rest)?;
        let mut format = format(sps, header);
        let Some(sequence) = self.calls.sequence else { return Err(Status::UNKNOWN) };
        // SAFETY: the caller's own function, with a format that lives during the call.
        match unsafe { sequence(self.calls.user, &raw mut format) } {
            ..=0 => return Err(Status::UNKNOWN),
            1 => {}
            surfaces => self.order.set_surfaces(surfaces as usize),
        }
        self.active = Some(sps.clone());
        Ok(())
    }

    fn finish_picture(&mut self) -> Answer {
        let Some(picture) = self.picture.take() else { return Ok(()) };
        let Some(sps) = self.active.clone() else { return Ok(()) };
        if picture.first.idr {
            let rest = self.order.finish();
            self.display(&rest)?;
        }
        let surface = loop {
            if let Some(surface) = self.order.free_surface() {
                break surface;
            }
            match self.order.hurry() {
                Some(early) => self.display(&[early])?,
                None => {
                    report::wrong(
                        "cuvidParseVideoData",
                        "fewer surfaces than the stream has reference pictures",
                    );
                    return Err(Status::UNKNOWN);
                }
            }
        };
        let mut parameters = picture_parameters(&sps, &picture, surface);
        let Some(decode) = self.calls.decode else { return Err(Status::UNKNOWN) };
        // SAFETY: the caller's own function, with parameters, bytes and offsets that live during the call.
        if unsafe { decode(self.calls.user, &raw mut parameters) } <= 0 {
            return Err(Status::UNKNOWN);
        }
        let shown = self.order.push(&sps, &picture.first, surface, picture.timestamp);
        self.display(&shown)
    }

    fn display(&mut self, pictures: &[Decoded]) -> Answer {
        let Some(display) = self.calls.display else { return Ok(()) };
        for picture in pictures {
            let mut shown = CUVIDPARSERDISPINFO {
                picture_index: picture.surface as c_int,
                progressive_frame: 1,
                top_field_first: 0,
                repeat_first_field: 0,
                timestamp: picture.timestamp,
            };
            // SAFETY: the caller's own function, with what is shown living during the call.
            if unsafe { display(self.calls.user, &raw mut shown) } <= 0 {
                return Err(Status::UNKNOWN);
            }
        }
        Ok(())
    }
}

fn format(sps: &Sps, header: usize) -> CUVIDEOFORMAT {
    let (width, height) = (16 * sps.width, 16 * sps.height);
    let [left, right, top, bottom] = sps.crop;
    let mut format = CUVIDEOFORMAT { codec: cudaVideoCodec::cudaVideoCodec_H264, ..CUVIDEOFORMAT::default() };
    (format.frame_rate.numerator, format.frame_rate.denominator) = sps.rate;
    format.progressive_sequence = u8::from(sps.frames_only);
    format.bit_depth_luma_minus8 = sps.depth_luma as u8;
    format.bit_depth_chroma_minus8 = sps.depth_chroma as u8;
    format.min_num_decode_surfaces =
        (sps.buffered_frames().max(sps.reordered_frames() as u32 + sps.reference_frames) + 1).min(32) as u8;
    (format.coded_width, format.coded_height) = (width, height);
    format.display_area.left = left as c_int;
    format.display_area.top = top as c_int;
    format.display_area.right = width.saturating_sub(right) as c_int;
    format.display_area.bottom = height.saturating_sub(bottom) as c_int;
    format.chroma_format = match sps.chroma_format {
        0 => cudaVideoChromaFormat::cudaVideoChromaFormat_Monochrome,
        2 => cudaVideoChromaFormat::cudaVideoChromaFormat_422,
        3 => cudaVideoChromaFormat::cudaVideoChromaFormat_444,
        _ => cudaVideoChromaFormat::cudaVideoChromaFormat_420,
    };
    let shown = (width.saturating_sub(left + right).max(1), height.saturating_sub(top + bottom).max(1));
    let aspect = (u64::from(shown.0 * sps.sample_aspect.0), u64::from(shown.1 * sps.sample_aspect.1));
    let common = gcd(aspect.0, aspect.1).max(1);
    format.display_aspect_ratio.x = (aspect.0 / common) as c_int;
    format.display_aspect_ratio.y = (aspect.1 / common) as c_int;
    let signal = &mut format.video_signal_description;
    signal.set_video_format(sps.video_format);
    signal.set_video_full_range_flag(u8::from(sps.full_range));
    [signal.color_primaries, signal.transfer_characteristics, signal.matrix_coefficients] = sps.colour;
    format.seqhdr_data_length = header as u32;
    format
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn picture_parameters(sps: &Sps, picture: &Picture, surface: usize) -> CUVIDPICPARAMS {
    let mut parameters = CUVIDPICPARAMS {
        PicWidthInMbs: sps.width as c_int,
        FrameHeightInMbs: sps.height as c_int,
        CurrPicIdx: surface as c_int,
        field_pic_flag: c_int::from(picture.first.field),
        nBitstreamDataLen: picture.bytes.len() as u32,
        pBitstreamData: picture.bytes.as_ptr(),
        nNumSlices: picture.slices.len() as u32,
        pSliceDataOffsets: picture.slices.as_ptr(),
        ref_pic_flag: c_int::from(picture.first.reference),
        intra_pic_flag: c_int::from(picture.intra),
        ..CUVIDPICPARAMS::default()
    };
    // SAFETY: all of the union is zero, and this codec's part of it is plain numbers.
    let codec = unsafe { &mut parameters.CodecSpecific.h264 };
    codec.log2_max_frame_num_minus4 = sps.log2_max_frame_num as c_int - 4;
    codec.pic_order_cnt_type = sps.order_type as c_int;
    codec.frame_mbs_only_flag = c_int::from(sps.frames_only);
    codec.num_ref_frames = sps.reference_frames as c_int;
    codec.bit_depth_luma_minus8 = sps.depth_luma as u8;
    codec.bit_depth_chroma_minus8 = sps.depth_chroma as u8;
    codec.ref_pic_flag = c_int::from(picture.first.reference);
    codec.frame_num = picture.first.frame_num as c_int;
    parameters
}

entry_points! {
    fn cuvidCreateVideoParser(parser: Out<Handle>, parameters: In<CUVIDPARSERPARAMS>) needs Nothing {
        // cudaVideoCodec_H264; other codecs' streams are not parsed.
        if parameters.number(std::mem::offset_of!(CUVIDPARSERPARAMS, CodecType))? != 4 {
            return Err(Status::NOT_SUPPORTED);
        }
        let parameters = parameters.get()?;
        let reserved = parameters.uReserved() == 0
            && parameters.uReserved1 == [0; 4]
            && parameters.pvReserved2.iter().all(|pointer| pointer.is_null());
        if !reserved {
            report::wrong("cuvidCreateVideoParser", "reserved fields are not zero");
            return Err(Status::INVALID_VALUE);
        }
        if parameters.pfnSequenceCallback.is_none() || parameters.pfnDecodePicture.is_none() {
            return Err(Status::INVALID_VALUE);
        }
        if parameters.ulErrorThreshold > 100 {
            return Err(Status::INVALID_VALUE);
        }
        let surfaces = parameters.ulMaxNumDecodeSurfaces as usize;
        if surfaces == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let state = State {
            calls: Callbacks {
                user: parameters.pUserData,
                sequence: parameters.pfnSequenceCallback,
                decode: parameters.pfnDecodePicture,
                display: parameters.pfnDisplayPicture,
            },
            stream: Stream::default(),
            sps: BTreeMap::new(),
            pps: BTreeMap::new(),
            active: None,
            order: Order::new(surfaces, parameters.ulMaxDisplayDelay as usize),
            stamp: None,
            picture: None,
        };
        parser.put(PARSERS.insert(Arc::new(Parser { state: Mutex::new(state) })))
    }

    fn cuvidParseVideoData(parser: Handle, packet: In<CUVIDSOURCEDATAPACKET>) needs Nothing {
        let parser = PARSERS.get(parser).ok_or(Status::INVALID_HANDLE)?;
        let packet = packet.get()?;
        if packet.flags > 0x1f {
            return Err(Status::INVALID_VALUE);
        }
        lock(&parser.state).packet(&packet)
    }

    fn cuvidDestroyVideoParser(parser: Handle) needs Nothing {
        PARSERS.remove(parser).map(drop).ok_or(Status::INVALID_HANDLE)
    }
}
