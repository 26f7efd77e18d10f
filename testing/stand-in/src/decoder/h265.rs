//! Assembles pictures from the parameter sets and slices of H.265.

mod headers;
mod references;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_int;

use nvidia_video_codec_sdk::sys::cuviddec::{CUVIDPICPARAMS, cudaVideoCodec};
use nvidia_video_codec_sdk::sys::nvcuvid::CUVIDEOFORMAT;

use self::headers::{Pps, Slice, Sps};
use super::stream::Unit;
use super::syntax::{Coded, References, Step, Syntax, chroma_format, set_size};

#[derive(Default)]
pub(super) struct Stream {
    /// The bytes of the latest video parameter set, whose contents do not matter here.
    vps: Vec<u8>,
    sps: BTreeMap<u32, Sps>,
    /// Each picture parameter set with the bytes that it was read from.
    pps: BTreeMap<u32, (Pps, Vec<u8>)>,
    /// The sequence that was announced to the caller last.
    active: Option<Sps>,
    stamp: Option<i64>,
    picture: Option<Coded>,
    /// The order count of the latest picture from which others are counted (8.3.1).
    anchor: i64,
    /// Whether a picture was decoded since the sequence or the stream began.
    started: bool,
    /// Whether leading pictures cannot be decoded, because decoding started at the picture that they lead
    /// (8.1.3).
    skip_leading: bool,
}

impl Syntax for Stream {
    fn unit(&mut self, unit: Unit, steps: &mut VecDeque<Step>) {
        let Some(kind) = headers::kind(&unit.bytes) else { return };
        if headers::is_slice(kind) {
            self.slice(&unit, steps);
            return;
        }
        // These units precede the slices of the picture that they belong to (7.4.2.4.4).
        if matches!(kind, 32..=35 | 39 | 41..=44 | 48..=55) {
            self.end_of_picture(steps);
        }
        self.stamp = unit.stamp.or(self.stamp);
        match kind {
            headers::VPS => self.vps = unit.bytes,
            headers::SPS => {
                if let Some(sps) = Sps::parse(&unit.bytes) {
                    self.sps.insert(sps.id, sps);
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
        if let Some(picture) = self.picture.take()
            && self.active.is_some()
        {
            steps.push_back(Step::Picture(Box::new(picture)));
        }
    }

    fn discontinuity(&mut self) {
        self.picture = None;
        self.stamp = None;
        self.started = false;
    }

    fn refused(&mut self) {
        self.active = None;
    }
}

impl Stream {
    fn slice(&mut self, unit: &Unit, steps: &mut VecDeque<Step>) {
        let stamp = unit.stamp.or(self.stamp);
        if Slice::begins_picture(&unit.bytes) {
            self.end_of_picture(steps);
            self.stamp = stamp;
            self.picture = self.begin(unit, steps);
        }
        if let Some(picture) = &mut self.picture {
            picture.slices.push(picture.bytes.len() as u32);
            picture.bytes.extend_from_slice(&[0, 0, 1]);
            picture.bytes.extend_from_slice(&unit.bytes);
        }
    }

    /// Starts the picture whose first slice this is. Returns `None` if it cannot be decoded.
    fn begin(&mut self, unit: &Unit, steps: &mut VecDeque<Step>) -> Option<Coded> {
        let (pps, pps_bytes) = self.pps.get(&Slice::pps_of(&unit.bytes)?)?;
        let sps = self.sps.get(&pps.sps)?;
        let slice = Slice::parse(&unit.bytes, sps, pps)?;
        if self.active.as_ref() != Some(sps) {
            if !slice.is_random_access() {
                return None;
            }
            steps.push_back(Step::Sequence(Box::new(format(sps))));
            self.active = Some(sps.clone());
            self.started = false;
        }
        // IDR and BLA pictures are fresh, and so is the first picture (8.1.3, NoRaslOutputFlag).
        let fresh = slice.is_random_access() && (slice.resets() || !self.started);
        if slice.is_random_access() {
            self.skip_leading = fresh;
        }
        if !self.started && !fresh || slice.is_skipped_leading() && self.skip_leading {
            return None;
        }
        self.started = true;
        let order = slice.order(sps, if fresh { None } else { Some(self.anchor) });
        if slice.is_anchor() {
            self.anchor = order;
        }
        let mut bytes = Vec::new();
        for set in [&self.vps, &sps.without_reordering, pps_bytes] {
            bytes.extend_from_slice(&[0, 0, 1]);
            bytes.extend_from_slice(set);
        }
        Some(Coded {
            parameters: parameters(sps, &slice, order),
            bytes,
            slices: Vec::new(),
            timestamp: self.stamp.take().unwrap_or(0),
            fresh,
            references: References::Set(slice.references.iter().map(|delta| order + delta).collect()),
            order,
            reordered: sps.reordered as usize,
            shown: slice.shown,
        })
    }
}

fn format(sps: &Sps) -> CUVIDEOFORMAT {
    let mut format = CUVIDEOFORMAT { codec: cudaVideoCodec::cudaVideoCodec_HEVC, ..CUVIDEOFORMAT::default() };
    format.progressive_sequence = 1;
    format.bit_depth_luma_minus8 = sps.depth_luma as u8;
    format.bit_depth_chroma_minus8 = sps.depth_chroma as u8;
    format.min_num_decode_surfaces = (sps.buffered + 1).min(32) as u8;
    set_size(&mut format, (sps.width, sps.height), sps.crop, (1, 1));
    format.chroma_format = chroma_format(sps.chroma_format);
    let signal = &mut format.video_signal_description;
    signal.set_video_full_range_flag(u8::from(sps.full_range));
    [signal.color_primaries, signal.transfer_characteristics, signal.matrix_coefficients] = sps.colour;
    format
}

fn parameters(sps: &Sps, slice: &Slice, order: i64) -> CUVIDPICPARAMS {
    let mut parameters = CUVIDPICPARAMS {
        PicWidthInMbs: sps.width.div_ceil(16) as c_int,
        FrameHeightInMbs: sps.height.div_ceil(16) as c_int,
        ref_pic_flag: 1,
        intra_pic_flag: c_int::from(slice.is_random_access()),
        ..CUVIDPICPARAMS::default()
    };
    // SAFETY: the union is all zeros, and this codec's part of it consists of plain numbers.
    let codec = unsafe { &mut parameters.CodecSpecific.hevc };
    codec.pic_width_in_luma_samples = sps.width as c_int;
    codec.pic_height_in_luma_samples = sps.height as c_int;
    codec.bit_depth_luma_minus8 = sps.depth_luma as u8;
    codec.bit_depth_chroma_minus8 = sps.depth_chroma as u8;
    codec.IrapPicFlag = u8::from(slice.is_random_access());
    codec.IdrPicFlag = u8::from(slice.is_instantaneous());
    codec.CurrPicOrderCntVal = order as c_int;
    parameters
}
