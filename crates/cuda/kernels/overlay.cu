// Blends an 8-bit RGBA picture over an RGB one where they overlap. Alpha is straight, not premultiplied:
// result = (picture * alpha + target * (255 - alpha)) / 255, correctly rounded, on R'G'B' as it is stored.
#include "pixel.cuh"

// Returns the correctly rounded quotient by 255 for every sum of two such products (0..=65025).
__device__ __forceinline__ uint32_t blend(uint32_t over, uint32_t under, uint32_t alpha) {
    const uint32_t sum = over * alpha + under * (255 - alpha) + 128;
    return (sum + (sum >> 8)) >> 8;
}

// Blocks begin at multiples of sixteen pixels of the target, so that its alignment allows wide writes. The
// picture may have any position relative to them.
extern "C" __global__ void overlay_blend(const OverlayBlend p) {
    const uint32_t columns = (p.right + BLOCK - 1) / BLOCK;
    for (uint32_t y = p.top + first_row(); y < p.bottom; y += row_step()) {
        uint8_t* target_row = p.rgb + p.rgb_pitch * y;
        const uint8_t* picture_row = p.picture + p.picture_pitch * (static_cast<int64_t>(y) - p.offset_y);
        for (uint32_t column = p.left / BLOCK + first_column(); column < columns; column += column_step()) {
            const uint32_t begin = max(column * BLOCK, p.left);
            const uint32_t end = min(column * BLOCK + BLOCK, p.right);
            uint8_t* target = target_row + 3 * static_cast<int64_t>(begin);
            const uint8_t* picture = picture_row + 4 * (static_cast<int64_t>(begin) - p.offset_x);
            if (end - begin == BLOCK) {
                uint32_t over[BLOCK];
                uint32_t under[BLOCK * 3 / 4];
                uint32_t blended[BLOCK * 3 / 4] = {};
                load<uint8_t>(picture, over);
                load<uint8_t>(target, under);
#pragma unroll
                for (int i = 0; i < static_cast<int>(BLOCK); i++) {
#pragma unroll
                    for (int c = 0; c < 3; c++) {
                        const uint32_t value = blend(
                            element<uint8_t>(over, 4 * i + c), element<uint8_t>(under, 3 * i + c), over[i] >> 24);
                        put_element<uint8_t>(blended, 3 * i + c, value);
                    }
                }
                store<uint8_t>(target, blended);
            } else {
                for (uint32_t x = begin; x < end; x++, target += 3, picture += 4) {
                    for (int c = 0; c < 3; c++) {
                        target[c] = static_cast<uint8_t>(blend(picture[c], target[c], picture[3]));
                    }
                }
            }
        }
    }
}
