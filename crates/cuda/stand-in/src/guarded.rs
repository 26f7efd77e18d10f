//! Memory between two pages that nobody may touch.

use std::ptr::{self, NonNull};

use crate::status::{Answer, Status};

/// What fills memory that nothing was written to yet, and what fills memory that was given back. As a float
/// either is a number far off, as a pixel it is grey.
pub(crate) const FRESH: u8 = 0xDB;
pub(crate) const FREED: u8 = 0xB7;

const PAGE: usize = 4096;
/// Every allocation of a driver is aligned to this at least.
const ALIGNMENT: usize = 256;

/// A mapping of its own, that ends at its guard page or less than an alignment's step before.
pub(crate) struct Guarded {
    mapping: NonNull<u8>,
    mapped: usize,
    begin: usize,
    length: usize,
}

// SAFETY: it is memory; who touches it when is the matter of those who use its address.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

impl Guarded {
    /// # Errors
    /// No memory.
    pub(crate) fn new(length: usize) -> Answer<Self> {
        let padded = length.checked_next_multiple_of(ALIGNMENT).ok_or(Status::OUT_OF_MEMORY)?;
        let body = padded.checked_next_multiple_of(PAGE).ok_or(Status::OUT_OF_MEMORY)?.max(PAGE);
        let mapped = body.checked_add(2 * PAGE).ok_or(Status::OUT_OF_MEMORY)?;
        // SAFETY: a new private mapping, placed where the system likes.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
                mapped,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let Some(mapping) = NonNull::new(mapping.cast::<u8>()).filter(|_| mapping != libc::MAP_FAILED) else {
            return Err(Status::OUT_OF_MEMORY);
        };
        let memory = Self { mapping, mapped, begin: PAGE + body - padded, length };
        // SAFETY: the pages between the first and the last of the mapping that was just made.
        let opened = unsafe {
            libc::mprotect(memory.mapping.as_ptr().add(PAGE).cast(), body, libc::PROT_READ | libc::PROT_WRITE)
        };
        if opened != 0 {
            return Err(Status::OUT_OF_MEMORY);
        }
        // SAFETY: as above; they can be written now.
        unsafe { memory.mapping.as_ptr().add(PAGE).write_bytes(FRESH, body) };
        Ok(memory)
    }

    /// The byte at `offset`, which may be the one behind the last.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.length);
        // SAFETY: within the mapping, as the length is.
        unsafe { self.mapping.as_ptr().add(self.begin + offset) }
    }

    pub(crate) fn fill(&self, value: u8) {
        // SAFETY: its own bytes. Who reads them at the same time gets one or the other, as on a device.
        unsafe { self.at(0).write_bytes(value, self.length) };
    }

    /// Whether the bytes between its end and the guard page, and before its begin, are as they were.
    pub(crate) fn is_intact(&self) -> bool {
        let outside = |from: usize, to: usize| {
            // SAFETY: within the pages that can be read, and not handed out, so that nobody ought to write them.
            let bytes = unsafe { std::slice::from_raw_parts(self.mapping.as_ptr().add(from), to - from) };
            bytes.iter().all(|&byte| byte == FRESH)
        };
        outside(PAGE, self.begin) && outside(self.begin + self.length, self.mapped - PAGE)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, and with it goes the last who knows its address for certain.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapped) };
    }
}
