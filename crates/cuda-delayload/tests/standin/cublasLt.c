// A stand-in for libcublasLt of CUDA MAJOR.

#include <stddef.h>

size_t cublasLtGetVersion(void)
{
    return 0x123456789abcde00 + MAJOR;
}
