//! Reads and writes PES packet headers (ISO/IEC 13818-1, 2.4.3.6 and 2.4.3.7).

/// What was found at the front of a PES packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// More bytes are needed.
    Short,
    /// Not a PES packet, or an unreadable one.
    Bad,
    /// A kind that carries no elementary stream, such as padding.
    Other,
    Media(PesHeader),
}

/// The fields of a PES header that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PesHeader {
    /// The size of the header in bytes.
    pub(crate) size: usize,
    /// The size of the payload in bytes; `None` if it lasts until the next PES packet begins.
    pub(crate) payload: Option<usize>,
    pub(crate) pts: Option<u64>,
    pub(crate) dts: Option<u64>,
}

pub(crate) fn parse(bytes: &[u8]) -> Head {
    let [a, b, c, id, high, low, rest @ ..] = bytes else { return Head::Short };
    if [*a, *b, *c] != [0, 0, 1] {
        return Head::Bad;
    }
    if matches!(id, 0xBC | 0xBE | 0xBF | 0xF0..=0xF2 | 0xF8 | 0xFF) {
        return Head::Other;
    }
    let [marks, flags, extra, rest @ ..] = rest else { return Head::Short };
    if marks & 0xF0 != 0x80 {
        return Head::Bad;
    }
    let Some(fields) = rest.get(..usize::from(*extra)) else { return Head::Short };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let payload = match length {
        0 => None,
        _ => match length.checked_sub(3 + fields.len()) {
            None => return Head::Bad,
            payload => payload,
        },
    };
    Head::Media(PesHeader {
        size: 9 + fields.len(),
        payload,
        pts: if flags & 0x80 != 0 { stamp(fields) } else { None },
        dts: if flags & 0xC0 == 0xC0 { fields.get(5..).and_then(stamp) } else { None },
    })
}

/// Reads a 33-bit timestamp; `None` if its marker bits are wrong.
fn stamp(bytes: &[u8]) -> Option<u64> {
    let [a, b, c, d, e, ..] = *bytes else { return None };
    if a & c & e & 1 == 0 {
        return None;
    }
    let (a, b, c, d, e) = (u64::from(a), u64::from(b), u64::from(c), u64::from(d), u64::from(e));
    Some((a & 0x0E) << 29 | b << 22 | (c & 0xFE) << 14 | d << 7 | e >> 1)
}

/// Writes a header. `payload` is the size of the payload in bytes, `None` if it lasts until the next PES
/// packet begins; `filler` bytes are added to the header. The DTS is written only if it differs from the PTS.
pub(crate) fn write(out: &mut Vec<u8>, id: u8, payload: Option<u16>, pts: i64, dts: i64, filler: u8) {
    let both = pts != dts;
    let fields = if both { 10 } else { 5 } + filler;
    let length = payload.map_or(0, |payload| payload.saturating_add(3 + u16::from(fields)));
    out.extend([0, 0, 1, id]);
    out.extend(length.to_be_bytes());
    out.extend([0x84, if both { 0xC0 } else { 0x80 }, fields]);
    write_stamp(out, if both { 0x30 } else { 0x20 }, pts);
    if both {
        write_stamp(out, 0x10, dts);
    }
    out.extend(std::iter::repeat_n(0xFF, usize::from(filler)));
}

fn write_stamp(out: &mut Vec<u8>, prefix: u8, stamp: i64) {
    out.extend([
        prefix | (stamp >> 29) as u8 & 0x0E | 1,
        (stamp >> 22) as u8,
        (stamp >> 14) as u8 | 1,
        (stamp >> 7) as u8,
        (stamp << 1) as u8 | 1,
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_as_written() {
        for (pts, dts) in
            [(0, 0), (3_003, 3_003), ((1 << 33) - 1, (1 << 33) - 3001), (123_456_789, 123_450_000)]
        {
            let mut bytes = Vec::new();
            write(&mut bytes, 0xE0, None, pts, dts, 1);
            let size = bytes.len();
            let stamps = (Some(pts as u64), (pts != dts).then_some(dts as u64));
            let header = PesHeader { size, payload: None, pts: stamps.0, dts: stamps.1 };
            assert_eq!(parse(&bytes), Head::Media(header));
            for short in 0..size {
                assert_eq!(parse(&bytes[..short]), Head::Short);
            }
        }
    }

    #[test]
    fn a_length_that_is_too_small_for_the_header_is_refused() {
        assert_eq!(parse(&[0, 0, 1, 0xC0, 0, 4, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1]), Head::Bad);
        assert_eq!(parse(&[0, 0, 1, 0xBE, 0, 0]), Head::Other);
        assert_eq!(parse(&[0, 0, 2, 0xE0, 0, 0]), Head::Bad);
    }
}
