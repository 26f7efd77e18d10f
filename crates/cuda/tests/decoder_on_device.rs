//! The decoder on a device returns exactly what ffmpeg's decoders do, for H.264 of 8 bits and H.265 of 8 and
//! 10 bits, even if the format changes in the middle of a stream.
//!
//! These tests fail without a device. It is either real hardware or the stand-in driver with its feature
//! `libavcodec` (ci/gpu-path.sh). `ci/clips.sh` makes the clips, unless `CUTRICKLE_CLIPS` names a folder with
//! them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use cutrickle_cuda::cudarc::driver::CudaSlice;
use cutrickle_cuda::kernels::SurfaceFormat;
use cutrickle_cuda::nvdec::{Decoder, capabilities};
use cutrickle_cuda::{Download, Gpu, HostPicture};
use cutrickle_media::{Size, VideoCodec};

static CLIPS: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Some(folder) = std::env::var_os("CUTRICKLE_CLIPS") {
        return folder.into();
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clips");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ci/clips.sh");
    let made = Command::new("bash").arg(script).arg(&folder).status().unwrap();
    assert!(made.success(), "ci/clips.sh needs ffmpeg with libx264 and libx265");
    folder
});

const PICTURES: usize = 24;

/// A coded clip and the frames that ffmpeg decodes it to.
struct Clip {
    codec: VideoCodec,
    format: SurfaceFormat,
    width: usize,
    height: usize,
    /// Access units.
    units: Vec<Vec<u8>>,
    pictures: Vec<Vec<u8>>,
}

impl Clip {
    fn read(name: &str, size: (usize, usize), format: SurfaceFormat) -> Self {
        let path = CLIPS.join(name);
        let bytes = std::fs::read(&path).unwrap();
        // Every access unit begins with a delimiter.
        let (codec, delimiter): (_, &[u8]) = match path.extension().and_then(|kind| kind.to_str()) {
            Some("h264") => (VideoCodec::H264, &[0, 0, 0, 1, 9]),
            Some("h265") => (VideoCodec::H265, &[0, 0, 0, 1, 0x46, 1]),
            other => panic!("{name}: clips of {other:?} have no known codec"),
        };
        let units = units_of(&bytes, delimiter);
        let raw = std::fs::read(path.with_extension("yuv")).unwrap();
        let (width, height) = size;
        let of_a_picture =
            (width * height + 2 * width.div_ceil(2) * height.div_ceil(2)) * format.sample_size() as usize;
        let pictures: Vec<_> = raw.chunks(of_a_picture).map(<[u8]>::to_vec).collect();
        assert_eq!((units.len(), pictures.len()), (PICTURES, PICTURES), "{name}");
        Self { codec, format, width, height, units, pictures }
    }

    /// Compares a decoded frame with the one that has this number.
    #[track_caller]
    fn judge(&self, number: usize, picture: &HostPicture<'_>) {
        let size = (picture.width as usize, picture.height as usize);
        assert_eq!((picture.format, size), (self.format, (self.width, self.height)), "picture {number}");
        assert!(planar(picture) == self.pictures[number], "picture {number}");
    }
}

/// Splits a stream into access units, each of which begins with a delimiter.
fn units_of(bytes: &[u8], delimiter: &[u8]) -> Vec<Vec<u8>> {
    let begins: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(delimiter)).collect();
    let ends = begins.iter().skip(1).copied().chain([bytes.len()]);
    begins.iter().zip(ends).map(|(begin, end)| bytes[*begin..end].to_vec()).collect()
}

/// The frame as ffmpeg writes it: packed planes, with samples of more than 8 bits in the lower bits of two
/// bytes.
fn planar(picture: &HostPicture<'_>) -> Vec<u8> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let sample = picture.format.sample_size() as usize;
    let mut out = Vec::new();
    let mut put = |at: &[u8]| match *at {
        [low, high] => {
            let value = u16::from_le_bytes([low, high]);
            assert_eq!(value & 0x3f, 0, "ten bits at the upper end of sixteen");
            out.extend_from_slice(&(value >> 6).to_le_bytes());
        }
        _ => out.extend_from_slice(at),
    };
    for row in picture.luma.chunks(picture.pitch).take(height) {
        row[..width * sample].chunks(sample).for_each(&mut put);
    }
    for plane in 0..2 {
        for row in picture.chroma.chunks(picture.pitch).take(height.div_ceil(2)) {
            row.chunks(sample).skip(plane).step_by(2).take(width.div_ceil(2)).for_each(&mut put);
        }
    }
    out
}

fn gpu() -> Arc<Gpu> {
    Gpu::open(0).expect("these tests need a device")
}

/// Decodes a clip, in which every access unit must return its frame at once.
fn decodes(clip: &Clip, decoder: &mut Decoder, download: &mut Download) {
    for (number, unit) in clip.units.iter().enumerate() {
        let mut out = Vec::new();
        decoder.decode(unit, number == 0, &mut |decoded| out.push(decoded)).unwrap();
        assert_eq!(out.len(), 1, "unit {number}");
        clip.judge(number, &download.fetch(&out[0].picture).unwrap());
    }
}

/// Opens a decoder for a clip, whose format every GPU decodes.
fn decoder_for(gpu: &Arc<Gpu>, clip: &Clip) -> Decoder {
    let bits = clip.format.depth();
    let there = capabilities(gpu, clip.codec, bits).is_ok();
    assert!(there, "every GPU decodes {bits}-bit {}", clip.codec.title());
    Decoder::new(gpu, clip.codec).unwrap()
}

fn decodes_alone(name: &str, format: SurfaceFormat) {
    let gpu = gpu();
    let clip = Clip::read(name, (320, 180), format);
    let mut decoder = decoder_for(&gpu, &clip);
    decodes(&clip, &mut decoder, &mut Download::new(gpu));
}

/// Delays the work that follows by a few milliseconds, on a device of any speed, by copying memory.
struct Delay {
    from: CudaSlice<u8>,
    to: CudaSlice<u8>,
    copies: u32,
}

impl Delay {
    fn new(gpu: &Gpu) -> Self {
        let half = || gpu.stream().alloc_zeros::<u8>(64 << 20).unwrap();
        let mut delay = Self { from: half(), to: half(), copies: 1 };
        gpu.stream().synchronize().unwrap();
        let begun = Instant::now();
        delay.begin(gpu);
        gpu.stream().synchronize().unwrap();
        delay.copies = (Duration::from_millis(4).as_nanos() / begun.elapsed().as_nanos().max(1)) as u32 + 1;
        delay
    }

    fn begin(&mut self, gpu: &Gpu) {
        (0..self.copies).for_each(|_| gpu.stream().memcpy_dtod(&self.from, &mut self.to).unwrap());
    }
}

#[test]
fn pictures_are_whole_where_the_device_is_behind_the_decoder() {
    let gpu = gpu();
    let mut download = Download::new(Arc::clone(&gpu));
    let mut delay = Delay::new(&gpu);
    for name in ["h264.h264", "h265.h265"] {
        let clip = Clip::read(name, (320, 180), SurfaceFormat::Nv12);
        let mut decoder = Decoder::new(&gpu, clip.codec).unwrap();
        let mut kept = Vec::new();
        for (number, unit) in clip.units.iter().enumerate() {
            if number % 4 == 0 {
                delay.begin(&gpu);
            }
            decoder.decode(unit, number == 0, &mut |decoded| kept.push(decoded)).unwrap();
        }
        assert_eq!(kept.len(), PICTURES, "{name}");
        for (number, decoded) in kept.iter().enumerate() {
            clip.judge(number, &download.fetch(&decoded.picture).unwrap());
        }
    }
}

#[test]
fn h264_is_decoded_to_the_bit() {
    decodes_alone("h264.h264", SurfaceFormat::Nv12);
}

#[test]
fn h265_is_decoded_to_the_bit() {
    decodes_alone("h265.h265", SurfaceFormat::Nv12);
}

#[test]
fn h265_of_ten_bits_is_decoded_to_the_bit() {
    decodes_alone("h265-10.h265", SurfaceFormat::P010);
}

/// The peak signal-to-noise ratio of two planes of the same size, in dB.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.max(1e-9)).log10()
}

#[test]
fn an_interlaced_picture_becomes_the_one_at_its_earlier_fields_time() {
    let gpu = gpu();
    if gpu.name().unwrap().starts_with("Stand-in") {
        println!("not tested: the stand-in driver decodes progressive pictures alone");
        return;
    }
    let (width, height) = (320, 192);
    for name in ["interlaced-top.h264", "interlaced-bottom.h264"] {
        let bytes = std::fs::read(CLIPS.join(name)).unwrap();
        let fields = std::fs::read(CLIPS.join(name).with_extension("yuv")).unwrap();
        let fields: Vec<&[u8]> = fields.chunks(width * height * 3 / 2).collect();
        let units = units_of(&bytes, &[0, 0, 0, 1, 9]);
        let mut decoder = Decoder::new(&gpu, VideoCodec::H264).unwrap();
        let mut download = Download::new(Arc::clone(&gpu));
        let mut pictures = Vec::new();
        for (number, unit) in units.iter().enumerate() {
            decoder
                .decode(unit, number == 0, &mut |decoded| {
                    pictures.push(planar(&download.fetch(&decoded.picture).unwrap()));
                })
                .unwrap();
        }
        assert_eq!((pictures.len(), fields.len()), (24, 48), "{name}");
        let mut least = f64::MAX;
        for (number, picture) in pictures.iter().enumerate() {
            let likeness = |field: usize| psnr(&picture[..width * height], &fields[field][..width * height]);
            let (earlier, later) = (likeness(2 * number), likeness(2 * number + 1));
            // Without deinterlacing, a frame would be equally unlike both.
            assert!(earlier > later + 1.5, "{name}, picture {number}: {earlier:.1} dB, the later {later:.1}");
            least = least.min(earlier);
        }
        println!("{name}: {least:.1} dB at least");
        assert!(least > 28.0, "{name}: {least:.1} dB");
    }
}

#[test]
fn a_decoder_follows_changes_of_size_crop_and_depth() {
    let gpu = gpu();
    let mut download = Download::new(Arc::clone(&gpu));
    let mut decoder = Decoder::new(&gpu, VideoCodec::H265).unwrap();
    let counted = |decoder: &Decoder| (decoder.counters().recreated, decoder.counters().reconfigured);
    let steps = [
        ("h265.h265", (320, 180), SurfaceFormat::Nv12, (0, 0)),
        // The same coded size with a larger displayed area, and then a smaller size, keep the decoder.
        ("h265-uncut.h265", (320, 184), SurfaceFormat::Nv12, (0, 1)),
        ("h265-small.h265", (256, 144), SurfaceFormat::Nv12, (0, 2)),
        // Another depth needs a new decoder, and so does a size larger than the decoder was created for.
        ("h265-10.h265", (320, 180), SurfaceFormat::P010, (1, 2)),
        ("h265-small.h265", (256, 144), SurfaceFormat::Nv12, (2, 2)),
        ("h265.h265", (320, 180), SurfaceFormat::Nv12, (3, 2)),
    ];
    for (name, size, format, changes) in steps {
        decodes(&Clip::read(name, size, format), &mut decoder, &mut download);
        assert_eq!(counted(&decoder), changes, "{name}");
    }
}

#[test]
fn a_target_size_is_reached_at_a_keyframe_in_every_format() {
    let gpu = gpu();
    let mut download = Download::new(Arc::clone(&gpu));
    for (name, format) in [("h265.h265", SurfaceFormat::Nv12), ("h265-10.h265", SurfaceFormat::P010)] {
        let clip = Clip::read(name, (320, 180), format);
        let mut decoder = decoder_for(&gpu, &clip);
        decodes(&clip, &mut decoder, &mut download);
        decoder.scale_to(Some(Size::new(160, 160)));
        let mut sizes = Vec::new();
        for (number, unit) in clip.units.iter().enumerate() {
            decoder
                .decode(unit, number == 0, &mut |decoded| {
                    let picture = download.fetch(&decoded.picture).unwrap();
                    sizes.push((picture.format, picture.width, picture.height));
                })
                .unwrap();
        }
        assert_eq!(sizes, [(format, 160, 160); PICTURES], "{name}");
    }
}

#[test]
fn damage_costs_pictures_until_the_next_keyframe_and_no_more() {
    let gpu = gpu();
    let mut download = Download::new(Arc::clone(&gpu));
    for (name, format) in [("h265.h265", SurfaceFormat::Nv12), ("h265-10.h265", SurfaceFormat::P010)] {
        let clip = Clip::read(name, (320, 180), format);
        let mut decoder = Decoder::new(&gpu, clip.codec).unwrap();
        let mut whole = 0;
        for (number, unit) in clip.units.iter().enumerate() {
            let mut unit = unit.clone();
            if number == 5 {
                // Everything from here on is slice data.
                let from = unit.len() / 3;
                unit[from..].iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 151 + 89) as u8 | 1);
            }
            let mut out = Vec::new();
            // The decoder may return an error for access units that it cannot decode.
            let _ = decoder.decode(&unit, number % 12 == 0, &mut |decoded| out.push(decoded));
            if !(5..12).contains(&number) {
                assert_eq!(out.len(), 1, "{name}, unit {number}");
                clip.judge(number, &download.fetch(&out[0].picture).unwrap());
                whole += 1;
            }
        }
        assert_eq!(whole, PICTURES - 7);
    }
}
