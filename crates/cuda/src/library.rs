//! Opens the libraries that NVIDIA ships with the driver, on first use.

use std::ffi::c_void;

use libloading::Library;

use crate::{Error, Result};

/// Opens the first of `names` that exists. The library must stay open for the life of the process, because
/// its functions are used until then.
///
/// # Errors
/// None of the libraries can be opened ([`Error::is_unavailable`]). The error contains the dynamic loader's
/// message for the last one.
pub(crate) fn open(names: &[&str]) -> Result<Library> {
    let mut last = Error::unavailable("no library's name");
    for name in names {
        // SAFETY: these are the driver's own libraries, and their initialisers have no preconditions.
        match unsafe { Library::new(*name) } {
            Ok(library) => return Ok(library),
            Err(e) => last = Error::unavailable((*name).to_owned()).because(e),
        }
    }
    Err(last)
}

/// Returns the address of the function `name`, which is never null.
///
/// # Errors
/// The library is too old to have this function ([`Error::is_unavailable`]).
pub(crate) fn function(library: &Library, name: &str) -> Result<*mut c_void> {
    // SAFETY: this only takes an address and calls nothing. The caller chooses the type of the function.
    let symbol = unsafe { library.get::<*mut c_void>(name) };
    match symbol {
        Ok(symbol) if !symbol.is_null() => Ok(*symbol),
        Ok(_) => Err(Error::unavailable(format!("{name} has no address"))),
        Err(e) => Err(Error::unavailable(name.to_owned()).because(e)),
    }
}
