//! Augmented batches of images that stay on the device: one table of parameters, then a few launches.

use candle_core::{DType, Result, Tensor};

use super::engine::{Arg, Engine};
use super::shape::{BLOCK, THREADS, check_count, room, small, typed};
use crate::augment::{Colours, Place};

/// Blocks that share an image.
const MOST_BLOCKS: u32 = 64;

/// Words of a row: `AugmentPlace` and `AugmentColours` of the kernels.
const PLACE: usize = 7;
const COLOURS: usize = 20;

/// Normalisation of each channel: `(value - mean) * scale`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub mean: [f32; 3],
    pub scale: [f32; 3],
}

impl Scale {
    /// Leaves every value as it is, for kernels that others follow.
    const NONE: Self = Self {
        mean: [0.0; 3],
        scale: [1.0; 3],
    };

    fn bytes(&self) -> Vec<u8> {
        let numbers = self.mean.iter().chain(&self.scale);
        numbers.flat_map(|number| number.to_ne_bytes()).collect()
    }
}

/// What batches are made of.
pub(crate) struct Set<'a> {
    /// `[count, 3, side, side]`, u8.
    pub images: &'a Tensor,
    /// `[count, side, side]`, u8 or f32.
    pub maps: Option<&'a Tensor>,
    pub scale: &'a Scale,
}

fn place_row(place: &Place, side: usize) -> [u32; PLACE] {
    let [[a, b], [c, d]] = place.matrix.map(|row| row.map(f32::to_bits));
    let [x, y] = place.shift.map(|part| (part * side as f32).to_bits());
    [small(place.image), a, b, c, d, x, y]
}

fn colours_row(colours: &Colours, side: usize) -> [u32; COLOURS] {
    let [left, top, width, height] = colours.cutout.unwrap_or_default();
    let edges = [left, top, left.saturating_add(width), top.saturating_add(height)];
    let (words, _) = colours.noise_key.as_chunks::<4>();
    let numbers = [colours.saturation, colours.contrast, colours.brightness];
    let mut row = colours
        .gains
        .into_iter()
        .chain(numbers)
        .map(f32::to_bits)
        .chain([colours.blur_passes])
        .chain(edges.map(|edge| small(edge.min(side))))
        .chain([colours.noise.to_bits()])
        .chain(words.iter().map(|word| u32::from_le_bytes(*word)));
    std::array::from_fn(|_| row.next().unwrap_or_default())
}

/// A batch's parameters on the device.
struct Table {
    /// Rows of the places, then rows of every view's colours.
    words: Tensor,
    batch: usize,
}

impl Table {
    fn new(places: &[Place], views: &[&[Colours]], images: &Tensor) -> Result<Self> {
        let side = images.dims()[3];
        let rows = places.iter().flat_map(|place| place_row(place, side));
        let colours = views.iter().copied().flatten();
        let words: Vec<u32> = rows
            .chain(colours.flat_map(|colours| colours_row(colours, side)))
            .collect();
        let count = words.len();
        Ok(Self {
            words: Tensor::from_vec(words, count, images.device())?,
            batch: places.len(),
        })
    }

    fn places(&self) -> Result<Tensor> {
        self.words.narrow(0, 0, self.batch * PLACE)
    }

    fn colours(&self, view: usize) -> Result<Tensor> {
        let from = self.batch * (PLACE + view * COLOURS);
        self.words.narrow(0, from, self.batch * COLOURS)
    }
}

/// One batch on its way.
struct Batch<'a> {
    engine: &'a dyn Engine,
    set: &'a Set<'a>,
    batch: u32,
    side: u32,
}

/// The images of `places` in the colours of each view, `[batch, 3, side, side]`, and their maps, `[batch, 1, side, side]`.
pub(crate) fn augment(
    engine: &dyn Engine,
    set: &Set<'_>,
    places: &[Place],
    views: &[&[Colours]],
) -> Result<(Vec<Tensor>, Option<Tensor>)> {
    let side = set.images.dims()[3];
    check_count(places.len() * 3 * side * side)?;
    let batch = Batch {
        engine,
        set,
        batch: small(places.len()),
        side: small(side),
    };
    let table = Table::new(places, views, set.images)?;
    let rows = table.places()?;
    let targets = set.maps.map(|maps| batch.targets(maps, &rows)).transpose()?;
    let (moved, partial) = batch.gather(&rows)?;
    let last = views.len().saturating_sub(1);
    let views = views.iter().enumerate().map(|(at, colours)| {
        // The last view may take the place of what it is made from.
        let out = if at == last { moved.clone() } else { batch.images()? };
        batch.view(&moved, &partial, &table.colours(at)?, colours, out)
    });
    Ok((views.collect::<Result<_>>()?, targets))
}

impl Batch<'_> {
    fn plane(&self) -> u32 {
        self.side * self.side
    }

    /// A grid over so many elements of each image.
    fn grid(&self, elements: u32) -> [u32; 3] {
        [elements.div_ceil(THREADS).clamp(1, MOST_BLOCKS), self.batch, 1]
    }

    fn room(&self, channels: u32) -> Result<Tensor> {
        let dims = [self.batch, channels, self.side, self.side].map(|d| d as usize);
        room(self.batch * channels * self.plane(), DType::F32, self.set.images)?.reshape(&dims)
    }

    fn images(&self) -> Result<Tensor> {
        self.room(3)
    }

    /// Room for the sums of each block.
    fn partial(&self, grid: [u32; 3]) -> Result<Tensor> {
        room(grid[0] * self.batch * 3, DType::F32, self.set.images)
    }

    fn targets(&self, maps: &Tensor, places: &Tensor) -> Result<Tensor> {
        let kernel = match maps.dtype() {
            DType::U8 => "augment_targets_u8".to_owned(),
            dtype => typed("augment_targets", dtype),
        };
        let out = self.room(1)?;
        let args = [
            Arg::Tensor(maps),
            Arg::Tensor(places),
            Arg::U32(self.side),
            Arg::Tensor(&out),
        ];
        self.engine.launch(&kernel, self.grid(self.plane()), BLOCK, &args)?;
        Ok(out)
    }

    /// The images in place, and their sums.
    fn gather(&self, places: &Tensor) -> Result<(Tensor, Tensor)> {
        let grid = self.grid(self.plane());
        let (out, partial) = (self.images()?, self.partial(grid)?);
        let args = [
            Arg::Tensor(self.set.images),
            Arg::Tensor(places),
            Arg::U32(self.side),
            Arg::Tensor(&out),
            Arg::Tensor(&partial),
        ];
        self.engine.launch("augment_gather", grid, BLOCK, &args)?;
        Ok((out, partial))
    }

    /// One view of the moved images. `colours` are the rows of `table`: what no image needs is not launched.
    fn view(
        &self,
        moved: &Tensor,
        partial: &Tensor,
        table: &Tensor,
        colours: &[Colours],
        out: Tensor,
    ) -> Result<Tensor> {
        let passes = colours.iter().map(|colours| colours.blur_passes).max().unwrap_or(0);
        let cut = colours.iter().any(|colours| colours.cutout.is_some());
        let noise = colours.iter().any(|colours| colours.noise > 0.0);
        if passes == 0 && !cut && !noise {
            self.colour(moved, partial, table, self.set.scale, &out)?;
            return Ok(out);
        }
        self.colour(moved, partial, table, &Scale::NONE, &out)?;
        let image = self.blur(out, table, passes)?;
        let sums = if cut {
            self.sums(&image, table)?
        } else {
            partial.clone()
        };
        self.finish(&image, &sums, table)?;
        Ok(image)
    }

    fn colour(&self, moved: &Tensor, partial: &Tensor, table: &Tensor, scale: &Scale, out: &Tensor) -> Result<()> {
        let grid = self.grid(self.plane());
        let args = [
            Arg::Tensor(moved),
            Arg::Tensor(partial),
            Arg::U32(grid[0]),
            Arg::Tensor(table),
            Arg::U32(self.plane()),
            Arg::Bytes(&scale.bytes()),
            Arg::Tensor(out),
        ];
        self.engine.launch("augment_colour", grid, BLOCK, &args)
    }

    fn blur(&self, image: Tensor, table: &Tensor, passes: u32) -> Result<Tensor> {
        if passes == 0 {
            return Ok(image);
        }
        let (mut from, mut to) = (image, self.images()?);
        for pass in 0..passes {
            let args = [
                Arg::Tensor(&from),
                Arg::Tensor(table),
                Arg::U32(self.side),
                Arg::U32(pass),
                Arg::Tensor(&to),
            ];
            self.engine
                .launch("augment_blur", self.grid(3 * self.plane()), BLOCK, &args)?;
            std::mem::swap(&mut from, &mut to);
        }
        Ok(from)
    }

    fn sums(&self, image: &Tensor, table: &Tensor) -> Result<Tensor> {
        let grid = self.grid(self.plane());
        let partial = self.partial(grid)?;
        let args = [
            Arg::Tensor(image),
            Arg::Tensor(table),
            Arg::U32(self.plane()),
            Arg::Tensor(&partial),
        ];
        self.engine.launch("augment_sums", grid, BLOCK, &args)?;
        Ok(partial)
    }

    fn finish(&self, image: &Tensor, sums: &Tensor, table: &Tensor) -> Result<()> {
        let args = [
            Arg::Tensor(image),
            Arg::Tensor(sums),
            Arg::U32(self.grid(self.plane())[0]),
            Arg::Tensor(table),
            Arg::U32(self.side),
            Arg::Bytes(&self.set.scale.bytes()),
            Arg::Tensor(image),
        ];
        let packs = (3 * self.plane()).div_ceil(8);
        self.engine.launch("augment_finish", self.grid(packs), BLOCK, &args)
    }
}
