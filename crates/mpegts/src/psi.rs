//! Program-specific information (ISO/IEC 13818-1, 2.4.4): reassembles sections from packets, and reads and
//! writes the PAT and the PMT. Which PIDs carry them is decided in `demux`.

use cutrickle_media::Codec;

use crate::listing::{self, Descriptors, Entry};
use crate::program::Track;

const MAX_SECTION: usize = 1024;
/// The maximum number of elementary streams of one program; further ones are ignored.
const MAX_TRACKS: usize = 32;
const REGISTRATION: u8 = 0x05;
const EXTENSION: u8 = 0x7F;

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 0x8000_0000 != 0 { (value << 1) ^ 0x04C1_1DB7 } else { value << 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// CRC_32 of ISO/IEC 13818-1, annex A. It is 0 over a section that ends in its own CRC.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = crc_table();
    bytes.iter().fold(u32::MAX, |crc, &byte| (crc << 8) ^ TABLE[usize::from((crc >> 24) as u8 ^ byte)])
}

/// Reassembles the sections of one PID.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    buf: Vec<u8>,
    active: bool,
    pub(crate) crc_errors: u64,
}

impl Sections {
    /// Discards the section in progress.
    pub(crate) fn reset(&mut self) {
        self.buf.clear();
        self.active = false;
    }

    /// Takes a packet's payload and passes on every section that it completes and whose CRC is right.
    pub(crate) fn push(&mut self, start: bool, payload: &[u8], each: &mut dyn FnMut(&[u8])) {
        if !start {
            return self.extend(payload, each);
        }
        let Some((&pointer, rest)) = payload.split_first() else { return };
        let Some((before, after)) = rest.split_at_checked(usize::from(pointer)) else { return self.reset() };
        self.extend(before, each);
        self.buf.clear();
        self.active = true;
        self.extend(after, each);
    }

    fn extend(&mut self, bytes: &[u8], each: &mut dyn FnMut(&[u8])) {
        if !self.active {
            return;
        }
        self.buf.extend_from_slice(bytes);
        while let [table, high, low, ..] = self.buf[..] {
            let size = 3 + usize::from(u16::from_be_bytes([high & 0x0F, low]));
            if table == 0xFF || size > MAX_SECTION {
                return self.reset();
            }
            let Some(section) = self.buf.get(..size) else { return };
            if crc32(section) == 0 {
                each(section);
            } else {
                self.crc_errors += 1;
            }
            self.buf.drain(..size);
        }
    }
}

/// Returns the table's id extension, and the part of a current long section between its header and its CRC.
fn body(section: &[u8], table: u8) -> Option<(u16, &[u8])> {
    match section {
        [id, flags, _, high, low, version, _, _, rest @ ..]
            if *id == table && flags & 0x80 != 0 && version & 1 != 0 =>
        {
            Some((u16::from_be_bytes([*high, *low]), rest.get(..rest.len().checked_sub(4)?)?))
        }
        _ => None,
    }
}

/// Returns the programs of a PAT section as (program number, PMT PID), without the network PID.
pub(crate) fn parse_pat(section: &[u8]) -> Option<Vec<(u16, u16)>> {
    let (_, entries) = body(section, 0x00)?;
    let programs = entries.chunks_exact(4).filter_map(|entry| match *entry {
        [a, b, c, d] => Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c & 0x1F, d]))),
        _ => None,
    });
    Some(programs.filter(|&(number, pid)| number != 0 && is_stream_pid(pid)).collect())
}

const fn is_stream_pid(pid: u16) -> bool {
    pid >= 0x10 && pid < 0x1FFF
}

/// Returns the elementary streams of a PMT section if it describes program `number`.
pub(crate) fn parse_pmt(section: &[u8], number: u16) -> Option<Vec<Entry>> {
    let (id, rest) = body(section, 0x02)?;
    if id != number {
        return None;
    }
    let [_, _, high, low, rest @ ..] = rest else { return None };
    let (program_info, mut rest) =
        rest.split_at_checked(usize::from(u16::from_be_bytes([high & 0x0F, *low])))?;
    let hdmv = Descriptors::parse(program_info).is_hdmv();
    let mut entries: Vec<Entry> = Vec::new();
    while let [kind, pid_high, pid_low, high, low, after @ ..] = rest {
        let info = usize::from(u16::from_be_bytes([high & 0x0F, *low]));
        let (descriptors, after) = after.split_at_checked(info)?;
        rest = after;
        let pid = u16::from_be_bytes([pid_high & 0x1F, *pid_low]);
        let known = is_stream_pid(pid) && entries.iter().all(|entry| entry.pid != pid);
        if known && entries.len() < MAX_TRACKS {
            entries.push(listing::entry(*kind, pid, Descriptors::parse(descriptors), hdmv));
        }
    }
    Some(entries)
}

/// Writes a PAT section with one program.
pub(crate) fn write_pat(number: u16, pmt_pid: u16) -> Vec<u8> {
    let mut content = number.to_be_bytes().to_vec();
    content.extend((0xE000 | pmt_pid).to_be_bytes());
    section(0x00, 1, 0, &content)
}

/// Writes a PMT section. There are few `tracks`, so one section always suffices.
pub(crate) fn write_pmt(number: u16, version: u8, pcr_pid: u16, tracks: &[Track]) -> Vec<u8> {
    let mut content = (0xE000 | pcr_pid).to_be_bytes().to_vec();
    content.extend([0xF0, 0x00]);
    for track in tracks {
        let kind = match track.codec {
            Codec::H264 => 0x1B,
            Codec::H265 => 0x24,
            Codec::AAC => 0x0F,
            Codec::OPUS => 0x06,
        };
        content.push(kind);
        content.extend((0xE000 | track.pid).to_be_bytes());
        if track.codec == Codec::OPUS {
            content.extend([0xF0, 10, REGISTRATION, 4, b'O', b'p', b'u', b's']);
            content.extend([EXTENSION, 2, 0x80, track.opus_channels.unwrap_or(2)]);
        } else {
            content.extend([0xF0, 0]);
        }
    }
    section(0x02, number, version, &content)
}

fn section(table: u8, id: u16, version: u8, content: &[u8]) -> Vec<u8> {
    let size = content.len() as u16 + 9;
    let mut section = vec![table];
    section.extend((0xB000 | size).to_be_bytes());
    section.extend(id.to_be_bytes());
    section.extend([0xC1 | (version & 0x1F) << 1, 0, 0]);
    section.extend_from_slice(content);
    let crc = crc32(&section);
    section.extend(crc.to_be_bytes());
    section
}
