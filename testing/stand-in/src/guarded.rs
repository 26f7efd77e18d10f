//! Memory between two guard pages.

use std::ptr::{self, NonNull};

use crate::status::{Answer, Status};

/// Fills new memory. Repeated in a float it makes an implausible number, and as a pixel it is grey.
pub(crate) const FRESH: u8 = 0xDB;
/// Fills memory that was freed; see [`FRESH`].
pub(crate) const FREED: u8 = 0xB7;

const PAGE: usize = 4096;
/// A driver aligns every allocation to at least this.
const ALIGNMENT: usize = 256;

/// A separate mapping. The memory ends at its guard page, or less than `ALIGNMENT` bytes before it.
pub(crate) struct Guarded {
    mapping: NonNull<u8>,
    mapped: usize,
    begin: usize,
    length: usize,
}

// SAFETY: this is plain memory, and the users of its address synchronise their accesses.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

impl Guarded {
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn new(length: usize) -> Answer<Self> {
        let padded = length.checked_next_multiple_of(ALIGNMENT).ok_or(Status::OUT_OF_MEMORY)?;
        let body = padded.checked_next_multiple_of(PAGE).ok_or(Status::OUT_OF_MEMORY)?.max(PAGE);
        let mapped = body.checked_add(2 * PAGE).ok_or(Status::OUT_OF_MEMORY)?;
        // SAFETY: this makes a new private mapping wherever the system likes.
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
        // SAFETY: these are the pages between the first and the last of the new mapping.
        let opened = unsafe {
            libc::mprotect(memory.mapping.as_ptr().add(PAGE).cast(), body, libc::PROT_READ | libc::PROT_WRITE)
        };
        if opened != 0 {
            return Err(Status::OUT_OF_MEMORY);
        }
        // SAFETY: as above, and the pages are writable now.
        unsafe { memory.mapping.as_ptr().add(PAGE).write_bytes(FRESH, body) };
        Ok(memory)
    }

    /// The address of the byte at `offset`, which may be the one after the last.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.length);
        // SAFETY: the offset is within the length, and so within the mapping.
        unsafe { self.mapping.as_ptr().add(self.begin + offset) }
    }

    pub(crate) fn fill(&self, value: u8) {
        // SAFETY: these bytes belong to this mapping. As on a device, reading them at the same time returns
        // either the old or the new value.
        unsafe { self.at(0).write_bytes(value, self.length) };
    }

    /// Whether the padding before the memory and between its end and the guard page is unchanged.
    pub(crate) fn is_intact(&self) -> bool {
        let outside = |from: usize, to: usize| {
            // SAFETY: these pages are readable, and the padding was never handed out, so nobody should write
            // to it.
            let bytes = unsafe { std::slice::from_raw_parts(self.mapping.as_ptr().add(from), to - from) };
            bytes.iter().all(|&byte| byte == FRESH)
        };
        outside(PAGE, self.begin) && outside(self.begin + self.length, self.mapped - PAGE)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: this object owns the mapping, and its address is not handed out beyond the object's life.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapped) };
    }
}
