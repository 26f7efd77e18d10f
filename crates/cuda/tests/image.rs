//! Checks that Rust and the sources of the kernels agree on the kernels' names, and that the image is a fat
//! binary.

use std::collections::BTreeSet;

use cutrickle_cuda::kernels::{OverlayBlend, RgbToNv12, SurfaceFormat, YuvToModel, YuvToRgb};
use cutrickle_media::Element;

const SOURCES: [&str; 4] = [
    include_str!("../kernels/overlay.cu"),
    include_str!("../kernels/rgb_to_nv12.cu"),
    include_str!("../kernels/yuv_to_model.cu"),
    include_str!("../kernels/yuv_to_rgb.cu"),
];

#[test]
fn every_kernel_has_its_name_and_every_name_its_kernel() {
    let written: BTreeSet<&str> = SOURCES
        .iter()
        .flat_map(|source| source.split("__global__ void ").skip(1))
        .filter_map(|rest| rest.split('(').next())
        .collect();
    let mut named = BTreeSet::from([OverlayBlend::kernel()]);
    for format in [SurfaceFormat::Nv12, SurfaceFormat::P010] {
        named.insert(YuvToRgb::kernel(format));
        for element in [Element::U8, Element::F16, Element::Bf16, Element::F32] {
            named.insert(RgbToNv12::kernel(element));
            named.extend(YuvToModel::kernel(format, element));
        }
    }
    assert_eq!(named, written);
    assert_eq!(named.len(), 13);
}

#[cfg(feature = "cuda")]
#[test]
fn the_image_begins_as_the_driver_wants_it() {
    use cutrickle_cuda::kernels::IMAGE;
    // A fat binary begins with this magic number, and its header has to be aligned.
    assert_eq!(IMAGE.first_chunk(), Some(&0xBA55_ED50u32.to_le_bytes()));
    assert_eq!(IMAGE.as_ptr().addr() % 8, 0);
}
