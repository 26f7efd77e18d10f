//! Reads bits of a NAL unit's payload, skipping emulation prevention bytes (H.264, 7.4.1; H.265, 7.4.2).

/// A read position in the payload of a NAL unit.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte, and how many of its bits have been read.
    byte: usize,
    bit: u8,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, byte: 0, bit: 0 }
    }

    /// The number of bits passed, including emulation prevention bytes.
    pub(super) fn position(&self) -> usize {
        8 * self.byte + usize::from(self.bit)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = *self.data.get(self.byte)?;
        let set = byte >> (7 - self.bit) & 1 == 1;
        self.bit += 1;
        if self.bit == 8 {
            self.bit = 0;
            self.byte += 1;
            if self.byte >= 2 && self.data.get(self.byte - 2..=self.byte) == Some(&[0, 0, 3]) {
                self.byte += 1;
            }
        }
        Some(set)
    }

    /// Reads up to 32 bits, the most significant first.
    pub(super) fn read(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value: u32, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// Reads an unsigned Exp-Golomb code (9.1). A signed code has the same length, so this can skip it too.
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        Some(((1 << zeros) - 1) + self.read(zeros)?)
    }

    /// Reads a signed Exp-Golomb code (9.1.1).
    pub(super) fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let size = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { size } else { -size })
    }
}
