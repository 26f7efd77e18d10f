//! Parses H.264 sequence parameter sets (7.3.2.1.1, E.1.1): what a decoder needs to support, how far the
//! stream reorders, and what its colours mean. The size is only for display; a decoder reports that of its
//! pictures itself.

use cutrickle_media::Colour;

use super::bits::Bits;

/// The fields of a sequence parameter set that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) chroma_format_idc: u32,
    /// The larger of the luma and chroma bit depths.
    pub(super) bit_depth: u32,
    /// `frame_mbs_only_flag`: no fields, no field macroblocks.
    pub(super) frames_only: bool,
    /// How many pictures can precede a picture in decoding order and follow it in output order; `None` if the
    /// stream does not say.
    pub(super) reorder: Option<usize>,
    /// Width and height in pixels after cropping; `None` if nothing remains.
    pub(super) size: Option<(u32, u32)>,
    full_range: bool,
    /// `colour_primaries`, `transfer_characteristics` and `matrix_coefficients`; 2 is "unspecified".
    colour: [u8; 3],
}

impl Sps {
    /// Reads a NAL unit of type 7, including its header. Returns `None` if it is truncated or out of range.
    pub(super) fn parse(unit: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(unit.get(1..)?);
        let profile = bits.read(8)?;
        let constraints = bits.read(8)?;
        let _level = bits.read(8)?;
        let _id = bits.ue()?;
        let mut sps = Self {
            chroma_format_idc: 1,
            bit_depth: 8,
            frames_only: true,
            reorder: None,
            size: None,
            full_range: false,
            colour: [2; 3],
        };
        // The profiles that carry a chroma format (7.3.2.1.1).
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            sps.chroma_format_idc = bits.ue()?;
            if sps.chroma_format_idc == 3 {
                bits.flag()?;
            }
            sps.bit_depth = 8 + bits.ue()?.max(bits.ue()?).min(6);
            let _transform_bypass = bits.flag()?;
            if bits.flag()? {
                skip_scaling_lists(&mut bits, if sps.chroma_format_idc == 3 { 12 } else { 8 })?;
            }
        }
        let _log2_max_frame_num = bits.ue()?;
        let order_type = bits.ue()?;
        match order_type {
            0 => {
                bits.ue()?;
            }
            1 => {
                bits.flag()?;
                bits.ue()?;
                bits.ue()?;
                for _ in 0..bits.ue()?.min(255) {
                    bits.ue()?;
                }
            }
            _ => {}
        }
        let _max_num_ref_frames = bits.ue()?;
        let _gaps_allowed = bits.flag()?;
        let (width, height) = (bits.ue()?, bits.ue()?);
        sps.frames_only = bits.flag()?;
        if !sps.frames_only {
            bits.flag()?;
        }
        let _direct_8x8_inference = bits.flag()?;
        let mut crop = [0; 4];
        if bits.flag()? {
            for edge in &mut crop {
                *edge = bits.ue()?;
            }
        }
        sps.size = sps.cropped(width, height, crop);
        let restriction = if bits.flag()? { sps.read_vui(&mut bits) } else { None };
        // Baseline has no B slices (A.2.1), order type 2 means decoding order (8.2.1.3), and intra-only
        // profiles never reorder (E.2.1, `max_num_reorder_frames`).
        let intra_only = matches!(profile, 44 | 86 | 100 | 110 | 122 | 244) && constraints & 0x10 != 0;
        sps.reorder = if profile == 66 || order_type == 2 || intra_only { Some(0) } else { restriction };
        Some(sps)
    }

    /// Computes the size (7.4.2.1.1) from macroblocks and map units minus one, and the cropping on the left,
    /// right, top and bottom.
    fn cropped(&self, width: u32, height: u32, [left, right, top, bottom]: [u32; 4]) -> Option<(u32, u32)> {
        let fields = if self.frames_only { 1 } else { 2 };
        let unit_x = if matches!(self.chroma_format_idc, 1 | 2) { 2 } else { 1 };
        let unit_y = if self.chroma_format_idc == 1 { 2 } else { 1 } * fields;
        let whole = |blocks: u32, scale: u32| blocks.checked_add(1)?.checked_mul(16 * scale);
        let cut = |one: u32, other: u32, unit: u32| one.checked_add(other)?.checked_mul(unit);
        let width = whole(width, 1)?.checked_sub(cut(left, right, unit_x)?)?;
        let height = whole(height, fields)?.checked_sub(cut(top, bottom, unit_y)?)?;
        (width > 0 && height > 0).then_some((width, height))
    }

    /// Reads the video usability information and returns `max_num_reorder_frames` if it is present.
    fn read_vui(&mut self, bits: &mut Bits<'_>) -> Option<usize> {
        const EXTENDED_SAR: u32 = 255;
        if bits.flag()? && bits.read(8)? == EXTENDED_SAR {
            bits.read(32)?;
        }
        if bits.flag()? {
            bits.flag()?;
        }
        if bits.flag()? {
            bits.read(3)?;
            self.full_range = bits.flag()?;
            if bits.flag()? {
                for code in &mut self.colour {
                    *code = bits.read(8)? as u8;
                }
            }
        }
        if bits.flag()? {
            bits.ue()?;
            bits.ue()?;
        }
        if bits.flag()? {
            bits.read(32)?;
            bits.read(32)?;
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
        let _pic_struct = bits.flag()?;
        if !bits.flag()? {
            return None;
        }
        bits.flag()?;
        for _ in 0..4 {
            bits.ue()?;
        }
        usize::try_from(bits.ue()?).ok().map(|depth| depth.min(16))
    }

    /// The colour that the stream signals, for pictures with `height` lines.
    pub(super) fn colour(&self, height: u32) -> Colour {
        let [primaries, transfer, matrix] = self.colour;
        Colour::from_vui(matrix, primaries, transfer, self.full_range, height)
    }
}

/// Returns the parameter set with its profile changed to "Scalable Baseline" (83), for which openh264 outputs
/// each picture as soon as it is decoded, whatever tools the stream uses. All else stays the same; the fields
/// that High has and Main lacks are added with the values that Main implies. A truncated set, or one whose
/// profile the library does not delay, is left alone.
pub(super) fn undelayed(unit: &[u8]) -> Vec<u8> {
    const SCALABLE_BASELINE: u8 = 83;
    // chroma_format_idc 1, bit depths 8 and 8, no transform bypass, no scaling matrix.
    const MAIN_IMPLIES: [bool; 7] = [false, true, false, true, true, false, false];
    let mut changed = unit.to_vec();
    match unit.get(1) {
        Some(100) => changed[1] = SCALABLE_BASELINE,
        Some(77 | 88) => {
            let mut head = Bits::new(&unit[2..]);
            if head.read(16).and_then(|_| head.ue()).is_none() {
                return changed;
            }
            let mut rest = Bits::new(&unit[2..]);
            let head = (0..head.position()).map_while(|_| rest.flag());
            let mut bits: Vec<bool> = head.chain(MAIN_IMPLIES).collect();
            bits.extend(std::iter::from_fn(|| rest.flag()));
            changed.truncate(1);
            changed.push(SCALABLE_BASELINE);
            for byte in bits.chunks(8) {
                let byte =
                    byte.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at));
                if byte <= 3 && changed.ends_with(&[0, 0]) {
                    changed.push(3);
                }
                changed.push(byte);
            }
        }
        _ => {}
    }
    changed
}

/// Skips `lists` times `scaling_list` (7.3.2.1.1.1), each with its flag.
fn skip_scaling_lists(bits: &mut Bits<'_>, lists: usize) -> Option<()> {
    for list in 0..lists {
        if !bits.flag()? {
            continue;
        }
        let mut next = 8i32;
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (next.wrapping_add(bits.se()?)).rem_euclid(256);
            }
        }
    }
    Some(())
}

/// Skips `hrd_parameters` (E.1.2).
fn skip_hrd(bits: &mut Bits<'_>) -> Option<()> {
    let count = bits.ue()?.min(31) + 1;
    bits.read(8)?;
    for _ in 0..count {
        bits.ue()?;
        bits.ue()?;
        bits.flag()?;
    }
    bits.read(20)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264: High, 1280x720, signalling BT.709, three B-frames with a pyramid.
    const HIGH_WITH_B: [u8; 33] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00,
        0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x18, 0xcb, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn reordering_and_colour_are_read_behind_emulation_prevention() {
        let sps = Sps::parse(&HIGH_WITH_B).unwrap();
        assert_eq!(sps.reorder, Some(2));
        assert_eq!(sps.colour(720), Colour::BT709);
        assert!(sps.frames_only);
        assert_eq!(sps.size, Some((1280, 720)));
        assert_eq!((sps.chroma_format_idc, sps.bit_depth), (1, 8));
    }

    #[test]
    fn a_size_that_is_cut_to_nothing_or_overflows_is_none() {
        let sps = Sps { size: None, ..Sps::parse(&HIGH_WITH_B).unwrap() };
        assert_eq!(sps.cropped(119, 67, [0, 0, 0, 4]), Some((1920, 1080)));
        let fields = Sps { frames_only: false, ..sps };
        assert_eq!(fields.cropped(119, 33, [0, 0, 0, 2]), Some((1920, 1080)));
        for (width, height, crop) in
            [(0, 0, [8, 0, 0, 0]), (0, 0, [9, 0, 0, 0]), (u32::MAX, 0, [0; 4]), (0, 0, [u32::MAX; 4])]
        {
            assert_eq!(sps.cropped(width, height, crop), None);
        }
    }

    #[test]
    fn a_set_for_undelayed_decoding_says_the_same() {
        let sps = Sps::parse(&HIGH_WITH_B);
        assert_eq!(Sps::parse(&undelayed(&HIGH_WITH_B)), sps);
        // The same parameter set as Main would write it, without the seven bits.
        let main = undelayed(&[0x67, 0x4d, 0x00, 0x1f, 0x96, 0x54, 0x01, 0x40, 0x16, 0xec, 0x80]);
        assert_eq!(&main[..5], [0x67, 83, 0x00, 0x1f, 0xac]);
        assert_eq!(main.len(), 12);
    }

    #[test]
    fn no_prefix_of_a_parameter_set_panics() {
        for end in 0..HIGH_WITH_B.len() {
            let mut unit = HIGH_WITH_B[..end].to_vec();
            let _ = (Sps::parse(&unit), undelayed(&unit));
            unit.iter_mut().skip(1).take(1).for_each(|profile| *profile = 77);
            let _ = (Sps::parse(&unit), undelayed(&unit));
        }
        let _ = Sps::parse(&[0xff; 64]);
        let _ = Sps::parse(&[0x00; 64]);
    }
}
