//! NVIDIA's libraries that come with the driver, opened when they are first asked for.

use std::ffi::c_void;

use libloading::Library;

use crate::{Error, Result};

/// Opens the first of `names` that is there. It stays open for the life of the process: what it handed out is used
/// until then.
///
/// # Errors
/// [`Error::is_unavailable`], with what the dynamic loader said to the last one.
pub(crate) fn open(names: &[&str]) -> Result<Library> {
    let mut last = Error::unavailable("no library's name");
    for name in names {
        // SAFETY: these are the driver's own libraries, whose initialisers have no conditions.
        match unsafe { Library::new(*name) } {
            Ok(library) => return Ok(library),
            Err(e) => last = Error::unavailable((*name).to_owned()).because(e),
        }
    }
    Err(last)
}

/// The address of the function `name`, never null.
///
/// # Errors
/// [`Error::is_unavailable`] where the library, being older, has no such function.
pub(crate) fn function(library: &Library, name: &str) -> Result<*mut c_void> {
    // SAFETY: an address is taken and nothing called; who calls it says what it is.
    let symbol = unsafe { library.get::<*mut c_void>(name) };
    match symbol {
        Ok(symbol) if !symbol.is_null() => Ok(*symbol),
        Ok(_) => Err(Error::unavailable(format!("{name} has no address"))),
        Err(e) => Err(Error::unavailable(name.to_owned()).because(e)),
    }
}
