//! The weight gradient of 3x3 windows with AVX-512 vectors across output channels.

use crate::buffer::Buffer;
use crate::conv::Geometry;
use crate::conv::direct::{FILL, LINE, Plan, aligned};
use crate::conv::micro;
use crate::parallel;

/// Output channels in a vector of the kernels across output channels.
pub(super) const LANES: usize = 16;
/// Positions per sweep of those kernels, and window rows (input channels times 3) per task.
const SWEEP: usize = 256;
const ROWS: usize = 48;

/// The weight gradient with vectors across output channels, for 3x3 windows: no vector of partial sums per weight, and
/// no position wasted, whatever the image size.
pub(super) fn backward_weight(g: &Geometry, kernels: micro::Across, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let plan = Plan::forward(g);
    let (in_area, out_area) = (g.h * g.w, g.oh * g.ow);
    let (per_tile, rows_per_tile, kernel) = if g.cout.is_multiple_of(2 * LANES) {
        (2 * LANES, 4, kernels.two)
    } else {
        (LANES, 8, kernels.one)
    };
    let group = FILL.div_ceil(plan.image() * g.cin).min(g.batch).max(1);
    let tiles = g.cout / per_tile;
    let rows = g.cin * 3;
    let row_blocks = rows.div_ceil(ROWS);
    let cell = 3 * per_tile;
    let per_task = ROWS.min(rows.next_multiple_of(rows_per_tile)) * cell;
    let mut sums = Buffer::<f32>::zeros(tiles * row_blocks * per_task + LINE);
    let sums = &mut aligned(&mut sums)[..tiles * row_blocks * per_task];
    let mut strip = Buffer::<f32>::stale(g.cin * plan.plane(group));
    let mut turned = Buffer::<f32>::stale(group * g.cout * out_area + LINE);
    let turned = aligned(&mut turned);
    for first in (0..g.batch).step_by(group) {
        let images = group.min(g.batch - first);
        let positions = images * out_area;
        let plane = plan.plane(images);
        let strip = &mut strip[..g.cin * plane];
        parallel::chunks(strip, plane, |c, strip| {
            plan.fill(&x[(first * g.cin + c) * in_area..], g.cin * in_area, images, strip);
        });
        // Gradients as `[tile][position][output channel of the tile]`.
        let turned = &mut turned[..positions * g.cout];
        parallel::chunks(turned, out_area * per_tile, |i, out| {
            let (tile, image) = (i / images, i % images);
            for half in 0..per_tile / LANES {
                let from = &dy[((first + image) * g.cout + tile * per_tile + half * LANES) * out_area..];
                transpose(&kernels, from, out_area, &mut out[half * LANES..], per_tile);
            }
        });
        let (strip, turned) = (&*strip, &*turned);
        let starts: Vec<u32> = (0..images)
            .flat_map(|image| (0..g.oh).map(move |y| (image, y)))
            .flat_map(|(image, y)| {
                let row = image * plan.image() + y * plan.pitch();
                (0..g.ow).map(move |x| (row + x) as u32)
            })
            .collect();
        let offsets: Vec<u32> = (0..rows.next_multiple_of(8))
            .map(|r| r.min(rows - 1))
            .map(|r| (r / 3 * plane + r % 3 * plan.pitch()) as u32)
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
    parallel::chunks(dw, rows * 3, |oc, row| {
        let (tile, c) = (oc / per_tile, oc % per_tile);
        for (t, v) in row.iter_mut().enumerate() {
            let (block, rest) = (t / (3 * ROWS), t % (3 * ROWS));
            *v = sums[(tile * row_blocks + block) * per_task + rest * per_tile + c];
        }
    });
}

/// Sixteen planes of `area` elements to `[position][sixteen]`, positions `step` apart.
fn transpose(kernels: &micro::Across, from: &[f32], area: usize, to: &mut [f32], step: usize) {
    let whole = area - area % LANES;
    assert!(from.len() >= LANES * area && to.len() >= (area - 1) * step + LANES);
    for at in (0..whole).step_by(LANES) {
        // SAFETY: sixteen positions from `at` exist in each of the sixteen planes and in the output, by the assertion.
        unsafe { (kernels.transpose)(from.as_ptr().add(at), area, to.as_mut_ptr().add(at * step), step) };
    }
    for at in whole..area {
        for c in 0..LANES {
            to[at * step + c] = from[c * area + at];
        }
    }
}
