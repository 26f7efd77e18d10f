// Every kernel in one unit, for one image to load. The build scripts compile this file, for the device and the host.
#include "overlay.cu"
#include "rgb_to_nv12.cu"
#include "yuv_to_model.cu"
#include "yuv_to_rgb.cu"
