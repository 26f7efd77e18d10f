//! Stands in for NVIDIA's libraries, so that the GPU path runs on machines without a GPU.
//!
//! This is one shared library with the functions of `libcuda.so.1`, `libnvcuvid.so.1` and
//! `libnvidia-encode.so.1`, and with the functions of cuBLAS, cuRAND and NVRTC that candle needs to open a
//! device. `ci/stand-in.sh` makes it available under the names of those libraries. Device memory is host
//! memory that only this library can reach, streams are threads, the kernels run as their host builds, and
//! decoding and encoding are done by the project's own codecs for the CPU. The feature `libavcodec` adds
//! ffmpeg's decoder and encoder for H.265.
//!
//! The stand-in is strict where a real driver is forgiving, so that a test that passes here passes on a
//! device for the same reasons. Streams run with random delays, so that missing synchronisation shows. New
//! and freed memory is filled with patterns. Every range is checked before it is touched. The NULL stream
//! takes no work. What the stand-in cannot show is speed, races between kernels, and anything that the real
//! libraries do beyond their documentation.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `STAND_IN_DEVICES` | number of devices (1) |
//! | `STAND_IN_CAPABILITY` | compute capability (8.9) |
//! | `STAND_IN_MEMORY_MB` | memory of a device (8192) |
//! | `STAND_IN_NVDEC` | 0 if the device has no decoder (1) |
//! | `STAND_IN_NVENC` | 1 if the device has an encoder (0) |
//! | `STAND_IN_NVENC_SESSIONS` | how many encoders may be open at once (8) |
//! | `STAND_IN_SEED` | seed of the delays; printed at the end if anything went wrong |
//! | `STAND_IN_DELAY_US` | longest delay of an operation (2000); 0 for no delays |
//! | `STAND_IN_FAIL` | `name:n=code,...`: the n-th call of a function returns that code |
//! | `STAND_IN_REPORT` | file to write a JSON report to at the end |
//! | `STAND_IN_STRICT_EXIT` | 1 to end the process with 86 if anything was left open or used wrongly |
//!
//! The report says how often each function was called, what was used wrongly, and what was left open. A test
//! in the same process calls `standInCalls(name)` and `standInWrongUses()` instead. Copies whose host memory
//! is not pinned block or go through a staging buffer, so they are counted separately, as
//! `(copy to pageable memory)` and `(copy from pageable memory)`.
#![cfg(target_os = "linux")]

mod call;
mod chance;
mod decoder;
mod driver;
mod encoder;
mod guarded;
mod math;
mod missing;
mod pointer;
mod report;
mod settings;
mod status;
mod table;
