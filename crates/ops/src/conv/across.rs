//! The weight gradient of 1x1 and 3x3 windows with AVX-512 vectors across output channels.

use crate::buffer::Buffer;
use crate::conv::Geometry;
use crate::conv::direct::{FILL, LINE, aligned};
use crate::conv::micro;
use crate::conv::strip::Plan;
use crate::parallel;

/// Output channels in a vector of the kernels across output channels.
pub(super) const LANES: usize = 16;
/// Positions per sweep of those kernels, and rows (of three taps) per task.
const SWEEP: usize = 256;
const ROWS: usize = 24;

/// Whether this convolution is of the kind handled here.
pub(super) fn applies(g: &Geometry) -> bool {
    // Offsets of channels are kept as u32, for one image or for groups of at most `FILL` elements.
    let fits = g.cin.saturating_mul((g.h + 4) * (g.w + 4) + 256) < 1 << 31;
    // Few channels would leave most of a tile empty.
    fits && matches!(g.kh, 1 | 3) && g.cin >= 8 && g.cout >= LANES / 2
}

/// The weight gradient with vectors across output channels: no vector of partial sums per weight, and no position wasted,
/// whatever the image size.
pub(super) fn backward_weight(g: &Geometry, kernels: micro::Across, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let plan = Plan::forward(g);
    let (in_area, out_area) = (g.h * g.w, g.oh * g.ow);
    let group = FILL.div_ceil(plan.image() * g.cin).min(g.batch).max(1);
    let taps = g.cin * g.kh * g.kw;
    let mut sums = Sums::new(kernels, g.cout, taps.div_ceil(3));
    // The last row of three channels may hold channels that do not exist.
    let channels = if g.kh == 1 { 3 * sums.rows } else { g.cin };
    // A shorter last group keeps the layout: the length of a plane does not grow with the images.
    let plane = plan.plane(group);
    let mut strip = Buffer::<f32>::stale(channels * plane);
    let mut turned = Buffer::<f32>::stale(sums.turned_len(group * out_area));
    let (step, offset): (usize, &dyn Fn(usize) -> usize) = if g.kh == 1 {
        (plane, &|r| 3 * r * plane)
    } else {
        (1, &|r| r / 3 * plane + r % 3 * plan.pitch())
    };
    let offsets = sums.offsets(offset);
    let (oh, ow) = if g.kh == 1 { (1, out_area) } else { (g.oh, g.ow) };
    for first in (0..g.batch).step_by(group) {
        let images = group.min(g.batch - first);
        parallel::chunks(&mut strip, plane, |c, strip| {
            let c = c.min(g.cin - 1);
            plan.fill(c, &x[(first * g.cin + c) * in_area..], g.cin * in_area, images, strip);
        });
        let turned = sums.turn(
            &dy[first * g.cout * out_area..],
            g.cout * out_area,
            [images, out_area],
            &mut turned,
        );
        let starts = starts(&plan, images, [oh, ow]);
        sums.add(&strip, step, &offsets, &starts, turned);
    }
    sums.write(taps, dw);
}

/// Where every output position starts in a strip.
pub(super) fn starts(plan: &Plan, images: usize, [oh, ow]: [usize; 2]) -> Vec<u32> {
    let mut starts = Vec::with_capacity(images * oh * ow);
    for row in (0..images).flat_map(|image| (0..oh).map(move |y| image * plan.image() + y * plan.pitch())) {
        starts.extend(row as u32..(row + ow) as u32);
    }
    starts
}

/// Sums of products of the output's gradient with the input at taps, three of which make a row.
///
/// A row is three taps that one step in the padded input separates: a row of a 3x3 window, or one position of three
/// channels.
pub(super) struct Sums {
    kernels: micro::Across,
    cout: usize,
    /// Rows of taps.
    pub rows: usize,
    /// Output channels of a tile, and the rows that a kernel takes at once.
    per_tile: usize,
    at_once: usize,
    /// `[tile][block of rows][row][3][output channel of the tile]`, from the first cache line on.
    sums: Buffer<f32>,
}

impl Sums {
    /// All zero.
    pub(super) fn new(kernels: micro::Across, cout: usize, rows: usize) -> Self {
        let (per_tile, at_once) = if cout.div_ceil(LANES).is_multiple_of(2) {
            (2 * LANES, 4)
        } else {
            (LANES, 8)
        };
        let mut sums = Self {
            kernels,
            cout,
            rows,
            per_tile,
            at_once,
            sums: Buffer::stale(0),
        };
        sums.sums = Buffer::zeros(sums.tiles() * sums.blocks() * sums.per_task() + LINE);
        sums
    }

    fn tiles(&self) -> usize {
        self.cout.div_ceil(self.per_tile)
    }

    /// Blocks of rows.
    fn blocks(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    fn per_task(&self) -> usize {
        ROWS.min(self.rows.next_multiple_of(self.at_once)) * 3 * self.per_tile
    }

    /// Where each row starts in the padded input; rows that fill up a block repeat the last one.
    pub(super) fn offsets(&self, offset: impl Fn(usize) -> usize) -> Vec<u32> {
        let rows = 0..self.rows.next_multiple_of(8);
        rows.map(|r| offset(r.min(self.rows - 1)) as u32).collect()
    }

    /// Elements that [`turn`](Self::turn) needs for so many positions.
    pub(super) fn turned_len(&self, positions: usize) -> usize {
        positions * self.tiles() * self.per_tile + LINE
    }

    /// Gradients of images (`step` elements apart) as `[tile][position][output channel of the tile]`.
    pub(super) fn turn<'a>(
        &self,
        dy: &[f32],
        step: usize,
        [images, area]: [usize; 2],
        turned: &'a mut [f32],
    ) -> &'a [f32] {
        let per_tile = self.per_tile;
        let turned = &mut aligned(turned)[..images * area * self.tiles() * per_tile];
        parallel::chunks(turned, area * per_tile, |i, out| {
            let (tile, image) = (i / images, i % images);
            for half in 0..per_tile / LANES {
                let channel = tile * per_tile + half * LANES;
                let valid = self.cout.saturating_sub(channel).min(LANES);
                let from = &dy[image * step + channel.min(self.cout - 1) * area..];
                transpose(&self.kernels, from, area, valid, &mut out[half * LANES..], per_tile);
            }
        });
        turned
    }

    /// Adds the products of some positions: `starts` in the strip, gradients as [`turn`](Self::turn) made them.
    pub(super) fn add(&mut self, strip: &[f32], step: usize, offsets: &[u32], starts: &[u32], turned: &[f32]) {
        let (per_tile, at_once, blocks, per_task) = (self.per_tile, self.at_once, self.blocks(), self.per_task());
        let cell = 3 * per_tile;
        let kernel = if at_once == 4 {
            self.kernels.two
        } else {
            self.kernels.one
        };
        let (total, count) = (self.rows, self.tiles() * blocks * per_task);
        let last = (starts.last(), offsets.iter().max());
        assert!(
            matches!(last, (Some(&start), Some(&offset)) if start as usize + offset as usize + 2 * step < strip.len())
        );
        parallel::chunks(&mut aligned(&mut self.sums)[..count], per_task, |task, sums| {
            let (tile, block) = (task / blocks, task % blocks);
            let rows = block * ROWS..((block + 1) * ROWS).min(total);
            let dy = &turned[tile * starts.len() * per_tile..][..starts.len() * per_tile];
            for (sweep, starts) in starts.chunks(SWEEP).enumerate() {
                let dy = &dy[sweep * SWEEP * per_tile..][..starts.len() * per_tile];
                for (i, r) in rows.clone().step_by(at_once).enumerate() {
                    let acc = &mut sums[i * at_once * cell..][..at_once * cell];
                    let offsets = &offsets[r..][..at_once];
                    // SAFETY: the last start with the farthest tap lies inside of the strip, by the assertion; `dy` holds
                    // `per_tile` channels per start, `acc` one tile; AVX-512 exists (`micro::across`).
                    unsafe {
                        kernel(micro::AcrossTile {
                            dy: dy.as_ptr(),
                            x: strip.as_ptr(),
                            rows: offsets.as_ptr(),
                            step,
                            at: starts.as_ptr(),
                            count: starts.len(),
                            acc: acc.as_mut_ptr(),
                        });
                    }
                }
            }
        });
    }

    /// Writes the sums as `[output channel][tap]`; taps that fill up the last row are left out.
    pub(super) fn write(&mut self, taps: usize, dw: &mut [f32]) {
        let (per_tile, blocks, per_task) = (self.per_tile, self.blocks(), self.per_task());
        let sums = &*aligned(&mut self.sums);
        parallel::chunks(dw, per_tile * taps, |tile, dw| {
            for block in 0..blocks {
                let sums = &sums[(tile * blocks + block) * per_task..][..per_task];
                let first = block * 3 * ROWS;
                let count = (3 * ROWS).min(taps - first);
                for (c, row) in dw.chunks_exact_mut(taps).enumerate() {
                    for (v, sums) in row[first..][..count].iter_mut().zip(sums.chunks_exact(per_tile)) {
                        *v = sums[c];
                    }
                }
            }
        });
    }
}

/// `valid` (at most sixteen) planes of `area` elements to `[position][sixteen]`, positions `step` apart, zeros in the rest.
fn transpose(kernels: &micro::Across, from: &[f32], area: usize, valid: usize, to: &mut [f32], step: usize) {
    let whole = if valid == LANES { area - area % LANES } else { 0 };
    assert!(from.len() >= valid * area && to.len() >= (area - 1) * step + LANES);
    for at in (0..whole).step_by(LANES) {
        // SAFETY: sixteen positions from `at` exist in each of the sixteen planes and in the output, by the assertion.
        unsafe { (kernels.transpose)(from.as_ptr().add(at), area, to.as_mut_ptr().add(at * step), step) };
    }
    for at in whole..area {
        let (given, rest) = to[at * step..][..LANES].split_at_mut(valid);
        for (c, v) in given.iter_mut().enumerate() {
            *v = from[c * area + at];
        }
        rest.fill(0.0);
    }
}
