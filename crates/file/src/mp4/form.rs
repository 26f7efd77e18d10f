//! From a sample to an access unit, by its description: NAL units behind start codes, with their parameter sets before
//! keyframes, and AAC behind ADTS headers. The other way is `description`.

use bytes::{BufMut, Bytes, BytesMut};
use cutrickle_media::{AudioCodec, Codec, VideoCodec};
use mp4_atom::Stsd;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// How a sample becomes a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Each NAL unit behind its length, of so many bytes; these parameter sets, in Annex B, belong before a keyframe.
    Lengths { size: usize, parameter_sets: Vec<u8> },
    /// A raw AAC frame, whose ADTS header is this but for its length.
    Aac([u8; 7]),
    /// A packet as it is.
    Packet,
}

/// The codec of a track, by the first of its descriptions, and its channels where that is Opus.
pub(super) fn codec(descriptions: &Stsd) -> Option<(Codec, Option<u8>)> {
    use mp4_atom::Codec::{Avc1, Avc3, Hev1, Hvc1, Mp4a, Opus};
    match descriptions.codecs.first()? {
        Avc1(_) | Avc3(_) => Some((Codec::H264, None)),
        Hev1(_) | Hvc1(_) => Some((Codec::H265, None)),
        described @ Mp4a(_) => Form::of(described, Codec::AAC).map(|_| (Codec::AAC, None)),
        Opus(opus) => Some((Codec::OPUS, Some(opus.dops.output_channel_count))),
        _ => None,
    }
}

impl Form {
    /// `None` where the description is not of `codec`, or of a kind of it that there are no units of.
    pub(super) fn of(description: &mp4_atom::Codec, codec: Codec) -> Option<Self> {
        use mp4_atom::{Avc1, Avc3, Hev1, Hvc1};
        let lengths = |size, sets: &mut dyn Iterator<Item = &Vec<u8>>| Self::Lengths {
            size,
            parameter_sets: sets.flat_map(|set| START_CODE.iter().chain(set)).copied().collect(),
        };
        match (codec, description) {
            (
                Codec::Video(VideoCodec::H264),
                mp4_atom::Codec::Avc1(Avc1 { avcc, .. }) | mp4_atom::Codec::Avc3(Avc3 { avcc, .. }),
            ) => {
                let mut sets = avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets);
                Some(lengths(usize::from(avcc.length_size), &mut sets))
            }
            (
                Codec::Video(VideoCodec::H265),
                mp4_atom::Codec::Hev1(Hev1 { hvcc, .. }) | mp4_atom::Codec::Hvc1(Hvc1 { hvcc, .. }),
            ) => {
                let mut sets = hvcc.arrays.iter().flat_map(|array| &array.nalus);
                Some(lengths(usize::from(hvcc.length_size_minus_one) + 1, &mut sets))
            }
            (Codec::Audio(AudioCodec::Aac), mp4_atom::Codec::Mp4a(mp4a)) => {
                let config = mp4a.esds.es_desc.dec_config.dec_specific.as_ref()?;
                adts_header(config.profile, config.freq_index, config.chan_conf).map(Self::Aac)
            }
            (Codec::Audio(AudioCodec::Opus), mp4_atom::Codec::Opus(_)) => Some(Self::Packet),
            _ => None,
        }
    }

    /// `None` where `sample` is not of this form.
    pub(super) fn unit(&self, sample: &[u8], keyframe: bool) -> Option<Bytes> {
        match self {
            Self::Lengths { size, parameter_sets } => {
                let mut unit = BytesMut::with_capacity(sample.len() + parameter_sets.len() + 64);
                if keyframe {
                    unit.put_slice(parameter_sets);
                }
                let mut rest = sample;
                while !rest.is_empty() {
                    let (length, behind) = rest.split_at_checked(*size)?;
                    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                    let (nal, behind) = behind.split_at_checked(length)?;
                    unit.put_slice(&START_CODE);
                    unit.put_slice(nal);
                    rest = behind;
                }
                Some(unit.freeze())
            }
            Self::Aac(header) => {
                // `aac_frame_length`, 13 bits over three bytes, counts the header.
                let length =
                    u16::try_from(sample.len() + header.len()).ok().filter(|length| *length < 1 << 13)?;
                let mut header = *header;
                header[3] |= (length >> 11) as u8;
                header[4] = (length >> 3) as u8;
                header[5] |= (length << 5) as u8;
                Some([&header, sample].concat().into())
            }
            Self::Packet => Some(Bytes::copy_from_slice(sample)),
        }
    }
}

/// The header of frames of this AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) as ISO/IEC 13818-7, 6.2, has it, its length
/// left 0. `None` for what ADTS has no words for. What stands for SBR is sent as the AAC-LC that it rests on.
fn adts_header(object_type: u8, frequency: u8, channels: u8) -> Option<[u8; 7]> {
    let profile = match object_type {
        1..=4 => object_type - 1,
        5 | 29 => 1,
        _ => return None,
    };
    if frequency > 12 || !(1..=7).contains(&channels) {
        return None;
    }
    // No CRC; a buffer fullness of all ones is a variable rate.
    let second = profile << 6 | frequency << 2 | channels >> 2;
    Some([0xFF, 0xF1, second, channels << 6, 0, 0x1F, 0xFC])
}
