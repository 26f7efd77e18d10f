// R'G'B' (HWC, one, three or four channels) to NV12, in planes of any pitch. One channel is grey, and a
// fourth one is ignored. Floats are 0..1 and are clamped. Chroma is the mean of 2x2 pixels. At an odd edge,
// the last pixel counts twice.
#include "pixel.cuh"

// R'G'B' 0..255 as an integer. Floats keep four additional bits, so that they are not rounded to eight bits
// twice.
template <typename T>
struct Component {
    static constexpr int EXTRA_BITS = 4;
    static __device__ __forceinline__ int of(uint32_t bits) {
        return __float2int_rn(__fmul_rn(clamp_to_unit(float_of<T>(bits)), 255.0f * 16.0f));
    }
    static __device__ __forceinline__ int at(const uint8_t* address) {
        uint32_t bits = 0;
        for (int i = 0; i < static_cast<int>(sizeof(T)); i++) bits |= static_cast<uint32_t>(address[i]) << 8 * i;
        return of(bits);
    }
};
template <>
struct Component<uint8_t> {
    static constexpr int EXTRA_BITS = 0;
    static __device__ __forceinline__ int of(uint32_t bits) { return static_cast<int>(bits); }
    static __device__ __forceinline__ int at(const uint8_t* address) { return *address; }
};

template <int EXTRA_BITS>
__device__ __forceinline__ uint32_t weigh(const int32_t (&by)[3], int32_t offset, const int (&rgb)[3]) {
    const int sum = by[0] * rgb[0] + by[1] * rgb[1] + by[2] * rgb[2] + (offset << EXTRA_BITS);
    return clamp_to_byte(sum >> (16 + EXTRA_BITS));
}

template <typename T, int CHANNELS>
__device__ __forceinline__ void pixel_of(const uint8_t* address, int (&rgb)[3]) {
#pragma unroll
    for (int c = 0; c < 3; c++) {
        rgb[c] = Component<T>::at(address + sizeof(T) * (CHANNELS == 1 ? 0 : c));
    }
}

// The number of pixels in a row that a thread processes: the fewest that make up whole accesses of sixteen
// bytes and whole words of luma.
template <typename T, int CHANNELS>
constexpr int AT_ONCE = CHANNELS * sizeof(T) % 4 == 0 ? 4 : CHANNELS * sizeof(T) % 2 == 0 ? 8 : 16;

// Converts AT_ONCE pixels of two rows. If the number of rows is odd, the last one counts twice.
template <typename T, int CHANNELS>
__device__ __forceinline__ void convert_block(const RgbToNv12& p, uint32_t x, uint32_t y) {
    constexpr int EXTRA = Component<T>::EXTRA_BITS;
    constexpr int PIXEL = CHANNELS * sizeof(T);
    constexpr int PIXELS = AT_ONCE<T, CHANNELS>;
    constexpr int WORDS = PIXELS * PIXEL / 4;
    const bool two = y + 1 < p.height;
    const uint8_t* above = row_at<uint8_t>(p.pixels, p.pixels_pitch, y) + PIXEL * x;
    const uint8_t* below = two ? above + p.pixels_pitch : above;
    uint32_t pixels_above[WORDS];
    uint32_t pixels_below[WORDS];
    load<T>(above, pixels_above);
    load<T>(below, pixels_below);
    uint32_t luma_above[PIXELS / 4] = {};
    uint32_t luma_below[PIXELS / 4] = {};
    uint32_t chroma[PIXELS / 4] = {};
#pragma unroll
    for (int i = 0; i < PIXELS; i += 2) {
        int sum[3] = {};
#pragma unroll
        for (int j = i; j < i + 2; j++) {
            int upper[3];
            int lower[3];
#pragma unroll
            for (int c = 0; c < 3; c++) {
                const int index = j * CHANNELS + (CHANNELS == 1 ? 0 : c);
                upper[c] = Component<T>::of(element<T>(pixels_above, index));
                lower[c] = Component<T>::of(element<T>(pixels_below, index));
                sum[c] += upper[c] + lower[c];
            }
            put_element<uint8_t>(luma_above, j, weigh<EXTRA>(p.colour.luma, p.colour.luma_offset, upper));
            put_element<uint8_t>(luma_below, j, weigh<EXTRA>(p.colour.luma, p.colour.luma_offset, lower));
        }
        put_element<uint8_t>(chroma, i, weigh<EXTRA + 2>(p.colour.cb, p.colour.chroma_offset, sum));
        put_element<uint8_t>(chroma, i + 1, weigh<EXTRA + 2>(p.colour.cr, p.colour.chroma_offset, sum));
    }
    uint8_t* luma = p.luma + p.luma_pitch * y + x;
    store<uint8_t>(luma, luma_above);
    if (two) store<uint8_t>(luma + p.luma_pitch, luma_below);
    store<uint8_t>(p.chroma + p.chroma_pitch * (y / 2) + x, chroma);
}

// Converts the remaining pixels on the right of the rows, one 2x2 block after another.
template <typename T, int CHANNELS>
__device__ __forceinline__ void convert_rest(const RgbToNv12& p, uint32_t x, uint32_t y) {
    constexpr int EXTRA = Component<T>::EXTRA_BITS;
    constexpr int64_t PIXEL = CHANNELS * sizeof(T);
    for (uint32_t left = x; left < p.width; left += 2) {
        int sum[3] = {};
        for (uint32_t i = 0; i < 4; i++) {
            const uint32_t column = min(left + i % 2, p.width - 1);
            const uint32_t row = min(y + i / 2, p.height - 1);
            int rgb[3];
            pixel_of<T, CHANNELS>(p.pixels + p.pixels_pitch * row + PIXEL * column, rgb);
            for (int c = 0; c < 3; c++) sum[c] += rgb[c];
            p.luma[p.luma_pitch * row + column] =
                static_cast<uint8_t>(weigh<EXTRA>(p.colour.luma, p.colour.luma_offset, rgb));
        }
        uint8_t* pair = p.chroma + p.chroma_pitch * (y / 2) + left;
        pair[0] = static_cast<uint8_t>(weigh<EXTRA + 2>(p.colour.cb, p.colour.chroma_offset, sum));
        pair[1] = static_cast<uint8_t>(weigh<EXTRA + 2>(p.colour.cr, p.colour.chroma_offset, sum));
    }
}

template <typename T, int CHANNELS>
__device__ __forceinline__ void convert(const RgbToNv12& p) {
    constexpr uint32_t PIXELS = AT_ONCE<T, CHANNELS>;
    const uint32_t rows = (p.height + 1) / 2;
    for (uint32_t row = first_row(); row < rows; row += row_step()) {
        for (uint32_t x = PIXELS * first_column(); x < p.width; x += PIXELS * column_step()) {
            if (x + PIXELS <= p.width) {
                convert_block<T, CHANNELS>(p, x, 2 * row);
            } else {
                convert_rest<T, CHANNELS>(p, x, 2 * row);
            }
        }
    }
}

template <typename T>
__device__ __forceinline__ void rgb_to_nv12(const RgbToNv12& p) {
    if (p.channels == 1) {
        convert<T, 1>(p);
    } else if (p.channels == 3) {
        convert<T, 3>(p);
    } else {
        convert<T, 4>(p);
    }
}

extern "C" __global__ void rgb_u8_to_nv12(const RgbToNv12 p) { rgb_to_nv12<uint8_t>(p); }
extern "C" __global__ void rgb_f16_to_nv12(const RgbToNv12 p) { rgb_to_nv12<Half>(p); }
extern "C" __global__ void rgb_bf16_to_nv12(const RgbToNv12 p) { rgb_to_nv12<Brain>(p); }
extern "C" __global__ void rgb_f32_to_nv12(const RgbToNv12 p) { rgb_to_nv12<float>(p); }
