//! The project's kernels, which run as their host builds on ranges that were checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use cutrickle_cuda::kernels::{Grid, Surface, SurfaceFormat, YuvToRgb};
use cutrickle_host_kernels as host;
use cutrickle_media::{ColourSpace, Matrix};
use stage::{Cuda, Handle, alone, made, ok};

const WIDTH: u32 = 70;
const HEIGHT: u32 = 6;
const PITCH: usize = 128;
const COLOUR: ColourSpace = ColourSpace { matrix: Matrix::Bt709, full_range: false };

/// The parts of an image by nvcc that the stand-in reads: its header, and a section for one kernel.
fn image() -> Vec<u8> {
    let code = b"\0.text.nv12_to_rgb\0.nv.info.nv12_to_rgb\0";
    let mut image = 0xBA55_ED50u32.to_le_bytes().to_vec();
    image.extend(1u16.to_le_bytes());
    image.extend(16u16.to_le_bytes());
    image.extend((code.len() as u64).to_le_bytes());
    image.extend(code);
    image
}

struct Launch {
    cuda: Cuda,
    stream: Handle,
    function: Handle,
    picture: u64,
    rgb: u64,
}

impl Launch {
    fn new() -> Self {
        let cuda = Cuda::ready();
        let stream = cuda.stream();
        let image = image();
        let module = made(|module| cuda.cuModuleLoadData(module, image.as_ptr()));
        let function =
            made(|function| cuda.cuModuleGetFunction(function, module, c"nv12_to_rgb".as_ptr().cast()));
        let other = cuda.cuModuleGetFunction(&mut 0, module, c"overlay_blend".as_ptr().cast());
        assert_eq!(other, 500, "the image has no such kernel");
        let picture = cuda.memory(PITCH * HEIGHT as usize * 3 / 2);
        let rgb = cuda.memory((3 * WIDTH * HEIGHT) as usize);
        Self { cuda, stream, function, picture, rgb }
    }

    fn parameters(&self) -> YuvToRgb {
        let source = Surface {
            luma: self.picture,
            chroma: self.picture + (PITCH * HEIGHT as usize) as u64,
            luma_pitch: PITCH as i64,
            chroma_pitch: PITCH as i64,
            width: WIDTH,
            height: HEIGHT,
        };
        YuvToRgb::new(source, SurfaceFormat::Nv12, COLOUR, self.rgb, i64::from(3 * WIDTH)).unwrap()
    }

    fn run(&self, parameters: &YuvToRgb, stream: Handle) -> i32 {
        self.run_in(parameters.grid(), parameters, stream)
    }

    fn run_in(&self, grid: Grid, parameters: &YuvToRgb, stream: Handle) -> i32 {
        let ([bx, by], [tx, ty]) = (grid.blocks, grid.threads);
        let list = [(&raw const *parameters).cast()];
        let Self { cuda, function, .. } = self;
        cuda.cuLaunchKernel(*function, bx, by, 1, tx, ty, 1, 0, stream, list.as_ptr(), 0)
    }
}

#[test]
fn a_kernel_computes_what_its_host_build_does() {
    let outcome = alone("a_kernel_computes_what_its_host_build_does", &[], || {
        let launch = Launch::new();
        let picture: Vec<u8> = (0..PITCH * HEIGHT as usize * 3 / 2).map(|n| (n * 31 % 251) as u8).collect();
        launch.cuda.write(launch.picture, &picture, launch.stream);
        ok(launch.run(&launch.parameters(), launch.stream));
        let rgb = launch.cuda.read(launch.rgb, (3 * WIDTH * HEIGHT) as usize, launch.stream);

        let (luma, chroma) = picture.split_at(PITCH * HEIGHT as usize);
        let rows = |bytes| host::Rows { bytes, pitch: PITCH };
        let picture = host::Picture {
            format: SurfaceFormat::Nv12,
            colour: COLOUR,
            width: WIDTH,
            height: HEIGHT,
            luma: rows(luma),
            chroma: rows(chroma),
        };
        let mut expected = vec![0; rgb.len()];
        let target = host::RowsMut { bytes: &mut expected, pitch: 3 * WIDTH as usize };
        host::yuv_to_rgb(&picture, target, None).unwrap();
        assert_eq!(rgb, expected);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.wrong(), "");
}

#[test]
fn blocks_of_other_than_up_to_four_whole_warps_are_refused() {
    let name = "blocks_of_other_than_up_to_four_whole_warps_are_refused";
    let outcome = alone(name, &[], || {
        let launch = Launch::new();
        let parameters = launch.parameters();
        let run = |threads| launch.run_in(Grid { threads, ..parameters.grid() }, &parameters, launch.stream);
        for threads in [[16, 4], [48, 2], [32, 5], [128, 2]] {
            assert_eq!(run(threads), 1, "{threads:?}");
        }
        for threads in [[32, 1], [64, 2], [128, 1]] {
            assert_eq!(run(threads), 0, "{threads:?}");
        }
        ok(launch.cuda.cuStreamSynchronize(launch.stream));
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.wrong().matches("whole warps").count(), 4, "{}", outcome.wrong());
}

#[test]
fn chroma_that_is_not_aligned_to_a_pair_is_found() {
    let outcome = alone("chroma_that_is_not_aligned_to_a_pair_is_found", &[], || {
        let launch = Launch::new();
        let mut parameters = launch.parameters();
        parameters.source.chroma -= 1;
        ok(launch.run(&parameters, launch.stream));
        assert_eq!(launch.cuda.cuStreamSynchronize(launch.stream), 716);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.wrong().contains("not aligned"), "{}", outcome.wrong());
}

/// Asserts that launching with changed parameters fails, and is reported with the words `said`.
#[track_caller]
fn is_illegal(name: &str, said: &str, change: impl FnOnce(&mut YuvToRgb)) {
    let outcome = alone(name, &[], || {
        let launch = Launch::new();
        let mut parameters = launch.parameters();
        change(&mut parameters);
        ok(launch.run(&parameters, launch.stream));
        assert_eq!(launch.cuda.cuStreamSynchronize(launch.stream), 700);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.wrong().contains("nv12_to_rgb"), "{}", outcome.wrong());
    assert!(outcome.wrong().contains(said), "{}", outcome.wrong());
}

#[test]
fn a_row_beyond_the_picture_is_found() {
    is_illegal("a_row_beyond_the_picture_is_found", "beyond the end", |parameters| {
        parameters.source.height += 2
    });
}

#[test]
fn a_pitch_that_leads_out_is_found() {
    is_illegal("a_pitch_that_leads_out_is_found", "beyond the end", |parameters| parameters.rgb_pitch += 1);
}

#[test]
fn an_output_in_no_allocation_is_found() {
    is_illegal("an_output_in_no_allocation_is_found", "device memory", |parameters| parameters.rgb = 4096);
}

#[test]
fn an_image_of_others_is_taken_and_has_no_functions() {
    alone("an_image_of_others_is_taken_and_has_no_functions", &[], || {
        let cuda = Cuda::ready();
        let text = c"//\n.version 8.0\n.target sm_80\n.visible .entry nv12_to_rgb() {}";
        let module = made(|module| cuda.cuModuleLoadData(module, text.as_ptr().cast()));
        assert_eq!(cuda.cuModuleGetFunction(&mut 0, module, c"nv12_to_rgb".as_ptr().cast()), 500);
        ok(cuda.cuModuleUnload(module));
        cuda.close();
    })
    .is_clean();
}

#[test]
fn a_gpu_that_the_image_is_not_for_does_not_take_it() {
    alone("a_gpu_that_the_image_is_not_for_does_not_take_it", &[("STAND_IN_CAPABILITY", "7.5")], || {
        let cuda = Cuda::ready();
        assert_eq!(cuda.cuModuleLoadData(&mut 0, image().as_ptr()), 209);
        cuda.close();
    })
    .is_clean();
}

#[test]
fn a_launch_is_refused_on_the_null_stream_and_after_its_module() {
    let outcome = alone("a_launch_is_refused_on_the_null_stream_and_after_its_module", &[], || {
        let launch = Launch::new();
        assert_eq!(launch.run(&launch.parameters(), 0), 800);
        let image = image();
        let module = made(|module| launch.cuda.cuModuleLoadData(module, image.as_ptr()));
        let name = c"nv12_to_rgb".as_ptr().cast();
        let function = made(|function| launch.cuda.cuModuleGetFunction(function, module, name));
        ok(launch.cuda.cuModuleUnload(module));
        let gone = Launch { function, ..launch };
        assert_eq!(gone.run(&gone.parameters(), gone.stream), 400);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}
