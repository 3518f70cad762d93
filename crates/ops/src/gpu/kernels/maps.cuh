// Layouts, sums of maps, biases. Maps are [batch, height, width, channels].
#pragma once
#include "prelude.cuh"

// [rows, channels, area] in f32 to [rows, area, channels] in T: maps of images, weights of output channels.
template <class T>
__device__ void to_channels_last(const float* x, void* y, unsigned channels, unsigned area, unsigned count) {
    T* out = static_cast<T*>(y);
    for (unsigned i = first(); i < count; i += stride()) {
        const unsigned c = i % channels, pixel = i / channels;
        out[i] = Number<T>::narrow(x[(pixel / area * channels + c) * area + pixel % area]);
    }
}
TYPES(to_channels_last, (const float* x, void* y, unsigned channels, unsigned area, unsigned count),
      (x, y, channels, area, count))

// [rows, area, channels] in T to [rows, channels, area] in f32.
template <class T>
__device__ void from_channels_last(const void* x, float* y, unsigned channels, unsigned area, unsigned count) {
    const T* in = static_cast<const T*>(x);
    for (unsigned i = first(); i < count; i += stride()) {
        const unsigned pixel = i % area, plane = i / area;
        y[i] = Number<T>::wide(in[(plane / channels * area + pixel) * channels + plane % channels]);
    }
}
TYPES(from_channels_last, (const void* x, float* y, unsigned channels, unsigned area, unsigned count),
      (x, y, channels, area, count))

// z = x + y; z may be x.
template <class T, int V>
__device__ void add(const void* x, const void* y, void* z, unsigned packs) {
    for (unsigned i = first(); i < packs; i += stride()) {
        float a[V], b[V];
        load<T, V>(x, i, a);
        load<T, V>(y, i, b);
#pragma unroll
        for (int k = 0; k < V; k++) a[k] += b[k];
        store<T, V>(z, i, a);
    }
}
VARIANTS(add, (const void* x, const void* y, void* z, unsigned packs), (x, y, z, packs))

// Adds bias[c] in place; `row` packs are the channels of a pixel.
template <class T, int V>
__device__ void add_bias(void* y, const float* bias, unsigned row, unsigned packs) {
    for (unsigned i = first(); i < packs; i += stride()) {
        float v[V];
        load<T, V>(y, i, v);
        const float* b = bias + i % row * V;
#pragma unroll
        for (int k = 0; k < V; k++) v[k] += b[k];
        store<T, V>(y, i, v);
    }
}
VARIANTS(add_bias, (void* y, const float* bias, unsigned row, unsigned packs), (y, bias, row, packs))

// Sums over rows of [rows, channels], N numbers for every channel, in two steps: blocks of threads (x: packs of channels,
// y: rows) write partial sums [gridDim.y, channels, N]; `finish` kernels add those up.
//
// `f(r, column, sums)` adds what row `r` has for the V channels of pack `column` to `sums[V][N]`.
template <int V, int N, class F>
__device__ void column_sums(unsigned rows, unsigned row, float* partial, F f) {
    __shared__ float shared[SUMMING * V * N];
    const unsigned column = blockIdx.x * blockDim.x + threadIdx.x;
    float sums[V][N] = {};
    if (column < row) {
        // Several rows' reads on their way at a time: memory is far.
#pragma unroll 4
        for (unsigned r = blockIdx.y * blockDim.y + threadIdx.y; r < rows; r += gridDim.y * blockDim.y)
            f(r, column, sums);
    }
    float* mine = shared + (threadIdx.y * blockDim.x + threadIdx.x) * (V * N);
#pragma unroll
    for (int k = 0; k < V; k++)
#pragma unroll
        for (int n = 0; n < N; n++) mine[k * N + n] = sums[k][n];
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) {
            const float* other = mine + half * blockDim.x * (V * N);
#pragma unroll
            for (int k = 0; k < V * N; k++) mine[k] += other[k];
        }
    }
    if (threadIdx.y == 0 && column < row) {
        float* out = partial + (blockIdx.y * row + column) * (V * N);
#pragma unroll
        for (int k = 0; k < V * N; k++) out[k] = mine[k];
    }
}

// The sum of number `at` of partial sums [splits, numbers], over a block; valid in thread 0.
__device__ inline double split_sum(const float* partial, unsigned splits, unsigned numbers, unsigned at) {
    __shared__ double shared[32];
    double sum = 0;
    if (threadIdx.x < 32)
        for (unsigned s = threadIdx.x; s < splits; s += 32) sum += partial[s * numbers + at];
    if (threadIdx.x < 32) shared[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        sum = 0;
        for (int k = 0; k < 32; k++) sum += shared[k];
    }
    __syncthreads();
    return sum;
}

// Sums of the columns of a matrix: the gradient of a bias.
template <class T, int V>
__device__ void bias_sums(const void* dy, unsigned rows, unsigned row, float* partial) {
    column_sums<V, 1>(rows, row, partial, [=](unsigned r, unsigned column, float (&sums)[V][1]) {
        float v[V];
        load<T, V>(dy, r * row + column, v);
#pragma unroll
        for (int k = 0; k < V; k++) sums[k][0] += v[k];
    });
}
VARIANTS(bias_sums, (const void* dy, unsigned rows, unsigned row, float* partial), (dy, rows, row, partial))

// A block of 32 threads for each number.
KERNEL(finish_sums, (const float* partial, unsigned splits, unsigned numbers, float* out)) {
    const double sum = split_sum(partial, splits, numbers, blockIdx.x);
    if (threadIdx.x == 0) out[blockIdx.x] = (float)sum;
}
