//! Splits an H.264 Annex B byte stream into NAL units, as far as the caller of a decoder needs them.

/// NAL unit types of H.264, table 7-1.
pub(super) const SLICE: u8 = 1;
pub(super) const IDR_SLICE: u8 = 5;
pub(super) const SPS: u8 = 7;

/// The NAL units of an access unit, without their start codes (H.264, B.1).
pub(super) fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(data);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = unit.windows(3).position(|w| w == [0, 0, 1]).unwrap_or(unit.len());
        let (unit, next) = unit.split_at(end);
        rest = next.get(3..);
        Some(unit)
    })
    .filter(|unit| !unit.is_empty())
}

/// The `nal_unit_type` of a NAL unit.
pub(super) fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
}

fn after_start_code(data: &[u8]) -> Option<&[u8]> {
    let at = data.windows(3).position(|w| w == [0, 0, 1])?;
    data.get(at + 3..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_lie_between_start_codes_of_either_length() {
        let data = [9, 0, 0, 0, 1, 0x67, 7, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 5];
        let kinds: Vec<u8> = units(&data).map(kind).collect();
        assert_eq!(kinds, [7, 8, 5]);
        assert_eq!(units(&[]).count(), 0);
        assert_eq!(units(&[0, 0, 1]).count(), 0);
        assert_eq!(units(&[0, 0, 1, 0, 0, 1, 5]).count(), 1);
    }
}
