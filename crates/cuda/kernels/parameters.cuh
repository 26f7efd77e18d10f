// What each kernel is launched with: one struct, passed by value. crates/cuda/src/kernels says the
// same structs in Rust, computes their numbers, and a test holds the two layouts together.
#pragma once

#include <stdint.h>

static_assert(sizeof(void*) == 8, "addresses are 64 bits wide on the side that launches");

// A decoded picture, 4:2:0, chroma interleaved (Cb first) and half as wide and high, rounded up. NV12 has samples of
// 8 bits, P010 of 10 bits in the upper end of 16. Pitches are bytes from row to row. Rows of luma are aligned to a sample,
// rows of chroma to a pair.
struct Surface {
    const uint8_t* luma;
    const uint8_t* chroma;
    int64_t luma_pitch;
    int64_t chroma_pitch;
    uint32_t width;
    uint32_t height;
};

// Y'CbCr to R'G'B' 0..255: code values times Q16 coefficients; the last three hold what the codes of black and
// neutral take away, and half a step for rounding.
struct FixedToRgb {
    int32_t luma;
    int32_t red_cr;
    int32_t green_cb;
    int32_t green_cr;
    int32_t blue_cb;
    int32_t red;
    int32_t green;
    int32_t blue;
};

// The same to R'G'B' 0..1.
struct FloatToRgb {
    float luma;
    float red_cr;
    float green_cb;
    float green_cr;
    float blue_cb;
    float red;
    float green;
    float blue;
};

// R'G'B' 0..255 to Y'CbCr of 8 bits, Q16; the offsets include half a step for rounding.
struct FixedToYuv {
    int32_t luma[3];
    int32_t cb[3];
    int32_t cr[3];
    int32_t luma_offset;
    int32_t chroma_offset;
};

struct YuvToRgb {
    Surface source;
    uint8_t* rgb;
    int64_t rgb_pitch;
    FixedToRgb colour;
};

// Where the samples of one axis of a plane lie under the pixels of the output, in samples.
// scale <= 1: the output pixel i is at origin + i * scale, and 0 is the middle of the first sample.
// scale > 1: it covers origin + i * scale to origin + (i + 1) * scale, and 0 is the near edge of the first sample.
struct Axis {
    float origin;
    float scale;
};

struct YuvToModel {
    Surface source;
    Axis luma_x;
    Axis luma_y;
    Axis chroma_x;
    Axis chroma_y;
    FloatToRgb colour;
    // output = clamped R'G'B' * gain + bias
    float gain[3];
    float bias[3];
    // What stands beside the picture, normalised already.
    float padding[3];
    // 0: three planes, CHW. 1: pixels of three channels, HWC.
    uint32_t interleaved;
    // 1: the picture keeps its size, fills a CHW tensor, and its rows are whole blocks of eight pixels, aligned to them.
    uint32_t same_size;
    void* output;
    // In elements: from row to row, and (CHW) from plane to plane.
    int64_t row_stride;
    int64_t plane_stride;
    uint32_t width;
    uint32_t height;
    // The part of the output that the picture fills.
    uint32_t left;
    uint32_t top;
    uint32_t right;
    uint32_t bottom;
};

struct RgbToNv12 {
    const uint8_t* pixels;
    int64_t pixels_pitch;
    uint8_t* luma;
    uint8_t* chroma;
    int64_t luma_pitch;
    int64_t chroma_pitch;
    uint32_t width;
    uint32_t height;
    uint32_t channels;
    FixedToYuv colour;
};

struct OverlayBlend {
    const uint8_t* picture;
    int64_t picture_pitch;
    uint8_t* rgb;
    int64_t rgb_pitch;
    // The picture's first pixel, in pixels of the target; it may lie outside.
    int32_t offset_x;
    int32_t offset_y;
    // The part of the target that the picture covers.
    uint32_t left;
    uint32_t top;
    uint32_t right;
    uint32_t bottom;
};
