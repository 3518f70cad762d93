// Resizing, and joining an upsampled map with a skip connection, on [batch, height, width, channels].
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

// A tap for every output position along an axis, made on the host: [from, to] and the share of `to`.
struct Tap {
    unsigned from, to;
    float t;
};

template <class T, int V>
__device__ void resize(const void* x, const Tap* rows, const Tap* columns, void* y, unsigned row, unsigned h, unsigned w,
                       unsigned oh, unsigned ow, unsigned packs) {
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row, ox = i / row % ow, oy = i / row / ow % oh, n = i / row / ow / oh;
        const Tap v = rows[oy], u = columns[ox];
        float a[V], b[V], top[V], bottom[V];
        load<T, V>(x, ((n * h + v.from) * w + u.from) * row + c, top);
        load<T, V>(x, ((n * h + v.to) * w + u.from) * row + c, bottom);
#pragma unroll
        for (int k = 0; k < V; k++) a[k] = top[k] + (bottom[k] - top[k]) * v.t;
        load<T, V>(x, ((n * h + v.from) * w + u.to) * row + c, top);
        load<T, V>(x, ((n * h + v.to) * w + u.to) * row + c, bottom);
#pragma unroll
        for (int k = 0; k < V; k++) {
            b[k] = top[k] + (bottom[k] - top[k]) * v.t;
            a[k] += (b[k] - a[k]) * u.t;
        }
        store<T, V>(y, i, a);
    }
}
VARIANTS(resize,
         (const void* x, const Tap* rows, const Tap* columns, void* y, unsigned row, unsigned h, unsigned w, unsigned oh,
          unsigned ow, unsigned packs),
         (x, rows, columns, y, row, h, w, oh, ow, packs))

// What an output's tap gives to input position `i`.
__device__ inline float share_of(const Tap& tap, unsigned i) {
    return (tap.from == i ? 1.0f - tap.t : 0.0f) + (tap.to == i ? tap.t : 0.0f);
}

// Gathers over `spans`: for every input position along an axis, the first output that sees it and one past the last.
template <class T, int V>
__device__ void resize_backward(const void* dy, const Tap* rows, const Tap* columns, const unsigned* row_spans,
                                const unsigned* column_spans, void* dx, unsigned row, unsigned h, unsigned w, unsigned oh,
                                unsigned ow, unsigned packs) {
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row, ix = i / row % w, iy = i / row / w % h, n = i / row / w / h;
        float sum[V] = {};
        for (unsigned oy = row_spans[2 * iy]; oy < row_spans[2 * iy + 1]; oy++) {
            const float down = share_of(rows[oy], iy);
            for (unsigned ox = column_spans[2 * ix]; ox < column_spans[2 * ix + 1]; ox++) {
                const float share = down * share_of(columns[ox], ix);
                float g[V];
                load<T, V>(dy, ((n * oh + oy) * ow + ox) * row + c, g);
#pragma unroll
                for (int k = 0; k < V; k++) sum[k] += g[k] * share;
            }
        }
        store<T, V>(dx, i, sum);
    }
}
VARIANTS(resize_backward,
         (const void* dy, const Tap* rows, const Tap* columns, const unsigned* row_spans, const unsigned* column_spans, void* dx,
          unsigned row, unsigned h, unsigned w, unsigned oh, unsigned ow, unsigned packs),
         (dy, rows, columns, row_spans, column_spans, dx, row, h, w, oh, ow, packs))
