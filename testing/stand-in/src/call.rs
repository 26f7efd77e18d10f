//! The checks that every call passes before it does anything.
//!
//! A call is counted, fails if it was told to, and is refused at a time or on a thread where it is not
//! allowed.

use crate::driver::{context, stream};
use crate::report;
use crate::settings::SETTINGS;
use crate::status::{Answer, Status};

/// What a function requires before it may be called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// `cuInit` must have been called.
    Init,
    /// A context must be current on this thread, and no work in it may have failed.
    Context,
}

/// Counts a call of any of the libraries.
///
/// # Errors
/// The code that the call was told to fail with, if any.
pub(crate) fn admit(name: &'static str) -> Answer {
    report::at_exit();
    let at = report::count(name);
    if SETTINGS.failures.is_empty() {
        return Ok(());
    }
    match SETTINGS.failures.get(&(name.to_owned(), at)) {
        Some(&code) => Err(Status(code)),
        None => Ok(()),
    }
}

/// Makes a call of the driver or the decoder.
pub(crate) fn enter(name: &'static str, needs: Needs, body: impl FnOnce() -> Answer) -> i32 {
    let answer = admit(name).and_then(|()| ready(name, needs)).and_then(|()| body());
    answer.err().map_or(0, |status| status.0)
}

fn ready(name: &'static str, needs: Needs) -> Answer {
    if needs == Needs::Nothing {
        return Ok(());
    }
    if stream::in_host_function() {
        report::wrong(name, "called from a host function");
        return Err(Status::NOT_PERMITTED);
    }
    if !context::initialised() {
        report::wrong(name, "called before cuInit");
        return Err(Status::NOT_INITIALIZED);
    }
    if needs == Needs::Context {
        let context = context::current().inspect_err(|_| {
            report::wrong(name, "no context is current on this thread");
        })?;
        context.check()?;
    }
    Ok(())
}

/// Defines functions with C's names and arguments that return a `CUresult`.
macro_rules! entry_points {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) needs $needs:ident $body:block
    )*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, clippy::too_many_arguments, reason = "C's name and arguments")]
        extern "C" fn $name($($argument: $type),*) -> i32 {
            $crate::call::enter(stringify!($name), $crate::call::Needs::$needs, move || $body)
        }
    )*};
}
pub(crate) use entry_points;
