//! The error type of this crate.

cutrickle_error::declare! {
    /// The reason why a device could not do something. The text names the failed call and the code that it
    /// returned.
    pub struct Error: Kind {
        /// A failure of `what`, or an invalid argument.
        Failed => pub new;
        /// A driver or a library is missing.
        Unavailable => pub(crate) unavailable,
            /// There is no driver, or one of its libraries is missing.
            is_unavailable;
        /// This device never supports the request.
        Unsupported => pub(crate) unsupported,
            /// This device never supports the request, so there is no point in trying again.
            is_unsupported;
        /// The GPU has no encoder.
        NoEncoder => pub(crate) no_encoder,
            /// This GPU has no encoder at all.
            is_no_encoder;
        /// The request exceeds the number of encoder sessions that the driver allows.
        TooManySessions => pub(crate) too_many_sessions,
            /// The GPU has an encoder, but all sessions that it allows are in use.
            is_session_limit;
    }
}

/// A result with this crate's error type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Describes the driver's error `code` for the owner of a machine that has no usable GPU, and returns `None`
/// for any other code. `said` is the driver's own text, or the dynamic loader's if there is no driver.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn without_gpu(code: i32, said: &str) -> Option<String> {
    Some(match code {
        // 303 means that the library is missing, 302 that it lacks a function.
        303 if said.is_empty() || said.contains("No such file") => {
            "no NVIDIA driver (libcuda.so.1 not found)".to_owned()
        }
        303 => format!("no NVIDIA driver (libcuda.so.1 cannot be opened: {said})"),
        302 => "the NVIDIA driver is too old: libcuda.so.1 lacks a function".to_owned(),
        35 | 803 => format!("the NVIDIA driver does not fit this program ({said})"),
        100 => "the NVIDIA driver knows of no device".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_driver_is_told_in_words() {
        let loader = "libcuda.so.1: cannot open shared object file: No such file or directory";
        assert_eq!(without_gpu(303, loader).as_deref(), Some("no NVIDIA driver (libcuda.so.1 not found)"));
        let broken = without_gpu(303, "/lib/libcuda.so.1: file too short").unwrap_or_default();
        assert!(broken.starts_with("no NVIDIA driver") && broken.contains("file too short"), "{broken}");
        for code in [302, 35, 803, 100] {
            let text = without_gpu(code, "as the driver says it").unwrap_or_default();
            assert!(!text.is_empty() && !text.contains("CUDA_ERROR"), "{code}: {text}");
        }
        assert_eq!(without_gpu(719, "unspecified launch failure"), None);
    }
}
