// A stand-in for libcublas.

#include <stdint.h>

enum { CUBLAS_STATUS_NOT_INITIALIZED = 1, CUBLAS_STATUS_MAPPING_ERROR = 11 };

int cublasSgemm_v2(uintptr_t handle, int ta, int tb, int m, int n, int k, const float *alpha, uintptr_t a, int lda,
                   uintptr_t b, int ldb, const float *beta, uintptr_t c, int ldc)
{
    int intact = handle == 0x30 && ta == 0 && tb == 0 && m == 1 && n == 2 && k == 3 && *alpha == 1.5f && a == 0x40 &&
                 lda == 4 && b == 0x40 && ldb == 5 && *beta == -0.5f && c == 0x40 && ldc == 6;
    return intact ? CUBLAS_STATUS_MAPPING_ERROR : CUBLAS_STATUS_NOT_INITIALIZED;
}
