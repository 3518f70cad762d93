// Pooling on [batch, height, width, channels].
#pragma once
#include "window.cuh"

// A window is a `ConvShape` with cin = cout = channels and a dilation of 1.

// Whether `v` takes the place of the maximum so far. Not for a NaN maximum; a NaN comes in.
__device__ inline bool beats(float v, float best) { return !(v <= best) && !(best != best); }

template <class T, int V>
__device__ void max_pool(ConvShape s, const void* x, void* y, unsigned packs) {
    const unsigned row = s.cin / V;
    for (unsigned i = first(); i < packs; i += stride()) {
        float best[V];
#pragma unroll
        for (int k = 0; k < V; k++) best[k] = __uint_as_float(0xff800000u);
        each_input(s, pixel_of(i / row, s.oh, s.ow), [&](unsigned, unsigned, unsigned at) {
            float v[V];
            load<T, V>(x, at * row + i % row, v);
#pragma unroll
            for (int k = 0; k < V; k++) best[k] = beats(v[k], best[k]) ? v[k] : best[k];
        });
        store<T, V>(y, i, best);
    }
}
VARIANTS(max_pool, (ConvShape s, const void* x, void* y, unsigned packs), (s, x, y, packs))

// Gathers: each input looks at the windows that see it, and whether it is their first maximum.
template <class T, int V>
__device__ void max_pool_backward(ConvShape s, const void* x, const void* dy, void* dx, unsigned packs) {
    const unsigned row = s.cin / V;
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row;
        float sum[V] = {};
        each_output(s, pixel_of(i / row, s.h, s.w), [&](unsigned r, unsigned q, const Pixel& window, unsigned at) {
            float best[V];
            bool here[V] = {}, none = true;
            each_input(s, window, [&](unsigned a, unsigned b, unsigned seen) {
                float v[V];
                load<T, V>(x, seen * row + c, v);
                const bool me = a == r && b == q;
#pragma unroll
                for (int k = 0; k < V; k++) {
                    const bool wins = none || beats(v[k], best[k]);
                    best[k] = wins ? v[k] : best[k];
                    here[k] = wins ? me : here[k];
                }
                none = false;
            });
            float g[V];
            load<T, V>(dy, at * row + c, g);
#pragma unroll
            for (int k = 0; k < V; k++) sum[k] += here[k] ? g[k] : 0.0f;
        });
        store<T, V>(dx, i, sum);
    }
}
VARIANTS(max_pool_backward, (ConvShape s, const void* x, const void* dy, void* dx, unsigned packs), (s, x, dy, dx, packs))

// The same for windows of 2 x 2 that share nothing and leave nothing out: a thread for each of them. h is even.
template <class T, int V>
__device__ void max_halve_backward(ConvShape s, const void* x, const void* dy, void* dx, unsigned packs) {
    const unsigned row = s.cin / V;
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row, ox = i / row % s.ow;
        // Counted over all images.
        const unsigned oy = i / row / s.ow;
        unsigned at[4];
        float v[4][V], g[V];
#pragma unroll
        for (unsigned k = 0; k < 4; k++) {
            at[k] = ((2 * oy + k / 2) * s.w + 2 * ox + k % 2) * row + c;
            load<T, V>(x, at[k], v[k]);
        }
        load<T, V>(dy, i, g);
        float best[V];
        unsigned which[V];
#pragma unroll
        for (int j = 0; j < V; j++) {
            best[j] = v[0][j];
            which[j] = 0;
        }
#pragma unroll
        for (unsigned k = 1; k < 4; k++)
#pragma unroll
            for (int j = 0; j < V; j++) {
                const bool wins = beats(v[k][j], best[j]);
                best[j] = wins ? v[k][j] : best[j];
                which[j] = wins ? k : which[j];
            }
#pragma unroll
        for (unsigned k = 0; k < 4; k++) {
            float d[V];
#pragma unroll
            for (int j = 0; j < V; j++) d[j] = which[j] == k ? g[j] : 0.0f;
            store<T, V>(dx, at[k], d);
        }
    }
}
VARIANTS(max_halve_backward, (ConvShape s, const void* x, const void* dy, void* dx, unsigned packs), (s, x, dy, dx, packs))

// Adds a pack.
template <class T, int V>
__device__ inline void add_pack(const void* from, unsigned pack, float (&sum)[V]) {
    float v[V];
    load<T, V>(from, pack, v);
#pragma unroll
    for (int k = 0; k < V; k++) sum[k] += v[k];
}

// Writes a pack's share of a window.
template <class T, int V>
__device__ inline void store_share(const ConvShape& s, void* to, unsigned pack, float (&sum)[V]) {
#pragma unroll
    for (int k = 0; k < V; k++) sum[k] *= 1.0f / (s.kh * s.kw);
    store<T, V>(to, pack, sum);
}

// Means; positions in the padding count as zeros.
template <class T, int V>
__device__ void average_pool(ConvShape s, const void* x, void* y, unsigned packs) {
    const unsigned row = s.cin / V;
    for (unsigned i = first(); i < packs; i += stride()) {
        float sum[V] = {};
        each_input(s, pixel_of(i / row, s.oh, s.ow), [&](unsigned, unsigned, unsigned at) {
            add_pack<T, V>(x, at * row + i % row, sum);
        });
        store_share<T, V>(s, y, i, sum);
    }
}
VARIANTS(average_pool, (ConvShape s, const void* x, void* y, unsigned packs), (s, x, y, packs))

template <class T, int V>
__device__ void average_pool_backward(ConvShape s, const void* dy, void* dx, unsigned packs) {
    const unsigned row = s.cin / V;
    for (unsigned i = first(); i < packs; i += stride()) {
        float sum[V] = {};
        each_output(s, pixel_of(i / row, s.h, s.w), [&](unsigned, unsigned, const Pixel&, unsigned at) {
            add_pack<T, V>(dy, at * row + i % row, sum);
        });
        store_share<T, V>(s, dx, i, sum);
    }
}
VARIANTS(average_pool_backward, (ConvShape s, const void* dy, void* dx, unsigned packs), (s, dy, dx, packs))
