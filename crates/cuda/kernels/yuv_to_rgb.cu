// NV12 or P010 to 8-bit R'G'B', HWC, at full resolution. Resizing and floats are left to yuv_to_model.cu.
//
// Chroma is repeated: the sample of a 2x2 block is used for all of its four pixels. The CPU path does the
// same, and it is the exact counterpart of the mean that rgb_to_nv12.cu computes, so that flat blocks survive
// a round trip. H.264's default siting (E.2.1, chroma_sample_loc_type 0; Chroma420SampleLocType 0 of H.273)
// puts the sample on the left column, midway between the rows. The left pixels therefore get their own
// chroma, and the right ones get one of the two nearest samples.
#include "pixel.cuh"

struct ChromaTerms {
    int red;
    int green;
    int blue;
};

__device__ __forceinline__ ChromaTerms chroma_terms(const FixedToRgb& colour, int cb, int cr) {
    return {
        colour.red_cr * cr + colour.red,
        colour.green_cb * cb + colour.green_cr * cr + colour.green,
        colour.blue_cb * cb + colour.blue,
    };
}

__device__ __forceinline__ void rgb_of(int scaled_luma, const ChromaTerms& chroma, uint32_t (&rgb)[3]) {
    rgb[0] = clamp_to_byte((scaled_luma + chroma.red) >> 16);
    rgb[1] = clamp_to_byte((scaled_luma + chroma.green) >> 16);
    rgb[2] = clamp_to_byte((scaled_luma + chroma.blue) >> 16);
}

// Converts sixteen pixels of a row.
template <typename Sample, int WORDS>
__device__ __forceinline__ void convert_row(
    const YuvToRgb& p,
    const uint32_t (&luma)[WORDS],
    const ChromaTerms (&chroma)[BLOCK / 2],
    uint32_t (&words)[BLOCK * 3 / 4]) {
#pragma unroll
    for (int i = 0; i < static_cast<int>(BLOCK); i++) {
        uint32_t rgb[3];
        rgb_of(p.colour.luma * code_value<Sample>(element<Sample>(luma, i)), chroma[i / 2], rgb);
#pragma unroll
        for (int c = 0; c < 3; c++) put_element<uint8_t>(words, 3 * i + c, rgb[c]);
    }
}

// Converts sixteen pixels of up to two rows in each of a warp's first `blocks` threads. The other threads
// only help to write.
template <typename Sample>
__device__ __forceinline__ void convert_blocks(const YuvToRgb& p, uint32_t x, uint32_t y, uint32_t blocks) {
    constexpr int WORDS = BLOCK * sizeof(Sample) / 4;
    const bool two = y + 1 < p.source.height;
    uint32_t above[BLOCK * 3 / 4] = {};
    uint32_t below[BLOCK * 3 / 4] = {};
    if (lane() < blocks) {
        // Everything is read before anything is written, so that the reads overlap.
        uint32_t pairs[WORDS];
        uint32_t luma_above[WORDS];
        uint32_t luma_below[WORDS] = {};
        load<Sample>(row_at<Sample>(p.source.chroma, p.source.chroma_pitch, y / 2) + x, pairs);
        load<Sample>(row_at<Sample>(p.source.luma, p.source.luma_pitch, y) + x, luma_above);
        if (two) load<Sample>(row_at<Sample>(p.source.luma, p.source.luma_pitch, y + 1) + x, luma_below);
        ChromaTerms chroma[BLOCK / 2];
#pragma unroll
        for (int i = 0; i < static_cast<int>(BLOCK / 2); i++) {
            chroma[i] = chroma_terms(
                p.colour,
                code_value<Sample>(element<Sample>(pairs, 2 * i)),
                code_value<Sample>(element<Sample>(pairs, 2 * i + 1)));
        }
        convert_row<Sample>(p, luma_above, chroma, above);
        convert_row<Sample>(p, luma_below, chroma, below);
    }
    uint8_t* row = p.rgb + p.rgb_pitch * y + 3 * static_cast<int64_t>(x - lane() * BLOCK);
    store_by_warp(row, above, blocks);
    if (two) store_by_warp(row + p.rgb_pitch, below, blocks);
}

// Converts the remaining pixels on the right of a row, one by one.
template <typename Sample>
__device__ __forceinline__ void convert_rest(const YuvToRgb& p, uint32_t x, uint32_t y) {
    const Sample* chroma_row = row_at<Sample>(p.source.chroma, p.source.chroma_pitch, y / 2);
    for (uint32_t row = y; row < min(y + 2, p.source.height); row++) {
        const Sample* luma_row = row_at<Sample>(p.source.luma, p.source.luma_pitch, row);
        for (uint32_t column = x; column < p.source.width; column++) {
            const Sample* pair = chroma_row + (column & ~1u);
            const ChromaTerms chroma =
                chroma_terms(p.colour, code_value<Sample>(pair[0]), code_value<Sample>(pair[1]));
            uint32_t rgb[3];
            rgb_of(p.colour.luma * code_value<Sample>(luma_row[column]), chroma, rgb);
            uint8_t* pixel = p.rgb + p.rgb_pitch * row + 3 * static_cast<int64_t>(column);
            for (int c = 0; c < 3; c++) pixel[c] = static_cast<uint8_t>(rgb[c]);
        }
    }
}

template <typename Sample>
__device__ __forceinline__ void yuv_to_rgb(const YuvToRgb& p) {
    const uint32_t columns = (p.source.width + BLOCK - 1) / BLOCK;
    const uint32_t whole = p.source.width / BLOCK;
    const uint32_t rows = (p.source.height + 1) / 2;
    for (uint32_t row = first_row(); row < rows; row += row_step()) {
        // A warp's threads continue together, including those beyond the end of the row.
        for (uint32_t column = first_column(); column - lane() < columns; column += column_step()) {
            const uint32_t first = column - lane();
            convert_blocks<Sample>(p, column * BLOCK, 2 * row, first < whole ? min(whole - first, WARP) : 0);
            if (column >= whole && column < columns) convert_rest<Sample>(p, column * BLOCK, 2 * row);
        }
    }
}

extern "C" __global__ void nv12_to_rgb(const YuvToRgb p) { yuv_to_rgb<uint8_t>(p); }
extern "C" __global__ void p010_to_rgb(const YuvToRgb p) { yuv_to_rgb<uint16_t>(p); }
