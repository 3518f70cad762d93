// A device made of one host thread: blocks one after the other, the threads of a block as fibres that change at barriers.
//
// For tests only. What it does not show: races between blocks, missing barriers that a warp would hide, speed.
#pragma once

#include <math.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <utility>
#include <vector>

struct Dim3 {
    unsigned x, y, z;
};

static Dim3 gridDim, blockDim, blockIdx, threadIdx;

#define __device__
#define __global__
#define __forceinline__ inline
#define __shared__ static

inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    return bits;
}

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }

namespace emulation {

struct Fibre {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(1 << 16);
    Dim3 place;
    bool done;
};

inline ucontext_t scheduler;
inline std::vector<Fibre> fibres;
inline size_t running;
inline const std::function<void()>* body;
inline std::vector<unsigned> lanes;

inline void enter() {
    (*body)();
    fibres[running].done = true;
    swapcontext(&fibres[running].context, &scheduler);
}

inline void pause() {
    const size_t me = running;
    swapcontext(&fibres[me].context, &scheduler);
}

inline void run_block(const std::function<void()>& kernel) {
    const size_t count = (size_t)blockDim.x * blockDim.y * blockDim.z;
    if (fibres.size() < count) fibres = std::vector<Fibre>(count);
    lanes.resize(count);
    body = &kernel;
    for (size_t i = 0; i < count; i++) {
        Fibre& fibre = fibres[i];
        fibre.done = false;
        fibre.place = Dim3{(unsigned)(i % blockDim.x), (unsigned)(i / blockDim.x % blockDim.y),
                           (unsigned)(i / blockDim.x / blockDim.y)};
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.data();
        fibre.context.uc_stack.ss_size = fibre.stack.size();
        fibre.context.uc_link = nullptr;
        makecontext(&fibre.context, enter, 0);
    }
    for (bool left = true; left;) {
        left = false;
        for (size_t i = 0; i < count; i++) {
            if (fibres[i].done) continue;
            running = i;
            threadIdx = fibres[i].place;
            swapcontext(&scheduler, &fibres[i].context);
            left |= !fibres[i].done;
        }
    }
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
}

// What `cuLaunchKernel` does.
template <class... A>
void launch(void (*kernel)(A...), const unsigned* grid, const unsigned* block, void** arguments) {
    gridDim = Dim3{grid[0], grid[1], grid[2]};
    blockDim = Dim3{block[0], block[1], block[2]};
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0]; x++) {
                blockIdx = Dim3{x, y, z};
                run_block([=] { call(kernel, arguments, std::index_sequence_for<A...>{}); });
            }
}

}  // namespace emulation

inline void __syncthreads() { emulation::pause(); }

// All threads of the block take part.
inline float __shfl_down_sync(unsigned, float value, unsigned down) {
    const size_t me = emulation::running;
    emulation::lanes[me] = __float_as_uint(value);
    __syncthreads();
    const size_t other = me % 32 + down < 32 ? me + down : me;
    const float result = __uint_as_float(emulation::lanes[other < emulation::lanes.size() ? other : me]);
    __syncthreads();
    return result;
}

#define KERNEL(name, parameters)                                                                    \
    void name parameters;                                                                           \
    extern "C" void launch_##name(const unsigned* grid, const unsigned* block, void** arguments) {  \
        emulation::launch(name, grid, block, arguments);                                            \
    }                                                                                               \
    void name parameters
