//! Convolution of a map of twice the size, and of a skip connection's map behind it, without making the doubled map.
//!
//! Every pixel of the doubled map stands there four times. A 3x3 window over it therefore meets only 2x2 different pixels, which ones
//! depends on whether its row and column are even: the output falls into four *phases*, each a 2x2 convolution of the small map
//! with sums of the weights. That is 4/9 of the multiplications, and no copy of the map. (The phases are those of "sub-pixel" or
//! transposed convolutions, Shi et al., CVPR 2016.)

use crate::buffer::Buffer;
use crate::conv::direct;
#[cfg(target_arch = "x86_64")]
use crate::conv::direct::FILL;
use crate::conv::micro::Kernels;
use crate::conv::strip::{Plan, Role};
use crate::conv::{Geometry, backward_input, backward_weight, forward, pack};
#[cfg(target_arch = "x86_64")]
use crate::conv::{across, micro};
use crate::parallel;
use crate::real::Real;
use crate::upsample::Join;

/// The convolution of a doubled map and a skip connection's.
#[derive(Clone, Copy)]
pub(crate) struct Doubled {
    join: Join,
    /// Of the convolution of both.
    geometry: Geometry,
}

/// The output's gradient, as it is and, where there are phases, as those.
pub(crate) struct Gradient<'a, T> {
    dy: &'a [T],
    phases: Option<Buffer<f32>>,
}

impl Doubled {
    pub(crate) fn new(join: Join, geometry: Geometry) -> Self {
        Self { join, geometry }
    }

    /// Whether this is of the kind that needs no doubled map.
    fn has_phases(&self) -> bool {
        direct::applies(&self.geometry) && self.geometry.kh == 3 && self.geometry.p.padding == 1
    }

    /// The convolution of the skip connection's map alone.
    fn of_skip(&self) -> Geometry {
        Geometry {
            cin: self.join.skip,
            ..self.geometry
        }
    }

    /// `y = conv(both maps, weight)`, every element of `y` written.
    pub(crate) fn forward<T: Real>(&self, low: &[T], skip: &[T], weight: &[T], y: &mut [T]) {
        let g = &self.geometry;
        if self.has_phases()
            && let (Some(low), Some(skip), Some(weight)) = (T::as_f32(low), T::as_f32(skip), T::as_f32(weight))
            && let Some(y) = T::as_f32_mut(y)
        {
            let [of_low, of_skip] = self.part_weight(weight);
            if self.join.skip > 0 {
                forward::<f32>(&self.of_skip(), skip, &of_skip, y);
            }
            return self.add_phases(low, &of_low, y);
        }
        forward(g, &self.joined(low, skip), weight, y);
    }

    /// The output's gradient, for the two passes that need it.
    pub(crate) fn gradient<'a, T: Real>(&self, dy: &'a [T]) -> Gradient<'a, T> {
        let phases = T::as_f32(dy).filter(|_| self.has_phases()).map(|dy| self.phases(dy));
        Gradient { dy, phases }
    }

    /// Gradients of both maps, those that are wanted.
    pub(crate) fn backward_input<T: Real>(
        &self,
        gradient: &Gradient<'_, T>,
        weight: &[T],
        wanted: [bool; 2],
    ) -> [Option<Buffer<T>>; 2] {
        let j = &self.join;
        let dy = gradient.dy;
        let [mut low, mut skip] = [None, None];
        if let Some(phases) = &gradient.phases
            && let (Some(dy32), Some(weight)) = (T::as_f32(dy), T::as_f32(weight))
        {
            let [of_low, of_skip] = self.part_weight(weight);
            if wanted[0] {
                let mut gradient = Buffer::stale(j.low_len());
                if let Some(gradient) = T::as_f32_mut(&mut gradient) {
                    self.low_gradient(phases, &of_low, gradient);
                }
                low = Some(gradient);
            }
            if wanted[1] {
                let mut gradient = Buffer::stale(j.skip_len());
                if let Some(gradient) = T::as_f32_mut(&mut gradient) {
                    backward_input::<f32>(&self.of_skip(), dy32, &of_skip, gradient);
                }
                skip = Some(gradient);
            }
        } else if wanted.contains(&true) {
            let mut both = Buffer::stale(j.out_len());
            backward_input(&self.geometry, dy, weight, &mut both);
            if wanted[0] {
                let gradient = low.insert(Buffer::stale(j.low_len()));
                j.backward_low::<T>(&both, gradient);
            }
            if wanted[1] {
                let gradient = skip.insert(Buffer::stale(j.skip_len()));
                j.backward_skip::<T>(&both, gradient);
            }
        }
        [low, skip]
    }

    /// Gradient of the weight, every element of `dw` written.
    pub(crate) fn backward_weight<T: Real>(&self, low: &[T], skip: &[T], gradient: &Gradient<'_, T>, dw: &mut [T]) {
        let dy = gradient.dy;
        #[cfg(target_arch = "x86_64")]
        if let Some(phases) = &gradient.phases
            && self.join.low >= 8
            && across::applies(&self.geometry)
            && let Some(kernels) = micro::across()
            && let (Some(low), Some(skip), Some(dy)) = (T::as_f32(low), T::as_f32(skip), T::as_f32(dy))
            && let Some(dw) = T::as_f32_mut(dw)
        {
            let g = &self.geometry;
            let of_low = self.low_weight_gradient(kernels, low, phases);
            let mut of_skip = Buffer::<f32>::stale(g.cout * self.join.skip * 9);
            if self.join.skip > 0 {
                backward_weight::<f32>(&self.of_skip(), skip, dy, &mut of_skip);
            }
            let lengths = [self.join.low * 9, self.join.skip * 9];
            for (oc, dw) in dw.chunks_exact_mut(g.cin * 9).enumerate() {
                let (low, skip) = dw.split_at_mut(lengths[0]);
                low.copy_from_slice(&of_low[oc * lengths[0]..][..lengths[0]]);
                skip.copy_from_slice(&of_skip[oc * lengths[1]..][..lengths[1]]);
            }
            return;
        }
        backward_weight(&self.geometry, &self.joined(low, skip), dy, dw);
    }

    /// Both maps as one of full size.
    fn joined<T: Real>(&self, low: &[T], skip: &[T]) -> Buffer<T> {
        let mut joined = Buffer::stale(self.join.out_len());
        self.join.forward(low, skip, &mut joined);
        joined
    }

    /// The weights of either map, `[out][in][9]`.
    fn part_weight(&self, weight: &[f32]) -> [Buffer<f32>; 2] {
        let lengths = [self.join.low * 9, self.join.skip * 9];
        let mut parts = lengths.map(|length| Buffer::stale(self.geometry.cout * length));
        for (oc, weight) in weight.chunks_exact(lengths[0] + lengths[1]).enumerate() {
            let (low, skip) = weight.split_at(lengths[0]);
            parts[0][oc * lengths[0]..][..lengths[0]].copy_from_slice(low);
            parts[1][oc * lengths[1]..][..lengths[1]].copy_from_slice(skip);
        }
        parts
    }

    /// A convolution of small maps: from so many channels to so many.
    fn plan(&self, role: Role, cin: usize, cout: usize) -> Plan {
        let Join { h, w, .. } = self.join;
        Plan {
            cin,
            cout,
            h,
            w,
            oh: h,
            ow: w,
            window: 2,
            padding: 1,
            beside: 1,
            role,
            kernels: Kernels::active(),
        }
    }

    /// Adds the convolution of the doubled map to `y`, or writes it where there is no skip connection.
    fn add_phases(&self, low: &[f32], weight: &[f32], y: &mut [f32]) {
        let (j, cout) = (&self.join, self.geometry.cout);
        // A block of output channels belongs to one phase.
        let plan = self.plan(Role::ToPhases, j.low, 4 * cout);
        let room = cout.next_multiple_of(plan.kernels.channels);
        let plan = Plan { cout: 4 * room, ..plan };
        let phased = phase_weights(weight, [cout, j.low], room);
        let packed = pack::forward(&phased, [4 * room, j.low, 4], plan.kernels.channels);
        let area = j.h * j.w;
        let mut phases = Buffer::<f32>::stale(j.batch * 4 * room * area);
        direct::run(plan, low, &packed, j.batch, &mut phases);
        parallel::chunks(y, 4 * area, |i, y| {
            let (image, channel) = (i / cout, i % cout);
            let phase = |phase: usize| &phases[((image * 4 + phase) * room + channel) * area..][..area];
            for (r, rows) in y.chunks_exact_mut(4 * j.w).enumerate() {
                let (even, odd) = rows.split_at_mut(2 * j.w);
                for (first, row) in [(0, even), (2, odd)] {
                    let (a, b) = (&phase(first)[r * j.w..][..j.w], &phase(first + 1)[r * j.w..][..j.w]);
                    let pairs = row.as_chunks_mut::<2>().0.iter_mut().zip(a.iter().zip(b));
                    if j.skip == 0 {
                        pairs.for_each(|(pair, (&a, &b))| *pair = [a, b]);
                    } else {
                        pairs.for_each(|(pair, (&a, &b))| *pair = [pair[0] + a, pair[1] + b]);
                    }
                }
            }
        });
    }

    /// The output's gradient as phases, `[image][phase][channel][position]`.
    fn phases(&self, dy: &[f32]) -> Buffer<f32> {
        let (j, cout) = (&self.join, self.geometry.cout);
        let area = j.h * j.w;
        let mut phases = Buffer::<f32>::stale(dy.len());
        parallel::chunks(&mut phases, area, |i, out| {
            let (image, phase, channel) = (i / (4 * cout), i / cout % 4, i % cout);
            let plane = &dy[(image * cout + channel) * 4 * area..][..4 * area];
            for (out, rows) in out.chunks_exact_mut(j.w).zip(plane.chunks_exact(4 * j.w)) {
                let pairs = rows[phase / 2 * 2 * j.w..][..2 * j.w].as_chunks::<2>().0;
                if phase % 2 == 0 {
                    out.iter_mut().zip(pairs).for_each(|(v, pair)| *v = pair[0]);
                } else {
                    out.iter_mut().zip(pairs).for_each(|(v, pair)| *v = pair[1]);
                }
            }
        });
        phases
    }

    /// The gradient of the small map.
    fn low_gradient(&self, phases: &[f32], weight: &[f32], gradient: &mut [f32]) {
        let (j, cout) = (&self.join, self.geometry.cout);
        let phased = phase_weights(weight, [cout, j.low], cout);
        let plan = self.plan(Role::FromPhases, 4 * cout, j.low);
        let packed = pack::backward(&phased, [4 * cout, j.low, 4], plan.kernels.channels);
        direct::run(plan, phases, &packed, j.batch, gradient);
    }

    /// The gradient of the small map's weights, `[out][in][9]`.
    #[cfg(target_arch = "x86_64")]
    fn low_weight_gradient(&self, kernels: micro::Across, low: &[f32], phases: &[f32]) -> Buffer<f32> {
        let (j, cout) = (&self.join, self.geometry.cout);
        let area = j.h * j.w;
        let plan = self.plan(Role::ToPhases, j.low, 4 * cout);
        let group = FILL.div_ceil(plan.image() * j.low).min(j.batch).max(1);
        let plane = plan.plane(group);
        // A row is three channels at one tap.
        let per_tap = j.low.div_ceil(3);
        let mut sums = [0; 4].map(|_| across::Sums::new(kernels, cout, 4 * per_tap));
        let offsets: [Vec<u32>; 4] = std::array::from_fn(|phase| {
            sums[phase].offsets(|row| {
                let (tap, three) = (row / per_tap, row % per_tap);
                let (y, x) = (tap / 2 + phase / 2, tap % 2 + phase % 2);
                3 * three * plane + y * plan.pitch() + x
            })
        });
        let mut strip = Buffer::<f32>::stale(3 * per_tap * plane);
        let mut turned = Buffer::<f32>::stale(sums[0].turned_len(group * area));
        for first in (0..j.batch).step_by(group) {
            let images = group.min(j.batch - first);
            parallel::chunks(&mut strip, plane, |c, strip| {
                let c = c.min(j.low - 1);
                plan.fill(c, &low[(first * j.low + c) * area..], j.low * area, images, strip);
            });
            let starts = across::starts(&plan, images, [j.h, j.w]);
            for (phase, (sums, offsets)) in sums.iter_mut().zip(&offsets).enumerate() {
                let dy = &phases[(first * 4 + phase) * cout * area..];
                let turned = sums.turn(dy, 4 * cout * area, [images, area], &mut turned);
                sums.add(&strip, plane, offsets, &starts, turned);
            }
        }
        let taps = 4 * 3 * per_tap;
        let mut of_phase = Buffer::<f32>::stale(cout * taps);
        let mut gradient = Buffer::<f32>::zeros(cout * j.low * 9);
        for (phase, sums) in sums.iter_mut().enumerate() {
            sums.write(taps, &mut of_phase);
            parallel::chunks(&mut gradient, j.low * 9, |oc, gradient| {
                let of_phase = &of_phase[oc * taps..][..taps];
                for (c, window) in gradient.as_chunks_mut::<9>().0.iter_mut().enumerate() {
                    for (tap, v) in window.iter_mut().enumerate() {
                        let (y, x) = (pixel(phase / 2, tap / 3), pixel(phase % 2, tap % 3));
                        *v += of_phase[(2 * y + x) * 3 * per_tap + c];
                    }
                }
            });
        }
        gradient
    }
}

/// Which of two pixels the tap of a window of three meets, along an axis, in the even (0) or odd (1) phase.
fn pixel(phase: usize, tap: usize) -> usize {
    (tap + 1 - phase) / 2
}

/// Weights `[out][in][9]` as those of the phases, `[phase][room for out][in][4]`, zeros in the room left.
fn phase_weights(weight: &[f32], [cout, cin]: [usize; 2], room: usize) -> Buffer<f32> {
    let mut phased = Buffer::<f32>::stale(4 * room * cin * 4);
    parallel::chunks(&mut phased, cin * 4, |i, out| {
        let (phase, oc) = (i / room, i % room);
        out.fill(0.0);
        if oc >= cout {
            return;
        }
        let windows = weight[oc * cin * 9..][..cin * 9].as_chunks::<9>().0;
        for (out, window) in out.as_chunks_mut::<4>().0.iter_mut().zip(windows) {
            for (tap, &w) in window.iter().enumerate() {
                out[2 * pixel(phase / 2, tap / 3) + pixel(phase % 2, tap % 3)] += w;
            }
        }
    });
    phased
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::Conv2dParams;
    use crate::conv::samples::{in_double, near, numbers};

    /// The phases give what the doubled map gives, at sizes that fill vectors and at sizes that do not, with and without a skip
    /// connection, for channels that fill tiles and for others.
    #[test]
    fn phases_are_the_doubled_map() {
        let sizes = [
            (1, 1, 0, 1, 1, 1),
            (2, 5, 3, 4, 3, 2),
            (3, 8, 0, 8, 5, 7),
            (8, 32, 16, 24, 4, 4),
            (5, 24, 9, 11, 6, 6),
            (4, 48, 20, 32, 8, 8),
            (2, 16, 8, 16, 16, 16),
            (1, 9, 8, 33, 2, 48),
        ];
        for (batch, low, skip, cout, h, w) in sizes {
            let join = Join::new([batch, low, h, w], Some([batch, skip, 2 * h, 2 * w])).unwrap();
            let both = [batch, low + skip, 2 * h, 2 * w];
            let g = Geometry::new("test", both, [cout, low + skip, 3, 3], Conv2dParams::same(3)).unwrap();
            let doubled = Doubled::new(join, g);
            assert!(doubled.has_phases());
            let [x, s] = [numbers(join.low_len(), 1), numbers(join.skip_len(), 2)];
            let [weight, dy] = [numbers(g.w_len(), 3), numbers(g.y_len(), 4)];
            let [x64, s64, weight64, dy64] = [&x, &s, &weight, &dy].map(|v| in_double(v));
            let joined = doubled.joined(&x64, &s64);

            let (mut y, mut y64) = (vec![0.0; g.y_len()], vec![0.0; g.y_len()]);
            doubled.forward(&x, &s, &weight, &mut y);
            forward(&g, &joined, &weight64, &mut y64);
            near(&y, &y64, 1e-5, "against the doubled map");

            let (gradient, gradient64) = (doubled.gradient(&dy), doubled.gradient(&dy64));
            let found = doubled.backward_input(&gradient, &weight, [true, skip > 0]);
            let expected = doubled.backward_input(&gradient64, &weight64, [true, skip > 0]);
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert_eq!(found.len(), expected.len());
                near(found, expected, 1e-5, "against the doubled map");
            }

            let (mut dw, mut dw64) = (vec![0.0; g.w_len()], vec![0.0; g.w_len()]);
            doubled.backward_weight(&x, &s, &gradient, &mut dw);
            backward_weight(&g, &joined, &dy64, &mut dw64);
            near(&dw, &dw64, 1e-5, "against the doubled map");
        }
    }
}
