//! Reading planes at the taps of a window, and adding back to where was read.

use candle_core::{Result, Tensor};

/// For each tap of a window along either axis, which row or column every output position reads.
pub(super) struct Grid {
    rows: Vec<Tensor>,
    columns: Vec<Tensor>,
    h: usize,
    w: usize,
}

impl Grid {
    /// `rows[tap][position]` and `columns[tap][position]`, all inside of planes of `h` by `w`.
    pub(super) fn new(
        (h, rows): (usize, &[Vec<u32>]),
        (w, columns): (usize, &[Vec<u32>]),
        like: &Tensor,
    ) -> Result<Self> {
        let tensors = |axis: &[Vec<u32>]| {
            axis.iter()
                .map(|ids| Tensor::from_slice(ids, ids.len(), like.device()))
                .collect::<Result<Vec<_>>>()
        };
        Ok(Self {
            rows: tensors(rows)?,
            columns: tensors(columns)?,
            h,
            w,
        })
    }

    /// How many taps there are, row by row.
    pub(super) fn len(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// What all output positions read at one tap. `x` must be contiguous.
    pub(super) fn pick(&self, x: &Tensor, tap: usize) -> Result<Tensor> {
        let (row, column) = (tap / self.columns.len(), tap % self.columns.len());
        x.index_select(&self.rows[row], 2)?
            .index_select(&self.columns[column], 3)
    }

    /// The adjoint of all [`Grid::pick`]s together: adds `gradient(tap)` to where the tap was read.
    pub(super) fn put(&self, gradient: impl Fn(usize) -> Result<Tensor>) -> Result<Tensor> {
        let mut total: Option<Tensor> = None;
        for (r, ids) in self.rows.iter().enumerate() {
            let mut wide: Option<Tensor> = None;
            for (c, ids) in self.columns.iter().enumerate() {
                let gradient = gradient(r * self.columns.len() + c)?.contiguous()?;
                let to = match wide {
                    Some(to) => to,
                    None => {
                        let (batch, channels, oh, _) = gradient.dims4()?;
                        Tensor::zeros((batch, channels, oh, self.w), gradient.dtype(), gradient.device())?
                    }
                };
                wide = Some(to.index_add(ids, &gradient, 3)?);
            }
            if let Some(wide) = wide {
                let to = match total {
                    Some(to) => to,
                    None => {
                        let (batch, channels, _, w) = wide.dims4()?;
                        Tensor::zeros((batch, channels, self.h, w), wide.dtype(), wide.device())?
                    }
                };
                total = Some(to.index_add(ids, &wide, 2)?);
            }
        }
        total.ok_or_else(|| candle_core::Error::Msg("htl-ops: a window without taps".into()).bt())
    }
}
