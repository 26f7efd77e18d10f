// The CUDA names that the kernels use, as C++ for the host. Threads run one after another, so this shows what
// a kernel computes and which memory it touches, but neither races nor speed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static thread_local

using std::max;
using std::min;

struct dim2 {
    uint32_t x;
    uint32_t y;
};
// The position of the running thread. Tests run in parallel, so each of their threads has its own.
inline thread_local dim2 gridDim, blockDim, blockIdx, threadIdx;

// Every thread is a warp of its own.
constexpr uint32_t WARP = 1;
constexpr uint32_t WARPS = 1;
inline uint32_t lane() { return 0; }
inline uint32_t warp() { return 0; }
inline void __syncwarp() {}

struct alignas(8) uint2 {
    uint32_t x, y;
};
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

// How many memory accesses were of less than 4 bytes, of 4 bytes, and of more.
inline thread_local uint64_t accesses[3];
inline void note_access(int bytes) { accesses[bytes > 4 ? 2 : bytes == 4 ? 1 : 0]++; }

// IEEE 754 operations, rounded to nearest, ties to even. The build makes sure that none of them are fused.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline int __float2int_rn(float a) { return static_cast<int>(std::nearbyint(a)); }
using std::ceil;
using std::floor;

inline uint32_t __float_as_uint(float a) {
    uint32_t bits;
    std::memcpy(&bits, &a, sizeof bits);
    return bits;
}
inline float __uint_as_float(uint32_t bits) {
    float a;
    std::memcpy(&a, &bits, sizeof a);
    return a;
}

struct __half {
    uint16_t bits;
};
struct __nv_bfloat16 {
    uint16_t bits;
};
inline unsigned short __half_as_ushort(__half a) { return a.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 a) { return a.bits; }

// Drops the lowest `drop` bits of `bits`, rounding to nearest, ties to even.
inline uint32_t round_off(uint32_t bits, int drop) {
    const uint32_t odd = bits >> drop & 1;
    return (bits + (1u << (drop - 1)) - 1 + odd) >> drop;
}

inline __nv_bfloat16 __float2bfloat16_rn(float a) {
    if (a != a) return {0x7FFF};
    return {static_cast<uint16_t>(round_off(__float_as_uint(a), 16))};
}

inline __half __float2half_rn(float a) {
    const uint32_t bits = __float_as_uint(a);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t magnitude = bits & 0x7FFFFFFF;
    uint32_t half;
    if (magnitude > 0x7F800000) {
        return {0x7FFF};
    } else if (magnitude >= 0x477FF000) {
        half = 0x7C00;  // infinity, for everything that rounds up beyond the largest half
    } else if (magnitude >= 0x38800000) {
        half = round_off(magnitude - 0x38000000, 13);  // a half's exponent bias is smaller by 112
    } else {
        // Below 2^-14, halves are 2^-24 apart. So are floats at 1/2, so adding 1/2 rounds as required.
        half = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3F000000;
    }
    return {static_cast<uint16_t>(sign | half)};
}

inline float __half2float(__half a) {
    const uint32_t sign = static_cast<uint32_t>(a.bits & 0x8000) << 16;
    const uint32_t exponent = a.bits >> 10 & 0x1F;
    const uint32_t fraction = a.bits & 0x3FF;
    float magnitude;
    if (exponent == 0) {
        magnitude = std::ldexp(static_cast<float>(fraction), -24);
    } else if (exponent == 31) {
        magnitude = __uint_as_float(0x7F800000 | fraction << 13);
    } else {
        magnitude = __uint_as_float((exponent + 112) << 23 | fraction << 13);
    }
    return __uint_as_float(sign | __float_as_uint(magnitude));
}
