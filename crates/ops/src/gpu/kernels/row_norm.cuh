// Normalisation of rows, and activation: a block for each row of [rows, len]. `groups` rows make an image, and `run` neighbouring
// elements share a scale and a shift.
#pragma once
#include "norm.cuh"

// As `Rows` of row_norm.rs.
struct RowShape {
    unsigned rows, len, groups, run;
};

// What is kept of each row: its mean, counted from its first value, and 1 / sqrt(var + eps).
struct RowMoments {
    float mean, inverse;
};

// The row's elements with mean 0 and variance 1.
struct Row {
    const float* x;
    RowMoments moments;
    __device__ float normal(unsigned i) const { return (x[i] - x[0] - moments.mean) * moments.inverse; }
};

// The scale's and shift's number for element `i` of row `r`.
__device__ inline unsigned number_of(const RowShape& s, unsigned r, unsigned i) { return r % s.groups * (s.len / s.run) + i / s.run; }

KERNEL(row_norm, (const float* x, RowShape s, const float* gamma, const float* beta, float eps, float low, float high,
                  RowMoments* saved, float* y)) {
    __shared__ RowMoments moments;
    const unsigned r = blockIdx.x;
    Row row{x + r * s.len, {}};
    float sums[2] = {};
    for (unsigned i = threadIdx.x; i < s.len; i += blockDim.x) {
        const float d = row.x[i] - row.x[0];
        sums[0] += d;
        sums[1] += d * d;
    }
    block_sum(sums);
    if (threadIdx.x == 0) {
        const double mean = (double)sums[0] / s.len, var = (double)sums[1] / s.len - mean * mean;
        // NaN stays.
        moments = RowMoments{(float)mean, (float)(1.0 / sqrt((var < 0 ? 0 : var) + (double)eps))};
        saved[r] = moments;
    }
    __syncthreads();
    row.moments = moments;
    for (unsigned i = threadIdx.x; i < s.len; i += blockDim.x) {
        const unsigned n = number_of(s, r, i);
        y[r * s.len + i] = activate(row.normal(i) * gamma[n] + beta[n], low, high);
    }
}

// The gradient behind the activation, where it passes.
__device__ inline float passed(float normal, float gamma, float beta, float grad, float low, float high) {
    const float z = normal * gamma + beta;
    return z > low && z < high ? grad : 0.0f;
}

#define ROW_GRADIENT                                                                                                        \
    (const float* x, RowShape s, const float* gamma, const float* beta, const RowMoments* saved, const float* grad, float low, \
     float high, float* out, float* second)

// dx = inverse (g gamma - mean(g gamma) - normal mean(g gamma normal)). `second` is not used.
KERNEL(row_norm_gradient, ROW_GRADIENT) {
    __shared__ float means[2];
    const unsigned r = blockIdx.x;
    const Row row{x + r * s.len, saved[r]};
    const float* g = grad + r * s.len;
    float sums[2] = {};
    for (unsigned i = threadIdx.x; i < s.len; i += blockDim.x) {
        const unsigned n = number_of(s, r, i);
        const float normal = row.normal(i), pull = passed(normal, gamma[n], beta[n], g[i], low, high) * gamma[n];
        sums[0] += pull;
        sums[1] += pull * normal;
    }
    block_sum(sums);
    if (threadIdx.x == 0)
        for (int k = 0; k < 2; k++) means[k] = sums[k] / s.len;
    __syncthreads();
    for (unsigned i = threadIdx.x; i < s.len; i += blockDim.x) {
        const unsigned n = number_of(s, r, i);
        const float normal = row.normal(i), pull = passed(normal, gamma[n], beta[n], g[i], low, high) * gamma[n];
        out[r * s.len + i] = row.moments.inverse * (pull - means[0] - normal * means[1]);
    }
}

// A block for each number: the gradients of scale and shift.
KERNEL(row_norm_affine, ROW_GRADIENT) {
    const unsigned n = blockIdx.x, numbers = s.len / s.run, group = n / numbers, from = n % numbers * s.run;
    float sums[2] = {};
    for (unsigned t = threadIdx.x; t < s.rows / s.groups * s.run; t += blockDim.x) {
        const unsigned r = t / s.run * s.groups + group, i = from + t % s.run;
        const Row row{x + r * s.len, saved[r]};
        const float normal = row.normal(i), g = passed(normal, gamma[n], beta[n], grad[r * s.len + i], low, high);
        sums[0] += g * normal;
        sums[1] += g;
    }
    block_sum(sums);
    if (threadIdx.x == 0) {
        out[n] = sums[0];
        second[n] = sums[1];
    }
}
