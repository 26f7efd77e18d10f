//! Inspects the NAL units of Annex B byte streams: whether the unit is a keyframe, and whether it begins with
//! an access unit delimiter. Stops at the first slice; parsing parameter sets and slices is left to the
//! decoder.

use cutrickle_media::VideoCodec;

/// The first byte of each NAL unit's header.
fn nal_heads(data: &[u8]) -> impl Iterator<Item = u8> + '_ {
    data.windows(4).filter_map(|window| match *window {
        [0, 0, 1, head] => Some(head),
        _ => None,
    })
}

const fn nal_type(codec: VideoCodec, head: u8) -> u8 {
    match codec {
        VideoCodec::H264 => head & 0x1F,
        VideoCodec::H265 => (head >> 1) & 0x3F,
    }
}

/// Whether decoding can start at the picture of the unit's first slice: an IDR (ITU-T H.264, table 7-1, type
/// 5) or an IRAP (ITU-T H.265, table 7-1, types 16 to 21).
pub(crate) fn is_keyframe(codec: VideoCodec, data: &[u8]) -> bool {
    let types = nal_heads(data).map(|head| nal_type(codec, head));
    match codec {
        VideoCodec::H264 => types.into_iter().find(|kind| matches!(kind, 1..=5)) == Some(5),
        VideoCodec::H265 => matches!(types.into_iter().find(|&kind| kind < 32), Some(16..=21)),
    }
}

/// Returns the access unit delimiter to write before `data`, or nothing if it has one already.
///
/// The delimiter allows every slice type (ITU-T H.264, table 7-5, value 7; ITU-T H.265, table 7-2, value 2).
pub(crate) fn missing_delimiter(codec: VideoCodec, data: &[u8]) -> &'static [u8] {
    let first = nal_heads(data).next().map(|head| nal_type(codec, head));
    match codec {
        VideoCodec::H264 if first != Some(9) => &[0, 0, 0, 1, 0x09, 0xF0],
        VideoCodec::H265 if first != Some(35) => &[0, 0, 0, 1, 0x46, 0x01, 0x50],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_slice_decides_what_a_keyframe_is() {
        let idr = [0, 0, 0, 1, 9, 0xF0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 1];
        assert!(is_keyframe(VideoCodec::H264, &idr));
        assert!(!is_keyframe(VideoCodec::H264, &[0, 0, 1, 0x41, 1, 0, 0, 1, 0x65, 1]));
        assert!(is_keyframe(VideoCodec::H265, &[0, 0, 1, 0x40, 1, 0, 0, 1, 0x2A, 1]));
        assert!(!is_keyframe(VideoCodec::H265, &[0, 0, 1, 0x02, 1]));
        assert!(!is_keyframe(VideoCodec::H264, &[]));
    }

    #[test]
    fn a_delimiter_is_added_only_where_it_is_missing() {
        assert!(missing_delimiter(VideoCodec::H264, &[0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x65]).is_empty());
        assert_eq!(missing_delimiter(VideoCodec::H264, &[0, 0, 1, 0x65, 0]).len(), 6);
        assert!(missing_delimiter(VideoCodec::H265, &[0, 0, 1, 0x46, 1, 0x50]).is_empty());
        assert_eq!(missing_delimiter(VideoCodec::H265, &[7]).len(), 7);
    }
}
