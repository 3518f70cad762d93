use candle_core::{DType, Tensor, Var};

use crate::error::{MiningError, Result};
use crate::score::{GRADIENT_COLUMNS, SCORES};
use crate::table::{ScoreRow, ScoreTable};

/// Norm of the gradient of each sample's own loss by all variables: GraNd (Paul et al. 2021), for anybody's candle network.
///
/// `loss` gets the number of the sample, from 0 to `samples - 1`, and returns its loss, a scalar that depends on the
/// variables. One forward and one backward pass per sample. Batch normalisation should use its running statistics, so
/// that a sample is judged alone.
///
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use htl_mining::gradient_norms;
///
/// // (w x - y)^2 has the gradient 2 x (w x - y).
/// let w = Var::from_tensor(&Tensor::new(3f32, &Device::Cpu)?)?;
/// let data = [(1f64, 3f64), (2., 5.)];
/// let norms = gradient_norms(data.len(), &[w.clone()], |i| {
///     let (x, y) = data[i];
///     w.as_tensor().affine(x, -y)?.sqr()
/// })?;
/// assert_eq!(norms, [0., 4.]);
/// # Ok::<(), htl_mining::MiningError>(())
/// ```
///
/// # Errors
/// What `loss` and the backward pass fail with; [`MiningError::NoGradient`] if the loss depends on none of the variables, as
/// where a forward pass for inference tracks nothing; [`MiningError::Parameter`] for a gradient that is not finite.
pub fn gradient_norms(
    samples: usize,
    variables: &[Var],
    mut loss: impl FnMut(usize) -> candle_core::Result<Tensor>,
) -> Result<Vec<f64>> {
    (0..samples)
        .map(|sample| {
            let gradients = loss(sample)?.backward()?;
            let (mut squares, mut reached) = (0.0, 0);
            for gradient in variables.iter().filter_map(|variable| gradients.get(variable)) {
                reached += 1;
                // In f64: millions of small squares.
                squares += gradient.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?;
            }
            if reached == 0 {
                return Err(MiningError::NoGradient { sample });
            }
            match squares.is_finite() {
                true => Ok(squares.sqrt()),
                false => Err(MiningError::Parameter {
                    name: "norm of a gradient",
                    expected: "finite",
                    found: squares,
                }),
            }
        })
        .collect()
}

/// Scores of images by [`gradient_norms`], one list per network, each in the order of `ids`: columns are
/// [`GRADIENT_COLUMNS`].
///
/// # Errors
/// [`MiningError::Length`] if a list has another length than `ids`, [`MiningError::DuplicateId`].
pub fn gradient_scores(ids: &[String], norms: &[Vec<f64>]) -> Result<ScoreTable> {
    if let Some(wrong) = norms.iter().find(|list| list.len() != ids.len()) {
        return Err(MiningError::Length {
            what: "norms of gradients",
            found: wrong.len(),
            expected: ids.len(),
        });
    }
    let mut table = ScoreTable::new(GRADIENT_COLUMNS);
    for (image, id) in ids.iter().enumerate() {
        let of_image: Vec<f64> = norms.iter().map(|list| list[image]).collect();
        let scores = SCORES.iter().filter(|score| GRADIENT_COLUMNS.contains(&score.key));
        table.push(ScoreRow {
            image_id: id.clone(),
            setting: String::new(),
            fold: None,
            scores: scores.map(|score| score.of_gradients(&of_image)).collect(),
            htl: false,
        })?;
    }
    Ok(table)
}
