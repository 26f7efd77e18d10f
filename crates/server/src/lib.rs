//! The REST contract of a live video worker.
