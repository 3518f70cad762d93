// Joining an upsampled map with a skip connection, on [batch, height, width, channels], and resizing of planes.
#pragma once
#include "maps.cuh"

// [low doubled | skip]: `a` and `b` packs of channels, h x w the size of the result.
template <class T, int V>
__device__ void join(const void* low, const void* skip, void* y, unsigned a, unsigned b, unsigned h, unsigned w,
                     unsigned packs) {
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % (a + b), pixel = i / (a + b);
        const unsigned x = pixel % w, row = pixel / w;
        const Pack<T, V>* from = reinterpret_cast<const Pack<T, V>*>(c < a ? low : skip);
        // h is even: half of the row counted over all images is the row of the low map.
        const unsigned at = c < a ? (row / 2 * (w / 2) + x / 2) * a + c : pixel * b + c - a;
        reinterpret_cast<Pack<T, V>*>(y)[i] = from[at];
    }
}
VARIANTS(join,
         (const void* low, const void* skip, void* y, unsigned a, unsigned b, unsigned h, unsigned w, unsigned packs),
         (low, skip, y, a, b, h, w, packs))

// The low map's share of the gradient: sums of 2 x 2 pixels. `packs` counts those of the low map, w is its width.
template <class T, int V>
__device__ void join_backward_low(const void* dy, void* dlow, unsigned a, unsigned b, unsigned w, unsigned packs) {
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % a, x = i / a % w, row = i / a / w;
        float sum[V] = {};
#pragma unroll
        for (unsigned k = 0; k < 4; k++) {
            float v[V];
            load<T, V>(dy, ((2 * row + k / 2) * 2 * w + 2 * x + k % 2) * (a + b) + c, v);
#pragma unroll
            for (int j = 0; j < V; j++) sum[j] += v[j];
        }
        store<T, V>(dlow, i, sum);
    }
}
VARIANTS(join_backward_low, (const void* dy, void* dlow, unsigned a, unsigned b, unsigned w, unsigned packs),
         (dy, dlow, a, b, w, packs))

// The skip connection's share.
template <class T, int V>
__device__ void join_backward_skip(const void* dy, void* dskip, unsigned a, unsigned b, unsigned packs) {
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned at = i / b * (a + b) + a + i % b;
        reinterpret_cast<Pack<T, V>*>(dskip)[i] = reinterpret_cast<const Pack<T, V>*>(dy)[at];
    }
}
VARIANTS(join_backward_skip, (const void* dy, void* dskip, unsigned a, unsigned b, unsigned packs), (dy, dskip, a, b, packs))

// As `Positions` of resize.rs.
enum Positions { NEAREST, HALF_PIXEL, ALIGNED };

struct ResizeShape {
    unsigned positions, h, w, oh, ow;
};

// Where an output position reads along an axis: `from`, and the share `t` of `to`.
struct Tap {
    unsigned from, to;
    float t;
};

// In double precision, as on the CPU: a position is rounded once.
__device__ inline Tap tap_of(unsigned positions, unsigned o, unsigned size, unsigned out) {
    if (positions == NEAREST) {
        const unsigned from = (unsigned)((unsigned long long)o * size / out);
        return Tap{from, from, 0.0f};
    }
    const double half = (o + 0.5) * size / out - 0.5;
    const double at = positions == HALF_PIXEL ? (half > 0 ? half : 0) : out == 1 ? 0 : (double)o * (size - 1) / (out - 1);
    const unsigned whole = (unsigned)at, from = whole < size ? whole : size - 1;
    return Tap{from, from + 1 < size ? from + 1 : from, (float)(at - from)};
}

__device__ inline float between(float a, float b, float t) { return t == 0 ? a : a + (b - a) * t; }

KERNEL(resize, (const float* x, ResizeShape s, float* y, unsigned count)) {
    for (unsigned i = first(); i < count; i += stride()) {
        const unsigned ox = i % s.ow, oy = i / s.ow % s.oh;
        const float* plane = x + i / s.ow / s.oh * s.h * s.w;
        const Tap v = tap_of(s.positions, oy, s.h, s.oh), u = tap_of(s.positions, ox, s.w, s.ow);
        const float *top = plane + v.from * s.w, *bottom = plane + v.to * s.w;
        y[i] = between(between(top[u.from], bottom[u.from], v.t), between(top[u.to], bottom[u.to], v.t), u.t);
    }
}

// What an output's tap gives to input position `i`.
__device__ inline float share_of(const Tap& tap, unsigned i) {
    return (tap.from == i ? 1.0f - tap.t : 0.0f) + (tap.to == i ? tap.t : 0.0f);
}

// The outputs [from, to) that may read input position `i`; a few more do no harm.
__device__ inline void readers(unsigned positions, unsigned i, unsigned size, unsigned out, unsigned& from, unsigned& to) {
    const bool aligned = positions == ALIGNED && size > 1;
    const double step = aligned ? (out - 1.0) / (size - 1) : (double)out / size, offset = aligned ? 0 : 0.5;
    const double low = floor((i - 1.0 + offset) * step - offset) - 1, high = ceil((i + 1.0 + offset) * step - offset) + 2;
    from = i == 0 || low < 0 ? 0 : (unsigned)low;
    to = i + 1 == size || high > out ? out : (unsigned)high;
}

KERNEL(resize_backward, (const float* dy, ResizeShape s, float* dx, unsigned count)) {
    for (unsigned i = first(); i < count; i += stride()) {
        const unsigned ix = i % s.w, iy = i / s.w % s.h;
        const float* plane = dy + i / s.w / s.h * s.oh * s.ow;
        unsigned top, bottom, left, right;
        readers(s.positions, iy, s.h, s.oh, top, bottom);
        readers(s.positions, ix, s.w, s.ow, left, right);
        float sum = 0;
        for (unsigned oy = top; oy < bottom; oy++) {
            const float down = share_of(tap_of(s.positions, oy, s.h, s.oh), iy);
            if (down == 0) continue;
            for (unsigned ox = left; ox < right; ox++) {
                const float share = share_of(tap_of(s.positions, ox, s.w, s.ow), ix);
                if (share != 0) sum += plane[oy * s.ow + ox] * (down * share);
            }
        }
        dx[i] = sum;
    }
}
