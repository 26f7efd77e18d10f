//! Memory for rows of pixels, with a chosen alignment and pitch, that detects writes outside of the rows.

use cutrickle_host_kernels::{Rows, RowsMut};

use crate::chance::Chance;

/// How rows lie in memory.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Address of the first row, modulo 16.
    pub address: usize,
    /// The pitch is the row's length, rounded up to a multiple of this, plus `pitch_more`.
    pub pitch_unit: usize,
    /// See `pitch_unit`.
    pub pitch_more: usize,
}

impl Place {
    /// Every row begins at a multiple of sixteen bytes, so whole blocks are accessed at once.
    pub const ALIGNED: Self = Self { address: 0, pitch_unit: 16, pitch_more: 16 };
    /// Every row begins at a multiple of four bytes, but never of sixteen.
    pub const BY_FOUR: Self = Self { address: 4, pitch_unit: 16, pitch_more: 0 };
    /// No row begins at a multiple of four bytes.
    pub const BY_ONE: Self = Self { address: 1, pitch_unit: 4, pitch_more: 0 };
    /// Rows follow one another without gaps, whatever alignment results.
    pub const PACKED: Self = Self { address: 0, pitch_unit: 1, pitch_more: 0 };
    pub const ALL: [Self; 4] = [Self::ALIGNED, Self::BY_FOUR, Self::BY_ONE, Self::PACKED];

    /// The same place for elements of `size` bytes, aligned to that size.
    pub fn of_elements(self, size: usize) -> Self {
        Self { address: self.address.next_multiple_of(size), ..self }
    }
}

/// Rows within memory that is filled with a known value.
pub struct Canvas {
    memory: Vec<u8>,
    start: usize,
    pitch: usize,
    row: usize,
    rows: usize,
    fill: u8,
}

impl Canvas {
    /// How many bytes before and after the rows must stay unchanged.
    const GUARD: usize = 64;

    /// Makes `rows` rows of `row` bytes each, with all memory filled with `fill`.
    pub fn new(row: usize, rows: usize, place: Place, fill: u8) -> Self {
        Self::with_behind(row, rows, place, fill, Self::GUARD)
    }

    /// Makes rows to read from packed `content`, with random bytes between them. The memory ends with the
    /// last row, so that a sanitizer detects reads beyond it.
    pub fn holding(content: &[u8], row: usize, place: Place, chance: &mut Chance) -> Self {
        let mut canvas = Self::with_behind(row, content.len() / row, place, 0, 0);
        chance.fill(&mut canvas.memory);
        for (y, content) in content.chunks(row).enumerate() {
            let at = canvas.start + y * canvas.pitch;
            canvas.memory[at..at + row].copy_from_slice(content);
        }
        canvas
    }

    fn with_behind(row: usize, rows: usize, place: Place, fill: u8, behind: usize) -> Self {
        let pitch = row.next_multiple_of(place.pitch_unit) + place.pitch_more;
        let start = Self::GUARD + place.address;
        let memory = vec![fill; start + pitch * (rows - 1) + row + behind];
        assert_eq!(memory.as_ptr().addr() % 16, 0, "the allocator aligns to sixteen bytes");
        Self { memory, start, pitch, row, rows, fill }
    }

    pub fn pitch(&self) -> usize {
        self.pitch
    }

    pub fn rows(&self) -> Rows<'_> {
        Rows { bytes: &self.memory[self.start..], pitch: self.pitch }
    }

    pub fn rows_mut(&mut self) -> RowsMut<'_> {
        RowsMut { bytes: &mut self.memory[self.start..], pitch: self.pitch }
    }

    /// Returns the rows without gaps, after checking that nothing outside of them was written.
    pub fn take(self) -> Vec<u8> {
        let mut content = Vec::with_capacity(self.row * self.rows);
        let mut beside = 0;
        for y in 0..self.rows {
            let at = self.start + y * self.pitch;
            let untouched = self.memory[beside..at].iter().all(|&byte| byte == self.fill);
            assert!(untouched, "bytes before row {y} of {} were written", self.rows);
            content.extend_from_slice(&self.memory[at..at + self.row]);
            beside = at + self.row;
        }
        assert!(self.memory[beside..].iter().all(|&byte| byte == self.fill), "bytes behind were written");
        content
    }
}
