//! The parts of H.264's parameter sets and slice headers that the parser needs (7.3.2.1, 7.3.2.2, 7.3.3,
//! E.1.1).

use super::super::bits::Bits;

pub(super) const SLICE: u8 = 1;
pub(super) const IDR_SLICE: u8 = 5;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;

/// A sequence parameter set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sps {
    pub(super) id: u32,
    pub(super) profile: u32,
    pub(super) level: u32,
    pub(super) chroma_format: u32,
    pub(super) depth_luma: u32,
    pub(super) depth_chroma: u32,
    pub(super) separate_planes: bool,
    pub(super) log2_max_frame_num: u32,
    pub(super) order_type: u32,
    pub(super) log2_max_order_lsb: u32,
    pub(super) reference_frames: u32,
    /// In macroblocks.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frames_only: bool,
    /// How many pixels are cropped at the left, right, top and bottom.
    pub(super) crop: [u32; 4],
    pub(super) sample_aspect: (u32, u32),
    pub(super) video_format: u8,
    pub(super) full_range: bool,
    /// Primaries, transfer, matrix.
    pub(super) colour: [u8; 3],
    /// `time_scale` and twice `num_units_in_tick`, or zeros if the stream gives no frame rate.
    pub(super) rate: (u32, u32),
    /// `max_num_reorder_frames` and `max_dec_frame_buffering`.
    restriction: Option<(u32, u32)>,
    intra_only: bool,
}

impl Sps {
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let mut bits = Bits::of(unit, 1);
        let profile = bits.u(8)?;
        let constraints = bits.u(8)?;
        let mut sps = Self {
            profile,
            level: bits.u(8)?,
            id: bits.ue()?,
            chroma_format: 1,
            sample_aspect: (1, 1),
            video_format: 5,
            colour: [2; 3],
            ..Self::default()
        };
        sps.intra_only = matches!(profile, 44 | 86 | 100 | 110 | 122 | 244) && constraints & 0x10 != 0;
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            sps.chroma_format = bits.ue()?;
            if sps.chroma_format == 3 {
                sps.separate_planes = bits.flag()?;
            }
            sps.depth_luma = bits.ue()?;
            sps.depth_chroma = bits.ue()?;
            bits.flag()?;
            if bits.flag()? {
                skip_scaling_lists(&mut bits, if sps.chroma_format == 3 { 12 } else { 8 })?;
            }
        }
        sps.log2_max_frame_num = bits.ue()?.checked_add(4)?;
        sps.order_type = bits.ue()?;
        if sps.order_type == 0 {
            sps.log2_max_order_lsb = bits.ue()?.checked_add(4)?;
        } else if sps.order_type == 1 {
            bits.flag()?;
            bits.se()?;
            bits.se()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.se()?;
            }
        }
        sps.reference_frames = bits.ue()?.min(16);
        bits.flag()?;
        sps.width = bits.ue()?.checked_add(1)?;
        let map_units = bits.ue()?.checked_add(1)?;
        sps.frames_only = bits.flag()?;
        sps.height = map_units.checked_mul(if sps.frames_only { 1 } else { 2 })?;
        if sps.width > 1024 || sps.height > 1024 || sps.log2_max_frame_num > 16 || sps.log2_max_order_lsb > 16
        {
            return None;
        }
        if !sps.frames_only {
            bits.flag()?;
        }
        bits.flag()?;
        if bits.flag()? {
            let across = if matches!(sps.chroma_format, 1 | 2) { 2 } else { 1 };
            let down = if sps.chroma_format == 1 { 2 } else { 1 } * if sps.frames_only { 1 } else { 2 };
            for (side, unit) in sps.crop.iter_mut().zip([across, across, down, down]) {
                *side = bits.ue()?.checked_mul(unit)?;
            }
        }
        if bits.flag()? {
            // A truncated VUI still counts up to where it ends.
            let _ = sps.read_vui(&mut bits);
        }
        Some(sps)
    }

    fn read_vui(&mut self, bits: &mut Bits) -> Option<()> {
        // Table E-1.
        const ASPECTS: [(u32, u32); 17] = [
            (1, 1),
            (1, 1),
            (12, 11),
            (10, 11),
            (16, 11),
            (40, 33),
            (24, 11),
            (20, 11),
            (32, 11),
            (80, 33),
            (18, 11),
            (15, 11),
            (64, 33),
            (160, 99),
            (4, 3),
            (3, 2),
            (2, 1),
        ];
        if bits.flag()? {
            self.sample_aspect = match bits.u(8)? {
                255 => (bits.u(16)?, bits.u(16)?),
                known => ASPECTS.get(known as usize).copied().unwrap_or((1, 1)),
            };
        }
        if bits.flag()? {
            bits.flag()?;
        }
        if bits.flag()? {
            self.video_format = bits.u(3)? as u8;
            self.full_range = bits.flag()?;
            if bits.flag()? {
                for code in &mut self.colour {
                    *code = bits.u(8)? as u8;
                }
            }
        }
        if bits.flag()? {
            bits.ue()?;
            bits.ue()?;
        }
        if bits.flag()? {
            let (units, scale) = (bits.u(32)?, bits.u(32)?);
            self.rate = (scale, units.checked_mul(2)?);
            bits.flag()?;
        }
        let nal = bits.flag()?;
        if nal {
            skip_hrd(bits)?;
        }
        let vcl = bits.flag()?;
        if vcl {
            skip_hrd(bits)?;
        }
        if nal || vcl {
            bits.flag()?;
        }
        bits.flag()?;
        if bits.flag()? {
            bits.flag()?;
            for _ in 0..4 {
                bits.ue()?;
            }
            self.restriction = Some((bits.ue()?.min(16), bits.ue()?.min(16)));
        }
        Some(())
    }

    /// How many frames a decoder must be able to keep: as many as the stream says, or `MaxDpbFrames` (A.3.1).
    pub(super) fn buffered_frames(&self) -> u32 {
        if let Some((_, buffered)) = self.restriction {
            return buffered.max(self.reference_frames).max(1);
        }
        // Table A-1, `MaxDpbMbs`.
        let macroblocks = match self.level {
            ..=10 => 396,
            11 => 900,
            12..=20 => 2376,
            21 => 4752,
            22..=30 => 8100,
            31 => 18_000,
            32 => 20_480,
            40 | 41 => 32_768,
            42 => 34_816,
            50 => 110_400,
            _ => 184_320,
        };
        (macroblocks / (self.width * self.height)).min(16).max(self.reference_frames).max(1)
    }

    /// How many pictures may precede another in decoding order and follow it in display order. If the stream
    /// does not say, it is as many as are kept.
    pub(super) fn reordered_frames(&self) -> usize {
        if self.profile == 66 || self.order_type == 2 || self.intra_only {
            return 0;
        }
        self.restriction.map_or(self.buffered_frames(), |(reordered, _)| reordered) as usize
    }
}

fn skip_scaling_lists(bits: &mut Bits, lists: usize) -> Option<()> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.se()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

fn skip_hrd(bits: &mut Bits) -> Option<()> {
    let count = bits.ue()?.min(31) + 1;
    bits.u(8)?;
    for _ in 0..count {
        bits.ue()?;
        bits.ue()?;
        bits.flag()?;
    }
    bits.u(20).map(drop)
}

/// The parts of a picture parameter set that reading a slice header needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pps {
    pub(super) id: u32,
    pub(super) sps: u32,
}

impl Pps {
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let mut bits = Bits::of(unit, 1);
        Some(Self { id: bits.ue()?, sps: bits.ue()? })
    }
}

/// The beginning of a slice header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) idr: bool,
    pub(super) reference: bool,
    pub(super) first_macroblock: u32,
    pub(super) intra: bool,
    pub(super) pps: u32,
    pub(super) frame_num: u32,
    pub(super) field: bool,
    idr_id: u32,
    pub(super) order_lsb: u32,
}

impl Slice {
    /// The id of the picture parameter set that a slice refers to.
    pub(super) fn pps_of(unit: &[u8]) -> Option<u32> {
        let mut bits = Bits::of(unit, 1);
        bits.ue()?;
        bits.ue()?;
        bits.ue()
    }

    pub(super) fn parse(unit: &[u8], sps: &Sps) -> Option<Self> {
        let header = *unit.first()?;
        let idr = header & 0x1f == IDR_SLICE;
        let mut bits = Bits::of(unit, 1);
        let first_macroblock = bits.ue()?;
        let intra = matches!(bits.ue()? % 5, 2 | 4);
        let pps = bits.ue()?;
        if sps.separate_planes {
            bits.u(2)?;
        }
        let frame_num = bits.u(sps.log2_max_frame_num)?;
        let field = !sps.frames_only && bits.flag()?;
        if field {
            bits.flag()?;
        }
        let idr_id = if idr { bits.ue()? } else { 0 };
        let order_lsb = if sps.order_type == 0 { bits.u(sps.log2_max_order_lsb)? } else { 0 };
        let reference = header & 0x60 != 0;
        Some(Self { idr, reference, first_macroblock, intra, pps, frame_num, field, idr_id, order_lsb })
    }

    /// Whether this slice belongs to another picture than the slice before it (7.4.1.2.4).
    pub(super) fn begins_after(&self, before: &Self) -> bool {
        self.first_macroblock == 0
            || self.frame_num != before.frame_num
            || self.reference != before.reference
            || self.idr != before.idr
            || self.idr_id != before.idr_id
            || self.order_lsb != before.order_lsb
    }
}
