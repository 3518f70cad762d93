// Batch normalisation and activation on [rows, channels].
#pragma once
#include "maps.cuh"

// Pre-activations inside of which the gradient passes: none, ReLU, ReLU6 by their `low` and `high`.
__device__ inline float activate(float z, float low, float high) {
    // In this order NaN stays NaN.
    z = z < low ? low : z;
    return z > high ? high : z;
}

// Sums of y - pivot and their squares; a channel's pivot is its first value: no cancellation when the mean is large.
template <class T, int V>
__device__ void norm_moments(const void* y, unsigned rows, unsigned row, float* partial) {
    const unsigned column = blockIdx.x * blockDim.x + threadIdx.x;
    float pivot[V] = {};
    if (column < row) load<T, V>(y, column, pivot);
    column_sums<V, 2>(rows, row, partial, [&](unsigned r, unsigned column, float (&sums)[V][2]) {
        float v[V];
        load<T, V>(y, r * row + column, v);
#pragma unroll
        for (int k = 0; k < V; k++) {
            const float d = v[k] - pivot[k];
            sums[k][0] += d;
            sums[k][1] += d * d;
        }
    });
}
VARIANTS(norm_moments, (const void* y, unsigned rows, unsigned row, float* partial), (y, rows, row, partial))

// What a channel needs later, [4, channels]: mean, 1 / sqrt(var + eps), scale, shift.
__device__ inline void norm_constants(float* saved, unsigned channels, unsigned c, double mean, double var, double eps,
                                      const float* gamma, const float* beta) {
    const double inverse = 1.0 / sqrt(var + eps);
    const double scale = (double)gamma[c] * inverse;
    saved[c] = (float)mean;
    saved[channels + c] = (float)inverse;
    saved[2 * channels + c] = (float)scale;
    saved[3 * channels + c] = (float)((double)beta[c] - scale * mean);
}

// A block of 32 threads for each channel. `statistics` is [2, channels]: mean and unbiased variance of the batch.
template <class T>
__device__ void norm_finish(const float* partial, unsigned splits, const void* y, unsigned rows, unsigned channels, float eps,
                            const float* gamma, const float* beta, float* saved, float* statistics) {
    const unsigned c = blockIdx.x;
    const double sum = split_sum(partial, splits, 2 * channels, 2 * c);
    const double squares = split_sum(partial, splits, 2 * channels, 2 * c + 1);
    if (threadIdx.x != 0) return;
    const double d = sum / rows;
    const double mean = Number<T>::wide(static_cast<const T*>(y)[c]) + d;
    double var = squares / rows - d * d;
    // NaN stays.
    var = var < 0 ? 0 : var;
    norm_constants(saved, channels, c, mean, var, eps, gamma, beta);
    statistics[c] = (float)mean;
    statistics[channels + c] = (float)(var * (rows / (rows > 1 ? rows - 1.0 : 1.0)));
}
TYPES(norm_finish,
      (const float* partial, unsigned splits, const void* y, unsigned rows, unsigned channels, float eps, const float* gamma,
       const float* beta, float* saved, float* statistics),
      (partial, splits, y, rows, channels, eps, gamma, beta, saved, statistics))

// The constants from running statistics.
KERNEL(norm_running, (const float* mean, const float* var, unsigned channels, float eps, const float* gamma, const float* beta,
                      float* saved)) {
    for (unsigned c = first(); c < channels; c += stride())
        norm_constants(saved, channels, c, mean[c], var[c], eps, gamma, beta);
}

// z = activation(scale y + shift). The step of the grid is a multiple of `row`: a thread stays with its channels.
template <class T, int V>
__device__ void norm_apply(const void* y, const float* saved, unsigned channels, unsigned packs, float low, float high,
                           void* z) {
    const unsigned at = first() % (channels / V) * V;
    float scale[V], shift[V];
    numbers(saved, 2 * channels + at, scale);
    numbers(saved, 3 * channels + at, shift);
    for (unsigned i = first(); i < packs; i += stride()) {
        float v[V];
        load<T, V>(y, i, v);
#pragma unroll
        for (int k = 0; k < V; k++) v[k] = activate(v[k] * scale[k] + shift[k], low, high);
        store<T, V>(z, i, v);
    }
}
VARIANTS(norm_apply, (const void* y, const float* saved, unsigned channels, unsigned packs, float low, float high, void* z),
         (y, saved, channels, packs, low, high, z))

// Sums of g and g (y - mean), g the gradient where it passes the activation.
template <class T, int V>
__device__ void norm_gradient_sums(const void* y, const void* grad, unsigned rows, unsigned row, const float* saved, float low,
                                   float high, float* partial) {
    const unsigned column = blockIdx.x * blockDim.x + threadIdx.x, channels = row * V;
    float mean[V] = {}, scale[V] = {}, shift[V] = {};
    if (column < row) {
        numbers(saved, column * V, mean);
        numbers(saved, 2 * channels + column * V, scale);
        numbers(saved, 3 * channels + column * V, shift);
    }
    column_sums<V, 2>(rows, row, partial, [&](unsigned r, unsigned column, float (&sums)[V][2]) {
        float v[V], g[V];
        load<T, V>(y, r * row + column, v);
        load<T, V>(grad, r * row + column, g);
#pragma unroll
        for (int k = 0; k < V; k++) {
            const float z = v[k] * scale[k] + shift[k];
            // A choice, not a branch: several rows are read at a time.
            const float h = z > low && z < high ? g[k] : 0.0f;
            sums[k][0] += h;
            sums[k][1] += h * (v[k] - mean[k]);
        }
    });
}
VARIANTS(norm_gradient_sums,
         (const void* y, const void* grad, unsigned rows, unsigned row, const float* saved, float low, float high,
          float* partial),
         (y, grad, rows, row, saved, low, high, partial))

// A block of 32 threads for each channel: gradients of gamma and beta, and dy = a g + b y + c as `abc` [3, channels].
KERNEL(norm_gradient_finish, (const float* partial, unsigned splits, unsigned rows, unsigned channels, const float* saved,
                              unsigned batch_statistics, float* dgamma, float* dbeta, float* abc)) {
    const unsigned at = blockIdx.x;
    const double g = split_sum(partial, splits, 2 * channels, 2 * at);
    const double gy = split_sum(partial, splits, 2 * channels, 2 * at + 1);
    if (threadIdx.x != 0) return;
    const double mean = saved[at], inverse = saved[channels + at], scale = saved[2 * channels + at];
    dgamma[at] = (float)(gy * inverse);
    dbeta[at] = (float)g;
    const double b = batch_statistics ? -scale * inverse * inverse * gy / rows : 0;
    abc[at] = (float)scale;
    abc[channels + at] = (float)b;
    abc[2 * channels + at] = batch_statistics ? (float)(-scale * g / rows - b * mean) : 0;
}

// dy = a g + b y + c; dy may be grad. The step of the grid is a multiple of `row`.
template <class T, int V>
__device__ void norm_gradient(const void* y, const void* grad, const float* saved, const float* abc, unsigned channels,
                              unsigned packs, float low, float high, void* dy) {
    const unsigned at = first() % (channels / V) * V;
    float scale[V], shift[V], a[V], b[V], c[V];
    numbers(saved, 2 * channels + at, scale);
    numbers(saved, 3 * channels + at, shift);
    numbers(abc, at, a);
    numbers(abc, channels + at, b);
    numbers(abc, 2 * channels + at, c);
    for (unsigned i = first(); i < packs; i += stride()) {
        float v[V], g[V];
        load<T, V>(y, i, v);
        load<T, V>(grad, i, g);
#pragma unroll
        for (int k = 0; k < V; k++) {
            const float z = v[k] * scale[k] + shift[k];
            g[k] = a[k] * (z > low && z < high ? g[k] : 0.0f) + (b[k] * v[k] + c[k]);
        }
        store<T, V>(dy, i, g);
    }
}
VARIANTS(norm_gradient,
         (const void* y, const void* grad, const float* saved, const float* abc, unsigned channels, unsigned packs, float low,
          float high, void* dy),
         (y, grad, saved, abc, channels, packs, low, high, dy))

// z = activation(x + y): the end of a residual block.
template <class T, int V>
__device__ void add_within(const void* x, const void* y, void* z, unsigned packs, float low, float high) {
    for (unsigned i = first(); i < packs; i += stride()) {
        float a[V], b[V];
        load<T, V>(x, i, a);
        load<T, V>(y, i, b);
#pragma unroll
        for (int k = 0; k < V; k++) a[k] = activate(a[k] + b[k], low, high);
        store<T, V>(z, i, a);
    }
}
VARIANTS(add_within, (const void* x, const void* y, void* z, unsigned packs, float low, float high),
         (x, y, z, packs, low, high))

// dx = grad where the result z is within the bounds, else 0; dx may be grad.
template <class T, int V>
__device__ void pass_within(const void* z, const void* grad, void* dx, unsigned packs, float low, float high) {
    for (unsigned i = first(); i < packs; i += stride()) {
        float v[V], g[V];
        load<T, V>(z, i, v);
        load<T, V>(grad, i, g);
#pragma unroll
        for (int k = 0; k < V; k++) g[k] = v[k] > low && v[k] < high ? g[k] : 0.0f;
        store<T, V>(dx, i, g);
    }
}
VARIANTS(pass_within, (const void* z, const void* grad, void* dx, unsigned packs, float low, float high),
         (z, grad, dx, packs, low, high))
