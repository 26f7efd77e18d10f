//! What the host waits for on a picture's way through the GPU: the encoder's bitstream, or, where the device has no
//! encoder, one copy of the picture. Counted by the stand-in driver (ci/stand-in.sh); a driver that does not count cannot
//! be asked, and the test says so. Alone in its file: the counts are the process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod gpu_clip;

use std::ffi::{CString, c_char};

use cutrickle_codec::{VideoCodec, open};
use gpu_clip::{device, encoder_for, units};
use libloading::Library;

/// Everything by which the driver makes the host wait, or could.
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
    /// The counts of a driver that counts.
    fn open() -> Option<Self> {
        // SAFETY: the driver is open already; its initialisers have run.
        let driver = unsafe { Library::new("libcuda.so.1") }.expect("there is a driver");
        // SAFETY: only whether it is there is asked.
        let counts = unsafe { driver.get::<*const ()>(b"standInCalls\0") }.is_ok();
        counts.then_some(Self(driver))
    }

    fn of(&self, name: &str) -> u64 {
        let name = CString::new(name).unwrap();
        // SAFETY: this is its type in the stand-in; the name is a C string for as long as the call.
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
    let mut decoder = open::video_decoder(VideoCodec::H264, &device).unwrap();
    let mut encoder = None;
    let mut before = None;
    // The first second is warming up: memory that is allocated, surfaces, events.
    const WARM: usize = 30;
    for (at, unit) in units.iter().take(2 * WARM).enumerate() {
        if at == WARM {
            before = Some((counts.waits(), counts.of("nvEncLockBitstream")));
        }
        let mut frames = Vec::new();
        decoder.decode(&unit.borrow(), &mut |frame| frames.push(frame)).unwrap();
        let [frame] = <[_; 1]>::try_from(frames).unwrap();
        let pixels = frame.tensor().unwrap();
        let frame = frame.replace_tensor(pixels).unwrap();
        let encoder =
            encoder.get_or_insert_with(|| open::video_encoder(encoder_for(&frame), &device).unwrap());
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
        // Without an encoder on the device each picture is copied to the host once.
        let wanted = if *name == "cuEventSynchronize" && !on_gpu { WARM as u64 } else { 0 };
        assert_eq!(*times, wanted, "{name} in {WARM} pictures: {waited:?}");
    }
    assert_eq!(locked, if on_gpu { WARM as u64 } else { 0 });
}
