//! Reads the bits of a NAL unit (H.264, 7.2 and 9.1; H.265, 7.2 and 9.2).

/// Reads bits from the front. Every read returns `None` once the bits have run out.
pub(super) struct Bits {
    /// The payload without emulation prevention bytes (7.4.1).
    payload: Vec<u8>,
    at: usize,
}

impl Bits {
    /// The bits after a NAL unit's header, which has `header` bytes.
    ///
    /// Slice data is cut off where no slice header can reach.
    pub(super) fn of(unit: &[u8], header: usize) -> Self {
        const MAX_LENGTH: usize = 4096;
        let mut payload = Vec::new();
        let mut zeros = 0;
        for &byte in unit.iter().skip(header).take(MAX_LENGTH) {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            payload.push(byte);
        }
        Self { payload, at: 0 }
    }

    /// How many bits have been read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The whole payload, including what has been read.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(super) fn skip(&mut self, bits: usize) {
        self.at += bits;
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = self.payload.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// u(n)
    pub(super) fn u(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0u32, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// ue(v)
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        (1u32 << zeros).checked_sub(1)?.checked_add(self.u(zeros)?)
    }

    /// se(v)
    pub(super) fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        let magnitude = (code + 1) / 2;
        i32::try_from(if code % 2 == 1 { magnitude } else { -magnitude }).ok()
    }
}
