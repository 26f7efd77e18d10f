//! NAL units in Annex B byte streams (ITU-T H.264 and H.265, annex B): finding them, and telling by the type what becomes of
//! each in a file. What parameter sets say is read in `parameter_sets`.

use cutrickle_media::VideoCodec;

/// What becomes of a NAL unit in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Goes into the sample's description.
    VideoParameters,
    /// The same.
    SequenceParameters,
    /// The same.
    PictureParameters,
    /// Left out: lengths delimit samples.
    Delimiter,
    /// Part of the sample.
    Content,
}

/// The NAL units of an access unit, without start codes and the zeros behind them.
pub(super) fn nal_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(data);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = unit.windows(3).position(|bytes| bytes == [0, 0, 1]).unwrap_or(unit.len());
        let (unit, behind) = unit.split_at(end);
        rest = behind.get(3..);
        // No NAL unit ends with a zero (H.264, 7.4.1): these belong to a longer start code.
        let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        unit.get(..length)
    })
    .filter(|unit| !unit.is_empty())
}

fn after_start_code(data: &[u8]) -> Option<&[u8]> {
    let at = data.windows(3).position(|bytes| bytes == [0, 0, 1])?;
    data.get(at + 3..)
}

/// What becomes of `unit`, by its `nal_unit_type` (H.264, table 7-1; H.265, table 7-1).
pub(super) fn kind(codec: VideoCodec, unit: &[u8]) -> Kind {
    let head = unit.first().copied().unwrap_or_default();
    match codec {
        VideoCodec::H264 => match head & 0x1F {
            7 => Kind::SequenceParameters,
            8 => Kind::PictureParameters,
            9 => Kind::Delimiter,
            _ => Kind::Content,
        },
        VideoCodec::H265 => match head >> 1 & 0x3F {
            32 => Kind::VideoParameters,
            33 => Kind::SequenceParameters,
            34 => Kind::PictureParameters,
            35 => Kind::Delimiter,
            _ => Kind::Content,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_lie_between_start_codes_of_any_length() {
        let data = [9, 0, 0, 0, 1, 0x67, 7, 0, 0, 1, 0x68, 0, 0, 0, 0, 1, 0x65, 5, 0];
        let units: Vec<&[u8]> = nal_units(&data).collect();
        assert_eq!(units, [&[0x67, 7][..], &[0x68], &[0x65, 5]]);
        for nothing in [&[][..], &[0, 0, 1], &[0, 0, 1, 0, 0, 1], &[1, 2, 3, 4]] {
            assert_eq!(nal_units(nothing).count(), 0, "{nothing:?}");
        }
    }

    #[test]
    fn a_type_decides_what_becomes_of_a_unit() {
        use Kind::{Content, Delimiter, PictureParameters, SequenceParameters, VideoParameters};
        let kinds =
            |codec, heads: &[u8]| -> Vec<Kind> { heads.iter().map(|head| kind(codec, &[*head])).collect() };
        assert_eq!(
            kinds(VideoCodec::H264, &[0x67, 0x68, 0x09, 0x65, 0x06]),
            [SequenceParameters, PictureParameters, Delimiter, Content, Content]
        );
        assert_eq!(
            kinds(VideoCodec::H265, &[0x40, 0x42, 0x44, 0x46, 0x26]),
            [VideoParameters, SequenceParameters, PictureParameters, Delimiter, Content]
        );
        assert_eq!(kind(VideoCodec::H264, &[]), Content);
    }
}
