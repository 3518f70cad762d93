// Pooling on [batch, height, width, channels].
#pragma once
#include "conv.cuh"

// A window is a `ConvShape` with cin = cout = channels.

// Whether `v` takes the place of the maximum so far. Not for a NaN maximum; a NaN comes in.
__device__ inline bool beats(float v, float best) { return !(v <= best) && !(best != best); }

template <class T, int V>
__device__ void max_pool(ConvShape s, const void* x, void* y, unsigned packs) {
    const unsigned row = s.cin / V;
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row, ox = i / row % s.ow, oy = i / row / s.ow % s.oh, n = i / row / s.ow / s.oh;
        float best[V];
#pragma unroll
        for (int k = 0; k < V; k++) best[k] = __uint_as_float(0xff800000u);
        for (unsigned r = 0; r < s.kh; r++) {
            const unsigned iy = oy * s.stride + r - s.padding;
            if (iy >= s.h) continue;
            for (unsigned q = 0; q < s.kw; q++) {
                const unsigned ix = ox * s.stride + q - s.padding;
                if (ix >= s.w) continue;
                float v[V];
                load<T, V>(x, ((n * s.h + iy) * s.w + ix) * row + c, v);
#pragma unroll
                for (int k = 0; k < V; k++) best[k] = beats(v[k], best[k]) ? v[k] : best[k];
            }
        }
        store<T, V>(y, i, best);
    }
}
VARIANTS(max_pool, (ConvShape s, const void* x, void* y, unsigned packs), (s, x, y, packs))

// Gathers: each input looks at the windows that see it, and whether it is their first maximum.
template <class T, int V>
__device__ void max_pool_backward(ConvShape s, const void* x, const void* dy, void* dx, unsigned packs) {
    const unsigned row = s.cin / V;
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row, ix = i / row % s.w, iy = i / row / s.w % s.h, n = i / row / s.w / s.h;
        float sum[V] = {};
        for (unsigned r = 0; r < s.kh; r++) {
            unsigned oy, ox;
            if (!output_of(iy, r, s, s.oh, oy)) continue;
            for (unsigned q = 0; q < s.kw; q++) {
                if (!output_of(ix, q, s, s.ow, ox)) continue;
                float best[V];
                bool here[V];
                bool none = true;
#pragma unroll
                for (int k = 0; k < V; k++) here[k] = false;
                for (unsigned a = 0; a < s.kh; a++) {
                    const unsigned jy = oy * s.stride + a - s.padding;
                    if (jy >= s.h) continue;
                    for (unsigned b = 0; b < s.kw; b++) {
                        const unsigned jx = ox * s.stride + b - s.padding;
                        if (jx >= s.w) continue;
                        float v[V];
                        load<T, V>(x, ((n * s.h + jy) * s.w + jx) * row + c, v);
                        const bool me = a == r && b == q;
#pragma unroll
                        for (int k = 0; k < V; k++) {
                            const bool wins = none || beats(v[k], best[k]);
                            best[k] = wins ? v[k] : best[k];
                            here[k] = wins ? me : here[k];
                        }
                        none = false;
                    }
                }
                float g[V];
                load<T, V>(dy, ((n * s.oh + oy) * s.ow + ox) * row + c, g);
#pragma unroll
                for (int k = 0; k < V; k++) sum[k] += here[k] ? g[k] : 0.0f;
            }
        }
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

// Means; positions in the padding count as zeros.
template <class T, int V>
__device__ void average_pool(ConvShape s, const void* x, void* y, unsigned packs) {
    const unsigned row = s.cin / V;
    const float share = 1.0f / (s.kh * s.kw);
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row, ox = i / row % s.ow, oy = i / row / s.ow % s.oh, n = i / row / s.ow / s.oh;
        float sum[V] = {};
        for (unsigned r = 0; r < s.kh; r++) {
            const unsigned iy = oy * s.stride + r - s.padding;
            if (iy >= s.h) continue;
            for (unsigned q = 0; q < s.kw; q++) {
                const unsigned ix = ox * s.stride + q - s.padding;
                if (ix >= s.w) continue;
                float v[V];
                load<T, V>(x, ((n * s.h + iy) * s.w + ix) * row + c, v);
#pragma unroll
                for (int k = 0; k < V; k++) sum[k] += v[k];
            }
        }
#pragma unroll
        for (int k = 0; k < V; k++) sum[k] *= share;
        store<T, V>(y, i, sum);
    }
}
VARIANTS(average_pool, (ConvShape s, const void* x, void* y, unsigned packs), (s, x, y, packs))

template <class T, int V>
__device__ void average_pool_backward(ConvShape s, const void* dy, void* dx, unsigned packs) {
    const unsigned row = s.cin / V;
    const float share = 1.0f / (s.kh * s.kw);
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row, ix = i / row % s.w, iy = i / row / s.w % s.h, n = i / row / s.w / s.h;
        float sum[V] = {};
        for (unsigned r = 0; r < s.kh; r++) {
            unsigned oy, ox;
            if (!output_of(iy, r, s, s.oh, oy)) continue;
            for (unsigned q = 0; q < s.kw; q++) {
                if (!output_of(ix, q, s, s.ow, ox)) continue;
                float g[V];
                load<T, V>(dy, ((n * s.oh + oy) * s.ow + ox) * row + c, g);
#pragma unroll
                for (int k = 0; k < V; k++) sum[k] += g[k];
            }
        }
#pragma unroll
        for (int k = 0; k < V; k++) sum[k] *= share;
        store<T, V>(dx, i, sum);
    }
}
VARIANTS(average_pool_backward, (ConvShape s, const void* dy, void* dx, unsigned packs), (s, dy, dx, packs))
