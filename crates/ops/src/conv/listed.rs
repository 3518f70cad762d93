//! Convolution of any stride, dilation and window in one group, in `f32`, without unfolding.
//!
//! The padded input is parted by the stride: positions whose row and column leave the same remainders lie together, and a tap is a
//! constant offset from an output position. The offsets of all channels' taps are a list, along which the kernels of the direct
//! convolution go.

use crate::buffer::Buffer;
#[cfg(target_arch = "x86_64")]
use crate::conv::direct::FILL;
use crate::conv::direct::{Pass, STRIP, Taps};
use crate::conv::micro::Kernels;
use crate::conv::strip::{Plan, Role};
use crate::conv::{Geometry, general, pack};
#[cfg(target_arch = "x86_64")]
use crate::conv::{across, micro};
use crate::parallel;

/// Beyond it the input has too many remainders for parting it to be worth it.
const LARGEST_STRIDE: usize = 8;

/// Whether this convolution is of the kind handled here.
pub(super) fn applies(g: &Geometry) -> bool {
    let padded = |size: usize| size.saturating_add(2 * g.p.padding + g.p.stride);
    let strip = padded(g.h).saturating_mul(padded(g.w)).saturating_add(256);
    // Offsets of channels are kept as u32, for one image or for groups of about `STRIP` positions.
    g.p.groups == 1
        && g.p.stride <= LARGEST_STRIDE
        && strip.max(2 * STRIP).saturating_mul(4 * g.cin.max(g.cout)) < 1 << 31
}

/// Where a tap lies: in which part, and how far down and across in it.
#[derive(Clone, Copy)]
struct Tap {
    part: [usize; 2],
    shift: [usize; 2],
}

fn taps(g: &Geometry) -> Vec<Tap> {
    let (s, d) = (g.p.stride, g.p.dilation);
    let all = (0..g.kh).flat_map(|y| (0..g.kw).map(move |x| [y * d, x * d]));
    all.map(|at| Tap {
        part: at.map(|at| at % s),
        shift: at.map(|at| at / s),
    })
    .collect()
}

/// How far the taps reach in their parts, down and across.
fn reach(taps: &[Tap]) -> [usize; 2] {
    [0, 1].map(|axis| taps.iter().map(|tap| tap.shift[axis]).max().unwrap_or(0))
}

/// Planes of the input, each as the parts that some tap sees, `[part][image][row][column]`.
struct Parted {
    parts: Vec<[usize; 2]>,
    taps: Vec<Tap>,
    /// Of a part of one image.
    rows: usize,
    columns: usize,
}

impl Parted {
    fn of(g: &Geometry) -> Self {
        let taps = taps(g);
        let [down, across] = reach(&taps);
        let mut parts: Vec<[usize; 2]> = taps.iter().map(|tap| tap.part).collect();
        parts.sort_unstable();
        parts.dedup();
        Self {
            parts,
            rows: g.oh + down,
            columns: g.ow + across,
            taps,
        }
    }

    fn plan(&self, g: &Geometry) -> Plan {
        plan_of([g.cin, g.cout], [self.rows, self.columns], [g.oh, g.ow])
    }

    /// Elements from channel to channel of a strip.
    fn plane(&self, images: usize) -> usize {
        plane_of(self.parts.len() * images * self.rows, self.columns)
    }

    /// Where every tap lies in the plane of a channel.
    fn offsets(&self, images: usize) -> Vec<usize> {
        let offset = |tap: &Tap| {
            let part = self.parts.iter().position(|part| *part == tap.part).unwrap_or(0);
            (part * images * self.rows + tap.shift[0]) * self.columns + tap.shift[1]
        };
        self.taps.iter().map(offset).collect()
    }

    /// Copies a channel of consecutive images, `step` elements apart, into its plane.
    fn fill(&self, g: &Geometry, source: &[f32], step: usize, images: usize, plane: &mut [f32]) {
        let part = images * self.rows * self.columns;
        for (at, plane) in plane.chunks_exact_mut(part).enumerate().take(self.parts.len()) {
            self.fill_part(g, at, source, step, plane);
        }
        plane[self.parts.len() * part..].fill(0.0);
    }

    /// Copies what belongs to one part.
    fn fill_part(&self, g: &Geometry, part: usize, source: &[f32], step: usize, out: &mut [f32]) {
        let s = g.p.stride;
        let [top, left] = self.parts[part];
        // Columns of the padding, and the first column of the input behind them.
        let before = g.p.padding.saturating_sub(left).div_ceil(s).min(self.columns);
        let first = (before * s + left).saturating_sub(g.p.padding);
        for (i, out) in out.chunks_exact_mut(self.columns).enumerate() {
            let (image, row) = (i / self.rows, i % self.rows);
            let Some(y) = (row * s + top).checked_sub(g.p.padding).filter(|&y| y < g.h) else {
                out.fill(0.0);
                continue;
            };
            let (zeros, out) = out.split_at_mut(before);
            zeros.fill(0.0);
            let row = &source[image * step + y * g.w..][..g.w];
            every(row.get(first..).unwrap_or_default(), s, out);
        }
    }
}

/// A stride-1 convolution between strips without padding of their own.
fn plan_of([cin, cout]: [usize; 2], [h, w]: [usize; 2], [oh, ow]: [usize; 2]) -> Plan {
    Plan {
        cin,
        cout,
        h,
        w,
        oh,
        ow,
        window: 1,
        padding: 0,
        beside: 1,
        role: Role::Plain,
        kernels: Kernels::active(),
    }
}

/// Elements of a plane of so many rows: vectors run over its end by less than the reach of a tap and a vector.
fn plane_of(rows: usize, columns: usize) -> usize {
    ((rows + 2) * columns + 4 * Kernels::active().lanes).next_multiple_of(16) + 16
}

/// Convolves the images of a strip with taps that lie at these offsets in the plane of each channel.
fn convolve(plan: Plan, offsets: &[usize], packed: &[f32], strip: &[f32], images: usize, y: &mut [f32]) {
    let plane = strip.len() / plan.cin;
    let listed: Vec<u32> = (0..plan.cin)
        .flat_map(|c| offsets.iter().map(move |offset| (c * plane + offset) as u32))
        .collect();
    let pass = Pass {
        plan,
        taps: Taps::Listed(plan.kernels.listed, &listed),
        packed,
        strip,
        plane,
        starts: &plan.starts(images),
    };
    pass.images(images, y);
}

/// Every `step`-th element of a row, and zeros behind them.
fn every(row: &[f32], step: usize, out: &mut [f32]) {
    let count = row.len().div_ceil(step).min(out.len());
    let (out, behind) = out.split_at_mut(count);
    match step {
        1 => out.copy_from_slice(&row[..count]),
        2 => {
            let pairs = row.as_chunks::<2>();
            out.iter_mut().zip(pairs.0).for_each(|(v, pair)| *v = pair[0]);
            if let (Some(v), [last]) = (out.get_mut(pairs.0.len()), pairs.1) {
                *v = *last;
            }
        }
        _ => out.iter_mut().zip(row.iter().step_by(step)).for_each(|(v, &x)| *v = x),
    }
    behind.fill(0.0);
}

/// Images of a task.
fn group(g: &Geometry, positions: usize) -> usize {
    STRIP
        .div_ceil(positions)
        .min(g.batch.div_ceil(parallel::threads()))
        .max(1)
}

pub(super) fn forward(g: &Geometry, x: &[f32], weight: &[f32], y: &mut [f32]) {
    let parted = Parted::of(g);
    let plan = parted.plan(g);
    let packed = pack::forward(weight, [g.cout, g.cin, g.kh * g.kw], plan.kernels.channels);
    let (in_area, out_image) = (g.h * g.w, g.cout * g.oh * g.ow);
    let group = group(g, plan.image());
    parallel::chunks(y, group * out_image, |index, y| {
        let images = y.len() / out_image;
        let x = &x[index * group * g.cin * in_area..][..images * g.cin * in_area];
        let plane = parted.plane(images);
        let mut strip = Buffer::<f32>::stale(g.cin * plane);
        for (c, strip) in strip.chunks_exact_mut(plane).enumerate() {
            parted.fill(g, &x[c * in_area..], g.cin * in_area, images, strip);
        }
        convolve(plan, &parted.offsets(images), &packed, &strip, images, y);
    });
}

/// Pixels of the input whose padded row and column leave the same remainders: the taps that meet them, and their gradients.
struct Residue {
    part: [usize; 2],
    /// The first of them among padded positions of these remainders, down and across.
    first: [usize; 2],
    /// How many there are.
    count: [usize; 2],
    /// Indices of taps.
    taps: Vec<usize>,
    /// Their weights, `[block][cout][taps][tile channels]`.
    packed: Buffer<f32>,
}

impl Residue {
    /// All that have pixels; `packed` are the turned weights of all taps.
    fn all(g: &Geometry, taps: &[Tap], packed: &[f32], tile: usize) -> Vec<Self> {
        let (s, p) = (g.p.stride, g.p.padding);
        let parts = (0..s).flat_map(|y| (0..s).map(move |x| [y, x]));
        let residue = |part: [usize; 2]| {
            let first = part.map(|part| p.saturating_sub(part).div_ceil(s));
            let count = [0, 1].map(|axis| {
                let end = [g.h, g.w][axis] + p;
                end.saturating_sub(part[axis]).div_ceil(s).saturating_sub(first[axis])
            });
            let own: Vec<usize> = (0..taps.len()).filter(|&tap| taps[tap].part == part).collect();
            let mut rows = Buffer::stale(packed.len() / taps.len() * own.len());
            if !own.is_empty() {
                for (own_rows, rows_of_all) in rows
                    .chunks_exact_mut(own.len() * tile)
                    .zip(packed.chunks_exact(taps.len() * tile))
                {
                    for (to, &tap) in own_rows.chunks_exact_mut(tile).zip(&own) {
                        to.copy_from_slice(&rows_of_all[(taps.len() - 1 - tap) * tile..][..tile]);
                    }
                }
            }
            Self {
                part,
                first,
                count,
                taps: own,
                packed: rows,
            }
        };
        parts
            .map(residue)
            .filter(|residue| !residue.count.contains(&0))
            .collect()
    }
}

pub(super) fn backward_input(g: &Geometry, dy: &[f32], weight: &[f32], dx: &mut [f32]) {
    let channels = Kernels::active().channels;
    let s = g.p.stride;
    let taps = taps(g);
    // A tap that reaches so far meets the gradient as far before a pixel.
    let margin = reach(&taps);
    let packed = pack::backward(weight, [g.cout, g.cin, taps.len()], channels);
    let residues = Residue::all(g, &taps, &packed, channels);
    // Rows and columns of a framed gradient.
    let [rows, columns] = [0, 1].map(|axis| {
        let ends = residues.iter().map(|residue| residue.first[axis] + residue.count[axis]);
        margin[axis] + ends.max().unwrap_or(0).max([g.oh, g.ow][axis])
    });
    let (image_in, out_area) = (g.cin * g.h * g.w, g.oh * g.ow);
    let group = group(g, rows * columns);
    parallel::chunks(dx, group * image_in, |index, dx| {
        let images = dx.len() / image_in;
        let dy = &dy[index * group * g.cout * out_area..][..images * g.cout * out_area];
        let plane = plane_of(images * rows, columns);
        let mut strip = Buffer::<f32>::zeros(g.cout * plane);
        for (c, strip) in strip.chunks_exact_mut(plane).enumerate() {
            for image in 0..images {
                let source = dy[(image * g.cout + c) * out_area..][..out_area].chunks_exact(g.ow);
                let framed = strip[(image * rows + margin[0]) * columns..].chunks_exact_mut(columns);
                for (out, row) in framed.zip(source) {
                    out[margin[1]..][..g.ow].copy_from_slice(row);
                }
            }
        }
        for residue in &residues {
            let [down, across] = residue.count;
            let area = down * across;
            let mut gradient = Buffer::<f32>::stale(images * g.cin * area);
            if residue.taps.is_empty() {
                gradient.fill(0.0);
            } else {
                let plan = plan_of([g.cout, g.cin], [rows, columns], residue.count);
                let offset = |&tap: &usize| {
                    let [y, x] = [0, 1].map(|axis| residue.first[axis] + margin[axis] - taps[tap].shift[axis]);
                    y * columns + x
                };
                let offsets: Vec<usize> = residue.taps.iter().map(offset).collect();
                convolve(plan, &offsets, &residue.packed, &strip, images, &mut gradient);
            }
            let [top, left] = [0, 1].map(|axis| residue.first[axis] * s + residue.part[axis] - g.p.padding);
            for (plane, gradient) in dx.chunks_exact_mut(g.h * g.w).zip(gradient.chunks_exact(area)) {
                for (i, row) in gradient.chunks_exact(across).enumerate() {
                    let to = plane[(top + i * s) * g.w..][..g.w][left..].iter_mut().step_by(s);
                    to.zip(row).for_each(|(to, &v)| *to = v);
                }
            }
        }
    });
}

pub(super) fn backward_weight(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(kernels) = micro::across()
        && g.cout >= across::LANES / 2
    {
        return across_outputs(g, kernels, x, dy, dw);
    }
    general::backward_weight(g, x, dy, dw);
}

/// The weight gradient with vectors across output channels.
#[cfg(target_arch = "x86_64")]
fn across_outputs(g: &Geometry, kernels: micro::Across, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let parted = Parted::of(g);
    let plan = parted.plan(g);
    let (in_area, out_area) = (g.h * g.w, g.oh * g.ow);
    let group = FILL
        .div_ceil(parted.parts.len() * plan.image() * g.cin)
        .min(g.batch)
        .max(1);
    let plane = parted.plane(group);
    let offsets = parted.offsets(group);
    // A row is three channels at one tap; the last may hold channels that do not exist.
    let per_tap = g.cin.div_ceil(3);
    let mut sums = across::Sums::new(kernels, g.cout, offsets.len() * per_tap);
    let rows = sums.offsets(|row| 3 * (row % per_tap) * plane + offsets[row / per_tap]);
    let mut strip = Buffer::<f32>::stale(3 * per_tap * plane);
    let mut turned = Buffer::<f32>::stale(sums.turned_len(group * out_area));
    for first in (0..g.batch).step_by(group) {
        let images = group.min(g.batch - first);
        parallel::chunks(&mut strip, plane, |c, strip| {
            let c = c.min(g.cin - 1);
            let source = &x[(first * g.cin + c) * in_area..];
            // The layout is that of a whole group, also where a last one has fewer images.
            for (part, strip) in strip
                .chunks_mut(group * plan.image())
                .enumerate()
                .take(parted.parts.len())
            {
                parted.fill_part(g, part, source, g.cin * in_area, &mut strip[..images * plan.image()]);
            }
        });
        let starts = across::starts(&plan, images, [g.oh, g.ow]);
        let dy = &dy[first * g.cout * out_area..];
        let turned = sums.turn(dy, g.cout * out_area, [images, out_area], &mut turned);
        sums.add(&strip, plane, &rows, &starts, turned);
    }
    let mut by_tap = Buffer::<f32>::stale(g.cout * 3 * per_tap * offsets.len());
    sums.write(3 * per_tap * offsets.len(), &mut by_tap);
    for (dw, by_tap) in dw
        .chunks_exact_mut(g.cin * offsets.len())
        .zip(by_tap.chunks_exact(3 * per_tap * offsets.len()))
    {
        for (c, window) in dw.chunks_exact_mut(offsets.len()).enumerate() {
            for (v, channels) in window.iter_mut().zip(by_tap.chunks_exact(3 * per_tap)) {
                *v = channels[c];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::Conv2dParams;
    use crate::conv::samples::{in_double, near, numbers};

    /// A stride that leaves as many remainders as there are pixels.
    #[test]
    fn enormous_strides_are_for_the_general_convolution() {
        let params = Conv2dParams {
            stride: 1 << 20,
            ..Conv2dParams::default()
        };
        let g = Geometry::new("test", [1, 1, 4, 4], [1, 1, 3, 3], params).unwrap();
        assert!(!applies(&g));
    }

    /// What the general convolution gives in `f64`: strides with and without remainders, dilations, windows that are not square, padding
    /// beyond the window, rows that fill vectors and others, groups of images with a shorter last one.
    #[test]
    fn listed_taps_are_the_convolution() {
        // Batch, channels in and out, height, width, window, stride, padding, dilation.
        for (batch, [cin, cout], [h, w], [kh, kw], [stride, padding, dilation]) in [
            (3, [5, 9], [16, 32], [3, 3], [2, 1, 1]),
            (2, [3, 16], [21, 19], [7, 7], [2, 3, 1]),
            (2, [8, 8], [10, 12], [1, 1], [2, 0, 1]),
            (4, [4, 8], [9, 7], [3, 3], [3, 2, 1]),
            (2, [6, 11], [14, 15], [3, 3], [1, 2, 2]),
            (2, [7, 17], [13, 12], [3, 3], [2, 4, 3]),
            (2, [2, 4], [8, 9], [2, 2], [1, 0, 1]),
            (2, [3, 8], [6, 20], [1, 5], [1, 2, 1]),
            (1, [2, 40], [5, 5], [3, 3], [4, 1, 1]),
            (2, [1, 1], [4, 4], [3, 3], [5, 3, 1]),
            (70, [4, 8], [8, 8], [3, 3], [2, 1, 1]),
            (3, [20, 8], [160, 150], [3, 3], [2, 1, 1]),
        ] {
            let params = Conv2dParams {
                stride,
                padding,
                dilation,
                groups: 1,
            };
            let g = Geometry::new("test", [batch, cin, h, w], [cout, cin, kh, kw], params).unwrap();
            assert!(applies(&g));
            let (x, weight, dy) = (numbers(g.x_len(), 1), numbers(g.w_len(), 2), numbers(g.y_len(), 3));
            let (mut y, mut expected) = (vec![f32::NAN; g.y_len()], vec![0.0; g.y_len()]);
            forward(&g, &x, &weight, &mut y);
            general::forward(&g, &in_double(&x), &in_double(&weight), &mut expected);
            near(&y, &expected, 1e-6, &format!("{g:?}"));
            let (mut dx, mut expected) = (vec![f32::NAN; g.x_len()], vec![0.0; g.x_len()]);
            backward_input(&g, &dy, &weight, &mut dx);
            general::backward_input(&g, &in_double(&dy), &in_double(&weight), &mut expected);
            near(&dx, &expected, 1e-6, &format!("gradient of the input, {g:?}"));
            let (mut dw, mut expected) = (vec![f32::NAN; g.w_len()], vec![0.0; g.w_len()]);
            backward_weight(&g, &x, &dy, &mut dw);
            general::backward_weight(&g, &in_double(&x), &in_double(&dy), &mut expected);
            near(&dw, &expected, 1e-6, &format!("gradient of the weight, {g:?}"));
        }
    }
}
