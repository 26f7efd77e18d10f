//! The names and descriptions of result codes.

use std::ffi::{CStr, c_char};

use crate::call::entry_points;
use crate::pointer::Out;
use crate::status::{Answer, Status};

fn tell(
    code: i32,
    to: Out<*const c_char>,
    which: fn((&'static CStr, &'static CStr)) -> &'static CStr,
) -> Answer {
    match Status::describe(code) {
        Some(texts) => to.put(which(texts).as_ptr()),
        None => {
            to.put(std::ptr::null())?;
            Err(Status::INVALID_VALUE)
        }
    }
}

entry_points! {
    fn cuGetErrorName(code: i32, name: Out<*const c_char>) needs Nothing { tell(code, name, |texts| texts.0) }

    fn cuGetErrorString(code: i32, text: Out<*const c_char>) needs Nothing {
        tell(code, text, |texts| texts.1)
    }
}
