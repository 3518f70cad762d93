//! The weight gradient of 1x1 and 3x3 windows with AVX-512 vectors across output channels.

use crate::buffer::Buffer;
use crate::conv::Geometry;
use crate::conv::direct::{FILL, LINE, Plan, aligned};
use crate::conv::micro;
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
///
/// A row is three taps that one step in the padded input separates: a row of a 3x3 window, or one position of three
/// channels.
pub(super) fn backward_weight(g: &Geometry, kernels: micro::Across, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let plan = Plan::forward(g);
    let (in_area, out_area) = (g.h * g.w, g.oh * g.ow);
    let (per_tile, rows_per_tile, kernel) = if g.cout.div_ceil(LANES).is_multiple_of(2) {
        (2 * LANES, 4, kernels.two)
    } else {
        (LANES, 8, kernels.one)
    };
    let group = FILL.div_ceil(plan.image() * g.cin).min(g.batch).max(1);
    let tiles = g.cout.div_ceil(per_tile);
    let taps = g.cin * g.kh * g.kw;
    let rows = taps.div_ceil(3);
    // The last row of three channels may hold channels that do not exist.
    let channels = if g.kh == 1 { 3 * rows } else { g.cin };
    let row_blocks = rows.div_ceil(ROWS);
    let cell = 3 * per_tile;
    let per_task = ROWS.min(rows.next_multiple_of(rows_per_tile)) * cell;
    let mut sums = Buffer::<f32>::zeros(tiles * row_blocks * per_task + LINE);
    let sums = &mut aligned(&mut sums)[..tiles * row_blocks * per_task];
    // A shorter last group keeps the layout: the length of a plane does not grow with the images.
    let plane = plan.plane(group);
    let mut strip = Buffer::<f32>::stale(channels * plane);
    let mut turned = Buffer::<f32>::stale(group * tiles * per_tile * out_area + LINE);
    let turned = aligned(&mut turned);
    for first in (0..g.batch).step_by(group) {
        let images = group.min(g.batch - first);
        let positions = images * out_area;
        parallel::chunks(&mut strip, plane, |c, strip| {
            let c = c.min(g.cin - 1);
            plan.fill(&x[(first * g.cin + c) * in_area..], g.cin * in_area, images, strip);
        });
        // Gradients as `[tile][position][output channel of the tile]`.
        let turned = &mut turned[..positions * tiles * per_tile];
        parallel::chunks(turned, out_area * per_tile, |i, out| {
            let (tile, image) = (i / images, i % images);
            for half in 0..per_tile / LANES {
                let channel = tile * per_tile + half * LANES;
                let valid = g.cout.saturating_sub(channel).min(LANES);
                let from = &dy[((first + image) * g.cout + channel.min(g.cout - 1)) * out_area..];
                transpose(&kernels, from, out_area, valid, &mut out[half * LANES..], per_tile);
            }
        });
        let (strip, turned) = (&*strip, &*turned);
        let (oh, ow) = if g.kh == 1 { (1, out_area) } else { (g.oh, g.ow) };
        let mut starts = Vec::with_capacity(positions);
        for row in (0..images).flat_map(|image| (0..oh).map(move |y| image * plan.image() + y * plan.pitch())) {
            starts.extend(row as u32..(row + ow) as u32);
        }
        let (step, offset): (usize, &(dyn Fn(usize) -> usize + Sync)) = if g.kh == 1 {
            (plane, &|r| 3 * r * plane)
        } else {
            (1, &|r| r / 3 * plane + r % 3 * plan.pitch())
        };
        let offsets: Vec<u32> = (0..rows.next_multiple_of(8))
            .map(|r| offset(r.min(rows - 1)) as u32)
            .collect();
        parallel::chunks(sums, per_task, |task, sums| {
            let (tile, block) = (task / row_blocks, task % row_blocks);
            let rows = block * ROWS..((block + 1) * ROWS).min(rows);
            let dy = &turned[tile * positions * per_tile..][..positions * per_tile];
            for (sweep, starts) in starts.chunks(SWEEP).enumerate() {
                let dy = &dy[sweep * SWEEP * per_tile..][..starts.len() * per_tile];
                for (i, r) in rows.clone().step_by(rows_per_tile).enumerate() {
                    let acc = &mut sums[i * rows_per_tile * cell..][..rows_per_tile * cell];
                    let offsets = &offsets[r..][..rows_per_tile];
                    // SAFETY: the last start with the last offset and tap lies inside of the strip (`Plan::plane`);
                    // `dy` holds `per_tile` channels per start, `acc` one tile; AVX-512 exists (`micro::across`).
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
    let sums = &*sums;
    parallel::chunks(dw, taps, |oc, row| {
        let (tile, c) = (oc / per_tile, oc % per_tile);
        for (t, v) in row.iter_mut().enumerate() {
            let (block, rest) = (t / (3 * ROWS), t % (3 * ROWS));
            *v = sums[(tile * row_blocks + block) * per_task + rest * per_tile + c];
        }
    });
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
