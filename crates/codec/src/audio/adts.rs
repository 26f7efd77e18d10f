//! Parses the header of an ADTS frame (ISO/IEC 13818-7:2006, 6.2), without decoding the frame.
//!
//! Finding frames in a byte stream is the demuxer's job.

use crate::{Error, Result};

/// Samples per channel in one raw data block (ISO/IEC 13818-7:2006, 3.1).
pub(super) const BLOCK: u32 = 1024;

/// ISO/IEC 13818-7:2006, table 35.
const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// The header size in bytes of a frame without a checksum.
const SHORT: usize = 7;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// 0 Main, 1 LC, 2 SSR, 3 LTP.
    pub profile: u8,
    pub sample_rate: u32,
    /// `channel_configuration`; 0 if the payload describes its channels itself.
    pub channel_configuration: u8,
    /// Bytes before the first raw data block.
    pub length: usize,
    /// Bytes of the whole frame, including this header.
    pub frame_length: usize,
    /// Raw data blocks in the frame, 1 to 4.
    pub blocks: u32,
}

impl Header {
    /// Reads the header at the start of `frame`.
    pub fn parse(frame: &[u8]) -> Result<Self> {
        let &[b0, b1, b2, b3, b4, b5, b6, ..] = frame else {
            return Err(Error::failed(format!("AAC frame of {} bytes: an ADTS header has 7", frame.len())));
        };
        // Twelve one bits and two zero layer bits. The MPEG version between them does not matter here.
        if b0 != 0xff || b1 & 0xf6 != 0xf0 {
            return Err(Error::failed(format!("AAC frame without ADTS syncword: begins {b0:02x} {b1:02x}")));
        }
        let rate_index = b2 >> 2 & 0x0f;
        let Some(&sample_rate) = SAMPLE_RATES.get(usize::from(rate_index)) else {
            return Err(Error::failed(format!(
                "AAC frame with reserved sampling frequency index {rate_index}"
            )));
        };
        let blocks = u32::from(b6 & 3) + 1;
        // With a checksum, the positions of all blocks but the first come before it.
        let checksum = if b1 & 1 == 0 { 2 * blocks as usize } else { 0 };
        let header = Self {
            profile: b2 >> 6,
            sample_rate,
            channel_configuration: (b2 & 1) << 2 | b3 >> 6,
            length: SHORT + checksum,
            frame_length: usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5),
            blocks,
        };
        if header.frame_length <= header.length {
            return Err(Error::failed(format!("AAC frame length of {} bytes", header.frame_length)));
        }
        Ok(header)
    }

    /// The number of channels, if the header gives it (ISO/IEC 13818-7:2006, table 42).
    pub fn channels(&self) -> Option<usize> {
        match self.channel_configuration {
            0 => None,
            7 => Some(8),
            n => Some(usize::from(n)),
        }
    }

    /// The profile's name.
    pub fn profile_name(&self) -> &'static str {
        match self.profile {
            0 => "Main",
            1 => "LC",
            2 => "SSR",
            _ => "LTP",
        }
    }
}
