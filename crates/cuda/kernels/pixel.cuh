// The pixel arithmetic and the memory accesses that all kernels share. The conversions are left to each
// kernel.
//
// This file is compiled by nvcc, and as host C++ by testing/host-kernels, whose shim replaces CUDA's own
// names. Both must produce the same bits. Therefore 8-bit results come from integers, and floats are
// multiplied, added and fused only by the named operations (fmaf, __fmul_rn, __fadd_rn, __frcp_rn), which no
// compiler contracts and which round the same everywhere.
#pragma once

#include "parameters.cuh"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
// The host build counts accesses by width, so that a test can check that every width was used.
__device__ __forceinline__ void note_access(int) {}
// The number of threads that run together; the host's run alone. A block has up to WARPS warps.
constexpr uint32_t WARP = 32;
constexpr uint32_t WARPS = 4;
__device__ __forceinline__ uint32_t lane() { return threadIdx.x % WARP; }
__device__ __forceinline__ uint32_t warp() { return threadIdx.y * (blockDim.x / WARP) + threadIdx.x / WARP; }
#endif

// The number of pixels in a row of 8-bit R'G'B' that a thread processes: sixteen bytes of 8-bit luma.
constexpr uint32_t BLOCK = 16;

__device__ __forceinline__ uint32_t first_column() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ uint32_t column_step() { return gridDim.x * blockDim.x; }
__device__ __forceinline__ uint32_t first_row() { return blockIdx.y * blockDim.y + threadIdx.y; }
__device__ __forceinline__ uint32_t row_step() { return gridDim.y * blockDim.y; }

// Pitches and row numbers have 32 bits (which the launching side checks), so that an address takes one
// multiplication.
template <typename T>
__device__ __forceinline__ const T* row_at(const uint8_t* plane, int64_t pitch, uint32_t row) {
    return reinterpret_cast<const T*>(plane + static_cast<uint64_t>(static_cast<uint32_t>(pitch)) * row);
}

__device__ __forceinline__ bool is_aligned(const void* address, uintptr_t to) {
    return (reinterpret_cast<uintptr_t>(address) & (to - 1)) == 0;
}

// Loads sixteen bytes at a time if the address allows, else four, else one T. The resulting bytes are the
// same. Addresses of T are aligned to T, which the launching side checks.
template <typename T, int WORDS>
__device__ __forceinline__ void load(const void* from, uint32_t (&words)[WORDS]) {
    static_assert(WORDS % 4 == 0, "whole accesses of sixteen bytes");
    if (is_aligned(from, 16)) {
        note_access(16);
        const uint4* wide = static_cast<const uint4*>(from);
#pragma unroll
        for (int i = 0; i < WORDS / 4; i++) {
            const uint4 four = wide[i];
            words[4 * i] = four.x;
            words[4 * i + 1] = four.y;
            words[4 * i + 2] = four.z;
            words[4 * i + 3] = four.w;
        }
    } else if (sizeof(T) == 4 || is_aligned(from, 4)) {
        note_access(4);
        const uint32_t* narrow = static_cast<const uint32_t*>(from);
#pragma unroll
        for (int i = 0; i < WORDS; i++) words[i] = narrow[i];
    } else if (sizeof(T) == 2) {
        note_access(2);
        const uint16_t* narrow = static_cast<const uint16_t*>(from);
#pragma unroll
        for (int i = 0; i < WORDS; i++) {
            words[i] = narrow[2 * i] | static_cast<uint32_t>(narrow[2 * i + 1]) << 16;
        }
    } else {
        note_access(1);
        const uint8_t* bytes = static_cast<const uint8_t*>(from);
#pragma unroll
        for (int i = 0; i < WORDS; i++) {
            words[i] = bytes[4 * i] | bytes[4 * i + 1] << 8 | bytes[4 * i + 2] << 16
                | static_cast<uint32_t>(bytes[4 * i + 3]) << 24;
        }
    }
}

// Stores the words with one access if the address is aligned to all of them, up to sixteen bytes, and
// otherwise with the widths above.
template <typename T, int WORDS>
__device__ __forceinline__ void store(void* to, const uint32_t (&words)[WORDS]) {
    static_assert(WORDS <= 2 || WORDS % 4 == 0, "whole accesses of four, eight or sixteen bytes");
    if constexpr (WORDS >= 4) {
        if (is_aligned(to, 16)) {
            note_access(16);
            uint4* wide = static_cast<uint4*>(to);
#pragma unroll
            for (int i = 0; i < WORDS / 4; i++) {
                wide[i] = make_uint4(words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]);
            }
            return;
        }
    } else if constexpr (WORDS == 2) {
        if (is_aligned(to, 8)) {
            note_access(8);
            *static_cast<uint2*>(to) = make_uint2(words[0], words[1]);
            return;
        }
    }
    if (sizeof(T) == 4 || is_aligned(to, 4)) {
        note_access(4);
        uint32_t* narrow = static_cast<uint32_t*>(to);
#pragma unroll
        for (int i = 0; i < WORDS; i++) narrow[i] = words[i];
    } else if (sizeof(T) == 2) {
        note_access(2);
        uint16_t* narrow = static_cast<uint16_t*>(to);
#pragma unroll
        for (int i = 0; i < 2 * WORDS; i++) narrow[i] = static_cast<uint16_t>(words[i / 2] >> 16 * (i % 2));
    } else {
        note_access(1);
        uint8_t* bytes = static_cast<uint8_t*>(to);
#pragma unroll
        for (int i = 0; i < 4 * WORDS; i++) bytes[i] = static_cast<uint8_t>(words[i / 4] >> 8 * (i % 4));
    }
}

// Copies `count` elements, of which each thread of a warp copies up to EACH.
template <typename T, int EACH>
__device__ __forceinline__ void copy_by_warp(void* to, const void* from, uint32_t count) {
#pragma unroll(sizeof(T) == 16 ? EACH : 1)
    for (uint32_t i = 0; i < EACH; i++) {
        const uint32_t at = lane() + i * WARP;
        if (at >= count) break;
        note_access(sizeof(T));
        static_cast<T*>(to)[at] = static_cast<const T*>(from)[at];
    }
}

// Stores the words of each of a warp's first `threads` threads, one after another from `to` on. They pass
// through shared memory, so that each access of the warp is one contiguous run of bytes. All threads of the
// warp must call this.
template <int WORDS>
__device__ __forceinline__ void store_by_warp(uint8_t* to, const uint32_t (&words)[WORDS], uint32_t threads) {
    static_assert(WORDS % 4 == 0, "whole accesses of sixteen bytes");
    __shared__ uint4 staged[WARPS][WARP * WORDS / 4];
    uint4* mine = staged[warp()];
    if (lane() < threads) {
#pragma unroll
        for (int i = 0; i < WORDS / 4; i++) {
            mine[lane() * (WORDS / 4) + i] =
                make_uint4(words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]);
        }
    }
    __syncwarp();
    if (is_aligned(to, 16)) {
        copy_by_warp<uint4, WORDS / 4>(to, mine, threads * (WORDS / 4));
    } else if (is_aligned(to, 4)) {
        copy_by_warp<uint32_t, WORDS>(to, mine, threads * WORDS);
    } else {
        copy_by_warp<uint8_t, 4 * WORDS>(to, mine, threads * (4 * WORDS));
    }
    // Before the next words are staged.
    __syncwarp();
}

// Returns element `index` of a row of T that is held in words. They are little-endian, like every machine
// with such a GPU.
template <typename T, int WORDS>
__device__ __forceinline__ uint32_t element(const uint32_t (&words)[WORDS], int index) {
    constexpr int EACH = 4 / sizeof(T);
    constexpr uint32_t MASK = 0xFFFFFFFFu >> (32 - 8 * sizeof(T));
    return words[index / EACH] >> 8 * static_cast<int>(sizeof(T)) * (index % EACH) & MASK;
}

// Writes an element to words that were zero.
template <typename T, int WORDS>
__device__ __forceinline__ void put_element(uint32_t (&words)[WORDS], int index, uint32_t bits) {
    constexpr int EACH = 4 / sizeof(T);
    words[index / EACH] |= bits << 8 * static_cast<int>(sizeof(T)) * (index % EACH);
}

// Returns the code value of a stored sample: NV12 stores 8 bits, P010 10 bits above 6 unused ones.
template <typename Sample>
__device__ __forceinline__ int code_value(uint32_t stored) {
    return static_cast<int>(sizeof(Sample) == 1 ? stored : stored >> 6);
}

__device__ __forceinline__ uint32_t clamp_to_byte(int value) {
    return static_cast<uint32_t>(min(max(value, 0), 255));
}

// NaN becomes 0.
__device__ __forceinline__ float clamp_to_unit(float value) { return fminf(fmaxf(value, 0.0f), 1.0f); }

// The sixteen bits of each kind of half-precision float, as types that differ from the sixteen bits of a P010
// sample.
struct Half {
    uint16_t bits;
};
struct Brain {
    uint16_t bits;
};

// Returns the bits of `value` rounded to T, with ties to even.
template <typename T>
__device__ __forceinline__ uint32_t rounded_bits(float value);
template <>
__device__ __forceinline__ uint32_t rounded_bits<float>(float value) {
    return __float_as_uint(value);
}
template <>
__device__ __forceinline__ uint32_t rounded_bits<Half>(float value) {
    return __half_as_ushort(__float2half_rn(value));
}
template <>
__device__ __forceinline__ uint32_t rounded_bits<Brain>(float value) {
    return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}

// Returns the float with the given bits of a T, which is exact.
template <typename T>
__device__ __forceinline__ float float_of(uint32_t bits);
template <>
__device__ __forceinline__ float float_of<float>(uint32_t bits) {
    return __uint_as_float(bits);
}
template <>
__device__ __forceinline__ float float_of<Half>(uint32_t bits) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
}
template <>
__device__ __forceinline__ float float_of<Brain>(uint32_t bits) {
    return __uint_as_float(bits << 16);
}
