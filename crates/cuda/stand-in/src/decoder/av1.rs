//! AV1: OBUs to pictures.

mod headers;

use std::collections::VecDeque;
use std::ffi::c_int;

use nvidia_video_codec_sdk::sys::cuviddec::{CUVIDPICPARAMS, cudaVideoCodec};
use nvidia_video_codec_sdk::sys::nvcuvid::CUVIDEOFORMAT;

use self::headers::{Frame, Sequence};
use super::stream::Unit;
use super::syntax::{Coded, References, Step, Syntax, chroma_format, set_size};

/// Bytes of the OBU that `bytes` begin with, its header among them.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    headers::extent(bytes).map(|(header, payload)| header.saturating_add(payload))
}

#[derive(Default)]
pub(super) struct Stream {
    /// With its OBU as it came.
    sequence: Option<(Sequence, Vec<u8>)>,
    /// The one that the caller was told of.
    active: Option<Sequence>,
    /// Of the temporal unit: all of its pictures have it.
    stamp: i64,
    picture: Option<Picture>,
    started: bool,
}

/// A picture whose tiles come.
struct Picture {
    coded: Coded,
    /// What tells the decoder to show a picture that is not shown by itself.
    show: Vec<u8>,
}

impl Syntax for Stream {
    fn unit(&mut self, unit: Unit, steps: &mut VecDeque<Step>) {
        let Some((kind, (header, _))) = headers::kind(&unit.bytes).zip(headers::extent(&unit.bytes)) else {
            return;
        };
        let Some(payload) = unit.bytes.get(header..) else { return };
        self.stamp = unit.stamp.unwrap_or(self.stamp);
        if kind != headers::TILE_GROUP {
            self.end_of_picture(steps);
        }
        match kind {
            headers::TEMPORAL_DELIMITER => {}
            headers::SEQUENCE => {
                if let Some(sequence) = Sequence::parse(payload) {
                    self.sequence = Some((sequence, unit.bytes));
                }
            }
            headers::FRAME | headers::FRAME_HEADER => self.frame(payload, &unit.bytes, steps),
            headers::TILE_GROUP => {
                if let Some(Picture { coded, .. }) = &mut self.picture {
                    coded.slices.push(coded.bytes.len() as u32);
                    coded.bytes.extend_from_slice(&unit.bytes);
                }
            }
            _ => {}
        }
    }

    fn end_of_picture(&mut self, steps: &mut VecDeque<Step>) {
        if let Some(Picture { mut coded, show }) = self.picture.take()
            && self.active.is_some()
        {
            coded.bytes.extend_from_slice(&show);
            steps.push_back(Step::Picture(Box::new(coded)));
        }
    }

    fn discontinuity(&mut self) {
        self.picture = None;
        self.started = false;
    }

    fn refused(&mut self) {
        self.active = None;
    }
}

impl Stream {
    fn frame(&mut self, payload: &[u8], obu: &[u8], steps: &mut VecDeque<Step>) {
        let Some((sequence, sequence_obu)) = &self.sequence else { return };
        let Some(frame) = Frame::parse(payload, sequence) else { return };
        let (key, intra, shown, into) = match frame {
            Frame::Existing { slot } => {
                if self.started {
                    steps.push_back(Step::Show { slot, timestamp: self.stamp });
                }
                return;
            }
            Frame::New { key, intra, shown, into } => (key, intra, shown, into),
        };
        if self.active.as_ref() != Some(sequence) {
            if !key {
                return;
            }
            steps.push_back(Step::Sequence(Box::new(format(sequence))));
            self.active = Some(sequence.clone());
        }
        self.started |= key;
        if !self.started {
            return;
        }
        // A temporal unit of its own. A device decodes what is not shown as well; so that the decoder here gives it,
        // a header that shows it (`show_existing_frame`, the slot, the trailing bit) follows.
        let mut bytes = vec![headers::TEMPORAL_DELIMITER << 3 | 2, 0];
        bytes.extend_from_slice(sequence_obu);
        let slices = vec![bytes.len() as u32];
        bytes.extend_from_slice(obu);
        let show = match into.trailing_zeros() {
            slot @ 0..8 if !shown => {
                vec![headers::FRAME_HEADER << 3 | 2, 1, 0x80 | (slot as u8) << 4 | 0x08]
            }
            _ => Vec::new(),
        };
        let coded = Coded {
            parameters: parameters(sequence, intra),
            bytes,
            slices,
            timestamp: self.stamp,
            fresh: key && shown,
            references: References::Slots(into),
            order: 0,
            reordered: 0,
            shown,
        };
        self.picture = Some(Picture { coded, show });
    }
}

fn format(sequence: &Sequence) -> CUVIDEOFORMAT {
    let mut format = CUVIDEOFORMAT { codec: cudaVideoCodec::cudaVideoCodec_AV1, ..CUVIDEOFORMAT::default() };
    format.progressive_sequence = 1;
    let depth = sequence.depth as u8 - 8;
    (format.bit_depth_luma_minus8, format.bit_depth_chroma_minus8) = (depth, depth);
    // The slots and the picture that is decoded.
    format.min_num_decode_surfaces = 9;
    set_size(&mut format, (sequence.width, sequence.height), [0; 4], (1, 1));
    format.chroma_format = match (sequence.monochrome, sequence.quarter_chroma) {
        (true, _) => chroma_format(0),
        (_, true) => chroma_format(1),
        _ => chroma_format(3),
    };
    let signal = &mut format.video_signal_description;
    signal.set_video_full_range_flag(u8::from(sequence.full_range));
    [signal.color_primaries, signal.transfer_characteristics, signal.matrix_coefficients] = sequence.colour;
    format
}

fn parameters(sequence: &Sequence, intra: bool) -> CUVIDPICPARAMS {
    let mut parameters = CUVIDPICPARAMS {
        PicWidthInMbs: sequence.width.div_ceil(16) as c_int,
        FrameHeightInMbs: sequence.height.div_ceil(16) as c_int,
        ref_pic_flag: 1,
        intra_pic_flag: c_int::from(intra),
        ..CUVIDPICPARAMS::default()
    };
    // SAFETY: all of the union is zero, and this codec's part of it is plain numbers.
    let codec = unsafe { &mut parameters.CodecSpecific.av1 };
    (codec.width, codec.height) = (sequence.width, sequence.height);
    parameters
}
