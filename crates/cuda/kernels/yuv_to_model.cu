// NV12 or P010 to a model's input, in one pass: cropped, resized, R'G'B' 0..1, normalised, as f16, bf16 or
// f32 in CHW or HWC, and padded. The launching side computes which samples belong to which pixel (Axis).
//
// Each axis of each plane is resampled separately: with linear interpolation when enlarging, and with the
// mean of the samples that a pixel covers when shrinking (a box with exact, fractional ends; beyond the edge,
// the last sample is repeated). Resampling happens in Y'CbCr, before the matrix. This is equivalent to
// resampling R'G'B', except for values outside of its range, which are clamped once, after the matrix.
//
// Chroma is resampled directly to the output's pixels by the same rule, from its position according to
// H.264's default siting (E.2.1, chroma_sample_loc_type 0; Chroma420SampleLocType 0 of H.273): on the even
// columns, midway between two rows.
//
// A thread computes one pixel and its neighbours compute the adjacent ones, from samples that are adjacent
// too. A picture that keeps its size, as CHW, is processed separately, in blocks (same_size).
#include "pixel.cuh"

// Cb and Cr of one position.
template <typename Sample>
struct Pair;
template <>
struct Pair<uint8_t> {
    using Bits = uint16_t;
};
template <>
struct Pair<uint16_t> {
    using Bits = uint32_t;
};
template <typename Sample>
__device__ __forceinline__ int cb_of(typename Pair<Sample>::Bits pair) {
    return code_value<Sample>(pair & (0xFFFFFFFFu >> (32 - 8 * sizeof(Sample))));
}
template <typename Sample>
__device__ __forceinline__ int cr_of(typename Pair<Sample>::Bits pair) {
    return code_value<Sample>(static_cast<uint32_t>(pair) >> 8 * sizeof(Sample));
}

// The samples first..=last of a row or column, and the factor of their sum. The ends have their own weights
// and the samples between them have weight 1. A single sample has the weight `head`.
struct Taps {
    int first;
    int last;
    float head;
    float tail;
    float norm;
};

__device__ __forceinline__ Taps taps_of(const Axis& axis, uint32_t index) {
    const float begin = fmaf(static_cast<float>(index), axis.scale, axis.origin);
    const float first = floorf(begin);
    const int at = static_cast<int>(first);
    if (axis.scale <= 1.0f) {
        const float weight = __fadd_rn(begin, -first);
        return {at, weight == 0.0f ? at : at + 1, __fadd_rn(1.0f, -weight), weight, 1.0f};
    }
    const float end = fmaf(static_cast<float>(index + 1), axis.scale, axis.origin);
    const float last = __fadd_rn(ceilf(end), -1.0f);
    // Far from the origin, rounding may move a box that is hardly wider than a sample into one sample.
    if (last <= first) return {at, at, 1.0f, 0.0f, 1.0f};
    const float between = __fadd_rn(__fadd_rn(last, -first), -1.0f);
    const float head = __fadd_rn(__fadd_rn(first, 1.0f), -begin);
    const float tail = __fadd_rn(end, -last);
    return {at, static_cast<int>(last), head, tail, __frcp_rn(__fadd_rn(__fadd_rn(head, tail), between))};
}

__device__ __forceinline__ float weight_of(const Taps& taps, int index) {
    // Consecutive assignments compile to selections, nested ones to branches.
    float weight = index < taps.last ? 1.0f : 0.0f;
    weight = index == taps.last ? taps.tail : weight;
    return index == taps.first ? taps.head : weight;
}

// Returns the position of a sample whose index may be outside of a row of `count`.
__device__ __forceinline__ int within(int index, int count) { return min(max(index, 0), count - 1); }

// Adjacent samples of a row, from `from` on, and their weights.
template <int COUNT>
struct Columns {
    uint32_t from;
    float weight[COUNT];
};

// Returns the columns of `taps` from `from` on, in a row of at least COUNT samples. The weights of samples
// beyond the row are added to its end.
template <int COUNT>
__device__ __forceinline__ Columns<COUNT> columns_of(const Taps& taps, int from, int width) {
    Columns<COUNT> columns;
    columns.from = within(from, width - COUNT + 1);
    const int beyond = from - static_cast<int>(columns.from);
#pragma unroll
    for (int i = 0; i < COUNT; i++) columns.weight[i] = beyond == 0 ? weight_of(taps, from + i) : 0.0f;
    if (beyond == 0) return columns;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        const int at = within(beyond + i, COUNT);
#pragma unroll
        for (int j = 0; j < COUNT; j++) {
            columns.weight[j] = __fadd_rn(columns.weight[j], at == j ? weight_of(taps, from + i) : 0.0f);
        }
    }
    return columns;
}

// Weighted sums over a plane of luma, or over Cb and Cr.
template <typename Sample>
struct Luma {
    static constexpr int CHANNELS = 1;
    using Element = Sample;
    static __device__ __forceinline__ int code(Element sample, int) { return code_value<Sample>(sample); }
};
template <typename Sample>
struct Chroma {
    static constexpr int CHANNELS = 2;
    using Element = typename Pair<Sample>::Bits;
    static __device__ __forceinline__ int code(Element pair, int channel) {
        return channel == 0 ? cb_of<Sample>(pair) : cr_of<Sample>(pair);
    }
};

struct Plane {
    const uint8_t* samples;
    int64_t pitch;
    int width;
    int height;
};

// Adds `ROWS` rows from `from` on. All samples are read before the first one is used, so that the reads
// overlap.
template <typename Of, int ROWS, int COLUMNS>
__device__ __forceinline__ void add_rows(
    const Plane& plane, const Columns<COLUMNS>& x, const Taps& y, int from, float (&sums)[Of::CHANNELS]) {
    typename Of::Element samples[ROWS][COLUMNS];
#pragma unroll
    for (int j = 0; j < ROWS; j++) {
        // One address is used for all columns, since the rest of it is part of the instructions.
        const auto* row =
            row_at<typename Of::Element>(plane.samples, plane.pitch, within(from + j, plane.height)) + x.from;
#pragma unroll
        for (int i = 0; i < COLUMNS; i++) samples[j][i] = row[i];
    }
#pragma unroll
    for (int j = 0; j < ROWS; j++) {
        const float weight = weight_of(y, from + j);
#pragma unroll
        for (int c = 0; c < Of::CHANNELS; c++) {
            float across = __fmul_rn(x.weight[0], static_cast<float>(Of::code(samples[j][0], c)));
#pragma unroll
            for (int i = 1; i < COLUMNS; i++) {
                across = fmaf(x.weight[i], static_cast<float>(Of::code(samples[j][i], c)), across);
            }
            sums[c] = fmaf(weight, across, sums[c]);
        }
    }
}

// Computes a pixel's value from a plane. `first` are the first of its columns.
template <typename Of, int COLUMNS>
__device__ __forceinline__ void sample_plane(
    const Plane& plane, const Columns<COLUMNS>& first, const Taps& x, const Taps& y, float (&sums)[Of::CHANNELS]) {
#pragma unroll
    for (int c = 0; c < Of::CHANNELS; c++) sums[c] = 0.0f;
    Columns<COLUMNS> columns = first;
    for (int from = x.first;;) {
        for (int row = y.first; row <= y.last; row += 4) {
            switch (min(y.last - row, 3)) {
                case 0: add_rows<Of, 1, COLUMNS>(plane, columns, y, row, sums); break;
                case 1: add_rows<Of, 2, COLUMNS>(plane, columns, y, row, sums); break;
                case 2: add_rows<Of, 3, COLUMNS>(plane, columns, y, row, sums); break;
                default: add_rows<Of, 4, COLUMNS>(plane, columns, y, row, sums);
            }
        }
        from += COLUMNS;
        if (from > x.last) break;
        columns = columns_of<COLUMNS>(x, from, plane.width);
    }
    const float norm = __fmul_rn(x.norm, y.norm);
#pragma unroll
    for (int c = 0; c < Of::CHANNELS; c++) sums[c] = __fmul_rn(sums[c], norm);
}

// Computes a pixel's normalised channels.
__device__ __forceinline__ void pixel_of(const YuvToModel& p, float luma, float cb, float cr, float (&value)[3]) {
    const FloatToRgb& by = p.colour;
    const float red = fmaf(by.luma, luma, fmaf(by.red_cr, cr, by.red));
    const float green = fmaf(by.luma, luma, fmaf(by.green_cb, cb, fmaf(by.green_cr, cr, by.green)));
    const float blue = fmaf(by.luma, luma, fmaf(by.blue_cb, cb, by.blue));
    value[0] = fmaf(clamp_to_unit(red), p.gain[0], p.bias[0]);
    value[1] = fmaf(clamp_to_unit(green), p.gain[1], p.bias[1]);
    value[2] = fmaf(clamp_to_unit(blue), p.gain[2], p.bias[2]);
}

template <typename T>
__device__ __forceinline__ void store_element(void* output, int64_t at, uint32_t bits) {
    note_access(sizeof(T));
    if (sizeof(T) == 2) {
        static_cast<uint16_t*>(output)[at] = static_cast<uint16_t>(bits);
    } else {
        static_cast<uint32_t*>(output)[at] = bits;
    }
}

// Converts the pixels of a column. LUMA and CHROMA are the numbers of samples of a row that are read at once.
template <typename Sample, typename T, int LUMA, int CHROMA>
__device__ __forceinline__ void convert_column(const YuvToModel& p, uint32_t x) {
    const Surface& source = p.source;
    const Plane luma = {
        source.luma, source.luma_pitch, static_cast<int>(source.width), static_cast<int>(source.height)};
    const Plane chroma = {
        source.chroma,
        source.chroma_pitch,
        static_cast<int>((source.width + 1) / 2),
        static_cast<int>((source.height + 1) / 2)};
    const bool filled = x >= p.left && x < p.right;
    const Taps luma_x = taps_of(p.luma_x, filled ? x - p.left : 0);
    const Taps chroma_x = taps_of(p.chroma_x, filled ? x - p.left : 0);
    const Columns<LUMA> luma_columns = columns_of<LUMA>(luma_x, luma_x.first, luma.width);
    const Columns<CHROMA> chroma_columns = columns_of<CHROMA>(chroma_x, chroma_x.first, chroma.width);
    for (uint32_t y = first_row(); y < p.height; y += row_step()) {
        float value[3] = {p.padding[0], p.padding[1], p.padding[2]};
        if (filled && y >= p.top && y < p.bottom) {
            float at_luma[1];
            float at_chroma[2];
            sample_plane<Luma<Sample>>(luma, luma_columns, luma_x, taps_of(p.luma_y, y - p.top), at_luma);
            sample_plane<Chroma<Sample>>(
                chroma, chroma_columns, chroma_x, taps_of(p.chroma_y, y - p.top), at_chroma);
            pixel_of(p, at_luma[0], at_chroma[0], at_chroma[1], value);
        }
        const int64_t begin = p.row_stride * y + (p.interleaved ? 3 * static_cast<int64_t>(x) : x);
        const int64_t step = p.interleaved ? 1 : p.plane_stride;
#pragma unroll
        for (int c = 0; c < 3; c++) {
            store_element<T>(p.output, begin + step * c, rounded_bits<T>(value[c]));
        }
    }
}

template <typename Sample, typename T, int LUMA, int CHROMA>
__device__ __forceinline__ void convert_columns(const YuvToModel& p) {
    for (uint32_t x = first_column(); x < p.width; x += column_step()) {
        convert_column<Sample, T, LUMA, CHROMA>(p, x);
    }
}

// Loads eight pixels of luma or four pairs of chroma.
template <typename Sample>
__device__ __forceinline__ void load_eight(const uint8_t* from, uint32_t (&words)[2 * sizeof(Sample)]) {
    note_access(16);
    if constexpr (sizeof(Sample) == 1) {
        const uint2 two = *reinterpret_cast<const uint2*>(from);
        words[0] = two.x;
        words[1] = two.y;
    } else {
        const uint4 four = *reinterpret_cast<const uint4*>(from);
        words[0] = four.x;
        words[1] = four.y;
        words[2] = four.z;
        words[3] = four.w;
    }
}

// Converts eight pixels of a picture that keeps its size, in the two rows between which chroma row `y`
// begins: 2y - 1 and 2y. Even columns have their own chroma and odd ones the mean of their neighbours'.
// Vertically, the weights are a quarter and three quarters.
template <typename Sample, typename T>
__device__ __forceinline__ void convert_same(const YuvToModel& p, uint32_t x, uint32_t y) {
    using Bits = typename Pair<Sample>::Bits;
    constexpr int WORDS = 2 * sizeof(Sample);
    const int rows = static_cast<int>((p.source.height + 1) / 2);
    const uint32_t beside = min(x / 2 + 4, p.source.width / 2 - 1);
    // Of the chroma rows above and below, and of the luma rows.
    uint32_t pairs[2][WORDS];
    Bits last[2];
    uint32_t luma[2][WORDS] = {};
    bool there[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int at = within(static_cast<int>(y) - 1 + i, rows);
        const uint8_t* row = row_at<uint8_t>(p.source.chroma, p.source.chroma_pitch, at);
        load_eight<Sample>(row + x * sizeof(Sample), pairs[i]);
        last[i] = reinterpret_cast<const Bits*>(row)[beside];
        const int line = 2 * static_cast<int>(y) - 1 + i;
        there[i] = line >= 0 && line < static_cast<int>(p.source.height);
        if (there[i]) {
            load_eight<Sample>(row_at<uint8_t>(p.source.luma, p.source.luma_pitch, line) + x * sizeof(Sample), luma[i]);
        }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (!there[i]) continue;
        const float of_above = i == 0 ? 0.75f : 0.25f;
        const float of_below = 1.0f - of_above;
        auto blend = [&](int above, int below) {
            return fmaf(of_below, static_cast<float>(below), __fmul_rn(of_above, static_cast<float>(above)));
        };
        float cb[5];
        float cr[5];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const auto code = [&](int row, int k) { return code_value<Sample>(element<Sample>(pairs[row], 2 * j + k)); };
            cb[j] = blend(code(0, 0), code(1, 0));
            cr[j] = blend(code(0, 1), code(1, 1));
        }
        cb[4] = blend(cb_of<Sample>(last[0]), cb_of<Sample>(last[1]));
        cr[4] = blend(cr_of<Sample>(last[0]), cr_of<Sample>(last[1]));
        uint32_t planes[3][2 * sizeof(T)] = {};
#pragma unroll
        for (int j = 0; j < 8; j++) {
            auto between = [&](const float (&of)[5]) {
                return j % 2 == 0 ? of[j / 2] : __fmul_rn(0.5f, __fadd_rn(of[j / 2], of[j / 2 + 1]));
            };
            float value[3];
            const float y_code = static_cast<float>(code_value<Sample>(element<Sample>(luma[i], j)));
            pixel_of(p, y_code, between(cb), between(cr), value);
#pragma unroll
            for (int c = 0; c < 3; c++) put_element<T>(planes[c], j, rounded_bits<T>(value[c]));
        }
        const int64_t begin = p.row_stride * (2 * static_cast<int64_t>(y) - 1 + i) + x;
#pragma unroll
        for (int c = 0; c < 3; c++) store<T>(static_cast<T*>(p.output) + p.plane_stride * c + begin, planes[c]);
    }
}

template <typename Sample, typename T>
__device__ __forceinline__ void yuv_to_model(const YuvToModel& p) {
    if (p.same_size) {
        for (uint32_t y = first_row(); y <= p.height / 2; y += row_step()) {
            for (uint32_t x = 8 * first_column(); x < p.width; x += 8 * column_step()) {
                convert_same<Sample, T>(p, x, y);
            }
        }
        return;
    }
    // A pixel needs two samples per row when enlarging, and up to three when shrinking by up to a half. Very
    // narrow pictures do not have four adjacent samples.
    const float luma = p.luma_x.scale;
    const float chroma = p.chroma_x.scale;
    if (p.source.width < 8) {
        convert_columns<Sample, T, 1, 1>(p);
    } else if (luma <= 1.0f) {
        convert_columns<Sample, T, 2, 2>(p);
    } else if (chroma <= 1.0f) {
        convert_columns<Sample, T, 3, 2>(p);
    } else if (chroma <= 2.0f) {
        convert_columns<Sample, T, 4, 3>(p);
    } else {
        convert_columns<Sample, T, 4, 4>(p);
    }
}

extern "C" __global__ void nv12_to_model_f16(const YuvToModel p) { yuv_to_model<uint8_t, Half>(p); }
extern "C" __global__ void nv12_to_model_bf16(const YuvToModel p) { yuv_to_model<uint8_t, Brain>(p); }
extern "C" __global__ void nv12_to_model_f32(const YuvToModel p) { yuv_to_model<uint8_t, float>(p); }
extern "C" __global__ void p010_to_model_f16(const YuvToModel p) { yuv_to_model<uint16_t, Half>(p); }
extern "C" __global__ void p010_to_model_bf16(const YuvToModel p) { yuv_to_model<uint16_t, Brain>(p); }
extern "C" __global__ void p010_to_model_f32(const YuvToModel p) { yuv_to_model<uint16_t, float>(p); }
