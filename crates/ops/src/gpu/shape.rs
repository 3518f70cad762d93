//! Sizes as the kernels take them, and how many threads a kernel gets.

use candle_core::{DType, Result, Tensor};

use crate::conv::Geometry;
use crate::pool::Window;

/// Threads of a block.
pub(super) const THREADS: u32 = 256;

/// Blocks that go over elements: more would only wait.
const MOST_BLOCKS: u32 = 4096;

/// Blocks that stay with their channels, whose constants each thread reads: as many as a large device holds at a time.
const RESIDENT_BLOCKS: u32 = 1056;

/// Blocks that share a sum over rows.
const MOST_SPLITS: u32 = 1056;

/// A number as the kernels take it. Extents are checked by [`check_count`] first.
pub(super) fn small(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Refuses more elements than the kernels' 32-bit indices reach.
pub(super) fn check_count(count: usize) -> Result<u32> {
    match u32::try_from(count) {
        Ok(count) if count < 1 << 31 => Ok(count),
        _ => Err(candle_core::Error::Msg(format!(
            "htl-ops: {count} elements are more than the 2^31 of a kernel on the device; use smaller batches"
        ))
        .bt()),
    }
}

/// A convolution's or window's sizes: `ConvShape` of the kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub(crate) struct Shape {
    pub batch: u32,
    pub cin: u32,
    pub h: u32,
    pub w: u32,
    pub cout: u32,
    pub kh: u32,
    pub kw: u32,
    pub oh: u32,
    pub ow: u32,
    pub stride: u32,
    pub padding: u32,
    pub dilation: u32,
    pub groups: u32,
}

impl Shape {
    pub(crate) fn of(g: &Geometry) -> Result<Self> {
        for count in [g.x_len(), g.y_len(), g.w_len()] {
            check_count(count)?;
        }
        Ok(Self {
            batch: small(g.batch),
            cin: small(g.cin),
            h: small(g.h),
            w: small(g.w),
            cout: small(g.cout),
            kh: small(g.kh),
            kw: small(g.kw),
            oh: small(g.oh),
            ow: small(g.ow),
            stride: small(g.p.stride),
            padding: small(g.p.padding),
            dilation: small(g.p.dilation),
            groups: small(g.p.groups),
        })
    }

    /// A window that goes over every channel by itself.
    pub(super) fn window([batch, channels, h, w]: [usize; 4], window: &Window) -> Result<Self> {
        check_count(batch * channels * (h * w).max(window.oh * window.ow))?;
        let channels = small(channels);
        Ok(Self {
            batch: small(batch),
            cin: channels,
            h: small(h),
            w: small(w),
            cout: channels,
            kh: small(window.kernel),
            kw: small(window.kernel),
            oh: small(window.oh),
            ow: small(window.ow),
            stride: small(window.stride),
            padding: small(window.padding),
            dilation: 1,
            groups: channels,
        })
    }

    pub(super) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.cin && self.cin == self.cout
    }

    pub(super) fn taps(&self) -> u32 {
        self.kh * self.kw
    }

    pub(super) fn x_pixels(&self) -> u32 {
        self.batch * self.h * self.w
    }

    pub(super) fn y_pixels(&self) -> u32 {
        self.batch * self.oh * self.ow
    }

    pub(super) fn weights(&self) -> u32 {
        self.cout * self.taps() * (self.cin / self.groups)
    }

    /// All sizes, in the order of `ConvShape`.
    pub(super) fn fields(&self) -> [u32; 13] {
        [
            self.batch,
            self.cin,
            self.h,
            self.w,
            self.cout,
            self.kh,
            self.kw,
            self.oh,
            self.ow,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        ]
    }

    /// The bytes that a kernel takes by value.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.fields().iter().flat_map(|field| field.to_ne_bytes()).collect()
    }
}

/// How a kernel goes over maps: number type, and channels moved at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    dtype: DType,
    pub channels: u32,
    pack: u32,
}

impl Walk {
    /// Packs of 16 bytes if all these numbers of channels are made of whole ones.
    pub(super) fn new(dtype: DType, channels: u32, all: &[u32]) -> Self {
        let pack = if dtype == DType::BF16 { 8 } else { 4 };
        let whole = all.iter().chain([&channels]).all(|c| c % pack == 0);
        Self {
            dtype,
            channels,
            pack: if whole { pack } else { 1 },
        }
    }

    /// The variant of a kernel.
    pub(super) fn kernel(&self, name: &str) -> String {
        let pack = if self.pack > 1 { "_pack" } else { "" };
        format!("{}{pack}", typed(name, self.dtype))
    }

    /// Packs of a pixel.
    pub(super) fn row(&self) -> u32 {
        self.channels / self.pack
    }

    /// Packs of some channels.
    pub(super) fn packs_of(&self, channels: u32) -> u32 {
        channels / self.pack
    }

    /// A grid over packs in which the step of a thread is a whole number of pixels: it stays with its channels.
    pub(super) fn grid(&self, packs: u32) -> [u32; 3] {
        let row = self.row();
        let unit = row / gcd(row, THREADS);
        let blocks = packs.div_ceil(THREADS).clamp(1, RESIDENT_BLOCKS);
        [blocks.div_ceil(unit) * unit, 1, 1]
    }

    /// Grid and block of `column_sums` over so many rows.
    pub(super) fn columns(&self, rows: u32) -> Columns {
        let x = self.row().next_power_of_two().min(32);
        let y = THREADS / x;
        let across = self.row().div_ceil(x);
        let splits = rows.div_ceil(4 * y).clamp(1, (MOST_SPLITS / across).max(1));
        Columns {
            grid: [across, splits, 1],
            block: [x, y, 1],
            splits,
        }
    }
}

/// The launch of a sum over rows.
pub(super) struct Columns {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub splits: u32,
}

/// The variant of a kernel for a number type.
pub(super) fn typed(name: &str, dtype: DType) -> String {
    format!("{name}_{}", if dtype == DType::BF16 { "bf16" } else { "f32" })
}

/// A grid over elements.
pub(super) fn grid(count: u32) -> [u32; 3] {
    [count.div_ceil(THREADS).clamp(1, MOST_BLOCKS), 1, 1]
}

pub(super) const BLOCK: [u32; 3] = [THREADS, 1, 1];

/// The block of kernels that finish a sum.
pub(super) const WARP: [u32; 3] = [32, 1, 1];

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Room for what a kernel writes.
pub(super) fn room(count: u32, dtype: DType, like: &Tensor) -> Result<Tensor> {
    // SAFETY: kernels write every element before anything reads one.
    unsafe { Tensor::empty(count as usize, dtype, like.device()) }
}
