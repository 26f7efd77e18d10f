//! What a program's panic hook is told of a processor's panics. A hook is the whole process's, so this is a test program
//! of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;
use cutrickle_frame::VideoFrame;
use cutrickle_pipeline::{FrameProcessor, Result, StreamContext, initialize};

#[derive(Clone)]
struct Panics;

impl FrameProcessor for Panics {
    async fn initialize(&mut self, _: &Device) -> Result<()> {
        panic!("no weights");
    }

    async fn process_video(&mut self, frame: VideoFrame, _: &StreamContext) -> Result<Option<VideoFrame>> {
        Ok(Some(frame))
    }
}

#[tokio::test]
async fn a_processor_that_panics_at_every_call_is_printed_once_and_other_panics_as_ever() {
    static PRINTED: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| {
        PRINTED.fetch_add(1, Ordering::SeqCst);
    }));
    for _ in 0..30 {
        let error = initialize(Panics, &Device::Cpu).await.err().unwrap();
        assert_eq!(error.to_string(), "initialize: panicked: no weights");
    }
    assert_eq!(PRINTED.load(Ordering::SeqCst), 1);
    for _ in 0..2 {
        std::thread::spawn(|| panic!("the program's own")).join().unwrap_err();
    }
    assert_eq!(PRINTED.load(Ordering::SeqCst), 3);
}
