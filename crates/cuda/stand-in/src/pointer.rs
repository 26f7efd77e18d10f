//! Pointers that come from the caller of a C function.

use std::ffi::{CStr, c_char, c_void};

use crate::status::{Answer, Status};

/// Where a result goes: memory of the caller for a `T`, or null.
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
    /// A null pointer.
    pub(crate) fn put(self, value: T) -> Answer {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: that it points to memory for a T is what every function that takes one asks of its caller.
        unsafe { self.0.write_unaligned(value) };
        Ok(())
    }

    /// The same place, for something else.
    pub(crate) fn cast<U>(self) -> Out<U> {
        Out(self.0.cast())
    }

    /// What the caller has put there.
    pub(crate) fn asked(self) -> In<T> {
        In(self.0.cast_const())
    }

    /// Writes where there is something to write to.
    pub(crate) fn put_if_wanted(self, value: T) {
        // A null pointer is all that can be wrong, and means that the value is not wanted.
        let _ = self.put(value);
    }
}

/// Something of the caller's that is read, or null: a struct of C, which can be copied.
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
    /// A null pointer.
    pub(crate) fn get(self) -> Answer<T> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: that it points to a T is what every function that takes one asks of its caller.
        Ok(unsafe { self.0.read_unaligned() })
    }
}

impl<T> In<T> {
    /// An enumeration's number, which may be none that it has: it must be known before the whole is looked at.
    pub(crate) fn number(self, offset: usize) -> Answer<u32> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: a field of a T, which is what every function that takes one asks of its caller.
        Ok(unsafe { self.0.byte_add(offset).cast::<u32>().read_unaligned() })
    }

    /// The same place, as something else.
    pub(crate) fn cast<U>(self) -> In<U> {
        In(self.0.cast())
    }
}

/// A C string of the caller's.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Text(*const c_char);

impl Text {
    pub(crate) fn get(self) -> Answer<String> {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: that it ends with a zero is what every function that takes one asks of its caller.
        Ok(unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned())
    }
}

/// A place in host memory that is used later, on another thread. Whether it may be then is the caller's matter,
/// as with a real device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Host(pub(crate) *mut c_void);

// SAFETY: the number itself belongs to no thread; each use of it has its own reasons.
unsafe impl Send for Host {}

impl Host {
    pub(crate) fn address(self) -> usize {
        self.0.addr()
    }

    /// `bytes` further.
    pub(crate) fn offset(self, bytes: usize) -> *mut u8 {
        self.0.cast::<u8>().wrapping_add(bytes)
    }
}

impl Out<c_char> {
    /// A text that ends with a zero, cut off to have `room`.
    pub(crate) fn put_text(self, text: &str, room: usize) -> Answer {
        if self.0.is_null() || room == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let length = text.len().min(room - 1);
        // SAFETY: the caller says that there is room for that many characters, and the last is the zero.
        unsafe {
            self.0.copy_from_nonoverlapping(text.as_ptr().cast(), length);
            self.0.add(length).write(0);
        }
        Ok(())
    }
}
