// Convolutions that the library lacks; depthwise convolution.
//
// Maps are [batch, height, width, channels], weights [out_channels, kernel_height, kernel_width, in_channels / groups].
#pragma once
#include "maps.cuh"
#include "window.cuh"

// The convolutions of any shape: right everywhere, fast nowhere.

template <class T>
__device__ void conv_forward(ConvShape s, const void* x, const void* weight, void* y, unsigned count) {
    const T *in = static_cast<const T*>(x), *w = static_cast<const T*>(weight);
    const unsigned per_group = s.cin / s.groups;
    for (unsigned i = first(); i < count; i += stride()) {
        const unsigned k = i % s.cout, from = k / (s.cout / s.groups) * per_group;
        float sum = 0;
        each_input(s, pixel_of(i / s.cout, s.oh, s.ow), [&](unsigned r, unsigned q, unsigned at) {
            const T *pixel = in + at * s.cin + from, *tap = w + ((k * s.kh + r) * s.kw + q) * per_group;
            for (unsigned c = 0; c < per_group; c++) sum += Number<T>::wide(pixel[c]) * Number<T>::wide(tap[c]);
        });
        static_cast<T*>(y)[i] = Number<T>::narrow(sum);
    }
}
TYPES(conv_forward, (ConvShape s, const void* x, const void* weight, void* y, unsigned count), (s, x, weight, y, count))

template <class T>
__device__ void conv_backward_input(ConvShape s, const void* dy, const void* weight, void* dx, unsigned count) {
    const T *grad = static_cast<const T*>(dy), *w = static_cast<const T*>(weight);
    const unsigned per_group = s.cin / s.groups, outs = s.cout / s.groups;
    for (unsigned i = first(); i < count; i += stride()) {
        const unsigned c = i % s.cin, k0 = c / per_group * outs;
        float sum = 0;
        each_output(s, pixel_of(i / s.cin, s.h, s.w), [&](unsigned r, unsigned q, const Pixel&, unsigned at) {
            for (unsigned k = k0; k < k0 + outs; k++)
                sum += Number<T>::wide(grad[at * s.cout + k]) *
                       Number<T>::wide(w[((k * s.kh + r) * s.kw + q) * per_group + c % per_group]);
        });
        static_cast<T*>(dx)[i] = Number<T>::narrow(sum);
    }
}
TYPES(conv_backward_input, (ConvShape s, const void* dy, const void* weight, void* dx, unsigned count),
      (s, dy, weight, dx, count))

// A block for each element of the weight.
template <class T>
__device__ void conv_backward_weight(ConvShape s, const void* x, const void* dy, void* dw) {
    const T *in = static_cast<const T*>(x), *grad = static_cast<const T*>(dy);
    const unsigned per_group = s.cin / s.groups;
    const unsigned i = blockIdx.x;
    const unsigned c = i % per_group, q = i / per_group % s.kw, r = i / per_group / s.kw % s.kh, k = i / per_group / s.kw / s.kh;
    const unsigned channel = k / (s.cout / s.groups) * per_group + c;
    float sum[1] = {0};
    for (unsigned p = threadIdx.x; p < s.batch * s.oh * s.ow; p += blockDim.x) {
        const unsigned ox = p % s.ow, oy = p / s.ow % s.oh, n = p / s.ow / s.oh;
        const unsigned iy = oy * s.stride + r * s.dilation - s.padding, ix = ox * s.stride + q * s.dilation - s.padding;
        if (iy < s.h && ix < s.w)
            sum[0] += Number<T>::wide(in[((n * s.h + iy) * s.w + ix) * s.cin + channel]) * Number<T>::wide(grad[p * s.cout + k]);
    }
    block_sum(sum);
    if (threadIdx.x == 0) static_cast<T*>(dw)[i] = Number<T>::narrow(sum[0]);
}
TYPES(conv_backward_weight, (ConvShape s, const void* x, const void* dy, void* dw), (s, x, dy, dw))

// Depthwise convolution, V channels to a thread; weights [taps, channels] in f32.

// Adds a pack times its channels' weights for tap (r, q).
template <class T, int V>
__device__ inline void add_tap(const ConvShape& s, const void* from, unsigned pack, const float* weight, unsigned r, unsigned q,
                               unsigned c, float (&sum)[V]) {
    float v[V];
    load<T, V>(from, pack, v);
    const float* tap = weight + (r * s.kw + q) * s.cin + c * V;
#pragma unroll
    for (int k = 0; k < V; k++) sum[k] += v[k] * tap[k];
}

template <class T, int V>
__device__ void depthwise_forward(ConvShape s, const void* x, const float* weight, void* y, unsigned packs) {
    const unsigned row = s.cin / V;
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row;
        float sum[V] = {};
        each_input(s, pixel_of(i / row, s.oh, s.ow), [&](unsigned r, unsigned q, unsigned at) {
            add_tap<T, V>(s, x, at * row + c, weight, r, q, c, sum);
        });
        store<T, V>(y, i, sum);
    }
}
VARIANTS(depthwise_forward, (ConvShape s, const void* x, const float* weight, void* y, unsigned packs),
         (s, x, weight, y, packs))

template <class T, int V>
__device__ void depthwise_backward_input(ConvShape s, const void* dy, const float* weight, void* dx, unsigned packs) {
    const unsigned row = s.cin / V;
    for (unsigned i = first(); i < packs; i += stride()) {
        const unsigned c = i % row;
        float sum[V] = {};
        each_output(s, pixel_of(i / row, s.h, s.w), [&](unsigned r, unsigned q, const Pixel&, unsigned at) {
            add_tap<T, V>(s, dy, at * row + c, weight, r, q, c, sum);
        });
        store<T, V>(dx, i, sum);
    }
}
VARIANTS(depthwise_backward_input, (ConvShape s, const void* dy, const float* weight, void* dx, unsigned packs),
         (s, dy, weight, dx, packs))

// Partial sums for tap `blockIdx.z`, [taps, splits, channels].
template <class T, int V>
__device__ void depthwise_weight_sums(ConvShape s, const void* x, const void* dy, float* partial) {
    const unsigned row = s.cin / V, r = blockIdx.z / s.kw, q = blockIdx.z % s.kw;
    float* out = partial + blockIdx.z * gridDim.y * s.cin;
    column_sums<V, 1>(s.batch * s.oh * s.ow, row, out, [&](unsigned p, unsigned column, float (&sums)[V][1]) {
        const unsigned ox = p % s.ow, oy = p / s.ow % s.oh, n = p / s.ow / s.oh;
        const unsigned iy = oy * s.stride + r * s.dilation - s.padding, ix = ox * s.stride + q * s.dilation - s.padding;
        if (iy >= s.h || ix >= s.w) return;
        float v[V], g[V];
        load<T, V>(x, ((n * s.h + iy) * s.w + ix) * row + column, v);
        load<T, V>(dy, p * row + column, g);
#pragma unroll
        for (int k = 0; k < V; k++) sums[k][0] += v[k] * g[k];
    });
}
VARIANTS(depthwise_weight_sums, (ConvShape s, const void* x, const void* dy, float* partial), (s, x, dy, partial))

// A block of 32 threads for each (channel, tap): the gradient as [channels, taps].
KERNEL(depthwise_weight_finish, (const float* partial, unsigned splits, unsigned channels, unsigned taps, float* dw)) {
    const unsigned c = blockIdx.x / taps, tap = blockIdx.x % taps;
    const double sum = split_sum(partial + tap * splits * channels, splits, channels, c);
    if (threadIdx.x == 0) dw[blockIdx.x] = (float)sum;
}
