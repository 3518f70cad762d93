//! Where a direct convolution finds its input: *strips*, planes whose rows lie `w + padding` apart, the zeros behind one row being the
//! zeros before the next, and likewise between images. A tap is then a fixed offset from an output position.
//!
//! Where output rows hold whole vectors, a vector of positions lies in one row and nothing is wasted. Short rows become whole by images
//! that lie side by side, element by element. Else positions run on over the zeros between rows, and the results there are
//! dropped.

use std::borrow::Cow;

use crate::conv::Geometry;
use crate::conv::micro::Kernels;

/// What channels are. Phases are the four parts of a map of twice the size, pixels whose row and column leave the same remainders; as
/// channels all of the first phase come first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Plain,
    /// Output channels are phases, each seen through a window that begins where the phase lies.
    ToPhases,
    /// Input channels are phases.
    FromPhases,
}

/// A stride-1 convolution from `cin` planes of `h` x `w` to `cout` planes of `oh` x `ow`.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub cin: usize,
    pub cout: usize,
    pub h: usize,
    pub w: usize,
    pub oh: usize,
    pub ow: usize,
    pub window: usize,
    pub padding: usize,
    /// Images that lie side by side.
    pub beside: usize,
    pub role: Role,
    pub kernels: Kernels,
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
            beside: 1,
            role: Role::Plain,
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
    pub(super) fn backward(g: &Geometry) -> Self {
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
            beside: 1,
            role: Role::Plain,
            kernels,
        }
        .flat()
    }

    /// The same with images side by side, where that makes whole rows of short ones and spares more than it costs; of so many
    /// images at a time.
    pub(super) fn beside(self, images: usize) -> Self {
        // With few channels the arithmetic costs less than putting images in order.
        if self.whole_rows() || self.window == 1 || self.cin < 24 {
            return self;
        }
        let lanes = self.kernels.lanes;
        let run_on = (images - 1) * self.image() + (self.oh - 1) * self.pitch() + self.ow;
        let wasted = run_on.next_multiple_of(lanes) * 8 > images * self.oh * self.ow * 9;
        let whole = |n: &usize| (self.ow * n).is_multiple_of(lanes) && images.is_multiple_of(*n);
        match [2, 4, 8, 16].into_iter().find(whole) {
            Some(beside) if wasted => Self { beside, ..self },
            _ => self,
        }
    }

    /// Elements from row to row of a strip.
    pub(super) fn pitch(&self) -> usize {
        (self.w + self.padding) * self.beside
    }

    /// Elements from image to image of a strip, or from one set of images side by side to the next.
    pub(super) fn image(&self) -> usize {
        (self.h + self.padding) * self.pitch()
    }

    /// Elements from channel to channel of a strip of `images`, with room for vectors that run over the end.
    pub(super) fn plane(&self, images: usize) -> usize {
        let sets = images.div_ceil(self.beside);
        let reach = self.window - 1 + usize::from(self.role == Role::ToPhases);
        let used = sets * self.image() + reach * (self.pitch() + self.beside) + 4 * self.kernels.lanes;
        // Not a multiple of 4 KiB, so that the same position of different channels does not fall into one cache set.
        used.next_multiple_of(16) + if used.next_multiple_of(16) % 1024 < 64 { 80 } else { 16 }
    }

    /// Output rows hold whole vectors.
    pub(super) fn whole_rows(&self) -> bool {
        (self.ow * self.beside).is_multiple_of(self.kernels.lanes)
    }

    /// Where each vector of output positions of one strip starts.
    pub(super) fn starts(&self, images: usize) -> Vec<u32> {
        let lanes = self.kernels.lanes;
        let mut starts = Vec::new();
        if self.whole_rows() {
            for set in 0..images.div_ceil(self.beside) {
                for y in 0..self.oh {
                    let row = set * self.image() + y * self.pitch();
                    starts.extend((0..self.ow * self.beside).step_by(lanes).map(|x| (row + x) as u32));
                }
            }
        } else {
            let used = (images - 1) * self.image() + (self.oh - 1) * self.pitch() + self.ow;
            starts.extend((0..used).step_by(lanes).map(|at| at as u32));
        }
        starts
    }

    /// Where the window of a block of output channels begins, `blocks` being all.
    pub(super) fn window_start(&self, block: usize, blocks: usize) -> usize {
        match self.role {
            Role::ToPhases => {
                let phase = block / (blocks / 4);
                phase / 2 * self.pitch() + phase % 2 * self.beside
            }
            _ => 0,
        }
    }

    /// The same of a last group of fewer images, else `all`, those of a whole `group`.
    pub(super) fn starts_of<'a>(&self, images: usize, group: usize, all: &'a [u32]) -> Cow<'a, [u32]> {
        match images == group {
            true => Cow::Borrowed(all),
            false => Cow::Owned(self.starts(images)),
        }
    }

    /// Copies channel `c` of consecutive images (`step` elements apart) into its plane of a strip.
    pub(super) fn fill(&self, c: usize, source: &[f32], step: usize, images: usize, plane: &mut [f32]) {
        // Rows and columns of zeros before the first of an image.
        let before = match self.role {
            Role::FromPhases => {
                let phase = c / (self.cin / 4);
                [phase / 2, phase % 2]
            }
            _ => [self.padding; 2],
        };
        match self.beside {
            2 => self.fill_sets::<2>(before, source, step, images, plane),
            4 => self.fill_sets::<4>(before, source, step, images, plane),
            8 => self.fill_sets::<8>(before, source, step, images, plane),
            16 => self.fill_sets::<16>(before, source, step, images, plane),
            _ => self.fill_images(before, source, step, images, plane),
        }
    }

    fn fill_images(&self, [top, left]: [usize; 2], source: &[f32], step: usize, images: usize, plane: &mut [f32]) {
        let pitch = self.pitch();
        for image in 0..images {
            let out = &mut plane[image * self.image()..][..self.image()];
            let rows = source[image * step..][..self.h * self.w].chunks_exact(self.w);
            let (zeros, out) = out.split_at_mut(top * pitch);
            let (out, below) = out.split_at_mut(self.h * pitch);
            zeros.fill(0.0);
            below.fill(0.0);
            for (out, row) in out.chunks_exact_mut(pitch).zip(rows) {
                out[..left].fill(0.0);
                out[left..][..self.w].copy_from_slice(row);
                out[left + self.w..].fill(0.0);
            }
        }
        plane[images * self.image()..].fill(0.0);
    }

    /// `N` images side by side. Where the last set lacks some, the last image stands for them, and nobody asks for the results.
    fn fill_sets<const N: usize>(
        &self,
        [top, left]: [usize; 2],
        source: &[f32],
        step: usize,
        images: usize,
        plane: &mut [f32],
    ) {
        let pitch = self.pitch();
        let sets = images.div_ceil(N);
        for (set, out) in plane.chunks_exact_mut(self.image()).enumerate().take(sets) {
            let (zeros, out) = out.split_at_mut(top * pitch);
            let (out, below) = out.split_at_mut(self.h * pitch);
            zeros.fill(0.0);
            below.fill(0.0);
            for (y, out) in out.chunks_exact_mut(pitch).enumerate() {
                let rows: [&[f32]; N] = std::array::from_fn(|i| {
                    let image = (set * N + i).min(images - 1);
                    &source[image * step + y * self.w..][..self.w]
                });
                let (zeros, out) = out.split_at_mut(left * N);
                let (out, behind) = out.split_at_mut(self.w * N);
                zeros.fill(0.0);
                behind.fill(0.0);
                for (x, cell) in out.as_chunks_mut::<N>().0.iter_mut().enumerate() {
                    for (v, row) in cell.iter_mut().zip(rows) {
                        *v = row[x];
                    }
                }
            }
        }
        plane[sets * self.image()..].fill(0.0);
    }

    /// Results `[channel][set][position][image]`, channels `step` apart, as planes of images, those `apart`.
    pub(super) fn part(&self, together: &[f32], step: usize, y: &mut [f32]) {
        match self.beside {
            2 => self.part_sets::<2>(together, step, y),
            4 => self.part_sets::<4>(together, step, y),
            8 => self.part_sets::<8>(together, step, y),
            _ => self.part_sets::<16>(together, step, y),
        }
    }

    fn part_sets<const N: usize>(&self, together: &[f32], step: usize, y: &mut [f32]) {
        let area = self.oh * self.ow;
        for (i, plane) in y.chunks_exact_mut(area).enumerate() {
            let (image, channel) = (i / self.cout, i % self.cout);
            let from = &together[channel * step + image / N * area * N..][..area * N];
            for (v, cell) in plane.iter_mut().zip(from.as_chunks::<N>().0) {
                *v = cell[image % N];
            }
        }
    }

    /// Runs of valid outputs within `count` flat positions from `from`: calls `visit(image, output index, position, length)`.
    pub(super) fn runs(
        &self,
        images: usize,
        from: usize,
        count: usize,
        mut visit: impl FnMut(usize, usize, usize, usize),
    ) {
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
}
