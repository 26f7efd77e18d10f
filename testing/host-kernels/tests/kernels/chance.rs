//! Random numbers that are the same in every run.

use cutrickle_cuda::kernels::Grid;
use cutrickle_media::{ColourSpace, Matrix};

/// A 64-bit generator of the xorshift family.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number in `from..=to`.
    pub fn between(&mut self, from: u32, to: u32) -> u32 {
        from + u32::try_from((self.bits() >> 32) % u64::from(to - from + 1)).unwrap()
    }

    pub fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.between(0, these.len() as u32 - 1) as usize]
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let bits = self.bits().to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
    }

    /// The side of a frame: often tiny, often odd, and often close to the width that a thread processes at
    /// once.
    pub fn side(&mut self) -> u32 {
        match self.between(0, 3) {
            0 => self.between(1, 5),
            1 => 16 * self.between(1, 6) + self.between(0, 2) - 1,
            _ => self.between(1, 150),
        }
    }

    /// A launch in which threads take several steps in both directions, or in which some have nothing to do.
    pub fn grid(&mut self) -> Grid {
        let blocks = [self.between(1, 3), self.between(1, 3)];
        Grid { blocks, threads: [self.between(1, 4), self.between(1, 3)] }
    }
}

/// Every matrix with either range.
pub fn colour_spaces() -> Vec<ColourSpace> {
    [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020]
        .into_iter()
        .flat_map(|matrix| [false, true].map(|full_range| ColourSpace { matrix, full_range }))
        .collect()
}
