// A launcher for each kernel, which runs the threads of a grid one after another.
#include "cuda_on_host.h"

#include <cstddef>
#include <iterator>

#include "all.cu"

struct Launch {
    dim2 blocks;
    dim2 threads;
};

template <typename Parameters>
static void launch(void (*kernel)(Parameters), const Parameters& parameters, const Launch& grid) {
    gridDim = grid.blocks;
    blockDim = grid.threads;
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++) {
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {
            for (threadIdx.y = 0; threadIdx.y < blockDim.y; threadIdx.y++) {
                for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++) kernel(parameters);
            }
        }
    }
}

#define LAUNCHER(kernel, Parameters)                                                             \
    extern "C" void host_##kernel(const Parameters* parameters, const Launch* grid) {            \
        launch<Parameters>(kernel, *parameters, *grid);                                          \
    }

LAUNCHER(nv12_to_rgb, YuvToRgb)
LAUNCHER(p010_to_rgb, YuvToRgb)
LAUNCHER(nv12_to_model_f16, YuvToModel)
LAUNCHER(nv12_to_model_bf16, YuvToModel)
LAUNCHER(nv12_to_model_f32, YuvToModel)
LAUNCHER(p010_to_model_f16, YuvToModel)
LAUNCHER(p010_to_model_bf16, YuvToModel)
LAUNCHER(p010_to_model_f32, YuvToModel)
LAUNCHER(rgb_u8_to_nv12, RgbToNv12)
LAUNCHER(rgb_f16_to_nv12, RgbToNv12)
LAUNCHER(rgb_bf16_to_nv12, RgbToNv12)
LAUNCHER(rgb_f32_to_nv12, RgbToNv12)
LAUNCHER(overlay_blend, OverlayBlend)

// Stores how many accesses of less than 4 bytes, of 4 bytes and of more there were on this thread since the
// last call.
extern "C" void host_take_accesses(uint64_t* counts) {
    std::copy(accesses, accesses + 3, counts);
    std::fill(accesses, accesses + 3, 0);
}

extern "C" uint16_t host_round_to_half(float value) { return __float2half_rn(value).bits; }
extern "C" uint16_t host_round_to_bfloat(float value) { return __float2bfloat16_rn(value).bits; }

// The sizes of the structs, and the offsets of those fields before which there could be padding.
extern "C" void host_layout(uint64_t* numbers) {
    const uint64_t layout[] = {
        sizeof(Surface), sizeof(YuvToRgb), sizeof(YuvToModel), sizeof(RgbToNv12), sizeof(OverlayBlend),
        offsetof(Surface, width), offsetof(YuvToRgb, rgb), offsetof(YuvToRgb, colour),
        offsetof(YuvToRgb, colour.blue), offsetof(YuvToModel, chroma_y), offsetof(YuvToModel, colour),
        offsetof(YuvToModel, padding), offsetof(YuvToModel, interleaved), offsetof(YuvToModel, same_size),
        offsetof(YuvToModel, output), offsetof(YuvToModel, bottom), offsetof(RgbToNv12, channels),
        offsetof(RgbToNv12, colour), offsetof(RgbToNv12, colour.chroma_offset),
        offsetof(OverlayBlend, offset_x), offsetof(OverlayBlend, bottom),
    };
    std::copy(std::begin(layout), std::end(layout), numbers);
}
