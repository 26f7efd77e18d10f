//! Sequence and frame headers of AV1, as far as a parser tells of them (5.5, 5.9).

use super::super::bits::Bits;

/// `obu_type` (6.2.2).
pub(super) const SEQUENCE: u8 = 1;
pub(super) const TEMPORAL_DELIMITER: u8 = 2;
pub(super) const FRAME_HEADER: u8 = 3;
pub(super) const TILE_GROUP: u8 = 4;
pub(super) const FRAME: u8 = 6;

/// `SELECT_SCREEN_CONTENT_TOOLS` and `SELECT_INTEGER_MV`: each frame says it.
const SELECT: u32 = 2;

pub(super) fn kind(obu: &[u8]) -> Option<u8> {
    obu.first().map(|header| header >> 3 & 0xf)
}

/// Bytes of header and size, and bytes of what follows (5.3.2, 4.10.5). None where they are not all there, or the OBU
/// does not say its size.
pub(super) fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.first()?;
    if first & 2 == 0 {
        return None;
    }
    let header = if first & 4 != 0 { 2 } else { 1 };
    let mut size = 0usize;
    for (at, byte) in bytes.get(header..)?.iter().take(8).enumerate() {
        size |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((header + at + 1, size));
        }
    }
    None
}

/// A sequence header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sequence {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) depth: u32,
    pub(super) monochrome: bool,
    /// Half as many chroma samples across and down.
    pub(super) quarter_chroma: bool,
    pub(super) full_range: bool,
    /// Primaries, transfer, matrix.
    pub(super) colour: [u8; 3],
    frame_id_bits: u32,
    order_hint_bits: u32,
    screen_content_tools: u32,
    integer_motion: u32,
}

impl Sequence {
    /// None of one that has what no stream here has: still pictures, a decoder model.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let mut bits = Bits::plain(payload);
        let profile = bits.u(3)?;
        if bits.u(2)? != 0 {
            return None;
        }
        if bits.flag()? {
            bits.skip(64);
            if bits.flag()? {
                bits.ue()?;
            }
            if bits.flag()? {
                return None;
            }
        }
        let delays = bits.flag()?;
        for _ in 0..=bits.u(5)? {
            bits.skip(12);
            if bits.u(5)? > 7 {
                bits.skip(1);
            }
            if delays && bits.flag()? {
                bits.skip(4);
            }
        }
        let (across, down) = (bits.u(4)? + 1, bits.u(4)? + 1);
        let mut sequence =
            Self { width: bits.u(across)? + 1, height: bits.u(down)? + 1, colour: [2; 3], ..Self::default() };
        if bits.flag()? {
            let delta = bits.u(4)? + 2;
            sequence.frame_id_bits = bits.u(3)? + delta + 1;
        }
        bits.skip(3 + 4);
        let order_hints = bits.flag()?;
        if order_hints {
            bits.skip(2);
        }
        sequence.screen_content_tools = if bits.flag()? { SELECT } else { bits.u(1)? };
        sequence.integer_motion = SELECT;
        if sequence.screen_content_tools > 0 && !bits.flag()? {
            sequence.integer_motion = bits.u(1)?;
        }
        if order_hints {
            sequence.order_hint_bits = bits.u(3)? + 1;
        }
        bits.skip(3);
        sequence.read_colour(&mut bits, profile)?;
        Some(sequence)
    }

    /// `color_config()` (5.5.2) of the profiles 0 and 1.
    fn read_colour(&mut self, bits: &mut Bits, profile: u32) -> Option<()> {
        if profile > 1 {
            return None;
        }
        self.depth = if bits.flag()? { 10 } else { 8 };
        self.monochrome = profile == 0 && bits.flag()?;
        if bits.flag()? {
            for code in &mut self.colour {
                *code = bits.u(8)? as u8;
            }
        }
        self.full_range = bits.flag()?;
        self.quarter_chroma = profile == 0 && !self.monochrome;
        Some(())
    }
}

/// The begin of a frame's header (5.9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    /// A picture that was decoded before is shown.
    Existing { slot: usize },
    /// One that is to be decoded. `into`: a bit for each slot that it goes to.
    New { key: bool, intra: bool, shown: bool, into: u8 },
}

impl Frame {
    pub(super) fn parse(payload: &[u8], sequence: &Sequence) -> Option<Self> {
        let mut bits = Bits::plain(payload);
        if bits.flag()? {
            return Some(Self::Existing { slot: bits.u(3)? as usize });
        }
        let (kind, shown) = (bits.u(2)?, bits.flag()?);
        let (key, switch) = (kind == 0, kind == 3);
        let intra = key || kind == 2;
        if !shown {
            bits.skip(1);
        }
        let resilient = switch || key && shown || bits.flag()?;
        bits.skip(1);
        let tools = match sequence.screen_content_tools {
            SELECT => bits.u(1)?,
            said => said,
        };
        if tools == 1 && sequence.integer_motion == SELECT {
            bits.skip(1);
        }
        bits.skip(sequence.frame_id_bits as usize);
        if !switch {
            bits.skip(1);
        }
        bits.skip(sequence.order_hint_bits as usize);
        if !intra && !resilient {
            bits.skip(3);
        }
        let into = if switch || key && shown { 0xff } else { bits.u(8)? as u8 };
        Some(Self::New { key, intra, shown, into })
    }
}
