//! The parts of H.265's parameter sets and slice headers that the parser needs (7.3.2.2, 7.3.2.3, 7.3.6,
//! E.2.1).

use super::super::bits::Bits;
use super::references::Set;

pub(super) const VPS: u8 = 32;
pub(super) const SPS: u8 = 33;
pub(super) const PPS: u8 = 34;

/// `nal_unit_type` (7.3.1.2).
pub(super) fn kind(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header >> 1 & 0x3f)
}

/// Whether a NAL unit of this type holds a slice (table 7-1).
pub(super) fn is_slice(kind: u8) -> bool {
    matches!(kind, 0..=9 | 16..=21)
}

/// A sequence parameter set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sps {
    pub(super) id: u32,
    pub(super) chroma_format: u32,
    separate_planes: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    /// How many pixels are cropped at the left, right, top and bottom.
    pub(super) crop: [u32; 4],
    pub(super) depth_luma: u32,
    pub(super) depth_chroma: u32,
    log2_max_order_lsb: u32,
    /// How many pictures a decoder keeps, including the one being decoded.
    pub(super) buffered: u32,
    pub(super) reordered: u32,
    sets: Vec<Set>,
    pub(super) full_range: bool,
    /// Primaries, transfer, matrix.
    pub(super) colour: [u8; 3],
    /// The bytes of the set, changed to say that no pictures are reordered. A decoder that sorts its pictures
    /// then returns each one at once.
    pub(super) without_reordering: Vec<u8>,
}

impl Sps {
    /// Returns `None` for sets with long-term references, which are not supported.
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let mut bits = Bits::of(unit, 2);
        bits.skip(4);
        let sub_layers = bits.u(3)?;
        bits.skip(1);
        skip_profile(&mut bits, sub_layers)?;
        let mut sps = Self { id: bits.ue()?, chroma_format: bits.ue()?, colour: [2; 3], ..Self::default() };
        sps.separate_planes = sps.chroma_format == 3 && bits.flag()?;
        (sps.width, sps.height) = (bits.ue()?, bits.ue()?);
        if !(1..=8192).contains(&sps.width) || !(1..=8192).contains(&sps.height) {
            return None;
        }
        if bits.flag()? {
            let across = if matches!(sps.chroma_format, 1 | 2) { 2 } else { 1 };
            let down = if sps.chroma_format == 1 { 2 } else { 1 };
            for (side, unit) in sps.crop.iter_mut().zip([across, across, down, down]) {
                *side = bits.ue()?.checked_mul(unit)?;
            }
        }
        (sps.depth_luma, sps.depth_chroma) = (bits.ue()?.min(8), bits.ue()?.min(8));
        sps.log2_max_order_lsb = bits.ue()?.checked_add(4).filter(|bits| *bits <= 16)?;
        let first = if bits.flag()? { 0 } else { sub_layers };
        let mut reordering = Vec::new();
        for _ in first..=sub_layers {
            sps.buffered = bits.ue()?.min(15) + 1;
            let begin = bits.position();
            sps.reordered = bits.ue()?.min(15);
            reordering.push(begin..bits.position());
            bits.ue()?;
        }
        sps.without_reordering = without(unit, bits.payload(), &reordering);
        for _ in 0..6 {
            bits.ue()?;
        }
        if bits.flag()? && bits.flag()? {
            skip_scaling_lists(&mut bits)?;
        }
        bits.skip(2);
        if bits.flag()? {
            bits.skip(8);
            bits.ue()?;
            bits.ue()?;
            bits.skip(1);
        }
        for _ in 0..bits.ue()?.min(64) {
            let set = Set::read(&mut bits, &sps.sets, false)?;
            sps.sets.push(set);
        }
        if bits.flag()? {
            return None;
        }
        bits.skip(2);
        if bits.flag()? {
            // A truncated VUI still counts up to where it ends.
            let _ = sps.read_vui(&mut bits);
        }
        Some(sps)
    }

    fn read_vui(&mut self, bits: &mut Bits) -> Option<()> {
        if bits.flag()? && bits.u(8)? == 255 {
            bits.skip(32);
        }
        if bits.flag()? {
            bits.skip(1);
        }
        if bits.flag()? {
            bits.skip(3);
            self.full_range = bits.flag()?;
            if bits.flag()? {
                for code in &mut self.colour {
                    *code = bits.u(8)? as u8;
                }
            }
        }
        Some(())
    }
}

/// `profile_tier_level(1, sub_layers)` (7.3.3).
fn skip_profile(bits: &mut Bits, sub_layers: u32) -> Option<()> {
    bits.skip(88 + 8);
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers as usize));
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 });
    }
    Some(())
}

/// `scaling_list_data()` (7.3.4).
fn skip_scaling_lists(bits: &mut Bits) -> Option<()> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.flag()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.se()?;
            }
        }
    }
    Some(())
}

/// The NAL unit with each of these bit ranges of its payload replaced by a ue(v) of 0.
fn without(unit: &[u8], payload: &[u8], ranges: &[std::ops::Range<usize>]) -> Vec<u8> {
    let bit = |at: usize| payload[at / 8] >> (7 - at % 8) & 1;
    let mut bits = Vec::new();
    let mut at = 0;
    for range in ranges {
        bits.extend((at..range.start).map(bit));
        bits.push(1);
        at = range.end;
    }
    // The payload ends with the stop bit, which is the last bit that is set.
    let stop = (0..8 * payload.len()).rev().find(|at| bit(*at) == 1).unwrap_or(at);
    bits.extend((at..=stop).map(bit));
    let mut out: Vec<u8> = unit.iter().take(2).copied().collect();
    let mut zeros = 0;
    for byte in bits.chunks(8) {
        let byte = byte.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at));
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// The parts of a picture parameter set that reading a slice header needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pps {
    pub(super) id: u32,
    pub(super) sps: u32,
    output_flag: bool,
    extra_bits: u32,
}

impl Pps {
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let mut bits = Bits::of(unit, 2);
        let (id, sps) = (bits.ue()?, bits.ue()?);
        bits.skip(1);
        Some(Self { id, sps, output_flag: bits.flag()?, extra_bits: bits.u(3)? })
    }
}

/// The beginning of the header of a picture's first slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    kind: u8,
    layer: u8,
    order_lsb: u32,
    pub(super) shown: bool,
    /// The orders of the pictures that are kept, relative to this picture's.
    pub(super) references: Vec<i64>,
}

impl Slice {
    pub(super) fn begins_picture(unit: &[u8]) -> bool {
        unit.get(2).is_some_and(|byte| byte & 0x80 != 0)
    }

    /// The id of the picture parameter set that a picture's first slice refers to.
    pub(super) fn pps_of(unit: &[u8]) -> Option<u32> {
        let mut bits = Bits::of(unit, 2);
        bits.skip(if matches!(kind(unit)?, 16..=23) { 2 } else { 1 });
        bits.ue()
    }

    pub(super) fn parse(unit: &[u8], sps: &Sps, pps: &Pps) -> Option<Self> {
        let kind = kind(unit)?;
        let layer = (unit.get(1)? & 7).checked_sub(1)?;
        let mut bits = Bits::of(unit, 2);
        bits.skip(if matches!(kind, 16..=23) { 2 } else { 1 });
        bits.ue()?;
        bits.skip(pps.extra_bits as usize);
        bits.ue()?;
        let shown = !pps.output_flag || bits.flag()?;
        if sps.separate_planes {
            bits.skip(2);
        }
        let mut slice = Self { kind, layer, order_lsb: 0, shown, references: Vec::new() };
        if !slice.is_instantaneous() {
            slice.order_lsb = bits.u(sps.log2_max_order_lsb)?;
            let set = if bits.flag()? {
                let count = sps.sets.len() as u32;
                let index = if count > 1 { bits.u((count - 1).ilog2() + 1)? } else { 0 };
                sps.sets.get(index as usize)?.clone()
            } else {
                Set::read(&mut bits, &sps.sets, true)?
            };
            slice.references = set.all().collect();
        }
        Some(slice)
    }

    /// Whether this is an IDR, BLA or CRA picture.
    pub(super) fn is_random_access(&self) -> bool {
        matches!(self.kind, 16..=23)
    }

    pub(super) fn is_instantaneous(&self) -> bool {
        matches!(self.kind, 19 | 20)
    }

    /// Whether this is an IDR or BLA picture, which starts decoding afresh wherever it stands.
    pub(super) fn resets(&self) -> bool {
        matches!(self.kind, 16..=20)
    }

    /// Whether this is a RASL picture, which may refer to pictures before the one that it leads.
    pub(super) fn is_skipped_leading(&self) -> bool {
        matches!(self.kind, 8 | 9)
    }

    /// Whether the order of later pictures is counted from this one (8.3.1, prevTid0Pic).
    pub(super) fn is_anchor(&self) -> bool {
        let unreferenced = self.kind < 16 && self.kind.is_multiple_of(2);
        self.layer == 0 && !unreferenced && !matches!(self.kind, 6..=9)
    }

    /// The picture order count (8.3.1), given the anchor's.
    pub(super) fn order(&self, sps: &Sps, anchor: Option<i64>) -> i64 {
        let (lsb, range) = (i64::from(self.order_lsb), 1i64 << sps.log2_max_order_lsb);
        let Some(anchor) = anchor else { return lsb };
        let previous = anchor.rem_euclid(range);
        let msb = anchor - previous;
        if lsb < previous && previous - lsb >= range / 2 {
            msb + range + lsb
        } else if lsb > previous && lsb - previous > range / 2 {
            msb - range + lsb
        } else {
            msb + lsb
        }
    }
}
