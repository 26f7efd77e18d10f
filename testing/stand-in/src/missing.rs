//! The functions that the stand-in does not implement.
//!
//! Each reports that it was called and returns its library's status for "not supported". The build script
//! generates them from the lists of functions.

use std::ffi::c_char;

use crate::report;

fn status(name: &'static str, code: i32) -> i32 {
    report::count(name);
    report::wrong(name, "the stand-in does not implement it");
    code
}

fn text(name: &'static str) -> *const c_char {
    status(name, 0);
    c"".as_ptr()
}

fn number(name: &'static str) -> usize {
    status(name, 0);
    0
}

include!(concat!(env!("OUT_DIR"), "/missing.rs"));
