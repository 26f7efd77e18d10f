//! Assembles pictures from the parameter sets and slices of H.264.

mod headers;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;

use nvidia_video_codec_sdk::sys::cuviddec::{CUVIDPICPARAMS, cudaVideoCodec};
use nvidia_video_codec_sdk::sys::nvcuvid::CUVIDEOFORMAT;

use self::headers::{Pps, Slice, Sps};
use super::stream::Unit;
use super::syntax::{Coded, References, Step, Syntax, chroma_format, set_size};

#[derive(Default)]
pub(super) struct Stream {
    /// Each parameter set with the bytes that it was read from.
    sps: BTreeMap<u32, (Sps, Vec<u8>)>,
    pps: BTreeMap<u32, (Pps, Vec<u8>)>,
    /// The sequence that was announced to the caller last.
    active: Option<Sps>,
    /// The timestamp of the next picture.
    stamp: Option<i64>,
    picture: Option<Picture>,
    order: PictureOrder,
}

/// A picture whose slices are still arriving.
struct Picture {
    first: Slice,
    intra: bool,
    timestamp: i64,
    bytes: Vec<u8>,
    /// The offsets in `bytes` at which slices begin.
    slices: Vec<u32>,
}

impl Syntax for Stream {
    fn unit(&mut self, unit: Unit, steps: &mut VecDeque<Step>) {
        let Some(kind) = unit.bytes.first().map(|header| header & 0x1f) else { return };
        let is_slice = matches!(kind, headers::SLICE | headers::IDR_SLICE);
        // These units precede the slices of the picture that they belong to (7.4.1.2.3).
        if !is_slice && matches!(kind, 6..=11 | 14..=18) {
            self.end_of_picture(steps);
        }
        if is_slice {
            self.slice(unit, steps);
            return;
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
    }

    fn end_of_picture(&mut self, steps: &mut VecDeque<Step>) {
        let Some(picture) = self.picture.take() else { return };
        let Some(sps) = &self.active else { return };
        let Picture { first, timestamp, .. } = picture;
        steps.push_back(Step::Picture(Box::new(Coded {
            parameters: parameters(sps, &picture),
            fresh: first.idr,
            references: References::Sliding {
                is_one: first.reference,
                most: sps.reference_frames.max(1) as usize,
            },
            order: self.order.of(sps, &first),
            reordered: sps.reordered_frames(),
            shown: true,
            timestamp,
            bytes: picture.bytes,
            slices: picture.slices,
        })));
    }

    fn discontinuity(&mut self) {
        self.picture = None;
        self.stamp = None;
    }

    fn refused(&mut self) {
        self.active = None;
    }
}

impl Stream {
    fn slice(&mut self, unit: Unit, steps: &mut VecDeque<Step>) {
        let pps = Slice::pps_of(&unit.bytes).and_then(|id| self.pps.get(&id).cloned());
        let Some((pps, pps_bytes)) = pps else { return };
        let Some((sps, sps_bytes)) = self.sps.get(&pps.sps).cloned() else { return };
        let Some(slice) = Slice::parse(&unit.bytes, &sps) else { return };
        if self.picture.as_ref().is_some_and(|picture| slice.begins_after(&picture.first)) {
            self.end_of_picture(steps);
        }
        self.stamp = unit.stamp.or(self.stamp);
        if self.picture.is_none() {
            if self.active.as_ref() != Some(&sps) {
                if !slice.idr && self.active.is_some() {
                    return;
                }
                steps.push_back(Step::Sequence(Box::new(format(&sps, sps_bytes.len()))));
                self.active = Some(sps);
            }
            let timestamp = self.stamp.take().unwrap_or(0);
            let mut bytes = Vec::new();
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
    }
}

fn format(sps: &Sps, header: usize) -> CUVIDEOFORMAT {
    let mut format = CUVIDEOFORMAT { codec: cudaVideoCodec::cudaVideoCodec_H264, ..CUVIDEOFORMAT::default() };
    (format.frame_rate.numerator, format.frame_rate.denominator) = sps.rate;
    format.progressive_sequence = u8::from(sps.frames_only);
    format.bit_depth_luma_minus8 = sps.depth_luma as u8;
    format.bit_depth_chroma_minus8 = sps.depth_chroma as u8;
    format.min_num_decode_surfaces =
        (sps.buffered_frames().max(sps.reordered_frames() as u32 + sps.reference_frames) + 1).min(32) as u8;
    set_size(&mut format, (16 * sps.width, 16 * sps.height), sps.crop, sps.sample_aspect);
    format.chroma_format = chroma_format(sps.chroma_format);
    let signal = &mut format.video_signal_description;
    signal.set_video_format(sps.video_format);
    signal.set_video_full_range_flag(u8::from(sps.full_range));
    [signal.color_primaries, signal.transfer_characteristics, signal.matrix_coefficients] = sps.colour;
    format.seqhdr_data_length = header as u32;
    format
}

fn parameters(sps: &Sps, picture: &Picture) -> CUVIDPICPARAMS {
    let mut parameters = CUVIDPICPARAMS {
        PicWidthInMbs: sps.width as c_int,
        FrameHeightInMbs: sps.height as c_int,
        field_pic_flag: c_int::from(picture.first.field),
        ref_pic_flag: c_int::from(picture.first.reference),
        intra_pic_flag: c_int::from(picture.intra),
        ..CUVIDPICPARAMS::default()
    };
    // SAFETY: the union is all zeros, and this codec's part of it consists of plain numbers.
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

/// The picture order count (8.2.1).
///
/// Type 1 depends on syntax that is not read here, so decoding order takes its place.
#[derive(Default)]
struct PictureOrder {
    previous_msb: i64,
    previous_lsb: i64,
    frame_num_offset: i64,
    previous_frame_num: u32,
    in_sequence: i64,
}

impl PictureOrder {
    fn of(&mut self, sps: &Sps, slice: &Slice) -> i64 {
        self.in_sequence = if slice.idr { 0 } else { self.in_sequence + 1 };
        match sps.order_type {
            0 => {
                if slice.idr {
                    (self.previous_msb, self.previous_lsb) = (0, 0);
                }
                let (lsb, range) = (i64::from(slice.order_lsb), 1i64 << sps.log2_max_order_lsb);
                let msb = if lsb < self.previous_lsb && self.previous_lsb - lsb >= range / 2 {
                    self.previous_msb + range
                } else if lsb > self.previous_lsb && lsb - self.previous_lsb > range / 2 {
                    self.previous_msb - range
                } else {
                    self.previous_msb
                };
                if slice.reference {
                    (self.previous_msb, self.previous_lsb) = (msb, lsb);
                }
                msb + lsb
            }
            2 => {
                if slice.idr {
                    self.frame_num_offset = 0;
                } else if slice.frame_num < self.previous_frame_num {
                    self.frame_num_offset += 1i64 << sps.log2_max_frame_num;
                }
                self.previous_frame_num = slice.frame_num;
                2 * (self.frame_num_offset + i64::from(slice.frame_num)) - i64::from(!slice.reference)
            }
            _ => self.in_sequence,
        }
    }
}
