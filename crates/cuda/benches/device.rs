//! Measures how much a device gets done in a second: the kernels compared with a plain copy, and the decoder
//! compared with a bare loop over its library.
//!
//!     ROUNDS=20 cargo bench --package cutrickle-cuda --features cuda --bench device -- CLIP.h264
//!
//! CLIP.h264 is an Annex B byte stream in which every access unit begins with a delimiter; `ci/gpu.sh` makes
//! one. Without it, the decoder is left out.
//!
//! The device measures times itself, with events. All of a round's work is enqueued before the device gets to
//! it, and each line shows the median of the rounds. A 1080p frame is so little work that a device spends
//! most of its time on starting and finishing it. Therefore each kernel is timed twice, and so is a copy of
//! as many bytes: with one frame after another on a stream, as in a stream of video, and with all frames in
//! one graph of four branches, where frames overlap.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool of the project's own")]

mod bare_cuvid;

use std::sync::Arc;
use std::time::Instant;

use cudarc::driver::sys::{CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaGraph, CudaSlice, DriverError};
use cutrickle_cuda::cudarc;
use cutrickle_cuda::kernels::SurfaceFormat;
use cutrickle_cuda::nvdec::Decoder;
use cutrickle_cuda::{Gpu, HostPicture, Picture, Sample, TensorPixels};
use cutrickle_media::{ColourSpace, Element, Matrix, ModelInput, VideoCodec};
use half::f16;

/// 1080p.
const SIZE: (u32, u32) = (1920, 1080);
/// How many frames take turns. Together they are larger than any device's cache.
const PICTURES: usize = 32;
const COLOUR: ColourSpace = ColourSpace { matrix: Matrix::Bt709, full_range: false };

fn rounds() -> usize {
    std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Copies memory to keep the device busy while work is enqueued.
struct Busy {
    from: CudaSlice<u8>,
    to: CudaSlice<u8>,
}

impl Busy {
    /// The number of bytes in a copy.
    const LENGTH: usize = 256 << 20;
    /// As many copies as take a fast device about a millisecond.
    const COPIES: usize = 8;

    fn new(gpu: &Gpu) -> Self {
        let half = || gpu.stream().alloc_zeros::<u8>(Self::LENGTH).unwrap();
        Self { from: half(), to: half() }
    }

    fn copy(&mut self, gpu: &Gpu) {
        gpu.stream().memcpy_dtod(&self.from, &mut self.to).unwrap();
    }
}

/// The median of the seconds that the device takes for what `work` enqueues, after one round that is not
/// counted.
fn time(gpu: &Gpu, busy: &mut Busy, mut work: impl FnMut()) -> f64 {
    let stream = gpu.stream();
    let mut times = Vec::new();
    for round in 0..=rounds() {
        (0..Busy::COPIES).for_each(|_| busy.copy(gpu));
        let start = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
        work();
        let end = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
        let seconds = f64::from(start.elapsed_ms(&end).unwrap()) / 1e3;
        if round > 0 {
            times.push(seconds);
        }
    }
    median(times)
}

/// The number of branches in a graph.
const BRANCHES: usize = 4;

/// The seconds for all frames one after another, and in a graph if the driver supports graphs.
///
/// `prepare` prepares the work for one frame on the stream of the device that it is given.
fn both_ways<W: FnMut()>(
    gpu: &Arc<Gpu>,
    busy: &mut Busy,
    mut prepare: impl FnMut(&Arc<Gpu>) -> W,
) -> (f64, Option<f64>) {
    let mut works: Vec<W> = (0..PICTURES).map(|_| prepare(gpu)).collect();
    let one_stream = time(gpu, busy, || works.iter_mut().for_each(|work| work()));
    drop(works);
    let branch = || Gpu::on(gpu.stream().context().new_stream().unwrap()).unwrap();
    let branches: Vec<_> = (0..BRANCHES).map(|_| branch()).collect();
    let mut works: Vec<W> = (0..PICTURES).map(|number| prepare(&branches[number % BRANCHES])).collect();
    // One launch in sixteen is timed with events, which are not allowed in a graph. Running the work once
    // outside of the graph makes sure that this launch is not captured.
    works.iter_mut().for_each(|work| work());
    branches.iter().for_each(|branch| branch.stream().synchronize().unwrap());
    let graph = match capture(&branches, || works.iter_mut().for_each(|work| work())) {
        Ok(graph) => graph,
        Err(e) => {
            eprintln!("no graph: {e}");
            return (one_stream, None);
        }
    };
    // The graph is launched on the stream that it was captured on.
    let seconds = time(&branches[0], busy, || graph.launch().unwrap());
    (one_stream, Some(seconds))
}

/// Captures what `work` enqueues on the streams as one graph, in which each stream is a branch.
fn capture(branches: &[Arc<Gpu>], work: impl FnOnce()) -> Result<CudaGraph, DriverError> {
    let first = branches[0].stream();
    first.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED)?;
    let fork = first.record_event(None)?;
    branches[1..].iter().try_for_each(|branch| branch.stream().wait(&fork))?;
    work();
    for branch in &branches[1..] {
        first.wait(&branch.stream().record_event(None)?)?;
    }
    // The flag has no effect on a graph that allocates nothing, but cudarc's type has no value for no flags.
    let graph =
        first.end_capture(CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH)?;
    Ok(graph.expect("a graph of what was captured"))
}

/// Random bytes by xorshift, because devices process zeros faster than real frames.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The host memory that frames to convert are uploaded from.
struct Source {
    format: SurfaceFormat,
    luma: Vec<u8>,
    chroma: Vec<u8>,
}

impl Source {
    fn new(format: SurfaceFormat) -> Self {
        let luma = SIZE.0 as usize * SIZE.1 as usize * format.sample_size() as usize;
        Self { format, luma: noise(luma), chroma: noise(luma / 2) }
    }

    fn upload(&self, gpu: &Arc<Gpu>) -> Picture {
        let ((width, height), format) = (SIZE, self.format);
        let pitch = width as usize * format.sample_size() as usize;
        let host = HostPicture { format, width, height, pitch, luma: &self.luma, chroma: &self.chroma };
        Picture::upload(gpu, &host).unwrap()
    }
}

/// Prints the time for a frame and its rate compared with a plain copy's, one after another and in a graph.
fn line(name: &str, bytes_a_picture: usize, (one, graph): (f64, Option<f64>), copy: f64) {
    let figures = |seconds: f64| {
        let rate = (bytes_a_picture * PICTURES) as f64 / seconds;
        let micros = seconds / PICTURES as f64 * 1e6;
        format!("{micros:.2} us, {:.0} GB/s, {:.0} %", rate / 1e9, 100.0 * rate / copy)
    };
    let graph = graph.map_or("not measured".to_owned(), figures);
    println!("{name}: one after another {}; in a graph {graph}", figures(one));
}

fn kernels(gpu: &Arc<Gpu>) {
    let mut busy = Busy::new(gpu);
    let mut other = Busy::new(gpu);
    let seconds = time(gpu, &mut busy, || other.copy(gpu));
    drop(other);
    let copy = 2.0 * Busy::LENGTH as f64 / seconds;
    println!("copy of 256 MB: {:.0} GB/s read and written, which is 100 % below", copy / 1e9);
    let pixels = (SIZE.0 * SIZE.1) as usize;
    let seconds = both_ways(gpu, &mut busy, |gpu| {
        let half = || gpu.stream().alloc_zeros::<u8>(pixels * 9 / 4).unwrap();
        let (from, mut to, gpu) = (half(), half(), Arc::clone(gpu));
        move || gpu.stream().memcpy_dtod(&from, &mut to).unwrap()
    });
    line("copy of as much as Nv12 and RGB u8", pixels * 9 / 2, seconds, copy);
    for format in [SurfaceFormat::Nv12, SurfaceFormat::P010] {
        let source = Source::new(format);
        let picture_bytes = pixels * 3 / 2 * format.sample_size() as usize;
        let seconds = both_ways(gpu, &mut busy, |gpu| {
            let (picture, mut rgb) =
                (source.upload(gpu), gpu.stream().alloc_zeros::<u8>(3 * pixels).unwrap());
            move || picture.write_rgb(COLOUR, &mut rgb).unwrap()
        });
        line(&format!("{format:?} to RGB u8"), picture_bytes + 3 * pixels, seconds, copy);
        for (width, height) in [SIZE, (640, 640)] {
            let input = ModelInput {
                element: Element::F16,
                mean: [0.485, 0.456, 0.406],
                std: [0.229, 0.224, 0.225],
                ..ModelInput::new(width, height)
            };
            let elements = (3 * width * height) as usize;
            let seconds = both_ways(gpu, &mut busy, |gpu| {
                let (picture, mut output) = (source.upload(gpu), gpu.stream().alloc_zeros(elements).unwrap());
                move || picture.write_model::<f16>(COLOUR, &input, &mut output).unwrap()
            });
            let name = format!("{format:?} to {width}x{height} f16 CHW");
            line(&name, picture_bytes + 2 * elements, seconds, copy);
        }
    }
    let noise = noise(3 * pixels);
    let unit = |byte: &u8| f32::from(*byte) / 255.0;
    let halves: Vec<_> = noise.iter().map(|byte| f16::from_f32(unit(byte))).collect();
    let floats: Vec<_> = noise.iter().map(unit).collect();
    to_nv12::<u8>(gpu, &mut busy, &noise, copy);
    to_nv12::<f16>(gpu, &mut busy, &halves, copy);
    to_nv12::<f32>(gpu, &mut busy, &floats, copy);
}

fn to_nv12<T: Sample>(gpu: &Arc<Gpu>, busy: &mut Busy, rgb: &[T], copy: f64) {
    let (width, height) = SIZE;
    let source = Source::new(SurfaceFormat::Nv12);
    let seconds = both_ways(gpu, busy, |gpu| {
        let (mut picture, rgb) = (source.upload(gpu), gpu.stream().clone_htod(rgb).unwrap());
        move || {
            let row_stride = 3 * width as usize;
            let rgb = TensorPixels { values: &rgb, offset: 0, row_stride, width, height, channels: 3 };
            picture.fill(&rgb, COLOUR).unwrap();
        }
    });
    let pixels = (width * height) as usize;
    let bytes = pixels * 3 / 2 + 3 * pixels * size_of::<T>();
    line(&format!("RGB {:?} to NV12", T::ELEMENT), bytes, seconds, copy);
}

/// Splits a byte stream into access units at their delimiters.
fn units(stream: &[u8]) -> Vec<&[u8]> {
    let delimiter = [0, 0, 0, 1, 9];
    let mut begins: Vec<usize> = stream
        .windows(delimiter.len())
        .enumerate()
        .filter(|(_, w)| *w == delimiter)
        .map(|(at, _)| at)
        .collect();
    begins.push(stream.len());
    begins.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
}

fn decoder(gpu: &Arc<Gpu>, clip: &str) {
    let stream = std::fs::read(clip).unwrap_or_else(|e| panic!("{clip}: {e}"));
    let units = units(&stream);
    assert!(units.len() > 1, "{clip} has no access unit delimiters");
    let rounds = rounds().min(5);
    let rate = |work: &mut dyn FnMut()| {
        let mut rates = Vec::new();
        for _ in 0..rounds {
            let started = Instant::now();
            work();
            rates.push(units.len() as f64 / started.elapsed().as_secs_f64());
        }
        median(rates)
    };
    let bare = rate(&mut || bare_cuvid::decode(gpu, &units));
    let ours = rate(&mut || {
        let mut decoder = Decoder::new(gpu, VideoCodec::H264).unwrap();
        let mut count = 0;
        for unit in &units {
            let keyframe = unit.windows(4).any(|w| w[..3] == [0, 0, 1] && w[3] & 31 == 5);
            decoder.decode(unit, keyframe, &mut |_| count += 1).unwrap();
        }
        gpu.stream().synchronize().unwrap();
        assert_eq!(count, units.len());
    });
    println!(
        "decoding {} pictures: {ours:.0} a second, a bare loop {bare:.0}: {:.1} %",
        units.len(),
        100.0 * ours / bare
    );
}

fn main() {
    let gpu = Gpu::open(0).expect("a device");
    println!("{}, {} rounds", gpu.name().unwrap(), rounds());
    // With event tracking, cudarc would record events in the middle of a graph. SAFETY: memory is allocated
    // on the stream that uses it, and branches are joined before their memory is freed.
    unsafe { gpu.stream().context().disable_event_tracking() };
    kernels(&gpu);
    // SAFETY: tracking is on by default, and turning it on adds nothing but events.
    unsafe { gpu.stream().context().enable_event_tracking() };
    // Cargo adds the argument `--bench`.
    match std::env::args().skip(1).find(|argument| argument != "--bench") {
        Some(clip) => decoder(&gpu, &clip),
        None => println!("decoding: no clip was named"),
    }
}
