// NV12 or P010 to what a model takes: cut out, resized, R'G'B' 0..1, normalised, as f16, bf16 or f32 in CHW or HWC,
// and padded, in one pass. Where what comes from is the launching side's arithmetic (Axis).
//
// Each axis of each plane is resampled by itself: bilinear when enlarging, the mean of what a pixel covers when
// shrinking (a box with exact, fractional ends; beyond the edge the last sample repeats). Resampling happens in
// Y'CbCr, before the matrix, which is the same but for the clamping of values that no R'G'B' has: those are clamped
// once, after it.
//
// Chroma is resampled straight to the output's pixels by the same rule, from where it lies by H.264's default siting
// (E.2.1, chroma_sample_loc_type 0; Chroma420SampleLocType 0 of H.273): on the even columns, midway between two
// rows.
#include "pixel.cuh"

// The samples first..=last of a row or column, the ends with weights of their own, those between with weight 1, and
// what the sum is multiplied by.
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
    if (axis.scale <= 1.0f) {
        const float weight = __fadd_rn(begin, -first);
        const int at = static_cast<int>(first);
        return {at, at + 1, __fadd_rn(1.0f, -weight), weight, 1.0f};
    }
    const float end = fmaf(static_cast<float>(index + 1), axis.scale, axis.origin);
    const float last = __fadd_rn(ceilf(end), -1.0f);
    // Rounding far from the origin may leave a box that is hardly wider than a sample within one.
    if (last <= first) return {static_cast<int>(first), static_cast<int>(first), 1.0f, 0.0f, 1.0f};
    const float between = __fadd_rn(__fadd_rn(last, -first), -1.0f);
    const float head = __fadd_rn(__fadd_rn(first, 1.0f), -begin);
    const float tail = __fadd_rn(end, -last);
    return {
        static_cast<int>(first),
        static_cast<int>(last),
        head,
        tail,
        __frcp_rn(__fadd_rn(__fadd_rn(head, tail), between)),
    };
}

__device__ __forceinline__ float weight_of(const Taps& taps, int index) {
    return index == taps.first ? taps.head : index == taps.last ? taps.tail : 1.0f;
}

// The weighted sum over a row's samples, every STEP-th from `row`, `count` of them.
template <typename Sample, int STEP>
__device__ __forceinline__ float row_sum(const Sample* row, int count, const Taps& taps) {
    auto at = [&](int index) { return code_value<Sample>(row[STEP * min(max(index, 0), count - 1)]); };
    int between = 0;
    for (int i = taps.first + 1; i < taps.last; i++) between += at(i);
    const float ends = __fmul_rn(taps.tail, static_cast<float>(at(taps.last)));
    return fmaf(taps.head, static_cast<float>(at(taps.first)), __fadd_rn(ends, static_cast<float>(between)));
}

template <typename Sample>
__device__ __forceinline__ float luma_at(const Surface& source, const Taps& x, const Taps& y) {
    float sum = 0.0f;
    for (int i = y.first; i <= y.last; i++) {
        const int row = min(max(i, 0), static_cast<int>(source.height) - 1);
        const Sample* samples = row_at<Sample>(source.luma, source.luma_pitch, row);
        sum = fmaf(weight_of(y, i), row_sum<Sample, 1>(samples, static_cast<int>(source.width), x), sum);
    }
    return __fmul_rn(sum, __fmul_rn(x.norm, y.norm));
}

template <typename Sample>
__device__ __forceinline__ void chroma_at(
    const Surface& source, const Taps& x, const Taps& y, float& cb, float& cr) {
    const int width = static_cast<int>((source.width + 1) / 2);
    const int height = static_cast<int>((source.height + 1) / 2);
    float sum_cb = 0.0f;
    float sum_cr = 0.0f;
    for (int i = y.first; i <= y.last; i++) {
        const int row = min(max(i, 0), height - 1);
        const Sample* samples = row_at<Sample>(source.chroma, source.chroma_pitch, row);
        const float weight = weight_of(y, i);
        sum_cb = fmaf(weight, row_sum<Sample, 2>(samples, width, x), sum_cb);
        sum_cr = fmaf(weight, row_sum<Sample, 2>(samples + 1, width, x), sum_cr);
    }
    const float norm = __fmul_rn(x.norm, y.norm);
    cb = __fmul_rn(sum_cb, norm);
    cr = __fmul_rn(sum_cr, norm);
}

__device__ __forceinline__ void rgb_of(const FloatToRgb& by, float luma, float cb, float cr, float (&rgb)[3]) {
    rgb[0] = clamp_to_unit(fmaf(by.luma, luma, fmaf(by.red_cr, cr, by.red)));
    rgb[1] = clamp_to_unit(fmaf(by.luma, luma, fmaf(by.green_cb, cb, fmaf(by.green_cr, cr, by.green))));
    rgb[2] = clamp_to_unit(fmaf(by.luma, luma, fmaf(by.blue_cb, cb, by.blue)));
}

// The first `count` elements held in words: at once if that is all of them, else one by one.
template <typename T, int WORDS>
__device__ __forceinline__ void store_first(
    void* output, int64_t begin, const uint32_t (&words)[WORDS], int count) {
    constexpr int ALL = 4 * WORDS / sizeof(T);
    if (count == ALL) {
        store<T>(static_cast<T*>(output) + begin, words);
        return;
    }
#pragma unroll
    for (int i = 0; i < ALL; i++) {
        if (i >= count) continue;
        if (sizeof(T) == 2) {
            static_cast<uint16_t*>(output)[begin + i] = static_cast<uint16_t>(element<T>(words, i));
        } else {
            static_cast<uint32_t*>(output)[begin + i] = element<T>(words, i);
        }
    }
}

// As many pixels of a row as fill sixteen bytes of one channel, or what is left of the row.
template <typename Sample, typename T>
__device__ __forceinline__ void convert_block(const YuvToModel& p, uint32_t x, uint32_t y) {
    constexpr int PIXELS = 16 / sizeof(T);
    const int count = static_cast<int>(min(static_cast<uint32_t>(PIXELS), p.width - x));
    const bool inside = y >= p.top && y < p.bottom;
    const Taps luma_y = taps_of(p.luma_y, inside ? y - p.top : 0);
    const Taps chroma_y = taps_of(p.chroma_y, inside ? y - p.top : 0);

    uint32_t planes[3][4] = {};
    // Not unrolled: eight copies of the sampling would take a minute to compile, and registers from other threads.
#pragma unroll 1
    for (uint32_t column = x; column < x + PIXELS; column++) {
        float value[3] = {p.padding[0], p.padding[1], p.padding[2]};
        if (inside && column >= p.left && column < p.right) {
            const uint32_t index = column - p.left;
            float cb, cr, rgb[3];
            const float luma = luma_at<Sample>(p.source, taps_of(p.luma_x, index), luma_y);
            chroma_at<Sample>(p.source, taps_of(p.chroma_x, index), chroma_y, cb, cr);
            rgb_of(p.colour, luma, cb, cr, rgb);
#pragma unroll
            for (int c = 0; c < 3; c++) value[c] = fmaf(rgb[c], p.gain[c], p.bias[c]);
        }
#pragma unroll
        for (int c = 0; c < 3; c++) push_element<T>(planes[c], rounded_bits<T>(value[c]));
    }

    const int64_t row = p.row_stride * y;
    if (p.interleaved) {
        const int64_t begin = row + 3 * static_cast<int64_t>(x);
        uint32_t pixels[12] = {};
#pragma unroll
        for (int i = 0; i < 3 * PIXELS; i++) put_element<T>(pixels, i, element<T>(planes[i % 3], i / 3));
        store_first<T>(p.output, begin, pixels, 3 * count);
        return;
    }
#pragma unroll
    for (int c = 0; c < 3; c++) store_first<T>(p.output, p.plane_stride * c + row + x, planes[c], count);
}

template <typename Sample, typename T>
__device__ __forceinline__ void yuv_to_model(const YuvToModel& p) {
    constexpr uint32_t PIXELS = 16 / sizeof(T);
    const uint32_t columns = (p.width + PIXELS - 1) / PIXELS;
    for (uint32_t y = first_row(); y < p.height; y += row_step()) {
        for (uint32_t column = first_column(); column < columns; column += column_step()) {
            convert_block<Sample, T>(p, column * PIXELS, y);
        }
    }
}

extern "C" __global__ void nv12_to_model_f16(const YuvToModel p) { yuv_to_model<uint8_t, Half>(p); }
extern "C" __global__ void nv12_to_model_bf16(const YuvToModel p) { yuv_to_model<uint8_t, Brain>(p); }
extern "C" __global__ void nv12_to_model_f32(const YuvToModel p) { yuv_to_model<uint8_t, float>(p); }
extern "C" __global__ void p010_to_model_f16(const YuvToModel p) { yuv_to_model<uint16_t, Half>(p); }
extern "C" __global__ void p010_to_model_bf16(const YuvToModel p) { yuv_to_model<uint16_t, Brain>(p); }
extern "C" __global__ void p010_to_model_f32(const YuvToModel p) { yuv_to_model<uint16_t, float>(p); }
