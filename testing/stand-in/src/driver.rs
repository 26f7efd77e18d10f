//! The CUDA driver: `libcuda.so.1`.

pub(crate) mod context;
mod copy;
mod device;
mod error_text;
pub(crate) mod event;
mod host_memory;
mod launch;
pub(crate) mod memory;
mod module;
mod pool;
pub(crate) mod stream;

use crate::{decoder, encoder, math};

/// How many objects of each kind are still open.
pub(crate) fn left() -> Vec<(&'static str, usize)> {
    let mut left = vec![
        ("allocations", memory::live()),
        ("pinned host allocations", host_memory::live()),
        ("streams", stream::live()),
        ("events", event::live()),
        ("modules", module::live()),
    ];
    left.extend(math::left());
    left.extend(decoder::left());
    left.extend(encoder::left());
    left
}
