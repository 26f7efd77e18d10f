//! Bits of a NAL unit (H.264, 7.2 and 9.1; H.265, 7.2 and 9.2) or of an OBU (AV1, 4.10).

/// Reads from the front; nothing where there is nothing left.
pub(super) struct Bits {
    /// Without emulation prevention bytes (7.4.1).
    payload: Vec<u8>,
    at: usize,
}

impl Bits {
    /// Those behind the header of a NAL unit, which has so many bytes; of a slice's data only as many bytes as its own
    /// header can take.
    pub(super) fn of(unit: &[u8], header: usize) -> Self {
        const LONGEST: usize = 4096;
        let mut payload = Vec::new();
        let mut zeros = 0;
        for &byte in unit.iter().skip(header).take(LONGEST) {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            payload.push(byte);
        }
        Self { payload, at: 0 }
    }

    /// These as they are.
    pub(super) fn plain(payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), at: 0 }
    }

    /// Bits read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// All of them, read or not.
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
