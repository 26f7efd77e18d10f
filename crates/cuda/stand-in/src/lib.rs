//! Stands in for NVIDIA's libraries, so that the GPU path runs where there is no GPU.
//!
//! One shared library with the functions of `libcuda.so.1`, `libnvcuvid.so.1` and `libnvidia-encode.so.1`, and
//! with those of cuBLAS, cuRAND and NVRTC that opening a device of candle needs; `ci/stand-in.sh` gives it their
//! names. Device memory is host memory that only this library can reach, streams are threads, the kernels run as
//! their host builds, decoder and encoder are the project's own for the CPU. The feature `libavcodec` adds
//! ffmpeg's: H.265 both ways, and AV1's decoder.
//!
//! It is strict where a driver would be forgiving: a test must not pass on it for any other reason than that it
//! would pass on a device. Streams run with random delays, so that a missing order shows; new and freed memory is
//! filled; every range is looked up before it is touched; the NULL stream takes no work. What it does not show:
//! speed, how two kernels race, and whatever the real libraries do beyond their documentation.
//!
//! | variable | meaning |
//! | --- | --- |
//! | `STAND_IN_DEVICES` | number of devices (1) |
//! | `STAND_IN_CAPABILITY` | compute capability (8.9) |
//! | `STAND_IN_MEMORY_MB` | memory of a device (8192) |
//! | `STAND_IN_NVDEC` | 0: the device has no decoder |
//! | `STAND_IN_NVENC` | 1: the device has an encoder; as it is, it has none |
//! | `STAND_IN_NVENC_SESSIONS` | how many encoders may be open at once (8) |
//! | `STAND_IN_SEED` | seed of the delays; printed at the end if anything was wrong |
//! | `STAND_IN_DELAY_US` | longest delay of an operation (2000); 0 for none |
//! | `STAND_IN_FAIL` | `name:n=code,...`: the n-th call of a function answers that code |
//! | `STAND_IN_REPORT` | where to write the report, as JSON, at the end |
//! | `STAND_IN_STRICT_EXIT` | 1: the process ends with 86 if anything was left open or wrongly used |
//!
//! The report has how often each function was called, what was used wrongly, and what was left open. A test in the same
//! process asks `standInCalls(name)` and `standInWrongUses()` instead. Copies that make the host wait, or stage, as
//! their memory is not pinned, are counted as `(copy to pageable memory)` and `(copy from pageable memory)`.
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
