// A stand-in for libcuda.so.1 with a few of its functions, which return an error if an argument is not the
// one that the test's program passes.

#include <stdint.h>

enum { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 };

int cuLaunchKernel(uintptr_t function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, uintptr_t stream, uintptr_t parameters, uintptr_t extra)
{
    int intact = function == 0x1111222233334444 && gx == 2 && gy == 3 && gz == 4 && bx == 5 && by == 6 && bz == 7 &&
                 shared == 8 && stream == 0x5555666677778888 && parameters == 0x9999aaaabbbbcccc &&
                 extra == 0xddddeeeeffff0001;
    return intact ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

int cuTexRefSetMipmapLevelClamp(uintptr_t texture, float least, float most)
{
    return texture == 0x10 && least == -1.25f && most == 1e-38f ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// A function with more numbers of both kinds than there are registers, under the name of another one.
int cuGraphDebugDotPrint(int64_t i0, int64_t i1, int64_t i2, int64_t i3, int64_t i4, int64_t i5, int64_t i6,
                         int64_t i7, int64_t i8, int64_t i9, double d0, double d1, double d2, double d3, double d4,
                         double d5, double d6, double d7, double d8, double d9)
{
    int intact = i0 == -1 && i1 == -2 && i2 == -3 && i3 == -4 && i4 == -5 && i5 == -6 && i6 == -7 && i7 == -8 &&
                 i8 == -9 && i9 == -10 && d0 == 0.5 && d1 == 1.5 && d2 == 2.5 && d3 == 3.5 && d4 == 4.5 &&
                 d5 == 5.5 && d6 == 6.5 && d7 == 7.5 && d8 == 8.5 && d9 == 9.5;
    return intact ? -77 : 0;
}
