//! Which program and which tracks are chosen from an input that has several, and how the others are listed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod streams;

use cutrickle_media::{Codec, TrackKind};
use cutrickle_mpegts::{ContentKind, Demuxer, Ignored};
use streams::{Seen, packet, pes_head, picture, sound};

/// A section with its CRC, which is computed bit by bit as in ISO/IEC 13818-1, annex A.
fn section(table: u8, id: u16, content: &[u8]) -> Vec<u8> {
    let mut section = vec![table];
    section.extend((0xB000 | (content.len() as u16 + 9)).to_be_bytes());
    section.extend(id.to_be_bytes());
    section.extend([0xC1, 0, 0]);
    section.extend(content);
    let mut crc = u32::MAX;
    for byte in &section {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc & 0x8000_0000 != 0 { (crc << 1) ^ 0x04C1_1DB7 } else { crc << 1 };
        }
    }
    section.extend(crc.to_be_bytes());
    section.insert(0, 0);
    section
}

/// A packet with a PAT. Each program is given as its number and the PID of its PMT.
fn pat(counter: u8, programs: &[(u16, u16)]) -> Vec<u8> {
    let entries =
        programs.iter().flat_map(|(number, pid)| [number.to_be_bytes(), pid.to_be_bytes()].concat());
    packet(0, true, counter, &section(0, 1, &entries.collect::<Vec<_>>()))
}

/// A packet with a PMT. Each stream is given as its stream type, its PID and its descriptors.
fn pmt(pid: u16, number: u16, program_info: &[u8], streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
    let mut content = vec![0xE1, 0x00, 0xF0, program_info.len() as u8];
    content.extend(program_info);
    for (kind, pid, descriptors) in streams {
        content.push(*kind);
        content.extend((0xE000 | pid).to_be_bytes());
        content.extend([0xF0, descriptors.len() as u8]);
        content.extend(*descriptors);
    }
    packet(pid, true, 0, &section(2, number, &content))
}

fn unit(pid: u16, counter: u8, data: &[u8]) -> Vec<u8> {
    packet(pid, true, counter, &[pes_head(9_000), data.to_vec()].concat())
}

fn demuxed(parts: &[Vec<u8>]) -> Seen {
    let (mut demuxer, mut seen) = (Demuxer::new(), Seen::default());
    demuxer.push(&parts.concat(), &mut |event| seen.take(event));
    demuxer.end_segment(&mut |event| seen.take(event));
    seen
}

/// The PIDs of the tracks of each program that was emitted.
fn taken(seen: &Seen) -> Vec<Vec<u16>> {
    seen.programs.iter().map(|program| program.tracks.iter().map(|track| track.pid).collect()).collect()
}

const H264: u8 = 0x1B;
const AAC: u8 = 0x0F;
const NONE: &[u8] = &[];
const GERMAN: &[u8] = &[0x0A, 4, b'D', b'e', b'u', 0];

#[test]
fn one_track_of_each_kind_is_taken_and_the_others_are_named() {
    let tracks: &[(u8, u16, &[u8])] =
        &[(AAC, 0x101, GERMAN), (H264, 0x100, NONE), (AAC, 0x102, NONE), (H264, 0x103, NONE)];
    let units = [(0x100, picture(true, 100, 1)), (0x101, sound(50, 1)), (0x102, sound(50, 2))];
    let mut parts = vec![pat(0, &[(1, 0x1000)]), pmt(0x1000, 1, NONE, tracks)];
    parts.extend(units.map(|(pid, data)| unit(pid, 0, &data)));
    parts.push(unit(0x103, 0, &picture(true, 100, 3)));
    let seen = demuxed(&parts);
    assert_eq!(taken(&seen), [[0x101, 0x100]]);
    let mut pids: Vec<u32> = seen.units.iter().map(|unit| unit.track).collect();
    pids.sort_unstable();
    assert_eq!(pids, [0x100, 0x101]);
    let streams = &seen.programs[0].streams;
    let ignored: Vec<_> = streams.iter().map(|stream| (stream.pid, stream.ignored)).collect();
    let second = Some(Ignored::Second);
    assert_eq!(ignored, [(0x101, None), (0x100, None), (0x102, second), (0x103, second)]);
    assert_eq!(streams[0].language.as_deref(), Some("deu"));
}

#[test]
fn the_first_program_with_pictures_is_taken_though_a_radio_comes_first() {
    let radio = pmt(0x1000, 1, NONE, &[(AAC, 0x200, NONE)]);
    let tv = pmt(0x1001, 2, NONE, &[(H264, 0x100, NONE), (AAC, 0x101, NONE)]);
    let third = pmt(0x1002, 3, NONE, &[(H264, 0x300, NONE)]);
    let pat = pat(0, &[(1, 0x1000), (2, 0x1001), (3, 0x1002)]);
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let tables = [&radio, &tv, &third];
        let parts: Vec<_> = [&pat].into_iter().chain(order.map(|index| tables[index])).cloned().collect();
        let seen = demuxed(&parts);
        assert!(taken(&seen).iter().all(|pids| pids == &[0x100, 0x101]), "{order:?}");
        let program = seen.programs.last().unwrap();
        assert_eq!((program.number, program.streams.len()), (2, 4));
        let other = |pid| program.streams.iter().any(|s| s.pid == pid && s.ignored == Some(Ignored::Program));
        assert!(other(0x200) && other(0x300) && !other(0x100));
    }
}

#[test]
fn a_program_whose_table_never_comes_is_not_waited_for() {
    let programs = [(1, 0x1000), (2, 0x1001)];
    let tv = pmt(0x1001, 2, NONE, &[(H264, 0x100, NONE)]);
    let mut parts = vec![pat(0, &programs), tv];
    assert!(demuxed(&parts).programs.is_empty(), "the first program may have video too");
    parts.extend([pat(1, &programs), pat(2, &programs)]);
    assert_eq!(taken(&demuxed(&parts)), [[0x100]]);
}

#[test]
fn sound_alone_is_taken_where_no_program_has_pictures_until_one_has() {
    let programs = [(1, 0x1000), (2, 0x1001)];
    let radio = |number, pid, sound| pmt(pid, number, NONE, &[(AAC, sound, NONE)]);
    let mut parts = vec![pat(0, &programs), radio(1, 0x1000, 0x200), radio(2, 0x1001, 0x300)];
    assert_eq!(taken(&demuxed(&parts)), [[0x200]]);
    parts.push(pmt(0x1001, 2, NONE, &[(AAC, 0x300, NONE), (H264, 0x100, NONE)]));
    assert_eq!(taken(&demuxed(&parts)), [vec![0x200], vec![0x300, 0x100]]);
}

#[test]
fn a_program_that_is_taken_is_kept_when_another_one_gets_pictures() {
    let programs = [(1, 0x1000), (2, 0x1001)];
    let parts = [
        pat(0, &programs),
        pmt(0x1000, 1, NONE, &[(AAC, 0x200, NONE)]),
        pmt(0x1001, 2, NONE, &[(H264, 0x100, NONE)]),
        pmt(0x1000, 1, NONE, &[(AAC, 0x200, NONE), (H264, 0x201, NONE)]),
    ];
    assert_eq!(taken(&demuxed(&parts)), [[0x100], [0x100]]);
}

#[test]
fn codecs_that_nobody_takes_are_named_by_type_and_descriptors() {
    use ContentKind::{Audio, Data, Subtitles, Video};
    let registered = |id: &[u8; 4]| [&[0x05, 4], id.as_slice()].concat();
    let cases: [(u8, Vec<u8>, ContentKind, &str); 22] = [
        (0x02, vec![], Video, "mpeg2video"),
        (0x03, vec![], Audio, "mp2 or mp3"),
        (0x04, vec![], Audio, "mp2 or mp3"),
        (0x11, vec![], Audio, "aac_latm"),
        (0x15, vec![], Data, "timed_id3"),
        (0x33, vec![], Video, "vvc"),
        (0x81, registered(b"AC-3"), Audio, "ac3"),
        (0x87, vec![], Audio, "eac3"),
        (0x86, vec![], Data, "scte_35"),
        (0x06, vec![0x6A, 1, 0], Audio, "ac3"),
        (0x06, [GERMAN, &[0x7A, 1, 0]].concat(), Audio, "eac3"),
        (0x06, vec![0x7B, 0], Audio, "dts"),
        (0x06, vec![0x7C, 0], Audio, "aac_latm"),
        (0x06, vec![0x7F, 1, 0x15], Audio, "ac4"),
        (0x06, vec![0x59, 0], Subtitles, "dvb_subtitle"),
        (0x06, vec![0x56, 0], Subtitles, "dvb_teletext"),
        (0x06, registered(b"AV01"), Video, "av1"),
        (0x06, registered(b"KLVA"), Data, "klv"),
        (0x06, registered(b"BSSD"), Audio, "s302m"),
        (0x06, vec![], Data, "private data"),
        (0xC5, vec![], Data, "private data"),
        // A truncated descriptor is ignored.
        (0x06, vec![0x6A, 9], Data, "private data"),
    ];
    for (kind, descriptors, content, name) in cases {
        let tables = [(H264, 0x100, NONE), (kind, 0x101, descriptors.as_slice())];
        let seen = demuxed(&[pat(0, &[(1, 0x1000)]), pmt(0x1000, 1, NONE, &tables)]);
        let stream = &seen.programs[0].streams[1];
        assert_eq!((stream.kind, stream.codec, stream.ignored), (content, name, Some(Ignored::Codec)));
    }
}

#[test]
fn a_camcorder_s_types_are_read_as_a_disc_s() {
    let hdmv = [5, 4, b'H', b'D', b'M', b'V'];
    let tables: &[(u8, u16, &[u8])] = &[(0x82, 0x101, NONE), (0x86, 0x102, NONE), (0x90, 0x103, NONE)];
    let seen = demuxed(&[pat(0, &[(1, 0x1000)]), pmt(0x1000, 1, &hdmv, tables)]);
    let names: Vec<_> = seen.programs[0].streams.iter().map(|stream| stream.codec).collect();
    assert_eq!(names, ["dts", "dts", "hdmv_pgs_subtitle"]);
}

#[test]
fn opus_is_taken_and_private_data_beside_it_is_not() {
    let opus: &[u8] = &[5, 4, b'O', b'p', b'u', b's', 0x7F, 2, 0x80, 1];
    let tables: &[(u8, u16, &[u8])] = &[(0x06, 0x101, NONE), (0x06, 0x102, opus)];
    let seen = demuxed(&[pat(0, &[(1, 0x1000)]), pmt(0x1000, 1, NONE, tables)]);
    let track = seen.programs[0].audio().unwrap();
    assert_eq!((track.pid, track.codec, track.opus_channels), (0x102, Codec::OPUS, Some(1)));
    assert_eq!(track.codec.kind(), TrackKind::Audio);
}
