// Optimisers: one launch for many tensors.
#pragma once
#include "maps.cuh"

// As `Entry` and `Entries` of optim.rs. Kernels take them by value: no copy to the device, at most 4 KiB.
struct Entry {
    float *p, *m, *v;
    const float* g;
    unsigned n;
    // What differs between parameters: share kept by the decay, step size, correction of the second moment.
    float keep, size, correction;
};

struct Entries {
    Entry of[64];
};

// Grid: blocks x entries. `factor` scales the gradients (clipping).
KERNEL(adamw, (Entries entries, const float* factor, float one_b1, float b2, float eps)) {
    const Entry& e = entries.of[blockIdx.y];
    const float scale = *factor;
    for (unsigned i = first(); i < e.n; i += stride()) {
        const float g = e.g[i] * scale;
        const float m = e.m[i] + (g - e.m[i]) * one_b1, v = e.v[i] * b2 + g * g * (1 - b2);
        e.m[i] = m;
        e.v[i] = v;
        e.p[i] = e.p[i] * e.keep - e.size * m / (sqrtf(v) * e.correction + eps);
    }
}

// `m` is the velocity.
KERNEL(sgd, (Entries entries, float lr, float momentum, float decay)) {
    const Entry& e = entries.of[blockIdx.y];
    for (unsigned i = first(); i < e.n; i += stride()) {
        const float v = e.m[i] * momentum + (e.g[i] + e.p[i] * decay);
        e.m[i] = v;
        e.p[i] -= v * lr;
    }
}

// Averages that follow values.
KERNEL(follow, (Entries entries, float rate)) {
    const Entry& e = entries.of[blockIdx.y];
    // At 1 a copy, to the bit.
    for (unsigned i = first(); i < e.n; i += stride()) e.p[i] = rate == 1 ? e.g[i] : e.p[i] + (e.g[i] - e.p[i]) * rate;
}

// Partial sums of squares, [entries, gridDim.x].
KERNEL(square_sums, (Entries entries, float* partial)) {
    const Entry& e = entries.of[blockIdx.y];
    float sum[1] = {0};
    for (unsigned i = first(); i < e.n; i += stride()) sum[0] += e.g[i] * e.g[i];
    block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.y * gridDim.x + blockIdx.x] = sum[0];
}

// One block of 32 threads: [norm, factor that brings it down to `most`].
KERNEL(clip_finish, (const float* partial, unsigned count, float most, float* out)) {
    const double sum = split_sum(partial, count, 1, 0);
    if (threadIdx.x != 0) return;
    const double norm = sqrt(sum), factor = most / (norm + 1e-6);
    out[0] = (float)norm;
    // A norm that is NaN scales nothing, as on the CPU.
    out[1] = factor < 1 ? (float)factor : 1.0f;
}
