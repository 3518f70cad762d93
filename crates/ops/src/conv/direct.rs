//! Direct convolution for stride 1, dilation 1, one group and windows of 1, 3, 5 or 7, in `f32`.
//!
//! The input is copied into *strips*: per channel all images of a group, rows `w + padding` apart, the zeros behind one
//! row being the zeros before the next, and likewise between images. A tap is then a fixed offset from an output
//! position. Where rows hold whole vectors a vector of positions lies in one row and nothing is wasted; else positions
//! run on over the zeros between rows, and the results there are dropped.

use crate::buffer::Buffer;
use crate::conv::Geometry;
#[cfg(target_arch = "x86_64")]
use crate::conv::across;
use crate::conv::micro::{ForwardTile, Kernels, WeightTile};
use crate::parallel::{self, Shared};

/// Positions, in vectors, whose inputs stay in the second-level cache while all output channels are computed.
const BLOCK: usize = 36;
/// Vectors whose gradients stay in the first-level cache while all taps of a block of input channels are visited.
const SWEEP: usize = 64;
/// Input channels of one task of the weight gradient.
const INPUT_BLOCK: usize = 16;
/// Images are taken together until their strip has this many positions.
const STRIP: usize = 2048;
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

/// A stride-1 convolution from `cin` planes of `h` x `w` to `cout` planes of `oh` x `ow`.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    cin: usize,
    cout: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    window: usize,
    padding: usize,
    kernels: Kernels,
}

impl Plan {
    pub(super) fn forward(g: &Geometry) -> Self {
        Self {
            cin: g.cin,
            cout: g.cout,
            h: g.h,
            w: g.w,
            oh: g.oh,
            ow: g.ow,
            window: g.kh,
            padding: g.p.padding,
            kernels: Kernels::active(),
        }
        .flat()
    }

    /// A window of one position sees no rows: the plane is one row.
    fn flat(self) -> Self {
        if self.window > 1 || self.padding > 0 {
            return self;
        }
        let area = self.h * self.w;
        Self {
            h: 1,
            w: area,
            oh: 1,
            ow: area,
            ..self
        }
    }

    /// The convolution that carries the output's gradient back to the input.
    fn backward(g: &Geometry) -> Self {
        let padding = g.kh - 1 - g.p.padding;
        let kernels = Kernels::active();
        Self {
            cin: g.cout,
            cout: g.cin,
            h: g.oh,
            w: g.ow,
            oh: g.h,
            ow: g.w,
            window: g.kh,
            padding,
            kernels,
        }
        .flat()
    }

    /// Elements from row to row of a strip.
    pub(super) fn pitch(&self) -> usize {
        self.w + self.padding
    }

    /// Elements from image to image of a strip.
    pub(super) fn image(&self) -> usize {
        (self.h + self.padding) * self.pitch()
    }

    /// Elements from channel to channel of a strip of `images`, with room for vectors that run over the end.
    pub(super) fn plane(&self, images: usize) -> usize {
        let used = images * self.image() + (self.window - 1) * (self.pitch() + 1) + 4 * self.kernels.lanes;
        // Not a multiple of 4 KiB, so that the same position of different channels does not fall into one cache set.
        used.next_multiple_of(16) + if used.next_multiple_of(16) % 1024 < 64 { 80 } else { 16 }
    }

    /// Output rows hold whole vectors.
    fn whole_rows(&self) -> bool {
        self.ow.is_multiple_of(self.kernels.lanes)
    }

    /// Where each vector of output positions of one strip starts.
    fn starts(&self, images: usize) -> Vec<u32> {
        let lanes = self.kernels.lanes;
        let mut starts = Vec::new();
        if self.whole_rows() {
            for image in 0..images {
                for y in 0..self.oh {
                    let row = image * self.image() + y * self.pitch();
                    starts.extend((0..self.ow).step_by(lanes).map(|x| (row + x) as u32));
                }
            }
        } else {
            let used = (images - 1) * self.image() + (self.oh - 1) * self.pitch() + self.ow;
            starts.extend((0..used).step_by(lanes).map(|at| at as u32));
        }
        starts
    }

    /// Copies one channel of consecutive images (`step` elements apart) into its plane of a strip.
    pub(super) fn fill(&self, source: &[f32], step: usize, images: usize, plane: &mut [f32]) {
        let (p, pitch) = (self.padding, self.pitch());
        for image in 0..images {
            let out = &mut plane[image * self.image()..][..self.image()];
            let rows = source[image * step..][..self.h * self.w].chunks_exact(self.w);
            out[..p * pitch].fill(0.0);
            for (out, row) in out[p * pitch..].chunks_exact_mut(pitch).zip(rows) {
                out[..p].fill(0.0);
                out[p..].copy_from_slice(row);
            }
        }
        plane[images * self.image()..].fill(0.0);
    }

    /// Runs of valid outputs within `count` flat positions from `from`: calls `visit(image, output index, position, length)`.
    fn runs(&self, images: usize, from: usize, count: usize, mut visit: impl FnMut(usize, usize, usize, usize)) {
        let end = from + count;
        let mut image = from / self.image();
        let mut y = from % self.image() / self.pitch();
        loop {
            if y >= self.oh {
                image += 1;
                y = 0;
            }
            let row = image * self.image() + y * self.pitch();
            if image >= images || row >= end {
                return;
            }
            let (start, stop) = (row.max(from), (row + self.ow).min(end));
            if start < stop {
                visit(image, y * self.ow + start - row, start - from, stop - start);
            }
            y += 1;
        }
    }

    /// Convolves; `packed` are the weights `[block][cin][taps][tile channels]`.
    fn run(&self, x: &[f32], packed: &[f32], batch: usize, y: &mut [f32]) {
        let Some(kernel) = self.kernels.forward(self.window) else {
            return;
        };
        let Kernels {
            lanes,
            channels: tile_channels,
            ..
        } = self.kernels;
        let (in_area, out_area) = (self.h * self.w, self.oh * self.ow);
        // Every output is computed alone, so the grouping may depend on the threads.
        let share = batch.div_ceil(parallel::threads());
        let group = STRIP.div_ceil(self.image()).min(share).max(1);
        let blocks = self.cout.div_ceil(tile_channels);
        let block_weights = self.cin * self.window * self.window * tile_channels;
        let all_starts = self.starts(group);
        parallel::chunks(y, group * self.cout * out_area, |index, y| {
            let images = y.len() / (self.cout * out_area);
            let x = &x[index * group * self.cin * in_area..][..images * self.cin * in_area];
            let short;
            let starts = if images == group {
                &all_starts
            } else {
                short = self.starts(images);
                &short
            };
            let plane = self.plane(images);
            let mut strip = Buffer::<f32>::stale(self.cin * plane);
            for (c, strip) in strip.chunks_exact_mut(plane).enumerate() {
                self.fill(&x[c * in_area..], self.cin * in_area, images, strip);
            }
            let mut tile = [0f32; 8 * 3 * 16];
            for vectors in starts.chunks(BLOCK) {
                for block in 0..blocks {
                    let valid = (self.cout - block * tile_channels).min(tile_channels);
                    for three in vectors.chunks(3) {
                        let last = three[three.len() - 1];
                        let at = [three[0], three.get(1).copied().unwrap_or(last), last].map(|at| at as usize);
                        debug_assert!(at[2] + (self.window - 1) * (self.pitch() + 1) + lanes <= plane);
                        debug_assert!((block + 1) * block_weights <= packed.len());
                        // Whole vectors of existing channels go straight to the result, others by way of `tile`.
                        let straight = self.whole_rows() && valid == tile_channels;
                        let (out, out_step) = if straight {
                            let out = at.map(|start| {
                                let (image, rest) = (start / self.image(), start % self.image());
                                let to = rest / self.pitch() * self.ow + rest % self.pitch();
                                (image * self.cout + block * tile_channels) * out_area + to
                            });
                            assert!(
                                out.iter()
                                    .all(|to| to + (tile_channels - 1) * out_area + lanes <= y.len())
                            );
                            // SAFETY: in bounds by the assertion.
                            (out.map(|to| unsafe { y.as_mut_ptr().add(to) }), out_area)
                        } else {
                            let tile = tile.as_mut_ptr();
                            // SAFETY: the tile holds three vectors of the widest path per channel.
                            ([0, lanes, 2 * lanes].map(|to| unsafe { tile.add(to) }), 3 * lanes)
                        };
                        // SAFETY: the strip has `cin` planes, each with room for the last vector at the last tap
                        // (`Plan::plane`); the weights hold `blocks` blocks; `out` is writable for all channels of the
                        // tile; the kernels are those of a path the processor has.
                        unsafe {
                            kernel(ForwardTile {
                                x: strip.as_ptr(),
                                at,
                                plane,
                                pitch: self.pitch(),
                                channels: self.cin,
                                weight: packed.as_ptr().add(block * block_weights),
                                out,
                                out_step,
                            });
                        }
                        if straight {
                            continue;
                        }
                        for c in 0..valid {
                            let row = &tile[c * 3 * lanes..][..3 * lanes];
                            let channel = block * tile_channels + c;
                            if self.whole_rows() {
                                for (i, &start) in three.iter().enumerate() {
                                    let i = if i == three.len() - 1 { 2 } else { i };
                                    let start = start as usize;
                                    let (image, rest) = (start / self.image(), start % self.image());
                                    let to = rest / self.pitch() * self.ow + rest % self.pitch();
                                    let out = &mut y[(image * self.cout + channel) * out_area + to..][..lanes];
                                    out.copy_from_slice(&row[i * lanes..][..lanes]);
                                }
                            } else {
                                self.runs(images, at[0], three.len() * lanes, |image, to, position, count| {
                                    let out = &mut y[(image * self.cout + channel) * out_area + to..][..count];
                                    out.copy_from_slice(&row[position..][..count]);
                                });
                            }
                        }
                    }
                }
            }
        });
    }
}

/// Weights as `[block][in][taps][tile channels]`, zeros in the channels that fill up the last block.
fn pack(
    weight: impl Fn(usize, usize, usize) -> f32 + Sync + Send,
    [cout, cin, taps]: [usize; 3],
    tile: usize,
) -> Buffer<f32> {
    let blocks = cout.div_ceil(tile);
    let mut packed = Buffer::stale(blocks * cin * taps * tile);
    parallel::chunks(&mut packed, cin * taps * tile, |block, packed| {
        let first = block * tile;
        let valid = (cout - first).min(tile);
        for (ic, packed) in packed.chunks_exact_mut(taps * tile).enumerate() {
            for (tap, cell) in packed.chunks_exact_mut(tile).enumerate() {
                let (given, rest) = cell.split_at_mut(valid);
                for (c, v) in given.iter_mut().enumerate() {
                    *v = weight(first + c, ic, tap);
                }
                rest.fill(0.0);
            }
        }
    });
    packed
}

pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], y: &mut [f32]) {
    let plan = Plan::forward(g);
    let taps = g.kh * g.kw;
    let at = |oc: usize, ic: usize, tap: usize| weight[(oc * g.cin + ic) * taps + tap];
    let packed = pack(at, [g.cout, g.cin, taps], plan.kernels.channels);
    plan.run(x, &packed, g.batch, y);
}

pub(super) fn backward_input(g: &Geometry, dy: &[f32], weight: &[f32], dx: &mut [f32]) {
    let plan = Plan::backward(g);
    let taps = g.kh * g.kw;
    // The roles of the channels change, and the window is turned by half a turn.
    let at = |to: usize, from: usize, tap: usize| weight[(from * g.cin + to) * taps + taps - 1 - tap];
    let packed = pack(at, [g.cin, g.cout, taps], plan.kernels.channels);
    plan.run(dy, &packed, g.batch, dx);
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
        let short;
        let starts = if images == group {
            &all_starts
        } else {
            short = plan.starts(images);
            &short
        };
        parallel::chunks(&mut strip, plane, |c, strip| {
            plan.fill(&x[(first * g.cin + c) * in_area..], g.cin * in_area, images, strip);
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
