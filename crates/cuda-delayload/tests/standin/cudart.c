// A stand-in for the CUDA runtime, as an archive and as a shared library.

int cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return 0;
}
