//! Parses the NAL units of an H.265 byte stream as far as reordering needs (7.3.1.2, 7.3.2.2.1).

use super::bits::Bits;

/// The NAL unit type of a sequence parameter set (table 7-1).
pub(super) const SPS: u8 = 33;

/// The `nal_unit_type` of a NAL unit.
pub(super) fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header >> 1 & 0x3f)
}

/// Whether the type is that of a slice.
pub(super) fn is_slice(kind: u8) -> bool {
    kind < 32
}

/// Whether the type is that of an instantaneous decoding refresh (IDR) picture.
pub(super) fn is_idr(kind: u8) -> bool {
    matches!(kind, 19 | 20)
}

/// Reads, from a sequence parameter set with its header, how many pictures can precede a picture in decoding
/// order and follow it in output order (`sps_max_num_reorder_pics` of all layers).
pub(super) fn reorder_depth(unit: &[u8]) -> Option<usize> {
    let mut bits = Bits::new(unit.get(2..)?);
    bits.read(4)?;
    let layers = bits.read(3)?;
    bits.flag()?;
    skip_profile_tier_level(&mut bits, layers)?;
    let _id = bits.ue()?;
    if bits.ue()? == 3 {
        bits.flag()?;
    }
    let (_width, _height) = (bits.ue()?, bits.ue()?);
    if bits.flag()? {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    let (_luma, _chroma) = (bits.ue()?, bits.ue()?);
    let _log2_max_pic_order_cnt_lsb = bits.ue()?;
    let mut depth = 0;
    for _ in if bits.flag()? { 0 } else { layers }..=layers {
        let _buffering = bits.ue()?;
        depth = bits.ue()?;
        let _latency = bits.ue()?;
    }
    usize::try_from(depth).ok().map(|depth| depth.min(16))
}

/// Skips `profile_tier_level(1, layers)` (7.3.3).
fn skip_profile_tier_level(bits: &mut Bits<'_>, layers: u32) -> Option<()> {
    let profile = |bits: &mut Bits<'_>| bits.read(32).and(bits.read(32)).and(bits.read(24));
    profile(bits)?;
    bits.read(8)?;
    let mut present = Vec::new();
    for _ in 0..layers {
        present.push((bits.flag()?, bits.flag()?));
    }
    if layers > 0 {
        bits.read(2 * (8 - layers))?;
    }
    for (has_profile, has_level) in present {
        if has_profile {
            profile(bits)?;
        }
        if has_level {
            bits.read(8)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x265: Main, 320x180 cropped from 320x184, four B-frames with a pyramid.
    const SPS_WITH_B: [u8; 43] = [
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00, 0x03, 0x00,
        0x3c, 0xa0, 0x0a, 0x08, 0x0b, 0x9f, 0x79, 0x65, 0x66, 0x92, 0x4c, 0xaf, 0x01, 0x68, 0x08, 0x00, 0x00,
        0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x40,
    ];

    #[test]
    fn the_depth_is_read_behind_emulation_prevention() {
        assert_eq!(reorder_depth(&SPS_WITH_B), Some(2));
        assert_eq!(kind(&SPS_WITH_B), SPS);
        assert!(is_slice(1) && is_idr(19) && is_idr(20) && !is_idr(21) && !is_slice(SPS));
    }

    #[test]
    fn no_prefix_of_a_parameter_set_panics() {
        for end in 0..SPS_WITH_B.len() {
            let _ = reorder_depth(&SPS_WITH_B[..end]);
        }
        let _ = (reorder_depth(&[0xff; 64]), reorder_depth(&[0; 64]));
    }
}
