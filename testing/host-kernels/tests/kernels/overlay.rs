//! Blending RGBA over R'G'B'.

use cutrickle_cuda::kernels::Grid;
use cutrickle_host_kernels::{overlay_blend, take_accesses};

use crate::canvas::{Canvas, Place};
use crate::chance::Chance;
use crate::reference;

struct Scene {
    picture: Vec<u8>,
    picture_size: (u32, u32),
    target: Vec<u8>,
    target_size: (u32, u32),
}

impl Scene {
    fn new(chance: &mut Chance, picture_size: (u32, u32), target_size: (u32, u32)) -> Self {
        let mut picture = vec![0; 4 * (picture_size.0 * picture_size.1) as usize];
        let mut target = vec![0; 3 * (target_size.0 * target_size.1) as usize];
        chance.fill(&mut picture);
        chance.fill(&mut target);
        Self { picture, picture_size, target, target_size }
    }

    fn blend(&self, at: [i32; 2], from: Place, to: Place, fill: u8, grid: Option<Grid>) -> Vec<u8> {
        let row = 4 * self.picture_size.0 as usize;
        let picture = Canvas::holding(&self.picture, row, from, &mut Chance::new(u64::from(fill)));
        let row = 3 * self.target_size.0 as usize;
        let mut target = Canvas::new(row, self.target_size.1 as usize, to, fill);
        let pitch = target.pitch();
        for (y, content) in self.target.chunks(row).enumerate() {
            target.rows_mut().bytes[y * pitch..y * pitch + row].copy_from_slice(content);
        }
        overlay_blend((picture.rows(), self.picture_size), (target.rows_mut(), self.target_size), at, grid)
            .unwrap();
        target.take()
    }

    fn expected(&self, [left, top]: [i32; 2]) -> Vec<u8> {
        let mut target = self.target.clone();
        for (i, under) in target.chunks_mut(3).enumerate() {
            let (x, y) = (i as i32 % self.target_size.0 as i32, i as i32 / self.target_size.0 as i32);
            let (x, y) = (x - left, y - top);
            if x < 0 || y < 0 || x >= self.picture_size.0 as i32 || y >= self.picture_size.1 as i32 {
                continue;
            }
            let at = 4 * (y as usize * self.picture_size.0 as usize + x as usize);
            let over = &self.picture[at..at + 4];
            let alpha = f64::from(over[3]) / 255.0;
            for (under, over) in under.iter_mut().zip(over) {
                *under = reference::byte(f64::from(*over) * alpha + f64::from(*under) * (1.0 - alpha));
            }
        }
        target
    }
}

/// No exact result lies halfway between two bytes, because 255 is odd, so f64 is precise enough here.
#[test]
fn every_pixel_is_correctly_rounded_and_those_beside_the_overlay_stay() {
    let mut chance = Chance::new(31);
    for _ in 0..400 {
        let (picture, target) = ((chance.side(), chance.side()), (chance.side(), chance.side()));
        let mut scene = Scene::new(&mut chance, picture, target);
        if chance.between(0, 3) == 0 {
            let alpha = chance.one_of(&[0, 1, 254, 255]);
            scene.picture.chunks_mut(4).for_each(|pixel| pixel[3] = alpha);
        }
        let at = [chance.between(0, 200) as i32 - 60, chance.between(0, 200) as i32 - 60];
        let want = scene.expected(at);
        for (from, to) in [(Place::ALIGNED, Place::ALIGNED), (Place::PACKED, chance.one_of(&Place::ALL))] {
            let grid = [None, Some(chance.grid())][chance.between(0, 1) as usize];
            let got = scene.blend(at, from, to, 0xA5, grid);
            assert!(got == want, "{:?} on {:?} at {at:?}", scene.picture_size, scene.target_size);
        }
    }
}

#[test]
fn an_overlay_of_4k_is_right() {
    let mut chance = Chance::new(32);
    let scene = Scene::new(&mut chance, (3000, 1500), (3839, 2160));
    let at = [1001, -300];
    assert!(scene.blend(at, Place::ALIGNED, Place::ALIGNED, 1, None) == scene.expected(at));
}

#[test]
fn every_blend_of_two_bytes_is_correctly_rounded() {
    // Each alpha has a picture whose columns have the values on top and whose rows have the values below.
    let target: Vec<u8> = (0..=255).flat_map(|under| [under; 3 * 256]).collect();
    for alpha in 0..=255u8 {
        let row: Vec<u8> = (0..=255).flat_map(|over| [over, over, over, alpha]).collect();
        let scene = Scene {
            picture: row.repeat(256),
            picture_size: (256, 256),
            target: target.clone(),
            target_size: (256, 256),
        };
        let got = scene.blend([0, 0], Place::ALIGNED, Place::ALIGNED, 0, None);
        let alpha = u32::from(alpha);
        for (i, got) in got.into_iter().enumerate() {
            let (over, under) = (i as u32 / 3 % 256, i as u32 / 3 / 256);
            let want = (2 * (over * alpha + under * (255 - alpha)) + 255) / 510;
            assert_eq!(u32::from(got), want, "{over} over {under}, alpha {alpha}");
        }
    }
}

#[test]
fn a_picture_outside_of_the_target_changes_nothing() {
    let scene = Scene::new(&mut Chance::new(33), (20, 20), (30, 30));
    for at in [[-20, 0], [0, -20], [30, 0], [0, 30], [i32::MIN, i32::MAX], [i32::MAX, i32::MIN]] {
        assert!(scene.blend(at, Place::ALIGNED, Place::ALIGNED, 0, None) == scene.target, "{at:?}");
    }
}

#[test]
fn whole_blocks_are_moved_at_once_wherever_the_picture_begins() {
    let scene = Scene::new(&mut Chance::new(34), (100, 4), (128, 4));
    take_accesses();
    // Columns 8 to 107 hold five blocks that begin at a multiple of sixteen pixels. In the overlay they begin
    // eight pixels later, which is 32 bytes.
    scene.blend([8, 0], Place::ALIGNED, Place::ALIGNED, 0, None);
    assert_eq!(take_accesses(), [0, 0, 5 * 4 * 3]);
    // At column 9 the overlay's pixels are aligned to four bytes only.
    scene.blend([9, 0], Place::ALIGNED, Place::ALIGNED, 0, None);
    assert_eq!(take_accesses(), [0, 5 * 4, 5 * 4 * 2]);
    scene.blend([9, 0], Place::BY_ONE, Place::BY_ONE, 0, None);
    assert_eq!(take_accesses(), [5 * 4 * 3, 0, 0]);
}
