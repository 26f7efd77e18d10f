//! From an access unit to a sample and its description, the entry of `stsd` that tells decoders what they are given: NAL
//! units behind their lengths and their parameter sets apart, AAC without its ADTS header.

use cutrickle_codec::{audio, video};
use cutrickle_error::BoxError;
use cutrickle_media::{AudioCodec, Size, VideoCodec};
use mp4_atom::{
    Audio, Avc1, Avcc, AvccExt, Codec, Dops, FixedPoint, Hvc1, HvcCArray, Hvcc, Mp4a, Opus,
    OpusChannelMapping, Visual,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, Esds, SLConfig},
};

use super::annexb::{self, Kind};
use super::parameter_sets;

/// `objectTypeIndication` of MPEG-4 audio, and `streamType` of audio (ISO/IEC 14496-1, tables 5 and 6).
const MPEG4_AUDIO: u8 = 0x40;
const AUDIO_STREAM: u8 = 5;
/// Opus counts samples at this rate whatever it codes.
const OPUS_RATE: u32 = 48_000;

/// The parameter sets of an access unit.
#[derive(Default)]
struct Sets<'a> {
    video: Vec<&'a [u8]>,
    sequence: Vec<&'a [u8]>,
    picture: Vec<&'a [u8]>,
}

/// A packet of audio as a sample.
pub(super) struct Packet<'a> {
    pub(super) description: Codec,
    pub(super) sample: &'a [u8],
    /// How long it lasts, in samples of `rate` a second.
    pub(super) lasts: u32,
    pub(super) rate: u32,
}

/// The sample that `unit` makes, and its description where it brings parameter sets.
///
/// # Errors
/// Parameter sets that cannot be read.
pub(super) fn video(codec: VideoCodec, unit: &[u8]) -> Result<(Option<Codec>, Vec<u8>), BoxError> {
    let mut sets = Sets::default();
    let mut sample = Vec::with_capacity(unit.len() + 16);
    for nal in annexb::nal_units(unit) {
        let list = match annexb::kind(codec, nal) {
            Kind::VideoParameters => &mut sets.video,
            Kind::SequenceParameters => &mut sets.sequence,
            Kind::PictureParameters => &mut sets.picture,
            Kind::Delimiter => continue,
            Kind::Content => {
                sample.extend_from_slice(&u32::try_from(nal.len())?.to_be_bytes());
                sample.extend_from_slice(nal);
                continue;
            }
        };
        if !list.contains(&nal) {
            list.push(nal);
        }
    }
    let (Some(sequence), false) = (sets.sequence.first(), sets.picture.is_empty()) else {
        return Ok((None, sample));
    };
    let description = match codec {
        VideoCodec::H264 => avc1(&sets, sequence, video::picture_size(codec, unit)),
        VideoCodec::H265 => hvc1(&sets, sequence),
    };
    let unreadable = || format!("a sequence parameter set of {} that cannot be read", codec.title());
    Ok((Some(description.ok_or_else(unreadable)?), sample))
}

/// ISO/IEC 14496-15, 5.3.3.1.
fn avc1(sets: &Sets<'_>, sequence: &[u8], size: Option<Size>) -> Option<Codec> {
    let &[_, profile, compatibility, level, ..] = sequence else { return None };
    let ext = parameter_sets::h264_format(sequence).map(|format| AvccExt {
        chroma_format: format.chroma,
        bit_depth_luma: 8 + format.luma_beyond_8,
        bit_depth_chroma: 8 + format.chroma_beyond_8,
        sequence_parameter_sets_ext: Vec::new(),
    });
    let avcc = Avcc {
        configuration_version: 1,
        avc_profile_indication: profile,
        profile_compatibility: compatibility,
        avc_level_indication: level,
        length_size: 4,
        sequence_parameter_sets: owned(&sets.sequence),
        picture_parameter_sets: owned(&sets.picture),
        ext,
    };
    Some(Avc1 { visual: visual(size?)?, avcc, ..Avc1::default() }.into())
}

/// ISO/IEC 14496-15, 8.3.3.1.
fn hvc1(sets: &Sets<'_>, sequence: &[u8]) -> Option<Codec> {
    const VIDEO: u8 = 32;
    const SEQUENCE: u8 = 33;
    const PICTURE: u8 = 34;
    let read = parameter_sets::h265(sequence)?;
    let array =
        |nal_unit_type, list: &[&[u8]]| HvcCArray { completeness: true, nal_unit_type, nalus: owned(list) };
    let hvcc = Hvcc {
        general_profile_space: read.profile_space,
        general_tier_flag: read.high_tier,
        general_profile_idc: read.profile,
        general_profile_compatibility_flags: read.compatibility,
        general_constraint_indicator_flags: read.constraints,
        general_level_idc: read.level,
        chroma_format_idc: read.format.chroma,
        bit_depth_luma_minus8: read.format.luma_beyond_8,
        bit_depth_chroma_minus8: read.format.chroma_beyond_8,
        num_temporal_layers: read.layers,
        temporal_id_nested: read.nested,
        length_size_minus_one: 3,
        arrays: vec![
            array(VIDEO, &sets.video),
            array(SEQUENCE, &sets.sequence),
            array(PICTURE, &sets.picture),
        ],
        ..Hvcc::new()
    };
    Some(Hvc1 { visual: visual(read.size)?, hvcc, ..Hvc1::default() }.into())
}

fn owned(sets: &[&[u8]]) -> Vec<Vec<u8>> {
    sets.iter().map(|set| set.to_vec()).collect()
}

fn visual(size: Size) -> Option<Visual> {
    let (width, height) = (u16::try_from(size.width).ok()?, u16::try_from(size.height).ok()?);
    Some(Visual { data_reference_index: 1, width, height, ..Visual::default() })
}

/// The sample that a packet of audio makes. `opus_channels` is what the container says of Opus.
///
/// # Errors
/// A packet that cannot be read, or AAC that a file has no words for.
pub(super) fn audio(codec: AudioCodec, packet: &[u8], opus_channels: u8) -> Result<Packet<'_>, BoxError> {
    let (lasts, rate) =
        audio::packet_duration(codec, packet).ok_or_else(|| format!("not a packet of {}", codec.title()))?;
    let (description, sample) = match codec {
        AudioCodec::Aac => aac(packet, rate)?,
        AudioCodec::Opus => (opus(opus_channels), packet),
    };
    Ok(Packet { description, sample, lasts, rate })
}

/// One ADTS frame (ISO/IEC 13818-7, 6.2) as one raw data block.
fn aac(frame: &[u8], rate: u32) -> Result<(Codec, &[u8]), BoxError> {
    let &[_, second, third, fourth, _, _, last, ..] = frame else {
        return Err("not a packet of AAC".into());
    };
    let channels = (third & 1) << 2 | fourth >> 6;
    if last & 3 != 0 || channels == 0 {
        return Err(
            "AAC with several blocks in a frame, or channels of its own order, which MP4 files do not hold"
                .into(),
        );
    }
    let has_checksum = second & 1 == 0;
    let raw = frame.get(if has_checksum { 9 } else { 7 }..).unwrap_or_default();
    let config = DecoderSpecific {
        profile: (third >> 6) + 1,
        freq_index: third >> 2 & 0x0F,
        chan_conf: channels,
        raw: Vec::new(),
    };
    let dec_config = DecoderConfig {
        object_type_indication: MPEG4_AUDIO,
        stream_type: AUDIO_STREAM,
        dec_specific: Some(config),
        ..DecoderConfig::default()
    };
    let es_desc = EsDescriptor { dec_config, sl_config: SLConfig::default(), ..EsDescriptor::default() };
    let channels = if channels == 7 { 8 } else { u16::from(channels) };
    let mp4a = Mp4a { audio: sound(channels, rate), esds: Esds { es_desc }, btrt: None, taic: None };
    Ok((mp4a.into(), raw))
}

/// The description of Opus in so many channels (Encapsulation of Opus in ISO Base Media File Format, 4.3.2).
fn opus(channels: u8) -> Codec {
    let channels = channels.clamp(1, 8);
    let dops = Dops {
        output_channel_count: channels,
        // A packet's time is that of the first sample that comes of it: nothing is to be cut off.
        pre_skip: 0,
        input_sample_rate: OPUS_RATE,
        output_gain: 0,
        channel_mapping: surround(channels),
    };
    Opus { audio: sound(channels.into(), OPUS_RATE), dops, btrt: None }.into()
}

/// How streams become more than two channels, in the order of Vorbis (RFC 7845, 5.1.1.2).
fn surround(channels: u8) -> Option<OpusChannelMapping> {
    let (stream_count, coupled_count, mapping): (_, _, &[u8]) = match channels {
        3 => (2, 1, &[0, 2, 1]),
        4 => (2, 2, &[0, 1, 2, 3]),
        5 => (3, 2, &[0, 4, 1, 2, 3]),
        6 => (4, 2, &[0, 4, 1, 2, 3, 5]),
        7 => (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
        8 => (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
        _ => return None,
    };
    Some(OpusChannelMapping { family: 1, stream_count, coupled_count, channel_mapping: mapping.to_vec() })
}

/// ISO/IEC 14496-12, 12.2.3. A rate that the field cannot hold is left 0; the codec's own description has it.
fn sound(channels: u16, rate: u32) -> Audio {
    let sample_rate = FixedPoint::from(u16::try_from(rate).unwrap_or_default());
    Audio { data_reference_index: 1, channel_count: channels, sample_size: 16, sample_rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_without_parameter_sets_has_no_description() {
        let unit = [0, 0, 0, 1, 9, 0xF0, 0, 0, 1, 0x41, 1, 2, 0, 0, 1, 0x41, 3];
        let (description, sample) = video(VideoCodec::H264, &unit).unwrap();
        assert_eq!(description, None);
        assert_eq!(sample, [0, 0, 0, 3, 0x41, 1, 2, 0, 0, 0, 2, 0x41, 3]);
    }

    #[test]
    fn parameter_sets_that_say_nothing_are_an_error() {
        for (codec, unit) in [
            (VideoCodec::H264, &[0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 1][..]),
            (VideoCodec::H265, &[0, 0, 1, 0x42, 1, 0, 0, 1, 0x44, 1, 0, 0, 1, 0x26, 1]),
        ] {
            let error = video(codec, unit).unwrap_err().to_string();
            assert!(error.contains(codec.title()), "{error}");
        }
    }

    #[test]
    fn aac_leaves_its_header_to_the_description() {
        // AAC-LC, 48 kHz, stereo, ten bytes of which three are content.
        let frame = [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x5F, 0xFC, 1, 2, 3];
        let packet = audio(AudioCodec::Aac, &frame, 2).ok().unwrap();
        assert_eq!((packet.sample, packet.lasts, packet.rate), (&[1, 2, 3][..], 1_024, 48_000));
        let Codec::Mp4a(mp4a) = packet.description else { panic!("{:?}", packet.description) };
        let config = mp4a.esds.es_desc.dec_config.dec_specific.unwrap();
        assert_eq!((config.profile, config.freq_index, config.chan_conf), (2, 3, 2));
        assert_eq!(mp4a.audio.channel_count, 2);
        let mut checked = [&frame[..7], &[0xAA, 0xBB], &frame[7..]].concat();
        (checked[1], checked[4], checked[5]) = (0xF0, 0x01, 0x9F);
        assert_eq!(audio(AudioCodec::Aac, &checked, 2).ok().unwrap().sample, [1, 2, 3]);
        for (at, byte) in [(6, 0xFD), (3, 0x00)] {
            let mut other = frame;
            other[at] = byte;
            assert!(audio(AudioCodec::Aac, &other, 2).is_err(), "byte {at}");
        }
        assert!(audio(AudioCodec::Aac, &[1, 2, 3], 2).is_err());
    }

    #[test]
    fn opus_in_any_number_of_channels_can_be_written() {
        use mp4_atom::Encode;
        for channels in 0..=9 {
            assert!(opus(channels).encode(&mut Vec::new()).is_ok(), "{channels} channels");
        }
    }
}
