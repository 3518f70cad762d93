//! Direct convolution for stride 1, dilation 1, one group and windows of 1, 3, 5 or 7, in `f32`.
//!
//! The input is copied into strips ([`Plan`]), of which a few vectors of positions at a time meet all weights.

use crate::buffer::Buffer;
use crate::conv::Geometry;
#[cfg(target_arch = "x86_64")]
use crate::conv::across;
use crate::conv::micro::{ForwardKernels, ForwardTile, Kernels, ListedKernels, ListedTile, MOST_VECTORS, WeightTile};
use crate::conv::pack;
use crate::conv::strip::Plan;
use crate::parallel::{self, Shared};

/// Positions, in vectors, whose inputs stay in the second-level cache while all output channels are computed.
const BLOCK: usize = 36;
/// Vectors whose gradients stay in the first-level cache while all taps of a block of input channels are visited.
const SWEEP: usize = 64;
/// Input channels of one task of the weight gradient.
const INPUT_BLOCK: usize = 16;
/// Images are taken together until their strip has this many positions.
pub(super) const STRIP: usize = 2048;
/// Elements of strips that are filled before the weight gradient sweeps over them.
pub(super) const FILL: usize = 1 << 20;

/// Elements of a cache line.
pub(super) const LINE: usize = 16;

/// The part of a buffer that starts at a cache line; up to [`LINE`] elements shorter.
pub(super) fn aligned(buffer: &mut [f32]) -> &mut [f32] {
    let skip = buffer.as_ptr().align_offset(64).min(LINE);
    &mut buffer[skip..]
}

/// Whether this convolution is of the kind handled here.
pub(super) fn applies(g: &Geometry) -> bool {
    g.p.stride == 1
        && g.p.dilation == 1
        && g.p.groups == 1
        && g.kh == g.kw
        && matches!(g.kh, 1 | 3 | 5 | 7)
        && g.p.padding < g.kh
        // Offsets inside of a strip are kept as u32.
        && (g.h + 2 * g.p.padding).saturating_mul(g.w + 2 * g.p.padding) < 1 << 28
}

/// Convolves; `packed` are the weights `[block][cin][taps][tile channels]`.
pub(super) fn run(plan: Plan, x: &[f32], packed: &[f32], batch: usize, y: &mut [f32]) {
    let Some(kernels) = plan.kernels.forward(plan.window) else {
        return;
    };
    let (in_area, out_area) = (plan.h * plan.w, plan.oh * plan.ow);
    // Every output is computed alone, so the grouping may depend on the threads.
    let share = batch.div_ceil(parallel::threads());
    let plan = plan.beside(share);
    let group = plan.beside * STRIP.div_ceil(plan.image()).min(share / plan.beside).max(1);
    let all_starts = plan.starts(group);
    parallel::chunks(y, group * plan.cout * out_area, |index, y| {
        let images = y.len() / (plan.cout * out_area);
        let x = &x[index * group * plan.cin * in_area..][..images * plan.cin * in_area];
        let starts = plan.starts_of(images, group, &all_starts);
        let plane = plan.plane(images);
        let mut strip = Buffer::<f32>::stale(plan.cin * plane);
        for (c, strip) in strip.chunks_exact_mut(plane).enumerate() {
            plan.fill(c, &x[c * in_area..], plan.cin * in_area, images, strip);
        }
        let pass = Pass {
            plan,
            taps: Taps::Window(kernels),
            packed,
            strip: &strip,
            plane,
            starts: &starts,
        };
        if plan.beside > 1 {
            let area = images.div_ceil(plan.beside) * plan.beside * out_area;
            let mut together = Buffer::<f32>::stale(plan.cout * area);
            pass.whole_rows(&mut together, plan.beside * out_area, area);
            plan.part(&together, area, y);
        } else {
            pass.images(images, y);
        }
    });
}

/// Where the taps of an output position lie in a strip, and what multiplies there.
#[derive(Clone, Copy)]
pub(super) enum Taps<'a> {
    /// In the plan's window of every channel.
    Window(ForwardKernels),
    /// At these offsets, which are those of all channels.
    Listed(ListedKernels, &'a [u32]),
}

/// One strip with all weights.
pub(super) struct Pass<'a> {
    pub plan: Plan,
    pub taps: Taps<'a>,
    /// `[block][taps of all channels][tile channels]`.
    pub packed: &'a [f32],
    pub strip: &'a [f32],
    /// Elements from channel to channel of the strip.
    pub plane: usize,
    /// Where vectors of positions start.
    pub starts: &'a [u32],
}

/// Some vectors of positions, and a block of output channels.
#[derive(Clone, Copy)]
struct Piece {
    first: usize,
    count: usize,
    block: usize,
}

impl Pass<'_> {
    /// Calls `visit` for pieces that are all of the result.
    fn pieces(&self, mut visit: impl FnMut(Piece)) {
        let blocks = self.plan.cout.div_ceil(self.plan.kernels.channels);
        for begin in (0..self.starts.len()).step_by(BLOCK) {
            let end = (begin + BLOCK).min(self.starts.len());
            for block in 0..blocks {
                let mut first = begin;
                while first < end {
                    // One vector alone waits for its products: of four two and two.
                    let count = if end - first == 4 {
                        2
                    } else {
                        (end - first).min(MOST_VECTORS)
                    };
                    visit(Piece { first, count, block });
                    first += count;
                }
            }
        }
    }

    /// Computes a piece.
    ///
    /// # Safety
    /// A vector can be written at the first `count` of `out`, and behind them at every channel of a tile, these `out_step` apart.
    unsafe fn compute(&self, piece: Piece, out: [*mut f32; MOST_VECTORS], out_step: usize) {
        let Kernels { lanes, channels, .. } = self.plan.kernels;
        let mut at = [0; MOST_VECTORS];
        for (at, &start) in at.iter_mut().zip(&self.starts[piece.first..][..piece.count]) {
            *at = start as usize;
        }
        match self.taps {
            Taps::Window(kernels) => {
                let (pitch, step, window) = (self.plan.pitch(), self.plan.beside, self.plan.window);
                let weights = self.plan.cin * window * window * channels;
                let first = self.plan.window_start(piece.block, self.plan.cout.div_ceil(channels));
                debug_assert!(
                    at.iter()
                        .all(|at| at + first + (window - 1) * (pitch + step) + lanes <= self.plane)
                );
                debug_assert!((piece.block + 1) * weights <= self.packed.len());
                // SAFETY: the strip has `cin` planes, each with room for the last vector at the last tap (`Plan::plane`); there are
                // weights for all blocks; `out` by the caller's promise; the kernels are those of a path the processor has.
                unsafe {
                    kernels[piece.count - 1](ForwardTile {
                        x: self.strip.as_ptr(),
                        at: at.map(|at| at + first),
                        plane: self.plane,
                        pitch,
                        step,
                        channels: self.plan.cin,
                        weight: self.packed.as_ptr().add(piece.block * weights),
                        out,
                        out_step,
                    });
                }
            }
            Taps::Listed(kernels, taps) => {
                let weights = taps.len() * channels;
                debug_assert!(taps.iter().all(|&tap| {
                    at.iter().all(|at| {
                        tap as usize % self.plane + at + lanes <= self.plane && (tap as usize) < self.strip.len()
                    })
                }));
                debug_assert!((piece.block + 1) * weights <= self.packed.len());
                // SAFETY: as above; taps lie in the planes of their channels, which have room for the last vector there.
                unsafe {
                    kernels[piece.count - 1](ListedTile {
                        x: self.strip.as_ptr(),
                        at,
                        taps: taps.as_ptr(),
                        count: taps.len(),
                        weight: self.packed.as_ptr().add(piece.block * weights),
                        out,
                        out_step,
                    });
                }
            }
        }
    }

    /// All results of images that do not lie side by side.
    pub(super) fn images(&self, images: usize, y: &mut [f32]) {
        let area = self.plan.oh * self.plan.ow;
        match self.plan.whole_rows() {
            true => self.whole_rows(y, self.plan.cout * area, area),
            false => self.run_on(images, y),
        }
    }

    /// Vectors of whole rows, to `y`: `set` elements from one image (or images side by side) to the next, `area` from channel to
    /// channel.
    fn whole_rows(&self, y: &mut [f32], set: usize, area: usize) {
        let Kernels { lanes, channels, .. } = self.plan.kernels;
        let per_set = self.plan.oh * self.plan.ow * self.plan.beside / lanes;
        let mut tile = [0f32; 8 * MOST_VECTORS * 16];
        self.pieces(|piece| {
            let to = |i: usize| {
                let vector = piece.first + i;
                vector / per_set * set + vector % per_set * lanes + piece.block * channels * area
            };
            let to: [usize; MOST_VECTORS] = std::array::from_fn(|i| to(i.min(piece.count - 1)));
            let valid = (self.plan.cout - piece.block * channels).min(channels);
            if valid == channels {
                assert!(to.iter().all(|to| to + (channels - 1) * area + lanes <= y.len()));
                // SAFETY: in bounds by the assertion.
                unsafe { self.compute(piece, to.map(|to| y.as_mut_ptr().add(to)), area) };
                return;
            }
            // SAFETY: the tile has room for all vectors of the widest path.
            unsafe { self.compute(piece, vectors_of(&mut tile, lanes), MOST_VECTORS * lanes) };
            for (c, row) in tile.chunks_exact(MOST_VECTORS * lanes).enumerate().take(valid) {
                for (to, vector) in to.iter().zip(row.chunks_exact(lanes)).take(piece.count) {
                    y[to + c * area..][..lanes].copy_from_slice(vector);
                }
            }
        });
    }

    /// Vectors that run on over the ends of rows.
    fn run_on(&self, images: usize, y: &mut [f32]) {
        let Kernels { lanes, channels, .. } = self.plan.kernels;
        let area = self.plan.oh * self.plan.ow;
        let mut tile = [0f32; 8 * MOST_VECTORS * 16];
        self.pieces(|piece| {
            // SAFETY: the tile has room for all vectors of the widest path.
            unsafe { self.compute(piece, vectors_of(&mut tile, lanes), MOST_VECTORS * lanes) };
            let from = self.starts[piece.first] as usize;
            let valid = (self.plan.cout - piece.block * channels).min(channels);
            self.plan
                .runs(images, from, piece.count * lanes, |image, to, position, count| {
                    let first = (image * self.plan.cout + piece.block * channels) * area + to;
                    for (c, row) in tile.chunks_exact(MOST_VECTORS * lanes).enumerate().take(valid) {
                        y[first + c * area..][..count].copy_from_slice(&row[position..][..count]);
                    }
                });
        });
    }
}

/// Where the vectors of a tile's first channel are.
fn vectors_of(tile: &mut [f32; 8 * MOST_VECTORS * 16], lanes: usize) -> [*mut f32; MOST_VECTORS] {
    let tile = tile.as_mut_ptr();
    // SAFETY: the tile holds this many vectors of the widest path.
    std::array::from_fn(|i| unsafe { tile.add(i * lanes) })
}

pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], y: &mut [f32]) {
    let plan = Plan::forward(g);
    let packed = pack::forward(weight, [g.cout, g.cin, g.kh * g.kw], plan.kernels.channels);
    run(plan, x, &packed, g.batch, y);
}

pub(super) fn backward_input(g: &Geometry, dy: &[f32], weight: &[f32], dx: &mut [f32]) {
    let plan = Plan::backward(g);
    let packed = pack::backward(weight, [g.cout, g.cin, g.kh * g.kw], plan.kernels.channels);
    run(plan, dy, &packed, g.batch, dx);
}

pub(super) fn backward_weight(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if across::applies(g)
        && let Some(kernels) = crate::conv::micro::across()
    {
        return across::backward_weight(g, kernels, x, dy, dw);
    }
    let plan = Plan::forward(g);
    let Kernels {
        lanes,
        channels: tile,
        weight: kernel,
        ..
    } = plan.kernels;
    let taps = g.kh * g.kw;
    let (in_area, out_area) = (g.h * g.w, g.oh * g.ow);
    let group = FILL.div_ceil(plan.image() * g.cin).min(g.batch).max(1);
    let all_starts = plan.starts(group);
    let (out_blocks, in_blocks) = (g.cout.div_ceil(tile), g.cin.div_ceil(INPUT_BLOCK));
    // Partial sums per task: `[triples of taps][tile channels][3][lanes]`.
    let triples = (INPUT_BLOCK.min(g.cin) * taps).div_ceil(3);
    let per_task = triples * tile * 3 * lanes;
    let mut sums = Buffer::<f32>::zeros(out_blocks * in_blocks * per_task + LINE);
    let sums = &mut aligned(&mut sums)[..out_blocks * in_blocks * per_task];
    // A shorter last group keeps the layout: the length of a plane does not grow with the images.
    let plane = plan.plane(group);
    let mut strip = Buffer::<f32>::stale(g.cin * plane);
    for first in (0..g.batch).step_by(group) {
        let images = group.min(g.batch - first);
        let starts = plan.starts_of(images, group, &all_starts);
        parallel::chunks(&mut strip, plane, |c, strip| {
            plan.fill(c, &x[(first * g.cin + c) * in_area..], g.cin * in_area, images, strip);
        });
        let strip = &*strip;
        parallel::chunks(sums, per_task, |task, sums| {
            let (out_block, in_block) = (task / in_blocks, task % in_blocks);
            let ics = in_block * INPUT_BLOCK..((in_block + 1) * INPUT_BLOCK).min(g.cin);
            let valid = (g.cout - out_block * tile).min(tile);
            let offset = |t: usize| {
                let t = t.min(ics.len() * taps - 1);
                let (ic, tap) = (ics.start + t / taps, t % taps);
                ic * plane + tap / g.kw * plan.pitch() + tap % g.kw
            };
            let mut packed = Buffer::<f32>::stale(SWEEP * tile * lanes + LINE);
            let packed = aligned(&mut packed);
            for (sweep, starts) in starts.chunks(SWEEP).enumerate() {
                let packed = &mut packed[..starts.len() * tile * lanes];
                let dy = &dy[(first * g.cout + out_block * tile) * out_area..];
                gather(&plan, dy, sweep * SWEEP, starts, valid, images, packed);
                for triple in 0..(ics.len() * taps).div_ceil(3) {
                    let acc = &mut sums[triple * tile * 3 * lanes..][..tile * 3 * lanes];
                    let offsets = [offset(3 * triple), offset(3 * triple + 1), offset(3 * triple + 2)];
                    debug_assert!(offsets[2] + starts[starts.len() - 1] as usize + lanes <= strip.len());
                    // SAFETY: `starts` and tap offsets stay inside of the strip's planes (`Plan::plane`), `packed` holds
                    // a tile of gradients per start, `acc` one tile of sums; the path's instructions exist.
                    unsafe {
                        kernel(WeightTile {
                            dy: packed.as_ptr(),
                            x: offsets.map(|offset| strip.as_ptr().add(offset)),
                            at: starts.as_ptr(),
                            count: starts.len(),
                            acc: acc.as_mut_ptr(),
                        });
                    }
                }
            }
        });
    }
    // Sums over lanes, in a fixed order.
    let out = Shared::new(dw);
    parallel::each(out_blocks * in_blocks, |task| {
        let (out_block, in_block) = (task / in_blocks, task % in_blocks);
        let sums = &sums[task * per_task..][..per_task];
        let ics = in_block * INPUT_BLOCK..((in_block + 1) * INPUT_BLOCK).min(g.cin);
        for c in 0..tile.min(g.cout - out_block * tile) {
            // SAFETY: tasks own disjoint (output channel, input channel) blocks of `dw`, which outlives the call.
            let row = unsafe { out.part(((out_block * tile + c) * g.cin + ics.start) * taps, ics.len() * taps) };
            for (t, v) in row.iter_mut().enumerate() {
                *v = lane_sum(&sums[((t / 3 * tile + c) * 3 + t % 3) * lanes..][..lanes]);
            }
        }
    });
}

/// Sum of a vector's lanes by halving.
fn lane_sum(lanes: &[f32]) -> f32 {
    let mut work = [0f32; 16];
    work[..lanes.len()].copy_from_slice(lanes);
    let mut n = lanes.len();
    while n > 1 {
        n /= 2;
        for i in 0..n {
            work[i] += work[i + n];
        }
    }
    work[0]
}

/// Gradients of a block of output channels as `[vectors][tile channels][lanes]`, zeros outside of the image.
fn gather(plan: &Plan, dy: &[f32], first: usize, starts: &[u32], valid: usize, images: usize, packed: &mut [f32]) {
    let Kernels {
        lanes, channels: tile, ..
    } = plan.kernels;
    let out_area = plan.oh * plan.ow;
    if plan.whole_rows() {
        let per_image = out_area / lanes;
        for (vector, cell) in packed.chunks_exact_mut(tile * lanes).enumerate() {
            let (image, at) = ((first + vector) / per_image, (first + vector) % per_image * lanes);
            for (c, out) in cell.chunks_exact_mut(lanes).enumerate() {
                if c < valid {
                    out.copy_from_slice(&dy[(image * plan.cout + c) * out_area + at..][..lanes]);
                } else {
                    out.fill(0.0);
                }
            }
        }
    } else {
        packed.fill(0.0);
        let (from, count) = (starts[0] as usize, starts.len() * lanes);
        plan.runs(images, from, count, |image, index, position, length| {
            for c in 0..valid {
                let source = &dy[(image * plan.cout + c) * out_area + index..][..length];
                // A run may cross vectors: element by element into the interleaved cells.
                for (i, &v) in source.iter().enumerate() {
                    let at = position + i;
                    packed[(at / lanes * tile + c) * lanes + at % lanes] = v;
                }
            }
        });
    }
}
