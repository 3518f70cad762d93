// What all kernels share: number types, packs of neighbouring channels, sums over a block.
//
// The sources are CUDA C++, and also plain C++17: `emulation.h` stands in for the device in tests without one.
#pragma once

#ifdef __CUDACC__
#include <cuda_bf16.h>
#define KERNEL(name, parameters) extern "C" __global__ void name parameters
#else
#include "emulation.h"
#endif

// bfloat16, kept apart from CUDA's type so that the same source compiles everywhere.
struct bf16 {
    unsigned short bits;
};

template <class T>
struct Number;

template <>
struct Number<float> {
    static constexpr int PACK = 4;
    static __device__ float wide(float v) { return v; }
    static __device__ float narrow(float v) { return v; }
};

template <>
struct Number<bf16> {
    static constexpr int PACK = 8;
    static __device__ float wide(bf16 v) { return __uint_as_float((unsigned)v.bits << 16); }
    static __device__ bf16 narrow(float v) {
#ifdef __CUDACC__
        return bf16{__bfloat16_as_ushort(__float2bfloat16_rn(v))};
#else
        unsigned bits = __float_as_uint(v);
        if ((bits & 0x7fffffffu) > 0x7f800000u) return bf16{(unsigned short)(bits >> 16 | 0x40)};
        return bf16{(unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
#endif
    }
};

// V neighbouring elements, moved by one access of up to 16 bytes.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
    T v[V];
};

// Reads pack `i` as floats.
template <class T, int V>
__device__ inline void load(const void* from, unsigned i, float (&out)[V]) {
    const Pack<T, V> pack = reinterpret_cast<const Pack<T, V>*>(from)[i];
#pragma unroll
    for (int k = 0; k < V; k++) out[k] = Number<T>::wide(pack.v[k]);
}

// Reads V floats, four at a time where V is a multiple of that: then `at` is one, too.
template <int V>
__device__ inline void numbers(const float* from, unsigned at, float (&out)[V]) {
    constexpr int W = V % 4 == 0 ? 4 : 1;
#pragma unroll
    for (int q = 0; q < V / W; q++) {
        const Pack<float, W> pack = reinterpret_cast<const Pack<float, W>*>(from + at)[q];
#pragma unroll
        for (int k = 0; k < W; k++) out[q * W + k] = pack.v[k];
    }
}

template <class T, int V>
__device__ inline void store(void* to, unsigned i, const float (&values)[V]) {
    Pack<T, V> pack;
#pragma unroll
    for (int k = 0; k < V; k++) pack.v[k] = Number<T>::narrow(values[k]);
    reinterpret_cast<Pack<T, V>*>(to)[i] = pack;
}

// Position in a grid of one dimension, and the step to the next element of this thread.
__device__ inline unsigned first() { return blockIdx.x * blockDim.x + threadIdx.x; }
__device__ inline unsigned stride() { return gridDim.x * blockDim.x; }

// A kernel for every number type, one element or one pack at a time. `body` is a template <class T, int V>.
#define VARIANTS(name, parameters, arguments)                  \
    KERNEL(name##_f32, parameters) { name<float, 1> arguments; } \
    KERNEL(name##_f32_pack, parameters) { name<float, 4> arguments; } \
    KERNEL(name##_bf16, parameters) { name<bf16, 1> arguments; } \
    KERNEL(name##_bf16_pack, parameters) { name<bf16, 8> arguments; }

// A kernel for every number type. `body` is a template <class T>.
#define TYPES(name, parameters, arguments)                  \
    KERNEL(name##_f32, parameters) { name<float> arguments; } \
    KERNEL(name##_bf16, parameters) { name<bf16> arguments; }

// Threads of a block in kernels that sum; the launches agree.
#define SUMMING 256

// Sums N numbers of every thread over the block; the result is valid in thread 0.
template <int N>
__device__ inline void block_sum(float (&values)[N]) {
    __shared__ float shared[SUMMING / 32 * N];
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int k = 0; k < N; k++) {
#pragma unroll
        for (int d = 16; d > 0; d /= 2) values[k] += __shfl_down_sync(0xffffffffu, values[k], d);
        if (lane == 0) shared[warp * N + k] = values[k];
    }
    __syncthreads();
    if (threadIdx.x == 0) {
#pragma unroll
        for (int k = 0; k < N; k++) {
            float sum = 0;
            for (unsigned w = 0; w < blockDim.x / 32; w++) sum += shared[w * N + k];
            values[k] = sum;
        }
    }
    __syncthreads();
}
