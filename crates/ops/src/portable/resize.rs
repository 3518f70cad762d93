//! Resizing: upsampling and adaptive means.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::from_host;
use super::graph::attach;
use super::grid::Grid;
use crate::upsample::{Join, Tap};

/// `[out, size]`: which share of each input position an output position reads.
struct Shares {
    values: Vec<f64>,
    out: usize,
    size: usize,
}

impl Shares {
    fn zeros(out: usize, size: usize) -> Self {
        Self {
            values: vec![0.0; out * size],
            out,
            size,
        }
    }

    fn of_taps(taps: &[Tap], size: usize) -> Self {
        let mut shares = Self::zeros(taps.len(), size);
        for (tap, row) in taps.iter().zip(shares.values.chunks_mut(size)) {
            row[tap.from] += 1.0 - tap.t;
            row[tap.to] += tap.t;
        }
        shares
    }

    fn of_bins(bins: &[Range<usize>], size: usize) -> Self {
        let mut shares = Self::zeros(bins.len(), size);
        for (bin, row) in bins.iter().zip(shares.values.chunks_mut(size)) {
            row[bin.clone()].fill(1.0 / bin.len() as f64);
        }
        shares
    }

    fn tensor(self, like: &Tensor) -> Result<Tensor> {
        from_host(self.values, (self.out, self.size), like)
    }
}

/// `rows x columnsᵀ` of every plane: two matrix products.
fn product(x: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let (batch, channels, h, w) = x.dims4()?;
    let (planes, oh, ow) = (batch * channels, rows.dims()[0], columns.dims()[0]);
    let wide = x
        .contiguous()?
        .reshape((planes * h, w))?
        .matmul(&columns.t()?.contiguous()?)?;
    let turned = wide.reshape((planes, h, ow))?.transpose(1, 2)?.contiguous()?;
    let tall = turned.reshape((planes * ow, h))?.matmul(&rows.t()?.contiguous()?)?;
    let tall = tall.reshape((planes, ow, oh))?.transpose(1, 2)?.contiguous()?;
    tall.reshape((batch, channels, oh, ow))
}

fn separable(name: &'static str, x: &Tensor, rows: Shares, columns: Shares) -> Result<Tensor> {
    let (rows, columns) = (rows.tensor(x)?, columns.tensor(x)?);
    let y = product(&x.detach(), &rows, &columns)?;
    let (rows, columns) = (rows.t()?.contiguous()?, columns.t()?.contiguous()?);
    attach(name, &[x], y, move |_, grad| {
        Ok(vec![Some(product(grad, &rows, &columns)?)])
    })
}

/// Bilinear resizing by these taps.
pub(crate) fn bilinear(x: &Tensor, rows: &[Tap], columns: &[Tap]) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let (rows, columns) = (Shares::of_taps(rows, h), Shares::of_taps(columns, w));
    separable("htl-portable-upsample-bilinear2d", x, rows, columns)
}

/// Means over bins.
pub(crate) fn adaptive_average(x: &Tensor, rows: &[Range<usize>], columns: &[Range<usize>]) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let (rows, columns) = (Shares::of_bins(rows, h), Shares::of_bins(columns, w));
    separable("htl-portable-adaptive-avg-pool2d", x, rows, columns)
}

/// Nearest-neighbour resizing by these taps. By index, so that a pixel which is not finite stays alone.
pub(crate) fn nearest(x: &Tensor, rows: &[Tap], columns: &[Tap]) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let ids = |taps: &[Tap]| vec![taps.iter().map(|tap| tap.from as u32).collect::<Vec<_>>()];
    let grid = Grid::new((h, &ids(rows)), (w, &ids(columns)), x)?;
    let y = grid.pick(&x.detach().contiguous()?, 0)?;
    attach("htl-portable-upsample-nearest2d", &[x], y, move |_, grad| {
        Ok(vec![Some(grid.put(|_| Ok(grad.clone()))?)])
    })
}

/// `x` doubled, `skip` behind it if there is one.
pub(crate) fn upsample_concat(join: Join, x: &Tensor, skip: Option<&Tensor>) -> Result<Tensor> {
    let Join {
        batch,
        low,
        skip: high,
        h,
        w,
    } = join;
    let wide = x.detach().contiguous()?.reshape((batch, low, h, 1, w, 1))?;
    let wide = wide.broadcast_as((batch, low, h, 2, w, 2))?.contiguous()?;
    let wide = wide.reshape((batch, low, 2 * h, 2 * w))?;
    let y = match skip {
        Some(skip) => Tensor::cat(&[&wide, &skip.detach()], 1)?,
        None => wide,
    };
    let inputs: Vec<&Tensor> = [Some(x), skip].into_iter().flatten().collect();
    let tracked = [x.track_op(), skip.is_some_and(Tensor::track_op)];
    attach("htl-portable-upsample-concat", &inputs, y, move |inputs, grad| {
        let halved = || {
            let part = grad.narrow(1, 0, low)?.contiguous()?;
            let pairs = part.reshape((batch, low, h, 2, w, 2))?.sum(5)?;
            pairs.sum(3)
        };
        let mut gradients = vec![
            tracked[0].then(halved).transpose()?,
            tracked[1]
                .then(|| grad.narrow(1, low, high)?.contiguous())
                .transpose()?,
        ];
        gradients.truncate(inputs.len());
        Ok(gradients)
    })
}
