//! The innermost loops of the direct convolution, written once for every vector type.
//!
//! Forward (and backward to the input, which is a forward convolution with turned weights): a register tile of
//! `channels` output channels times three vectors of output positions; per input channel and tap three loads, and one
//! broadcast weight per channel. Backward to the weight: a tile of `channels` output channels times three taps, each a
//! vector of partial sums over positions.

// Register tiles are indexed by constants so that the compiler unrolls them.
#![allow(clippy::needless_range_loop)]

#[cfg(target_arch = "x86_64")]
use crate::conv::vector::{Eight, Sixteen};
use crate::conv::vector::{Four, Vector};

/// Vectors of positions that a forward tile has at most.
pub(super) const MOST_VECTORS: usize = 3;

/// What a forward tile reads. Of its vectors of positions there may be fewer than there is room for.
#[derive(Clone, Copy)]
pub(super) struct ForwardTile {
    /// First channel of the padded input.
    pub x: *const f32,
    /// Where the vectors of positions start.
    pub at: [usize; MOST_VECTORS],
    /// Elements between channels.
    pub plane: usize,
    /// Elements between rows.
    pub pitch: usize,
    /// Elements between columns.
    pub step: usize,
    /// Input channels.
    pub channels: usize,
    /// Weights `[channels][taps][tile channels]`.
    pub weight: *const f32,
    /// Where the vectors of the first channel go.
    pub out: [*mut f32; MOST_VECTORS],
    /// Elements between channels of the result.
    pub out_step: usize,
}

/// # Safety
/// All reads and writes that `tile` describes are in bounds, and `V`'s instructions exist.
#[inline(always)]
unsafe fn forward_tile<V: Vector, const C: usize, const N: usize, const K: usize>(tile: ForwardTile) {
    // SAFETY: by the caller's promise; offsets follow the layout described at `ForwardTile`.
    unsafe {
        let mut acc = [[V::zero(); N]; C];
        let mut x = [tile.x; N];
        for (x, at) in x.iter_mut().zip(tile.at) {
            *x = x.add(at);
        }
        let mut weight = tile.weight;
        for _ in 0..tile.channels {
            for ky in 0..K {
                for kx in 0..K {
                    let tap = ky * tile.pitch + kx * tile.step;
                    let mut v = [V::zero(); N];
                    for (v, x) in v.iter_mut().zip(x) {
                        *v = V::load(x.add(tap));
                    }
                    for c in 0..C {
                        let w = V::splat(weight.add(c));
                        for i in 0..N {
                            acc[c][i] = acc[c][i].add_product(v[i], w);
                        }
                    }
                    weight = weight.add(C);
                }
            }
            x = x.map(|x| x.add(tile.plane));
        }
        for c in 0..C {
            for i in 0..N {
                acc[c][i].store(tile.out[i].add(c * tile.out_step));
            }
        }
    }
}

/// What a forward tile reads whose taps are listed.
#[derive(Clone, Copy)]
pub(super) struct ListedTile {
    /// What taps are offsets from.
    pub x: *const f32,
    /// Where the vectors of positions start.
    pub at: [usize; MOST_VECTORS],
    /// Offsets of all channels' taps.
    pub taps: *const u32,
    /// Taps.
    pub count: usize,
    /// Weights `[taps][tile channels]`.
    pub weight: *const f32,
    /// Where the vectors of the first channel go.
    pub out: [*mut f32; MOST_VECTORS],
    /// Elements between channels of the result.
    pub out_step: usize,
}

/// # Safety
/// All reads and writes that `tile` describes are in bounds, and `V`'s instructions exist.
#[inline(always)]
unsafe fn listed_tile<V: Vector, const C: usize, const N: usize>(tile: ListedTile) {
    // SAFETY: by the caller's promise; offsets follow the layout described at `ListedTile`.
    unsafe {
        let mut acc = [[V::zero(); N]; C];
        let mut x = [tile.x; N];
        for (x, at) in x.iter_mut().zip(tile.at) {
            *x = x.add(at);
        }
        let mut weight = tile.weight;
        for i in 0..tile.count {
            let tap = *tile.taps.add(i) as usize;
            let mut v = [V::zero(); N];
            for (v, x) in v.iter_mut().zip(x) {
                *v = V::load(x.add(tap));
            }
            for c in 0..C {
                let w = V::splat(weight.add(c));
                for i in 0..N {
                    acc[c][i] = acc[c][i].add_product(v[i], w);
                }
            }
            weight = weight.add(C);
        }
        for c in 0..C {
            for i in 0..N {
                acc[c][i].store(tile.out[i].add(c * tile.out_step));
            }
        }
    }
}

/// What a weight-gradient tile reads.
#[derive(Clone, Copy)]
pub(super) struct WeightTile {
    /// Output gradient `[vectors][tile channels][lanes]`.
    pub dy: *const f32,
    /// The input at three taps.
    pub x: [*const f32; 3],
    /// Where each vector of positions starts in the input.
    pub at: *const u32,
    /// Vectors.
    pub count: usize,
    /// Partial sums `[tile channels][3][lanes]`, added to.
    pub acc: *mut f32,
}

/// # Safety
/// All reads and writes that `tile` describes are in bounds, and `V`'s instructions exist.
#[inline(always)]
unsafe fn weight_tile<V: Vector, const C: usize>(tile: WeightTile) {
    // SAFETY: by the caller's promise; offsets follow the layout described at `WeightTile`.
    unsafe {
        let mut acc = [[V::zero(); 3]; C];
        let mut dy = tile.dy;
        for vector in 0..tile.count {
            let at = *tile.at.add(vector) as usize;
            let v = [
                V::load(tile.x[0].add(at)),
                V::load(tile.x[1].add(at)),
                V::load(tile.x[2].add(at)),
            ];
            for c in 0..C {
                let g = V::load(dy.add(c * V::LANES));
                for i in 0..3 {
                    acc[c][i] = acc[c][i].add_product(v[i], g);
                }
            }
            dy = dy.add(C * V::LANES);
        }
        for c in 0..C {
            for i in 0..3 {
                // Added at the end of a sweep, not carried through it: long sums lose less.
                let to = tile.acc.add((c * 3 + i) * V::LANES);
                acc[c][i].add(V::load(to)).store(to);
            }
        }
    }
}

/// What a tile of the weight gradient across output channels reads.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct AcrossTile {
    /// Output gradient `[positions][vectors of output channels][lanes]`.
    pub dy: *const f32,
    /// First channel of the padded input.
    pub x: *const f32,
    /// Offsets of rows (three taps each) in the padded input.
    pub rows: *const u32,
    /// Elements between the taps of a row: 1 along a window's row, the plane's length for three channels.
    pub step: usize,
    /// Where each position starts in the input.
    pub at: *const u32,
    /// Positions.
    pub count: usize,
    /// Gradients `[rows][3][vectors of output channels][lanes]`, added to.
    pub acc: *mut f32,
}

/// `N` vectors of output channels times `R` rows of three taps: one broadcast input per tap, no sums over lanes.
///
/// # Safety
/// All reads and writes that `tile` describes are in bounds, and `V`'s instructions exist.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn across_tile<V: Vector, const N: usize, const R: usize>(tile: AcrossTile) {
    // SAFETY: by the caller's promise; offsets follow the layout described at `AcrossTile`.
    unsafe {
        let mut acc = [[[V::zero(); N]; 3]; R];
        let mut rows = [tile.x; R];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = tile.x.add(*tile.rows.add(r) as usize);
        }
        let mut dy = tile.dy;
        for position in 0..tile.count {
            let at = *tile.at.add(position) as usize;
            let mut g = [V::zero(); N];
            for (n, g) in g.iter_mut().enumerate() {
                *g = V::load(dy.add(n * V::LANES));
            }
            for r in 0..R {
                for k in 0..3 {
                    let x = V::splat(rows[r].add(at + k * tile.step));
                    for n in 0..N {
                        acc[r][k][n] = acc[r][k][n].add_product(g[n], x);
                    }
                }
            }
            dy = dy.add(N * V::LANES);
        }
        for r in 0..R {
            for k in 0..3 {
                for n in 0..N {
                    let to = tile.acc.add(((r * 3 + k) * N + n) * V::LANES);
                    acc[r][k][n].add(V::load(to)).store(to);
                }
            }
        }
    }
}

/// The kernels of the weight gradient across output channels.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Across {
    /// One vector of output channels, eight rows.
    pub one: unsafe fn(AcrossTile),
    /// Two vectors of output channels, four rows.
    pub two: unsafe fn(AcrossTile),
    /// Transposes 16 rows (that many elements apart) of 16 columns into consecutive columns that far apart.
    pub transpose: unsafe fn(*const f32, usize, *mut f32, usize),
}

/// One instruction set's kernels.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    pub lanes: usize,
    /// Output channels of a tile.
    pub channels: usize,
    /// By kernel size: 1, 3, 5, 7, and 2.
    forward: [ForwardKernels; 5],
    pub listed: ListedKernels,
    pub weight: unsafe fn(WeightTile),
}

/// Forward kernels for one, two and three vectors of positions.
pub(super) type ForwardKernels = [unsafe fn(ForwardTile); MOST_VECTORS];

/// The same for listed taps.
pub(super) type ListedKernels = [unsafe fn(ListedTile); MOST_VECTORS];

impl Kernels {
    /// The forward kernels for a square window.
    pub(super) fn forward(&self, window: usize) -> Option<ForwardKernels> {
        match window {
            1 | 3 | 5 | 7 => Some(self.forward[window / 2]),
            2 => Some(self.forward[4]),
            _ => None,
        }
    }

    /// The kernels of the active path.
    pub(super) fn active() -> Self {
        match crate::cpu::CpuPath::active() {
            #[cfg(target_arch = "x86_64")]
            crate::cpu::CpuPath::Avx512 => x86::AVX512,
            #[cfg(target_arch = "x86_64")]
            crate::cpu::CpuPath::Avx2 => x86::AVX2,
            _ => PLAIN,
        }
    }
}

/// The kernels across output channels, if the active path has them.
#[cfg(target_arch = "x86_64")]
pub(super) fn across() -> Option<Across> {
    (crate::cpu::CpuPath::active() as u8 == crate::cpu::CpuPath::Avx512 as u8).then_some(x86::ACROSS)
}

macro_rules! kernels {
    ($name:ident, $vector:ty, $channels:literal $(, #[$feature:meta])?) => {
        pub(in crate::conv) const $name: Kernels = {
            $(#[$feature])?
            unsafe fn forward<const N: usize, const K: usize>(tile: ForwardTile) {
                // SAFETY: the caller's promise; the instructions exist where this function may be called.
                unsafe { forward_tile::<$vector, $channels, N, K>(tile) }
            }
            $(#[$feature])?
            unsafe fn listed<const N: usize>(tile: ListedTile) {
                // SAFETY: as above.
                unsafe { listed_tile::<$vector, $channels, N>(tile) }
            }
            $(#[$feature])?
            unsafe fn weight(tile: WeightTile) {
                // SAFETY: as above.
                unsafe { weight_tile::<$vector, $channels>(tile) }
            }
            Kernels {
                lanes: <$vector as Vector>::LANES,
                channels: $channels,
                forward: [
                    [forward::<1, 1>, forward::<2, 1>, forward::<3, 1>],
                    [forward::<1, 3>, forward::<2, 3>, forward::<3, 3>],
                    [forward::<1, 5>, forward::<2, 5>, forward::<3, 5>],
                    [forward::<1, 7>, forward::<2, 7>, forward::<3, 7>],
                    [forward::<1, 2>, forward::<2, 2>, forward::<3, 2>],
                ],
                listed: [listed::<1>, listed::<2>, listed::<3>],
                weight,
            }
        };
    };
}

kernels!(PLAIN, Four, 4);

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{
        Across, AcrossTile, Eight, ForwardTile, Kernels, ListedTile, Sixteen, Vector, WeightTile, across_tile,
        forward_tile, listed_tile, weight_tile,
    };

    kernels!(AVX2, Eight, 4, #[target_feature(enable = "avx2,fma")]);
    kernels!(AVX512, Sixteen, 8, #[target_feature(enable = "avx512f,avx2,fma")]);

    pub(in crate::conv) const ACROSS: Across = Across { one, two, transpose };

    #[target_feature(enable = "avx512f,avx2,fma")]
    unsafe fn one(tile: AcrossTile) {
        // SAFETY: the caller's promise; the instructions exist where this function may be called.
        unsafe { across_tile::<Sixteen, 1, 8>(tile) }
    }

    #[target_feature(enable = "avx512f,avx2,fma")]
    unsafe fn two(tile: AcrossTile) {
        // SAFETY: as above.
        unsafe { across_tile::<Sixteen, 2, 4>(tile) }
    }

    #[target_feature(enable = "avx512f,avx2,fma")]
    unsafe fn transpose(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        // SAFETY: the caller's promise: 16 rows and 16 columns of 16 elements are readable and writable.
        unsafe {
            let mut r = [_mm512_setzero_ps(); 16];
            for (i, r) in r.iter_mut().enumerate() {
                *r = _mm512_loadu_ps(from.add(i * from_step));
            }
            let mut t = r;
            for i in 0..8 {
                t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for g in 0..4 {
                for j in 0..2 {
                    let a = _mm512_castps_pd(t[4 * g + j]);
                    let b = _mm512_castps_pd(t[4 * g + 2 + j]);
                    r[4 * g + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    r[4 * g + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                }
            }
            for j in 0..4 {
                let a = _mm512_shuffle_f32x4::<0x88>(r[j], r[4 + j]);
                let b = _mm512_shuffle_f32x4::<0x88>(r[8 + j], r[12 + j]);
                let c = _mm512_shuffle_f32x4::<0xdd>(r[j], r[4 + j]);
                let d = _mm512_shuffle_f32x4::<0xdd>(r[8 + j], r[12 + j]);
                _mm512_storeu_ps(to.add(j * to_step), _mm512_shuffle_f32x4::<0x88>(a, b));
                _mm512_storeu_ps(to.add((8 + j) * to_step), _mm512_shuffle_f32x4::<0xdd>(a, b));
                _mm512_storeu_ps(to.add((4 + j) * to_step), _mm512_shuffle_f32x4::<0x88>(c, d));
                _mm512_storeu_ps(to.add((12 + j) * to_step), _mm512_shuffle_f32x4::<0xdd>(c, d));
            }
        }
    }
}
