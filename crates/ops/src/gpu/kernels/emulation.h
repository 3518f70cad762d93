// A device made of one host thread: blocks one after the other, the threads of a block as fibres that change at barriers.
//
// For tests only. What it does not show: races between blocks, missing barriers that a warp would hide, speed.
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
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

// Begun by a context, and continued by jumps, which cost no system call. It runs one thread's body after another.
struct Fibre {
    ucontext_t context;
    jmp_buf at;
    std::vector<char> stack = std::vector<char>(1 << 16);
    bool begun = false, done = true;
};

inline jmp_buf scheduler;
inline std::vector<Fibre> fibres;
inline size_t running;
inline const std::function<void()>* body;
inline std::vector<unsigned> lanes;
inline bool in_fibre;

inline void leave() {
    if (_setjmp(fibres[running].at) == 0) _longjmp(scheduler, 1);
}

inline void enter() {
    for (;;) {
        (*body)();
        fibres[running].done = true;
        leave();
    }
}

inline void pause() {
    if (!in_fibre) {
        fputs("a thread waits at a barrier that the first thread of its block does not come to\n", stderr);
        abort();
    }
    leave();
}

inline Dim3 place_of(size_t i) {
    return Dim3{(unsigned)(i % blockDim.x), (unsigned)(i / blockDim.x % blockDim.y), (unsigned)(i / blockDim.x / blockDim.y)};
}

inline void run_until_pause(size_t i) {
    running = i;
    threadIdx = place_of(i);
    in_fibre = true;
    if (_setjmp(scheduler) == 0) {
        Fibre& fibre = fibres[running];
        if (fibre.begun) _longjmp(fibre.at, 1);
        fibre.begun = true;
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.data();
        fibre.context.uc_stack.ss_size = fibre.stack.size();
        fibre.context.uc_link = nullptr;
        makecontext(&fibre.context, enter, 0);
        setcontext(&fibre.context);
    }
    in_fibre = false;
}

inline void run_block(const std::function<void()>& kernel) {
    const size_t count = (size_t)blockDim.x * blockDim.y * blockDim.z;
    if (fibres.size() < count) fibres = std::vector<Fibre>(count);
    lanes.resize(count);
    body = &kernel;
    fibres[0].done = false;
    run_until_pause(0);
    // Barriers are for all threads or none: without them the others are plain calls.
    if (fibres[0].done) {
        for (size_t i = 1; i < count; i++) {
            threadIdx = place_of(i);
            kernel();
        }
        return;
    }
    for (size_t i = 1; i < count; i++) {
        fibres[i].done = false;
        run_until_pause(i);
    }
    for (bool left = true; left;) {
        left = false;
        for (size_t i = 0; i < count; i++) {
            if (!fibres[i].done) run_until_pause(i);
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
