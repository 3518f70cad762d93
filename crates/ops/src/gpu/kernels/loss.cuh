// Losses over the pixels of each image, and counts for metrics. Everything is f32; `area` is the number of an image's pixels.
//
// `*_sums` kernels (grid: splits x images) write partial sums [images, splits, 3]; `loss_finish` adds them up and gives the
// losses; `loss_coefficients` prepares two numbers for each image; gradient kernels go over the pixels.
#pragma once
#include "maps.cuh"

// The sigmoid of z and of -z, neither by subtraction from 1, and e^-|z|.
struct Sides {
    float p, rest, e;
};

__device__ inline Sides sides(float z) {
    const float e = expf(-fabsf(z)), near = 1.0f / (1.0f + e), far = e * near;
    return z >= 0 ? Sides{near, far, e} : Sides{far, near, e};
}

__device__ inline float cross_entropy(float z, float t, float e) { return (z > 0 ? z : 0) - z * t + log1pf(e); }

template <class F>
__device__ void image_sums(const float* z, const float* target, const float* weights, unsigned area, float* partial, F f) {
    const unsigned image = blockIdx.y * area;
    float sums[3] = {};
    for (unsigned i = first(); i < area; i += stride())
        f(z[image + i], target[image + i], weights ? weights[image + i] : 1.0f, sums);
    block_sum(sums);
    if (threadIdx.x == 0) {
        float* out = partial + (blockIdx.y * gridDim.x + blockIdx.x) * 3;
        for (int k = 0; k < 3; k++) out[k] = sums[k];
    }
}

#define SUMS_OF (const float* z, const float* target, const float* weights, unsigned area, float* partial, float a, float b, float gamma)

KERNEL(bce_sums, SUMS_OF) {
    image_sums(z, target, weights, area, partial,
               [](float z, float t, float w, float (&sums)[3]) { sums[0] += cross_entropy(z, t, sides(z).e) * w; });
}

// Sums of `p t`, `p` and `t`.
KERNEL(overlap_sums, SUMS_OF) {
    image_sums(z, target, weights, area, partial, [](float z, float t, float w, float (&sums)[3]) {
        const float p = sides(z).p * w;
        sums[0] += p * t;
        sums[1] += p;
        sums[2] += t * w;
    });
}

// Sums of `p t`, `p (1 - t)` and `(1 - p) t`.
KERNEL(confusion_sums, SUMS_OF) {
    image_sums(z, target, weights, area, partial, [](float z, float t, float w, float (&sums)[3]) {
        const Sides s = sides(z);
        sums[0] += w * s.p * t;
        sums[1] += w * s.p * (1 - t);
        sums[2] += w * s.rest * t;
    });
}

// Pixels above `a` in both, in z, and in the target: exact below 2^24 pixels.
KERNEL(mask_sums, SUMS_OF) {
    image_sums(z, target, weights, area, partial, [a](float z, float t, float, float (&sums)[3]) {
        sums[0] += z > a && t > a;
        sums[1] += z > a;
        sums[2] += t > a;
    });
}

// Probability missed, over 0 so that it has a logarithm.
__device__ inline float missed(const Sides& s, float t) {
    return fmaxf(s.p * (1 - t) + s.rest * t, 1.17549435e-38f);
}

// `a + b t` weights the classes.
KERNEL(focal_sums, SUMS_OF) {
    image_sums(z, target, weights, area, partial, [a, b, gamma](float z, float t, float w, float (&sums)[3]) {
        const Sides s = sides(z);
        sums[0] += cross_entropy(z, t, s.e) * expf(gamma * logf(missed(s, t))) * (a + b * t) * w;
    });
}

enum LossKind { MEAN, DICE, TVERSKY, COUNTS };

// As `Parameters` of loss.rs.
struct LossParameters {
    unsigned kind, area;
    float alpha, beta, gamma, smooth;
};

// A block of 32 threads for each image: its sums [images, 3], and its loss.
KERNEL(loss_finish, (const float* partial, unsigned splits, LossParameters p, float* sums, float* loss)) {
    const unsigned image = blockIdx.x;
    double s[3];
    for (int k = 0; k < 3; k++) s[k] = split_sum(partial + image * splits * 3, splits, 3, k);
    if (threadIdx.x != 0) return;
    for (int k = 0; k < 3; k++) sums[image * 3 + k] = (float)s[k];
    if (p.kind == MEAN) loss[image] = (float)(s[0] / p.area);
    if (p.kind == DICE) loss[image] = (float)(1 - (2 * s[0] + p.smooth) / (s[1] + s[2] + p.smooth));
    if (p.kind == TVERSKY) {
        const double missed = p.alpha * s[1] + p.beta * s[2], total = s[0] + missed + p.smooth;
        loss[image] = total == 0 ? 0 : (float)pow(missed / total, (double)p.gamma);
    }
}

// Two coefficients for each image from its sums and the gradient of its loss.
KERNEL(loss_coefficients, (const float* sums, const float* grad, unsigned images, LossParameters p, float* out)) {
    for (unsigned i = first(); i < images; i += stride()) {
        const double both = sums[3 * i], second = sums[3 * i + 1], third = sums[3 * i + 2], g = grad[i];
        double a = g / p.area, b = 0;
        if (p.kind == DICE) {
            const double total = second + third + p.smooth;
            a = -2 * g / total;
            b = g * (2 * both + p.smooth) / (total * total);
        }
        if (p.kind == TVERSKY) {
            const double missed = p.alpha * second + p.beta * third, total = both + missed + p.smooth, kept = total - missed;
            // With an exponent below 1 the slope at a perfect score is infinite; there is nothing left to gain there.
            const double slope = missed == 0 ? 0 : g * p.gamma * pow(missed / total, p.gamma - 1.0) / total / total;
            const double limit = 3.4e38;
            a = fmin(fmax(slope * (-((double)p.alpha + p.beta) * kept - missed), -limit), limit);
            b = fmin(fmax(slope * p.alpha * kept, -limit), limit);
            if (missed == 0) a = b = 0;
        }
        out[2 * i] = (float)a;
        out[2 * i + 1] = (float)b;
    }
}

#define GRADIENT_OF                                                                                                   \
    (const float* z, const float* target, const float* weights, const float* coefficients, unsigned area, unsigned n, \
     float a, float b, float gamma, float* dz)

template <class F>
__device__ void each_pixel(const float* z, const float* target, const float* weights, const float* coefficients, unsigned area,
                           unsigned n, float* dz, F f) {
    for (unsigned i = first(); i < n; i += stride())
        dz[i] = f(z[i], target[i], weights ? weights[i] : 1.0f, coefficients + i / area * 2);
}

KERNEL(bce_gradient, GRADIENT_OF) {
    each_pixel(z, target, weights, coefficients, area, n, dz,
               [](float z, float t, float w, const float* c) { return (sides(z).p - t) * c[0] * w; });
}

// `(a t + b) w p (1 - p)`.
KERNEL(overlap_gradient, GRADIENT_OF) {
    each_pixel(z, target, weights, coefficients, area, n, dz, [](float z, float t, float w, const float* c) {
        const Sides s = sides(z);
        return (c[0] * t + c[1]) * w * (s.p * s.rest);
    });
}

KERNEL(focal_gradient, GRADIENT_OF) {
    each_pixel(z, target, weights, coefficients, area, n, dz, [a, b, gamma](float z, float t, float w, const float* c) {
        const Sides s = sides(z);
        const float m = missed(s, t), power = expf(gamma * logf(m));
        const float turn = gamma * (1 - t - t) * (s.p * s.rest / m);
        return power * (s.p - t + cross_entropy(z, t, s.e) * turn) * ((a + b * t) * c[0] * w);
    });
}
