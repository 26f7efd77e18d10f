//! Parses the table-of-contents byte of an Opus packet (RFC 6716, 3.1), without decoding the packet.

use super::opus::SAMPLE_RATE;

/// The longest packet, 120 ms, in samples per channel at 48 kHz (RFC 6716, 3.2.5).
pub(super) const LONGEST: usize = 5_760;

/// Samples per channel of one frame at 48 kHz (RFC 6716, table 2).
fn frame_duration(toc: u8) -> u32 {
    let config = toc >> 3;
    match config {
        // SILK: 10, 20, 40 or 60 ms.
        0..12 => match config & 3 {
            0 => SAMPLE_RATE / 100,
            frames => SAMPLE_RATE / 50 * u32::from(frames),
        },
        // Hybrid: 10 or 20 ms.
        12..16 => (SAMPLE_RATE / 100) << (config & 1),
        // CELT: 2.5, 5, 10 or 20 ms.
        _ => (SAMPLE_RATE / 400) << (config & 3),
    }
}

/// Samples per channel in the packet at 48 kHz; `None` if its frame count is missing or too large.
pub(super) fn duration(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    let samples = frame_duration(toc) * frames;
    (1..=LONGEST as u32).contains(&samples).then_some(samples)
}

/// The number of channels the packet was coded with, one or two.
pub(super) fn channels(packet: &[u8]) -> Option<usize> {
    packet.first().map(|toc| 1 + usize::from(toc >> 2 & 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(config: u8, code: u8) -> [u8; 1] {
        [config << 3 | code]
    }

    #[test]
    fn frame_durations_are_those_of_the_table() {
        for (config, tenths_of_ms) in [
            (0, 100),
            (1, 200),
            (2, 400),
            (3, 600),
            (11, 600),
            (12, 100),
            (13, 200),
            (15, 200),
            (16, 25),
            (17, 50),
            (18, 100),
            (19, 200),
            (31, 200),
        ] {
            assert_eq!(duration(&packet(config, 0)), Some(tenths_of_ms * 48 / 10), "config {config}");
            if config != 3 && config != 11 {
                assert_eq!(duration(&packet(config, 1)), Some(2 * tenths_of_ms * 48 / 10), "config {config}");
            }
        }
    }

    #[test]
    fn a_frame_count_is_needed_and_bounded() {
        assert_eq!(duration(&[]), None);
        assert_eq!(duration(&packet(31, 3)), None);
        assert_eq!(duration(&[31 << 3 | 3, 0]), None);
        assert_eq!(duration(&[31 << 3 | 3, 6]), Some(5_760));
        assert_eq!(duration(&[31 << 3 | 3, 7]), None);
    }
}
