// Batches of augmented images, made of images that stay on the device. The arithmetic is that of `Geometry` and `Photometry`
// of htl-datasets; images are planar RGB, [3, side, side].
//
// `augment_gather` moves pixels and sums them; `augment_colour` needs the sums; blur, cut-out and noise follow where a view
// has any. Parameters are rows of one table, copied once per batch.
#pragma once
#include "maps.cuh"

// As `Place` of augment.rs: which image, and source = centre + matrix (result - centre) + shift, in pixels.
struct AugmentPlace {
    unsigned image;
    float a, b, c, d, dx, dy;
};

// As `Colours` of augment.rs, the cut-out from (left, top) to before (right, bottom).
struct AugmentColours {
    float gains[3], saturation, contrast, brightness;
    unsigned blur, left, top, right, bottom;
    float noise;
    unsigned key[8];

    __device__ bool cut() const { return left < right && top < bottom; }
};

// (value - mean) * scale of each channel.
struct AugmentScale {
    float mean[3], scale[3];
};

__device__ inline float augment_clamp(float v) { return fminf(fmaxf(v, 0.0f), 1.0f); }

__device__ inline float augment_luma(float r, float g, float b) { return 0.299f * r + 0.587f * g + 0.114f * b; }

// The pixel at `index` of a line mirrored at its ends.
__device__ inline unsigned augment_mirror(int index, int side) {
    if (index >= 0 && index < side) return index;
    const int period = 2 * side;
    int folded = index % period;
    if (folded < 0) folded += period;
    return folded < side ? folded : period - 1 - folded;
}

// The four pixels around a point and their weights.
struct AugmentCorners {
    unsigned at[4];
    float weight[4];

    // Coordinates without fused operations: an ulp of a coordinate is more in the value than one of the value.
    __device__ AugmentCorners(const AugmentPlace& p, unsigned pixel, unsigned side) {
        const float half = ((float)side - 1.0f) / 2.0f;
        const float tx = (float)(pixel % side) - half, ty = (float)(pixel / side) - half;
        const float x = __fadd_rn(__fadd_rn(__fadd_rn(half, __fmul_rn(p.a, tx)), __fmul_rn(p.b, ty)), p.dx);
        const float y = __fadd_rn(__fadd_rn(__fadd_rn(half, __fmul_rn(p.c, tx)), __fmul_rn(p.d, ty)), p.dy);
        const float fx = floorf(x), fy = floorf(y), part_x = x - fx, part_y = y - fy;
        const unsigned left = augment_mirror((int)fx, side), right = augment_mirror((int)fx + 1, side);
        const unsigned top = augment_mirror((int)fy, side), bottom = augment_mirror((int)fy + 1, side);
        at[0] = top * side + left;
        at[1] = top * side + right;
        at[2] = bottom * side + left;
        at[3] = bottom * side + right;
        weight[0] = (1 - part_x) * (1 - part_y);
        weight[1] = part_x * (1 - part_y);
        weight[2] = (1 - part_x) * part_y;
        weight[3] = part_x * part_y;
    }

    // `value` gives the pixel at an index of a plane.
    template <class F>
    __device__ float mix(F value) const {
        float sum = weight[0] * value(at[0]);
#pragma unroll
        for (int k = 1; k < 4; k++) sum += weight[k] * value(at[k]);
        return sum;
    }
};

// Grid: splits x batch. Images in [0, 1] and their partial sums [batch, splits, 3].
KERNEL(augment_gather, (const unsigned char* images, const AugmentPlace* places, unsigned side, float* out, float* partial)) {
    const AugmentPlace place = places[blockIdx.y];
    const unsigned plane = side * side;
    const unsigned char* from = images + (size_t)place.image * 3 * plane;
    float* to = out + (size_t)blockIdx.y * 3 * plane;
    float sums[3] = {};
    for (unsigned i = first(); i < plane; i += stride()) {
        const AugmentCorners corners(place, i, side);
#pragma unroll
        for (int c = 0; c < 3; c++) {
            const unsigned char* values = from + c * plane;
            const float v = corners.mix([=](unsigned at) { return (float)values[at] / 255.0f; });
            to[c * plane + i] = v;
            sums[c] += v;
        }
    }
    block_sum(sums);
    if (threadIdx.x != 0) return;
    for (int c = 0; c < 3; c++) partial[(blockIdx.y * gridDim.x + blockIdx.x) * 3 + c] = sums[c];
}

// Grid: splits x batch. Target maps [batch, side, side].
template <class T>
__device__ void augment_targets(const void* maps, const AugmentPlace* places, unsigned side, float* out) {
    const AugmentPlace place = places[blockIdx.y];
    const unsigned plane = side * side;
    const T* from = static_cast<const T*>(maps) + (size_t)place.image * plane;
    float* to = out + (size_t)blockIdx.y * plane;
    for (unsigned i = first(); i < plane; i += stride())
        to[i] = AugmentCorners(place, i, side).mix([=](unsigned at) { return (float)from[at]; });
}
KERNEL(augment_targets_u8, (const void* maps, const AugmentPlace* places, unsigned side, float* out)) {
    augment_targets<unsigned char>(maps, places, side, out);
}
KERNEL(augment_targets_f32, (const void* maps, const AugmentPlace* places, unsigned side, float* out)) {
    augment_targets<float>(maps, places, side, out);
}

// Each channel's mean from the partial sums of this block's image; valid in all threads.
__device__ inline void augment_means(const float* partial, unsigned splits, unsigned plane, float (&means)[3]) {
    __shared__ float shared[3];
    for (int c = 0; c < 3; c++) {
        const double sum = split_sum(partial + blockIdx.y * splits * 3, splits, 3, c);
        if (threadIdx.x == 0) shared[c] = (float)(sum / plane);
    }
    __syncthreads();
    for (int c = 0; c < 3; c++) means[c] = shared[c];
}

// Grid: blocks x batch. Gains, saturation, contrast, brightness; `to` may be `from`.
KERNEL(augment_colour, (const float* from, const float* partial, unsigned splits, const AugmentColours* table, unsigned plane,
                        AugmentScale scale, float* to)) {
    const AugmentColours& colours = table[blockIdx.y];
    float means[3];
    augment_means(partial, splits, plane, means);
    const float centre = augment_luma(means[0], means[1], means[2]);
    const size_t image = (size_t)blockIdx.y * 3 * plane;
    for (unsigned i = first(); i < plane; i += stride()) {
        float v[3];
#pragma unroll
        for (int c = 0; c < 3; c++) v[c] = from[image + c * plane + i] * colours.gains[c];
        const float grey = augment_luma(v[0], v[1], v[2]);
#pragma unroll
        for (int c = 0; c < 3; c++) {
            const float saturated = grey + (v[c] - grey) * colours.saturation;
            const float value = augment_clamp(centre + (saturated - centre) * colours.contrast + colours.brightness);
            to[image + c * plane + i] = (value - scale.mean[c]) * scale.scale[c];
        }
    }
}

// Grid: blocks x batch. One pass of the blur for images that have more than `pass`, a copy of the others.
KERNEL(augment_blur, (const float* from, const AugmentColours* table, unsigned side, unsigned pass, float* to)) {
    const unsigned count = 3 * side * side;
    const size_t image = (size_t)blockIdx.y * count;
    const bool blurred = table[blockIdx.y].blur > pass;
    for (unsigned i = first(); i < count; i += stride()) {
        float value = from[image + i];
        if (blurred) {
            const unsigned x = i % side, y = i / side % side;
            const float* row = from + image + (i - x);
            const unsigned left = x > 0 ? x - 1 : x, right = x + 1 < side ? x + 1 : x;
            const float* above = y > 0 ? row - side : row;
            const float* below = y + 1 < side ? row + side : row;
            const auto across = [=](const float* line) { return 0.25f * line[left] + 0.5f * line[x] + 0.25f * line[right]; };
            value = 0.25f * across(above) + 0.5f * across(row) + 0.25f * across(below);
        }
        to[image + i] = value;
    }
}

// Grid: splits x batch. Partial sums [batch, splits, 3] of images that have a cut-out.
KERNEL(augment_sums, (const float* images, const AugmentColours* table, unsigned plane, float* partial)) {
    if (!table[blockIdx.y].cut()) return;
    const float* image = images + (size_t)blockIdx.y * 3 * plane;
    float sums[3] = {};
    for (unsigned i = first(); i < plane; i += stride())
#pragma unroll
        for (int c = 0; c < 3; c++) sums[c] += image[c * plane + i];
    block_sum(sums);
    if (threadIdx.x != 0) return;
    for (int c = 0; c < 3; c++) partial[(blockIdx.y * gridDim.x + blockIdx.x) * 3 + c] = sums[c];
}

__device__ inline unsigned augment_rotate(unsigned v, int by) { return v << by | v >> (32 - by); }

__device__ inline void augment_quarter(unsigned& a, unsigned& b, unsigned& c, unsigned& d) {
    a += b;
    d = augment_rotate(d ^ a, 16);
    c += d;
    b = augment_rotate(b ^ c, 12);
    a += b;
    d = augment_rotate(d ^ a, 8);
    c += d;
    b = augment_rotate(b ^ c, 7);
}

// Block `counter` of ChaCha8's stream with nonce 0: 16 words.
__device__ inline void augment_chacha8(const unsigned (&key)[8], unsigned counter, unsigned (&words)[16]) {
    const unsigned start[4] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};
#pragma unroll
    for (int k = 0; k < 16; k++) words[k] = k < 4 ? start[k] : k < 12 ? key[k - 4] : k == 12 ? counter : 0;
#pragma unroll
    for (int round = 0; round < 4; round++) {
#pragma unroll
        for (int k = 0; k < 4; k++) augment_quarter(words[k], words[4 + k], words[8 + k], words[12 + k]);
#pragma unroll
        for (int k = 0; k < 4; k++)
            augment_quarter(words[k], words[4 + (k + 1) % 4], words[8 + (k + 2) % 4], words[12 + (k + 3) % 4]);
    }
#pragma unroll
    for (int k = 0; k < 13; k++) words[k] += k < 4 ? start[k] : k < 12 ? key[k - 4] : counter;
}

// Four even draws of 16 bits, scaled to variance 1.
__device__ inline float augment_nearly_normal(unsigned low, unsigned high) {
    const unsigned sum = (low & 0xffffu) + (low >> 16) + (high & 0xffffu) + (high >> 16);
    return ((float)sum / 65535.0f - 2.0f) * 1.7320508f;
}

// Grid: blocks x batch. Cut-out, noise and normalisation; `to` may be `from`. `partial` is not read for images without a
// cut-out. A thread takes the eight values of one block of the noise.
KERNEL(augment_finish, (const float* from, const float* partial, unsigned splits, const AugmentColours* table, unsigned side,
                        AugmentScale scale, float* to)) {
    const AugmentColours& colours = table[blockIdx.y];
    const unsigned plane = side * side, count = 3 * plane;
    const size_t image = (size_t)blockIdx.y * count;
    const bool cut = colours.cut();
    float fill[3] = {};
    if (cut) augment_means(partial, splits, plane, fill);
    for (unsigned pack = first(); pack < (count + 7) / 8; pack += stride()) {
        unsigned words[16];
        if (colours.noise > 0) augment_chacha8(colours.key, pack, words);
#pragma unroll
        for (unsigned k = 0; k < 8; k++) {
            const unsigned i = pack * 8 + k;
            if (i >= count) break;
            const unsigned c = i / plane, x = i % side, y = i / side % side;
            float value = from[image + i];
            if (cut && x >= colours.left && x < colours.right && y >= colours.top && y < colours.bottom)
                value = c == 0 ? fill[0] : c == 1 ? fill[1] : fill[2];
            if (colours.noise > 0)
                value = augment_clamp(value + colours.noise * augment_nearly_normal(words[2 * k], words[2 * k + 1]));
            to[image + i] = (value - scale.mean[c]) * scale.scale[c];
        }
    }
}
