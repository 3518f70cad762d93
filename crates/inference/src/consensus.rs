use candle_core::{Device, Tensor};
use htl_mining::Population;

use crate::InferenceError;

/// The consensus map (mean over the members) of every image, in the order of the population.
///
/// # Shapes
/// - result: `[images, height, width]`, f32 in [0, 1], on the CPU
///
/// # Errors
/// Those of candle and of reading the maps.
pub fn consensus(population: &Population) -> Result<Tensor, InferenceError> {
    let (height, width) = population.size();
    let mut values = Vec::with_capacity(population.len() * height * width);
    for image in 0..population.len() {
        values.extend(population.consensus(image)?);
    }
    Ok(Tensor::from_vec(
        values,
        (population.len(), height, width),
        &Device::Cpu,
    )?)
}

/// The consensus maps of two populations side by side, as a population of two: member 0 is the consensus of `dense`, member
/// 1 that of `sparse`, the images in the order of `dense`.
///
/// # Errors
/// [`InferenceError::OtherImages`] if `sparse` lacks an image, [`InferenceError::Mining`] if the maps differ in size.
pub fn consensus_pair(dense: &Population, sparse: &Population) -> Result<Population, InferenceError> {
    let of_sparse = consensus(sparse)?;
    let positions: Vec<u32> = dense
        .ids()
        .iter()
        .map(|id| {
            let position = sparse.position(id).and_then(|position| u32::try_from(position).ok());
            position.ok_or_else(|| InferenceError::OtherImages { image_id: id.clone() })
        })
        .collect::<Result<_, _>>()?;
    let positions = Tensor::from_vec(positions, dense.len(), &Device::Cpu)?;
    let maps = vec![consensus(dense)?, of_sparse.index_select(&positions, 0)?];
    Ok(Population::of_kind(dense.kind(), dense.ids().to_vec(), maps)?)
}
