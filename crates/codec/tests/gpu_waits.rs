//! What the host waits for while a frame passes through the GPU: the bitstream of the encoder or, if the
//! device has no encoder, one copy of the frame. The stand-in driver (ci/stand-in.sh) counts the waits. Other
//! drivers do not, and then the test prints that and checks nothing. It is alone in its file, because the
//! counts are those of the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod gpu_clip;

use std::ffi::{CString, c_char};

use cutrickle_codec::Backends;
use cutrickle_frame::Origin;
use cutrickle_media::VideoCodec;
use gpu_clip::{device, encoder_for, open_decoder, units};
use libloading::Library;

/// Everything in the driver that makes the host wait, or could make it wait.
const WAITS: [&str; 9] = [
    "cuCtxSynchronize",
    "cuEventSynchronize",
    "cuStreamSynchronize",
    "cuMemcpyDtoH_v2",
    "cuMemcpyHtoD_v2",
    "cuMemAlloc_v2",
    "cuMemHostAlloc",
    "(copy to pageable memory)",
    "(copy from pageable memory)",
];

struct Counts(Library);

impl Counts {
    /// Opens the driver. Returns `None` if it does not count.
    fn open() -> Option<Self> {
        // SAFETY: the driver has already been loaded, so no initialiser runs.
        let driver = unsafe { Library::new("libcuda.so.1") }.expect("there is a driver");
        // SAFETY: this only looks whether the symbol exists.
        let counts = unsafe { driver.get::<*const ()>(b"standInCalls\0") }.is_ok();
        counts.then_some(Self(driver))
    }

    fn of(&self, name: &str) -> u64 {
        let name = CString::new(name).unwrap();
        // SAFETY: the symbol has this type in the stand-in driver, and the C string outlives the call.
        unsafe {
            let calls = self.0.get::<extern "C" fn(*const c_char) -> u64>(b"standInCalls\0").unwrap();
            calls(name.as_ptr())
        }
    }

    fn waits(&self) -> [u64; WAITS.len()] {
        WAITS.map(|name| self.of(name))
    }
}

#[test]
fn the_host_waits_once_a_picture_and_for_its_output_alone() {
    let (device, units) = (device(), units());
    let Some(counts) = Counts::open() else {
        println!("this driver does not count: nothing is asserted");
        return;
    };
    let mut decoder = open_decoder(VideoCodec::H264, &device);
    let mut encoder = None;
    let mut before = None;
    // The first second is a warm-up, in which memory, surfaces and events are allocated.
    const WARM: usize = 30;
    for (at, unit) in units.iter().take(2 * WARM).enumerate() {
        if at == WARM {
            before = Some((counts.waits(), counts.of("nvEncLockBitstream")));
        }
        let mut frames = Vec::new();
        decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame)).unwrap();
        let [frame] = <[_; 1]>::try_from(frames).unwrap();
        let pixels = frame.tensor().unwrap();
        let frame = frame.replace_tensor(pixels).unwrap();
        let encoder = encoder.get_or_insert_with(|| {
            Backends::builtin().open_video_encoder(encoder_for(&frame), &device).unwrap()
        });
        encoder.encode(&frame, at % 30 == 0).unwrap();
    }
    let (waits, locks) = before.unwrap();
    let waited: Vec<_> = WAITS
        .into_iter()
        .zip(counts.waits())
        .zip(waits)
        .map(|((name, now), then)| (name, now - then))
        .collect();
    let locked = counts.of("nvEncLockBitstream") - locks;
    let on_gpu = encoder.unwrap().backend() == "nvenc";
    for (name, times) in &waited {
        // Without an encoder on the device every frame is copied to the host once.
        let wanted = if *name == "cuEventSynchronize" && !on_gpu { WARM as u64 } else { 0 };
        assert_eq!(*times, wanted, "{name} in {WARM} frames: {waited:?}");
    }
    assert_eq!(locked, if on_gpu { WARM as u64 } else { 0 });
}
