// Windows over maps [batch, height, width, channels]: convolutions and pooling go from pixel to pixel in the same way.
#pragma once
#include "prelude.cuh"

// As `Shape` of shape.rs.
struct ConvShape {
    unsigned batch, cin, h, w, cout, kh, kw, oh, ow, stride, padding, dilation, groups;
};

struct Pixel {
    unsigned n, y, x;
};

__device__ inline Pixel pixel_of(unsigned i, unsigned h, unsigned w) { return Pixel{i / w / h, i / w % h, i % w}; }

// The input pixels that an output pixel sees: `f(r, q, index of the pixel)` for every tap inside of the image.
template <class F>
__device__ inline void each_input(const ConvShape& s, const Pixel& out, F f) {
    for (unsigned r = 0; r < s.kh; r++) {
        const unsigned y = out.y * s.stride + r * s.dilation - s.padding;
        if (y >= s.h) continue;
        for (unsigned q = 0; q < s.kw; q++) {
            const unsigned x = out.x * s.stride + q * s.dilation - s.padding;
            if (x < s.w) f(r, q, (out.n * s.h + y) * s.w + x);
        }
    }
}

// Output row that sees input row `i` through tap `r`, if there is one below `extent`.
__device__ inline bool output_of(unsigned i, unsigned r, const ConvShape& s, unsigned extent, unsigned& o) {
    const unsigned shifted = i + s.padding - r * s.dilation;
    // A division by a number that the compiler does not know takes as long as all the rest.
    o = s.stride == 1 ? shifted : s.stride == 2 ? shifted / 2 : shifted / s.stride;
    return i + s.padding >= r * s.dilation && o * s.stride == shifted && o < extent;
}

// The output pixels that see an input pixel: `f(r, q, pixel, its index)` with the tap through which they do.
template <class F>
__device__ inline void each_output(const ConvShape& s, const Pixel& in, F f) {
    for (unsigned r = 0; r < s.kh; r++) {
        Pixel out{in.n, 0, 0};
        if (!output_of(in.y, r, s, s.oh, out.y)) continue;
        for (unsigned q = 0; q < s.kw; q++)
            if (output_of(in.x, q, s, s.ow, out.x)) f(r, q, out, (out.n * s.oh + out.y) * s.ow + out.x);
    }
}
