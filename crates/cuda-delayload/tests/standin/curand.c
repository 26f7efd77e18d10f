// A stand-in for libcurand.

#include <stddef.h>
#include <stdint.h>

int curandGenerateNormalDouble(uintptr_t generator, double *out, size_t n, double mean, double deviation)
{
    if (generator != 0x20 || n != 2)
        return 103; // CURAND_STATUS_TYPE_ERROR
    out[0] = mean;
    out[1] = deviation;
    return 0;
}
