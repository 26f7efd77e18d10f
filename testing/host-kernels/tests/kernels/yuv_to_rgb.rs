//! Converting NV12 and P010 to R'G'B' u8.

use cutrickle_cuda::kernels::{Grid, SurfaceFormat};
use cutrickle_host_kernels::{take_accesses, yuv_to_rgb};

use crate::canvas::{Canvas, Place};
use crate::chance::{Chance, colour_spaces};
use crate::reference::{self, assert_within_one};
use crate::scene::Scene;

const FORMATS: [SurfaceFormat; 2] = [SurfaceFormat::Nv12, SurfaceFormat::P010];

fn convert(scene: &Scene, from: Place, to: Place, fill: u8, grid: Option<Grid>) -> Vec<u8> {
    let source = scene.place(from, &mut Chance::new(u64::from(fill)));
    let mut rgb = Canvas::new(3 * scene.width as usize, scene.height as usize, to, fill);
    yuv_to_rgb(&source.picture(), rgb.rows_mut(), grid).unwrap();
    rgb.take()
}

fn assert_right(scene: &Scene, rgb: &[u8]) {
    let (width, height) = (scene.width as usize, scene.height as usize);
    let want = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| {
        let [cb, cr] = scene.cb_cr(x / 2, y / 2);
        reference::to_rgb(scene.colour, scene.format.depth(), [scene.y(x, y), cb, cr])
            .map(|c| reference::byte(255.0 * c))
    });
    assert_within_one(rgb, want, &format!("{:?} {width}x{height} {:?}", scene.format, scene.colour));
}

#[test]
fn every_format_and_colour_space_is_within_one_step_of_the_standard_at_any_size() {
    let mut chance = Chance::new(1);
    for colour in colour_spaces() {
        for format in FORMATS {
            for _ in 0..25 {
                let size = (chance.side(), chance.side());
                let scene = Scene::new(&mut chance, size, format, colour);
                let rgb = convert(&scene, Place::ALIGNED, Place::ALIGNED, 0xA5, None);
                assert_right(&scene, &rgb);
                for place in Place::ALL {
                    let to = chance.one_of(&Place::ALL);
                    let again = convert(&scene, place, to, 0x5A, Some(chance.grid()));
                    assert_eq!(again, rgb, "{place:?} to {to:?}, {}x{}", scene.width, scene.height);
                }
            }
        }
    }
}

#[test]
fn a_whole_picture_of_4k_is_within_one_step() {
    let mut chance = Chance::new(2);
    for (format, size) in FORMATS.into_iter().zip([(3840, 2160), (4095, 2159)]) {
        let colour = chance.one_of(&colour_spaces());
        let scene = Scene::new(&mut chance, size, format, colour);
        let rgb = convert(&scene, Place::ALIGNED, Place::ALIGNED, 0xA5, None);
        assert_right(&scene, &rgb);
        assert_eq!(convert(&scene, Place::BY_ONE, Place::PACKED, 0x5A, None), rgb);
    }
}

#[test]
fn memory_is_reached_by_sixteen_bytes_where_rows_are_aligned_and_only_there() {
    let mut chance = Chance::new(3);
    for format in FORMATS {
        let scene = Scene::new(&mut chance, (64, 6), format, colour_spaces()[0]);
        take_accesses();
        // Sixteen pixels are 48 bytes of R'G'B'.
        for (place, width, written) in
            [(Place::ALIGNED, 2, 3), (Place::BY_FOUR, 1, 12), (Place::BY_ONE, 0, 48)]
        {
            convert(&scene, place, place, 0, None);
            let mut accesses = take_accesses();
            // Four blocks across and three down: one access to chroma, two to luma, two rows of R'G'B'.
            let all = 4 * 3 * (3 + 2 * written);
            assert_eq!(accesses.iter().sum::<u64>(), all);
            // Chroma is still accessed by four bytes in P010, whose pairs are aligned.
            let of_pairs = if (place.address, format) == (1, SurfaceFormat::P010) { 12 } else { 0 };
            assert_eq!(std::mem::take(&mut accesses[width]), all - of_pairs, "{place:?}");
        }
    }
}

#[test]
fn black_grey_and_white_are_exact() {
    for colour in colour_spaces() {
        for format in FORMATS {
            let top = if format == SurfaceFormat::P010 { 4 } else { 1 };
            let neutral = 128 * top;
            let levels = match (colour.full_range, format) {
                (true, SurfaceFormat::Nv12) => [0, 128, 255],
                (true, SurfaceFormat::P010) => [0, 513, 1023],
                (false, _) => [16 * top, 126 * top, 235 * top],
            };
            for (luma, grey) in levels.into_iter().zip([0, 128, 255]) {
                let scene = Scene::flat((17, 3), format, colour, [luma, neutral, neutral]);
                let rgb = convert(&scene, Place::ALIGNED, Place::ALIGNED, 1, None);
                assert!(rgb.iter().all(|&c| c == grey), "{colour:?} {format:?} {luma}: {:?}", &rgb[..3]);
            }
        }
    }
}
