//! Just enough of Ogg (RFC 3533), and of Opus in Ogg (RFC 7845), to exchange packets with ffmpeg.
#![allow(clippy::unwrap_used)]

/// The packets of a file that contains a single stream. The headers come first.
pub fn packets(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut packet = Vec::new();
    while !file.is_empty() {
        assert_eq!(&file[..4], b"OggS");
        let segments = usize::from(file[26]);
        let (lacing, mut body) = file[27..].split_at(segments);
        for &length in lacing {
            let (part, rest) = body.split_at(length.into());
            packet.extend_from_slice(part);
            body = rest;
            if length < 255 {
                packets.push(std::mem::take(&mut packet));
            }
        }
        file = body;
    }
    packets
}

/// A file of Opus packets, each of which lasts 20 ms and has a page of its own.
pub fn opus_file<'a>(channels: u8, pre_skip: u16, packets: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels);
    head.extend(pre_skip.to_le_bytes());
    head.extend(48_000u32.to_le_bytes());
    head.extend([0, 0, 0]);
    let tags = b"OpusTags\x04\0\0\0test\0\0\0\0";
    let mut file = page(2, 0, 0, &head);
    file.extend(page(0, 0, 1, tags));
    for (n, packet) in packets.enumerate() {
        file.extend(page(0, 960 * (n as u64 + 1), n as u32 + 2, packet));
    }
    file
}

fn page(kind: u8, position: u64, number: u32, packet: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(kind);
    page.extend(position.to_le_bytes());
    page.extend(1u32.to_le_bytes());
    page.extend(number.to_le_bytes());
    page.extend([0; 4]);
    page.push((packet.len() / 255 + 1) as u8);
    page.extend(std::iter::repeat_n(255, packet.len() / 255));
    page.push((packet.len() % 255) as u8);
    page.extend(packet);
    let sum = checksum(&page).to_le_bytes();
    page[22..26].copy_from_slice(&sum);
    page
}

/// A CRC-32 with the polynomial 04C11DB7 that is neither reflected nor inverted (RFC 3533, section 6).
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| {
            sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}
