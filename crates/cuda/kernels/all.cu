// All kernels in one translation unit, so that there is a single image to load. The build scripts compile
// this file for the device and for the host.
#include "overlay.cu"
#include "rgb_to_nv12.cu"
#include "yuv_to_model.cu"
#include "yuv_to_rgb.cu"
