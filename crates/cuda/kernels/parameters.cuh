// The parameters of each kernel: one struct, which is passed by value. crates/cuda/src/kernels declares the
// same structs in Rust and computes their values. A test checks that both layouts agree.
#pragma once

#include <stdint.h>

static_assert(sizeof(void*) == 8, "addresses are 64 bits wide on the side that launches");

// A decoded picture, 4:2:0, with chroma that is interleaved (Cb first) and half as wide and high, rounded up.
// NV12 has samples of 8 bits, P010 samples of 10 bits in the upper bits of 16. Pitches are the distance
// between rows in bytes. Rows of luma are aligned to a sample, rows of chroma to a pair.
struct Surface {
    const uint8_t* luma;
    const uint8_t* chroma;
    int64_t luma_pitch;
    int64_t chroma_pitch;
    uint32_t width;
    uint32_t height;
};

// Y'CbCr to R'G'B' 0..255: code values times Q16 coefficients. The last three compensate for the codes of
// black and neutral, and include half a step for rounding.
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

// The same for R'G'B' 0..1, without rounding.
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

// R'G'B' 0..255 to 8-bit Y'CbCr, Q16. The offsets include half a step for rounding.
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

// The position of a plane's samples along one axis relative to the pixels of the output, in samples.
// scale <= 1: output pixel i is at origin + i * scale, where 0 is the centre of the first sample.
// scale > 1: it covers origin + i * scale to origin + (i + 1) * scale, where 0 is the near edge of the first sample.
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
    // The colour next to the picture, which is already normalised.
    float padding[3];
    // 0 for three planes (CHW), 1 for pixels of three channels (HWC).
    uint32_t interleaved;
    // 1 if the picture keeps its size, fills a CHW tensor, and has rows that consist of whole, aligned blocks
    // of eight pixels.
    uint32_t same_size;
    void* output;
    // The distance between rows and (for CHW) between planes, in elements.
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
    // The position of the picture's first pixel in pixels of the target, which may be outside of it.
    int32_t offset_x;
    int32_t offset_y;
    // The part of the target that the picture covers.
    uint32_t left;
    uint32_t top;
    uint32_t right;
    uint32_t bottom;
};
