// A stand-in for libnvrtc.

#include <stdio.h>

const char *nvrtcGetErrorString(int result)
{
    static char text[32];
    snprintf(text, sizeof text, "error %d of the stand-in", result);
    return text;
}
