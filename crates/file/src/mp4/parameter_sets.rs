//! What a sample's description repeats of a sequence parameter set (ITU-T H.264, 7.3.2.1.1; ITU-T H.265, 7.3.2.2.1 and
//! 7.3.3): the format of the samples, and for H.265 profile and size as well.

use cutrickle_media::Size;

/// How the samples of a picture are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// `chroma_format_idc`.
    pub(super) chroma: u8,
    /// Bits of a sample of luma, less 8.
    pub(super) luma_beyond_8: u8,
    /// Bits of a sample of chroma, less 8.
    pub(super) chroma_beyond_8: u8,
}

/// What a sequence parameter set of H.265 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct H265 {
    pub(super) format: Format,
    /// After cropping.
    pub(super) size: Size,
    /// Sub-layers, and whether they nest.
    pub(super) layers: u8,
    pub(super) nested: bool,
    /// `general_profile_space`, `general_tier_flag`, `general_profile_idc`.
    pub(super) profile_space: u8,
    pub(super) high_tier: bool,
    pub(super) profile: u8,
    /// `general_profile_compatibility_flag`s.
    pub(super) compatibility: [u8; 4],
    /// The constraints between them and the level.
    pub(super) constraints: [u8; 6],
    /// `general_level_idc`.
    pub(super) level: u8,
}

/// The format that a sequence parameter set of H.264 names, header included; `None` for the profiles whose format is always
/// 4:2:0 of 8 bits, and where the set is cut off.
pub(super) fn h264_format(set: &[u8]) -> Option<Format> {
    let payload = unescaped(set.get(1..)?);
    let mut bits = Bits::new(&payload);
    let profile = bits.read(8)?;
    if !matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        return None;
    }
    let _constraints_and_level = bits.read(16)?;
    let _id = bits.ue()?;
    Format::read(&mut bits, |_| Some(()))
}

/// Reads a sequence parameter set of H.265, header included; `None` where it is cut off or its size is none.
pub(super) fn h265(set: &[u8]) -> Option<H265> {
    let payload = unescaped(set.get(2..)?);
    // What the description takes over as it is lies on whole bytes.
    let (head, profile) = (*payload.first()?, *payload.get(1)?);
    let compatibility = *payload.get(2..)?.first_chunk()?;
    let constraints = *payload.get(6..)?.first_chunk()?;
    let level = *payload.get(12)?;
    let mut bits = Bits::new(payload.get(13..)?);
    let more_layers = head >> 1 & 7;
    skip_layers(&mut bits, more_layers.into())?;
    let _id = bits.ue()?;
    let (mut width, mut height, mut crop) = (0, 0, [0; 4]);
    let format = Format::read(&mut bits, |bits| {
        (width, height) = (bits.ue()?, bits.ue()?);
        if bits.flag()? {
            for edge in &mut crop {
                *edge = bits.ue()?;
            }
        }
        Some(())
    })?;
    let (unit_x, unit_y) = match format.chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let [left, right, top, bottom] = crop;
    let less = |whole: u32, one: u32, other: u32, unit: u32| {
        whole.checked_sub(one.checked_add(other)?.checked_mul(unit)?).filter(|left| *left > 0)
    };
    Some(H265 {
        format,
        size: Size::new(less(width, left, right, unit_x)?, less(height, top, bottom, unit_y)?),
        layers: more_layers + 1,
        nested: head & 1 == 1,
        profile_space: profile >> 6,
        high_tier: profile & 0x20 != 0,
        profile: profile & 0x1F,
        compatibility,
        constraints,
        level,
    })
}

/// The profiles and levels of sub-layers in `profile_tier_level`, of which there are `count`.
fn skip_layers(bits: &mut Bits<'_>, count: u32) -> Option<()> {
    let mut present = Vec::new();
    for _ in 0..count {
        present.push((bits.flag()?, bits.flag()?));
    }
    if count > 0 {
        bits.read(2 * (8 - count))?;
    }
    for (has_profile, has_level) in present {
        if has_profile {
            bits.read(32)?;
            bits.read(32)?;
            bits.read(24)?;
        }
        if has_level {
            bits.read(8)?;
        }
    }
    Some(())
}

impl Format {
    /// Reads the chroma format, by `between` what lies between it and the depths, and these.
    fn read<'a>(bits: &mut Bits<'a>, between: impl FnOnce(&mut Bits<'a>) -> Option<()>) -> Option<Self> {
        let chroma = u8::try_from(bits.ue()?).ok().filter(|chroma| *chroma < 4)?;
        if chroma == 3 {
            let _separate_colour_planes = bits.flag()?;
        }
        between(bits)?;
        let depth = |bits: &mut Bits<'a>| u8::try_from(bits.ue()?).ok().filter(|beyond| *beyond < 8);
        Some(Self { chroma, luma_beyond_8: depth(bits)?, chroma_beyond_8: depth(bits)? })
    }
}

/// The payload of a NAL unit without emulation prevention bytes (H.264, 7.4.1; H.265, 7.4.2).
fn unescaped(unit: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(unit.len());
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

/// Reads bits, the first one of a byte being its highest.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        let byte = self.data.get(self.at / 8)?;
        let set = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(set)
    }

    /// Up to 32 bits.
    fn read(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// An unsigned Exp-Golomb code (H.264, 9.1).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        Some(((1 << zeros) - 1) + self.read(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x264: High, 1280x720, 4:2:0 of 8 bits.
    const HIGH: [u8; 28] = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00,
        0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x18, 0xcb,
    ];

    /// x265: Main, level 2, 320x180 cut from 320x184.
    const MAIN: [u8; 43] = [
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x3c, 0xa0, 0x0a, 0x08, 0x0b, 0x9f, 0x79, 0x65, 0x66, 0x92, 0x4c, 0xaf, 0x01, 0x68, 0x08, 0x00, 0x00,
        0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x40,
    ];

    #[test]
    fn formats_are_read_of_the_profiles_that_have_one() {
        let usual = Format { chroma: 1, luma_beyond_8: 0, chroma_beyond_8: 0 };
        assert_eq!(h264_format(&HIGH), Some(usual));
        let mut baseline = HIGH;
        baseline[1] = 66;
        assert_eq!(h264_format(&baseline), None);
    }

    #[test]
    fn h265_is_read_behind_emulation_prevention() {
        let set = h265(&MAIN).unwrap();
        assert_eq!(set.size, Size::new(320, 180));
        assert_eq!((set.profile, set.profile_space, set.high_tier, set.level), (1, 0, false, 60));
        assert_eq!((set.layers, set.nested), (1, true));
        assert_eq!(set.compatibility, [0x60, 0, 0, 0]);
        assert_eq!(set.constraints, [0x90, 0, 0, 0, 0, 0]);
        assert_eq!(set.format, Format { chroma: 1, luma_beyond_8: 0, chroma_beyond_8: 0 });
    }

    #[test]
    fn no_prefix_of_a_parameter_set_panics() {
        for end in 0..MAIN.len() {
            let _ = h265(&MAIN[..end]);
            let _ = h264_format(&HIGH[..end.min(HIGH.len())]);
        }
        for byte in [0, 0xff] {
            let _ = (h265(&[byte; 64]), h264_format(&[byte; 64]));
        }
    }
}
