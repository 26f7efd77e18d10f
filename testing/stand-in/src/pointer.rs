//! Pointers that the caller of a C function passes in.

use std::ffi::{CStr, c_char, c_void};

use crate::status::{Answer, Status};

/// Where a result goes: the caller's memory for a `T`, or null.
#[repr(transparent)]
pub(crate) struct Out<T>(*mut T);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> From<*mut T> for Out<T> {
    fn from(at: *mut T) -> Self {
        Self(at)
    }
}

impl<T> Out<T> {
    /// # Errors
    /// The pointer is null.
    pub(crate) fn put(self, value: T) -> Answer {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: every function that takes an `Out` requires it to point to memory for a T.
        unsafe { self.0.write_unaligned(value) };
        Ok(())
    }

    /// The same place, for a value of another type.
    pub(crate) fn cast<U>(self) -> Out<U> {
        Out(self.0.cast())
    }

    /// The value that the caller has put there.
    pub(crate) fn asked(self) -> In<T> {
        In(self.0.cast_const())
    }

    /// Writes the value unless the pointer is null.
    pub(crate) fn put_if_wanted(self, value: T) {
        // The only possible error is a null pointer, which means that the caller does not want the value.
        let _ = self.put(value);
    }
}

/// The caller's C struct, which is copied when it is read, or null.
#[repr(transparent)]
pub(crate) struct In<T>(*const T);

impl<T> Clone for In<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for In<T> {}

impl<T> In<T> {
    /// # Errors
    /// The pointer is null.
    pub(crate) fn get(self) -> Answer<T> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: every function that takes an `In` requires it to point to a T.
        Ok(unsafe { self.0.read_unaligned() })
    }
}

impl<T> In<T> {
    /// The number in an enumeration field, which must be known to be valid before the whole struct is read.
    pub(crate) fn number(self, offset: usize) -> Answer<u32> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: this is a field of a T, to which every function that takes an `In` requires it to point.
        Ok(unsafe { self.0.byte_add(offset).cast::<u32>().read_unaligned() })
    }

    /// The same place, with a value of another type.
    pub(crate) fn cast<U>(self) -> In<U> {
        In(self.0.cast())
    }
}

/// The caller's C string.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Text(*const c_char);

impl Text {
    pub(crate) fn get(self) -> Answer<String> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: every function that takes a `Text` requires it to end with a zero.
        Ok(unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned())
    }
}

/// A place in host memory that another thread uses later. As with a real device, the caller has to keep it
/// valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Host(pub(crate) *mut c_void);

// SAFETY: the address itself belongs to no thread, and each access has its own justification.
unsafe impl Send for Host {}

impl Host {
    pub(crate) fn address(self) -> usize {
        self.0.addr()
    }

    /// The address `bytes` further on.
    pub(crate) fn offset(self, bytes: usize) -> *mut u8 {
        self.0.cast::<u8>().wrapping_add(bytes)
    }
}

impl Out<c_char> {
    /// Writes a text and a final zero, truncated to fit into `room` bytes.
    pub(crate) fn put_text(self, text: &str, room: usize) -> Answer {
        if self.0.is_null() || room == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let length = text.len().min(room - 1);
        // SAFETY: the caller promises that there is room for `room` bytes, of which the zero is the last.
        unsafe {
            self.0.copy_from_nonoverlapping(text.as_ptr().cast(), length);
            self.0.add(length).write(0);
        }
        Ok(())
    }
}
